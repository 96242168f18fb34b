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

static void mget_one(struct call *call, const struct key_place *place) {
    struct entry *entry = call_read(call, place);
    if (entry && entry_type(entry) == VALUE_STRING) reply_bulk(call->reply, entry_string(entry));
    else reply_null(call->reply);
}

static void mget_command(struct call *call) {
    struct key_place places[KEY_GROUP];
    reply_array(call->reply, call->argc - 1);
    for (uint32_t i = 1, count; i < call->argc; i += count) {
        count = keyspace_for_group(call, i, 1, places);
        for (uint32_t k = 0; k < count; k++) mget_one(call, &places[k]);
    }
}

/* ---- SET ---------------------------------------------------------------------------------------- */

enum set_flags {
    SET_NX = 1,
    SET_XX = 2,
    SET_GET = 4,
    SET_KEEPTTL = 8,
    SET_EX = 16,
    SET_PX = 32,
    SET_EXAT = 64,
    SET_PXAT = 128,
    SET_EXPIRES = SET_EX | SET_PX | SET_EXAT | SET_PXAT,
    SET_SECONDS = SET_EX | SET_EXAT,
    SET_ABSOLUTE = SET_EXAT | SET_PXAT,
};

struct set_options {
    unsigned flags;
    uint32_t expiry_index; /* of the number behind EX, PX, EXAT or PXAT */
    int64_t deadline_ms;   /* 0: none */
};

/* An option given twice counts once, with its last number; two kinds of expiry exclude each other. */
struct set_option {
    const char *name;
    unsigned adds, excludes;
};

static const struct set_option set_options_known[] = {
    {"nx", SET_NX, SET_XX},
    {"xx", SET_XX, SET_NX},
    {"get", SET_GET, 0},
    {"keepttl", SET_KEEPTTL, SET_EXPIRES},
    {"ex", SET_EX, SET_KEEPTTL | (SET_EXPIRES & ~SET_EX)},
    {"px", SET_PX, SET_KEEPTTL | (SET_EXPIRES & ~SET_PX)},
    {"exat", SET_EXAT, SET_KEEPTTL | (SET_EXPIRES & ~SET_EXAT)},
    {"pxat", SET_PXAT, SET_KEEPTTL | (SET_EXPIRES & ~SET_PXAT)},
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
    if (KRT_UNLIKELY(!entry)) effect_notify(call, place, NOTIFY_NEW, "new");
    effect_change(call, place, NOTIFY_STRING, "set");
    if (options->flags & SET_EXPIRES) effect_notify(call, place, NOTIFY_GENERIC, "expire");
    return true;
}

/* A value that outlives its entry: counted, or so short that it fits a cell. */
struct set_old {
    struct blob *blob;
    struct bytes value;
    char copy[SLAB_MAX_BYTES];
};

static void set_old_keep(struct set_old *old, struct bytes value) {
    old->blob = value.flags & BYTES_BLOB ? blob_get(blob_of(value)) : NULL;
    old->value = value;
    if (old->blob) return;
    KRT_ASSERT(value.len <= sizeof old->copy);
    memcpy(old->copy, value.at, value.len);
    old->value.at = old->copy;
}

static bool set_blocked(unsigned flags, const struct entry *entry) {
    return (flags & SET_NX && entry) || (flags & SET_XX && !entry);
}

static void set_plain(struct call *call, const struct key_place *place,
                      const struct set_options *options) {
    struct entry *entry = call_find(call, place);
    if (set_blocked(options->flags, entry)) reply_null(call->reply);
    else if (set_store(call, place, entry, options)) reply_ok(call->reply);
}

/* With GET. The old value is replied only when the new one is in place: until then it may become an error. */
static void set_get(struct call *call, const struct key_place *place,
                    const struct set_options *options) {
    struct set_old old;
    struct entry *entry = call_read(call, place);
    if (entry && entry_type(entry) != VALUE_STRING) {
        call_error_type(call);
        return;
    }
    if (entry) set_old_keep(&old, entry_string(entry));
    bool done = set_blocked(options->flags, entry) || set_store(call, place, entry, options);
    if (done && entry) reply_bulk(call->reply, old.value);
    else if (done) reply_null(call->reply);
    if (entry && old.blob) blob_put(old.blob);
}

static void set_command(struct call *call) {
    struct set_options options = {0};
    struct key_place place = keyspace_for(call, 1);
    if (KRT_LIKELY(call->argc == 3)) {
        struct entry *entry = call_find(call, &place);
        if (set_store(call, &place, entry, &options)) reply_ok(call->reply);
    } else if (set_parse(call, &options) && set_deadline(call, &options)) {
        if (options.flags & SET_GET) set_get(call, &place, &options);
        else set_plain(call, &place, &options);
    }
}

/* ---- MSET --------------------------------------------------------------------------------------- */

/* All pairs or none: new keys are inserted and the others' new values made first, which may fail; what
 * then puts the values in their places cannot. A key that comes twice is new the first time only. */

enum { MSET_FEW = 32 };

struct mset {
    struct call *call;
    struct entry **prepared; /* per pair; NULL: its key was inserted */
    uint32_t pairs;
};

static bool mset_prepare(struct mset *mset, uint32_t pair, const struct key_place *place) {
    struct bytes value = mset->call->argv[2 + 2 * pair];
    if (!call_find(mset->call, place)) {
        mset->prepared[pair] = NULL;
        return keyspace_set_string(place->keyspace, place->db, place->hash, place->key, value, 0,
                                   NULL);
    }
    mset->prepared[pair] = keyspace_prepare_string(place->keyspace, place->db, place->key, value);
    return mset->prepared[pair];
}

/* Returns how many could be prepared. */
static uint32_t mset_prepare_all(struct mset *mset) {
    struct key_place places[KEY_GROUP];
    for (uint32_t pair = 0, count; pair < mset->pairs; pair += count) {
        count = keyspace_for_group(mset->call, 1 + 2 * pair, 2, places);
        for (uint32_t i = 0; i < count; i++)
            if (!mset_prepare(mset, pair + i, &places[i])) return pair + i;
    }
    return mset->pairs;
}

static struct entry *mset_found(const struct key_place *place) {
    return keyspace_find(place->keyspace, place->db, place->hash, place->key);
}

static void mset_abandon(struct mset *mset, uint32_t pairs) {
    for (uint32_t pair = 0; pair < pairs; pair++) {
        struct key_place place = keyspace_for(mset->call, 1 + 2 * pair);
        struct entry *prepared = mset->prepared[pair];
        if (prepared) keyspace_abandon(place.keyspace, place.db, prepared);
        else keyspace_delete(place.keyspace, place.db, place.hash, mset_found(&place));
    }
}

static void mset_commit(struct mset *mset) {
    struct call *call = mset->call;
    for (uint32_t pair = 0; pair < mset->pairs; pair++) {
        struct key_place place = keyspace_for(call, 1 + 2 * pair);
        struct entry *prepared = mset->prepared[pair];
        if (prepared)
            keyspace_commit(place.keyspace, place.db, place.hash, mset_found(&place), prepared);
        else
            effect_notify(call, &place, NOTIFY_NEW, "new");
        effect_change(call, &place, NOTIFY_STRING, "set");
    }
    effect_log_verbatim(call);
}

static bool mset_all(struct mset *mset) {
    uint32_t prepared = mset_prepare_all(mset);
    if (prepared == mset->pairs) mset_commit(mset);
    else mset_abandon(mset, prepared);
    return prepared == mset->pairs;
}

static void mset_command(struct call *call) {
    struct entry *few[MSET_FEW];
    struct mset mset = {.call = call, .prepared = few, .pairs = call->argc / 2};
    if (call->argc % 2 == 0) {
        call_error_arity(call);
        return;
    }
    if (mset.pairs > MSET_FEW) mset.prepared = mem_alloc(NULL, mset.pairs * sizeof *few);
    if (mset.prepared && mset_all(&mset)) reply_ok(call->reply);
    else call_error_memory(call);
    if (mset.prepared != few) mem_free(NULL, mset.prepared);
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
    if (!entry) effect_notify(call, &place, NOTIFY_NEW, "new");
    effect_change(call, &place, NOTIFY_STRING, "incrby");
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
