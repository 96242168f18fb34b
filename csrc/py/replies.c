/* Replies: RESP3 bytes, made by our own writer, become Python objects.
 *
 *   bulk, verbatim, big number   bytes, bytes, int      map     dict
 *   simple string                str                    set     set, or list if one has no hash
 *   integer, double, boolean     int, float, bool       array, push   list
 *   null                         None                   error   raised; inside, an exception object
 *
 * A key of a map that is an array becomes a tuple.
 */
#include "base/assert.h"
#include "py/module.h"

#include <string.h>

struct decoder {
    struct module_state *state;
    struct replies_text text;
    const char *at, *end;
};

static PyObject *decode(struct decoder *decoder);

/* The rest of a line, without its end. Replies are ours, hence whole. */
static struct bytes take_line(struct decoder *decoder) {
    const char *end = memchr(decoder->at, '\r', (size_t)(decoder->end - decoder->at));
    struct bytes line = bytes_of(decoder->at, (size_t)(end - decoder->at));
    decoder->at = end + 2;
    return line;
}

/* Most are of one to three digits. */
static Py_ssize_t take_count(struct decoder *decoder) {
    int64_t count = 0;
    const char *at = decoder->at;
    while (*at >= '0' && *at <= '9' && at - decoder->at < 4) count = count * 10 + (*at++ - '0');
    if (KRT_LIKELY(*at == '\r')) {
        decoder->at = at + 2;
        return (Py_ssize_t)count;
    }
    count = 0;
    bytes_to_int64(take_line(decoder), &count);
    return (Py_ssize_t)count;
}

static inline PyObject *decode_bulk(struct decoder *decoder, Py_ssize_t skip) {
    Py_ssize_t len = take_count(decoder);
    const char *at = decoder->at;
    if (len < 0) Py_RETURN_NONE;
    decoder->at += len + 2;
    if (decoder->text.bulk) return PyUnicode_DecodeUTF8(at + skip, len - skip, NULL);
    return PyBytes_FromStringAndSize(at + skip, len - skip);
}

/* Of an array: mostly strings. */
static inline PyObject *decode_item(struct decoder *decoder) {
    if (KRT_UNLIKELY(*decoder->at != '$')) return decode(decoder);
    decoder->at++;
    return decode_bulk(decoder, 0);
}

static PyObject *decode_array(struct decoder *decoder) {
    Py_ssize_t count = take_count(decoder);
    if (count < 0) Py_RETURN_NONE;
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list && i < count; i++) {
        PyObject *item = decode_item(decoder);
        if (item) PyList_SET_ITEM(list, i, item);
        else Py_CLEAR(list);
    }
    return list;
}

static PyObject *hashable(PyObject *object) {
    if (!object || !PyList_Check(object)) return object;
    PyObject *tuple = PyList_AsTuple(object);
    Py_DECREF(object);
    return tuple;
}

static PyObject *decode_map(struct decoder *decoder) {
    Py_ssize_t count = take_count(decoder);
    PyObject *dict = PyDict_New();
    for (Py_ssize_t i = 0; dict && i < count; i++) {
        PyObject *key = hashable(decode(decoder));
        PyObject *value = key ? decode(decoder) : NULL;
        if (!value || PyDict_SetItem(dict, key, value) < 0) Py_CLEAR(dict);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return dict;
}

/* Maps and arrays have no hash: COMMAND INFO has a set of maps. */
static PyObject *decode_set(struct decoder *decoder) {
    PyObject *list = decode_array(decoder);
    if (decoder->text.lists) return list;
    PyObject *set = list ? PySet_New(list) : NULL;
    if (!set && list && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        return list;
    }
    Py_XDECREF(list);
    return set;
}

static PyObject *decode_integer(struct decoder *decoder) {
    int64_t value = 0;
    if (KRT_LIKELY(*decoder->at != '-')) return PyLong_FromSsize_t(take_count(decoder));
    bytes_to_int64(take_line(decoder), &value);
    return PyLong_FromLongLong(value);
}

static PyObject *decode_big_number(struct decoder *decoder) {
    struct bytes line = take_line(decoder);
    PyObject *text = PyUnicode_FromStringAndSize(line.at, line.len);
    PyObject *number = text ? PyLong_FromUnicodeObject(text, 10) : NULL;
    Py_XDECREF(text);
    return number;
}

static PyObject *decode_double(struct decoder *decoder) {
    struct bytes line = take_line(decoder);
    PyObject *text = PyUnicode_FromStringAndSize(line.at, line.len);
    PyObject *number = text ? PyFloat_FromString(text) : NULL;
    Py_XDECREF(text);
    return number;
}

static PyObject *decode_simple(struct decoder *decoder) {
    struct bytes line = take_line(decoder);
    if (!decoder->text.simple) return PyBytes_FromStringAndSize(line.at, line.len);
    return PyUnicode_DecodeUTF8(line.at, line.len, "backslashreplace");
}

static PyObject *decode_error(struct decoder *decoder) {
    struct bytes line = take_line(decoder);
    return errors_from_reply(decoder->state, line.at, line.len);
}

static PyObject *decode_value(struct decoder *decoder, char type) {
    switch (type) {
    case '$':
        return decode_bulk(decoder, 0);
    case '=':
        return decode_bulk(decoder, 4); /* behind "txt:" */
    case '+':
        return decode_simple(decoder);
    case '-':
        return decode_error(decoder);
    case ':':
        return decode_integer(decoder);
    case ',':
        return decode_double(decoder);
    case '(':
        return decode_big_number(decoder);
    case '*':
    case '>':
        return decode_array(decoder);
    case '%':
        return decode_map(decoder);
    case '~':
        return decode_set(decoder);
    case '#':
        return PyBool_FromLong(*take_line(decoder).at == 't');
    case '_':
        take_line(decoder);
        Py_RETURN_NONE;
    }
    PyErr_Format(PyExc_SystemError, "unknown reply type '%c'", type);
    return NULL;
}

static PyObject *decode(struct decoder *decoder) {
    if (Py_EnterRecursiveCall(" while decoding a reply")) return NULL;
    char type = *decoder->at++;
    PyObject *object = decode_value(decoder, type);
    Py_LeaveRecursiveCall();
    return object;
}

PyObject *replies_decode(struct module_state *state, struct replies_text text, const char *at,
                         size_t len) {
    struct decoder decoder = {state, text, at, at + len};
    bool is_error = len && *at == '-';
    if (len == 0) Py_RETURN_NONE; /* SHUTDOWN and its like answer nothing */
    PyObject *object = decode(&decoder);
    if (!is_error || !object) return object;
    PyErr_SetObject((PyObject *)Py_TYPE(object), object);
    Py_DECREF(object);
    return NULL;
}

PyObject *replies_take(struct module_state *state, struct replies_text text, const char **at,
                       const char *end) {
    struct decoder decoder = {state, text, *at, end};
    if (*at == end) Py_RETURN_NONE;
    PyObject *object = decode_item(&decoder);
    *at = decoder.at;
    return object;
}
