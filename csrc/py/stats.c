/* Statistics as plain dicts; kevyrt/_stats.py makes the dataclasses. */
#include "py/face.h"

static PyObject *shard_dict(const struct kevyrt_shard_stats *stats) {
    return Py_BuildValue(
        "{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "commands",
        stats->commands, "keys", stats->keys, "keyspace_hits", stats->keyspace_hits,
        "keyspace_misses", stats->keyspace_misses, "expired_keys", stats->expired_keys,
        "evicted_keys", stats->evicted_keys, "connections", stats->connections, "used_bytes",
        stats->used_bytes, "held_bytes", stats->held_bytes, "baton_waits", stats->baton_waits,
        "baton_wait_ns", stats->baton_wait_ns, "loops", stats->loops, "loop_gap_max_ns",
        stats->loop_gap_max_ns, "loop_gaps_over_1ms", stats->loop_gaps_over_1ms, "borrowed_runs",
        stats->borrowed_runs, "forwarded_requests", stats->forwarded_requests);
}

static PyObject *shard_list(const struct kevyrt_stats *stats) {
    PyObject *list = PyList_New(stats->shard_count);
    for (uint32_t i = 0; list && i < stats->shard_count; i++) {
        PyObject *shard = shard_dict(&stats->shards[i]);
        if (shard) PyList_SET_ITEM(list, i, shard);
        else Py_CLEAR(list);
    }
    return list;
}

static PyObject *persistence_dict(const struct kevyrt_persistence_stats *stats) {
    return Py_BuildValue(
        "{s:N,s:N,s:N,s:N,s:N,s:N,s:N,s:N,s:L,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}",
        "loading", PyBool_FromLong(stats->loading), "restoring", PyBool_FromLong(stats->restoring),
        "save_running", PyBool_FromLong(stats->save_running), "save_ok",
        PyBool_FromLong(!stats->save_failed), "rewrite_running",
        PyBool_FromLong(stats->rewrite_running), "rewrite_ok",
        PyBool_FromLong(!stats->rewrite_failed), "aof_enabled", PyBool_FromLong(stats->log_on),
        "aof_ok", PyBool_FromLong(!stats->log_failed), "last_save_time", (long long)stats->saved_s,
        "changes_since_save", stats->changes, "saves", stats->saves, "rewrites", stats->rewrites,
        "aof_queued_bytes", stats->queued_bytes, "aof_unsynced_bytes", stats->unsynced_bytes,
        "aof_bytes", stats->log_bytes, "aof_base_bytes", stats->base_bytes, "aof_syncs",
        stats->syncs, "aof_sync_last_ns", stats->sync_last_ns, "aof_sync_max_ns",
        stats->sync_max_ns, "aof_syncs_delayed", stats->syncs_delayed);
}

static PyObject *make_object(const struct kevyrt_stats *stats) {
    PyObject *shards = shard_list(stats);
    if (!shards) return NULL;
    PyObject *persistence = persistence_dict(&stats->persistence);
    if (!persistence) {
        Py_DECREF(shards);
        return NULL;
    }
    return Py_BuildValue("{s:s,s:s,s:K,s:K,s:K,s:N,s:N}", "backend", stats->io_backend,
                         "backend_reason", stats->io_reason, "uptime_ms", stats->uptime_ms,
                         "connections_received", stats->connections_received,
                         "connections_rejected", stats->rejected_connections, "persistence",
                         persistence, "shards", shards);
}

PyObject *stats_object(struct server_object *self) {
    enum kevyrt_status status;
    struct kevyrt_stats *stats = PyMem_Malloc(sizeof *stats);
    if (!stats) return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS status = kevyrt_stats(self->server, stats);
    Py_END_ALLOW_THREADS PyObject *object =
        status == KEVYRT_OK ? make_object(stats) : errors_raise(self->state, status, NULL);
    PyMem_Free(stats);
    return object;
}
