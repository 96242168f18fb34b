/* asyncio's face: `server.aio`, and what its methods give.
 *
 * Role: a method makes its call at once, as the server's do, and gives an awaitable with the result (awaitable.c). What cannot be told
 * at once becomes something to wait for, which Python's half (kevyrt/_awaiting.py) joins to the loop:
 *   Waiting   a command that waits for data, or an answer that waits for the log: the core will tell, by a bell (waiting.c)
 *   Parked    a call that has not been made, as a place is taken for long or a pause goes on: a thread makes it (parked.c)
 * Threads: the GIL is held. A mark is put on its bell by whatever thread answers (kevyrt_bell_ring), without the GIL.
 * Ownership: what is armed holds its bell, and takes its mark back from it before it goes (bell.c).
 * Errors: NULL or -1 with an exception set; errors of a call are raised where it is awaited.
 */
#pragma once

#include "base/atomic.h"
#include "py/faces/face.h"

/* ---- awaitable.c ------------------------------------------------------------------------------- */
extern PyType_Spec awaitable_type_spec;
/* Takes the reference to a result; NULL: the exception that is set is the result. */
PyObject *awaitable_done(struct module_state *state, PyObject *result);
/* What goes on by `finish(source)`, a generator, once it is awaited. Takes the reference to `source`; NULL as above. */
PyObject *awaitable_pending(struct module_state *state, PyObject *finish, PyObject *source);
/* Frees the memory that is kept. */
void awaitables_free(struct aio_state *state);

/* ---- bell.c ------------------------------------------------------------------------------------ */
extern PyType_Spec bell_type_spec;
struct bell_object;

/* What a loop waits for: its mark is put on the loop's bell when there is something. */
#define ARMED_HEAD                                                                \
    PyObject_HEAD struct bell_object *bell; /* NULL: not armed yet */             \
    PyObject *future; /* what the bell gives to who takes it; NULL: for nobody */ \
    struct kevyrt_mark mark;                                                      \
    atomic_u32 rung; /* by who brings it, before it is seen; relaxed */           \
    bool taken;      /* its mark was given back */

struct armed {
    ARMED_HEAD
};

/* A `wake`; the context is what is armed. */
void armed_wake(void *context);
/* `arm(bell, future)`: joins it to the bell, or gives it another future. */
int armed_join(struct armed *self, struct module_state *state, PyObject *arguments);
/* It goes, and nobody rings for it any more. */
void armed_take_back(struct armed *self);

/* ---- waiting.c --------------------------------------------------------------------------------- */
extern PyType_Spec waiting_type_spec;
/* Takes over `waiting`, also if there is no memory. What becomes of its reply is `result`. It is inside the session, if there is
 * one, until its end. */
PyObject *waiting_of_command(struct face *face, struct kevyrt_waiting *waiting,
                             struct result result);
/* An awaitable for a result that may be told when the ticket is safe. Takes the reference; NULL: the exception that is set. */
PyObject *waiting_for_log(struct face *face, uint64_t ticket, PyObject *result);

/* ---- subscriber.c ------------------------------------------------------------------------------ */
extern PyType_Spec subscriber_type_spec;

/* ---- parked.c ---------------------------------------------------------------------------------- */
extern PyType_Spec parked_type_spec;
/* A call that is still to be made; copies its words. It is inside the session, if there is one, until it is made. */
PyObject *parked_call(struct face *face, const struct arguments *arguments, struct result result);

/* ---- aio.c ------------------------------------------------------------------------------------- */
extern PyType_Spec aio_type_spec;
/* The fast path of GET and SET. */
PyMethodDef *aio_definitions(void);
/* Makes a call in the session of `session`, an awaitable for its result. RuntimeError if a call is inside it: until it is
 * answered, or given up, this one is (`busy`). */
PyObject *aio_call(struct face *session, const struct arguments *arguments, struct result result);
/* The awaitable for what a call has come to, which is inside its session no more unless it waits. A reply is freed. */
PyObject *aio_awaitable(struct face *face, enum kevyrt_status status, struct kevyrt_reply *reply,
                        const struct arguments *arguments, struct result result);
/* A property of server and database. */
PyObject *face_get_aio(struct face *self, void *unused);
extern const char aio_property_doc[];
int aio_visit(struct aio_state *state, visitproc visit, void *arg);
void aio_clear(struct aio_state *state);
