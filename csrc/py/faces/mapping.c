/* The mapping protocol of Server and Database: keys that hold strings, as in a dict.
 *
 * What is iterated, and what is more than one call, is in kevyrt/mapping.py. An object is always true, however many keys it has:
 * `if server:` asks whether there is one.
 */
#include "py/faces/face.h"

PyObject *mapping_get(struct face *self, PyObject *name) {
    PyObject *value = fast_get(self, &name, 1, NULL);
    if (value != Py_None) return value;
    Py_DECREF(value);
    PyErr_SetObject(PyExc_KeyError, name);
    return NULL;
}

/* A command with one key, or none: its reply is a number. -1 with an exception. */
static Py_ssize_t count_of(struct face *self, const char *command, PyObject *name) {
    struct arguments arguments;
    PyObject *reply = NULL;
    arguments_init(&arguments);
    if (arguments_add_text(&arguments, command) == 0 &&
        (!name || arguments_add(&arguments, name) == 0) && face_check_usable(self) == 0)
        reply = self->kind->run(self, &arguments, (struct result){RESULT_PLAIN, NULL});
    arguments_deinit(&arguments);
    Py_ssize_t count = reply ? PyLong_AsSsize_t(reply) : -1;
    Py_XDECREF(reply);
    return count;
}

static int delete_name(struct face *self, PyObject *name) {
    Py_ssize_t count = count_of(self, "DEL", name);
    if (count == 0) PyErr_SetObject(PyExc_KeyError, name);
    return count > 0 ? 0 : -1;
}

int mapping_set(struct face *self, PyObject *name, PyObject *value) {
    if (!value) return delete_name(self, name);
    PyObject *words[] = {name, value};
    PyObject *result = fast_set(self, words, 2, NULL);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

int mapping_contains(struct face *self, PyObject *name) {
    return (int)count_of(self, "EXISTS", name);
}

Py_ssize_t mapping_length(struct face *self) {
    return count_of(self, "DBSIZE", NULL);
}

int mapping_bool(struct face *self) {
    (void)self;
    return 1;
}
