/* kevyrt.Session: an in-process client with a database, a name and, later, a transaction of its own. */
#include "py/module.h"

struct session_object {
    PyObject_HEAD
    struct server_object *server;
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

static void session_dealloc(struct session_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->session) kevyrt_session_put(self->session);
    Py_XDECREF(self->server);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool session_is_open(struct session_object *self) {
    if (self->session && !self->busy) return true;
    PyErr_SetString(PyExc_RuntimeError, self->busy
                                            ? "another thread is inside this session"
                                            : "the session is closed");
    return false;
}

static PyObject *session_run(struct session_object *self, const struct arguments *arguments) {
    struct kevyrt_reply reply;
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
    if (!session_is_open(self) || server_check_usable(self->server) < 0) return NULL;
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
    if (self->session && !session_is_open(self)) return NULL;
    if (self->session) kevyrt_session_put(self->session);
    self->session = NULL;
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
     "execute(*args)\n\nRuns one command in the session's database, as Server.execute does."},
    {"close", (PyCFunction)(void *)session_close, METH_NOARGS,
     "close()\n\nEnds the session. Does nothing if it is closed."},
    {"__enter__", (PyCFunction)(void *)session_enter, METH_NOARGS, "The session."},
    {"__exit__", (PyCFunction)(void *)session_exit, METH_FASTCALL, "Closes the session."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot session_slots[] = {
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, session_methods},
    {Py_tp_doc, "An in-process client with connection state of its own: its database, name and protocol."},
    {0, NULL},
};

PyType_Spec session_type_spec = {
    .name = "kevyrt.Session",
    .basicsize = sizeof(struct session_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = session_slots,
};
