/* The extension module kevyrt._core: what its files share.
 *
 * Role: the only folder that includes Python.h; it sees the server through server/kevyrt.h alone.
 * Threads: the GIL is held everywhere but around calls that may wait. Rule B5: arguments are
 * turned into bytes before a call into the core, replies into objects after it; the core calls
 * back while a start loads only (server.c), with nothing held.
 * Errors: NULL or -1 with an exception set, as everywhere in CPython.
 */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "server/kevyrt.h"

enum { ERROR_CLASSES_MAX = 40, ARGUMENTS_INLINE = 8 };

struct module_state {
    PyTypeObject *server_type, *session_type, *snapshot_type;
    PyObject *error, *response_error, *server_stopped, *forked_error;
    PyObject *persistence_error, *damaged_error;
    PyObject *classes[ERROR_CLASSES_MAX]; /* parallel to the table in errors.c */
};

extern struct PyModuleDef core_module;

/* ---- errors.c -------------------------------------------------------------------------------- */
int errors_init(PyObject *module, struct module_state *state);
void errors_clear(struct module_state *state);
int errors_visit(struct module_state *state, visitproc visit, void *arg);
/* An instance of the class for an error reply "CODE text". */
PyObject *errors_from_reply(struct module_state *state, const char *text, size_t len);
/* Raises what a status means. Returns NULL. */
PyObject *errors_raise(struct module_state *state, enum kevyrt_status status,
                       const struct kevyrt_error *error);

/* ---- arguments.c ----------------------------------------------------------------------------- */
/* Arguments on their way into the core: borrowed from the objects where that is safe, copied where
 * it is not. */
struct arguments {
    struct bytes *argv;
    uint32_t count, owned_count;
    PyObject **owned; /* objects made for conversion, kept until the call is over */
    struct bytes argv_inline[ARGUMENTS_INLINE];
    PyObject *owned_inline[ARGUMENTS_INLINE];
};

int arguments_init(struct arguments *arguments, Py_ssize_t capacity);
int arguments_add(struct arguments *arguments, PyObject *object);
int arguments_add_text(struct arguments *arguments, const char *literal);
void arguments_deinit(struct arguments *arguments);
/* One object; *owned receives a reference to keep until the call is over, or NULL. */
int argument_bytes(PyObject *object, struct bytes *out, PyObject **owned);

/* ---- replies.c ------------------------------------------------------------------------------- */
/* The object for RESP3 bytes; an error reply at the top is raised. */
PyObject *replies_decode(struct module_state *state, const char *at, size_t len);

/* ---- server.c -------------------------------------------------------------------------------- */
struct server_object {
    PyObject_HEAD struct kevyrt_server *server; /* NULL until __init__ has run */
    struct module_state *state;                 /* the type holds the module */
    PyObject *load; /* what the server loads at its start is borrowed from it; or NULL */
};

extern PyType_Spec server_type_spec;
/* May the object be used at all? Raises ForkedError in a child, RuntimeError before __init__. */
int server_check_usable(struct server_object *self);
/* Seconds, or None, as an absolute deadline on the monotonic clock. */
int server_parse_deadline(PyObject *timeout, uint64_t *deadline_ns);

/* A signal interrupts a sleep by itself, unless it comes in the instant between the check for
 * signals and the sleep; then it is seen after this long. */
#define SIGNAL_SLICE_NS UINT64_C(1000000000)

/* ---- calls.c --------------------------------------------------------------------------------- */
/* Runs a call, first without waiting, then with the GIL released. 0, or -1 with an exception. */
int server_call(struct server_object *self, struct kevyrt_session *session, uint32_t db,
                const struct arguments *arguments, struct kevyrt_reply *reply);
PyObject *server_execute(struct server_object *self, PyObject *const *values, Py_ssize_t count,
                         PyObject *names);
PyObject *server_get(struct server_object *self, PyObject *const *values, Py_ssize_t count,
                     PyObject *names);
PyObject *server_set(struct server_object *self, PyObject *const *values, Py_ssize_t count,
                     PyObject *names);
PyObject *server_delete(struct server_object *self, PyObject *const *values, Py_ssize_t count,
                        PyObject *names);

/* ---- persistence.c --------------------------------------------------------------------------- */
extern PyType_Spec snapshot_type_spec;
PyObject *server_save(struct server_object *self, PyObject *path);
PyObject *server_snapshot(struct server_object *self, PyObject *unused);
PyObject *server_restore(struct server_object *self, PyObject *source);
PyObject *server_rewrite(struct server_object *self, PyObject *arguments);
PyObject *server_load(struct server_object *self, PyObject *source);

/* ---- session.c, stats.c ---------------------------------------------------------------------- */
extern PyType_Spec session_type_spec;
PyObject *session_new(struct server_object *server);
PyObject *stats_object(struct server_object *self);
