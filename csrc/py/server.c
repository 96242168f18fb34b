/* kevyrt.Server: settings, life cycle, calls, and the fast path of GET and SET. */
#include "py/module.h"

#include <structmember.h>

/* ---- Settings ------------------------------------------------------------------------------------- */

enum { SETTINGS_MAX = 256 };

struct setting_list {
    struct kevyrt_setting items[SETTINGS_MAX];
    PyObject *owned[2 * SETTINGS_MAX];
    size_t count, owned_count;
};

static const char *keep_text(struct setting_list *list, PyObject *text) {
    if (!text) return NULL;
    list->owned[list->owned_count++] = text;
    return PyUnicode_AsUTF8(text);
}

static PyObject *join_words(PyObject *sequence) {
    PyObject *blank = PyUnicode_FromString(" "), *words = PyList_New(0), *joined = NULL;
    PyObject *fast = PySequence_Fast(sequence, "a setting must be str, int, bool or a sequence");
    for (Py_ssize_t i = 0; fast && words && i < PySequence_Fast_GET_SIZE(fast); i++) {
        PyObject *word = PyObject_Str(PySequence_Fast_GET_ITEM(fast, i));
        if (!word || PyList_Append(words, word) < 0) Py_CLEAR(words);
        Py_XDECREF(word);
    }
    if (blank && words && fast) joined = PyUnicode_Join(blank, words);
    Py_XDECREF(blank);
    Py_XDECREF(words);
    Py_XDECREF(fast);
    return joined;
}

static PyObject *setting_text(PyObject *value) {
    if (PyBool_Check(value)) return PyUnicode_FromString(value == Py_True ? "yes" : "no");
    if (PyUnicode_Check(value)) return Py_NewRef(value);
    if (PyLong_Check(value)) return PyObject_Str(value);
    if (PyList_Check(value) || PyTuple_Check(value)) return join_words(value);
    if (PyObject_HasAttrString(value, "__fspath__")) return PyOS_FSPath(value);
    PyErr_Format(PyExc_TypeError, "a setting must be str, int, bool or a sequence, not %.100s",
                 Py_TYPE(value)->tp_name);
    return NULL;
}

/* A Python name in Redis's form: maxmemory_policy becomes maxmemory-policy. */
static PyObject *setting_name(PyObject *name) {
    return PyObject_CallMethod(name, "replace", "ss", "_", "-");
}

static int add_setting(struct setting_list *list, const char *name, const char *value) {
    if (!name || !value) return -1;
    if (list->count == SETTINGS_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many settings");
        return -1;
    }
    list->items[list->count++] = (struct kevyrt_setting){name, value};
    return 0;
}

static int add_port(struct setting_list *list, PyObject *port) {
    if (!port || (PyLong_Check(port) && PyLong_AsLong(port) == 0))
        return add_setting(list, "port", "any");
    if (port == Py_None) return add_setting(list, "port", "0");
    return add_setting(list, "port", keep_text(list, PyObject_Str(port)));
}

static int add_keyword(struct setting_list *list, PyObject *name, PyObject *value) {
    const char *known = PyUnicode_AsUTF8(name);
    if (!known) return -1;
    if (strcmp(known, "port") == 0) return add_port(list, value);
    if (value == Py_None) {
        if (strcmp(known, "unixsocket") == 0) return 0;
        PyErr_Format(PyExc_TypeError, "setting %s must not be None", known);
        return -1;
    }
    const char *text_name = keep_text(list, setting_name(name));
    return add_setting(list, text_name, keep_text(list, setting_text(value)));
}

static int check_threads(PyObject *keywords) {
    PyObject *threads = keywords ? PyDict_GetItemString(keywords, "threads") : NULL;
    if (!threads) return 0;
    long count = PyLong_AsLong(threads);
    if (count == -1 && PyErr_Occurred()) return -1;
    if (count >= 1 && count <= KEVYRT_SHARDS_MAX) return 0;
    PyErr_Format(PyExc_ValueError, "threads must be from 1 to %d, not %ld", KEVYRT_SHARDS_MAX,
                 count);
    return -1;
}

static int collect_settings(struct setting_list *list, PyObject *keywords) {
    PyObject *name, *value;
    Py_ssize_t position = 0;
    if (check_threads(keywords) < 0) return -1;
    if (add_setting(list, "bind", "127.0.0.1") < 0) return -1;
    if (!keywords || !PyDict_GetItemString(keywords, "port"))
        if (add_port(list, NULL) < 0) return -1;
    while (keywords && PyDict_Next(keywords, &position, &name, &value))
        if (add_keyword(list, name, value) < 0) return -1;
    return 0;
}

static void release_settings(struct setting_list *list) {
    for (size_t i = 0; i < list->owned_count; i++) Py_DECREF(list->owned[i]);
    PyMem_Free(list);
}

/* ---- Life ----------------------------------------------------------------------------------------- */

static PyObject *server_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    struct kevyrt_error error = {0};
    struct module_state *state = PyType_GetModuleState(type);
    if (!state) { /* a subclass: the state is its base's */
        PyObject *module = PyType_GetModuleByDef(type, &core_module);
        if (!module) return NULL;
        PyErr_Clear();
        state = PyModule_GetState(module);
    }
    if (PyTuple_GET_SIZE(arguments)) {
        PyErr_SetString(PyExc_TypeError, "Server takes keyword arguments only");
        return NULL;
    }
    struct setting_list *list = PyMem_Calloc(1, sizeof *list);
    if (!list) return PyErr_NoMemory();
    struct server_object *self = NULL;
    if (collect_settings(list, keywords) == 0) self = (void *)type->tp_alloc(type, 0);
    if (self) {
        self->state = state;
        enum kevyrt_status status =
            kevyrt_server_new(list->items, list->count, &self->server, &error);
        if (status != KEVYRT_OK) {
            errors_raise(state, status, &error);
            Py_CLEAR(self);
        }
    }
    release_settings(list);
    return (PyObject *)self;
}

static void server_dealloc(struct server_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->weak_references) PyObject_ClearWeakRefs((PyObject *)self);
    if (self->server) {
        struct kevyrt_server *server = self->server;
        self->server = NULL;
        Py_BEGIN_ALLOW_THREADS
        kevyrt_server_put(server);
        Py_END_ALLOW_THREADS
    }
    type->tp_free(self);
    Py_DECREF(type);
}

int server_check_usable(struct server_object *self) {
    if (!self->state->forked || kevyrt_server_usable(self->server)) return 0;
    PyErr_SetString(self->state->forked_error, "this server belongs to the parent process");
    return -1;
}

static PyObject *server_start(struct server_object *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_error error = {0};
    enum kevyrt_status status;
    if (server_check_usable(self) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kevyrt_server_start(self->server, &error);
    Py_END_ALLOW_THREADS
    if (status != KEVYRT_OK) return errors_raise(self->state, status, &error);
    return Py_NewRef(self);
}

static PyObject *server_stop(struct server_object *self, PyObject *unused) {
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    kevyrt_server_stop(self->server);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *server_exit(struct server_object *self, PyObject *const *arguments,
                             Py_ssize_t count) {
    (void)arguments, (void)count;
    return server_stop(self, NULL);
}

/* Sleeps in slices, so that signal handlers of Python run. */
static PyObject *server_wait(struct server_object *self, PyObject *timeout) {
    double seconds = timeout == Py_None ? -1 : PyFloat_AsDouble(timeout);
    if (PyErr_Occurred() || server_check_usable(self) < 0) return NULL;
    uint64_t deadline = seconds < 0 ? UINT64_MAX : kevyrt_now_ns() + (uint64_t)(seconds * 1e9);
    for (;;) {
        enum kevyrt_status status;
        uint64_t slice = kevyrt_now_ns() + UINT64_C(100000000);
        Py_BEGIN_ALLOW_THREADS
        status = kevyrt_server_wait(self->server, slice < deadline ? slice : deadline);
        Py_END_ALLOW_THREADS
        if (status != KEVYRT_TIMEOUT) Py_RETURN_TRUE;
        if (PyErr_CheckSignals() < 0) return NULL;
        if (kevyrt_now_ns() >= deadline) Py_RETURN_FALSE;
    }
}

/* ---- Calls ---------------------------------------------------------------------------------------- */

int server_call(struct server_object *self, struct kevyrt_session *session, uint32_t db,
                const struct arguments *arguments, struct kevyrt_reply *reply) {
    enum kevyrt_status status = kevyrt_call(self->server, session, db, arguments->argv,
                                            arguments->count, KEVYRT_TRY, reply);
    if (status == KEVYRT_WOULD_WAIT) {
        Py_BEGIN_ALLOW_THREADS
        status = kevyrt_call(self->server, session, db, arguments->argv, arguments->count,
                             KEVYRT_WAIT, reply);
        Py_END_ALLOW_THREADS
    }
    if (status == KEVYRT_OK) return 0;
    if (server_check_usable(self) == 0) errors_raise(self->state, status, NULL);
    return -1;
}

int parse_db(PyObject *value, uint32_t *db) {
    long number = PyLong_AsLong(value);
    if (number == -1 && PyErr_Occurred()) return -1;
    if (number < 0 || number > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "db is out of range");
        return -1;
    }
    *db = (uint32_t)number;
    return 0;
}

/* The only keyword of get, delete and execute. */
static int parse_db_keyword(PyObject *const *values, PyObject *names, uint32_t *db) {
    *db = 0;
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (PyUnicode_CompareWithASCIIString(name, "db") != 0) {
            PyErr_Format(PyExc_TypeError, "unexpected keyword argument '%U'", name);
            return -1;
        }
        if (parse_db(values[i], db) < 0) return -1;
    }
    return 0;
}

static PyObject *call_and_decode(struct server_object *self, uint32_t db,
                                 const struct arguments *arguments) {
    struct kevyrt_reply reply;
    if (server_call(self, NULL, db, arguments, &reply) < 0) return NULL;
    PyObject *object = replies_decode(self->state, reply.at, reply.len);
    kevyrt_reply_free(&reply);
    return object;
}

static PyObject *run_command(struct server_object *self, const char *name, PyObject *const *values,
                             Py_ssize_t count, uint32_t db) {
    struct arguments arguments;
    PyObject *object = NULL;
    if (arguments_init(&arguments, count + 1) < 0) return NULL;
    int result = name ? arguments_add_text(&arguments, name) : 0;
    for (Py_ssize_t i = 0; i < count && result == 0; i++)
        result = arguments_add(&arguments, values[i]);
    if (result == 0) object = call_and_decode(self, db, &arguments);
    arguments_deinit(&arguments);
    return object;
}

static PyObject *server_execute(struct server_object *self, PyObject *const *values,
                                Py_ssize_t count, PyObject *names) {
    uint32_t db;
    if (parse_db_keyword(values + count, names, &db) < 0) return NULL;
    if (count > 0) return run_command(self, NULL, values, count, db);
    PyErr_SetString(PyExc_TypeError, "execute() needs a command");
    return NULL;
}

static PyObject *server_delete(struct server_object *self, PyObject *const *values,
                               Py_ssize_t count, PyObject *names) {
    uint32_t db;
    if (parse_db_keyword(values + count, names, &db) < 0) return NULL;
    if (count > 0) return run_command(self, "DEL", values, count, db);
    return PyLong_FromLong(0);
}

/* ---- GET ------------------------------------------------------------------------------------------ */

static PyObject *value_object(struct server_object *self, struct kevyrt_value *value) {
    PyObject *object;
    static const char wrong_type[] =
        "WRONGTYPE Operation against a key holding the wrong kind of value";
    switch (value->found) {
    case KEVYRT_SMALL: return PyBytes_FromStringAndSize(value->at, value->len);
    case KEVYRT_MISSING: Py_RETURN_NONE;
    case KEVYRT_LARGE:
        object = PyBytes_FromStringAndSize(value->at, value->len);
        kevyrt_value_put(value);
        return object;
    case KEVYRT_WRONG_TYPE: break;
    }
    object = errors_from_reply(self->state, wrong_type, sizeof wrong_type - 1);
    if (object) PyErr_SetObject((PyObject *)Py_TYPE(object), object);
    Py_XDECREF(object);
    return NULL;
}

static PyObject *get_bytes(struct server_object *self, struct bytes key, uint32_t db) {
    struct kevyrt_value value;
    enum kevyrt_status status = kevyrt_get(self->server, db, key, KEVYRT_TRY, &value);
    if (status == KEVYRT_WOULD_WAIT) {
        Py_BEGIN_ALLOW_THREADS
        status = kevyrt_get(self->server, db, key, KEVYRT_WAIT, &value);
        Py_END_ALLOW_THREADS
    }
    if (status == KEVYRT_OK) return value_object(self, &value);
    return server_check_usable(self) < 0 ? NULL : errors_raise(self->state, status, NULL);
}

static PyObject *server_get(struct server_object *self, PyObject *const *values, Py_ssize_t count,
                            PyObject *names) {
    struct bytes key;
    PyObject *owned;
    uint32_t db = 0;
    if (count != 1) {
        PyErr_SetString(PyExc_TypeError, "get() takes one key");
        return NULL;
    }
    if (names && parse_db_keyword(values + count, names, &db) < 0) return NULL;
    if (argument_bytes(values[0], &key, &owned) < 0) return NULL;
    PyObject *object = get_bytes(self, key, db);
    Py_XDECREF(owned);
    return object;
}

/* ---- SET ------------------------------------------------------------------------------------------ */

static PyObject *set_plain(struct server_object *self, PyObject *const *values, uint32_t db) {
    struct bytes key, value;
    PyObject *owned_key = NULL, *owned_value = NULL, *result = NULL;
    if (argument_bytes(values[0], &key, &owned_key) < 0) return NULL;
    if (argument_bytes(values[1], &value, &owned_value) == 0) {
        enum kevyrt_status status = kevyrt_set(self->server, db, key, value, KEVYRT_TRY);
        if (status == KEVYRT_WOULD_WAIT) {
            Py_BEGIN_ALLOW_THREADS
            status = kevyrt_set(self->server, db, key, value, KEVYRT_WAIT);
            Py_END_ALLOW_THREADS
        }
        if (status == KEVYRT_OK) result = Py_NewRef(Py_True);
        else if (server_check_usable(self) == 0) errors_raise(self->state, status, NULL);
    }
    Py_XDECREF(owned_key);
    Py_XDECREF(owned_value);
    return result;
}

struct set_arguments {
    PyObject *ex, *px;
    bool nx, xx, keepttl, get;
    uint32_t db;
};

static int parse_flag(PyObject *value, bool *out) {
    int truth = PyObject_IsTrue(value);
    *out = truth > 0;
    return truth < 0 ? -1 : 0;
}

static int parse_set_keyword(struct set_arguments *set, PyObject *name, PyObject *value) {
    const char *word = PyUnicode_AsUTF8(name);
    if (!word) return -1;
    if (strcmp(word, "db") == 0) return parse_db(value, &set->db);
    if (strcmp(word, "ex") == 0) return set->ex = value == Py_None ? NULL : value, 0;
    if (strcmp(word, "px") == 0) return set->px = value == Py_None ? NULL : value, 0;
    if (strcmp(word, "nx") == 0) return parse_flag(value, &set->nx);
    if (strcmp(word, "xx") == 0) return parse_flag(value, &set->xx);
    if (strcmp(word, "keepttl") == 0) return parse_flag(value, &set->keepttl);
    if (strcmp(word, "get") == 0) return parse_flag(value, &set->get);
    PyErr_Format(PyExc_TypeError, "unexpected keyword argument '%U'", name);
    return -1;
}

/* A number, or a timedelta in units of 1/`per_second`; Redis wants an integer. */
static PyObject *duration(PyObject *value, int per_second) {
    if (!PyObject_HasAttrString(value, "total_seconds")) return PyNumber_Long(value);
    PyObject *seconds = PyObject_CallMethod(value, "total_seconds", NULL);
    double amount = seconds ? PyFloat_AsDouble(seconds) * per_second : -1;
    Py_XDECREF(seconds);
    return PyErr_Occurred() ? NULL : PyLong_FromDouble(amount);
}

static int add_expiry(struct arguments *arguments, const char *word, PyObject *value,
                      int per_second) {
    if (!value) return 0;
    PyObject *number = duration(value, per_second);
    if (!number) return -1;
    arguments_add_text(arguments, word);
    int result = arguments_add(arguments, number);
    Py_DECREF(number);
    return result;
}

static int build_set(struct arguments *arguments, const struct set_arguments *set,
                     PyObject *const *values) {
    arguments_add_text(arguments, "SET");
    if (arguments_add(arguments, values[0]) < 0 || arguments_add(arguments, values[1]) < 0)
        return -1;
    if (add_expiry(arguments, "EX", set->ex, 1) < 0) return -1;
    if (add_expiry(arguments, "PX", set->px, 1000) < 0) return -1;
    if (set->nx) arguments_add_text(arguments, "NX");
    if (set->xx) arguments_add_text(arguments, "XX");
    if (set->keepttl) arguments_add_text(arguments, "KEEPTTL");
    if (set->get) arguments_add_text(arguments, "GET");
    return 0;
}

/* True for OK, None when NX or XX forbade it, and with get the old value. */
static PyObject *set_result(PyObject *reply, bool get) {
    if (!reply || get || reply == Py_None) return reply;
    Py_DECREF(reply);
    Py_RETURN_TRUE;
}

static PyObject *set_with_options(struct server_object *self, const struct set_arguments *set,
                                  PyObject *const *values) {
    enum { SET_ARGUMENTS_MAX = 12 };
    struct arguments arguments;
    PyObject *object = NULL;
    if (arguments_init(&arguments, SET_ARGUMENTS_MAX) < 0) return NULL;
    if (build_set(&arguments, set, values) == 0)
        object = set_result(call_and_decode(self, set->db, &arguments), set->get);
    arguments_deinit(&arguments);
    return object;
}

static PyObject *server_set(struct server_object *self, PyObject *const *values, Py_ssize_t count,
                            PyObject *names) {
    struct set_arguments set = {0};
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "set() takes a key and a value");
        return NULL;
    }
    if (!names) return set_plain(self, values, 0);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++)
        if (parse_set_keyword(&set, PyTuple_GET_ITEM(names, i), values[count + i]) < 0) return NULL;
    bool plain = !set.ex && !set.px && !set.nx && !set.xx && !set.keepttl && !set.get;
    return plain ? set_plain(self, values, set.db) : set_with_options(self, &set, values);
}

/* ---- The rest ------------------------------------------------------------------------------------- */

static PyObject *server_adopt(struct server_object *self, PyObject *object) {
    struct kevyrt_error error = {0};
    int fd = PyObject_AsFileDescriptor(object);
    if (fd < 0 || server_check_usable(self) < 0) return NULL;
    enum kevyrt_status status = kevyrt_server_adopt(self->server, fd, &error);
    if (status != KEVYRT_OK) return errors_raise(self->state, status, &error);
    Py_RETURN_NONE;
}

static PyObject *server_session(struct server_object *self, PyObject *unused) {
    (void)unused;
    return server_check_usable(self) < 0 ? NULL : session_new(self);
}

static PyObject *server_stats(struct server_object *self, PyObject *unused) {
    (void)unused;
    return server_check_usable(self) < 0 ? NULL : stats_object(self);
}

static PyObject *server_setting(struct server_object *self, PyObject *name) {
    char value[4096];
    const char *text = PyUnicode_AsUTF8(name);
    if (!text) return NULL;
    if (kevyrt_server_setting(self->server, text, value, sizeof value))
        return PyUnicode_FromString(value);
    PyErr_Format(PyExc_KeyError, "no setting '%U'", name);
    return NULL;
}

static PyObject *server_get_port(struct server_object *self, void *unused) {
    (void)unused;
    uint16_t port = kevyrt_server_port(self->server);
    if (port == 0) Py_RETURN_NONE;
    return PyLong_FromLong(port);
}

static PyObject *server_get_running(struct server_object *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(kevyrt_server_running(self->server));
}

static PyMethodDef server_methods[] = {
    {"start", (PyCFunction)(void *)server_start, METH_NOARGS,
     "start() -> Server\n\nStarts the shard threads and listens; returns the server. Does nothing if it runs.\n"
     "Raises OSError (with the address) if it cannot listen."},
    {"stop", (PyCFunction)(void *)server_stop, METH_NOARGS,
     "stop()\n\nEnds all connections and threads; the data is gone. An immediate start on the same port\n"
     "succeeds. Does nothing if it is stopped."},
    {"__enter__", (PyCFunction)(void *)server_start, METH_NOARGS, "Starts the server."},
    {"__exit__", (PyCFunction)(void *)server_exit, METH_FASTCALL, "Stops the server."},
    {"wait", (PyCFunction)(void *)server_wait, METH_O,
     "wait(timeout)\n\nWaits up to `timeout` seconds (None: for ever) for the server to be stopped, for instance by\n"
     "SHUTDOWN. True if it is; False when the time is over."},
    {"execute", (PyCFunction)(void *)server_execute, METH_FASTCALL | METH_KEYWORDS,
     "execute(*args, db=0)\n\nRuns one command on the calling thread. Bulk strings come as bytes, simple strings as\n"
     "str, maps as dict, sets as set, null as None; an error reply raises ResponseError."},
    {"get", (PyCFunction)(void *)server_get, METH_FASTCALL | METH_KEYWORDS,
     "get(key, *, db=0) -> bytes | None\n\nThe string value of a key, or None."},
    {"set", (PyCFunction)(void *)server_set, METH_FASTCALL | METH_KEYWORDS,
     "set(key, value, *, ex=None, px=None, nx=False, xx=False, keepttl=False, get=False, db=0)\n\nSets a\n"
     "string. `ex` are seconds, `px` milliseconds (int or timedelta). True; None if nx or xx forbade it; with get\n"
     "the old value."},
    {"delete", (PyCFunction)(void *)server_delete, METH_FASTCALL | METH_KEYWORDS,
     "delete(*keys, db=0) -> int\n\nDeletes keys atomically; returns how many there were."},
    {"adopt", (PyCFunction)(void *)server_adopt, METH_O,
     "adopt(fd)\n\nServes an already connected stream socket; the server owns the descriptor from then on."},
    {"session", (PyCFunction)(void *)server_session, METH_NOARGS,
     "session() -> Session\n\nAn in-process client with connection state of its own."},
    {"stats", (PyCFunction)(void *)server_stats, METH_NOARGS,
     "stats() -> Stats\n\nCounters of the server and of every shard, read at one instant."},
    {"setting", (PyCFunction)(void *)server_setting, METH_O,
     "setting(name) -> str\n\nThe value in force of a setting, in Redis's name and form."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef server_properties[] = {
    {"port", (getter)(void *)server_get_port, NULL, "The bound TCP port, or None.", NULL},
    {"running", (getter)(void *)server_get_running, NULL, "Is the server running?", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef server_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct server_object, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot server_slots[] = {
    {Py_tp_new, server_new},
    {Py_tp_dealloc, server_dealloc},
    {Py_tp_methods, server_methods},
    {Py_tp_getset, server_properties},
    {Py_tp_members, server_members},
    {Py_tp_doc, "The C half of kevyrt.Server."},
    {0, NULL},
};

PyType_Spec server_type_spec = {
    .name = "kevyrt._core.Server",
    .basicsize = sizeof(struct server_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = server_slots,
};
