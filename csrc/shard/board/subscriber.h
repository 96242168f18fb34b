/* Subscribers in process: who is subscribed with a thread or an event loop instead of a connection.
 *
 * Role: what connections are told by their shard thread, a subscriber is told by the publisher himself: with the board held, when
 * its call leaves it (board_send), the message goes into the subscriber's queue. So it is told everything in the board's
 * one order. What a message tells of may not be safe in the log yet: each has the ticket, and its owner asks before he shows it.
 * Threads: one owner per subscriber, who holds no batons; any thread may subscribe it. Who publishes holds the board. The list of all is under a lock of its own,
 * a leaf, for the stop.
 * Ownership: a subscriber is its owner's; its subscriptions (`struct hearing`) are the board's.
 * Invariants
 *   S1  It is told what is published behind its subscription, and nothing behind its end, in the order of the board; what confirms
 *       that stands there too.
 *   S2  Once it is not told something (memory, bounds, the stop), it is told nothing more, and its owner learns why.
 * Errors: false for refused memory, and nothing has changed.
 * Bounds: client-output-buffer-limit of the class pubsub.
 */
#pragma once

#include "base/atomic.h"
#include "base/bytes.h"
#include "shard/board/channels.h"

struct fabric;
struct shard;
struct subscriber;

/* A subscriber's subscription to a channel or pattern; under the board. */
struct hearing {
    struct channel *channel;
    struct subscriber *subscriber;
    struct hearing *next, *previous;         /* of the channel */
    struct hearing *next_own, *previous_own; /* of the subscriber, of the same kind, newest first */
};

struct subscriber_item {
    struct subscriber_item *next;
    uint64_t ticket;
    size_t len;
    char text[]; /* RESP3 */
};

enum subscriber_state { SUBSCRIBER_LIVE, SUBSCRIBER_DROWNED, SUBSCRIBER_STOPPED };

struct subscriber {
    struct fabric *fabric;
    struct subscriber *next, *previous; /* list's lock */
    struct hearing *own[CHANNEL_KINDS]; /* board */
    uint64_t counts[CHANNEL_KINDS];     /* board */
    uint64_t soft_since_ns;             /* board; 0: the soft limit is not exceeded */
    void (*wake)(void *context);        /* constant; neither locks nor waits */
    void *context;                      /* constant */
    atomic_ptr items; /* newest first; the board's holder pushes, the owner swaps; seq_cst */
    atomic_u64 bytes; /* of the queue; the board's holder adds, the owner subtracts; relaxed */
    atomic_u32
        state; /* enum subscriber_state; the board's holder or the stop, from LIVE once; seq_cst */
    atomic_u32 armed; /* 1: `wake` is to be called; the owner sets, who calls it swaps; seq_cst */
    atomic_u32 bell;  /* the owner's futex; counts what was brought; seq_cst */
    struct subscriber_item *oldest; /* taken out of `items`; the owner's */
};

/* ---- The owner ----------------------------------------------------------------------------------- */
/* NULL: no memory. */
struct subscriber *subscriber_new(struct fabric *fabric, void (*wake)(void *context),
                                  void *context);
/* `running`: the board is there to be taken; if not, the stop sees to its subscriptions or has. */
void subscriber_free(struct subscriber *subscriber, bool running);
/* With the board. All of the names or, for want of memory, none. What confirms it is in the queue. */
bool subscriber_join(struct subscriber *subscriber, enum channel_kind kind,
                     const struct bytes *names, uint32_t count);
/* With the board. Without names: everything of the kind. */
bool subscriber_leave(struct subscriber *subscriber, enum channel_kind kind,
                      const struct bytes *names, uint32_t count);
/* The oldest message, which stays in its place; NULL: there is none. */
struct subscriber_item *subscriber_peek(struct subscriber *subscriber);
/* Takes the oldest one out, which is the caller's, for mem_free(NULL). */
void subscriber_pop(struct subscriber *subscriber);
/* Sleeps until something may have come, or the absolute monotonic deadline has passed (false). */
bool subscriber_wait(struct subscriber *subscriber, uint64_t deadline_ns);
/* `wake` is called once when there is something; at once if there is already. */
void subscriber_arm(struct subscriber *subscriber);
/* It is called no more, and is not being called. `running`: as in subscriber_free. */
void subscriber_disarm(struct subscriber *subscriber, bool running);

/* ---- Who has the board ---------------------------------------------------------------------------- */
/* A message of two pieces for everybody who hears the channel in process; with batons of a call. */
void subscribers_tell(struct fabric *fabric, const struct channel *channel, uint64_t ticket,
                      struct bytes head, struct bytes body, bool has_body);

/* ---- The stop: batons are closed ------------------------------------------------------------------ */
void subscribers_stop(struct fabric *fabric);
