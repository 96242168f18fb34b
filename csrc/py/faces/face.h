/* Faces: objects with a method for every command.
 *
 * Role: what kevyrt.Server, Database, Session, Pipeline and Aio have in common. A method (methods.c, fast.c) makes words of its
 * arguments; what becomes of them is the face's: they are called now, queued, or called for an awaitable.
 * Threads: the GIL is held.
 * Ownership: a face that is no server holds the object of its server (`owner`); `server` and `session` lie in objects that
 * stay for as long.
 * Errors: NULL or -1 with an exception set.
 */
#pragma once

#include "py/module.h"

/* What the reply of a command becomes, as redis-py has it. Python knows them by name, without RESULT_. */
enum result_kind {
    RESULT_PLAIN,  /* as it is decoded: simple strings are bytes, or str where bulk strings are */
    RESULT_OK,     /* True for OK; what is not OK (null) as it is */
    RESULT_BOOL,   /* an integer */
    RESULT_FLOAT,  /* a bulk string, or null, as a number */
    RESULT_SET,    /* an array or a set, as a set; elsewhere sets are lists */
    RESULT_TUPLE,  /* an array */
    RESULT_TUPLES, /* an array of arrays: of tuples */
    RESULT_TRUE,   /* True, whatever is said */
    RESULT_PONG,   /* is it PONG? */
    RESULT_BYTES,  /* as it is decoded, but bytes, always */
    RESULT_STR,    /* a str, always */
    RESULT_STRS,   /* a list of them */
    RESULT_STR_DICT,
    RESULT_FLAT,   /* an array of pairs, or a map: a list of what is in them; scores as bytes */
    RESULT_PAIRS,  /* an array: every two of it a tuple */
    RESULT_SCORES, /* members as they are; members with scores as tuples (member, score) */
    RESULT_RANK,   /* a number; or [number, score] */
    RESULT_POPPED, /* [key, [[member, score as bytes], ...]] */
    RESULT_PLACES, /* names; or [name, distance, hash, (longitude, latitude)], what there is of it */
    RESULT_ENTRIES,     /* [(id, {field: value}), ...] */
    RESULT_STREAMS,     /* [[name, entries], ...] */
    RESULT_SLOW_LOG,    /* dicts; bytes, always */
    RESULT_SCAN,        /* (cursor, items) */
    RESULT_SCAN_DICT,   /* (cursor, {field: value}) */
    RESULT_SCAN_SCORES, /* (cursor, [(member, score), ...]) */
    RESULT_KINDS,
    RESULT_CALL = RESULT_KINDS, /* `then` makes it of the decoded reply */
    RESULT_EXECUTE,             /* as execute() has it: simple strings are str */
};

struct result {
    enum result_kind kind;
    PyObject *then; /* of RESULT_CALL; or NULL, or what makes scores of their text; borrowed */
};

struct face;

struct face_kind {
    /* Does with a command what the face does, and returns what its methods return. The words are borrowed. */
    PyObject *(*run)(struct face *self, const struct arguments *arguments, struct result result);
};

#define FACE_HEAD                                                                      \
    PyObject_HEAD struct kevyrt_server *server; /* NULL: not initialised, or closed */ \
    struct module_state *state;                 /* the type holds the module */        \
    const struct face_kind *kind;                                                      \
    struct kevyrt_session *session; /* or NULL: then commands run in database `db` */  \
    PyObject *owner;                /* the server's object; NULL: this is one */       \
    uint32_t db;                                                                       \
    bool decodes; /* bulk strings are str */                                           \
    bool busy;    /* a call is inside the session: the GIL is released while it waits */

struct face {
    FACE_HEAD
};

/* The server's own object. */
struct server_object {
    FACE_HEAD
    PyObject *load; /* what the server loads at its start is borrowed from it; or NULL */
};

static inline struct face *as_face(void *object) {
    return object;
}

/* ---- face.c ---------------------------------------------------------------------------------- */
/* `self` becomes a face of the server whose object is `server`. -1: it is none, or not usable. */
int face_init(struct face *self, const struct face_kind *kind, PyObject *server);
/* Raises ForkedError in a child, RuntimeError before __init__, or if it is closed. */
int face_check_usable(struct face *self);
/* Slots of a type that adds nothing to a face. */
int face_traverse(struct face *self, visitproc visit, void *arg);
int face_clear(struct face *self);
void face_dealloc(struct face *self);
/* Adds those methods that the type does not have yet. */
int face_add_methods(PyTypeObject *type, PyMethodDef *definitions);
/* Constants of result kinds. */
int face_add_constants(PyObject *module);
/* The method `_run(result, *words)` of all faces. */
PyObject *face_run(struct face *self, PyObject *const *values, Py_ssize_t count);
extern const char face_run_doc[];
/* `execute(*args)`. */
PyObject *face_execute(struct face *self, PyObject *const *values, Py_ssize_t count);
extern const char face_execute_doc[];

/* ---- calls.c: faces that call now ------------------------------------------------------------- */
extern const struct face_kind face_calls;
/* Waits without the GIL until what was done may be told. */
int face_settle(struct face *self, uint64_t ticket);
/* RuntimeError if another thread is inside the session. */
int face_check_idle(struct face *self);
/* Raises why a call did not happen. Returns NULL. */
PyObject *face_raise(struct face *self, enum kevyrt_status status);
/* ValueError: it is no number of a database. One that is too high is found by each call. */
int face_parse_db(PyObject *value, uint32_t *db);
/* `execute(*args, db=0)` of a server. */
PyObject *server_execute(struct face *self, PyObject *const *values, Py_ssize_t count,
                         PyObject *names);

/* ---- results.c ------------------------------------------------------------------------------- */
/* Takes the reference to the decoded reply (NULL: an exception is set) and returns one. */
PyObject *result_of_reply(struct result result, PyObject *reply);
/* Decodes and converts. */
PyObject *result_of_bytes(const struct face *self, struct result result, const char *at,
                          size_t len);
/* The same of the first reply at `*at`, which moves behind it; an error reply is an exception object. */
PyObject *result_take(const struct face *self, struct result result, const char **at,
                      const char *end);
/* `_run`'s first argument. */
int result_parse(PyObject *object, struct result *out);

/* ---- database.c, session.c, pipeline.c ------------------------------------------------------- */
extern PyType_Spec database_type_spec, session_type_spec, pipeline_type_spec;

/* ---- fast.c ---------------------------------------------------------------------------------- */
/* Of the methods that have a fast path, for faces that call now and have no session. */
PyMethodDef *fast_definitions(void);
/* What a face does with a plain GET and SET, whose words are bytes; what has options goes by the table. */
typedef PyObject *fast_get_bytes(struct face *self, PyObject *const *values, struct bytes key);
typedef PyObject *fast_set_bytes(struct face *self, PyObject *const *values, struct bytes key,
                                 struct bytes value);
static inline PyObject *fast_get_by(fast_get_bytes *get, struct face *self, PyObject *const *values,
                                    Py_ssize_t count, PyObject *names);
static inline PyObject *fast_set_by(fast_set_bytes *set, struct face *self, PyObject *const *values,
                                    Py_ssize_t count, PyObject *names);
/* The object for a value that may be told; puts it. */
PyObject *fast_value(struct face *self, struct kevyrt_value *value);
PyObject *fast_get(struct face *self, PyObject *const *values, Py_ssize_t count, PyObject *names);
PyObject *fast_set(struct face *self, PyObject *const *values, Py_ssize_t count, PyObject *names);

/* ---- mapping.c, view.c ------------------------------------------------------------------------- */
/* Of server and database. */
PyObject *mapping_get(struct face *self, PyObject *name);
int mapping_set(struct face *self, PyObject *name, PyObject *value); /* NULL: deletes it */
int mapping_contains(struct face *self, PyObject *name);
Py_ssize_t mapping_length(struct face *self);
int mapping_bool(struct face *self);
#define MAPPING_SLOTS                                                         \
    {Py_mp_subscript, mapping_get}, {Py_mp_ass_subscript, mapping_set},       \
        {Py_mp_length, mapping_length}, {Py_sq_contains, mapping_contains}, { \
        Py_nb_bool, mapping_bool                                              \
    }
extern PyType_Spec view_type_spec;
PyObject *view_get(struct face *self, PyObject *name);
extern const char view_get_doc[];

/* ---- methods.c ------------------------------------------------------------------------------- */
/* Of every method of the table; ends with one without a name. */
PyMethodDef *methods_definitions(void);
/* The documentation of one of them. */
const char *methods_doc(const char *name);
/* By the table, of the methods that have a fast path. */
PyObject *method_get(struct face *self, PyObject *const *values, Py_ssize_t count, PyObject *names);
PyObject *method_set(struct face *self, PyObject *const *values, Py_ssize_t count, PyObject *names);

/* ---- The fast path, in each face --------------------------------------------------------------- */

static inline PyObject *fast_get_by(fast_get_bytes *get, struct face *self, PyObject *const *values,
                                    Py_ssize_t count, PyObject *names) {
    PyObject *owned;
    struct bytes key;
    if (names || count != 1 || !self->server) return method_get(self, values, count, names);
    if (argument_bytes(values[0], &key, &owned) < 0) return NULL;
    PyObject *object = get(self, values, key);
    Py_XDECREF(owned);
    return object;
}

static inline PyObject *fast_set_by(fast_set_bytes *set, struct face *self, PyObject *const *values,
                                    Py_ssize_t count, PyObject *names) {
    struct bytes key, value;
    PyObject *owned_key, *owned_value = NULL, *result = NULL;
    if (names || count != 2 || !self->server) return method_set(self, values, count, names);
    if (argument_bytes(values[0], &key, &owned_key) < 0) return NULL;
    if (argument_bytes(values[1], &value, &owned_value) == 0)
        result = set(self, values, key, value);
    Py_XDECREF(owned_key);
    Py_XDECREF(owned_value);
    return result;
}
