/* The C half of kevyrt.faults. */
#include "py/faces/face.h"

struct fault_object {
    PyObject_HEAD struct kevyrt_fault *fault;
};

static void fault_dealloc(struct fault_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    kevyrt_fault_put(self->fault);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *fault_get_hits(struct fault_object *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(kevyrt_fault_hits(self->fault));
}

static PyObject *fault_get_left(struct fault_object *self, void *unused) {
    (void)unused;
    uint64_t left = kevyrt_fault_left(self->fault);
    if (left == KEVYRT_FAULT_ANY) Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(left);
}

static PyGetSetDef fault_properties[] = {
    {"hits", (getter)(void *)fault_get_hits, NULL, "How many commands met it.", NULL},
    {"left", (getter)(void *)fault_get_left, NULL, "How many more will; None: any number.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot fault_slots[] = {
    {Py_tp_dealloc, fault_dealloc},
    {Py_tp_getset, fault_properties},
    {Py_tp_doc, "The C half of kevyrt.Fault."},
    {0, NULL},
};

PyType_Spec fault_type_spec = {
    .name = "kevyrt._core.FaultHandle",
    .basicsize = sizeof(struct fault_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = fault_slots,
};

/* ---- The server's methods -------------------------------------------------------------------- */

static PyObject *raise_failure(struct server_object *self, enum kevyrt_status status,
                               const struct kevyrt_error *error) {
    if (status != KEVYRT_REFUSED) return errors_raise(self->state, status, error);
    PyErr_SetString(PyExc_RuntimeError, error->text);
    return NULL;
}

/* Takes the fault over. */
static PyObject *handle_new(struct server_object *self, struct kevyrt_fault *fault) {
    PyTypeObject *type = self->state->fault_type;
    struct fault_object *handle = (void *)type->tp_alloc(type, 0);
    if (handle) handle->fault = fault;
    else kevyrt_fault_put(fault);
    return (PyObject *)handle;
}

/* Key and client are bytes or None; numbers that are None in Python are KEVYRT_FAULT_ANY here. */
PyObject *server_fault_add(struct server_object *self, PyObject *arguments) {
    struct kevyrt_fault_rule rule = {0};
    struct kevyrt_fault *fault = NULL;
    struct kevyrt_error error = {0};
    enum kevyrt_status status;
    Py_ssize_t key_len, client_len;
    unsigned long long client_id, delay_us, after_bytes, times;
    int drop;
    if (!PyArg_ParseTuple(arguments, "zz#z#KKziKK", &rule.command, &rule.key.at, &key_len,
                          &rule.client.at, &client_len, &client_id, &delay_us, &rule.error, &drop,
                          &after_bytes, &times) ||
        face_check_usable(as_face(self)) < 0)
        return NULL;
    rule.key.len = (uint32_t)key_len;
    rule.client.len = (uint32_t)client_len;
    rule.client_id = client_id;
    rule.delay_us = delay_us;
    rule.drop = (enum kevyrt_fault_drop)drop;
    rule.after_bytes = after_bytes;
    rule.times = times;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_fault_add(self->server, &rule, &fault, &error);
    Py_END_ALLOW_THREADS if (status != KEVYRT_OK) return raise_failure(self, status, &error);
    return handle_new(self, fault);
}

PyObject *server_fault_remove(struct server_object *self, PyObject *handle) {
    struct kevyrt_error error = {0};
    enum kevyrt_status status;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    if (Py_TYPE(handle) != self->state->fault_type)
        return PyErr_Format(PyExc_TypeError, "not a fault: %R", handle);
    struct kevyrt_fault *fault = ((struct fault_object *)handle)->fault;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_fault_remove(self->server, fault, &error);
    Py_END_ALLOW_THREADS if (status != KEVYRT_OK) return raise_failure(self, status, &error);
    Py_RETURN_NONE;
}

PyObject *server_faults_clear(struct server_object *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_error error = {0};
    enum kevyrt_status status;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_faults_clear(self->server, &error);
    Py_END_ALLOW_THREADS if (status != KEVYRT_OK) return raise_failure(self, status, &error);
    Py_RETURN_NONE;
}
