/* A waiter: a command that found nothing to do and waits for one of its keys (BLPOP and its kin).
 *
 * Role: it keeps a copy of the command, who is to be answered, and its place in the queues of its keys
 * (waiting.h). It ends once: served, timed out, unblocked, or because nobody is there any more.
 * Threads: `state` is everybody's, see waiter.c. What is above it in the struct is constant once it waits. Its registrations
 * are of the data rooms that they are in. The rest is its owner's: the shard thread of the connection, or the in-process caller.
 * Ownership: counted. One count is its owner's; one is of the registrations, and goes on with the post or the departure that
 * follows when they end. Who looks at it through a card counts as well.
 * Errors: without memory the command that would wait is answered so, and nothing is left behind.
 */
#pragma once

#include "cmd/call.h"
#include "shard/board/board.h"
#include "shard/departures.h"

struct card;
struct client;
struct connection;
struct fabric;
struct tracker;
struct wait_queue;

enum waiter_state {
    WAITER_WAITING,
    WAITER_TRYING,    /* its command runs again; may go back to WAITING */
    WAITER_CLAIMED,   /* answered */
    WAITER_TIMED_OUT, /* its owner answers */
    WAITER_CANCELLED, /* nobody is to be answered */
};

/* Its place in the queue of one key. */
struct registration {
    struct registration *next, *previous;
    struct wait_queue *queue;
    struct waiter *waiter;
};

enum { WAITER_IN_PROCESS = UINT32_MAX, WAITER_NO_ALARM = UINT32_MAX };

struct waiter {
    struct fabric *fabric;
    struct card *card;       /* of its client, counted; NULL: it has none */
    struct tracker *tracker; /* counted: of a client that caches what it reads; NULL: none */
    const struct command *command;
    struct bytes *argv;  /* what runs again; behind the registrations; blobs are counted */
    struct bytes *asked; /* what its client sent, where that is something else; or `argv` */
    uint64_t bytes, argument_bytes; /* all that it holds; its words alone */
    uint32_t argc, db, flags;
    uint64_t
        mask; /* shards of all keys of its command: what its command needs to run; awaited: the home of its call */
    const struct await_kind *await; /* a thread will tell (await.h); NULL: none */
    uint64_t number;                /* awaited: its command's own */
    uint32_t shard;                 /* its owner's; WAITER_IN_PROCESS */
    uint32_t connection, generation;
    uint8_t type; /* enum value_type that it waits for */
    uint8_t proto;
    bool of_group; /* it is told as well if what it reads from is gone */
    bool moves;    /* its command can make other keys ready */
    bool reaches;  /* its mask is more than one shard */

    atomic_u32 state;      /* enum waiter_state; see waiter.c */
    atomic_u32 references; /* acquire-release at the last put */

    uint64_t deadline_us; /* in waiting time; WAITING_NEVER: for ever; constant */
    /* In its shard's timers, of the thread; in process in the alarms, with their lock. */
    uint64_t alarm_us; /* when to look at it */
    uint32_t alarm_index;
    bool late; /* it has its answer, and waits for the time to tell it */
    struct departure departure;
    struct post post;
    struct reply_pool pool; /* of the reply, which is written on any thread: keeps nothing */
    struct reply reply;     /* who has it in TRYING or has claimed it; then the post */
    /* In process (in_process.c). `answered` and `wake` are seq_cst. */
    atomic_u32 answered;          /* enum in_process_answer, the owner's futex; whoever ends it */
    atomic_ptr wake;              /* the owner sets, who calls it swaps */
    void *wake_context;           /* written before `wake` */
    struct waiter *next_answered; /* on the list of a call that served it, or of the stop */
    struct client *session;       /* the owner's; NULL: it has none */

    /* Claimed where not all its batons were held: the owner takes it out of its queues. */
    bool linked;

    uint64_t ticket; /* position in the log of what it is answered with, in process; who answers */
    struct waiter *next_sync; /* on a list of the journal's; who has the list */

    /* Of a fault (shard/faults.h), before anybody answers. */
    uint64_t late_us; /* the answer is told so much later than it is there; 0: at once */
    uint64_t
        cut_bytes; /* its connection ends behind so much of the answer; UINT64_MAX: it does not */

    uint64_t spent_ticks; /* its command's, so far; the call that it begins in, then who tries */
    uint32_t registered;  /* registrations in use, under the batons of their keys */
    struct registration registrations[];
};

/* ---- Handlers: how a call waits (struct call) ---------------------------------------------------- */
bool waiter_begin(struct call *call, const struct call_wait *wait);
/* A waiter in the queues of its keys, without an owner yet. NULL after the error reply. */
struct waiter *waiter_enter(struct call *call, const struct call_wait *wait);
/* Its client is seen to wait, or (NULL) not to wait any more. */
void waiter_show(struct client *client, struct waiter *waiter);

/* ---- Ends ----------------------------------------------------------------------------------------- */
/* From WAITING to an end, or to TRYING. False: somebody else was first, or tries. Any thread. */
bool waiter_leave(struct waiter *waiter, enum waiter_state to);
/* It was tried and waits on. False: it was cancelled meanwhile. */
bool waiter_go_on(struct waiter *waiter);
/* It was tried and is answered by `reply`. False: it was cancelled meanwhile, and the answer is for nobody. */
bool waiter_claim(struct waiter *waiter);
/* What a fault does with the answer; with the batons of the call that it began in. */
void waiter_fault(struct waiter *waiter, uint64_t late_us, uint64_t cut_bytes);
/* Sends the answer of a claimed waiter, which has left its queues or is `linked`, with the reference of its registrations.
 * `home`: of the call that is complete with it. */
void waiter_send(struct shard *home, struct waiter *waiter);
/* The registrations' reference: it leaves its queues when their batons are next held. The owner's shard thread. */
void waiter_depart(struct shard *shard, struct waiter *waiter);

static inline struct waiter *waiter_get(struct waiter *waiter) {
    atomic_add_relaxed(&waiter->references, 1);
    return waiter;
}
void waiter_put(struct waiter *waiter);

/* ---- The owner: the shard thread of a connection -------------------------------------------------- */
/* Its time is over: answers, and the connection goes on. With the shard's own baton. False: somebody tries it just now, and it is to
 * be looked at again. */
bool waiter_alarm(struct shard *shard, struct waiter *waiter);
/* The connection ends; whether it waits or not. */
void waiter_forget(struct shard *shard, struct connection *connection);
/* What is answered when it ends with nothing: no element, or no replica. */
void waiter_reply_nothing(const struct waiter *waiter, struct reply *reply);
/* Is its time over, though nobody has told it yet? Under a baton of its keys. Only where time may pass at once. */
bool waiter_is_overdue(const struct waiter *waiter);
