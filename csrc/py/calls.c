/* Calls: any command, and the fast path of GET and SET.
 *
 * A call is tried with the GIL held, which costs nothing while the baton is free; when it is not,
 * the GIL is released before the thread waits. Objects are converted before the try and made after
 * the drop (B5). With a log the result of a call is kept until it may be told (KEVYRT_UNSAFE), and the thread waits for
 * that without the GIL.
 */
#include "py/module.h"

/* ---- Any command ----------------------------------------------------------------------------- */

/* Raises why a call did not happen. Returns NULL. */
static PyObject *raise_failure(struct server_object *self, enum kevyrt_status status) {
    return server_check_usable(self) < 0 ? NULL : errors_raise(self->state, status, NULL);
}

static bool is_initialised(struct server_object *self) {
    return self->server || server_check_usable(self) == 0;
}

/* ---- The log ----------------------------------------------------------------------------------- */

/* Signals run their handlers between two sleeps. 0: the result may be told; -1 with what a handler raised, or because the
 * server stopped and could not keep what was done. */
static int settle(struct server_object *self, uint64_t ticket) {
    for (;;) {
        enum kevyrt_status status;
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_settle(self->server, ticket, kevyrt_now_ns() + SIGNAL_SLICE_NS);
        Py_END_ALLOW_THREADS if (status == KEVYRT_OK) return 0;
        if (status != KEVYRT_TIMEOUT) {
            raise_failure(self, status);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) return -1;
    }
}

/* ---- Waiting for data ------------------------------------------------------------------------ */

/* A handler raised while the command was waiting, and something came before it could be cancelled: what was popped
 * must not be lost with it. It hangs on the exception. */
static void hang_on_exception(struct server_object *self, const struct kevyrt_reply *reply) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *object = replies_decode(self->state, reply->at, reply->len);
    if (!object || PyObject_SetAttrString(value, "kevyrt_reply", object) < 0)
        PyErr_WriteUnraisable((PyObject *)self);
    Py_XDECREF(object);
    PyErr_Restore(type, value, traceback);
}

/* What was popped already may still have to wait for the log. */
static int end_interrupted(struct server_object *self, struct kevyrt_waiting *waiting,
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
static int sleep_until_answered(struct server_object *self, struct kevyrt_waiting *waiting,
                                struct kevyrt_reply *reply) {
    for (;;) {
        enum kevyrt_status status;
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_waiting_wait(waiting, kevyrt_now_ns() + SIGNAL_SLICE_NS, reply);
        Py_END_ALLOW_THREADS if (status == KEVYRT_OK) return 0;
        if (status != KEVYRT_TIMEOUT && status != KEVYRT_BLOCKED) {
            raise_failure(self, status);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) return end_interrupted(self, waiting, reply);
    }
}

static int await_reply(struct server_object *self, struct kevyrt_reply *reply) {
    struct kevyrt_waiting *waiting = reply->waiting;
    int result = sleep_until_answered(self, waiting, reply);
    Py_BEGIN_ALLOW_THREADS kevyrt_waiting_put(waiting);
    Py_END_ALLOW_THREADS return result;
}

/* What was done is not lost with what a handler raised. */
static int settle_reply(struct server_object *self, struct kevyrt_reply *reply) {
    if (settle(self, reply->ticket) == 0) return 0;
    if (kevyrt_server_running(self->server)) hang_on_exception(self, reply);
    kevyrt_reply_free(reply);
    return -1;
}

/* CLIENT PAUSE may hold a call up for long, so signals run their handlers meanwhile. KEVYRT_PAUSED: one raised. */
static enum kevyrt_status call_patiently(struct server_object *self, struct kevyrt_session *session,
                                         uint32_t db, const struct arguments *arguments,
                                         struct kevyrt_reply *reply) {
    for (;;) {
        enum kevyrt_status status;
        Py_BEGIN_ALLOW_THREADS status = kevyrt_call(self->server, session, db, arguments->argv,
                                                    arguments->count, KEVYRT_WAIT_BATONS, reply);
        Py_END_ALLOW_THREADS if (status != KEVYRT_PAUSED || PyErr_CheckSignals() < 0) return status;
    }
}

int server_call(struct server_object *self, struct kevyrt_session *session, uint32_t db,
                const struct arguments *arguments, struct kevyrt_reply *reply) {
    if (!is_initialised(self)) return -1;
    enum kevyrt_status status = kevyrt_call(self->server, session, db, arguments->argv,
                                            arguments->count, KEVYRT_TRY, reply);
    if (status == KEVYRT_WOULD_WAIT) status = call_patiently(self, session, db, arguments, reply);
    if (status == KEVYRT_OK) return 0;
    if (status == KEVYRT_PAUSED) return -1;
    if (status == KEVYRT_UNSAFE) return settle_reply(self, reply);
    if (status == KEVYRT_BLOCKED) return await_reply(self, reply);
    raise_failure(self, status);
    return -1;
}

static int parse_db(PyObject *value, uint32_t *db) {
    long number = PyLong_AsLong(value);
    if (number == -1 && PyErr_Occurred()) return -1;
    if (number < 0 || number > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "db is out of range");
        return -1;
    }
    *db = (uint32_t)number;
    return 0;
}

/* The parameters of get and set: the first `required` may be given by position, the others by name
 * only. */
struct signature {
    const char *function;
    const char *const *parameters;
    int count, required;
};

static int bind_keyword(const struct signature *signature, PyObject *name, PyObject *value,
                        PyObject **out) {
    for (int i = 0; i < signature->count; i++) {
        if (PyUnicode_CompareWithASCIIString(name, signature->parameters[i]) != 0) continue;
        if (out[i]) PyErr_Format(PyExc_TypeError, "multiple values for argument '%U'", name);
        out[i] = value;
        return PyErr_Occurred() ? -1 : 0;
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                 signature->function, name);
    return -1;
}

/* Borrows: out[i] is the argument of parameter i, or NULL. */
static int bind_arguments(const struct signature *signature, PyObject *const *values,
                          Py_ssize_t count, PyObject *names, PyObject **out) {
    if (count > signature->required) {
        PyErr_Format(PyExc_TypeError, "%s() takes %d positional arguments, not %zd",
                     signature->function, signature->required, count);
        return -1;
    }
    for (int i = 0; i < signature->count; i++) out[i] = i < count ? values[i] : NULL;
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++)
        if (bind_keyword(signature, PyTuple_GET_ITEM(names, i), values[count + i], out) < 0)
            return -1;
    for (int i = 0; i < signature->required; i++) {
        if (out[i]) continue;
        PyErr_Format(PyExc_TypeError, "%s() needs the argument '%s'", signature->function,
                     signature->parameters[i]);
        return -1;
    }
    return 0;
}

/* The only keyword of delete and execute. */
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

PyObject *server_execute(struct server_object *self, PyObject *const *values, Py_ssize_t count,
                         PyObject *names) {
    uint32_t db;
    if (parse_db_keyword(values + count, names, &db) < 0) return NULL;
    if (count > 0) return run_command(self, NULL, values, count, db);
    PyErr_SetString(PyExc_TypeError, "execute() needs a command");
    return NULL;
}

PyObject *server_delete(struct server_object *self, PyObject *const *values, Py_ssize_t count,
                        PyObject *names) {
    uint32_t db;
    if (parse_db_keyword(values + count, names, &db) < 0) return NULL;
    if (count > 0) return run_command(self, "DEL", values, count, db);
    return server_check_usable(self) < 0 ? NULL : PyLong_FromLong(0);
}

/* ---- GET ------------------------------------------------------------------------------------- */

static PyObject *value_object(struct server_object *self, struct kevyrt_value *value) {
    PyObject *object;
    static const char wrong_type[] =
        "WRONGTYPE Operation against a key holding the wrong kind of value";
    switch (value->found) {
    case KEVYRT_SMALL:
        return PyBytes_FromStringAndSize(value->at, value->len);
    case KEVYRT_MISSING:
        Py_RETURN_NONE;
    case KEVYRT_LARGE:
        object = PyBytes_FromStringAndSize(value->at, value->len);
        kevyrt_value_put(value);
        return object;
    case KEVYRT_WRONG_TYPE:
        break;
    }
    object = errors_from_reply(self->state, wrong_type, sizeof wrong_type - 1);
    if (object) PyErr_SetObject((PyObject *)Py_TYPE(object), object);
    Py_XDECREF(object);
    return NULL;
}

static PyObject *settle_value(struct server_object *self, struct kevyrt_value *value) {
    if (settle(self, value->ticket) == 0) return value_object(self, value);
    kevyrt_value_put(value);
    return NULL;
}

static PyObject *get_bytes(struct server_object *self, PyObject *name, struct bytes key,
                           uint32_t db) {
    struct kevyrt_value value;
    enum kevyrt_status status = kevyrt_get(self->server, db, key, KEVYRT_TRY, &value);
    if (status == KEVYRT_WOULD_WAIT) {
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_get(self->server, db, key, KEVYRT_WAIT_BATONS, &value);
        Py_END_ALLOW_THREADS
    }
    if (status == KEVYRT_UNSAFE) return settle_value(self, &value);
    if (status == KEVYRT_GATED) return run_command(self, "GET", &name, 1, db);
    return status == KEVYRT_OK ? value_object(self, &value) : raise_failure(self, status);
}

static PyObject *get_object(struct server_object *self, PyObject *name, uint32_t db) {
    PyObject *owned;
    struct bytes key;
    if (!is_initialised(self) || argument_bytes(name, &key, &owned) < 0) return NULL;
    PyObject *object = get_bytes(self, name, key, db);
    Py_XDECREF(owned);
    return object;
}

PyObject *server_get(struct server_object *self, PyObject *const *values, Py_ssize_t count,
                     PyObject *names) {
    enum { NAME, DATABASE, PARAMETERS };
    static const char *const parameters[] = {"key", "db"};
    static const struct signature signature = {"get", parameters, PARAMETERS, 1};
    PyObject *bound[PARAMETERS];
    uint32_t db = 0;
    if (!names && count == 1) return get_object(self, values[0], 0);
    if (bind_arguments(&signature, values, count, names, bound) < 0) return NULL;
    if (bound[DATABASE] && parse_db(bound[DATABASE], &db) < 0) return NULL;
    return get_object(self, bound[NAME], db);
}

/* ---- SET ------------------------------------------------------------------------------------- */

/* True for OK, None when NX or XX forbade it, and with get the old value. */
static PyObject *set_result(PyObject *reply, int get) {
    if (!reply || get || reply == Py_None) return reply;
    Py_DECREF(reply);
    Py_RETURN_TRUE;
}

static PyObject *set_plain(struct server_object *self, PyObject *const *values, uint32_t db) {
    struct bytes key, value;
    PyObject *owned_key = NULL, *owned_value = NULL, *result = NULL;
    if (!is_initialised(self) || argument_bytes(values[0], &key, &owned_key) < 0) return NULL;
    if (argument_bytes(values[1], &value, &owned_value) == 0) {
        uint64_t ticket;
        enum kevyrt_status status = kevyrt_set(self->server, db, key, value, KEVYRT_TRY, &ticket);
        if (status == KEVYRT_WOULD_WAIT) {
            Py_BEGIN_ALLOW_THREADS status =
                kevyrt_set(self->server, db, key, value, KEVYRT_WAIT_BATONS, &ticket);
            Py_END_ALLOW_THREADS
        }
        if (status == KEVYRT_UNSAFE) result = settle(self, ticket) == 0 ? Py_NewRef(Py_True) : NULL;
        else if (status ==
                 KEVYRT_GATED) /* by the general way, which knows what writes have to pass */
            result = set_result(run_command(self, "SET", values, 2, db), 0);
        else result = status == KEVYRT_OK ? Py_NewRef(Py_True) : raise_failure(self, status);
    }
    Py_XDECREF(owned_key);
    Py_XDECREF(owned_value);
    return result;
}

enum set_parameter { KEY, VALUE, EX, PX, NX, XX, KEEPTTL, GET, DB, SET_PARAMETERS };

static const char *const set_parameters[] = {"key", "value",   "ex",  "px", "nx",
                                             "xx",  "keepttl", "get", "db"};
static const struct signature set_signature = {"set", set_parameters, SET_PARAMETERS, 2};

/* An integer, or a timedelta in units of 1/`per_second`. */
static PyObject *duration(PyObject *value, int per_second) {
    if (!PyObject_HasAttrString(value, "total_seconds")) return PyNumber_Index(value);
    PyObject *seconds = PyObject_CallMethod(value, "total_seconds", NULL);
    double amount = seconds ? PyFloat_AsDouble(seconds) * per_second : -1;
    Py_XDECREF(seconds);
    return PyErr_Occurred() ? NULL : PyLong_FromDouble(amount);
}

static int add_expiry(struct arguments *arguments, const char *word, PyObject *value,
                      int per_second) {
    if (!value || value == Py_None) return 0;
    PyObject *number = duration(value, per_second);
    if (!number) return -1;
    arguments_add_text(arguments, word);
    int result = arguments_add(arguments, number);
    Py_DECREF(number);
    return result;
}

/* A word that stands for a true value. */
static int add_flag(struct arguments *arguments, const char *word, PyObject *value) {
    int truth = value ? PyObject_IsTrue(value) : 0;
    if (truth > 0) arguments_add_text(arguments, word);
    return truth < 0 ? -1 : 0;
}

static int build_set(struct arguments *arguments, PyObject *const *bound) {
    arguments_add_text(arguments, "SET");
    if (arguments_add(arguments, bound[KEY]) < 0 || arguments_add(arguments, bound[VALUE]) < 0 ||
        add_expiry(arguments, "EX", bound[EX], 1) < 0 ||
        add_expiry(arguments, "PX", bound[PX], 1000) < 0 ||
        add_flag(arguments, "NX", bound[NX]) < 0 || add_flag(arguments, "XX", bound[XX]) < 0 ||
        add_flag(arguments, "KEEPTTL", bound[KEEPTTL]) < 0)
        return -1;
    return add_flag(arguments, "GET", bound[GET]);
}

static PyObject *set_with_options(struct server_object *self, PyObject *const *bound, uint32_t db) {
    enum { SET_ARGUMENTS_MAX = 12 };
    struct arguments arguments;
    PyObject *object = NULL;
    int get = bound[GET] ? PyObject_IsTrue(bound[GET]) : 0;
    if (get < 0 || arguments_init(&arguments, SET_ARGUMENTS_MAX) < 0) return NULL;
    if (build_set(&arguments, bound) == 0)
        object = set_result(call_and_decode(self, db, &arguments), get);
    arguments_deinit(&arguments);
    return object;
}

PyObject *server_set(struct server_object *self, PyObject *const *values, Py_ssize_t count,
                     PyObject *names) {
    PyObject *bound[SET_PARAMETERS];
    uint32_t db = 0;
    bool plain = true;
    if (!names && count == 2) return set_plain(self, values, 0);
    if (bind_arguments(&set_signature, values, count, names, bound) < 0) return NULL;
    if (bound[DB] && parse_db(bound[DB], &db) < 0) return NULL;
    for (int i = EX; i <= GET; i++) plain = plain && !bound[i];
    return plain ? set_plain(self, bound, db) : set_with_options(self, bound, db);
}
