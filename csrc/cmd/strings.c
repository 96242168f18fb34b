/* Strings: GET, SET and their kin. */
#include "cmd/families.h"

/* ---- GET, MGET, GETDEL -------------------------------------------------------------------------- */

static void reply_value(struct call *call, const struct entry *entry) {
    if (entry) reply_bulk(call->reply, entry_string(entry));
    else reply_null(call->reply);
}

static void get_command(struct call *call) {
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (KRT_LIKELY(call_read_string(call, &place, &entry))) reply_value(call, entry);
}

static void mget_one(struct call *call, const struct key_place *place) {
    struct entry *entry = call_read(call, place);
    if (!entry || entry_type(entry) != VALUE_STRING) reply_null(call->reply);
    else if (call_join(call, place, entry)) reply_bulk(call->reply, entry_string(entry));
}

static void mget_command(struct call *call) {
    struct key_place places[KEY_GROUP];
    reply_array(call->reply, call->argc - 1);
    for (uint32_t i = 1, count; i < call->argc; i += count) {
        count = keyspace_for_group(call, i, 1, places);
        for (uint32_t k = 0; k < count; k++) mget_one(call, &places[k]);
    }
}

static void getdel_command(struct call *call) {
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!call_read_string(call, &place, &entry)) return;
    reply_value(call, entry);
    if (entry) call_delete(call, &place, entry, NOTIFY_GENERIC, "del");
}

/* ---- Options of SET and GETEX ------------------------------------------------------------------- */

enum set_flags {
    SET_NX = 1,
    SET_XX = 2,
    SET_GET = 4,
    SET_KEEPTTL = 8,
    SET_EX = 16,
    SET_PX = 32,
    SET_EXAT = 64,
    SET_PXAT = 128,
    SET_PERSIST = 256,
    SET_EXPIRES = SET_EX | SET_PX | SET_EXAT | SET_PXAT,
    SET_SECONDS = SET_EX | SET_EXAT,
    SET_ABSOLUTE = SET_EXAT | SET_PXAT,
    OF_GETEX = SET_EXPIRES | SET_PERSIST,
    OF_SET = SET_NX | SET_XX | SET_GET | SET_KEEPTTL | SET_EXPIRES,
};

struct set_options {
    unsigned flags;
    uint32_t expiry_index; /* of the number behind EX, PX, EXAT or PXAT */
    int64_t deadline_ms;   /* 0: none */
    struct bytes value;
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
    {"persist", SET_PERSIST, SET_EXPIRES},
    {"ex", SET_EX, SET_KEEPTTL | SET_PERSIST | (SET_EXPIRES & ~SET_EX)},
    {"px", SET_PX, SET_KEEPTTL | SET_PERSIST | (SET_EXPIRES & ~SET_PX)},
    {"exat", SET_EXAT, SET_KEEPTTL | SET_PERSIST | (SET_EXPIRES & ~SET_EXAT)},
    {"pxat", SET_PXAT, SET_KEEPTTL | SET_PERSIST | (SET_EXPIRES & ~SET_PXAT)},
};

static const struct set_option *set_option_find(struct bytes word) {
    for (size_t i = 0; i < sizeof set_options_known / sizeof *set_options_known; i++)
        if (bytes_is(word, set_options_known[i].name)) return &set_options_known[i];
    return NULL;
}

/* From argv[first] on; `known` are those that the command has. */
static bool set_parse(struct call *call, uint32_t first, unsigned known,
                      struct set_options *options) {
    for (uint32_t i = first; i < call->argc; i++) {
        const struct set_option *option = set_option_find(call->argv[i]);
        bool missing = option && (option->adds & SET_EXPIRES) && i + 1 == call->argc;
        if (!option || !(option->adds & known) || missing || (options->flags & option->excludes)) {
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
    bool overflow = value <= 0 ||
                    ((options->flags & SET_SECONDS) && __builtin_mul_overflow(value, 1000, &value));
    if (!overflow && !(options->flags & SET_ABSOLUTE))
        overflow = __builtin_add_overflow(value, call_now(call), &value);
    if (overflow) {
        call_error_format(call, "ERR invalid expire time in '%s' command",
                          call->command->full_name);
        return false;
    }
    options->deadline_ms = value;
    return true;
}

/* ---- SET ---------------------------------------------------------------------------------------- */

/* The effect without intentions: a relative expiry becomes a point in time. */
static void set_log(struct call *call, const struct set_options *options) {
    char number[24];
    if (KRT_LIKELY(!effects_want(call->effects, EFFECT_LOG))) return;
    struct bytes log[5] = {BYTES_LITERAL("SET"), call->argv[1], options->value};
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
    if (!keyspace_set_string(place->keyspace, place->db, place->hash, place->key, options->value,
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
    struct entry *entry;
    if (!call_read_string(call, place, &entry)) return;
    if (entry) set_old_keep(&old, entry_string(entry));
    bool done = set_blocked(options->flags, entry) || set_store(call, place, entry, options);
    if (done && entry) reply_bulk(call->reply, old.value);
    else if (done) reply_null(call->reply);
    if (entry && old.blob) blob_put(old.blob);
}

static void set_command(struct call *call) {
    struct set_options options = {.value = call->argv[2]};
    struct key_place place = keyspace_for(call, 1);
    if (KRT_LIKELY(call->argc == 3)) {
        struct entry *entry = call_find(call, &place);
        if (set_store(call, &place, entry, &options)) reply_ok(call->reply);
    } else if (set_parse(call, 3, OF_SET, &options) && set_deadline(call, &options)) {
        if (options.flags & SET_GET) set_get(call, &place, &options);
        else set_plain(call, &place, &options);
    }
}

static void getset_command(struct call *call) {
    struct set_options options = {.value = call->argv[2]};
    struct key_place place = keyspace_for(call, 1);
    set_get(call, &place, &options);
}

static void setnx_command(struct call *call) {
    struct set_options options = {.value = call->argv[2]};
    struct key_place place = keyspace_for(call, 1);
    if (call_find(call, &place)) reply_integer(call->reply, 0);
    else if (set_store(call, &place, NULL, &options)) reply_integer(call->reply, 1);
}

static void setex_generic(struct call *call, unsigned unit) {
    struct set_options options = {.flags = unit, .expiry_index = 2, .value = call->argv[3]};
    struct key_place place = keyspace_for(call, 1);
    if (set_deadline(call, &options)) set_plain(call, &place, &options);
}

static void setex_command(struct call *call) {
    setex_generic(call, SET_EX);
}

static void psetex_command(struct call *call) {
    setex_generic(call, SET_PX);
}

/* ---- GETEX -------------------------------------------------------------------------------------- */

static void getex_log(struct call *call, const struct key_place *place, int64_t deadline_ms) {
    char number[24];
    struct bytes log[] = {deadline_ms ? BYTES_LITERAL("PEXPIREAT") : BYTES_LITERAL("PERSIST"),
                          place->key, bytes_of(number, bytes_from_int64(number, deadline_ms))};
    effect_log(call, place->db, log, deadline_ms ? 3 : 2);
}

/* Gives the key a new deadline, or none (0), and declares it. */
static void getex_change(struct call *call, const struct key_place *place, struct entry *entry,
                         int64_t deadline_ms) {
    struct bytes value = entry_string(entry);
    struct set_old old;
    set_old_keep(&old, value);
    if (keyspace_set_deadline(place->keyspace, place->db, place->hash, entry, deadline_ms)) {
        reply_bulk(call->reply, old.value);
        getex_log(call, place, deadline_ms);
        effect_change(call, place, NOTIFY_GENERIC, deadline_ms ? "expire" : "persist");
    } else {
        call_error_memory(call);
    }
    if (old.blob) blob_put(old.blob);
}

static void getex_apply(struct call *call, const struct key_place *place, struct entry *entry,
                        const struct set_options *options) {
    bool expires = options->flags & SET_EXPIRES;
    bool persists = options->flags & SET_PERSIST && entry_deadline(entry);
    if (!expires && !persists) {
        reply_value(call, entry);
    } else if (expires && options->deadline_ms <= call_due(call)) {
        reply_value(call, entry);
        call_delete(call, place, entry, NOTIFY_GENERIC, "del");
    } else {
        getex_change(call, place, entry, options->deadline_ms);
    }
}

/* The number behind an option is looked at only when there is a key to use it on. */
static void getex_command(struct call *call) {
    struct entry *entry;
    struct set_options options = {0};
    struct key_place place = keyspace_for(call, 1);
    if (!set_parse(call, 2, OF_GETEX, &options)) return;
    if (!call_read_string(call, &place, &entry)) return;
    if (!entry) reply_null(call->reply);
    else if (set_deadline(call, &options)) getex_apply(call, &place, entry, &options);
}

/* ---- MSET --------------------------------------------------------------------------------------- */

/* All pairs or none: new keys are inserted and the others' new values made first, which may fail; what
 * then puts the values in their places cannot. A key that comes twice is new the first time only. */

enum { MSET_FEW = 32 };

struct mset {
    struct call *call;
    struct entry **prepared; /* per pair; NULL: its key was inserted */
    uint32_t pairs;
    uint32_t wanted; /* by somebody, of the keys: enum effect_kind */
};

static bool mset_prepare(struct mset *mset, uint32_t pair, const struct key_place *place) {
    struct bytes value = mset->call->argv[2 + 2 * pair];
    mset->wanted |= place->keyspace->wanted;
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
    bool wanted = call->effects->sink->wanted | mset->wanted;
    for (uint32_t pair = 0; pair < mset->pairs; pair++) {
        struct entry *prepared = mset->prepared[pair];
        if (!prepared && !wanted) { /* it is in its place, and nobody asks where that is */
            call->effects->dirty++;
            continue;
        }
        struct key_place place = keyspace_for(call, 1 + 2 * pair);
        if (prepared)
            keyspace_commit(place.keyspace, place.db, place.hash, mset_found(&place), prepared);
        else effect_notify(call, &place, NOTIFY_NEW, "new");
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

static bool mset_any_exists(struct mset *mset) {
    struct key_place places[KEY_GROUP];
    for (uint32_t pair = 0, count; pair < mset->pairs; pair += count) {
        count = keyspace_for_group(mset->call, 1 + 2 * pair, 2, places);
        for (uint32_t i = 0; i < count; i++)
            if (call_find(mset->call, &places[i])) return true;
    }
    return false;
}

static bool mset_parse(struct call *call, struct mset *mset) {
    *mset = (struct mset){.call = call, .pairs = call->argc / 2};
    if (call->argc % 2) return true;
    call_error_arity(call);
    return false;
}

/* False after an error reply, with nothing changed. */
static bool mset_run(struct mset *mset) {
    struct entry *few[MSET_FEW];
    mset->prepared = mset->pairs > MSET_FEW ? mem_alloc(NULL, mset->pairs * sizeof *few) : few;
    bool done = mset->prepared && mset_all(mset);
    if (mset->prepared != few) mem_free(NULL, mset->prepared);
    if (!done) call_error_memory(mset->call);
    return done;
}

static void mset_command(struct call *call) {
    struct mset mset;
    if (mset_parse(call, &mset) && mset_run(&mset)) reply_ok(call->reply);
}

static void msetnx_command(struct call *call) {
    struct mset mset;
    if (!mset_parse(call, &mset)) return;
    if (mset_any_exists(&mset)) reply_integer(call->reply, 0);
    else if (mset_run(&mset)) reply_integer(call->reply, 1);
}

void strings_bind(void) {
    command_bind("get", get_command);
    command_bind("mget", mget_command);
    command_bind("getdel", getdel_command);
    command_bind("getex", getex_command);
    command_bind("getset", getset_command);
    command_bind("set", set_command);
    command_bind("setnx", setnx_command);
    command_bind("setex", setex_command);
    command_bind("psetex", psetex_command);
    command_bind("mset", mset_command);
    command_bind("msetnx", msetnx_command);
}
