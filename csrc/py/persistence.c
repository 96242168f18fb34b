/* Data that goes out of a server and comes into one: save, snapshot, restore.
 *
 * Each begins a job and waits for it without the GIL, in slices, between which the handlers of signals run. If one raises, the
 * job is cancelled: it leaves nothing behind.
 */
#include "py/faces/face.h"

/* ---- Jobs ------------------------------------------------------------------------------------ */

/* 0, or -1 with an exception. */
static int begun(struct server_object *self, enum kevyrt_status status,
                 const struct kevyrt_error *error) {
    if (status == KEVYRT_OK) return 0;
    if (face_check_usable(as_face(self)) == 0) errors_raise(self->state, status, error);
    return -1;
}

/* Until it has ended, or to the absolute deadline: TimeoutError. */
static int await_job(struct server_object *self, struct kevyrt_job *job, uint64_t deadline) {
    struct kevyrt_error error = {0};
    for (;;) {
        enum kevyrt_status status;
        uint64_t slice = kevyrt_now_ns() + SIGNAL_SLICE_NS;
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_job_wait(job, slice < deadline ? slice : deadline, &error);
        Py_END_ALLOW_THREADS if (status != KEVYRT_TIMEOUT &&
                                 status != KEVYRT_BLOCKED) return begun(self, status, &error);
        if (PyErr_CheckSignals() < 0) return -1;
        if (kevyrt_now_ns() >= deadline) return begun(self, KEVYRT_TIMEOUT, NULL);
    }
}

static void put_job(struct kevyrt_job *job) {
    Py_BEGIN_ALLOW_THREADS kevyrt_job_put(job);
    Py_END_ALLOW_THREADS
}

/* ---- Snapshots --------------------------------------------------------------------------------- */

struct snapshot_object {
    PyObject_HEAD struct kevyrt_snapshot *snapshot; /* counted */
    struct module_state *state;                     /* the type holds the module */
};

static struct snapshot_object *as_snapshot(PyObject *object) {
    return (struct snapshot_object *)object;
}

static void snapshot_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    kevyrt_snapshot_put(as_snapshot(object)->snapshot);
    type->tp_free(object);
    Py_DECREF(type);
}

static Py_ssize_t snapshot_length(PyObject *object) {
    return (Py_ssize_t)kevyrt_snapshot_len(as_snapshot(object)->snapshot);
}

static PyObject *snapshot_to_bytes(PyObject *object, PyObject *unused) {
    (void)unused;
    const struct kevyrt_snapshot *snapshot = as_snapshot(object)->snapshot;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, snapshot_length(object));
    if (!bytes) return NULL;
    char *to = PyBytes_AS_STRING(bytes);
    Py_BEGIN_ALLOW_THREADS const char *at;
    for (size_t done = 0, len; (len = kevyrt_snapshot_read(snapshot, done, &at)) > 0; done += len)
        memcpy(to + done, at, len);
    Py_END_ALLOW_THREADS return bytes;
}

static PyObject *snapshot_save(PyObject *object, PyObject *path) {
    struct snapshot_object *self = as_snapshot(object);
    struct kevyrt_error error = {0};
    enum kevyrt_status status;
    PyObject *name;
    if (!PyUnicode_FSConverter(path, &name)) return NULL;
    Py_BEGIN_ALLOW_THREADS status =
        kevyrt_snapshot_save(self->snapshot, PyBytes_AS_STRING(name), &error);
    Py_END_ALLOW_THREADS Py_DECREF(name);
    if (status != KEVYRT_OK) return errors_raise(self->state, status, &error);
    Py_RETURN_NONE;
}

static PyObject *snapshot_repr(PyObject *object) {
    return PyUnicode_FromFormat("<kevyrt.Snapshot of %zd bytes>", snapshot_length(object));
}

static PyMethodDef snapshot_methods[] = {
    {"to_bytes", snapshot_to_bytes, METH_NOARGS,
     "to_bytes($self, /)\n--\n\n"
     "The snapshot as bytes of an RDB file: redis-server loads them from a file, and so does\n"
     "`Server(load=...)`. Raises MemoryError.\n\n"
     ">>> server.snapshot().to_bytes()[:5]\nb'REDIS'"},
    {"save", snapshot_save, METH_O,
     "save($self, path, /)\n--\n\n"
     "Writes the snapshot to a file, which is there whole or not at all: it is written beside\n"
     "its place, synced, and renamed. Raises OSError with the name of the file.\n\n"
     ">>> server.snapshot().save(\"monday.rdb\")"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot snapshot_slots[] = {
    {Py_tp_dealloc, snapshot_dealloc},
    {Py_tp_methods, snapshot_methods},
    {Py_tp_repr, snapshot_repr},
    {Py_sq_length, snapshot_length},
    {Py_tp_doc, "All data of a server as it was at one instant; Server.snapshot() takes one.\n\n"
                "It never changes, and stays when the server stops. Its memory is not counted as "
                "the server's.\n"
                "`len()` is the number of bytes that `to_bytes()` would give."},
    {0, NULL},
};

PyType_Spec snapshot_type_spec = {
    .name = "kevyrt.Snapshot",
    .basicsize = sizeof(struct snapshot_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = snapshot_slots,
};

/* The job has ended well. */
static PyObject *snapshot_of(struct server_object *self, struct kevyrt_job *job) {
    PyTypeObject *type = self->state->snapshot_type;
    PyObject *object = type->tp_alloc(type, 0);
    if (!object) return NULL;
    as_snapshot(object)->state = self->state;
    as_snapshot(object)->snapshot = kevyrt_job_snapshot(job);
    return object;
}

/* ---- Methods of the server --------------------------------------------------------------------- */

PyObject *server_snapshot(struct server_object *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_error error = {0};
    struct kevyrt_job *job;
    enum kevyrt_status status;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_snapshot_take(self->server, &job, &error);
    Py_END_ALLOW_THREADS if (begun(self, status, &error) < 0) return NULL;
    PyObject *object = NULL;
    if (await_job(self, job, UINT64_MAX) == 0) object = snapshot_of(self, job);
    put_job(job);
    return object;
}

static PyObject *save(struct server_object *self, const char *path) {
    struct kevyrt_error error = {0};
    struct kevyrt_job *job;
    enum kevyrt_status status;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_save(self->server, path, &job, &error);
    Py_END_ALLOW_THREADS if (begun(self, status, &error) < 0) return NULL;
    int result = await_job(self, job, UINT64_MAX);
    put_job(job);
    if (result < 0) return NULL;
    Py_RETURN_NONE;
}

PyObject *server_save(struct server_object *self, PyObject *path) {
    PyObject *name;
    if (face_check_usable(as_face(self)) < 0 || !PyUnicode_FSConverter(path, &name)) return NULL;
    PyObject *result = save(self, PyBytes_AS_STRING(name));
    Py_DECREF(name);
    return result;
}

/* Snapshot, bytes (any buffer), or path. *owned is what the source borrows from. */
static int parse_source(struct server_object *self, PyObject *object, struct kevyrt_source *out,
                        PyObject **owned) {
    *out = (struct kevyrt_source){0};
    if (Py_TYPE(object) == self->state->snapshot_type) {
        out->snapshot = as_snapshot(object)->snapshot;
        *owned = Py_NewRef(object);
        return 0;
    }
    if (PyObject_CheckBuffer(object)) {
        *owned = PyBytes_FromObject(object);
        if (!*owned) return -1;
        out->at = PyBytes_AS_STRING(*owned);
        out->len = (size_t)PyBytes_GET_SIZE(*owned);
        return 0;
    }
    if (!PyUnicode_FSConverter(object, owned)) return -1;
    out->path = PyBytes_AS_STRING(*owned);
    return 0;
}

/* Before the start: what it loads. */
PyObject *server_load(struct server_object *self, PyObject *object) {
    struct kevyrt_source source;
    PyObject *owned;
    if (face_check_usable(as_face(self)) < 0 || parse_source(self, object, &source, &owned) < 0)
        return NULL;
    kevyrt_server_load(self->server, &source);
    Py_XSETREF(self->load, owned);
    Py_RETURN_NONE;
}

PyObject *server_restore(struct server_object *self, PyObject *object) {
    struct kevyrt_error error = {0};
    struct kevyrt_source source;
    struct kevyrt_job *job;
    enum kevyrt_status status;
    PyObject *owned;
    if (face_check_usable(as_face(self)) < 0 || parse_source(self, object, &source, &owned) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_restore(self->server, &source, &job, &error);
    Py_END_ALLOW_THREADS int result = begun(self, status, &error);
    if (result == 0) {
        result = await_job(self, job, UINT64_MAX);
        put_job(job);
    }
    Py_DECREF(owned);
    if (result < 0) return NULL;
    Py_RETURN_NONE;
}

/* ---- The log ----------------------------------------------------------------------------------- */

PyObject *server_rewrite(struct server_object *self, PyObject *arguments) {
    struct kevyrt_error error = {0};
    struct kevyrt_job *job;
    enum kevyrt_status status;
    uint64_t deadline;
    PyObject *timeout;
    int may_wait;
    if (!PyArg_ParseTuple(arguments, "pO:_rewrite_aof", &may_wait, &timeout)) return NULL;
    if (server_parse_deadline(timeout, &deadline) < 0 || face_check_usable(as_face(self)) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_rewrite(self->server, may_wait, &job, &error);
    Py_END_ALLOW_THREADS if (begun(self, status, &error) < 0) return NULL;
    /* One that could not begin has ended, which is told at once. */
    int result = await_job(self, job, may_wait ? deadline : 0);
    if (result < 0 && !may_wait && PyErr_ExceptionMatches(PyExc_TimeoutError)) {
        PyErr_Clear();
        result = 0;
    }
    put_job(job);
    if (result < 0) return NULL;
    Py_RETURN_NONE;
}
