/* Statistics as plain dicts; kevyrt/_stats.py makes the dataclasses. */
#include "py/module.h"

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

static PyObject *make_object(const struct kevyrt_stats *stats) {
    PyObject *shards = shard_list(stats);
    if (!shards) return NULL;
    return Py_BuildValue("{s:s,s:s,s:K,s:K,s:K,s:N}", "backend", stats->io_backend,
                         "backend_reason", stats->io_reason, "uptime_ms", stats->uptime_ms,
                         "connections_received", stats->connections_received,
                         "connections_rejected", stats->rejected_connections, "shards", shards);
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
