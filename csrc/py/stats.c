/* Statistics and surveys as plain dicts; kevyrt/_stats.py makes the dataclasses. */
#include "py/faces/face.h"

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

/* What is of the whole server, and neither a log's nor a shard's. */
static PyObject *server_dict(const struct kevyrt_stats *stats) {
    return Py_BuildValue(
        "{s:s,s:s,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:d,s:d,s:d,s:K,s:K,s:K,s:K,s:K,s:K,s:s}", "backend",
        stats->io_backend, "backend_reason", stats->io_reason, "read_ns", stats->at_ns, "uptime_ms",
        stats->uptime_ms, "connections_received", stats->connections_received,
        "connections_rejected", stats->rejected_connections, "input_bytes", stats->input_bytes,
        "output_bytes", stats->output_bytes, "error_replies", stats->error_replies,
        "commands_per_s", stats->commands_per_s, "input_bytes_per_s", stats->input_bytes_per_s,
        "output_bytes_per_s", stats->output_bytes_per_s, "peak_bytes", stats->peak_bytes,
        "startup_bytes", stats->startup_bytes, "table_bytes", stats->table_bytes, "client_bytes",
        stats->client_bytes, "resident_bytes", stats->resident_bytes, "maxmemory_bytes",
        stats->maxmemory_bytes, "maxmemory_policy", stats->maxmemory_policy);
}

/* Takes the reference. */
static int add_part(PyObject *to, const char *name, PyObject *part) {
    int result = part ? PyDict_SetItemString(to, name, part) : -1;
    Py_XDECREF(part);
    return result;
}

static PyObject *make_object(const struct kevyrt_stats *stats) {
    PyObject *object = server_dict(stats);
    if (object && (add_part(object, "persistence", persistence_dict(&stats->persistence)) < 0 ||
                   add_part(object, "shards", shard_list(stats)) < 0))
        Py_CLEAR(object);
    return object;
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

/* ---- Surveys ------------------------------------------------------------------------------------ */

/* (longest time in ns, calls) of each bucket that has any; empty without a distribution. */
static PyObject *latency_list(const uint64_t *latency) {
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && latency && i < kevyrt_latency_buckets(); i++) {
        if (!latency[i]) continue;
        PyObject *pair = Py_BuildValue("(KK)", kevyrt_latency_end_ns(i), latency[i]);
        if (!pair || PyList_Append(list, pair) < 0) Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

static PyObject *command_dict(const void *commands, uint32_t i) {
    const struct kevyrt_command_stats *command =
        &((const struct kevyrt_command_stats *)commands)[i];
    return Py_BuildValue("{s:s,s:K,s:K,s:K,s:K,s:N}", "name", command->name, "calls",
                         command->calls, "time_ns", command->ns, "failed", command->failed,
                         "rejected", command->rejected, "latency", latency_list(command->latency));
}

static PyObject *type_dict(const void *types, uint32_t i) {
    const struct kevyrt_type_stats *type = &((const struct kevyrt_type_stats *)types)[i];
    return Py_BuildValue("{s:s,s:d,s:d,s:K}", "type", type->name, "keys", type->keys, "bytes",
                         type->bytes, "keys_seen", type->seen);
}

static PyObject *key_dict(const void *keys, uint32_t i) {
    const struct kevyrt_key_stats *key = &((const struct kevyrt_key_stats *)keys)[i];
    Py_ssize_t kept = key->len < KEVYRT_KEY_BYTES ? key->len : KEVYRT_KEY_BYTES;
    return Py_BuildValue("{s:y#,s:k,s:k,s:z,s:K,s:d,s:d}", "name", key->name, kept, "name_len",
                         (unsigned long)key->len, "db", (unsigned long)key->db, "type", key->type,
                         "bytes", key->bytes, "count", key->count, "doubt", key->doubt);
}

static PyObject *number(const void *numbers, uint32_t i) {
    return PyLong_FromUnsignedLongLong(((const uint64_t *)numbers)[i]);
}

static PyObject *list_of(PyObject *(*make)(const void *items, uint32_t i), const void *items,
                         uint32_t count) {
    PyObject *list = PyList_New(count);
    for (uint32_t i = 0; list && i < count; i++) {
        PyObject *item = make(items, i);
        if (item) PyList_SET_ITEM(list, i, item);
        else Py_CLEAR(list);
    }
    return list;
}

static PyObject *make_survey(const struct kevyrt_survey *survey, uint32_t shards) {
    static const char *const kinds[] = {"nothing", "accesses", "frequency"};
    PyObject *object =
        Py_BuildValue("{s:K,s:K,s:s,s:d}", "keys", survey->keys, "keys_seen", survey->seen,
                      "hot_kind", kinds[survey->hot_kind], "hot_total", survey->hot_total);
    if (!object) return NULL;
    if (add_part(object, "types", list_of(type_dict, survey->types, KEVYRT_TYPES)) < 0 ||
        add_part(object, "big_keys", list_of(key_dict, survey->big, survey->big_count)) < 0 ||
        add_part(object, "hot_keys", list_of(key_dict, survey->hot, survey->hot_count)) < 0 ||
        add_part(object, "busy_ns", list_of(number, survey->busy_ns, shards)) < 0 ||
        add_part(object, "commands",
                 list_of(command_dict, survey->commands, survey->command_count)) < 0)
        Py_CLEAR(object);
    return object;
}

PyObject *survey_object(struct server_object *self, PyObject *sample) {
    struct kevyrt_survey *survey;
    enum kevyrt_status status;
    unsigned long long keys = PyLong_AsUnsignedLongLong(sample);
    if (keys == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_survey_make(self->server, keys, &survey);
    Py_END_ALLOW_THREADS if (status != KEVYRT_OK) return errors_raise(self->state, status, NULL);
    PyObject *object = make_survey(survey, KEVYRT_SHARDS_MAX);
    kevyrt_survey_free(survey);
    return object;
}
