/* What all faces share. */
#include "py/faces/face.h"

int face_check_usable(struct face *self) {
    if (!self->server) {
        PyErr_SetString(PyExc_RuntimeError,
                        self->owner ? "it is closed" : "__init__() has not been called");
        return -1;
    }
    if (kevyrt_server_usable(self->server)) return 0;
    PyErr_SetString(self->state->forked_error,
                    "this server belongs to the parent process; start one of your own");
    return -1;
}

int face_init(struct face *self, const struct face_kind *kind, PyObject *server) {
    struct module_state *state = module_state_of(Py_TYPE(self));
    if (!state) return -1;
    if (!PyObject_TypeCheck(server, state->server_type))
        return PyErr_Format(PyExc_TypeError, "a Server is needed, not %.100s",
                            Py_TYPE(server)->tp_name),
               -1;
    if (self->owner) {
        PyErr_SetString(PyExc_RuntimeError, "it is initialised already");
        return -1;
    }
    struct face *owner = as_face(server);
    if (face_check_usable(owner) < 0) return -1;
    self->state = state;
    self->kind = kind;
    self->server = owner->server;
    self->owner = Py_NewRef(server);
    self->decodes = owner->decodes;
    return 0;
}

int face_traverse(struct face *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->owner);
    return 0;
}

int face_clear(struct face *self) {
    self->server = NULL;
    Py_CLEAR(self->owner);
    return 0;
}

void face_dealloc(struct face *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    face_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

int face_add_methods(PyTypeObject *type, PyMethodDef *definition) {
    for (; definition->ml_name; definition++) {
        PyObject *dict = type->tp_dict;
        if (PyDict_GetItemString(dict, definition->ml_name)) continue;
        PyObject *method = PyDescr_NewMethod(type, definition);
        if (!method || PyDict_SetItemString(dict, definition->ml_name, method) < 0) {
            Py_XDECREF(method);
            return -1;
        }
        Py_DECREF(method);
    }
    PyType_Modified(type);
    return 0;
}

static PyObject *run_words(struct face *self, struct result result, PyObject *const *values,
                           Py_ssize_t count) {
    struct arguments arguments;
    PyObject *object = NULL;
    arguments_init(&arguments);
    if (arguments_add_all(&arguments, values, count) == 0 && face_check_usable(self) == 0)
        object = self->kind->run(self, &arguments, result);
    arguments_deinit(&arguments);
    return object;
}

PyObject *face_run(struct face *self, PyObject *const *values, Py_ssize_t count) {
    struct result result;
    if (count < 2) {
        PyErr_SetString(PyExc_TypeError, "_run() needs a result and a command");
        return NULL;
    }
    if (result_parse(values[0], &result) < 0) return NULL;
    return run_words(self, result, values + 1, count - 1);
}

PyObject *face_execute(struct face *self, PyObject *const *values, Py_ssize_t count) {
    if (count > 0) return run_words(self, (struct result){RESULT_EXECUTE, NULL}, values, count);
    PyErr_SetString(PyExc_TypeError, "execute() needs a command");
    return NULL;
}

const char face_execute_doc[] =
    "execute($self, /, *args)\n--\n\n"
    "Runs one command on the calling thread and returns its reply.\n\n"
    "Arguments, replies and errors are those of Server.execute; RuntimeError if a session is\n"
    "closed, or another thread is inside it.\n\n"
    ">>> session.execute(\"SELECT\", 3)\n'OK'";

const char face_run_doc[] =
    "_run($self, result, /, *words)\n--\n\n"
    "Does with a command what the face does: calls, queues or awaits it.\n\n"
    "`result` is a constant of this module, or a callable that makes the\n"
    "method's result of the decoded reply.";
