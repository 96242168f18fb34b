/* Waiting in process: who waits with a thread instead of a connection.
 *
 * Role: a command that finds nothing, of a caller that may wait (caller.h), becomes a waiter as it would for a
 * connection. Its caller gets the waiter, sleeps on it for as long as it likes, and takes the answer out of it or gives up.
 * Threads: one owner per waiter, who calls what is under "The owner", with or without batons held by others, never with some
 * of its own. Whoever serves a waiter answers it (in_process_send, in_process_rouse). Fields that both touch: waiter.h.
 * Ownership: the owner's count goes with in_process_end, that of the registrations as in waiter.h.
 * Invariants
 *   P1  `answered` gets its last value once, after everything of the call that serves is in its place; the reply is the
 *       owner's from then on.
 *   P2  A waiter that the stop finds in a queue is told, and in none any more, before the fabric is emptied.
 * Errors: without memory the command is answered so.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct call;
struct call_wait;
struct fabric;
struct shard;
struct waiter;

/* How a waiter ends, or why its owner woke up. */
enum in_process_answer {
    IN_PROCESS_NOT_YET,
    IN_PROCESS_TELLING,   /* `wake` is called; in the word alone */
    IN_PROCESS_ANSWERED,  /* `reply` is the command's, a time-out among them */
    IN_PROCESS_STOPPED,   /* the server stopped */
    IN_PROCESS_CANCELLED, /* by the owner; there is no answer, and nothing was done */
    IN_PROCESS_LATE,      /* the owner's deadline has passed; it waits on */
};

/* ---- A call, with its batons (waiter_begin, waiter_send) ------------------------------------------- */
/* The owner's count goes into *call->waiter. */
bool in_process_begin(struct call *call, const struct call_wait *wait);
void in_process_send(struct shard *home, struct waiter *waiter);
/* The calls of `home` are complete: their answers are told, or are to be once the log is safe so far. Before the batons drop,
 * behind the end of the turn's chunk. */
void in_process_rouse(struct shard *home);
/* It is: the owner is told. Any thread. With the registrations' count. */
void in_process_tell(struct waiter *waiter);
/* It never will be, as the server has stopped. The same. */
void in_process_abandon(struct waiter *waiter);
/* Its owner finds this end; the reply is there. Who has ended its waiting. */
void in_process_answer(struct waiter *waiter, enum in_process_answer how);

/* ---- The owner --------------------------------------------------------------------------------------- */
/* Sleeps until it is answered, a time-out of its own among that, the absolute monotonic deadline has passed, or for no reason. */
enum in_process_answer in_process_wait(struct waiter *waiter, uint64_t deadline_ns);
/* Waits no more: CANCELLED, or what came first. */
enum in_process_answer in_process_cancel(struct waiter *waiter);
/* The same without waiting: NOT_YET if something has come first that the owner will be told of. */
enum in_process_answer in_process_try_cancel(struct waiter *waiter);
/* Calls `wake` once, when the waiter is answered, its time is over or the server stops: from whatever thread does that, with batons
 * held. It may neither lock nor wait. If that has happened already it is called at once, by the owner. Once per
 * waiter. Behind an end that the owner has been told of it neither runs nor comes. */
void in_process_call_back(struct waiter *waiter, void (*wake)(void *context), void *context);
/* `wake` does not run, and will not come. */
void in_process_withdraw(struct waiter *waiter);
/* A waiter for the log alone, in no queue: it is told once the ticket is safe, or at the stop. NULL: no memory. */
struct waiter *in_process_settle(struct fabric *fabric, uint64_t ticket);
/* It has an answer, or waits for the log alone. `running`: the batons are there to be taken; if not, the stop sees to what is left in queues. */
void in_process_end(struct waiter *waiter, bool running);

/* ---- The stop: threads have ended, batons are closed ------------------------------------------------- */
void in_process_stop(struct fabric *fabric);
/* Batons are closed: one that is in no queue, whose teller still has its count. Nothing if it is a connection's. */
void in_process_tell_stop(struct waiter *waiter);
