/* Results: what redis-py's methods make of replies. */
#include "py/faces/face.h"

#include <string.h>

static const char *const names[RESULT_KINDS] = {
    [RESULT_PLAIN] = "PLAIN",
    [RESULT_OK] = "OK",
    [RESULT_BOOL] = "BOOL",
    [RESULT_FLOAT] = "FLOAT",
    [RESULT_SET] = "SET",
    [RESULT_TUPLE] = "TUPLE",
    [RESULT_TUPLES] = "TUPLES",
    [RESULT_TRUE] = "TRUE",
    [RESULT_PONG] = "PONG",
    [RESULT_BYTES] = "BYTES",
    [RESULT_STR] = "STR",
    [RESULT_STRS] = "STRS",
    [RESULT_STR_DICT] = "STR_DICT",
    [RESULT_FLAT] = "FLAT",
    [RESULT_PAIRS] = "PAIRS",
    [RESULT_SCORES] = "SCORES",
    [RESULT_RANK] = "RANK",
    [RESULT_POPPED] = "POPPED",
    [RESULT_PLACES] = "PLACES",
    [RESULT_ENTRIES] = "ENTRIES",
    [RESULT_STREAMS] = "STREAMS",
    [RESULT_SLOW_LOG] = "SLOW_LOG",
    [RESULT_SCAN] = "SCAN",
    [RESULT_SCAN_DICT] = "SCAN_DICT",
    [RESULT_SCAN_SCORES] = "SCAN_SCORES",
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

/* ---- Lists ------------------------------------------------------------------------------------- */

static bool is_pair(PyObject *object) {
    return PyList_Check(object) && PyList_GET_SIZE(object) == 2;
}

typedef PyObject *convert_item(PyObject *item, PyObject *then);

/* The same list with its items converted: it is ours alone. What is no list stays. */
static PyObject *convert_items(PyObject *reply, convert_item *convert, PyObject *then) {
    if (!PyList_Check(reply)) return Py_NewRef(reply);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(reply); i++) {
        PyObject *item = convert(PyList_GET_ITEM(reply, i), then);
        if (!item) return NULL;
        if (PyList_SetItem(reply, i, item) < 0) return NULL;
    }
    return Py_NewRef(reply);
}

static PyObject *to_tuple(PyObject *reply, PyObject *unused) {
    (void)unused;
    return PyList_Check(reply) ? PyList_AsTuple(reply) : Py_NewRef(reply);
}

/* [a, b, c, d] as [(a, b), (c, d)]; second(b) of each b. */
static PyObject *pair_up(PyObject *reply, convert_item *second, PyObject *then) {
    if (!PyList_Check(reply)) return Py_NewRef(reply);
    PyObject *list = PyList_New(PyList_GET_SIZE(reply) / 2);
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(list); i++) {
        PyObject *value = PyList_GET_ITEM(reply, 2 * i + 1);
        value = second ? second(value, then) : Py_NewRef(value);
        PyObject *pair = value ? PyTuple_Pack(2, PyList_GET_ITEM(reply, 2 * i), value) : NULL;
        Py_XDECREF(value);
        if (pair) PyList_SET_ITEM(list, i, pair);
        else Py_CLEAR(list);
    }
    return list;
}

/* [a, b, c, d] as {a: b, c: d}. A map is a dict already, and null an empty one. */
static PyObject *to_dict(PyObject *reply) {
    if (!PyList_Check(reply)) return reply == Py_None ? PyDict_New() : Py_NewRef(reply);
    PyObject *dict = PyDict_New();
    for (Py_ssize_t i = 0; dict && i + 1 < PyList_GET_SIZE(reply); i += 2)
        if (PyDict_SetItem(dict, PyList_GET_ITEM(reply, i), PyList_GET_ITEM(reply, i + 1)) < 0)
            Py_CLEAR(dict);
    return dict;
}

/* ---- Text and numbers --------------------------------------------------------------------------- */

static PyObject *to_bool(PyObject *reply) {
    int truth = PyObject_IsTrue(reply);
    return truth < 0 ? NULL : PyBool_FromLong(truth);
}

static PyObject *to_float(PyObject *reply) {
    if (reply == Py_None || PyFloat_Check(reply)) return Py_NewRef(reply);
    return PyFloat_FromString(reply);
}

static PyObject *to_str(PyObject *reply, PyObject *unused) {
    (void)unused;
    if (!PyBytes_Check(reply)) return Py_NewRef(reply);
    return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(reply), PyBytes_GET_SIZE(reply), "replace");
}

static PyObject *to_str_dict(PyObject *reply) {
    PyObject *key, *value, *dict = PyDict_New();
    Py_ssize_t position = 0;
    while (dict && PyDict_Check(reply) && PyDict_Next(reply, &position, &key, &value)) {
        PyObject *name = to_str(key, NULL), *text = to_str(value, NULL);
        if (!name || !text || PyDict_SetItem(dict, name, text) < 0) Py_CLEAR(dict);
        Py_XDECREF(name);
        Py_XDECREF(text);
    }
    return dict;
}

static PyObject *is_pong(PyObject *reply) {
    PyObject *text = to_str(reply, NULL);
    if (!text) return NULL;
    bool is = PyUnicode_Check(text) && PyUnicode_CompareWithASCIIString(text, "PONG") == 0;
    Py_DECREF(text);
    return PyBool_FromLong(is);
}

/* ---- Scores ------------------------------------------------------------------------------------- */

/* As RESP2 has it: redis-py's casts and its lists without pairs are given that. */
static PyObject *score_bytes(PyObject *score) {
    if (!PyFloat_Check(score)) return Py_NewRef(score);
    char *text = PyOS_double_to_string(PyFloat_AS_DOUBLE(score), 'g', 17, 0, NULL);
    PyObject *bytes = text ? PyBytes_FromString(text) : NULL;
    PyMem_Free(text);
    return bytes;
}

/* A cast that does not take the text, as int does not take b"1e+20", is given a number. */
static PyObject *cast_score(PyObject *score, PyObject *cast) {
    if (!cast) return to_float(score);
    PyObject *bytes = score_bytes(score);
    PyObject *object = bytes ? PyObject_CallOneArg(cast, bytes) : NULL;
    Py_XDECREF(bytes);
    if (object ||
        !(PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_TypeError)))
        return object;
    PyErr_Clear();
    PyObject *number = to_float(score);
    object = number ? PyObject_CallOneArg(cast, number) : NULL;
    Py_XDECREF(number);
    return object;
}

static PyObject *to_scored(PyObject *pair, PyObject *cast) {
    if (!is_pair(pair)) return Py_NewRef(pair);
    if (!cast) return PyList_AsTuple(pair);
    PyObject *score = cast_score(PyList_GET_ITEM(pair, 1), cast);
    PyObject *tuple = score ? PyTuple_Pack(2, PyList_GET_ITEM(pair, 0), score) : NULL;
    Py_XDECREF(score);
    return tuple;
}

/* Members alone; or pairs; or one pair that is not in a list. */
static PyObject *to_scores(PyObject *reply, PyObject *cast) {
    if (is_pair(reply) && PyFloat_Check(PyList_GET_ITEM(reply, 1)))
        return pair_up(reply, cast_score, cast);
    return convert_items(reply, to_scored, cast);
}

static PyObject *to_rank(PyObject *reply, PyObject *cast) {
    if (!is_pair(reply)) return Py_NewRef(reply);
    PyObject *score = cast_score(PyList_GET_ITEM(reply, 1), cast);
    if (!score || PyList_SetItem(reply, 1, score) < 0) return NULL;
    return Py_NewRef(reply);
}

static int append_flat(PyObject *list, PyObject *item) {
    PyObject *object = score_bytes(item);
    int result = object ? PyList_Append(list, object) : -1;
    Py_XDECREF(object);
    return result;
}

static PyObject *flat_of_map(PyObject *map) {
    PyObject *key, *value, *flat = PyList_New(0);
    Py_ssize_t at = 0;
    while (flat && PyDict_Next(map, &at, &key, &value))
        if (append_flat(flat, key) < 0 || append_flat(flat, value) < 0) Py_CLEAR(flat);
    return flat;
}

/* [[a, 1.0], [b, 2.0]] as [a, b"1", b, b"2"]; a map in the same way. */
static PyObject *to_flat(PyObject *reply) {
    if (PyDict_Check(reply)) return flat_of_map(reply);
    if (!PyList_Check(reply)) return Py_NewRef(reply);
    PyObject *flat = PyList_New(0);
    for (Py_ssize_t i = 0; flat && i < PyList_GET_SIZE(reply); i++) {
        PyObject *item = PyList_GET_ITEM(reply, i);
        int failed = is_pair(item) ? append_flat(flat, PyList_GET_ITEM(item, 0)) ||
                                         append_flat(flat, PyList_GET_ITEM(item, 1))
                                   : PyList_Append(flat, item);
        if (failed) Py_CLEAR(flat);
    }
    return flat;
}

static PyObject *with_score_bytes(PyObject *pair, PyObject *unused) {
    (void)unused;
    if (!is_pair(pair)) return Py_NewRef(pair);
    PyObject *score = score_bytes(PyList_GET_ITEM(pair, 1));
    if (!score || PyList_SetItem(pair, 1, score) < 0) return NULL;
    return Py_NewRef(pair);
}

/* [key, [[member, b"score"], ...]] */
static PyObject *to_popped(PyObject *reply) {
    if (!is_pair(reply)) return Py_NewRef(reply);
    PyObject *pairs = convert_items(PyList_GET_ITEM(reply, 1), with_score_bytes, NULL);
    if (!pairs || PyList_SetItem(reply, 1, pairs) < 0) return NULL;
    return Py_NewRef(reply);
}

/* ---- Places -------------------------------------------------------------------------------------- */

/* What comes behind the name of a place: its distance (text), its hash, its coordinates (a list). */
static PyObject *to_place_part(PyObject *part) {
    if (PyList_Check(part)) return PyList_AsTuple(part);
    return PyLong_Check(part) ? Py_NewRef(part) : to_float(part);
}

static PyObject *to_place(PyObject *place, PyObject *unused) {
    (void)unused;
    for (Py_ssize_t i = 1; PyList_Check(place) && i < PyList_GET_SIZE(place); i++) {
        PyObject *part = to_place_part(PyList_GET_ITEM(place, i));
        if (!part || PyList_SetItem(place, i, part) < 0) return NULL;
    }
    return Py_NewRef(place);
}

/* ---- Streams ------------------------------------------------------------------------------------- */

/* (id, {field: value}); (None, None) of one that is gone; an id alone stays. */
static PyObject *to_entry(PyObject *entry, PyObject *unused) {
    (void)unused;
    if (entry == Py_None) return PyTuple_Pack(2, Py_None, Py_None);
    if (!PyList_Check(entry) || PyList_GET_SIZE(entry) < 2) return Py_NewRef(entry);
    PyObject *fields = to_dict(PyList_GET_ITEM(entry, 1));
    PyObject *tuple = fields ? PyTuple_Pack(2, PyList_GET_ITEM(entry, 0), fields) : NULL;
    Py_XDECREF(fields);
    return tuple;
}

/* {name: entries} as [[name, entries]]; null as an empty list. */
static PyObject *to_streams(PyObject *reply) {
    PyObject *name, *entries, *list = PyList_New(0);
    Py_ssize_t position = 0;
    while (list && PyDict_Check(reply) && PyDict_Next(reply, &position, &name, &entries)) {
        PyObject *converted = convert_items(entries, to_entry, NULL);
        PyObject *stream = converted ? Py_BuildValue("[OO]", name, converted) : NULL;
        Py_XDECREF(converted);
        if (!stream || PyList_Append(list, stream) < 0) Py_CLEAR(list);
        Py_XDECREF(stream);
    }
    return list;
}

/* ---- The slow log -------------------------------------------------------------------------------- */

static PyObject *to_slow_call(PyObject *call, PyObject *unused) {
    (void)unused;
    if (!PyList_Check(call) || PyList_GET_SIZE(call) < 6) return Py_NewRef(call);
    PyObject *space = PyBytes_FromString(" ");
    PyObject *words =
        space ? PyObject_CallMethod(space, "join", "O", PyList_GET_ITEM(call, 3)) : NULL;
    Py_XDECREF(space);
    if (!words) return NULL;
    return Py_BuildValue("{sO sO sO sN sO sO}", "id", PyList_GET_ITEM(call, 0), "start_time",
                         PyList_GET_ITEM(call, 1), "duration", PyList_GET_ITEM(call, 2), "command",
                         words, "client_address", PyList_GET_ITEM(call, 4), "client_name",
                         PyList_GET_ITEM(call, 5));
}

/* ---- Scans --------------------------------------------------------------------------------------- */

static PyObject *convert_scanned(struct result result, PyObject *items) {
    if (result.kind == RESULT_SCAN_DICT) return to_dict(items);
    if (result.kind == RESULT_SCAN_SCORES) return pair_up(items, cast_score, result.then);
    return Py_NewRef(items);
}

/* (cursor, items) */
static PyObject *to_scanned(struct result result, PyObject *reply) {
    if (!is_pair(reply)) return Py_NewRef(reply);
    PyObject *items = convert_scanned(result, PyList_GET_ITEM(reply, 1));
    PyObject *text = items ? to_str(PyList_GET_ITEM(reply, 0), NULL) : NULL;
    PyObject *cursor = text ? PyNumber_Long(text) : NULL;
    PyObject *tuple = cursor ? PyTuple_Pack(2, cursor, items) : NULL;
    Py_XDECREF(cursor);
    Py_XDECREF(text);
    Py_XDECREF(items);
    return tuple;
}

/* ---- Kinds --------------------------------------------------------------------------------------- */

static PyObject *convert(struct result result, PyObject *reply) {
    switch (result.kind) {
    case RESULT_PLAIN:
    case RESULT_BYTES:
    case RESULT_OK: /* by result_of_bytes */
        return Py_NewRef(reply);
    case RESULT_BOOL:
        return to_bool(reply);
    case RESULT_FLOAT:
        return to_float(reply);
    case RESULT_SET:
        return PyList_Check(reply) ? PySet_New(reply) : Py_NewRef(reply);
    case RESULT_TUPLE:
        return to_tuple(reply, NULL);
    case RESULT_TUPLES:
        return convert_items(reply, to_tuple, NULL);
    case RESULT_TRUE:
        Py_RETURN_TRUE;
    case RESULT_PONG:
        return is_pong(reply);
    case RESULT_STR:
        return to_str(reply, NULL);
    case RESULT_STRS:
        return convert_items(reply, to_str, NULL);
    case RESULT_STR_DICT:
        return to_str_dict(reply);
    case RESULT_FLAT:
        return to_flat(reply);
    case RESULT_PAIRS:
        return pair_up(reply, NULL, NULL);
    case RESULT_SCORES:
        return to_scores(reply, result.then);
    case RESULT_RANK:
        return to_rank(reply, result.then);
    case RESULT_POPPED:
        return to_popped(reply);
    case RESULT_PLACES:
        return convert_items(reply, to_place, NULL);
    case RESULT_ENTRIES:
        return convert_items(reply, to_entry, NULL);
    case RESULT_STREAMS:
        return to_streams(reply);
    case RESULT_SLOW_LOG:
        return convert_items(reply, to_slow_call, NULL);
    case RESULT_SCAN:
    case RESULT_SCAN_DICT:
    case RESULT_SCAN_SCORES:
        return to_scanned(result, reply);
    case RESULT_EXECUTE:
        return Py_NewRef(reply);
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

static struct replies_text text_of(const struct face *self, struct result result) {
    bool decodes = self->decodes && result.kind != RESULT_BYTES && result.kind != RESULT_SLOW_LOG;
    bool plain = result.kind == RESULT_EXECUTE;
    return (struct replies_text){decodes, decodes || plain, !plain};
}

PyObject *result_take(const struct face *self, struct result result, const char **at,
                      const char *end) {
    bool is_error = *at < end && **at == '-';
    if (result.kind == RESULT_OK && end - *at >= 5 && memcmp(*at, "+OK\r\n", 5) == 0) {
        *at += 5;
        Py_RETURN_TRUE;
    }
    PyObject *object = replies_take(self->state, text_of(self, result), at, end);
    return is_error ? object : result_of_reply(result, object);
}

PyObject *result_of_bytes(const struct face *self, struct result result, const char *at,
                          size_t len) {
    struct replies_text text = text_of(self, result);
    /* A bulk string could say OK too. */
    if (result.kind == RESULT_OK && len == 5 && memcmp(at, "+OK\r\n", 5) == 0) Py_RETURN_TRUE;
    return result_of_reply(result, replies_decode(self->state, text, at, len));
}
