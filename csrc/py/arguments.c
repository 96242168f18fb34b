/* Arguments: str, bytes, int, float and any buffer become byte runs.
 *
 * Immutable objects lend their memory, and are kept for the duration of the call: what a caller's list holds could go while the
 * GIL is released. What another thread could change while the call hashes it (bytearray, memoryview) is copied first.
 */
#include "py/module.h"

#include <string.h>

void arguments_init(struct arguments *arguments) {
    arguments->count = arguments->owned_count = 0;
    arguments->command = NULL;
    arguments->digits_used = 0;
    arguments->capacity = ARGUMENTS_INLINE;
    arguments->argv = arguments->argv_inline;
    arguments->owned = arguments->owned_inline;
}

void arguments_deinit(struct arguments *arguments) {
    for (uint32_t i = 0; i < arguments->owned_count; i++) Py_DECREF(arguments->owned[i]);
    if (arguments->argv == arguments->argv_inline) return;
    PyMem_Free(arguments->argv);
    PyMem_Free(arguments->owned);
}

/* A word has at most one object. */
static int grow(struct arguments *arguments, size_t wanted) {
    size_t capacity = arguments->capacity * 2u;
    if (capacity < wanted) capacity = wanted;
    if (capacity > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many arguments");
        return -1;
    }
    struct bytes *argv = PyMem_Malloc(capacity * sizeof *argv);
    PyObject **owned = PyMem_Malloc(capacity * sizeof *owned);
    if (!argv || !owned) {
        PyMem_Free(argv);
        PyMem_Free(owned);
        PyErr_NoMemory();
        return -1;
    }
    memcpy(argv, arguments->argv, arguments->count * sizeof *argv);
    memcpy(owned, arguments->owned, arguments->owned_count * sizeof(PyObject *));
    if (arguments->argv != arguments->argv_inline) {
        PyMem_Free(arguments->argv);
        PyMem_Free(arguments->owned);
    }
    arguments->argv = argv;
    arguments->owned = owned;
    arguments->capacity = (uint32_t)capacity;
    return 0;
}

int arguments_reserve(struct arguments *arguments, Py_ssize_t more) {
    size_t wanted = arguments->count + (size_t)more;
    return wanted <= arguments->capacity ? 0 : grow(arguments, wanted);
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
    if (PyUnicode_CheckExact(object) && PyUnicode_IS_COMPACT_ASCII(object))
        return set_bytes(out, PyUnicode_DATA(object), PyUnicode_GET_LENGTH(object));
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

enum { INT64_DIGITS = 20 };

/* An integer as text, without objects in between. False: it is too long, or there is no room. */
static bool add_digits(struct arguments *arguments, PyObject *number) {
    int overflow;
    long value = PyLong_AsLongAndOverflow(number, &overflow);
    char *at = arguments->digits + arguments->digits_used;
    if (overflow || arguments->digits_used + INT64_DIGITS > ARGUMENTS_DIGITS) return false;
    uint32_t len = (uint32_t)bytes_from_int64(at, value);
    arguments->digits_used += len;
    arguments->argv[arguments->count++] = bytes_of(at, len);
    return true;
}

int arguments_add(struct arguments *arguments, PyObject *object) {
    PyObject *owned;
    if (arguments_reserve(arguments, 1) < 0) return -1;
    if (PyLong_CheckExact(object) && add_digits(arguments, object)) return 0;
    int result = argument_bytes(object, &arguments->argv[arguments->count], &owned);
    if (owned) arguments->owned[arguments->owned_count++] = owned;
    if (result == 0) arguments->count++;
    return result;
}

int arguments_add_all(struct arguments *arguments, PyObject *const *objects, Py_ssize_t count) {
    int result = arguments_reserve(arguments, count);
    for (Py_ssize_t i = 0; i < count && result == 0; i++)
        result = arguments_add(arguments, objects[i]);
    return result;
}

/* The object may go before the call is over, or while it becomes bytes. */
static int add_kept(struct arguments *arguments, PyObject *object) {
    uint32_t owned = arguments->owned_count;
    Py_INCREF(object);
    int result = arguments_add(arguments, object);
    if (result == 0 && arguments->owned_count == owned)
        arguments->owned[arguments->owned_count++] = object;
    else Py_DECREF(object);
    return result;
}

int arguments_add_text(struct arguments *arguments, const char *literal) {
    if (arguments_reserve(arguments, 1) < 0) return -1;
    arguments->argv[arguments->count++] = bytes_of(literal, strlen(literal));
    return 0;
}

int arguments_set(struct arguments *arguments, uint32_t index, PyObject *object) {
    if (add_kept(arguments, object) < 0) return -1;
    arguments->argv[index] = arguments->argv[--arguments->count];
    return 0;
}

/* A list may change meanwhile: what is there when it is looked at counts. */
static int extend_list(struct arguments *arguments, PyObject *list) {
    int result = arguments_reserve(arguments, PyList_GET_SIZE(list));
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(list); i++)
        result = add_kept(arguments, PyList_GET_ITEM(list, i));
    return result;
}

static int extend_tuple(struct arguments *arguments, PyObject *tuple) {
    int result = arguments_reserve(arguments, PyTuple_GET_SIZE(tuple));
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(tuple); i++)
        result = add_kept(arguments, PyTuple_GET_ITEM(tuple, i));
    return result;
}

int arguments_extend(struct arguments *arguments, PyObject *iterable) {
    if (PyList_CheckExact(iterable)) return extend_list(arguments, iterable);
    if (PyTuple_CheckExact(iterable)) return extend_tuple(arguments, iterable);
    PyObject *iterator = PyObject_GetIter(iterable);
    if (!iterator) return -1;
    int result = 0;
    for (PyObject *item; result == 0 && (item = PyIter_Next(iterator)); Py_DECREF(item))
        result = add_kept(arguments, item);
    Py_DECREF(iterator);
    return result < 0 || PyErr_Occurred() ? -1 : 0;
}

static int add_pair(struct arguments *arguments, PyObject *key, PyObject *value, bool value_first) {
    if (add_kept(arguments, value_first ? value : key) < 0) return -1;
    return add_kept(arguments, value_first ? key : value);
}

static bool is_plain(PyObject *object) {
    return PyUnicode_CheckExact(object) || PyBytes_CheckExact(object) ||
           PyLong_CheckExact(object) || PyFloat_CheckExact(object);
}

/* Does nothing that is in it run code of others when it becomes bytes? That could change the dict. */
static bool is_plain_dict(PyObject *mapping) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    if (!PyDict_CheckExact(mapping)) return false;
    while (PyDict_Next(mapping, &at, &key, &value))
        if (!is_plain(key) || !is_plain(value)) return false;
    return true;
}

static int add_plain_dict(struct arguments *arguments, PyObject *dict, bool value_first) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    int result = arguments_reserve(arguments, 2 * PyDict_GET_SIZE(dict));
    while (result == 0 && PyDict_Next(dict, &at, &key, &value))
        result = add_pair(arguments, key, value, value_first);
    return result;
}

int arguments_add_mapping(struct arguments *arguments, PyObject *mapping, bool value_first) {
    if (is_plain_dict(mapping)) return add_plain_dict(arguments, mapping, value_first);
    PyObject *items = PyMapping_Items(mapping);
    int result = items ? arguments_reserve(arguments, 2 * PyList_GET_SIZE(items)) : -1;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = PyList_GET_ITEM(items, i);
        if (PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2)
            result = add_pair(arguments, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1),
                              value_first);
        else {
            PyErr_SetString(PyExc_TypeError, "items() of a mapping gives pairs");
            result = -1;
        }
    }
    Py_XDECREF(items);
    return result;
}

/* An integer; or what `method` of a timedelta or a datetime says, in whole units of 1/`per_second` s. */
static int add_scaled(struct arguments *arguments, PyObject *value, const char *method,
                      int per_second) {
    PyObject *number;
    if (PyLong_Check(value)) return arguments_add(arguments, value);
    if (PyObject_HasAttrString(value, method)) {
        PyObject *seconds = PyObject_CallMethod(value, method, NULL);
        double amount = seconds ? PyFloat_AsDouble(seconds) * per_second : -1;
        Py_XDECREF(seconds);
        number = PyErr_Occurred() ? NULL : PyLong_FromDouble(amount);
    } else {
        number = PyNumber_Index(value);
    }
    int result = number ? add_kept(arguments, number) : -1;
    Py_XDECREF(number);
    return result;
}

int arguments_add_duration(struct arguments *arguments, PyObject *value, int per_second) {
    return add_scaled(arguments, value, "total_seconds", per_second);
}

int arguments_add_time(struct arguments *arguments, PyObject *value, int per_second) {
    return add_scaled(arguments, value, "timestamp", per_second);
}
