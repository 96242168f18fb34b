/* The deadlines of a shard's waiters: a binary heap, the earliest first.
 *
 * Threads: the shard thread. Ownership: entries are borrowed; who leaves is taken out before.
 * Errors: false from timers_reserve for refused memory; behind a true one an insertion cannot fail.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct shard;
struct waiter;

struct timers {
    struct waiter **heap; /* by alarm_ns; a waiter knows its index */
    uint32_t count, capacity;
};

bool timers_reserve(struct timers *timers);
void timers_add(struct timers *timers, struct waiter *waiter);
/* Whether it is in it or not. */
void timers_remove(struct timers *timers, struct waiter *waiter);
/* FUTEX_NO_DEADLINE: none. */
uint64_t timers_next_ns(const struct timers *timers);
void timers_deinit(struct timers *timers);

/* How many time-outs are answered in a turn. */
enum { TIMERS_SLICE = 256 };
/* Answers those whose time is over, some of them; in a turn, with the own baton. */
void timers_tend(struct shard *shard);
