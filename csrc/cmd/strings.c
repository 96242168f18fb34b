/* Strings: GET, SET and their kin. */
#include "cmd/families.h"

/* ---- GET, MGET ---------------------------------------------------------------------------------- */

static void get_command(struct call *call) {
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = call_read(call, &place);
    if (!entry) reply_null(call->reply);
    else if (KRT_UNLIKELY(entry_type(entry) != VALUE_STRING)) call_error_type(call);
    else reply_bulk(call->reply, entry_string(entry));
}

static void mget_command(struct call *call) {
    reply_array(call->reply, call->argc - 1);
    for (uint32_t i = 1; i < call->argc; i++) {
        struct key_place place = keyspace_for(call, i);
        struct entry *entry = call_read(call, &place);
        if (entry && entry_type(entry) == VALUE_STRING)
            reply_bulk(call->reply, entry_string(entry));
        else
            reply_null(call->reply);
    }
}

/* ---- SET ---------------------------------------------------------------------------------------- */

enum set_flags {
    SET_NX = 1,
    SET_XX = 2,
    SET_GET = 4,
    SET_KEEPTTL = 8,
    SET_SECONDS = 16,  /* the expiry is in seconds */
    SET_ABSOLUTE = 32, /* and a point in time */
    SET_EXPIRES = 64,
};

struct set_options {
    unsigned flags;
    uint32_t expiry_index; /* of the number behind EX, PX, EXAT or PXAT */
    int64_t deadline_ms;   /* 0: none */
};

struct set_option {
    const char *name;
    unsigned adds, excludes;
};

static const struct set_option set_options_known[] = {
    {"nx", SET_NX, SET_XX},
    {"xx", SET_XX, SET_NX},
    {"get", SET_GET, 0},
    {"keepttl", SET_KEEPTTL, SET_EXPIRES},
    {"ex", SET_EXPIRES | SET_SECONDS, SET_KEEPTTL | SET_EXPIRES},
    {"px", SET_EXPIRES, SET_KEEPTTL | SET_EXPIRES},
    {"exat", SET_EXPIRES | SET_SECONDS | SET_ABSOLUTE, SET_KEEPTTL | SET_EXPIRES},
    {"pxat", SET_EXPIRES | SET_ABSOLUTE, SET_KEEPTTL | SET_EXPIRES},
};

static const struct set_option *set_option_find(struct bytes word) {
    for (size_t i = 0; i < sizeof set_options_known / sizeof *set_options_known; i++)
        if (bytes_is(word, set_options_known[i].name)) return &set_options_known[i];
    return NULL;
}

static bool set_parse(struct call *call, struct set_options *options) {
    for (uint32_t i = 3; i < call->argc; i++) {
        const struct set_option *option = set_option_find(call->argv[i]);
        bool missing = option && (option->adds & SET_EXPIRES) && i + 1 == call->argc;
        if (!option || missing || (options->flags & option->excludes)) {
            call_error_syntax(call);
            return false;
        }
        options->flags |= option->adds;
        if (option->adds & SET_EXPIRES) options->expiry_index = ++i;
    }
    return true;
}

static bool set_deadline(struct call *call, struct set_options *options) {
    int64_t value;
    if (!(options->flags & SET_EXPIRES)) return true;
    if (!call_integer(call, options->expiry_index, &value)) return false;
    bool overflow = value <= 0 || ((options->flags & SET_SECONDS) &&
                                   __builtin_mul_overflow(value, 1000, &value));
    if (!overflow && !(options->flags & SET_ABSOLUTE))
        overflow = __builtin_add_overflow(value, call_now(call), &value);
    if (overflow) {
        call_error(call, "ERR invalid expire time in 'set' command");
        return false;
    }
    options->deadline_ms = value;
    return true;
}

/* The effect without intentions: a relative expiry becomes a point in time. */
static void set_log(struct call *call, const struct set_options *options) {
    char number[24];
    if (KRT_LIKELY(!effects_want(call->effects, EFFECT_LOG))) return;
    struct bytes log[5] = {BYTES_LITERAL("SET"), call->argv[1], call->argv[2]};
    uint32_t count = 3;
    if (options->flags & SET_KEEPTTL) log[count++] = BYTES_LITERAL("KEEPTTL");
    if (options->deadline_ms) {
        log[count++] = BYTES_LITERAL("PXAT");
        log[count++] = bytes_of(number, bytes_from_int64(number, options->deadline_ms));
    }
    effect_log(call, call->db, log, count);
}

/* Stores and declares; `entry` is what is there now. */
static bool set_store(struct call *call, const struct key_place *place, struct entry *entry,
                      const struct set_options *options) {
    int64_t deadline = options->deadline_ms;
    if ((options->flags & SET_KEEPTTL) && entry) deadline = entry_deadline(entry);
    if (!keyspace_set_string(place->keyspace, place->db, place->hash, place->key, call->argv[2],
                             deadline, entry)) {
        call_error_memory(call);
        return false;
    }
    set_log(call, options);
    effect_change(call, place, NOTIFY_STRING, "set");
    if (options->flags & SET_EXPIRES) effect_notify(call, place, NOTIFY_GENERIC, "expire");
    if (KRT_UNLIKELY(!entry)) effect_notify(call, place, NOTIFY_NEW, "new");
    return true;
}

/* A deadline in the past: the key is deleted, as if it had been set and had expired at once. */
static void set_expired(struct call *call, const struct key_place *place, struct entry *entry) {
    if (entry) call_delete(call, place, entry, NOTIFY_GENERIC, "del");
}

static void set_reply_old(struct call *call, struct entry *entry) {
    if (entry) reply_bulk(call->reply, entry_string(entry));
    else reply_null(call->reply);
}

static void set_general(struct call *call, const struct key_place *place,
                        struct set_options *options) {
    struct entry *entry = call_find(call, place);
    bool get = options->flags & SET_GET;
    if (get && entry && entry_type(entry) != VALUE_STRING) {
        call_error_type(call);
        return;
    }
    if (get) set_reply_old(call, entry);
    bool blocked = (options->flags & SET_NX && entry) || (options->flags & SET_XX && !entry);
    if (blocked) {
        if (!get) reply_null(call->reply);
        return;
    }
    if (options->deadline_ms && options->deadline_ms <= call_now(call))
        set_expired(call, place, entry);
    else if (!set_store(call, place, entry, options))
        return;
    if (!get) reply_ok(call->reply);
}

static void set_command(struct call *call) {
    struct set_options options = {0};
    struct key_place place = keyspace_for(call, 1);
    if (KRT_LIKELY(call->argc == 3)) {
        struct entry *entry = call_find(call, &place);
        if (set_store(call, &place, entry, &options)) reply_ok(call->reply);
    } else if (set_parse(call, &options) && set_deadline(call, &options)) {
        set_general(call, &place, &options);
    }
}

/* ---- MSET --------------------------------------------------------------------------------------- */

static void mset_command(struct call *call) {
    static const struct set_options plain = {0};
    if (call->argc % 2 == 0) {
        call_error_arity(call);
        return;
    }
    for (uint32_t i = 1; i < call->argc; i += 2) {
        struct key_place place = keyspace_for(call, i);
        struct entry *entry = call_find(call, &place);
        if (!keyspace_set_string(place.keyspace, place.db, place.hash, place.key, call->argv[i + 1],
                                 plain.deadline_ms, entry)) {
            call_error_memory(call);
            return;
        }
        effect_change(call, &place, NOTIFY_STRING, "set");
        if (!entry) effect_notify(call, &place, NOTIFY_NEW, "new");
    }
    effect_log_verbatim(call);
    reply_ok(call->reply);
}

/* ---- INCR --------------------------------------------------------------------------------------- */

static bool incr_value(struct call *call, struct entry *entry, int64_t step, int64_t *out) {
    int64_t value = 0;
    if (entry && entry_type(entry) != VALUE_STRING) {
        call_error_type(call);
        return false;
    }
    if (entry && !bytes_to_int64(entry_string(entry), &value)) {
        call_error_integer(call);
        return false;
    }
    if (__builtin_add_overflow(value, step, out)) {
        call_error(call, "ERR increment or decrement would overflow");
        return false;
    }
    return true;
}

static void incr_by(struct call *call, int64_t step) {
    char text[24];
    int64_t value;
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = call_find(call, &place);
    if (!incr_value(call, entry, step, &value)) return;
    struct bytes digits = bytes_of(text, bytes_from_int64(text, value));
    int64_t deadline = entry ? entry_deadline(entry) : 0;
    if (!keyspace_set_string(place.keyspace, place.db, place.hash, place.key, digits, deadline,
                             entry)) {
        call_error_memory(call);
        return;
    }
    effect_log_verbatim(call);
    effect_change(call, &place, NOTIFY_STRING, "incrby");
    if (!entry) effect_notify(call, &place, NOTIFY_NEW, "new");
    reply_integer(call->reply, value);
}

static void incr_command(struct call *call) {
    incr_by(call, 1);
}

static void incrby_command(struct call *call) {
    int64_t step;
    if (call_integer(call, 2, &step)) incr_by(call, step);
}

void strings_bind(void) {
    command_bind("get", get_command);
    command_bind("mget", mget_command);
    command_bind("set", set_command);
    command_bind("mset", mset_command);
    command_bind("incr", incr_command);
    command_bind("incrby", incrby_command);
}
