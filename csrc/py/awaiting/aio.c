/* kevyrt.Aio: the face whose methods give awaitables.
 *
 * A call is tried at once. While the place that it needs is taken it is waited for a moment without the GIL, as any call does,
 * but not for longer: the loop goes on, and a thread of its executor makes the call.
 */
#include "py/awaiting/aio.h"

/* ---- Calls ------------------------------------------------------------------------------------- */

static PyObject *of_parked(struct face *self, const struct arguments *arguments,
                           struct result result) {
    return awaitable_pending(self->state, self->state->aio.finish_parked,
                             parked_call(self, arguments, result));
}

static PyObject *object_of(struct face *self, struct kevyrt_reply *reply, struct result result) {
    PyObject *object = result_of_bytes(self, result, reply->at, reply->len);
    kevyrt_reply_free(reply);
    return object;
}

PyObject *aio_awaitable(struct face *self, enum kevyrt_status status, struct kevyrt_reply *reply,
                        const struct arguments *arguments, struct result result) {
    self->busy = false;
    if (status == KEVYRT_OK) return awaitable_done(self->state, object_of(self, reply, result));
    if (status == KEVYRT_UNSAFE)
        return waiting_for_log(self, reply->ticket, object_of(self, reply, result));
    if (status == KEVYRT_BLOCKED)
        return awaitable_pending(self->state, self->state->aio.finish,
                                 waiting_of_command(self, reply->waiting, result));
    if (status == KEVYRT_WOULD_WAIT || status == KEVYRT_PAUSED)
        return of_parked(self, arguments, result);
    return awaitable_done(self->state, face_raise(self, status));
}

static PyObject *run(struct face *self, const struct arguments *arguments, struct result result) {
    struct kevyrt_reply reply;
    enum kevyrt_status status =
        kevyrt_call_known(self->server, self->session, self->db, arguments->command,
                          arguments->argv, arguments->count, KEVYRT_TRY, &reply);
    if (status == KEVYRT_WOULD_WAIT) {
        Py_BEGIN_ALLOW_THREADS status =
            kevyrt_call_known(self->server, self->session, self->db, arguments->command,
                              arguments->argv, arguments->count, KEVYRT_WAIT_BRIEFLY, &reply);
        Py_END_ALLOW_THREADS
    }
    return aio_awaitable(self, status, &reply, arguments, result);
}

PyObject *aio_call(struct face *session, const struct arguments *arguments, struct result result) {
    if (face_check_usable(session) < 0 || face_check_idle(session) < 0) return NULL;
    session->busy = true;
    return run(session, arguments, result);
}

static const struct face_kind face_awaits = {run};

/* ---- The fast path ----------------------------------------------------------------------------- */

static PyObject *get_bytes(struct face *self, PyObject *const *name, struct bytes key) {
    struct kevyrt_value value;
    enum kevyrt_status status = kevyrt_get(self->server, self->db, key, KEVYRT_TRY, &value);
    if (status == KEVYRT_OK) return awaitable_done(self->state, fast_value(self, &value));
    if (status == KEVYRT_UNSAFE)
        return waiting_for_log(self, value.ticket, fast_value(self, &value));
    if (status == KEVYRT_GATED || status == KEVYRT_WOULD_WAIT)
        return method_get(self, name, 1, NULL);
    return awaitable_done(self->state, face_raise(self, status));
}

static PyObject *aio_get(struct face *self, PyObject *const *values, Py_ssize_t count,
                         PyObject *names) {
    return fast_get_by(get_bytes, self, values, count, names);
}

static PyObject *set_bytes(struct face *self, PyObject *const *values, struct bytes key,
                           struct bytes value) {
    uint64_t ticket;
    enum kevyrt_status status = kevyrt_set(self->server, self->db, key, value, KEVYRT_TRY, &ticket);
    if (status == KEVYRT_OK) return awaitable_done(self->state, Py_NewRef(Py_True));
    if (status == KEVYRT_UNSAFE) return waiting_for_log(self, ticket, Py_NewRef(Py_True));
    if (status == KEVYRT_GATED || status == KEVYRT_WOULD_WAIT)
        return method_set(self, values, 2, NULL);
    return awaitable_done(self->state, face_raise(self, status));
}

static PyObject *aio_set(struct face *self, PyObject *const *values, Py_ssize_t count,
                         PyObject *names) {
    return fast_set_by(set_bytes, self, values, count, names);
}

static PyMethodDef fast_methods[] = {
    {"get", (PyCFunction)(void *)aio_get, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"set", (PyCFunction)(void *)aio_set, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

PyMethodDef *aio_definitions(void) {
    for (PyMethodDef *definition = fast_methods; definition->ml_name; definition++)
        definition->ml_doc = methods_doc(definition->ml_name);
    return fast_methods;
}

/* ---- The object -------------------------------------------------------------------------------- */

/* asyncio is loaded when somebody asks for it. */
static int load(struct aio_state *state) {
    if (state->aio) return 0;
    PyObject *module = PyImport_ImportModule("kevyrt.aio");
    PyObject *given = module ? PyObject_CallMethod(module, "_load", NULL) : NULL;
    PyObject *aio, *cancelled, *finish, *finish_parked;
    int result = given && PyArg_ParseTuple(given, "OOOO", &aio, &cancelled, &finish, &finish_parked)
                     ? 0
                     : -1;
    if (result == 0 && !state->aio) {
        state->cancelled = Py_NewRef(cancelled);
        state->finish = Py_NewRef(finish);
        state->finish_parked = Py_NewRef(finish_parked);
        state->aio = Py_NewRef(aio);
    }
    Py_XDECREF(given);
    Py_XDECREF(module);
    return result;
}

/* It holds the object whose property it is, so that one has nothing to keep. */
PyObject *face_get_aio(struct face *self, void *unused) {
    (void)unused;
    if (face_check_usable(self) < 0 || load(&self->state->aio) < 0) return NULL;
    PyTypeObject *type = (PyTypeObject *)self->state->aio.aio;
    struct face *aio = (struct face *)type->tp_alloc(type, 0);
    if (!aio) return NULL;
    aio->server = self->server;
    aio->state = self->state;
    aio->kind = &face_awaits;
    aio->owner = Py_NewRef(self);
    aio->db = self->db;
    aio->decodes = self->decodes;
    return (PyObject *)aio;
}

const char aio_property_doc[] =
    "The same methods for asyncio: awaitables for their results (kevyrt.Aio).\n\n"
    "ForkedError if it belongs to the parent process.";

static int aio_init(struct face *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"server", NULL};
    PyObject *server;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O:Aio", names, &server)) return -1;
    if (face_init(self, &face_awaits, server) < 0) return -1;
    return load(&self->state->aio);
}

static PyMethodDef aio_methods[] = {
    {"execute", (PyCFunction)(void *)face_execute, METH_FASTCALL,
     "execute($self, /, *args)\n--\n\n"
     "Any command: an awaitable for its reply, as Server.execute returns it."},
    {"_run", (PyCFunction)(void *)face_run, METH_FASTCALL, face_run_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot aio_slots[] = {
    {Py_tp_init, aio_init},
    {Py_tp_dealloc, face_dealloc},
    {Py_tp_traverse, face_traverse},
    {Py_tp_clear, face_clear},
    {Py_tp_methods, aio_methods},
    {Py_tp_doc, "The C half of kevyrt.Aio."},
    {0, NULL},
};

PyType_Spec aio_type_spec = {
    .name = "kevyrt._core.Aio",
    .basicsize = sizeof(struct face),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = aio_slots,
};

int aio_visit(struct aio_state *state, visitproc visit, void *arg) {
    Py_VISIT(state->core_type);
    Py_VISIT(state->awaitable_type);
    Py_VISIT(state->waiting_type);
    Py_VISIT(state->parked_type);
    Py_VISIT(state->bell_type);
    Py_VISIT(state->subscriber_type);
    Py_VISIT(state->aio);
    Py_VISIT(state->cancelled);
    Py_VISIT(state->finish);
    Py_VISIT(state->finish_parked);
    return 0;
}

void aio_clear(struct aio_state *state) {
    Py_CLEAR(state->core_type);
    Py_CLEAR(state->awaitable_type);
    Py_CLEAR(state->waiting_type);
    Py_CLEAR(state->parked_type);
    Py_CLEAR(state->bell_type);
    Py_CLEAR(state->subscriber_type);
    Py_CLEAR(state->aio);
    Py_CLEAR(state->cancelled);
    Py_CLEAR(state->finish);
    Py_CLEAR(state->finish_parked);
    awaitables_free(state);
}
