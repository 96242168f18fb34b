/* Awaiting: a command that waits for no key, but for something that a thread of the server's will tell (SAVE: the file is
 * there).
 *
 * Role: the handler begins to wait and gives the waiter to who will know. That thread answers it, once.
 * Threads: await_begin, a call with its batons; await_answer, any thread, with no baton held.
 * Ownership: what await_begin returns has a count for the teller, who must give it to await_answer once, whatever
 * happens, the stop of the server included: the client may be gone by then, or its time over, which await_answer finds.
 * Errors: without memory the command is answered so, and nobody waits.
 */
#pragma once

#include "cmd/call.h"

struct waiter;

struct await_kind {
    /* What is answered when the time is over, or CLIENT UNBLOCK says that it is: on the owner's thread. NULL: only with
     * a time-out of 0, and CLIENT UNBLOCK leaves it alone. */
    void (*nothing)(const struct waiter *waiter, struct reply *reply);
};

/* May the call wait? In a transaction it may not. */
static inline bool await_is_possible(const struct call *call) {
    return call->wait != NULL;
}
/* The command waits from now on: its handler replies nothing. timeout_ms 0: for ever. `number` is kept in the waiter. NULL
 * after the error reply. */
struct waiter *await_begin(struct call *call, const struct await_kind *kind, int64_t timeout_ms,
                           uint64_t number);
/* Lets `write` answer it, unless nobody waits any more, and gives the count back. */
void await_answer(struct waiter *waiter, void (*write)(struct reply *reply, void *context),
                  void *context);
