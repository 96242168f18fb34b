/* The time-outs of those who wait in process.
 *
 * Role: an owner that is a thread, or an event loop, sleeps until it is told, whatever ends its waiting; its time-out is told it like
 * an answer. Time may also pass at once (cmd/virtual_clock.h), so nobody in process looks at a clock for it. Every waiter in process
 * is here from its beginning to in_process_end, those without a time-out for the sake of the stop.
 * Threads: `lock` is a leaf. The thread of shard 0 tends to them, without its baton, and so does whoever has changed the clock.
 * Ownership: waiters are borrowed; who ends one takes it out before.
 * Errors: false from alarms_reserve for refused memory; behind a true one alarms_add cannot fail.
 */
#pragma once

#include <pthread.h>

#include "base/atomic.h"
#include "shard/blocking/timers.h"

struct fabric;
struct waiter;

struct alarms {
    pthread_mutex_t lock; /* of all but `next_us`, and of the clock's changes */
    struct timers timers;
    uint32_t reserved; /* for waiters that begin just now */
    atomic_u64
        next_us; /* no alarm is before it: the thread looks again then. Writer: with the lock; seq_cst with a wake-up */
};

void alarms_init(struct alarms *alarms);
void alarms_deinit(struct alarms *alarms);

/* With the batons of a call. */
bool alarms_reserve(struct fabric *fabric);
void alarms_release(struct fabric *fabric);
void alarms_add(struct fabric *fabric, struct waiter *waiter);
/* Whether it is there or not. */
void alarms_remove(struct fabric *fabric, struct waiter *waiter);
/* It has its answer, and is told that when its alarm comes (waiter.h, `late_us`). */
void alarms_put_off(struct fabric *fabric, struct waiter *waiter);
/* It is, but its owner does not wait for that: it is told now. */
void alarms_hurry(struct fabric *fabric, struct waiter *waiter);

/* When there is something to do, in waiting time; WAITING_NEVER: nothing. */
static inline uint64_t alarms_next_us(const struct alarms *alarms) {
    return atomic_load_seq_cst(&alarms->next_us);
}
/* Answers those whose time is over. False: somebody is just tried, and is to be looked at again. */
bool alarms_tend(struct fabric *fabric, uint64_t monotonic_ns);
/* The server has stopped: all that still wait are told. */
void alarms_stop(struct fabric *fabric);
