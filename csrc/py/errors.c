/* Exceptions: one table, from the code in front of an error reply to a class. */
#include "py/module.h"

#include <string.h>

static const struct error_class {
    const char *code;
    const char *name;
    const char *doc;
} error_classes[] = {
    {"WRONGTYPE", "WrongTypeError", "The key holds another type of value (WRONGTYPE)."},
    {"INVALIDOBJ", "InvalidObjectError", "The value is damaged (INVALIDOBJ)."},
    {"NOAUTH", "NoAuthError", "Authentication is required (NOAUTH)."},
    {"WRONGPASS", "WrongPassError", "User name or password are wrong (WRONGPASS)."},
    {"NOPERM", "NoPermError", "The user may not do this (NOPERM)."},
    {"NOPROTO", "NoProtoError", "HELLO asked for an unknown protocol (NOPROTO)."},
    {"OOM", "OutOfMemoryError", "No memory for the command; nothing was changed (OOM)."},
    {"BUSY", "BusyError", "A script or function is running (BUSY)."},
    {"BUSYKEY", "BusyKeyError", "The target key exists already (BUSYKEY)."},
    {"BUSYGROUP", "BusyGroupError", "The consumer group exists already (BUSYGROUP)."},
    {"NOGROUP", "NoGroupError", "There is no such consumer group (NOGROUP)."},
    {"NOSCRIPT", "NoScriptError", "There is no such script (NOSCRIPT)."},
    {"NOTBUSY", "NotBusyError", "No script is running (NOTBUSY)."},
    {"UNKILLABLE", "UnkillableError", "The script has written and cannot be killed (UNKILLABLE)."},
    {"EXECABORT", "ExecAbortError", "A queued command was wrong; nothing ran (EXECABORT)."},
    {"LOADING", "LoadingError", "The data set is still being loaded (LOADING)."},
    {"MISCONF", "MisconfError", "Writes are refused while they cannot be stored (MISCONF)."},
    {"READONLY", "ReadOnlyError", "Writes are refused here (READONLY)."},
    {"MASTERDOWN", "MasterDownError", "The link to the master is down (MASTERDOWN)."},
    {"NOREPLICAS", "NoReplicasError", "There are too few replicas (NOREPLICAS)."},
    {"UNBLOCKED", "UnblockedError", "The blocked client was unblocked by CLIENT UNBLOCK."},
    {"CROSSSLOT", "CrossSlotError", "Keys do not hash to one slot (CROSSSLOT)."},
    {"MOVED", "MovedError", "The slot is served elsewhere (MOVED)."},
    {"ASK", "AskError", "The slot is being moved (ASK)."},
    {"TRYAGAIN", "TryAgainError", "The slot's keys are being moved (TRYAGAIN)."},
    {"CLUSTERDOWN", "ClusterDownError", "The cluster is down (CLUSTERDOWN)."},
    {"INPROG", "InProgressError", "An operation of this kind is already running (INPROG)."},
    {"IOERR", "TransferError", "A transfer failed (IOERR)."},
    {"DENIED", "DeniedError", "The connection is not allowed (DENIED)."},
};

enum { CLASS_COUNT = sizeof error_classes / sizeof *error_classes };
_Static_assert((int)CLASS_COUNT <= (int)ERROR_CLASSES_MAX, "module_state.classes is too small");

/* `code` may be NULL: only error replies have one. */
static PyObject *make_class(PyObject *module, const char *name, PyObject *base, const char *code,
                            const char *doc) {
    char full[64];
    PyOS_snprintf(full, sizeof full, "kevyrt.%s", name);
    PyObject *members = code ? Py_BuildValue("{s:s}", "code", code) : PyDict_New();
    PyObject *class = members ? PyErr_NewExceptionWithDoc(full, doc, base, members) : NULL;
    Py_XDECREF(members);
    if (class && PyModule_AddObjectRef(module, name, class) < 0) Py_CLEAR(class);
    return class;
}

int errors_init(PyObject *module, struct module_state *state) {
    state->error =
        make_class(module, "Error", PyExc_Exception, NULL, "Base of kevyrt's exceptions.");
    if (!state->error) return -1;
    state->response_error =
        make_class(module, "ResponseError", state->error, "ERR",
                   "An error reply. `code` is its first word, such as ERR or WRONGTYPE.");
    state->server_stopped =
        make_class(module, "ServerStopped", state->error, NULL, "The server is not running.");
    state->subscription_lost =
        make_class(module, "SubscriptionLost", state->error, NULL,
                   "The subscriber was too slow (client-output-buffer-limit); it is told no more.");
    if (!state->subscription_lost) return -1;
    state->forked_error = make_class(module, "ForkedError", state->error, NULL,
                                     "The object belongs to the parent of this forked process.");
    state->persistence_error = make_class(module, "PersistenceError", state->error, NULL,
                                          "Data could not be saved, loaded or rewritten.");
    if (!state->persistence_error) return -1;
    state->damaged_error = make_class(
        module, "DamagedError", state->persistence_error, NULL,
        "What was to be loaded is damaged, or not understood. `filename` (None if it came\n"
        "as bytes) and `offset` say where.");
    if (!state->damaged_error) return -1;
    state->watch_error = make_class(module, "WatchError", state->error, NULL,
                                    "A watched key has changed, and the transaction did not run.");
    if (!state->watch_error) return -1;
    if (!state->response_error || !state->server_stopped || !state->forked_error) return -1;
    for (int i = 0; i < CLASS_COUNT; i++) {
        state->classes[i] = make_class(module, error_classes[i].name, state->response_error,
                                       error_classes[i].code, error_classes[i].doc);
        if (!state->classes[i]) return -1;
    }
    return 0;
}

void errors_clear(struct module_state *state) {
    Py_CLEAR(state->error);
    Py_CLEAR(state->response_error);
    Py_CLEAR(state->server_stopped);
    Py_CLEAR(state->forked_error);
    Py_CLEAR(state->subscription_lost);
    Py_CLEAR(state->persistence_error);
    Py_CLEAR(state->damaged_error);
    Py_CLEAR(state->watch_error);
    for (int i = 0; i < CLASS_COUNT; i++) Py_CLEAR(state->classes[i]);
}

int errors_visit(struct module_state *state, visitproc visit, void *arg) {
    Py_VISIT(state->error);
    Py_VISIT(state->response_error);
    Py_VISIT(state->server_stopped);
    Py_VISIT(state->forked_error);
    Py_VISIT(state->subscription_lost);
    Py_VISIT(state->persistence_error);
    Py_VISIT(state->damaged_error);
    Py_VISIT(state->watch_error);
    for (int i = 0; i < CLASS_COUNT; i++) Py_VISIT(state->classes[i]);
    return 0;
}

static PyObject *class_of(struct module_state *state, const char *code, size_t len) {
    for (int i = 0; i < CLASS_COUNT; i++)
        if (strlen(error_classes[i].code) == len && memcmp(error_classes[i].code, code, len) == 0)
            return state->classes[i];
    return state->response_error;
}

/* The text of the exception is what follows the code ERR, and otherwise the whole reply: clients
 * show it so. */
PyObject *errors_from_reply(struct module_state *state, const char *text, size_t len) {
    const char *space = memchr(text, ' ', len);
    size_t code_len = space ? (size_t)(space - text) : len;
    bool plain = code_len == 3 && memcmp(text, "ERR", 3) == 0 && space;
    const char *shown = plain ? text + 4 : text;
    PyObject *message =
        PyUnicode_DecodeUTF8(shown, (Py_ssize_t)(len - (size_t)(shown - text)), "backslashreplace");
    PyObject *code = PyUnicode_DecodeUTF8(text, (Py_ssize_t)code_len, "backslashreplace");
    PyObject *exception = NULL;
    if (message && code) exception = PyObject_CallOneArg(class_of(state, text, code_len), message);
    if (exception && PyObject_SetAttrString(exception, "code", code) < 0) Py_CLEAR(exception);
    Py_XDECREF(message);
    Py_XDECREF(code);
    return exception;
}

PyObject *errors_raise_wrong_type(struct module_state *state) {
    static const char reply[] = "WRONGTYPE Operation against a key holding the wrong kind of value";
    PyObject *exception = errors_from_reply(state, reply, sizeof reply - 1);
    if (exception) PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_XDECREF(exception);
    return NULL;
}

/* OSError itself picks the subclass, such as PermissionError, if it is called: up to 3.10 an `except` looks at the class
 * that is raised, before an exception is made of it. */
static PyObject *raise_system(const struct kevyrt_error *error) {
    PyObject *file = error->file[0] ? PyUnicode_DecodeFSDefault(error->file) : NULL;
    if (error->file[0] && !file) return NULL;
    PyObject *arguments = file ? Py_BuildValue("(isN)", error->number, error->text, file)
                               : Py_BuildValue("(is)", error->number, error->text);
    if (!arguments) return NULL;
    PyObject *exception = PyObject_CallObject(PyExc_OSError, arguments);
    if (exception) PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_XDECREF(exception);
    Py_DECREF(arguments);
    return NULL;
}

/* Both attributes are there, whatever is known. */
static PyObject *raise_damaged(struct module_state *state, const struct kevyrt_error *error) {
    PyObject *exception = PyObject_CallFunction(state->damaged_error, "s", error->text);
    PyObject *file = error->file[0] ? PyUnicode_DecodeFSDefault(error->file) : Py_NewRef(Py_None);
    PyObject *offset = PyLong_FromUnsignedLongLong(error->offset);
    if (exception && file && offset && PyObject_SetAttrString(exception, "filename", file) == 0 &&
        PyObject_SetAttrString(exception, "offset", offset) == 0)
        PyErr_SetObject(state->damaged_error, exception);
    Py_XDECREF(exception);
    Py_XDECREF(file);
    Py_XDECREF(offset);
    return NULL;
}

PyObject *errors_raise(struct module_state *state, enum kevyrt_status status,
                       const struct kevyrt_error *error) {
    switch (status) {
    case KEVYRT_BAD_CONFIG:
        PyErr_SetString(PyExc_ValueError, error ? error->text : "db is out of range");
        return NULL;
    case KEVYRT_SYSTEM:
        return raise_system(error);
    case KEVYRT_NO_MEMORY:
        return PyErr_NoMemory();
    case KEVYRT_TIMEOUT:
        PyErr_SetString(PyExc_TimeoutError, "timed out");
        return NULL;
    case KEVYRT_DAMAGED:
        return raise_damaged(state, error);
    case KEVYRT_REFUSED:
        PyErr_SetString(state->persistence_error, error->text);
        return NULL;
    case KEVYRT_STOPPED:
    case KEVYRT_WOULD_WAIT:
    case KEVYRT_BLOCKED:
    case KEVYRT_CANCELLED:
    case KEVYRT_GATED:
    case KEVYRT_PAUSED:
    case KEVYRT_UNSAFE:
    case KEVYRT_OK:
        break;
    }
    PyErr_SetString(state->server_stopped, "the server is not running");
    return NULL;
}
