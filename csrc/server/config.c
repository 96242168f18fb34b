/* The configuration: one table of settings, their values, and what the shards get of them. */
#include "server/config.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/value.h"

enum {
    RING_ENTRIES = 1024,
    BUFFER_COUNT = 64,
    BUFFER_BYTES = 16384,
    STREAM_ENTRIES = 256,
    INLINE_BYTES = 65536,
};

#define INTEGER(low, high) KIND_INTEGER, .least = (low), .most = (high)
#define MEMORY(low, high) KIND_MEMORY, .least = (low), .most = (high)
#define MEMORY_OR_PERCENT KIND_MEMORY_OR_PERCENT, .least = 0, .most = LONG_MAX
#define OCTAL KIND_OCTAL, .least = 0, .most = 0777
#define PORT KIND_PORT, .least = 0, .most = 65535
#define ENUM(text) KIND_ENUM, .words = text
#define FLAGS(text) KIND_FLAGS, .words = text
#define BOOL KIND_BOOL
#define STRING KIND_STRING
#define BIND KIND_BIND
#define SAVE KIND_SAVE
#define BUFFER_LIMITS KIND_BUFFER_LIMITS
#define RENAMES KIND_RENAMES
#define EVENTS KIND_EVENTS
#define SCORES KIND_SCORES
#define PERCENTILES KIND_PERCENTILES
#define REPLICA KIND_REPLICA

static const struct setting settings[SETTING_COUNT] = {
#define SETTING(id, name_, alias_, type, initial_, effect_, when_, note_) \
    [SETTING_##id] = {.name = name_,                                      \
                      .alias = alias_,                                    \
                      .initial = initial_,                                \
                      .note = note_,                                      \
                      .effect = EFFECT_##effect_,                         \
                      .when = WHEN_##when_,                               \
                      .kind = type},
#include "server/settings.def"
#undef SETTING
};

/* What Redis's configuration knows besides settings, and we do not do. */
static const char *const directives_refused[] = {"loadmodule", "user", "sentinel"};

static enum kevyrt_status fail(struct kevyrt_error *error, enum kevyrt_status status,
                               const char *format, ...) __attribute__((format(printf, 3, 4)));

static enum kevyrt_status fail(struct kevyrt_error *error, enum kevyrt_status status,
                               const char *format, ...) {
    if (!error) return status;
    va_list arguments;
    va_start(arguments, format);
    error->number = 0;
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return status;
}

/* ---- Look-up --------------------------------------------------------------------------------- */

const struct setting *config_setting(enum setting_id id) {
    KRT_ASSERT(id < SETTING_COUNT);
    return &settings[id];
}

enum { NAME_SLOTS = 1024 };

_Static_assert(CONFIG_NAMES < NAME_SLOTS / 2, "probes stay short only in a half empty hash");

/* Names by their hash: an index and one, or 0. Filled when the library is loaded. */
static uint16_t name_slots[NAME_SLOTS];

/* Of the letters in either case. */
static uint32_t hash_name(struct bytes name) {
    uint32_t hash = 0;
    for (uint32_t i = 0; i < name.len; i++) hash = hash * 31 + ((uint8_t)name.at[i] | 0x20);
    return hash ^ hash >> 10;
}

__attribute__((constructor)) static void index_names(void) {
    for (uint32_t index = 0; index < CONFIG_NAMES; index++) {
        const char *name = config_name(index);
        if (!name) continue;
        uint32_t slot = hash_name(bytes_of(name, strlen(name)));
        while (name_slots[slot % NAME_SLOTS]) slot++;
        name_slots[slot % NAME_SLOTS] = (uint16_t)(index + 1);
    }
}

uint32_t config_find_name(struct bytes name) {
    for (uint32_t slot = hash_name(name); name_slots[slot % NAME_SLOTS]; slot++) {
        uint32_t index = name_slots[slot % NAME_SLOTS] - 1u;
        if (bytes_is(name, config_name(index))) return index;
    }
    return CONFIG_NAMES;
}

enum setting_id config_find(const char *name) {
    uint32_t index = config_find_name(bytes_of(name, strlen(name)));
    return index < CONFIG_NAMES ? config_name_setting(index) : SETTING_COUNT;
}

bool config_takes_words(enum setting_id id) {
    switch (settings[id].kind) {
    case KIND_FLAGS:
    case KIND_BIND:
    case KIND_SAVE:
    case KIND_BUFFER_LIMITS:
    case KIND_RENAMES:
    case KIND_SCORES:
    case KIND_PERCENTILES:
    case KIND_REPLICA:
        return true;
    default:
        return false;
    }
}

const char *config_name(uint32_t index) {
    const struct setting *setting = config_setting(config_name_setting(index));
    return index % 2 ? setting->alias : setting->name;
}

const char *config_text(const struct config *config, enum setting_id id) {
    return config->texts[id] ? config->texts[id] : settings[id].initial;
}

bool config_get(const struct config *config, const char *name, char *out, size_t capacity) {
    enum setting_id id = config_find(name);
    if (id == SETTING_COUNT) return false;
    snprintf(out, capacity, "%s", config_text(config, id));
    return true;
}

/* ---- Life ------------------------------------------------------------------------------------ */

void config_init(struct config *config) {
    *config = (struct config){0};
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
        struct value value;
        bool parsed = value_parse(&settings[id], settings[id].initial, &value);
        KRT_ASSERT(parsed || settings[id].kind == KIND_REPLICA);
        config->numbers[id] = value.number;
    }
}

void config_deinit(struct config *config) {
    for (enum setting_id id = 0; id < SETTING_COUNT; id++) mem_free(NULL, config->texts[id]);
    *config = (struct config){0};
}

/* ---- Setting --------------------------------------------------------------------------------- */

static enum kevyrt_status refuse_name(const char *name, struct kevyrt_error *error) {
    struct bytes wanted = bytes_of(name, strlen(name));
    for (size_t i = 0; i < sizeof directives_refused / sizeof *directives_refused; i++)
        if (bytes_is(wanted, directives_refused[i]))
            return fail(error, KEVYRT_BAD_CONFIG, "%s is not supported", directives_refused[i]);
    return fail(error, KEVYRT_BAD_CONFIG, "unknown setting '%.100s'", name);
}

/* The classes of buffer limits that a value does not name keep what they have. */
static bool parse(const struct setting *setting, const char *before, const char *given,
                  struct value *out) {
    char both[2 * CONFIG_VALUE_MAX];
    if (!value_parse(setting, given, out)) return false;
    if (setting->kind != KIND_BUFFER_LIMITS) return true;
    snprintf(both, sizeof both, "%s %s", before, given);
    return value_parse(setting, both, out);
}

/* False, with the reason: not this value. */
static bool judge(const struct setting *setting, const char *before, const char *given,
                  struct value *out, char reason[CONFIG_REASON_MAX]) {
    if (!parse(setting, before, given, out)) {
        snprintf(reason, CONFIG_REASON_MAX, "%s", out->error);
        return false;
    }
    if (setting->effect != EFFECT_REFUSED || strcmp(out->text, setting->initial) == 0) return true;
    snprintf(reason, CONFIG_REASON_MAX, "%s %.60s is not supported yet: %s", setting->name,
             out->text, setting->note);
    return false;
}

static enum kevyrt_status keep(struct config_change *change, const struct setting *setting,
                               const struct value *value) {
    size_t size = strlen(value->text) + 1;
    change->number = value->number;
    if (strcmp(value->text, setting->initial) == 0) return KEVYRT_OK;
    change->text = mem_alloc(NULL, size);
    if (!change->text) return KEVYRT_NO_MEMORY;
    memcpy(change->text, value->text, size);
    return KEVYRT_OK;
}

enum kevyrt_status config_change_make(struct config_change *change, const struct config *config,
                                      enum setting_id id, const char *given,
                                      char reason[CONFIG_REASON_MAX]) {
    struct value value;
    const struct setting *setting = &settings[id];
    *change = (struct config_change){.id = id};
    if (!judge(setting, config_text(config, id), given, &value, reason)) return KEVYRT_BAD_CONFIG;
    if (setting->effect == EFFECT_IGNORED && strcmp(value.text, setting->initial) != 0) {
        log_line(LOG_WARNING, "Setting '%s %.100s' is ignored%s%s", setting->name, value.text,
                 *setting->note ? ": " : "", setting->note);
        change->id = SETTING_COUNT;
        return KEVYRT_OK;
    }
    snprintf(reason, CONFIG_REASON_MAX, "out of memory");
    return keep(change, setting, &value);
}

void config_change_swap(struct config_change *change, struct config *config) {
    if (change->id == SETTING_COUNT) return;
    char *text = config->texts[change->id];
    int64_t number = config->numbers[change->id];
    config->texts[change->id] = change->text;
    config->numbers[change->id] = change->number;
    change->text = text;
    change->number = number;
    atomic_add_relaxed(&config->changes, 1);
}

void config_change_free(struct config_change *change) {
    mem_free(NULL, change->text);
    change->text = NULL;
}

/* ---- One setting ----------------------------------------------------------------------------- */

static enum kevyrt_status refuse_value(const struct setting *setting, const char *given,
                                       enum kevyrt_status status, const char *reason,
                                       struct kevyrt_error *error) {
    return fail(error, status, "invalid value '%.60s' for '%s': %.300s", given, setting->name,
                reason);
}

enum kevyrt_status config_check(const char *name, const char *given, struct kevyrt_error *error) {
    struct value value;
    char reason[CONFIG_REASON_MAX];
    enum setting_id id = config_find(name);
    if (id == SETTING_COUNT) return refuse_name(name, error);
    if (!judge(&settings[id], settings[id].initial, given, &value, reason))
        return refuse_value(&settings[id], given, KEVYRT_BAD_CONFIG, reason, error);
    return KEVYRT_OK;
}

enum kevyrt_status config_set(struct config *config, const char *name, const char *given,
                              struct kevyrt_error *error) {
    struct config_change change;
    char reason[CONFIG_REASON_MAX];
    enum setting_id id = config_find(name);
    if (id == SETTING_COUNT) return refuse_name(name, error);
    enum kevyrt_status status = config_change_make(&change, config, id, given, reason);
    if (status != KEVYRT_OK) return refuse_value(&settings[id], given, status, reason, error);
    config_change_swap(&change, config);
    config_change_free(&change);
    return KEVYRT_OK;
}

/* ---- For the shards -------------------------------------------------------------------------- */

static uint32_t number32(const struct config *config, enum setting_id id) {
    KRT_ASSERT(config->numbers[id] >= 0 && config->numbers[id] <= UINT32_MAX);
    return (uint32_t)config->numbers[id];
}

static void parser_settings(const struct config *config, struct fabric_settings *out) {
    out->parser = (struct parser_limits){
        .max_bulk_bytes = number32(config, SETTING_PROTO_MAX_BULK_LEN),
        .max_inline_bytes = INLINE_BYTES,
        .max_args = INT32_MAX,
    };
    out->parser_unauthenticated = out->parser;
    out->parser_unauthenticated.unauthenticated = true;
}

static void small_settings(const struct config *config, struct fabric_settings *out) {
    const int64_t *numbers = config->numbers;
    out->small = (struct small_limits){
        .hash_entries = numbers[SETTING_HASH_MAX_LISTPACK_ENTRIES],
        .hash_value = numbers[SETTING_HASH_MAX_LISTPACK_VALUE],
        .set_integers = numbers[SETTING_SET_MAX_INTSET_ENTRIES],
        .set_entries = numbers[SETTING_SET_MAX_LISTPACK_ENTRIES],
        .set_value = numbers[SETTING_SET_MAX_LISTPACK_VALUE],
        .zset_entries = numbers[SETTING_ZSET_MAX_LISTPACK_ENTRIES],
        .zset_value = numbers[SETTING_ZSET_MAX_LISTPACK_VALUE],
        .list_size = numbers[SETTING_LIST_MAX_LISTPACK_SIZE],
        .stream_bytes = numbers[SETTING_STREAM_NODE_MAX_BYTES],
        .stream_entries = numbers[SETTING_STREAM_NODE_MAX_ENTRIES],
    };
    out->hll_sparse_bytes = (uint64_t)numbers[SETTING_HLL_SPARSE_MAX_BYTES];
    out->compresses_dumps = numbers[SETTING_RDBCOMPRESSION] != 0;
    out->tracking_keys = (uint64_t)numbers[SETTING_TRACKING_TABLE_MAX_KEYS];
}

static void buffer_settings(const struct config *config, struct fabric_settings *out) {
    /* Its words are 0 and the powers of two from 2 on. */
    uint32_t position = number32(config, SETTING_DEBUG_RING_ENTRIES);
    uint32_t forced = position ? 1u << position : 0;
    out->ring_entries = forced ? forced : RING_ENTRIES;
    out->buffer_count = forced ? forced : BUFFER_COUNT;
    out->buffer_bytes = BUFFER_BYTES;
    out->stream_entries = forced ? forced : STREAM_ENTRIES;
}

/* Redis's scale: half a millisecond at most to 10, a seventh more with each step from there, 100 without
 * end. */
static uint64_t patience_ns(int64_t tenacity) {
    double us = 50.0 * (double)(tenacity < 10 ? tenacity : 10);
    for (int64_t i = 10; i < tenacity; i++) us *= 1.15;
    return tenacity == 100 ? UINT64_MAX : (uint64_t)(us * 1000);
}

static struct budget_settings budget_settings(const struct config *config) {
    return (struct budget_settings){
        .limit = (uint64_t)config->numbers[SETTING_MAXMEMORY],
        .policy = (enum eviction_policy)number32(config, SETTING_MAXMEMORY_POLICY),
        .samples = number32(config, SETTING_MAXMEMORY_SAMPLES),
        .patience_ns = patience_ns(config->numbers[SETTING_MAXMEMORY_EVICTION_TENACITY]),
        .log_factor = number32(config, SETTING_LFU_LOG_FACTOR),
        .decay_minutes = number32(config, SETTING_LFU_DECAY_TIME),
    };
}

/* The text is canonical: the three classes, each with its three numbers. Every CONFIG SET asks, so the default
 * is not read. */
static void output_limits(const struct config *config, struct output_limit *out) {
    static const struct output_limit initial[LIMIT_CLASSES] = {
        [LIMIT_REPLICA] = {256 << 20, 64 << 20, UINT64_C(60000000000)},
        [LIMIT_PUBSUB] = {32 << 20, 8 << 20, UINT64_C(60000000000)},
    };
    memcpy(out, initial, sizeof initial);
    if (!config->texts[SETTING_CLIENT_OUTPUT_BUFFER_LIMIT]) return;
    const char *at = config_text(config, SETTING_CLIENT_OUTPUT_BUFFER_LIMIT);
    for (int i = 0; i < LIMIT_CLASSES; i++) {
        char *end = strchr(at, ' ');
        out[i].hard_bytes = strtoull(end, &end, 10);
        out[i].soft_bytes = strtoull(end, &end, 10);
        out[i].soft_ns = strtoull(end, &end, 10) * UINT64_C(1000000000);
        at = *end ? end + 1 : end;
    }
}

/* A percentage, which is kept negative, is of maxmemory. */
static uint64_t all_clients_bytes(const struct config *config) {
    int64_t number = config->numbers[SETTING_MAXMEMORY_CLIENTS];
    uint64_t budget = (uint64_t)config->numbers[SETTING_MAXMEMORY];
    return number >= 0 ? (uint64_t)number : budget / 100 * (uint64_t)-number;
}

static struct client_limits client_limits(const struct config *config) {
    struct client_limits limits = {
        .query_bytes = (uint64_t)config->numbers[SETTING_CLIENT_QUERY_BUFFER_LIMIT],
        .all_bytes = all_clients_bytes(config),
    };
    output_limits(config, limits.output);
    return limits;
}

bool config_names(const struct config *config, struct command_names *names) {
    const char *why;
    names->count = 0;
    bool good = value_renames(config_text(config, SETTING_RENAME_COMMAND), names, &why);
    KRT_ASSERT(good); /* checked when it was set */
    return names->count > 0;
}

void config_fabric_settings(const struct config *config, struct fabric_settings *out) {
    out->shard_count = number32(config, SETTING_THREADS);
    out->database_count = number32(config, SETTING_DATABASES);
    int64_t busy_ms = config->numbers[SETTING_BUSY_REPLY_THRESHOLD];
    out->busy_ms = busy_ms < UINT32_MAX ? (uint64_t)busy_ms : UINT32_MAX;
    out->latency_tracking = number32(config, SETTING_LATENCY_TRACKING);
    out->slow_us = config_number(config, SETTING_SLOWLOG_LOG_SLOWER_THAN);
    out->slow_entries = (uint64_t)config_number(config, SETTING_SLOWLOG_MAX_LEN);
    out->latency_ms = (uint64_t)config_number(config, SETTING_LATENCY_MONITOR_THRESHOLD);
    out->order_by_shard = number32(config, SETTING_PIPELINE_ORDER) == 1;
    out->borrow = (enum borrow_mode)number32(config, SETTING_DEBUG_BORROW);
    out->max_clients = number32(config, SETTING_MAXCLIENTS);
    out->idle_timeout_s = number32(config, SETTING_TIMEOUT);
    out->tcp_keepalive_s = number32(config, SETTING_TCP_KEEPALIVE);
    out->password = config_text(config, SETTING_REQUIREPASS);
    out->protected_mode = config_number(config, SETTING_PROTECTED_MODE);
    out->budget = budget_settings(config);
    out->limits = client_limits(config);
    out->notify_classes = number32(config, SETTING_NOTIFY_KEYSPACE_EVENTS);
    buffer_settings(config, out);
    parser_settings(config, out);
    small_settings(config, out);
}
