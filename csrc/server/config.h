/* The configuration of a server: the value in force of every setting of settings.def.
 *
 * Role: takes settings as text in Redis's names and forms, checks them, and answers with numbers
 * for the server and with text for CONFIG GET.
 * Threads: written before start and later under all batons; read by whoever holds one.
 * Ownership: texts that are given out live until the setting is set again or config_deinit.
 * Invariants:
 *   C1 a stored text is canonical: what CONFIG GET prints, and what config_set takes again
 *      unchanged.
 *   C2 numbers[] of a setting says the same as its text (strings and lists have 0).
 * Errors: a refused value leaves the configuration as it was.
 * Bounds: a value is at most CONFIG_VALUE_MAX bytes.
 */
#pragma once

#include "base/bytes.h"
#include "server/kevyrt.h"
#include "shard/fabric.h"

enum { CONFIG_VALUE_MAX = 4096, CONFIG_ADDRESSES_MAX = 16 };

enum setting_id {
#define SETTING(id, name, alias, type, initial, effect, when, note) SETTING_##id,
#include "server/settings.def"
#undef SETTING
    SETTING_COUNT
};

enum setting_kind {
    KIND_INTEGER,
    KIND_MEMORY,            /* bytes, with a unit */
    KIND_MEMORY_OR_PERCENT, /* bytes, or a percentage, stored negative */
    KIND_OCTAL,
    KIND_BOOL,
    KIND_ENUM,  /* one of `words`; the number is its position */
    KIND_FLAGS, /* some of `words` */
    KIND_STRING,
    KIND_PORT,          /* an integer, or "any": -1 */
    KIND_BIND,          /* addresses */
    KIND_SAVE,          /* pairs of seconds and changes */
    KIND_BUFFER_LIMITS, /* class, hard, soft, seconds; who is not named keeps the default */
    KIND_RENAMES,       /* pairs of a command and its new name, or "" */
    KIND_EVENTS,
    KIND_SCORES,      /* three integers */
    KIND_PERCENTILES, /* numbers from 0 to 100 */
    KIND_REPLICA,     /* nothing, "no one", or host and port */
};

enum setting_effect { EFFECT_OURS, EFFECT_ACCEPTED, EFFECT_IGNORED, EFFECT_REFUSED };
enum setting_when { WHEN_RUN, WHEN_START, WHEN_PROTECTED };

struct setting {
    const char *name, *alias; /* lower case; alias NULL: none */
    enum setting_kind kind;
    int64_t least, most; /* KIND_INTEGER, KIND_MEMORY, KIND_OCTAL */
    const char *words;   /* KIND_ENUM, KIND_FLAGS: separated by blanks */
    const char *initial; /* canonical */
    enum setting_effect effect;
    enum setting_when when;
    const char *note;
};

struct config {
    char *texts[SETTING_COUNT]; /* NULL: the default */
    int64_t numbers[SETTING_COUNT];
    atomic_u64 changes; /* config_change_swap counts; any reads, relaxed */
};

/* The defaults; cannot fail and allocates nothing. */
void config_init(struct config *config);
void config_deinit(struct config *config);

/* KEVYRT_OK: config_set would take it. KEVYRT_BAD_CONFIG: no such setting, or not this value;
 * `error` (which may be NULL) names the setting. */
enum kevyrt_status config_check(const char *name, const char *value, struct kevyrt_error *error);
/* The same errors, and KEVYRT_NO_MEMORY. A setting that does nothing here is reported through the
 * log. */
enum kevyrt_status config_set(struct config *config, const char *name, const char *value,
                              struct kevyrt_error *error);

/* ---- Several settings, all or nothing -------------------------------------------------------- */

enum { CONFIG_REASON_MAX = 512 };

/* A checked value on its way into the configuration, or, once it is in force, the one before it. */
struct config_change {
    enum setting_id id; /* SETTING_COUNT: the value does nothing here */
    char *text;         /* NULL: the default */
    int64_t number;
};

/* KEVYRT_OK, and the change is the caller's to free; or KEVYRT_BAD_CONFIG or KEVYRT_NO_MEMORY with the
 * reason in Redis's words. What a value of several parts does not name stays as it is. */
enum kevyrt_status config_change_make(struct config_change *change, const struct config *config,
                                      enum setting_id id, const char *value,
                                      char reason[CONFIG_REASON_MAX]);
/* Puts it in force; once more takes it back. Cannot fail. */
void config_change_swap(struct config_change *change, struct config *config);
void config_change_free(struct config_change *change);

/* The value as CONFIG GET shows it, cut to `capacity`; false: no such setting. */
/* The names of commands that rename-command gives; false: none. */
bool config_names(const struct config *config, struct command_names *names);
bool config_get(const struct config *config, const char *name, char *out, size_t capacity);
/* The same, whole. */
const char *config_text(const struct config *config, enum setting_id id);

/* Every name and alias, numbered; NULL: the setting has no alias. */
enum { CONFIG_NAMES = 2 * SETTING_COUNT };
const char *config_name(uint32_t index);
static inline enum setting_id config_name_setting(uint32_t index) {
    return (enum setting_id)(index / 2);
}

/* May a value consist of several words? */
bool config_takes_words(enum setting_id id);
/* The row of a setting; the id of a name or alias in any case, SETTING_COUNT if there is none. */
const struct setting *config_setting(enum setting_id id);
enum setting_id config_find(const char *name);
/* The number of a name or alias, CONFIG_NAMES if there is none. */
uint32_t config_find_name(struct bytes name);

/* ---- Typed ----------------------------------------------------------------------------------- */

enum config_io { CONFIG_IO_AUTO, CONFIG_IO_URING, CONFIG_IO_EPOLL };
enum config_allowed { CONFIG_ALLOWED_NO, CONFIG_ALLOWED_YES, CONFIG_ALLOWED_LOCAL };

static inline int64_t config_number(const struct config *config, enum setting_id id) {
    return config->numbers[id];
}
/* 0: no TCP; -1: any free one. */
static inline int config_port(const struct config *config) {
    return (int)config_number(config, SETTING_PORT);
}
static inline const char *config_bind(const struct config *config) {
    return config_text(config, SETTING_BIND);
}
static inline const char *config_unixsocket(const struct config *config) {
    return config_text(config, SETTING_UNIXSOCKET);
}
static inline unsigned config_unixsocketperm(const struct config *config) {
    return (unsigned)config_number(config, SETTING_UNIXSOCKETPERM);
}
static inline int config_backlog(const struct config *config) {
    return (int)config_number(config, SETTING_TCP_BACKLOG);
}
static inline enum config_io config_io(const struct config *config) {
    return (enum config_io)config_number(config, SETTING_IO);
}
/* Fills everything but `reactor`, which is decided by probing at start. The password lives in
 * `config`. At run time only what CONFIG SET takes differs from what is there. */
void config_fabric_settings(const struct config *config, struct fabric_settings *out);
