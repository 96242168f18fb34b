#include "server/persistence/restoring/restore_log.h"

#include <errno.h>

#include "plat/clock.h"
#include "plat/errors.h"
#include "server/server.h"
#include "shard/caller.h"
#include "shard/shard.h"

/* How often it is looked whether a rewrite is over. */
#define TURN_NS UINT64_C(5000000)

static int copy(void *context, const void *at, size_t len) {
    struct restore_log *log = context;
    return aof_rewrite_write(&log->replace, at, len);
}

static enum kevyrt_status fail(int number, struct kevyrt_error *error) {
    return server_fail(error, KEVYRT_SYSTEM, number, "cannot write the append-only log: %s",
                       system_error_text(number));
}

/* While somebody rewrites the log, one waits. */
static enum kevyrt_status hold(struct restore_log *log, const atomic_u32 *cancelled,
                               struct kevyrt_error *error) {
    bool steps = config_number(&log->server->config, SETTING_AOF_REWRITE_INCREMENTAL_FSYNC);
    int result;
    atomic_store_relaxed(&log->server->restoring.holds_log, 1);
    while ((result = aof_replace_begin(log->aof, &log->replace, true, steps)) == -EBUSY) {
        if (atomic_load_relaxed(cancelled)) return KEVYRT_CANCELLED;
        if (!kevyrt_server_running(log->server)) return KEVYRT_STOPPED;
        clock_sleep_ns(TURN_NS);
    }
    log->begun = result == 0;
    return result < 0 ? fail(result, error) : KEVYRT_OK;
}

enum kevyrt_status restore_log_begin(struct restore_log *log, struct kevyrt_server *server,
                                     struct dump_source *source, struct kevyrt_error *error) {
    *log = (struct restore_log){.server = server, .locked = true};
    pthread_mutex_lock(&server->restoring.log_lock);
    if (!caller_take_all(&server->fabric)) return KEVYRT_STOPPED;
    log->aof = aof_owner_log(server);
    caller_drop_all(&server->fabric);
    if (!log->aof) return KEVYRT_OK;
    enum kevyrt_status status = hold(log, source->cancelled, error);
    source->copy = copy;
    source->copy_context = log;
    if (status != KEVYRT_OK) return status;
    int result = dump_source_begin(source);
    return result < 0 ? fail(result, error) : KEVYRT_OK;
}

enum kevyrt_status restore_log_prepare(struct restore_log *log, struct kevyrt_error *error) {
    int result = log->begun ? aof_replace_prepare(&log->replace) : 0;
    return result < 0 ? fail(result, error) : KEVYRT_OK;
}

bool restore_log_is_same(const struct restore_log *log) {
    return aof_owner_log(log->server) == log->aof;
}

/* Whoever sees what is restored waits until the log has it. */
void restore_log_commit(struct restore_log *log) {
    struct fabric *fabric = &log->server->fabric;
    if (!log->begun) return;
    aof_replace_commit(&log->replace);
    log->committed = true;
    uint64_t ticket = fabric->journal.base + aof_ticket(log->aof);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        KRT_ASSERT(aof_tail_is_empty(&fabric->shards[i]->data.aof));
        fabric->shards[i]->data.aof.ticket = ticket;
    }
}

static enum kevyrt_status finish(struct restore_log *log, struct kevyrt_error *error) {
    int result = aof_replace_finish(&log->replace);
    if (result == 0) return KEVYRT_OK;
    return server_fail(error, KEVYRT_SYSTEM, result,
                       "the data is restored, but not in the append-only log, which needs a "
                       "rewrite: %s",
                       system_error_text(result));
}

enum kevyrt_status restore_log_end(struct restore_log *log, struct kevyrt_error *error) {
    enum kevyrt_status status = KEVYRT_OK;
    if (log->committed) status = finish(log, error);
    else if (log->begun) aof_replace_abandon(&log->replace);
    atomic_store_relaxed(&log->server->restoring.holds_log, 0);
    if (log->locked) pthread_mutex_unlock(&log->server->restoring.log_lock);
    if (log->aof) persistence_ring(log->server); /* a rewrite may wait */
    return status;
}
