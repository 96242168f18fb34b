/* The extension module kevyrt._core: what its files share.
 *
 * Role: the only folder that includes Python.h; it sees the server through server/kevyrt.h alone.
 * Threads: the GIL is held everywhere but around calls that may wait. Rule B5: arguments are
 * turned into bytes before a call into the core, replies into objects after it. The core calls
 * back to Python while a start loads (server.c) and a check talks (module.c) only, with nothing held; what wakes a loop
 * (awaiting/bell.c) touches no object.
 * Errors: NULL or -1 with an exception set, as everywhere in CPython.
 */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "server/kevyrt.h"

enum { ERROR_CLASSES_MAX = 40, ARGUMENTS_INLINE = 8, ARGUMENTS_DIGITS = 64 };

enum { AWAITABLES_KEPT = 64 };

/* Of asyncio's side (aio.c). What Python's half gives is there once an Aio is. */
struct aio_state {
    PyTypeObject *core_type, *awaitable_type, *waiting_type, *parked_type, *bell_type,
        *subscriber_type;
    PyObject *aio;                    /* kevyrt.Aio */
    PyObject *cancelled;              /* asyncio.CancelledError */
    PyObject *finish, *finish_parked; /* kevyrt/_awaiting.py */
    PyObject *kept[AWAITABLES_KEPT];  /* memory of awaitables that are gone, to be used again */
    int kept_count;
};

struct module_state {
    struct aio_state aio;
    PyTypeObject *server_type, *database_type, *session_type, *snapshot_type, *view_type;
    PyTypeObject *pipeline_type, *checkpoint_type, *fault_type;
    PyObject *error, *response_error, *server_stopped, *forked_error, *subscription_lost;
    PyObject *persistence_error, *damaged_error, *watch_error;
    PyObject *classes[ERROR_CLASSES_MAX]; /* parallel to the table in errors.c */
};

extern struct PyModuleDef core_module;

/* Of a type of ours or one that descends from it; NULL with an exception. */
struct module_state *module_state_of(PyTypeObject *type);

/* ---- errors.c -------------------------------------------------------------------------------- */
int errors_init(PyObject *module, struct module_state *state);
void errors_clear(struct module_state *state);
int errors_visit(struct module_state *state, visitproc visit, void *arg);
/* An instance of the class for an error reply "CODE text". */
PyObject *errors_from_reply(struct module_state *state, const char *text, size_t len);
/* Raises WrongTypeError, as for a reply. Returns NULL. */
PyObject *errors_raise_wrong_type(struct module_state *state);
/* Raises what a status means. Returns NULL. */
PyObject *errors_raise(struct module_state *state, enum kevyrt_status status,
                       const struct kevyrt_error *error);

/* ---- arguments.c ----------------------------------------------------------------------------- */
/* Arguments on their way into the core: borrowed from the objects where that is safe, copied where
 * it is not. */
struct arguments {
    struct bytes *argv;
    const struct kevyrt_command *command; /* what the first words name, or NULL: not known */
    uint32_t count, owned_count, capacity;
    PyObject **owned; /* objects kept until the call is over */
    struct bytes argv_inline[ARGUMENTS_INLINE];
    PyObject *owned_inline[ARGUMENTS_INLINE];
    uint32_t digits_used;
    char digits[ARGUMENTS_DIGITS]; /* of integers, as far as they fit */
};

void arguments_init(struct arguments *arguments);
/* Room for `more` words: those that follow do not fail for want of it. */
int arguments_reserve(struct arguments *arguments, Py_ssize_t more);
/* One word of an object that the caller holds until the call is over. */
int arguments_add(struct arguments *arguments, PyObject *object);
/* The same of several. */
int arguments_add_all(struct arguments *arguments, PyObject *const *objects, Py_ssize_t count);
/* Of a text that stays. */
int arguments_add_text(struct arguments *arguments, const char *text);
/* In the place of a word that is there. */
int arguments_set(struct arguments *arguments, uint32_t index, PyObject *object);
/* Each of an iterable. */
int arguments_extend(struct arguments *arguments, PyObject *iterable);
/* Key and value of each item of a mapping; or value and key. */
int arguments_add_mapping(struct arguments *arguments, PyObject *mapping, bool value_first);
/* An integer, or a timedelta in units of 1/`per_second` s. */
int arguments_add_duration(struct arguments *arguments, PyObject *value, int per_second);
/* An integer, or a datetime as the time since 1970 in units of 1/`per_second` s. */
int arguments_add_time(struct arguments *arguments, PyObject *value, int per_second);
void arguments_deinit(struct arguments *arguments);
/* One object; *owned receives a reference to keep until the call is over, or NULL. */
int argument_bytes(PyObject *object, struct bytes *out, PyObject **owned);

/* ---- replies.c ------------------------------------------------------------------------------- */
/* How replies are shown: bulk strings as str (UTF-8) or bytes, simple ones too; sets as lists. */
struct replies_text {
    bool bulk, simple, lists;
};
/* The object for RESP3 bytes; an error reply at the top is raised. */
PyObject *replies_decode(struct module_state *state, struct replies_text text, const char *at,
                         size_t len);
/* The same of the first reply at `*at`, which moves behind it; an error reply is an exception object. None at the end. */
PyObject *replies_take(struct module_state *state, struct replies_text text, const char **at,
                       const char *end);

/* ---- server.c -------------------------------------------------------------------------------- */
struct server_object;

extern PyType_Spec server_type_spec;
/* Seconds, or None, as an absolute deadline on the monotonic clock. */
int server_parse_deadline(PyObject *timeout, uint64_t *deadline_ns);

/* A signal interrupts a sleep by itself, unless it comes in the instant between the check for
 * signals and the sleep; then it is seen after this long. */
#define SIGNAL_SLICE_NS UINT64_C(1000000000)

/* ---- persistence.c --------------------------------------------------------------------------- */
extern PyType_Spec snapshot_type_spec;
PyObject *server_save(struct server_object *self, PyObject *path);
PyObject *server_snapshot(struct server_object *self, PyObject *unused);
PyObject *server_restore(struct server_object *self, PyObject *source);
PyObject *server_rewrite(struct server_object *self, PyObject *arguments);
PyObject *server_load(struct server_object *self, PyObject *source);

/* ---- clock.c --------------------------------------------------------------------------------- */
int clock_init(PyObject *module);
PyObject *server_clock_change(struct server_object *self, PyObject *arguments);
PyObject *server_clock_read(struct server_object *self, PyObject *unused);

/* ---- faults.c -------------------------------------------------------------------------------- */
extern PyType_Spec fault_type_spec;
PyObject *server_fault_add(struct server_object *self, PyObject *arguments);
PyObject *server_fault_remove(struct server_object *self, PyObject *handle);
PyObject *server_faults_clear(struct server_object *self, PyObject *unused);

/* ---- checkpoint.c ---------------------------------------------------------------------------- */
extern PyType_Spec checkpoint_type_spec;
PyObject *server_checkpoint(struct server_object *self, PyObject *unused);
PyObject *server_marks(struct server_object *self, PyObject *unused);
PyObject *server_unpause(struct server_object *self, PyObject *unused);

/* ---- stats.c --------------------------------------------------------------------------------- */
PyObject *stats_object(struct server_object *self);
/* Of so many keys. */
PyObject *survey_object(struct server_object *self, PyObject *sample);
