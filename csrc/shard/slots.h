/* Reply slots: the order of a connection's replies while some are made elsewhere.
 *
 * Role: a ring of pending slots per connection. A forwarded request issues one; its reply fills it;
 * filled slots leave from the head, in order, into the connection's output. With no slot pending the
 * ring is not there, and replies go to the output directly.
 * Threads: the connection's shard thread.
 *
 * Invariants
 *   L1  A slot is issued once, filled at most once, and retired exactly once, in the order of issue.
 *   L2  Nothing is appended to the output behind a pending slot.
 * Errors: false for refused memory, with nothing issued. Bounds: SLOTS_MAX pending; beyond it the connection waits. What is pushed takes at most one
 * slot more.
 */
#pragma once

#include "resp/reply.h"

enum { SLOTS_FIRST = 64, SLOTS_MAX = 1024 };

struct slot {
    struct reply reply;
    bool filled;
};

struct slots {
    struct slot *ring;        /* NULL until the first issue */
    uint32_t capacity;        /* a power of two */
    uint32_t issued, retired; /* free-running */
};

static inline uint32_t slots_pending(const struct slots *slots) {
    return slots->issued - slots->retired;
}

/* The new slot's number goes to *number. */
bool slots_issue(struct slots *slots, struct reply_pool *pool, uint32_t *number);
/* Moves the first `bytes` of `from` into the slot, then retires from the head what is filled into `output`. */
void slots_fill(struct slots *slots, uint32_t number, struct reply *from, uint64_t bytes,
                struct reply *output);
/* Puts `push` behind what is pending, as if it were the reply of a request that was answered at once. False: no memory. */
bool slots_push(struct slots *slots, struct reply_pool *pool, struct reply *push);
/* Retires everything, filled or not, into nothing. */
void slots_deinit(struct slots *slots);
