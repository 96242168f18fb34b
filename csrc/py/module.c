/* The module: types, exceptions, and what belongs to the process: the log queue and the command
 * line. */
#include "py/awaiting/aio.h"

#include <string.h>

static struct module_state *state_of(PyObject *module) {
    return PyModule_GetState(module);
}

static PyObject *core_log_next(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    struct kevyrt_log_line line;
    bool found;
    Py_BEGIN_ALLOW_THREADS found = kevyrt_log_next(&line, UINT64_MAX);
    Py_END_ALLOW_THREADS if (!found) Py_RETURN_NONE;
    return Py_BuildValue(
        "(iN)", line.level,
        PyUnicode_DecodeUTF8(line.text, (Py_ssize_t)strlen(line.text), "backslashreplace"));
}

static PyObject *core_log_wanted(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyBool_FromLong(kevyrt_log_wanted());
}

/* The module of a subclass's instance is the one of the base that we defined. */
struct module_state *module_state_of(PyTypeObject *type) {
    for (; type; type = type->tp_base) {
        PyObject *module =
            PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE) ? PyType_GetModule(type) : NULL;
        if (module && PyModule_GetDef(module) == &core_module) return state_of(module);
        PyErr_Clear();
    }
    PyErr_SetString(PyExc_SystemError, "the type does not descend from kevyrt's");
    return NULL;
}

/* ---- Options --------------------------------------------------------------------------------- */

enum { OPTIONS_MAX = 1024 };

static PyObject *settings_list(const struct kevyrt_setting *settings, size_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *pair = Py_BuildValue("(ss)", settings[i].name, settings[i].value);
        if (pair) PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
        else Py_CLEAR(list);
    }
    return list;
}

static PyObject *parse_options(struct module_state *state, int argc, const char *const *argv,
                               const char *input) {
    struct kevyrt_error error = {0};
    struct kevyrt_setting *settings = NULL;
    size_t count = 0;
    enum kevyrt_status status = kevyrt_options_parse(argc, argv, input, &settings, &count, &error);
    if (status != KEVYRT_OK) return errors_raise(state, status, &error);
    PyObject *list = settings_list(settings, count);
    kevyrt_options_free(settings, count);
    return list;
}

static PyObject *core_parse_options(PyObject *module, PyObject *arguments) {
    const char *argv[OPTIONS_MAX], *input = NULL;
    PyObject *words;
    if (!PyArg_ParseTuple(arguments, "O!|z", &PyList_Type, &words, &input)) return NULL;
    Py_ssize_t count = PyList_GET_SIZE(words);
    if (count > OPTIONS_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many options");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        if (!(argv[i] = PyUnicode_AsUTF8(PyList_GET_ITEM(words, i)))) return NULL;
    return parse_options(state_of(module), (int)count, argv, input);
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Who is told and asked, by a thread that is without the GIL in between. */
struct talk {
    PyThreadState *thread;
    PyObject *say, *agree;
    bool failed; /* with an exception */
};

static bool talk(struct talk *talk, PyObject *callable, const char *text) {
    PyEval_RestoreThread(talk->thread);
    PyObject *words =
        talk->failed ? NULL
                     : PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
    PyObject *answer = words ? PyObject_CallOneArg(callable, words) : NULL;
    int agrees = answer ? PyObject_IsTrue(answer) : -1;
    talk->failed |= agrees < 0;
    Py_XDECREF(words);
    Py_XDECREF(answer);
    talk->thread = PyEval_SaveThread();
    return agrees > 0;
}

static void talk_say(void *context, const char *line) {
    struct talk *one = context;
    (void)talk(one, one->say, line);
}

static bool talk_agree(void *context, const char *question) {
    struct talk *one = context;
    return talk(one, one->agree, question);
}

static PyObject *core_check(PyObject *module, PyObject *arguments) {
    (void)module;
    int fix;
    long long until_s;
    PyObject *path;
    struct talk talk = {0};
    if (!PyArg_ParseTuple(arguments, "O&pLOO", PyUnicode_FSConverter, &path, &fix, &until_s,
                          &talk.say, &talk.agree))
        return NULL;
    struct kevyrt_checking checking = {
        .fix = fix, .until_s = until_s, .say = talk_say, .agree = talk_agree, .context = &talk};
    talk.thread = PyEval_SaveThread();
    enum kevyrt_status status = kevyrt_check(PyBytes_AS_STRING(path), &checking);
    PyEval_RestoreThread(talk.thread);
    Py_DECREF(path);
    return talk.failed ? NULL : PyBool_FromLong(status == KEVYRT_OK);
}

/* ---- Module ---------------------------------------------------------------------------------- */

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && PyModule_AddType(module, (PyTypeObject *)type) < 0) Py_CLEAR(type);
    return (PyTypeObject *)type;
}

/* A fast path is there before the table's method of the same name. */
static PyTypeObject *add_face(PyObject *module, PyType_Spec *spec, bool fast) {
    PyTypeObject *type = add_type(module, spec);
    if (type && fast && face_add_methods(type, fast_definitions()) < 0) Py_CLEAR(type);
    if (type && face_add_methods(type, methods_definitions()) < 0) Py_CLEAR(type);
    return type;
}

/* The types of server.aio. */
static int add_aio(PyObject *module, struct module_state *state) {
    struct aio_state *aio = &state->aio;
    aio->core_type = add_type(module, &aio_type_spec);
    aio->awaitable_type = add_type(module, &awaitable_type_spec);
    aio->waiting_type = add_type(module, &waiting_type_spec);
    aio->parked_type = add_type(module, &parked_type_spec);
    aio->bell_type = add_type(module, &bell_type_spec);
    aio->subscriber_type = add_type(module, &subscriber_type_spec);
    if (!aio->core_type || !aio->awaitable_type || !aio->waiting_type || !aio->parked_type ||
        !aio->bell_type || !aio->subscriber_type)
        return -1;
    return face_add_methods(aio->core_type, aio_definitions()) < 0
               ? -1
               : face_add_methods(aio->core_type, methods_definitions());
}

/* One that ends while a thread of Python's is in it, such as the log's, ends the process. By itself Python refuses only those
 * with a GIL of their own, and only from 3.12 on. */
static int require_main_interpreter(void) {
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return 0;
    PyErr_SetString(PyExc_ImportError,
                    "kevyrt runs in the main interpreter only, not in subinterpreters");
    return -1;
}

static int core_exec(PyObject *module) {
    struct module_state *state = state_of(module);
    if (require_main_interpreter() < 0 || errors_init(module, state) < 0) return -1;
    state->server_type = add_face(module, &server_type_spec, true);
    state->database_type = add_face(module, &database_type_spec, true);
    state->session_type = add_face(module, &session_type_spec, false);
    state->pipeline_type = add_face(module, &pipeline_type_spec, false);
    state->snapshot_type = add_type(module, &snapshot_type_spec);
    state->view_type = add_type(module, &view_type_spec);
    state->checkpoint_type = add_type(module, &checkpoint_type_spec);
    state->fault_type = add_type(module, &fault_type_spec);
    if (!state->server_type || !state->database_type || !state->session_type ||
        !state->pipeline_type || !state->snapshot_type || !state->view_type ||
        !state->checkpoint_type || !state->fault_type)
        return -1;
    if (add_aio(module, state) < 0 || face_add_constants(module) < 0) return -1;
    if (clock_init(module) < 0) return -1;
    if (PyModule_AddIntConstant(module, "SHARDS_MAX", KEVYRT_SHARDS_MAX) < 0) return -1;
    if (PyModule_AddStringConstant(module, "redis_version", KEVYRT_REDIS_VERSION) < 0) return -1;
    return PyModule_AddStringConstant(module, "__version__", KEVYRT_VERSION);
}

static int core_traverse(PyObject *module, visitproc visit, void *arg) {
    struct module_state *state = state_of(module);
    Py_VISIT(state->server_type);
    Py_VISIT(state->database_type);
    Py_VISIT(state->session_type);
    Py_VISIT(state->pipeline_type);
    Py_VISIT(state->snapshot_type);
    Py_VISIT(state->view_type);
    Py_VISIT(state->fault_type);
    Py_VISIT(state->checkpoint_type);
    int result = aio_visit(&state->aio, visit, arg);
    return result ? result : errors_visit(state, visit, arg);
}

static int core_clear(PyObject *module) {
    struct module_state *state = state_of(module);
    Py_CLEAR(state->server_type);
    Py_CLEAR(state->database_type);
    Py_CLEAR(state->session_type);
    Py_CLEAR(state->pipeline_type);
    Py_CLEAR(state->snapshot_type);
    Py_CLEAR(state->view_type);
    Py_CLEAR(state->fault_type);
    Py_CLEAR(state->checkpoint_type);
    aio_clear(&state->aio);
    errors_clear(state);
    return 0;
}

static PyMethodDef core_methods[] = {
    {"log_next", core_log_next, METH_NOARGS,
     "log_next($module, /)\n--\n\n"
     "The next line of the log queue as level and text; sleeps until there is one.\n"
     "None when no server runs and no line is left."},
    {"log_wanted", core_log_wanted, METH_NOARGS,
     "log_wanted($module, /)\n--\n\nMay log_next() give another line?"},
    {"parse_options", core_parse_options, METH_VARARGS,
     "parse_options($module, words, standard_input=None, /)\n--\n\n"
     "redis-server's command line as a list of settings: (name, value). ValueError:\n"
     "nonsense; OSError: the file cannot be read."},
    {"check", core_check, METH_VARARGS,
     "check($module, path, fix, until_s, say, agree, /)\n--\n\n"
     "Whether a file of persistence can be loaded; say(line) is told about it, and\n"
     "agree(question) asked before it is changed."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
    {0, NULL},
};

struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kevyrt._core",
    .m_doc = "The C half of kevyrt.",
    .m_size = sizeof(struct module_state),
    .m_methods = core_methods,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
};

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&core_module);
}
