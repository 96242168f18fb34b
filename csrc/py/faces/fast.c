/* The fast path of GET and SET, for faces that call now and have no session.
 *
 * The core is asked without words and a reply in between, with the GIL held as long as the key's baton is free. What has options,
 * and what just now is more than the fast path may decide, goes by the table.
 */
#include "py/faces/face.h"

/* ---- GET ------------------------------------------------------------------------------------- */

static PyObject *text_object(const struct face *self, const struct kevyrt_value *value) {
    if (self->decodes) return PyUnicode_DecodeUTF8(value->at, value->len, NULL);
    return PyBytes_FromStringAndSize(value->at, value->len);
}

PyObject *fast_value(struct face *self, struct kevyrt_value *value) {
    PyObject *object;
    switch (value->found) {
    case KEVYRT_SMALL:
        return text_object(self, value);
    case KEVYRT_MISSING:
        Py_RETURN_NONE;
    case KEVYRT_LARGE:
        object = text_object(self, value);
        kevyrt_value_put(value);
        return object;
    case KEVYRT_WRONG_TYPE:
        break;
    }
    return errors_raise_wrong_type(self->state);
}

static PyObject *settle_value(struct face *self, struct kevyrt_value *value) {
    if (face_settle(self, value->ticket) == 0) return fast_value(self, value);
    kevyrt_value_put(value);
    return NULL;
}

static PyObject *get_bytes(struct face *self, PyObject *const *name, struct bytes key) {
    struct kevyrt_value value;
    enum kevyrt_status status = kevyrt_get(self->server, self->db, key, KEVYRT_TRY, &value);
    if (status == KEVYRT_WOULD_WAIT) {
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_get(self->server, self->db, key, KEVYRT_WAIT_BATONS, &value);
        Py_END_ALLOW_THREADS
    }
    if (status == KEVYRT_OK) return fast_value(self, &value);
    if (status == KEVYRT_UNSAFE) return settle_value(self, &value);
    if (status == KEVYRT_GATED) return method_get(self, name, 1, NULL);
    return face_raise(self, status);
}

PyObject *fast_get(struct face *self, PyObject *const *values, Py_ssize_t count, PyObject *names) {
    return fast_get_by(get_bytes, self, values, count, names);
}

/* ---- SET ------------------------------------------------------------------------------------- */

static PyObject *set_bytes(struct face *self, PyObject *const *values, struct bytes key,
                           struct bytes value) {
    uint64_t ticket;
    enum kevyrt_status status = kevyrt_set(self->server, self->db, key, value, KEVYRT_TRY, &ticket);
    if (status == KEVYRT_WOULD_WAIT) {
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_set(self->server, self->db, key, value, KEVYRT_WAIT_BATONS, &ticket);
        Py_END_ALLOW_THREADS
    }
    if (status == KEVYRT_OK) Py_RETURN_TRUE;
    if (status == KEVYRT_UNSAFE) return face_settle(self, ticket) == 0 ? Py_NewRef(Py_True) : NULL;
    if (status == KEVYRT_GATED) return method_set(self, values, 2, NULL);
    return face_raise(self, status);
}

PyObject *fast_set(struct face *self, PyObject *const *values, Py_ssize_t count, PyObject *names) {
    return fast_set_by(set_bytes, self, values, count, names);
}

/* ---- Python's side ----------------------------------------------------------------------------- */

static PyMethodDef definitions[] = {
    {"get", (PyCFunction)(void *)fast_get, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"set", (PyCFunction)(void *)fast_set, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

PyMethodDef *fast_definitions(void) {
    for (PyMethodDef *definition = definitions; definition->ml_name; definition++)
        definition->ml_doc = methods_doc(definition->ml_name);
    return definitions;
}
