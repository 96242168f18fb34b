/* The C half of subscriptions in process (kevyrt/pubsub.py): a subscriber of the core, of one thread or one loop at a time. */
#include "py/awaiting/aio.h"

struct subscriber {
    ARMED_HEAD
    struct face *face; /* of the server; NULL: not initialised, or closed */
    struct kevyrt_subscriber *core;
    uint32_t inside; /* threads, without the GIL; close() does not come between */
};

static bool is_face(const struct module_state *state, PyObject *object) {
    return PyObject_TypeCheck(object, state->server_type) ||
           PyObject_TypeCheck(object, state->database_type) ||
           PyObject_TypeCheck(object, state->aio.core_type);
}

static int subscriber_init(struct subscriber *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"face", NULL};
    struct module_state *state = module_state_of(Py_TYPE(self));
    PyObject *face;
    if (!state || !PyArg_ParseTupleAndKeywords(arguments, keywords, "O:Subscriber", names, &face))
        return -1;
    if (self->face || !is_face(state, face)) {
        PyErr_SetString(PyExc_TypeError, "Subscriber() takes a server, once");
        return -1;
    }
    if (face_check_usable(as_face(face)) < 0) return -1;
    enum kevyrt_status status =
        kevyrt_subscriber_new(as_face(face)->server, armed_wake, self, &self->core);
    if (status != KEVYRT_OK) {
        errors_raise(state, status, NULL);
        return -1;
    }
    self->taken = true;
    self->face = as_face(Py_NewRef(face));
    return 0;
}

static int check_open(struct subscriber *self) {
    if (self->core) return face_check_usable(self->face);
    PyErr_SetString(PyExc_RuntimeError, "it is closed");
    return -1;
}

static int enter(struct subscriber *self) {
    if (!self->inside) return check_open(self);
    PyErr_SetString(PyExc_RuntimeError, "another thread is inside");
    return -1;
}

static PyObject *raise_status(struct subscriber *self, enum kevyrt_status status) {
    if (status != KEVYRT_REFUSED) return face_raise(self->face, status);
    PyErr_SetString(self->face->state->subscription_lost,
                    "the subscriber did not keep up (client-output-buffer-limit pubsub)");
    return NULL;
}

/* ---- Subscribing --------------------------------------------------------------------------------- */

typedef enum kevyrt_status change(struct kevyrt_subscriber *core, enum kevyrt_channels kind,
                                  const struct bytes *names, uint32_t count);

/* `kind, *names` */
static PyObject *change_with(struct subscriber *self, change *change, PyObject *const *values,
                             Py_ssize_t count) {
    struct arguments names;
    if (check_open(self) < 0) return NULL;
    long kind = count ? PyLong_AsLong(values[0]) : -1;
    if (kind < KEVYRT_CHANNELS || kind > KEVYRT_SHARD_CHANNELS) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "there is no such kind");
        return NULL;
    }
    arguments_init(&names);
    int failed = arguments_add_all(&names, values + 1, count - 1);
    if (failed == 0) {
        enum kevyrt_status status =
            change(self->core, (enum kevyrt_channels)kind, names.argv, names.count);
        if (status != KEVYRT_OK) failed = -1;
        if (failed) raise_status(self, status);
    }
    arguments_deinit(&names);
    return failed == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *subscriber_subscribe(struct subscriber *self, PyObject *const *values,
                                      Py_ssize_t count) {
    return change_with(self, kevyrt_subscribe, values, count);
}

static PyObject *subscriber_unsubscribe(struct subscriber *self, PyObject *const *values,
                                        Py_ssize_t count) {
    return change_with(self, kevyrt_unsubscribe, values, count);
}

/* ---- Messages ------------------------------------------------------------------------------------- */

static PyObject *message_object(struct subscriber *self, struct kevyrt_message *message) {
    struct replies_text text = {self->face->decodes, true, false};
    PyObject *object = replies_decode(self->face->state, text, message->at, message->len);
    kevyrt_message_free(message);
    return object;
}

static PyObject *subscriber_take(struct subscriber *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_message message;
    if (enter(self) < 0) return NULL;
    enum kevyrt_status status = kevyrt_subscriber_take(self->core, &message);
    if (status == KEVYRT_OK) return message_object(self, &message);
    if (status == KEVYRT_BLOCKED) Py_RETURN_NONE;
    if (status == KEVYRT_UNSAFE)
        return waiting_for_log(self->face, message.ticket, Py_NewRef(Py_None));
    return raise_status(self, status);
}

/* For a slice. */
static void sleep_until(struct subscriber *self, enum kevyrt_status why, uint64_t ticket,
                        uint64_t deadline) {
    uint64_t slice = kevyrt_now_ns() + SIGNAL_SLICE_NS;
    if (slice > deadline) slice = deadline;
    self->inside++;
    PyThreadState *thread = PyEval_SaveThread();
    if (why == KEVYRT_UNSAFE) (void)kevyrt_settle(self->face->server, ticket, slice);
    else (void)kevyrt_subscriber_wait(self->core, slice);
    PyEval_RestoreThread(thread);
    self->inside--;
}

/* Signals run their handlers between two sleeps. */
static PyObject *subscriber_get(struct subscriber *self, PyObject *timeout) {
    uint64_t deadline;
    if (enter(self) < 0 || server_parse_deadline(timeout, &deadline) < 0) return NULL;
    for (;;) {
        struct kevyrt_message message = {0};
        enum kevyrt_status status = kevyrt_subscriber_take(self->core, &message);
        if (status == KEVYRT_OK) return message_object(self, &message);
        if (status != KEVYRT_BLOCKED && status != KEVYRT_UNSAFE) return raise_status(self, status);
        if (kevyrt_now_ns() >= deadline) Py_RETURN_NONE;
        sleep_until(self, status, message.ticket, deadline);
        if (PyErr_CheckSignals() < 0 || enter(self) < 0) return NULL;
    }
}

static PyObject *subscriber_arm(struct subscriber *self, PyObject *arguments) {
    if (enter(self) < 0 || armed_join((struct armed *)self, self->face->state, arguments) < 0)
        return NULL;
    if (self->taken) {
        self->taken = false;
        atomic_store_relaxed(&self->rung, 0);
        kevyrt_subscriber_arm(self->core);
    }
    Py_RETURN_TRUE;
}

static PyObject *subscriber_end(struct subscriber *self, PyObject *unused) {
    (void)unused;
    struct kevyrt_subscriber *core = self->core;
    if (core && !self->taken) {
        self->inside++;
        Py_BEGIN_ALLOW_THREADS kevyrt_subscriber_disarm(core);
        Py_END_ALLOW_THREADS self->inside--;
    }
    armed_take_back((struct armed *)self);
    self->taken = true;
    Py_CLEAR(self->future);
    Py_CLEAR(self->bell);
    Py_RETURN_NONE;
}

static PyObject *subscriber_get_decodes(struct subscriber *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(self->face && self->face->decodes);
}

static PyGetSetDef subscriber_properties[] = {
    {"decodes", (getter)(void *)subscriber_get_decodes, NULL, "Are names and data str?", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- The end -------------------------------------------------------------------------------------- */

static int subscriber_clear(struct subscriber *self) {
    struct kevyrt_subscriber *core = self->core;
    self->core = NULL;
    if (core) {
        Py_BEGIN_ALLOW_THREADS kevyrt_subscriber_put(core);
        Py_END_ALLOW_THREADS
    }
    armed_take_back((struct armed *)self);
    Py_CLEAR(self->future);
    Py_CLEAR(self->face);
    return 0;
}

static PyObject *subscriber_close(struct subscriber *self, PyObject *unused) {
    (void)unused;
    if (self->core && enter(self) < 0) return NULL;
    subscriber_clear(self);
    Py_RETURN_NONE;
}

static int subscriber_traverse(struct subscriber *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->face);
    Py_VISIT(self->bell);
    Py_VISIT(self->future);
    return 0;
}

static void subscriber_dealloc(struct subscriber *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    subscriber_clear(self);
    Py_CLEAR(self->bell);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef subscriber_methods[] = {
    {"subscribe", (PyCFunction)(void *)subscriber_subscribe, METH_FASTCALL,
     "subscribe($self, kind, /, *names)\n--\n\n"
     "Channels (0), patterns (1), shard channels (2). What confirms it is among the messages."},
    {"unsubscribe", (PyCFunction)(void *)subscriber_unsubscribe, METH_FASTCALL,
     "unsubscribe($self, kind, /, *names)\n--\n\nThe opposite; without names of all."},
    {"take", (PyCFunction)(void *)subscriber_take, METH_NOARGS,
     "take($self, /)\n--\n\n"
     "The oldest message, as a list. None: there is none. An awaitable: it is to be awaited\n"
     "first, since the message waits for the log."},
    {"get", (PyCFunction)(void *)subscriber_get, METH_O,
     "get($self, timeout, /)\n--\n\n"
     "The oldest message, as a list, waited for as many seconds (None: for ever). None: none."},
    {"arm", (PyCFunction)(void *)subscriber_arm, METH_VARARGS,
     "arm($self, bell, future, /)\n--\n\n"
     "Bell.take() gives the future once there is something to take."},
    {"end", (PyCFunction)(void *)subscriber_end, METH_NOARGS,
     "end($self, /)\n--\n\nNobody asks the bell for it any more, until the next arm()."},
    {"close", (PyCFunction)(void *)subscriber_close, METH_NOARGS,
     "close($self, /)\n--\n\nEnds all subscriptions. Does nothing if it is closed."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot subscriber_slots[] = {
    {Py_tp_init, subscriber_init},
    {Py_tp_dealloc, subscriber_dealloc},
    {Py_tp_traverse, subscriber_traverse},
    {Py_tp_clear, subscriber_clear},
    {Py_tp_methods, subscriber_methods},
    {Py_tp_getset, subscriber_properties},
    {Py_tp_doc, "Who is subscribed in process."},
    {0, NULL},
};

PyType_Spec subscriber_type_spec = {
    .name = "kevyrt._core.Subscriber",
    .basicsize = sizeof(struct subscriber),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = subscriber_slots,
};
