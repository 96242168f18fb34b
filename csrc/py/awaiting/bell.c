/* What wakes a loop: bells, and what is armed with them.
 *
 * From `armed_join` on the core may put the mark of what is armed on the bell, until its end was told; so it holds the bell, and takes
 * its mark back before it goes. Who does that finds the marks of others too: their futures stay with the bell, which is
 * signalled anew.
 */
#include "py/awaiting/aio.h"

struct bell_object {
    PyObject_HEAD struct kevyrt_bell *bell;
    PyObject *futures; /* a list: rung for, and not given to who takes */
};

static int check_made(const struct bell_object *self) {
    if (self->bell) return 0;
    PyErr_SetString(PyExc_RuntimeError, "__init__() has not been called");
    return -1;
}

/* ---- Armed --------------------------------------------------------------------------------------- */

void armed_wake(void *context) {
    struct armed *self = context;
    atomic_store_relaxed(&self->rung, 1);
    kevyrt_bell_ring(&self->mark);
}

int armed_join(struct armed *self, struct module_state *state, PyObject *arguments) {
    struct bell_object *bell;
    PyObject *future;
    if (!PyArg_ParseTuple(arguments, "O!O:arm", state->aio.bell_type, &bell, &future)) return -1;
    if (check_made(bell) < 0) return -1;
    if (self->bell && self->bell != bell) {
        PyErr_SetString(PyExc_RuntimeError, "it belongs to another event loop");
        return -1;
    }
    Py_XSETREF(self->future, Py_NewRef(future));
    if (self->bell) return 0;
    self->bell = (struct bell_object *)Py_NewRef(bell);
    self->mark.bell = bell->bell;
    return 0;
}

/* `gone`: it is being freed. */
static int take_marks(struct bell_object *bell, struct armed *gone) {
    int failed = 0;
    struct kevyrt_mark *mark = kevyrt_bell_take(bell->bell);
    for (struct kevyrt_mark *next; mark; mark = next) {
        struct armed *armed = (struct armed *)((char *)mark - offsetof(struct armed, mark));
        next = mark->next;
        armed->taken = true;
        if (armed == gone || !armed->future) continue;
        if (PyList_Append(bell->futures, armed->future) < 0) failed = -1;
    }
    return failed;
}

void armed_take_back(struct armed *self) {
    if (!self->bell || self->taken || !atomic_load_relaxed(&self->rung)) return;
    if (take_marks(self->bell, self) < 0) PyErr_WriteUnraisable(NULL);
    if (PyList_GET_SIZE(self->bell->futures)) kevyrt_bell_signal(self->bell->bell);
}

/* ---- Bells --------------------------------------------------------------------------------------- */

static int bell_init(struct bell_object *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {NULL};
    struct module_state *state = module_state_of(Py_TYPE(self));
    struct kevyrt_error error = {0};
    if (!state || !PyArg_ParseTupleAndKeywords(arguments, keywords, ":Bell", names)) return -1;
    if (self->bell) return 0;
    if (!self->futures) self->futures = PyList_New(0);
    if (!self->futures) return -1;
    enum kevyrt_status status = kevyrt_bell_new(&self->bell, &error);
    if (status == KEVYRT_OK) return 0;
    errors_raise(state, status, &error);
    return -1;
}

static PyObject *bell_fileno(struct bell_object *self, PyObject *unused) {
    (void)unused;
    if (check_made(self) < 0) return NULL;
    return PyLong_FromLong(kevyrt_bell_fd(self->bell));
}

static PyObject *bell_take(struct bell_object *self, PyObject *unused) {
    (void)unused;
    if (check_made(self) < 0) return NULL;
    PyObject *empty = PyList_New(0);
    if (!empty || take_marks(self, NULL) < 0) {
        Py_XDECREF(empty);
        return NULL;
    }
    PyObject *futures = self->futures;
    self->futures = empty;
    return futures;
}

static int bell_traverse(struct bell_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->futures);
    return 0;
}

static int bell_clear(struct bell_object *self) {
    if (self->futures) PyList_SetSlice(self->futures, 0, PyList_GET_SIZE(self->futures), NULL);
    return 0;
}

static void bell_dealloc(struct bell_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->futures);
    if (self->bell) kevyrt_bell_free(self->bell);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef bell_methods[] = {
    {"fileno", (PyCFunction)(void *)bell_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nThe descriptor, readable once somebody has rung."},
    {"take", (PyCFunction)(void *)bell_take, METH_NOARGS,
     "take($self, /)\n--\n\nThe futures of those that were rung for."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot bell_slots[] = {
    {Py_tp_init, bell_init},
    {Py_tp_dealloc, bell_dealloc},
    {Py_tp_traverse, bell_traverse},
    {Py_tp_clear, bell_clear},
    {Py_tp_methods, bell_methods},
    {Py_tp_doc, "What wakes a loop. One thread takes it; any thread rings."},
    {0, NULL},
};

PyType_Spec bell_type_spec = {
    .name = "kevyrt._core.Bell",
    .basicsize = sizeof(struct bell_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = bell_slots,
};
