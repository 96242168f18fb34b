/* What a call did, declared by its handler: the one place where writes become known to the log, to
 * watchers, to blocked clients, to notifications.
 *
 * Role: handlers call the functions below at every change; `struct effects` forwards what somebody
 * wants to a sink and counts the rest. With nothing wanted a declaration is a counter and a test of two
 * words. Tests install a recording sink and hold every write handler against it.
 * Threads: holder of the batons of the call. The sink's `wanted` changes only under all batons (B7); that of a
 * keyspace, which is about keys that live there, under its baton.
 * Ownership: what a sink receives is borrowed for the duration of the sink's call.
 */
#pragma once

#include "base/bytes.h"
#include "store/entry.h"

struct call;
struct key_place;

enum effect_kind {
    EFFECT_LOG = 1,    /* the append-only log */
    EFFECT_TOUCH = 2,  /* WATCH, client-side caches */
    EFFECT_READY = 4,  /* blocked clients */
    EFFECT_NOTIFY = 8, /* keyspace notifications */
};

/* Redis's notification classes, by their letters in notify-keyspace-events. */
enum notify_class {
    NOTIFY_GENERIC = 1 << 2,   /* g */
    NOTIFY_STRING = 1 << 3,    /* $ */
    NOTIFY_LIST = 1 << 4,      /* l */
    NOTIFY_SET = 1 << 5,       /* s */
    NOTIFY_HASH = 1 << 6,      /* h */
    NOTIFY_ZSET = 1 << 7,      /* z */
    NOTIFY_EXPIRED = 1 << 8,   /* x */
    NOTIFY_EVICTED = 1 << 9,   /* e */
    NOTIFY_STREAM = 1 << 10,   /* t */
    NOTIFY_KEY_MISS = 1 << 11, /* m */
    NOTIFY_NEW = 1 << 14,      /* n */
};

/* The letters that are no classes of effects. */
enum notify_letter {
    NOTIFY_KEYSPACE = 1 << 0, /* K: in the channel of the key */
    NOTIFY_KEYEVENT = 1 << 1, /* E: in the channel of the event */
    NOTIFY_MODULE = 1 << 13,  /* d; there are no modules */
    NOTIFY_ALL = NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_LIST | NOTIFY_SET | NOTIFY_HASH |
                 NOTIFY_ZSET | NOTIFY_EXPIRED | NOTIFY_EVICTED | NOTIFY_STREAM |
                 NOTIFY_MODULE, /* A */
};

struct effect_sink {
    uint32_t wanted; /* enum effect_kind bits */
    void *context;
    /* An effect to be replayed: a command of absolute meaning. */
    void (*log)(struct call *call, uint32_t db, const struct bytes *argv, uint32_t argc);
    void (*touch)(struct call *call, const struct key_place *place);
    /* Every key of database `db`, or of all databases if db is UINT32_MAX, before it happens: it will hold what database
     * `replaced_by` holds, or nothing if that is UINT32_MAX. */
    void (*touch_all)(struct call *call, uint32_t db, uint32_t replaced_by);
    /* A database, or all of them, is emptied; behind touch_all. Told wherever it is there. */
    void (*flush)(struct call *call, uint32_t db);
    void (*ready)(struct call *call, const struct key_place *place, enum value_type type);
    /* Any key of the database may hold what somebody waits for. */
    void (*ready_all)(struct call *call, uint32_t db);
    void (*notify)(struct call *call, enum notify_class class, const char *event,
                   const struct key_place *place);
};

struct effects {
    uint64_t dirty; /* changes so far, Redis's `dirty` */
    const struct effect_sink *sink;
};

static inline bool effects_want(const struct effects *effects, enum effect_kind kind) {
    return effects->sink->wanted & kind;
}

/* The key's value changed: dirty, touched, notified. */
void effect_change(struct call *call, const struct key_place *place, enum notify_class class,
                   const char *event);
/* The same for a further key of a change that counts once. */
void effect_touch(struct call *call, const struct key_place *place);
/* Only a notification (a second event of the same change, a miss). */
void effect_notify(struct call *call, const struct key_place *place, enum notify_class class,
                   const char *event);
/* The key now holds what somebody may be waiting for. */
void effect_ready(struct call *call, const struct key_place *place, enum value_type type);
/* A whole database (UINT32_MAX: all of them) will be emptied, `count` keys. */
void effect_flush(struct call *call, uint32_t db, uint64_t count);

/* Two databases will exchange what they hold; have exchanged it. */
void effect_swap_begin(struct call *call, uint32_t first, uint32_t second);
void effect_swap(struct call *call, uint32_t first, uint32_t second);

/* Every database will hold what is aside of it (store/keyspace.h), `count` keys gone and come; holds it. */
void effect_replace_begin(struct call *call, uint64_t count);
void effect_replace(struct call *call);

/* A database will hold what is aside of it, keys that come back with a checkpoint (store/checkpoint.h); and after all of those,
 * before it happens. Behind it: any database may hold what somebody waits for. */
void effect_put_back_begin(struct call *call, uint32_t db);
void effect_put_back_flush(struct call *call);
void effect_put_back(struct call *call, uint32_t db);

/* The log effect: the command as it came, or the given words. Words are NULL-terminated by count. */
void effect_log_verbatim(struct call *call);
void effect_log(struct call *call, uint32_t db, const struct bytes *argv, uint32_t argc);

/* The sink that wants nothing. */
extern const struct effect_sink effect_sink_none;
