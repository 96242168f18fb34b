/* kevyrt.Session: an in-process client with a database, a name, and transactions of its own. */
#include "py/faces/face.h"

static int session_init(struct face *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"server", NULL};
    PyObject *server;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O:Session", names, &server)) return -1;
    if (face_init(self, &face_calls, server) < 0) return -1;
    bool runs = kevyrt_server_running(self->server);
    if (runs) self->session = kevyrt_session_new(self->server);
    if (self->session) return 0;
    self->server = NULL; /* it is closed */
    errors_raise(self->state, runs ? KEVYRT_NO_MEMORY : KEVYRT_STOPPED, NULL);
    return -1;
}

/* What the session watches is taken away under batons, for which the thread may wait: without the GIL. */
static void put_session(struct face *self) {
    struct kevyrt_session *session = self->session;
    self->session = NULL;
    self->server = NULL;
    if (!session) return;
    Py_BEGIN_ALLOW_THREADS kevyrt_session_put(session);
    Py_END_ALLOW_THREADS
}

/* A server may hold its own session. The server's object outlives the C session, which is a
 * reference too. */
static int session_clear(struct face *self) {
    put_session(self);
    Py_CLEAR(self->owner);
    return 0;
}

static void session_dealloc(struct face *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    session_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *session_close(struct face *self, PyObject *unused) {
    (void)unused;
    if (self->server && (face_check_usable(self) < 0 || face_check_idle(self) < 0)) return NULL;
    put_session(self);
    Py_RETURN_NONE;
}

static PyObject *session_enter(struct face *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *session_exit(struct face *self, PyObject *const *values, Py_ssize_t count) {
    (void)values, (void)count;
    return session_close(self, NULL);
}

static PyMethodDef session_methods[] = {
    {"execute", (PyCFunction)(void *)face_execute, METH_FASTCALL, face_execute_doc},
    {"close", (PyCFunction)(void *)session_close, METH_NOARGS,
     "close($self, /)\n--\n\nEnds the session. Does nothing if it is closed."},
    {"__enter__", (PyCFunction)(void *)session_enter, METH_NOARGS, "The session."},
    {"__exit__", (PyCFunction)(void *)session_exit, METH_FASTCALL, "Closes the session."},
    {"_run", (PyCFunction)(void *)face_run, METH_FASTCALL, face_run_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot session_slots[] = {
    {Py_tp_init, session_init},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_traverse, face_traverse},
    {Py_tp_clear, session_clear},
    {Py_tp_methods, session_methods},
    {Py_tp_doc, "The C half of kevyrt.Session."},
    {0, NULL},
};

PyType_Spec session_type_spec = {
    .name = "kevyrt._core.Session",
    .basicsize = sizeof(struct face),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = session_slots,
};
