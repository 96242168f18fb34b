/* get_view: the bytes of a value, where they lie.
 *
 * A large value is lent by the core (server/loan.c) and not copied; the object that holds the loan exports its memory, read-only, and
 * memoryview does the rest. A short value is a bytes object, which costs less than a loan.
 */
#include "py/faces/face.h"

struct view_object {
    PyObject_HEAD struct kevyrt_loan *loan;
    const char *at;
    Py_ssize_t len;
};

static int view_get_buffer(struct view_object *self, Py_buffer *buffer, int flags) {
    return PyBuffer_FillInfo(buffer, (PyObject *)self, (void *)(uintptr_t)self->at, self->len, 1,
                             flags);
}

/* The loan may be the last that keeps the server. */
static void view_dealloc(struct view_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    struct kevyrt_loan *loan = self->loan;
    Py_BEGIN_ALLOW_THREADS kevyrt_loan_put(loan);
    Py_END_ALLOW_THREADS type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot view_slots[] = {
    {Py_tp_dealloc, view_dealloc},
    {Py_bf_getbuffer, view_get_buffer},
    {Py_tp_doc, "What a memoryview of a large value looks at."},
    {0, NULL},
};

PyType_Spec view_type_spec = {
    .name = "kevyrt._core.View",
    .basicsize = sizeof(struct view_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = view_slots,
};

/* Takes the loan over, whatever happens. */
static PyObject *view_new(struct face *self, const struct kevyrt_value *value,
                          struct kevyrt_loan *loan) {
    PyTypeObject *type = self->state->view_type;
    struct view_object *view = (void *)type->tp_alloc(type, 0);
    if (!view) {
        Py_BEGIN_ALLOW_THREADS kevyrt_loan_put(loan);
        Py_END_ALLOW_THREADS return NULL;
    }
    view->loan = loan;
    view->at = value->at;
    view->len = value->len;
    return (PyObject *)view;
}

static PyObject *memory_of(PyObject *exporter) {
    PyObject *memory = exporter ? PyMemoryView_FromObject(exporter) : NULL;
    Py_XDECREF(exporter);
    return memory;
}

static PyObject *view_of(struct face *self, const struct kevyrt_value *value,
                         struct kevyrt_loan *loan) {
    switch (value->found) {
    case KEVYRT_MISSING:
        Py_RETURN_NONE;
    case KEVYRT_SMALL:
        return memory_of(PyBytes_FromStringAndSize(value->at, value->len));
    case KEVYRT_LARGE:
        return memory_of(view_new(self, value, loan));
    case KEVYRT_WRONG_TYPE:
        break;
    }
    return errors_raise_wrong_type(self->state);
}

static PyObject *settled_view(struct face *self, const struct kevyrt_value *value,
                              struct kevyrt_loan *loan) {
    if (face_settle(self, value->ticket) == 0) return view_of(self, value, loan);
    if (!loan) return NULL;
    Py_BEGIN_ALLOW_THREADS kevyrt_loan_put(loan);
    Py_END_ALLOW_THREADS return NULL;
}

/* What has to pass more than the fast path knows is got as ever: by a copy. */
static PyObject *general_view(struct face *self, PyObject *name) {
    PyObject *value = method_get(self, &name, 1, NULL);
    return !value || value == Py_None ? value : memory_of(value);
}

static PyObject *borrow(struct face *self, PyObject *name, struct bytes key) {
    struct kevyrt_value value;
    struct kevyrt_loan *loan;
    enum kevyrt_status status =
        kevyrt_borrow(self->server, self->db, key, KEVYRT_TRY, &value, &loan);
    if (status == KEVYRT_WOULD_WAIT) {
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_borrow(self->server, self->db, key, KEVYRT_WAIT_BATONS, &value, &loan);
        Py_END_ALLOW_THREADS
    }
    if (status == KEVYRT_OK) return view_of(self, &value, loan);
    if (status == KEVYRT_UNSAFE) return settled_view(self, &value, loan);
    if (status == KEVYRT_GATED) return general_view(self, name);
    return face_raise(self, status);
}

PyObject *view_get(struct face *self, PyObject *name) {
    struct bytes key;
    PyObject *owned;
    if (face_check_usable(self) < 0 || argument_bytes(name, &key, &owned) < 0) return NULL;
    PyObject *view = borrow(self, name, key);
    Py_XDECREF(owned);
    return view;
}

const char view_get_doc[] =
    "get_view($self, name, /)\n--\n\n"
    "The value of a string key as a read-only memoryview, or None if there is no such key.\n\n"
    "A value of more than 1,024 bytes is not copied: the view keeps it as it is now, whatever\n"
    "becomes of the key and the server, and its memory counts as the server's until the view is\n"
    "gone.\n\n"
    "Raises WrongTypeError if the key holds something else, ServerStopped, ForkedError.\n\n"
    ">>> server.set(\"picture\", bytes(100_000))\nTrue\n"
    ">>> len(server.get_view(\"picture\"))\n100000";
