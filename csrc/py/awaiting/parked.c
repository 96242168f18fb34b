/* A call that could not be made at once and still is to be: a thread of the loop's executor makes it.
 *
 * It waits there for its places, and looks every second at most of a pause whether it is still wanted. Until it has run, a cancel
 * undoes it; one that comes while it runs comes too late, and the outcome is told.
 */
#include "py/awaiting/aio.h"

#include <string.h>

struct parked {
    PyObject_HEAD struct face *face;
    struct result result; /* `then` is held */
    struct bytes *argv;   /* with the bytes behind it */
    uint32_t argc;
    bool inside; /* the session */
    /* The loop's thread sets, the executor's reads without the GIL; relaxed: a hint. */
    atomic_u32 cancelled;
};

/* Their bytes lie behind the words. */
static struct bytes *copy_words(const struct arguments *arguments) {
    size_t bytes = arguments->count * sizeof(struct bytes);
    for (uint32_t i = 0; i < arguments->count; i++) bytes += arguments->argv[i].len;
    struct bytes *argv = PyMem_Malloc(bytes);
    if (!argv) return NULL;
    char *at = (char *)(argv + arguments->count);
    for (uint32_t i = 0; i < arguments->count; i++) {
        struct bytes word = arguments->argv[i];
        bytes_copy(at, word.at, word.len);
        argv[i] = bytes_of(at, word.len);
        at += word.len;
    }
    return argv;
}

PyObject *parked_call(struct face *face, const struct arguments *arguments, struct result result) {
    struct parked *self = (struct parked *)PyType_GenericAlloc(face->state->aio.parked_type, 0);
    if (!self) return NULL;
    self->argv = copy_words(arguments);
    if (!self->argv) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->argc = arguments->count;
    self->face = as_face(Py_NewRef(face));
    self->result = result;
    Py_XINCREF(result.then);
    self->inside = face->busy = face->session != NULL;
    return (PyObject *)self;
}

static void leave(struct parked *self) {
    if (self->inside) self->face->busy = false;
    self->inside = false;
}

/* On a thread of the executor: an awaitable, or None: it was cancelled before. */
static PyObject *parked_run(struct parked *self, PyObject *unused) {
    (void)unused;
    struct face *face = self->face;
    struct kevyrt_reply reply;
    enum kevyrt_status status = KEVYRT_PAUSED;
    if (face_check_usable(face) < 0) {
        leave(self);
        return awaitable_done(face->state, NULL);
    }
    Py_BEGIN_ALLOW_THREADS while (status == KEVYRT_PAUSED && !atomic_load_relaxed(&self->cancelled))
        status = kevyrt_call(face->server, face->session, face->db, self->argv, self->argc,
                             KEVYRT_WAIT_BATONS, &reply);
    Py_END_ALLOW_THREADS leave(self);
    if (status == KEVYRT_PAUSED) Py_RETURN_NONE;
    return aio_awaitable(face, status, &reply, NULL, self->result);
}

static PyObject *parked_cancel(struct parked *self, PyObject *unused) {
    (void)unused;
    atomic_store_relaxed(&self->cancelled, 1);
    Py_RETURN_NONE;
}

static int parked_traverse(struct parked *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->face);
    Py_VISIT(self->result.then);
    return 0;
}

static void parked_dealloc(struct parked *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->face) leave(self);
    Py_CLEAR(self->result.then);
    Py_CLEAR(self->face);
    PyMem_Free(self->argv);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef parked_methods[] = {
    {"run", (PyCFunction)(void *)parked_run, METH_NOARGS,
     "run($self, /)\n--\n\n"
     "Makes the call, in any thread: an awaitable for its result. None: it was cancelled."},
    {"cancel", (PyCFunction)(void *)parked_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\nrun() is to return None, if it is not too late."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot parked_slots[] = {
    {Py_tp_dealloc, parked_dealloc},
    {Py_tp_traverse, parked_traverse},
    {Py_tp_methods, parked_methods},
    {Py_tp_doc, "A call of server.aio that could not be made at once."},
    {0, NULL},
};

PyType_Spec parked_type_spec = {
    .name = "kevyrt._core.Parked",
    .basicsize = sizeof(struct parked),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = parked_slots,
};
