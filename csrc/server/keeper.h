/* The keeper: one thread per server for what must happen off the shard threads.
 *
 * Role: frees what flushes detached, and carries out the stop that SHUTDOWN asks for.
 * Threads: `keeper_discard` and `keeper_request_stop` from any thread, without blocking for longer than a
 * leaf lock. Ownership: garbage passes to the keeper.
 */
#pragma once

#include <pthread.h>

#include "base/atomic.h"
#include "store/keyspace.h"

struct keeper_job;

struct keeper {
    pthread_mutex_t lock;
    struct keeper_job *jobs; /* lock; newest first */
    bool stop_requested;     /* lock */
    bool ending;             /* lock */
    atomic_u32 bell;         /* futex: rung for every change */
    pthread_t thread;
    void (*stop)(void *context);
    void *context;
};

/* 0 or a negative errno value. `stop` is called on the keeper's thread. */
int keeper_start(struct keeper *keeper, void (*stop)(void *), void *context);
/* Frees what is left, then ends and joins the thread. Not from the keeper's own thread. */
void keeper_stop(struct keeper *keeper);
bool keeper_is_current(const struct keeper *keeper);

void keeper_discard(void *keeper, struct keyspace_garbage *garbage);
void keeper_request_stop(struct keeper *keeper);
