/* kevyrt.Session: an in-process client with a database, a name, and transactions of its own. */
#include "py/module.h"

struct session_object {
    PyObject_HEAD struct server_object *server;
    struct kevyrt_session *session;
    bool busy; /* one call at a time: the GIL is released while a call waits */
};

PyObject *session_new(struct server_object *server) {
    PyTypeObject *type = server->state->session_type;
    struct session_object *self = (void *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->server = (struct server_object *)Py_NewRef(server);
    self->session = kevyrt_session_new(server->server);
    if (self->session) return (PyObject *)self;
    Py_DECREF(self);
    return PyErr_NoMemory();
}

static int session_traverse(struct session_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->server);
    return 0;
}

/* What the session watches is taken away under batons, for which the thread may wait: without the GIL. */
static void put_session(struct session_object *self) {
    struct kevyrt_session *session = self->session;
    self->session = NULL;
    if (!session) return;
    Py_BEGIN_ALLOW_THREADS kevyrt_session_put(session);
    Py_END_ALLOW_THREADS
}

/* A server may hold its own session. The server's object outlives the C session, which is a
 * reference too. */
static int session_clear(struct session_object *self) {
    put_session(self);
    Py_CLEAR(self->server);
    return 0;
}

static void session_dealloc(struct session_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    session_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Raises why the session cannot be used now. Asked when the arguments are converted, which may run
 * Python code. */
static int session_check(struct session_object *self) {
    if (self->server && server_check_usable(self->server) < 0) return -1;
    if (self->session && !self->busy) return 0;
    PyErr_SetString(PyExc_RuntimeError, self->session ? "another thread is inside this session"
                                                      : "the session is closed");
    return -1;
}

static PyObject *session_run(struct session_object *self, const struct arguments *arguments) {
    struct kevyrt_reply reply;
    if (session_check(self) < 0) return NULL;
    self->busy = true;
    int result = server_call(self->server, self->session, 0, arguments, &reply);
    self->busy = false;
    if (result < 0) return NULL;
    PyObject *object = replies_decode(self->server->state, reply.at, reply.len);
    kevyrt_reply_free(&reply);
    return object;
}

static PyObject *session_execute(struct session_object *self, PyObject *const *values,
                                 Py_ssize_t count) {
    struct arguments arguments;
    PyObject *object = NULL;
    int result = 0;
    if (count == 0) {
        PyErr_SetString(PyExc_TypeError, "execute() needs a command");
        return NULL;
    }
    if (arguments_init(&arguments, count) < 0) return NULL;
    for (Py_ssize_t i = 0; i < count && result == 0; i++)
        result = arguments_add(&arguments, values[i]);
    if (result == 0) object = session_run(self, &arguments);
    arguments_deinit(&arguments);
    return object;
}

static PyObject *session_close(struct session_object *self, PyObject *unused) {
    (void)unused;
    if (self->session && session_check(self) < 0) return NULL;
    put_session(self);
    Py_RETURN_NONE;
}

static PyObject *session_enter(struct session_object *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *session_exit(struct session_object *self, PyObject *const *values,
                              Py_ssize_t count) {
    (void)values, (void)count;
    return session_close(self, NULL);
}

static PyMethodDef session_methods[] = {
    {"execute", (PyCFunction)(void *)session_execute, METH_FASTCALL,
     "execute($self, /, *args)\n--\n\n"
     "Runs one command with the session's state, such as the database that SELECT chose.\n\n"
     "Arguments, replies and errors are those of Server.execute; RuntimeError if the session\n"
     "is closed, or another thread is inside it.\n\n"
     ">>> session.execute(\"SELECT\", 3)\n'OK'"},
    {"close", (PyCFunction)(void *)session_close, METH_NOARGS,
     "close($self, /)\n--\n\nEnds the session. Does nothing if it is closed."},
    {"__enter__", (PyCFunction)(void *)session_enter, METH_NOARGS, "The session."},
    {"__exit__", (PyCFunction)(void *)session_exit, METH_FASTCALL, "Closes the session."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot session_slots[] = {
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_traverse, session_traverse},
    {Py_tp_clear, session_clear},
    {Py_tp_methods, session_methods},
    {Py_tp_doc,
     "An in-process client with connection state of its own: its database, its name, what it\n"
     "watches, and what it has queued behind MULTI.\n\n"
     "Made by Server.session(); closed by close(), at the end of a `with` block, or when it is\n"
     "collected. One thread at a time."},
    {0, NULL},
};

PyType_Spec session_type_spec = {
    .name = "kevyrt.Session",
    .basicsize = sizeof(struct session_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = session_slots,
};
