/* Results: what redis-py's methods make of replies. */
#include "py/face.h"

#include <string.h>

static const char *const names[RESULT_KINDS] = {
    [RESULT_PLAIN] = "PLAIN",   [RESULT_OK] = "OK",   [RESULT_BOOL] = "BOOL",
    [RESULT_FLOAT] = "FLOAT",   [RESULT_SET] = "SET", [RESULT_TUPLE] = "TUPLE",
    [RESULT_TUPLES] = "TUPLES",
};

int face_add_constants(PyObject *module) {
    for (int kind = 0; kind < RESULT_KINDS; kind++)
        if (PyModule_AddIntConstant(module, names[kind], kind) < 0) return -1;
    return 0;
}

int result_parse(PyObject *object, struct result *out) {
    *out = (struct result){RESULT_CALL, object};
    if (!PyLong_CheckExact(object)) return 0;
    long kind = PyLong_AsLong(object);
    if (kind < 0 || kind >= RESULT_KINDS) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "there is no such result");
        return -1;
    }
    *out = (struct result){(enum result_kind)kind, NULL};
    return 0;
}

/* ---- Kinds ------------------------------------------------------------------------------------- */

static PyObject *to_bool(PyObject *reply) {
    int truth = PyObject_IsTrue(reply);
    return truth < 0 ? NULL : PyBool_FromLong(truth);
}

static PyObject *to_float(PyObject *reply) {
    if (reply == Py_None || PyFloat_Check(reply)) return Py_NewRef(reply);
    return PyFloat_FromString(reply);
}

static PyObject *to_set(PyObject *reply) {
    return PyAnySet_Check(reply) ? Py_NewRef(reply) : PySet_New(reply);
}

static PyObject *to_tuple(PyObject *reply) {
    return PyList_Check(reply) ? PyList_AsTuple(reply) : Py_NewRef(reply);
}

static PyObject *to_tuples(PyObject *reply) {
    if (!PyList_Check(reply)) return Py_NewRef(reply);
    PyObject *list = PyList_New(PyList_GET_SIZE(reply));
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(reply); i++) {
        PyObject *tuple = to_tuple(PyList_GET_ITEM(reply, i));
        if (tuple) PyList_SET_ITEM(list, i, tuple);
        else Py_CLEAR(list);
    }
    return list;
}

static PyObject *convert(struct result result, PyObject *reply) {
    switch (result.kind) {
    case RESULT_PLAIN:
    case RESULT_OK: /* by result_of_bytes */
        return Py_NewRef(reply);
    case RESULT_BOOL:
        return to_bool(reply);
    case RESULT_FLOAT:
        return to_float(reply);
    case RESULT_SET:
        return to_set(reply);
    case RESULT_TUPLE:
        return to_tuple(reply);
    case RESULT_TUPLES:
        return to_tuples(reply);
    case RESULT_CALL:
        break;
    }
    return PyObject_CallOneArg(result.then, reply);
}

PyObject *result_of_reply(struct result result, PyObject *reply) {
    if (!reply || result.kind == RESULT_PLAIN) return reply;
    PyObject *object = convert(result, reply);
    Py_DECREF(reply);
    return object;
}

PyObject *result_of_bytes(const struct face *self, struct result result, const char *at,
                          size_t len) {
    struct replies_text text = {self->decodes, self->decodes};
    /* A bulk string could say OK too. */
    if (result.kind == RESULT_OK && len == 5 && memcmp(at, "+OK\r\n", 5) == 0) Py_RETURN_TRUE;
    return result_of_reply(result, replies_decode(self->state, text, at, len));
}
