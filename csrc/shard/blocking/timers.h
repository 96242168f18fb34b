/* The deadlines of waiters, a shard's or those in process (alarms.h): a binary heap, the earliest first.
 *
 * Threads: the shard thread; in process, with the lock. Ownership: entries are borrowed; who leaves is taken out before.
 * Errors: false from timers_reserve for refused memory; behind a true one an insertion cannot fail.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct shard;
struct waiter;

struct timers {
    struct waiter **heap; /* by alarm_us; a waiter knows its index */
    uint32_t count, capacity;
    uint64_t
        again_ns; /* of a shard: when to look again at one that was just tried; 0: there is none */
};

/* For so many more. */
bool timers_reserve(struct timers *timers, uint32_t more);
void timers_add(struct timers *timers, struct waiter *waiter);
/* Whether it is in it or not. */
void timers_remove(struct timers *timers, struct waiter *waiter);
/* In waiting time (cmd/virtual_clock.h); WAITING_NEVER: none. */
uint64_t timers_next_us(const struct timers *timers);
void timers_deinit(struct timers *timers);

/* How many time-outs are answered in a turn. */
enum { TIMERS_SLICE = 256 };
/* When a turn is due for the first of them, on the monotonic clock. */
uint64_t timers_alarm_ns(const struct shard *shard);
/* Answers those whose time is over, some of them; in a turn, with the own baton. */
void timers_tend(struct shard *shard);
