/* Keys of any type: DEL, EXISTS, deadlines, whole databases; and PING and ECHO, which need no key. */
#include "cmd/families.h"

/* ---- DEL, EXISTS -------------------------------------------------------------------------------- */

static bool del_one(struct call *call, const struct key_place *place) {
    struct entry *entry = call_find(call, place);
    if (!entry) return false;
    keyspace_delete(place->keyspace, place->db, place->hash, entry);
    effect_change(call, place, NOTIFY_GENERIC, "del");
    return true;
}

static void del_command(struct call *call) {
    struct key_place places[KEY_GROUP];
    int64_t deleted = 0;
    for (uint32_t i = 1, count; i < call->argc; i += count) {
        count = keyspace_for_group(call, i, 1, places);
        for (uint32_t k = 0; k < count; k++) deleted += del_one(call, &places[k]);
    }
    if (deleted) effect_log_verbatim(call);
    reply_integer(call->reply, deleted);
}

static void exists_command(struct call *call) {
    struct key_place places[KEY_GROUP];
    int64_t found = 0;
    for (uint32_t i = 1, count; i < call->argc; i += count) {
        count = keyspace_for_group(call, i, 1, places);
        for (uint32_t k = 0; k < count; k++) found += call_read(call, &places[k]) != NULL;
    }
    reply_integer(call->reply, found);
}

/* ---- EXPIRE, TTL -------------------------------------------------------------------------------- */

enum expire_flags { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

static bool expire_parse_flag(struct bytes word, unsigned *flags) {
    static const struct {
        const char *name;
        unsigned flag;
    } known[] = {{"nx", EXPIRE_NX}, {"xx", EXPIRE_XX}, {"gt", EXPIRE_GT}, {"lt", EXPIRE_LT}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!bytes_is(word, known[i].name)) continue;
        *flags |= known[i].flag;
        return true;
    }
    return false;
}

static bool expire_parse(struct call *call, unsigned *flags) {
    for (uint32_t i = 3; i < call->argc; i++) {
        if (expire_parse_flag(call->argv[i], flags)) continue;
        call_error_format(call, "ERR Unsupported option %.*s", (int)call->argv[i].len,
                          call->argv[i].at);
        return false;
    }
    if (*flags & EXPIRE_NX && *flags & (EXPIRE_XX | EXPIRE_GT | EXPIRE_LT)) {
        call_error(call, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (*flags & EXPIRE_GT && *flags & EXPIRE_LT) {
        call_error(call, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* `unit_ms` is 1 or 1000; the deadline is from now. */
static bool expire_deadline(struct call *call, int64_t unit_ms, int64_t *deadline) {
    int64_t value;
    if (!call_integer(call, 2, &value)) return false;
    bool overflow = value < INT64_MIN / unit_ms || value > INT64_MAX / unit_ms ||
                    __builtin_add_overflow(value * unit_ms, call_now(call), deadline);
    if (overflow)
        call_error_format(call, "ERR invalid expire time in '%s' command",
                          call->command->full_name);
    return !overflow;
}

/* No deadline counts as an infinite one. */
static bool expire_allowed(unsigned flags, int64_t current, int64_t wanted) {
    if (flags & EXPIRE_NX && current) return false;
    if (flags & EXPIRE_XX && !current) return false;
    if (flags & EXPIRE_GT && (!current || wanted <= current)) return false;
    if (flags & EXPIRE_LT && current && wanted >= current) return false;
    return true;
}

static bool expire_set(struct call *call, const struct key_place *place, struct entry *entry,
                       int64_t deadline) {
    char number[24];
    if (!keyspace_set_deadline(place->keyspace, place->db, place->hash, entry, deadline)) {
        call_error_memory(call);
        return false;
    }
    struct bytes log[] = {BYTES_LITERAL("PEXPIREAT"), place->key,
                          bytes_of(number, bytes_from_int64(number, deadline))};
    effect_log(call, place->db, log, 3);
    effect_change(call, place, NOTIFY_GENERIC, "expire");
    return true;
}

static void expire_generic(struct call *call, int64_t unit_ms) {
    unsigned flags = 0;
    int64_t deadline;
    if (!expire_parse(call, &flags) || !expire_deadline(call, unit_ms, &deadline)) return;
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = call_find(call, &place);
    if (!entry || !expire_allowed(flags, entry_deadline(entry), deadline)) {
        reply_integer(call->reply, 0);
        return;
    }
    if (deadline <= call_now(call)) call_delete(call, &place, entry, NOTIFY_GENERIC, "del");
    else if (!expire_set(call, &place, entry, deadline)) return;
    reply_integer(call->reply, 1);
}

static void expire_command(struct call *call) {
    expire_generic(call, 1000);
}

static void pexpire_command(struct call *call) {
    expire_generic(call, 1);
}

/* Remaining milliseconds; -1 without a deadline, -2 without the key. */
static int64_t remaining_ms(struct call *call) {
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = call_read(call, &place);
    if (!entry) return -2;
    int64_t deadline = entry_deadline(entry);
    return deadline ? deadline - call_now(call) : -1;
}

static void ttl_command(struct call *call) {
    int64_t left = remaining_ms(call);
    reply_integer(call->reply, left < 0 ? left : (left + 500) / 1000);
}

static void pttl_command(struct call *call) {
    reply_integer(call->reply, remaining_ms(call));
}

/* ---- Whole databases: with all batons held ------------------------------------------------------ */

static void dbsize_command(struct call *call) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < call->domain->shard_count; i++)
        count += keyspace_count(call->domain->keyspaces[i], call->db);
    reply_integer(call->reply, (int64_t)count);
}

/* Detaches a database everywhere; what it held is freed by another thread. */
static uint64_t flush_database(struct call *call, uint32_t db) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < call->domain->shard_count; i++) {
        count += keyspace_count(call->domain->keyspaces[i], db);
        struct keyspace_garbage *garbage = keyspace_detach(call->domain->keyspaces[i], db);
        if (garbage) call->domain->discard(call->domain->discard_context, garbage);
    }
    return count;
}

static bool flush_parse(struct call *call) {
    if (call->argc == 1) return true;
    if (call->argc == 2 && (bytes_is(call->argv[1], "async") || bytes_is(call->argv[1], "sync")))
        return true;
    call_error_syntax(call);
    return false;
}

static void flushdb_command(struct call *call) {
    if (!flush_parse(call)) return;
    effect_flush(call, call->db, flush_database(call, call->db));
    effect_log_verbatim(call);
    reply_ok(call->reply);
}

static void flushall_command(struct call *call) {
    uint64_t count = 0;
    if (!flush_parse(call)) return;
    for (uint32_t db = 0; db < call->domain->database_count; db++) count += flush_database(call, db);
    effect_flush(call, UINT32_MAX, count);
    effect_log_verbatim(call);
    reply_ok(call->reply);
}

/* ---- Without a key ------------------------------------------------------------------------------ */

static void ping_command(struct call *call) {
    if (call->argc > 2) call_error_arity(call);
    else if (call->argc == 2) reply_bulk(call->reply, call->argv[1]);
    else reply_simple(call->reply, "PONG");
}

static void echo_command(struct call *call) {
    reply_bulk(call->reply, call->argv[1]);
}

void keys_bind(void) {
    command_bind("del", del_command);
    command_bind("exists", exists_command);
    command_bind("expire", expire_command);
    command_bind("pexpire", pexpire_command);
    command_bind("ttl", ttl_command);
    command_bind("pttl", pttl_command);
    command_bind_all_shards("dbsize", dbsize_command);
    command_bind_all_shards("flushdb", flushdb_command);
    command_bind_all_shards("flushall", flushall_command);
    command_bind("ping", ping_command);
    command_bind("echo", echo_command);
}
