/* What a loop waits with: Waiting, and the Bell that wakes it.
 *
 * A Waiting is the core's (kevyrt_waiting) and what its answer becomes. `arm` joins it to a bell. From then on the core may put its
 * mark on the bell, until its end was told; so it holds the bell, and takes its mark back before it goes. Who does that finds the marks
 * of others too: their futures stay with the bell, which is rung anew.
 */
#include "py/aio.h"

struct bell_object {
    PyObject_HEAD struct kevyrt_bell *bell;
    PyObject *futures; /* a list: rung for, and not given to who takes */
};

struct waiting {
    PyObject_HEAD struct module_state *state;
    struct face *face;              /* NULL: it has ended */
    struct kevyrt_waiting *waiting; /* NULL: its end was told */
    struct result result;           /* `then` is held */
    PyObject *ready;          /* the awaitable of what waits for the log; NULL: a command waits */
    struct bell_object *bell; /* NULL: not armed yet */
    PyObject *future;
    struct kevyrt_mark mark;
    atomic_u32 rung; /* written by who answers, before the answer is seen; relaxed */
    bool taken;      /* its mark was given back */
};

/* ---- New --------------------------------------------------------------------------------------- */

static struct waiting *waiting_new(struct face *face, struct kevyrt_waiting *core) {
    struct waiting *self = (struct waiting *)PyType_GenericAlloc(face->state->aio.waiting_type, 0);
    if (!self) {
        kevyrt_waiting_put(core);
        return NULL;
    }
    self->state = face->state;
    self->face = as_face(Py_NewRef(face));
    self->waiting = core;
    return self;
}

PyObject *waiting_of_command(struct face *face, struct kevyrt_waiting *core, struct result result) {
    struct waiting *self = waiting_new(face, core);
    if (!self) return NULL;
    self->result = result;
    Py_XINCREF(result.then);
    return (PyObject *)self;
}

PyObject *waiting_for_log(struct face *face, uint64_t ticket, PyObject *object) {
    struct module_state *state = face->state;
    struct kevyrt_waiting *core;
    PyObject *ready = awaitable_done(state, object);
    enum kevyrt_status status =
        ready ? kevyrt_settle_later(face->server, ticket, &core) : KEVYRT_NO_MEMORY;
    if (status == KEVYRT_OK) return ready;
    if (status == KEVYRT_BLOCKED) {
        struct waiting *self = waiting_new(face, core);
        if (self) {
            self->ready = ready;
            return awaitable_pending(state, state->aio.finish, (PyObject *)self);
        }
    }
    Py_XDECREF(ready);
    return awaitable_done(state, PyErr_Occurred() ? NULL : face_raise(face, status));
}

/* ---- Joined to a bell -------------------------------------------------------------------------- */

static void wake(void *context) {
    struct waiting *self = (struct waiting *)((char *)context - offsetof(struct waiting, mark));
    atomic_store_relaxed(&self->rung, 1);
    kevyrt_bell_ring(context);
}

/* `arm(bell, future)`: the future is the bell's to give when there is something to take. Again with another future, after a cancel that
 * came too late: False if that has been given already. */
static PyObject *waiting_arm(struct waiting *self, PyObject *arguments) {
    struct bell_object *bell;
    PyObject *future;
    if (!PyArg_ParseTuple(arguments, "O!O:arm", self->state->aio.bell_type, &bell, &future))
        return NULL;
    Py_XSETREF(self->future, Py_NewRef(future));
    if (self->bell) return PyBool_FromLong(!self->taken);
    self->bell = (struct bell_object *)Py_NewRef(bell);
    self->mark.bell = bell->bell;
    kevyrt_waiting_call_back(self->waiting, wake, &self->mark);
    Py_RETURN_TRUE;
}

/* `gone`: it is being freed. */
static int take_marks(struct bell_object *bell, struct waiting *gone) {
    int failed = 0;
    struct kevyrt_mark *mark = kevyrt_bell_take(bell->bell);
    for (struct kevyrt_mark *next; mark; mark = next) {
        struct waiting *waiting = (struct waiting *)((char *)mark - offsetof(struct waiting, mark));
        next = mark->next;
        waiting->taken = true;
        if (waiting == gone || !waiting->future) continue;
        if (PyList_Append(bell->futures, waiting->future) < 0) failed = -1;
    }
    return failed;
}

static void take_mark_back(struct waiting *self) {
    if (self->taken || !atomic_load_relaxed(&self->rung)) return;
    if (take_marks(self->bell, self) < 0) PyErr_WriteUnraisable(NULL);
    if (PyList_GET_SIZE(self->bell->futures)) kevyrt_bell_signal(self->bell->bell);
}

static void end_core(struct waiting *self) {
    struct kevyrt_waiting *core = self->waiting;
    self->waiting = NULL;
    Py_CLEAR(self->future); /* its mark may be on the bell yet, for nobody */
    if (!core) return;
    Py_BEGIN_ALLOW_THREADS kevyrt_waiting_put(core);
    Py_END_ALLOW_THREADS
}

/* ---- Its end ----------------------------------------------------------------------------------- */

static PyObject *reply_object(struct waiting *self, struct kevyrt_reply *reply) {
    PyObject *ready = self->ready;
    self->ready = NULL;
    if (!ready)
        ready = awaitable_done(self->state,
                               result_of_bytes(self->face, self->result, reply->at, reply->len));
    kevyrt_reply_free(reply);
    return ready;
}

/* An awaitable that is done. */
static PyObject *outcome(struct waiting *self, enum kevyrt_status status,
                         struct kevyrt_reply *reply) {
    PyObject *object = status == KEVYRT_OK
                           ? reply_object(self, reply)
                           : awaitable_done(self->state, face_raise(self->face, status));
    end_core(self);
    return object;
}

/* Whoever has rung is through with it in no time. */
static PyObject *waiting_take(struct waiting *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_reply reply;
    enum kevyrt_status status;
    struct kevyrt_waiting *core = self->waiting;
    if (!core) {
        PyErr_SetString(PyExc_RuntimeError, "it has been taken already");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS do {
        status = kevyrt_waiting_wait(core, kevyrt_now_ns() + SIGNAL_SLICE_NS, &reply);
    }
    while (status == KEVYRT_TIMEOUT || status == KEVYRT_BLOCKED)
        ;
    Py_END_ALLOW_THREADS return outcome(self, status, &reply);
}

static PyObject *waiting_cancel(struct waiting *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_reply reply;
    enum kevyrt_status status = KEVYRT_CANCELLED;
    struct kevyrt_waiting *core = self->waiting;
    if (core) {
        Py_BEGIN_ALLOW_THREADS status = kevyrt_waiting_try_cancel(core, &reply);
        Py_END_ALLOW_THREADS
    }
    if (status == KEVYRT_BLOCKED) Py_RETURN_NONE;
    if (status != KEVYRT_CANCELLED && status != KEVYRT_STOPPED)
        return outcome(self, status, &reply);
    end_core(self);
    Py_RETURN_TRUE;
}

static PyObject *waiting_end(struct waiting *self, PyObject *unused) {
    (void)unused;
    end_core(self);
    Py_RETURN_NONE;
}

static int waiting_traverse(struct waiting *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->face);
    Py_VISIT(self->result.then);
    Py_VISIT(self->ready);
    Py_VISIT(self->bell);
    Py_VISIT(self->future);
    return 0;
}

/* The core's end needs the server, and the mark the bell. */
static int waiting_clear(struct waiting *self) {
    end_core(self);
    if (self->bell) take_mark_back(self);
    Py_CLEAR(self->ready);
    Py_CLEAR(self->result.then);
    Py_CLEAR(self->face);
    return 0;
}

static void waiting_dealloc(struct waiting *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    waiting_clear(self);
    Py_CLEAR(self->bell);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef waiting_methods[] = {
    {"arm", (PyCFunction)(void *)waiting_arm, METH_VARARGS,
     "arm($self, bell, future, /)\n--\n\n"
     "Bell.take() gives the future once there is something to take. False: that is so already."},
    {"take", (PyCFunction)(void *)waiting_take, METH_NOARGS,
     "take($self, /)\n--\n\nThe outcome, as an awaitable that is done."},
    {"cancel", (PyCFunction)(void *)waiting_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\n"
     "True: it waits no more, and has done nothing. Otherwise it is too late: the outcome, or\n"
     "None, if that is still to come."},
    {"end", (PyCFunction)(void *)waiting_end, METH_NOARGS,
     "end($self, /)\n--\n\nNobody asks for it any more."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot waiting_slots[] = {
    {Py_tp_dealloc, waiting_dealloc},
    {Py_tp_traverse, waiting_traverse},
    {Py_tp_clear, waiting_clear},
    {Py_tp_methods, waiting_methods},
    {Py_tp_doc, "A command of server.aio that waits, or waits for the log."},
    {0, NULL},
};

PyType_Spec waiting_type_spec = {
    .name = "kevyrt._core.Waiting",
    .basicsize = sizeof(struct waiting),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = waiting_slots,
};

/* ---- Bells ------------------------------------------------------------------------------------- */

static int bell_init(struct bell_object *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {NULL};
    struct module_state *state = module_state_of(Py_TYPE(self));
    struct kevyrt_error error = {0};
    if (!state || !PyArg_ParseTupleAndKeywords(arguments, keywords, ":Bell", names)) return -1;
    if (self->futures) return 0;
    self->futures = PyList_New(0);
    if (!self->futures) return -1;
    enum kevyrt_status status = kevyrt_bell_new(&self->bell, &error);
    if (status == KEVYRT_OK) return 0;
    errors_raise(state, status, &error);
    return -1;
}

static PyObject *bell_fileno(struct bell_object *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(kevyrt_bell_fd(self->bell));
}

static PyObject *bell_take(struct bell_object *self, PyObject *unused) {
    (void)unused;
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
