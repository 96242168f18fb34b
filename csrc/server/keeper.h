/* The keeper: one thread per server for what must happen off the shard threads.
 *
 * Role: frees garbage (what flushes detached, large values), and carries out the stop that SHUTDOWN asks for, and what
 * else must wait for files or batons.
 * Threads: `taker` and `keeper_request_stop` from any thread, without blocking for longer than a leaf
 * lock. Before the start and after the stop the taker frees in place. Ownership: garbage passes to the keeper.
 * Bounds: beyond KEEPER_WAITING_MAX pieces whoever brings more frees it himself.
 */
#pragma once

#include <pthread.h>

#include "base/atomic.h"
#include "base/garbage.h"

enum { KEEPER_WAITING_MAX = 4096 };

struct keeper {
    struct garbage_taker taker; /* first: a taker is its keeper */
    atomic_ptr garbage; /* newest first; any thread pushes (release), the keeper swaps (acquire) */
    atomic_u32 waiting; /* about how many; any thread and the keeper, relaxed */
    pthread_mutex_t lock;
    bool stop_requested; /* lock */
    bool work_requested; /* lock */
    bool ending;         /* lock */
    atomic_u32 bell;     /* futex: rung for every change */
    pthread_t thread;
    void (*stop)(void *context);
    void (*work)(void *context); /* NULL: there is none; set before the start */
    void *context;
};

/* Once, before anything else; until the start and after the stop there is no thread. */
void keeper_init(struct keeper *keeper);
void keeper_deinit(struct keeper *keeper);
/* 0 or a negative errno value. `stop` is called on the keeper's thread. */
int keeper_start(struct keeper *keeper, void (*stop)(void *), void *context);
/* Frees what is left, then ends and joins the thread. Not from the keeper's own thread. */
void keeper_stop(struct keeper *keeper);
bool keeper_is_current(const struct keeper *keeper);

void keeper_request_stop(struct keeper *keeper);
/* `work` is called on the keeper's thread, soon, once for any number of requests; not if it ends before. */
void keeper_request_work(struct keeper *keeper);
