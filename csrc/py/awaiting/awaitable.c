/* What a method of server.aio gives: an awaitable for one result.
 *
 *   DONE, FAILED   the result, or an exception, is there: awaiting it suspends nothing
 *   PENDING        to be awaited; `value` is the generator that will, and has not begun
 *   BEGUN          `value` has suspended
 *   RUNS           `value` runs, and whoever comes meanwhile, from within or from another thread, is refused
 *   OVER           awaited, or given up
 *
 * It has the methods of a coroutine, so that asyncio.create_task and its like take it. The command was called when the method
 * was. So a task that is cancelled before it begins to await gets the result all the same: what was popped is not lost.
 */
#include "py/awaiting/aio.h"

enum awaitable_phase { DONE, FAILED, PENDING, BEGUN, RUNS, OVER };

struct awaitable {
    PyObject_HEAD PyObject *value;
    struct module_state *state; /* the type holds the module */
    enum awaitable_phase phase;
};

/* ---- New --------------------------------------------------------------------------------------- */

static struct awaitable *allocate(struct module_state *state) {
    struct aio_state *aio = &state->aio;
    if (aio->kept_count == 0) return PyObject_GC_New(struct awaitable, aio->awaitable_type);
    PyObject *kept = aio->kept[--aio->kept_count];
    return (struct awaitable *)PyObject_Init(kept, aio->awaitable_type);
}

/* Takes the reference. What holds no other object can be part of no cycle. */
static PyObject *awaitable_new(struct module_state *state, enum awaitable_phase phase,
                               PyObject *value) {
    struct awaitable *self = allocate(state);
    if (!self) {
        Py_DECREF(value);
        return NULL;
    }
    self->value = value;
    self->state = state;
    self->phase = phase;
    if (PyObject_IS_GC(value)) PyObject_GC_Track(self);
    return (PyObject *)self;
}

static PyObject *take_exception(void) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback) PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

PyObject *awaitable_done(struct module_state *state, PyObject *result) {
    if (result) return awaitable_new(state, DONE, result);
    return awaitable_new(state, FAILED, take_exception());
}

PyObject *awaitable_pending(struct module_state *state, PyObject *finish, PyObject *source) {
    PyObject *generator = NULL;
    if (source && finish) generator = PyObject_CallOneArg(finish, source);
    else if (source) PyErr_SetString(PyExc_RuntimeError, "kevyrt.aio has not been imported");
    Py_XDECREF(source);
    return generator ? awaitable_new(state, PENDING, generator) : awaitable_done(state, NULL);
}

/* ---- Sending ----------------------------------------------------------------------------------- */

static PyObject *take_value(struct awaitable *self) {
    PyObject *value = self->value;
    self->value = NULL;
    self->phase = OVER;
    return value;
}

static PySendResult fail(struct awaitable *self) {
    PyObject *exception = take_value(self);
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
    return PYGEN_ERROR;
}

static PySendResult go_on(struct awaitable *self, PyObject *sent, PyObject **result) {
    self->phase = RUNS;
    PySendResult how = PyIter_Send(self->value, sent, result);
    self->phase = BEGUN;
    if (how != PYGEN_NEXT) Py_XDECREF(take_value(self));
    return how;
}

static void refuse(void) {
    PyErr_SetString(PyExc_ValueError, "it is being awaited already");
}

static PySendResult awaitable_send(struct awaitable *self, PyObject *sent, PyObject **result) {
    switch (self->phase) {
    case DONE:
        *result = take_value(self);
        return PYGEN_RETURN;
    case FAILED:
        *result = NULL;
        return fail(self);
    case PENDING:
    case BEGUN:
        return go_on(self, sent, result);
    case RUNS:
        *result = NULL;
        refuse();
        return PYGEN_ERROR;
    case OVER:
        break;
    }
    *result = NULL;
    PyErr_SetString(PyExc_RuntimeError, "it has been awaited already");
    return PYGEN_ERROR;
}

/* What a plain iterator says. */
static PyObject *say(PySendResult how, PyObject *result) {
    if (how != PYGEN_RETURN) return result;
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    Py_DECREF(result);
    if (stop) PyErr_SetObject(PyExc_StopIteration, stop);
    Py_XDECREF(stop);
    return NULL;
}

static PyObject *awaitable_send_method(struct awaitable *self, PyObject *sent) {
    PyObject *result;
    PySendResult how = awaitable_send(self, sent, &result);
    return say(how, result);
}

static PyObject *awaitable_next(struct awaitable *self) {
    return awaitable_send_method(self, Py_None);
}

/* ---- Throwing ---------------------------------------------------------------------------------- */

/* An instance of what was thrown, in either form. */
static PyObject *exception_of(PyObject *arguments) {
    PyObject *kind, *value = NULL, *traceback = NULL;
    if (!PyArg_ParseTuple(arguments, "O|OO:throw", &kind, &value, &traceback)) return NULL;
    if (PyExceptionInstance_Check(kind)) return Py_NewRef(kind);
    if (!PyExceptionClass_Check(kind)) {
        PyErr_SetString(PyExc_TypeError, "throw() takes an exception");
        return NULL;
    }
    if (value && PyExceptionInstance_Check(value)) return Py_NewRef(value);
    return value && value != Py_None ? PyObject_CallOneArg(kind, value) : PyObject_CallNoArgs(kind);
}

static PyObject *throw_into(struct awaitable *self, PyObject *exception) {
    self->phase = RUNS;
    PyObject *throw = PyObject_GetAttrString(self->value, "throw");
    PyObject *result = throw ? PyObject_CallOneArg(throw, exception) : NULL;
    Py_XDECREF(throw);
    self->phase = BEGUN;
    if (!result) Py_XDECREF(take_value(self));
    return result;
}

/* It has to begin to be able to take part in a cancel. */
static PyObject *begin_and_throw(struct awaitable *self, PyObject *exception) {
    PyObject *result;
    PySendResult how = go_on(self, Py_None, &result);
    if (how != PYGEN_NEXT) return say(how, result);
    Py_DECREF(result);
    return throw_into(self, exception);
}

static PyObject *give_up(struct awaitable *self, PyObject *exception) {
    Py_XDECREF(take_value(self));
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    return NULL;
}

static PyObject *throw(struct awaitable * self, PyObject *exception) {
    bool cancels = PyErr_GivenExceptionMatches(exception, self->state->aio.cancelled);
    switch (self->phase) {
    case DONE:
    case FAILED:
        return cancels ? awaitable_next(self) : give_up(self, exception);
    case PENDING:
        return cancels ? begin_and_throw(self, exception) : give_up(self, exception);
    case BEGUN:
        return throw_into(self, exception);
    case RUNS:
        refuse();
        return NULL;
    case OVER:
        break;
    }
    return give_up(self, exception);
}

static PyObject *awaitable_throw(struct awaitable *self, PyObject *arguments) {
    PyObject *exception = exception_of(arguments);
    PyObject *result = exception ? throw(self, exception) : NULL;
    Py_XDECREF(exception);
    return result;
}

static PyObject *awaitable_close(struct awaitable *self, PyObject *unused) {
    (void)unused;
    PyObject *closed = NULL;
    if (self->phase == RUNS) {
        refuse();
        return NULL;
    }
    if (self->phase == BEGUN) {
        self->phase = RUNS;
        closed = PyObject_CallMethod(self->value, "close", NULL);
    } else {
        closed = Py_NewRef(Py_None);
    }
    Py_XDECREF(take_value(self));
    return closed;
}

/* ---- The end ----------------------------------------------------------------------------------- */

/* An error that nobody has awaited, or a wait that nobody has begun, is not passed over in silence. */
static void report(struct awaitable *self) {
    if (self->phase != FAILED && self->phase != PENDING) return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (self->phase == FAILED) {
        PyErr_SetObject((PyObject *)Py_TYPE(self->value), self->value);
        PyErr_WriteUnraisable((PyObject *)Py_TYPE(self));
    } else if (PyErr_WarnEx(PyExc_RuntimeWarning,
                            "a command of server.aio that waits was never awaited", 1) < 0) {
        PyErr_WriteUnraisable((PyObject *)Py_TYPE(self));
    }
    PyErr_Restore(type, value, traceback);
}

static void awaitable_dealloc(struct awaitable *self) {
    PyTypeObject *type = Py_TYPE(self);
    struct aio_state *aio = &self->state->aio;
    PyObject_GC_UnTrack(self);
    report(self);
    Py_CLEAR(self->value);
    if (aio->kept_count < AWAITABLES_KEPT) aio->kept[aio->kept_count++] = (PyObject *)self;
    else PyObject_GC_Del(self);
    Py_DECREF(type);
}

static int awaitable_traverse(struct awaitable *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->value);
    return 0;
}

static int awaitable_clear(struct awaitable *self) {
    self->phase = OVER;
    Py_CLEAR(self->value);
    return 0;
}

void awaitables_free(struct aio_state *state) {
    while (state->kept_count) PyObject_GC_Del(state->kept[--state->kept_count]);
}

/* ---- Python's side ----------------------------------------------------------------------------- */

static PyMethodDef awaitable_methods[] = {
    {"send", (PyCFunction)(void *)awaitable_send_method, METH_O,
     "send($self, value, /)\n--\n\nGoes on, as a coroutine's."},
    {"throw", (PyCFunction)(void *)awaitable_throw, METH_VARARGS,
     "throw($self, kind, value=None, traceback=None, /)\n--\n\n"
     "Raises in it, as a coroutine's. A cancel that comes too late gives the result."},
    {"close", (PyCFunction)(void *)awaitable_close, METH_NOARGS,
     "close($self, /)\n--\n\nGives it up, as a coroutine's."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot awaitable_slots[] = {
    {Py_tp_dealloc, awaitable_dealloc},
    {Py_tp_traverse, awaitable_traverse},
    {Py_tp_clear, awaitable_clear},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, awaitable_send},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, awaitable_next},
    {Py_tp_methods, awaitable_methods},
    {Py_tp_doc, "What a method of server.aio gives: await it once."},
    {0, NULL},
};

PyType_Spec awaitable_type_spec = {
    .name = "kevyrt._core.Awaitable",
    .basicsize = sizeof(struct awaitable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = awaitable_slots,
};
