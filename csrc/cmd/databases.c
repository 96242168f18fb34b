/* Whole databases, with the batons of all shards held: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB, RANDOMKEY. */
#include "cmd/expire.h"
#include "cmd/families.h"

static uint64_t count_keys(const struct domain *domain, uint32_t db) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < domain->shard_count; i++)
        count += keyspace_count(domain->keyspaces[i], db);
    return count;
}

static void dbsize_command(struct call *call) {
    reply_integer(call->reply, (int64_t)count_keys(call->domain, call->db));
}

/* ---- FLUSHDB, FLUSHALL -------------------------------------------------------------------------- */

/* Detaches a database everywhere; what it held is freed by another thread, SYNC or not: the memory is out
 * of use at once, and waiting for it would hold up everybody. */
static void flush_database(struct call *call, uint32_t db) {
    for (uint32_t i = 0; i < call->domain->shard_count; i++)
        garbage_give(call->domain->taker, keyspace_detach(call->domain->keyspaces[i], db));
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
    effect_flush(call, call->db, count_keys(call->domain, call->db));
    flush_database(call, call->db);
    effect_log_verbatim(call);
    reply_ok(call->reply);
}

static void flushall_command(struct call *call) {
    uint64_t count = 0;
    if (!flush_parse(call)) return;
    for (uint32_t db = 0; db < call->domain->database_count; db++)
        count += count_keys(call->domain, db);
    effect_flush(call, UINT32_MAX, count);
    for (uint32_t db = 0; db < call->domain->database_count; db++) flush_database(call, db);
    effect_log_verbatim(call);
    reply_ok(call->reply);
}

/* ---- SWAPDB ------------------------------------------------------------------------------------- */

static void swap_databases(struct call *call, uint32_t first, uint32_t second) {
    effect_swap_begin(call, first, second);
    for (uint32_t i = 0; i < call->domain->shard_count; i++)
        keyspace_swap(call->domain->keyspaces[i], first, second);
    effect_log_verbatim(call);
    effect_swap(call, first, second);
}

static void swapdb_command(struct call *call) {
    int64_t first, second, count = call->domain->database_count;
    if (!call_int(call, 1, "ERR invalid first DB index", &first) ||
        !call_int(call, 2, "ERR invalid second DB index", &second))
        return;
    if (first < 0 || first >= count || second < 0 || second >= count) {
        call_error(call, "ERR DB index is out of range");
        return;
    }
    swap_databases(call, (uint32_t)first, (uint32_t)second);
    reply_ok(call->reply);
}

/* ---- RANDOMKEY ---------------------------------------------------------------------------------- */

/* Every key of the database with equal chances: a shard by its share of the keys, then one of its keys.
 * NULL: there is none. */
static struct entry *random_entry(struct call *call) {
    uint64_t count = count_keys(call->domain, call->db);
    if (count == 0) return NULL;
    struct keyspace **keyspace = call->domain->keyspaces;
    uint64_t chosen = random_below(&(*keyspace)->random, count);
    for (uint64_t own; chosen >= (own = keyspace_count(*keyspace, call->db)); keyspace++)
        chosen -= own;
    return keyspace_random(*keyspace, call->db);
}

static void randomkey_command(struct call *call) {
    for (struct entry *entry; (entry = random_entry(call)) != NULL;) {
        if (!entry_is_expired(entry, call_due(call))) {
            reply_bulk(call->reply, entry_key(entry));
            return;
        }
        if (!expire_entry(call, call->db, entry)) {
            call_error_memory(call);
            return;
        }
    }
    reply_null(call->reply);
}

void databases_bind(void) {
    command_bind_all_shards("dbsize", dbsize_command);
    command_bind_all_shards("flushdb", flushdb_command);
    command_bind_all_shards("flushall", flushall_command);
    command_bind_all_shards("swapdb", swapdb_command);
    command_bind_all_shards("randomkey", randomkey_command);
}
