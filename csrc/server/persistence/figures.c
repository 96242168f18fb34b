/* What kevyrt_stats tells of log and saves. */
#include "server/persistence/persistence.h"
#include "server/server.h"

static void of_saves(struct kevyrt_server *server, struct kevyrt_persistence_stats *out) {
    struct save_status save;
    struct rewrite_status rewrite;
    save_status_get(server, &save);
    rewrite_status_get(server, &rewrite);
    out->save_running = save.running;
    out->save_failed = save.last_failed;
    out->saved_s = save.saved_s;
    out->saves = save.saves;
    out->changes = save_changes_now(&server->fabric) - save.saved_changes;
    out->rewrite_running = rewrite.running;
    out->rewrite_failed = rewrite.last_failed;
    out->rewrites = rewrite.rewrites;
}

static void of_log(struct aof *aof, struct kevyrt_persistence_stats *out) {
    struct aof_status status;
    aof_status_get(aof, &status);
    out->log_on = true;
    out->log_failed = status.failed;
    out->queued_bytes = status.queued_bytes;
    out->unsynced_bytes = status.unsynced_bytes;
    out->log_bytes = status.current_bytes;
    out->base_bytes = status.base_bytes;
    out->syncs = status.syncs;
    out->sync_last_ns = status.last_sync_ns;
    out->sync_max_ns = status.max_sync_ns;
    out->syncs_delayed = status.delayed_syncs;
}

void persistence_stats(struct kevyrt_server *server, struct kevyrt_persistence_stats *out) {
    struct aof *aof = aof_owner_log(server);
    *out = (struct kevyrt_persistence_stats){
        .loading = atomic_load_relaxed(&server->loading.active),
        .restoring = atomic_load_relaxed(&server->restoring.running),
    };
    of_saves(server, out);
    if (aof) of_log(aof, out);
}
