/* kevyrt.Checkpoint: an instant that a server goes back to.
 *
 * Every call takes all batons, for which it may wait: without the GIL.
 */
#include "py/faces/face.h"

struct checkpoint_object {
    PyObject_HEAD struct kevyrt_checkpoint *checkpoint; /* NULL: closed */
    PyObject *server;                                   /* its object */
    uint32_t inside; /* calls that go on without the GIL; close() does not come between */
};

static struct checkpoint_object *as_checkpoint(PyObject *object) {
    return (struct checkpoint_object *)object;
}

static PyObject *raise(struct checkpoint_object *self, enum kevyrt_status status,
                       const struct kevyrt_error *error) {
    if (face_check_usable(as_face(self->server)) < 0) return NULL;
    return errors_raise(as_face(self->server)->state, status, error);
}

typedef enum kevyrt_status checkpoint_call(struct kevyrt_checkpoint *checkpoint,
                                           struct kevyrt_error *error);

static PyObject *run(struct checkpoint_object *self, checkpoint_call *call) {
    struct kevyrt_error error = {0};
    enum kevyrt_status status;
    if (self->server && face_check_usable(as_face(self->server)) < 0) return NULL;
    if (!self->checkpoint) {
        PyErr_SetString(PyExc_RuntimeError, "the checkpoint is closed");
        return NULL;
    }
    self->inside++;
    Py_BEGIN_ALLOW_THREADS status = call(self->checkpoint, &error);
    Py_END_ALLOW_THREADS self->inside--;
    if (status != KEVYRT_OK) return raise(self, status, &error);
    Py_RETURN_NONE;
}

static PyObject *checkpoint_rewind(PyObject *object, PyObject *unused) {
    (void)unused;
    return run(as_checkpoint(object), kevyrt_checkpoint_rewind);
}

static PyObject *checkpoint_renew(PyObject *object, PyObject *unused) {
    (void)unused;
    return run(as_checkpoint(object), kevyrt_checkpoint_renew);
}

static void put(struct checkpoint_object *self) {
    struct kevyrt_checkpoint *checkpoint = self->checkpoint;
    self->checkpoint = NULL;
    if (!checkpoint) return;
    Py_BEGIN_ALLOW_THREADS kevyrt_checkpoint_put(checkpoint);
    Py_END_ALLOW_THREADS
}

static PyObject *checkpoint_close(PyObject *object, PyObject *unused) {
    (void)unused;
    struct checkpoint_object *self = as_checkpoint(object);
    if (self->inside) {
        PyErr_SetString(PyExc_RuntimeError, "another thread is inside this checkpoint");
        return NULL;
    }
    put(self);
    Py_RETURN_NONE;
}

static PyObject *checkpoint_enter(PyObject *object, PyObject *unused) {
    (void)unused;
    return Py_NewRef(object);
}

static bool runs(const struct checkpoint_object *self) {
    const struct kevyrt_server *server = self->server ? as_face(self->server)->server : NULL;
    return server && kevyrt_server_usable(server) && kevyrt_server_running(server);
}

/* Closed with an exception set, which stays. */
static PyObject *close_failed(PyObject *object) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_XDECREF(checkpoint_close(object, NULL));
    PyErr_Restore(type, value, traceback);
    return NULL;
}

/* The block's exception goes on, whatever comes of going back. A child has nothing to go back to. */
static PyObject *checkpoint_exit(PyObject *object, PyObject *arguments) {
    (void)arguments;
    struct checkpoint_object *self = as_checkpoint(object);
    PyObject *result = runs(self) && self->checkpoint ? checkpoint_rewind(object, NULL) : NULL;
    if (!result && PyErr_Occurred()) return close_failed(object);
    Py_XDECREF(result);
    return checkpoint_close(object, NULL);
}

static int checkpoint_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(as_checkpoint(object)->server);
    return 0;
}

/* A server may hold its own checkpoint. */
static int checkpoint_clear(PyObject *object) {
    put(as_checkpoint(object));
    Py_CLEAR(as_checkpoint(object)->server);
    return 0;
}

static void checkpoint_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    (void)checkpoint_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef checkpoint_methods[] = {
    {"rewind", checkpoint_rewind, METH_NOARGS,
     "rewind($self, /)\n--\n\n"
     "All databases hold again, at one instant, what they held when the checkpoint was taken.\n\n"
     "It takes time proportional to what has changed since, and may be done any number of times.\n"
     "Deadlines come back as they were: what is due by now expires. Clients see it as they see\n"
     "writes: transactions that watch what comes back are broken, those who cache are told, those\n"
     "who wait for a key that is there now are served. There are no notifications, and settings,\n"
     "clients and statistics stay as they are.\n\n"
     "Raises PersistenceError if the server was stopped since, is loading or restoring, or logs\n"
     "(`appendonly`); MemoryError, and the data is as it was; RuntimeError if the checkpoint is\n"
     "closed; ServerStopped, ForkedError.\n\n"
     ">>> checkpoint = server.checkpoint()\n"
     ">>> server.flushall()\nTrue\n"
     ">>> checkpoint.rewind()\n"
     ">>> server.get(\"greeting\")\nb'hello'\n"
     ">>> checkpoint.close()"},
    {"renew", checkpoint_renew, METH_NOARGS,
     "renew($self, /)\n--\n\n"
     "What is there now is what rewind() comes back to from now on.\n\n"
     "Raises the same as rewind(), but for MemoryError.\n\n"
     ">>> with server.checkpoint() as checkpoint:\n"
     "...     _ = server.set(\"kept\", 1)\n"
     "...     checkpoint.renew()\n"
     "...     _ = server.set(\"dropped\", 1)\n"
     ">>> server.delete(\"kept\", \"dropped\")\n1"},
    {"close", checkpoint_close, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Ends it: nothing is kept any more, and another one may be taken. The data stays as it is.\n"
     "The end of a `with` block rewinds, then closes; a forgotten checkpoint is closed.\n\n"
     "Raises RuntimeError if another thread is inside of it.\n\n"
     ">>> checkpoint = server.checkpoint()\n"
     ">>> checkpoint.close()"},
    {"__enter__", checkpoint_enter, METH_NOARGS, "Returns itself."},
    {"__exit__", checkpoint_exit, METH_VARARGS, "Rewinds, if the server runs, and closes."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot checkpoint_slots[] = {
    {Py_tp_dealloc, checkpoint_dealloc},
    {Py_tp_traverse, checkpoint_traverse},
    {Py_tp_clear, checkpoint_clear},
    {Py_tp_methods, checkpoint_methods},
    {Py_tp_doc, "An instant that a server goes back to; Server.checkpoint() takes one.\n\n"
                "It holds its server. A stop of that ends it."},
    {0, NULL},
};

PyType_Spec checkpoint_type_spec = {
    .name = "kevyrt.Checkpoint",
    .basicsize = sizeof(struct checkpoint_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_HAVE_GC,
    .slots = checkpoint_slots,
};

/* ---- Methods of the server ---------------------------------------------------------------------- */

PyObject *server_checkpoint(struct server_object *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_error error = {0};
    PyTypeObject *type = self->state ? self->state->checkpoint_type : NULL;
    enum kevyrt_status status;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    struct checkpoint_object *object = as_checkpoint(type->tp_alloc(type, 0));
    if (!object) return NULL;
    object->server = Py_NewRef(self);
    Py_BEGIN_ALLOW_THREADS status =
        kevyrt_checkpoint_take(self->server, &object->checkpoint, &error);
    Py_END_ALLOW_THREADS if (status == KEVYRT_OK) return (PyObject *)object;
    PyObject *nothing = raise(object, status, &error);
    Py_DECREF(object);
    return nothing;
}

PyObject *server_unpause(struct server_object *self, PyObject *unused) {
    (void)unused;
    enum kevyrt_status status;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS status = kevyrt_server_unpause(self->server);
    Py_END_ALLOW_THREADS if (status != KEVYRT_OK) return face_raise(as_face(self), status);
    Py_RETURN_NONE;
}

PyObject *server_marks(struct server_object *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_marks marks;
    if (face_check_usable(as_face(self)) < 0) return NULL;
    kevyrt_server_marks(self->server, &marks);
    return Py_BuildValue("(KK)", (unsigned long long)marks.settings,
                         (unsigned long long)marks.clients);
}
