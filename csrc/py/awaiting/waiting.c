/* A command that waits for data, or a result that waits for the log: the core's waiting (kevyrt_waiting), and what its answer
 * becomes.
 */
#include "py/awaiting/aio.h"

struct waiting {
    ARMED_HEAD
    struct module_state *state;
    struct face *face;              /* NULL: it has ended */
    struct kevyrt_waiting *waiting; /* NULL: its end was told */
    struct result result;           /* `then` is held */
    PyObject *ready; /* the awaitable of what waits for the log; NULL: a command waits */
    bool inside;     /* the session */
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
    self->inside = face->busy = face->session != NULL;
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

/* `arm(bell, future)`: the future is the bell's to give when there is something to take. Again with another future, after a cancel that
 * came too late: False if that has been given already. */
static PyObject *waiting_arm(struct waiting *self, PyObject *arguments) {
    bool has_bell = self->bell;
    if (armed_join((struct armed *)self, self->state, arguments) < 0) return NULL;
    if (has_bell) return PyBool_FromLong(!self->taken);
    kevyrt_waiting_call_back(self->waiting, armed_wake, self);
    Py_RETURN_TRUE;
}

static void end_core(struct waiting *self) {
    struct kevyrt_waiting *core = self->waiting;
    self->waiting = NULL;
    Py_CLEAR(self->future); /* its mark may be on the bell yet, for nobody */
    if (!core) return;
    Py_BEGIN_ALLOW_THREADS kevyrt_waiting_put(core);
    Py_END_ALLOW_THREADS if (self->inside) self->face->busy = false;
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
    armed_take_back((struct armed *)self);
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
