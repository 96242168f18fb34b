/* Arguments: str, bytes, int, float and any buffer become byte runs.
 *
 * Immutable objects lend their memory; the caller holds them for the duration of the call. What
 * another thread could change while the call hashes it (bytearray, memoryview) is copied first.
 */
#include "py/module.h"

int arguments_init(struct arguments *arguments, Py_ssize_t capacity) {
    arguments->count = arguments->owned_count = 0;
    arguments->argv = arguments->argv_inline;
    arguments->owned = arguments->owned_inline;
    if (capacity <= ARGUMENTS_INLINE) return 0;
    arguments->argv = PyMem_Malloc((size_t)capacity * sizeof *arguments->argv);
    arguments->owned = PyMem_Malloc((size_t)capacity * sizeof *arguments->owned);
    if (arguments->argv && arguments->owned) return 0;
    arguments_deinit(arguments);
    PyErr_NoMemory();
    return -1;
}

void arguments_deinit(struct arguments *arguments) {
    for (uint32_t i = 0; i < arguments->owned_count; i++) Py_DECREF(arguments->owned[i]);
    arguments->owned_count = 0;
    if (arguments->argv != arguments->argv_inline) PyMem_Free(arguments->argv);
    if (arguments->owned != arguments->owned_inline) PyMem_Free(arguments->owned);
    arguments->argv = arguments->argv_inline;
    arguments->owned = arguments->owned_inline;
}

static int set_bytes(struct bytes *out, const char *at, Py_ssize_t len) {
    if ((size_t)len > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "argument is longer than 4 GiB");
        return -1;
    }
    *out = bytes_of(at, (size_t)len);
    return 0;
}

/* int and float in the decimal form that redis-py sends; anything else by a copy of its buffer. */
static PyObject *convert(PyObject *object) {
    PyObject *text;
    if (PyBool_Check(object) || object == Py_None) {
        PyErr_Format(PyExc_TypeError,
                     "argument must be str, bytes, int, float or a buffer, not %.100s; convert it "
                     "first",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    if (PyObject_CheckBuffer(object)) return PyBytes_FromObject(object);
    if (PyLong_Check(object)) text = PyNumber_ToBase(object, 10);
    else if (PyFloat_Check(object)) text = PyObject_Repr(object);
    else {
        PyErr_Format(PyExc_TypeError,
                     "argument must be str, bytes, int, float or a buffer, not %.100s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    PyObject *bytes = text ? PyUnicode_AsUTF8String(text) : NULL;
    Py_XDECREF(text);
    return bytes;
}

int argument_bytes(PyObject *object, struct bytes *out, PyObject **owned) {
    Py_ssize_t len;
    *owned = NULL;
    if (PyBytes_CheckExact(object))
        return set_bytes(out, PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object));
    if (PyUnicode_Check(object)) {
        const char *at = PyUnicode_AsUTF8AndSize(object, &len);
        return at ? set_bytes(out, at, len) : -1;
    }
    PyObject *bytes = convert(object);
    if (!bytes) return -1;
    *owned = bytes;
    return set_bytes(out, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
}

int arguments_add(struct arguments *arguments, PyObject *object) {
    PyObject *owned;
    int result = argument_bytes(object, &arguments->argv[arguments->count], &owned);
    if (owned) arguments->owned[arguments->owned_count++] = owned;
    if (result == 0) arguments->count++;
    return result;
}

int arguments_add_text(struct arguments *arguments, const char *literal) {
    arguments->argv[arguments->count++] = bytes_of(literal, strlen(literal));
    return 0;
}
