/* Calls: any command, and the fast path of GET and SET.
 *
 * A call is tried with the GIL held, which costs nothing while the baton is free; when it is not,
 * the GIL is released before the thread waits. Objects are converted before the try and made after
 * the drop (B5). With a log the result of a call is kept until it may be told (KEVYRT_UNSAFE), and the thread waits for
 * that without the GIL.
 */
#include "py/faces/face.h"

/* ---- Any command ----------------------------------------------------------------------------- */

/* Raises why a call did not happen. Returns NULL. */
PyObject *face_raise(struct face *self, enum kevyrt_status status) {
    return face_check_usable(self) < 0 ? NULL : errors_raise(self->state, status, NULL);
}

static const struct result as_execute = {RESULT_EXECUTE, NULL};

int face_check_idle(struct face *self) {
    if (!self->busy) return 0;
    PyErr_SetString(PyExc_RuntimeError, "another thread is inside this session");
    return -1;
}

/* ---- The log ----------------------------------------------------------------------------------- */

/* Signals run their handlers between two sleeps. 0: the result may be told; -1 with what a handler raised, or because the
 * server stopped and could not keep what was done. */
int face_settle(struct face *self, uint64_t ticket) {
    for (;;) {
        enum kevyrt_status status;
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_settle(self->server, ticket, kevyrt_now_ns() + SIGNAL_SLICE_NS);
        Py_END_ALLOW_THREADS if (status == KEVYRT_OK) return 0;
        if (status != KEVYRT_TIMEOUT) {
            face_raise(self, status);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) return -1;
    }
}

/* ---- Waiting for data ------------------------------------------------------------------------ */

/* A handler raised while the command was waiting, and something came before it could be cancelled: what was popped
 * must not be lost with it. It hangs on the exception. */
static void hang_on_exception(struct face *self, const struct kevyrt_reply *reply) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *object = result_of_bytes(self, as_execute, reply->at, reply->len);
    if (!object || PyObject_SetAttrString(value, "kevyrt_reply", object) < 0)
        PyErr_WriteUnraisable((PyObject *)self);
    Py_XDECREF(object);
    PyErr_Restore(type, value, traceback);
}

/* What was popped already may still have to wait for the log. */
static int end_interrupted(struct face *self, struct kevyrt_waiting *waiting,
                           struct kevyrt_reply *reply) {
    PyObject *type, *value, *traceback;
    enum kevyrt_status status;
    PyErr_Fetch(&type, &value, &traceback);
    Py_BEGIN_ALLOW_THREADS status = kevyrt_waiting_cancel(waiting, reply);
    Py_END_ALLOW_THREADS PyErr_Restore(type, value, traceback);
    if (status != KEVYRT_OK) return -1;
    hang_on_exception(self, reply);
    kevyrt_reply_free(reply);
    return -1;
}

/* Signals run their handlers between two sleeps. */
static int sleep_until_answered(struct face *self, struct kevyrt_waiting *waiting,
                                struct kevyrt_reply *reply) {
    for (;;) {
        enum kevyrt_status status;
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_waiting_wait(waiting, kevyrt_now_ns() + SIGNAL_SLICE_NS, reply);
        Py_END_ALLOW_THREADS if (status == KEVYRT_OK) return 0;
        if (status != KEVYRT_TIMEOUT && status != KEVYRT_BLOCKED) {
            face_raise(self, status);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) return end_interrupted(self, waiting, reply);
    }
}

static int await_reply(struct face *self, struct kevyrt_reply *reply) {
    struct kevyrt_waiting *waiting = reply->waiting;
    int result = sleep_until_answered(self, waiting, reply);
    Py_BEGIN_ALLOW_THREADS kevyrt_waiting_put(waiting);
    Py_END_ALLOW_THREADS return result;
}

/* What was done is not lost with what a handler raised. */
static int settle_reply(struct face *self, struct kevyrt_reply *reply) {
    if (face_settle(self, reply->ticket) == 0) return 0;
    if (kevyrt_server_running(self->server)) hang_on_exception(self, reply);
    kevyrt_reply_free(reply);
    return -1;
}

/* CLIENT PAUSE may hold a call up for long, so signals run their handlers meanwhile. KEVYRT_PAUSED: one raised. */
static enum kevyrt_status call_patiently(struct face *self, uint32_t db,
                                         const struct arguments *arguments,
                                         struct kevyrt_reply *reply) {
    for (;;) {
        enum kevyrt_status status;
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_call_known(self->server, self->session, db, arguments->command, arguments->argv,
                              arguments->count, KEVYRT_WAIT_BATONS, reply);
        Py_END_ALLOW_THREADS if (status != KEVYRT_PAUSED || PyErr_CheckSignals() < 0) return status;
    }
}

static int run_call(struct face *self, uint32_t db, const struct arguments *arguments,
                    struct kevyrt_reply *reply) {
    enum kevyrt_status status =
        kevyrt_call_known(self->server, self->session, db, arguments->command, arguments->argv,
                          arguments->count, KEVYRT_TRY, reply);
    if (status == KEVYRT_WOULD_WAIT) status = call_patiently(self, db, arguments, reply);
    if (status == KEVYRT_OK) return 0;
    if (status == KEVYRT_PAUSED) return -1;
    if (status == KEVYRT_UNSAFE) return settle_reply(self, reply);
    if (status == KEVYRT_BLOCKED) return await_reply(self, reply);
    face_raise(self, status);
    return -1;
}

static int call_in(struct face *self, uint32_t db, const struct arguments *arguments,
                   struct kevyrt_reply *reply) {
    if (!self->server) return face_check_usable(self);
    if (!self->session) return run_call(self, db, arguments, reply);
    if (face_check_usable(self) < 0 || face_check_idle(self) < 0) return -1;
    self->busy = true;
    int result = run_call(self, db, arguments, reply);
    self->busy = false;
    return result;
}

static PyObject *run_in(struct face *self, uint32_t db, const struct arguments *arguments,
                        struct result result) {
    struct kevyrt_reply reply;
    if (call_in(self, db, arguments, &reply) < 0) return NULL;
    PyObject *object = result_of_bytes(self, result, reply.at, reply.len);
    kevyrt_reply_free(&reply);
    return object;
}

static PyObject *run_now(struct face *self, const struct arguments *arguments,
                         struct result result) {
    return run_in(self, self->db, arguments, result);
}

const struct face_kind face_calls = {run_now};

/* ---- execute ----------------------------------------------------------------------------------- */

int face_parse_db(PyObject *value, uint32_t *db) {
    int overflow;
    long number = PyLong_AsLongAndOverflow(value, &overflow);
    if (number == -1 && PyErr_Occurred()) return -1;
    if (overflow || number < 0 || number > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "db is out of range");
        return -1;
    }
    *db = (uint32_t)number;
    return 0;
}

/* The only keyword of a server's execute. */
static int parse_db_keyword(PyObject *const *values, PyObject *names, uint32_t *db) {
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (PyUnicode_CompareWithASCIIString(name, "db") != 0) {
            PyErr_Format(PyExc_TypeError, "execute() got an unexpected keyword argument '%U'",
                         name);
            return -1;
        }
        if (face_parse_db(values[i], db) < 0) return -1;
    }
    return 0;
}

PyObject *server_execute(struct face *self, PyObject *const *values, Py_ssize_t count,
                         PyObject *names) {
    struct arguments arguments;
    PyObject *object = NULL;
    uint32_t db = self->db;
    if (!names || count == 0) return face_execute(self, values, count);
    if (parse_db_keyword(values + count, names, &db) < 0) return NULL;
    arguments_init(&arguments);
    if (arguments_add_all(&arguments, values, count) == 0)
        object = run_in(self, db, &arguments, as_execute);
    arguments_deinit(&arguments);
    return object;
}
