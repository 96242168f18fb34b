/* The C half of kevyrt.Server: settings, life cycle, and the methods of the type. */
#include "py/awaiting/aio.h"

/* ---- Settings -------------------------------------------------------------------------------- */

/* Borrows the texts of a list of (name, value); the list is the caller's for as long as they are
 * used. */
static int borrow_settings(PyObject *list, struct kevyrt_setting *out) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *pair = PyList_GET_ITEM(list, i);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "a setting is a tuple of name and value");
            return -1;
        }
        out[i].name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(pair, 0));
        out[i].value = out[i].name ? PyUnicode_AsUTF8(PyTuple_GET_ITEM(pair, 1)) : NULL;
        if (!out[i].value) return -1;
    }
    return 0;
}

static int make_server(struct server_object *self, PyObject *list) {
    struct kevyrt_error error = {0};
    enum kevyrt_status status = KEVYRT_BAD_CONFIG;
    size_t count = (size_t)PyList_GET_SIZE(list);
    struct kevyrt_setting *settings = PyMem_Calloc(count + 1, sizeof *settings);
    if (!settings) {
        PyErr_NoMemory();
        return -1;
    }
    if (borrow_settings(list, settings) == 0) {
        status = kevyrt_server_new(settings, count, &self->server, &error);
        if (status != KEVYRT_OK) errors_raise(self->state, status, &error);
    }
    PyMem_Free(settings);
    return status == KEVYRT_OK ? 0 : -1;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static int server_init(struct server_object *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"settings", "decode_responses", NULL};
    PyObject *list;
    int decodes = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!|p:Server", names, &PyList_Type, &list,
                                     &decodes))
        return -1;
    if (self->server) {
        PyErr_SetString(PyExc_RuntimeError, "the server is initialised already");
        return -1;
    }
    self->kind = &face_calls;
    self->decodes = decodes;
    self->state = module_state_of(Py_TYPE(self));
    return self->state ? make_server(self, list) : -1;
}

static void server_dealloc(struct server_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->server) {
        struct kevyrt_server *server = self->server;
        self->server = NULL;
        Py_BEGIN_ALLOW_THREADS kevyrt_server_put(server);
        Py_END_ALLOW_THREADS
    }
    Py_XDECREF(self->load);
    type->tp_free(self);
    Py_DECREF(type);
}

/* While a start loads: the thread that waits for it without the GIL. */
struct start_watch {
    PyThreadState *thread;
    bool raised; /* a handler of a signal did */
};

/* Between two looks of the loader, which holds nothing then: signals run their handlers. */
static bool start_goes_on(void *context) {
    struct start_watch *watch = context;
    PyEval_RestoreThread(watch->thread);
    watch->raised = PyErr_CheckSignals() < 0;
    watch->thread = PyEval_SaveThread();
    return !watch->raised;
}

static PyObject *server_start(struct server_object *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_error error = {0};
    struct start_watch watch = {0};
    if (face_check_usable(as_face(self)) < 0) return NULL;
    watch.thread = PyEval_SaveThread();
    enum kevyrt_status status =
        kevyrt_server_start_watched(self->server, start_goes_on, &watch, &error);
    PyEval_RestoreThread(watch.thread);
    if (watch.raised) return NULL;
    if (status != KEVYRT_OK) return errors_raise(self->state, status, &error);
    Py_RETURN_NONE;
}

static PyObject *server_stop(struct server_object *self, PyObject *unused) {
    (void)unused;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS kevyrt_server_stop(self->server);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

/* ---- Waiting for the end --------------------------------------------------------------------- */

#define TIMEOUT_MAX_S 1e9

int server_parse_deadline(PyObject *timeout, uint64_t *deadline_ns) {
    *deadline_ns = UINT64_MAX;
    if (timeout == Py_None) return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1 && PyErr_Occurred()) return -1;
    if (seconds != seconds) {
        PyErr_SetString(PyExc_ValueError, "the timeout is not a number");
        return -1;
    }
    if (seconds < 0) seconds = 0;
    if (seconds < TIMEOUT_MAX_S) *deadline_ns = kevyrt_now_ns() + (uint64_t)(seconds * 1e9);
    return 0;
}

static PyObject *server_wait(struct server_object *self, PyObject *timeout) {
    uint64_t deadline;
    if (server_parse_deadline(timeout, &deadline) < 0 || face_check_usable(as_face(self)) < 0)
        return NULL;
    for (;;) {
        enum kevyrt_status status;
        uint64_t slice = kevyrt_now_ns() + SIGNAL_SLICE_NS;
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_server_wait(self->server, slice < deadline ? slice : deadline);
        Py_END_ALLOW_THREADS if (PyErr_CheckSignals() < 0) return NULL;
        if (status == KEVYRT_STOPPED) Py_RETURN_TRUE;
        if (kevyrt_now_ns() >= deadline) Py_RETURN_FALSE;
    }
}

/* ---- The rest -------------------------------------------------------------------------------- */

static PyObject *server_adopt(struct server_object *self, PyObject *object) {
    struct kevyrt_error error = {0};
    enum kevyrt_status status;
    if (!PyLong_Check(object) || PyBool_Check(object))
        return PyErr_Format(PyExc_TypeError,
                            "adopt() takes a descriptor, such as socket.detach() gives, not %.100s",
                            Py_TYPE(object)->tp_name);
    int fd = PyObject_AsFileDescriptor(object);
    if (fd < 0 || face_check_usable(as_face(self)) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_server_adopt(self->server, fd, &error);
    Py_END_ALLOW_THREADS if (status != KEVYRT_OK) return errors_raise(self->state, status, &error);
    Py_RETURN_NONE;
}

static PyObject *server_connect(struct server_object *self, PyObject *unused) {
    struct kevyrt_error error = {0};
    enum kevyrt_status status;
    int fd = -1;
    (void)unused;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_server_connect(self->server, &fd, &error);
    Py_END_ALLOW_THREADS if (status != KEVYRT_OK) return errors_raise(self->state, status, &error);
    return PyLong_FromLong(fd);
}

static PyObject *server_open_door(struct server_object *self, PyObject *base) {
    struct kevyrt_error error = {0};
    char path[KEVYRT_DOOR_PATH_MAX];
    PyObject *folder;
    if (face_check_usable(as_face(self)) < 0 || !PyUnicode_FSConverter(base, &folder)) return NULL;
    enum kevyrt_status status =
        kevyrt_server_open_door(self->server, PyBytes_AS_STRING(folder), path, &error);
    Py_DECREF(folder);
    if (status != KEVYRT_OK) return errors_raise(self->state, status, &error);
    return PyUnicode_DecodeFSDefault(path);
}

static PyObject *server_password(struct server_object *self, PyObject *unused) {
    char text[4096 + 1];
    (void)unused;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    kevyrt_server_password(self->server, text, sizeof text);
    return PyBytes_FromString(text);
}

static PyObject *server_stats(struct server_object *self, PyObject *unused) {
    (void)unused;
    return face_check_usable(as_face(self)) < 0 ? NULL : stats_object(self);
}

static PyObject *server_survey(struct server_object *self, PyObject *sample) {
    return face_check_usable(as_face(self)) < 0 ? NULL : survey_object(self, sample);
}

static PyObject *server_setting(struct server_object *self, PyObject *name) {
    char value[4096];
    const char *text = PyUnicode_AsUTF8(name);
    if (!text || face_check_usable(as_face(self)) < 0) return NULL;
    if (kevyrt_server_setting(self->server, text, value, sizeof value))
        return PyUnicode_FromString(value);
    return PyErr_Format(PyExc_KeyError, "no setting '%U'", name);
}

static PyObject *server_get_port(struct server_object *self, void *unused) {
    (void)unused;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    uint16_t port = kevyrt_server_port(self->server);
    if (port == 0) Py_RETURN_NONE;
    return PyLong_FromLong(port);
}

static PyObject *server_get_host(struct server_object *self, void *unused) {
    (void)unused;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    return PyUnicode_FromString(kevyrt_server_host(self->server));
}

static PyObject *server_get_running(struct server_object *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(self->server && kevyrt_server_running(self->server));
}

static PyMethodDef server_methods[] = {
    {"_start", (PyCFunction)(void *)server_start, METH_NOARGS, "start() without the log."},
    {"_stop", (PyCFunction)(void *)server_stop, METH_NOARGS, "stop() without the log."},
    {"_wait", (PyCFunction)(void *)server_wait, METH_O, "wait() with its argument."},
    {"_stats", (PyCFunction)(void *)server_stats, METH_NOARGS, "stats() as a dict."},
    {"_survey", (PyCFunction)(void *)server_survey, METH_O, "What a walk over keys finds."},
    {"_save", (PyCFunction)(void *)server_save, METH_O, "save() with its argument."},
    {"_load", (PyCFunction)(void *)server_load, METH_O,
     "What the server begins with, as restore() takes it. Before the start only."},
    {"_restore", (PyCFunction)(void *)server_restore, METH_O, "restore() with its argument."},
    {"_rewrite_aof", (PyCFunction)(void *)server_rewrite, METH_VARARGS,
     "rewrite_aof() with its arguments."},
    {"_fault_add", (PyCFunction)(void *)server_fault_add, METH_VARARGS,
     "Faults.add() with all that it takes."},
    {"_fault_remove", (PyCFunction)(void *)server_fault_remove, METH_O, "Fault.remove()."},
    {"_faults_clear", (PyCFunction)(void *)server_faults_clear, METH_NOARGS, "Faults.clear()."},
    {"_clock_change", (PyCFunction)(void *)server_clock_change, METH_VARARGS,
     "A CLOCK_ constant, and microseconds. RuntimeError in a handler while it starts."},
    {"_clock_read", (PyCFunction)(void *)server_clock_read, METH_NOARGS,
     "Microseconds since 1970, how many that is ahead of the real clock, and whether it stands."},
    {"_snapshot", (PyCFunction)(void *)server_snapshot, METH_NOARGS, "snapshot()."},
    {"_checkpoint", (PyCFunction)(void *)server_checkpoint, METH_NOARGS, "checkpoint()."},
    {"_unpause", (PyCFunction)(void *)server_unpause, METH_NOARGS,
     "CLIENT UNPAUSE, which a pause does not stop."},
    {"_marks", (PyCFunction)(void *)server_marks, METH_NOARGS,
     "What grows with each CONFIG SET, and the id that the next client will have."},
    {"_setting", (PyCFunction)(void *)server_setting, METH_O,
     "A setting as CONFIG GET shows it. Before the start only: later CONFIG SET may be writing."},
    {"_connect", (PyCFunction)(void *)server_connect, METH_NOARGS,
     "The descriptor of one end of a socket pair, the other end of which is served."},
    {"_open_door", (PyCFunction)(void *)server_open_door, METH_O,
     "Opens the way for forked children in a new folder of `base`, unless it is open;\n"
     "returns the path of its socket."},
    {"_password", (PyCFunction)(void *)server_password, METH_NOARGS,
     "What clients must know by now (requirepass); b'': nothing."},
    {"execute", (PyCFunction)(void *)server_execute, METH_FASTCALL | METH_KEYWORDS,
     "execute($self, /, *args, db=0)\n--\n\n"
     "Runs one command on the calling thread, in database `db`, and returns its reply.\n\n"
     "Arguments are str (sent as UTF-8), bytes, int, float, or anything with a buffer.\n"
     "Bulk strings come back as bytes, simple strings as str, integers as int, doubles as\n"
     "float, arrays as list, maps as dict, sets as set, null as None.\n\n"
     "Raises ResponseError (or the subclass of its code) for an error reply; an error nested\n"
     "in a reply is an exception object in its place. Raises ServerStopped, ForkedError,\n"
     "TypeError for other arguments, ValueError if there is no such database.\n\n"
     "A command that waits (BLPOP and its kin) waits without the GIL, and runs the handlers of\n"
     "signals. If one raises, the wait ends; a reply that came first is the exception's attribute\n"
     "`kevyrt_reply`.\n\n"
     ">>> server.execute(\"INCRBY\", \"visits\", 5)\n5"},
    {"adopt", (PyCFunction)(void *)server_adopt, METH_O,
     "adopt($self, fd, /)\n--\n\n"
     "Serves an already connected stream socket, such as one end of a socketpair().\n\n"
     "The descriptor is the server's from then on; pass `sock.detach()`. If this raises, it\n"
     "is still the caller's. Raises OSError for what is no connected stream socket,\n"
     "ServerStopped, ForkedError."},
    {"get_view", (PyCFunction)(void *)view_get, METH_O, view_get_doc},
    {"_run", (PyCFunction)(void *)face_run, METH_FASTCALL, face_run_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef server_properties[] = {
    {"port", (getter)(void *)server_get_port, NULL,
     "The TCP port that the last start bound. None before it, and without TCP.", NULL},
    {"running", (getter)(void *)server_get_running, NULL,
     "Is the server running? False in a forked child.", NULL},
    {"aio", (getter)(void *)face_get_aio, NULL, aio_property_doc, NULL},
    {"_host", (getter)(void *)server_get_host, NULL, "What the last start bound first, or ''.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot server_slots[] = {
    {Py_tp_init, server_init},
    {Py_tp_dealloc, server_dealloc},
    {Py_tp_methods, server_methods},
    MAPPING_SLOTS,
    {Py_tp_getset, server_properties},
    {Py_tp_doc, "The C half of kevyrt.Server."},
    {0, NULL},
};

PyType_Spec server_type_spec = {
    .name = "kevyrt._core.Server",
    .basicsize = sizeof(struct server_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = server_slots,
};
