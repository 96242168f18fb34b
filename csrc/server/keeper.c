/* The keeper's thread, and the stack of garbage that it empties.
 *
 * A push is one compare-and-swap of the stack's head, and the thread takes the whole stack at once, so
 * there is nobody who could see a node come back (ABA). While no thread runs the head is CLOSED: garbage
 * may outlive the server's stop (a view of a value), and is freed then by whoever brings it.
 */
#include "server/keeper.h"

#include "plat/futex.h"
#include "plat/thread.h"

static char closed_mark;
#define CLOSED ((void *)&closed_mark)

static void keeper_ring(struct keeper *keeper) {
    atomic_add_seq_cst(&keeper->bell, 1);
    futex_wake(&keeper->bell, 1);
}

/* ---- Garbage ------------------------------------------------------------------------------------ */

/* False: there is no thread. */
static bool push(struct keeper *keeper, struct garbage *garbage) {
    void *head = atomic_load_relaxed(&keeper->garbage);
    do {
        if (head == CLOSED) return false;
        garbage->next = head;
    } while (!atomic_cas_acq_rel(&keeper->garbage, &head, garbage));
    return true;
}

static void keeper_take(struct garbage_taker *taker, struct garbage *garbage) {
    struct keeper *keeper = (struct keeper *)taker;
    bool full = atomic_add_relaxed(&keeper->waiting, 1) >= KEEPER_WAITING_MAX;
    if (!full && push(keeper, garbage)) {
        keeper_ring(keeper);
        return;
    }
    atomic_sub_relaxed(&keeper->waiting, 1);
    garbage->free(garbage);
}

/* Frees what waits and leaves `next` as the stack. */
static void free_waiting(struct keeper *keeper, void *next) {
    struct garbage *garbage = atomic_swap_acq_rel(&keeper->garbage, next);
    while (garbage && garbage != CLOSED) {
        struct garbage *after = garbage->next;
        garbage->free(garbage);
        atomic_sub_relaxed(&keeper->waiting, 1);
        garbage = after;
    }
}

/* ---- The thread --------------------------------------------------------------------------------- */

void keeper_request_stop(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    keeper->stop_requested = true;
    pthread_mutex_unlock(&keeper->lock);
    keeper_ring(keeper);
}

void keeper_request_work(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    keeper->work_requested = true;
    pthread_mutex_unlock(&keeper->lock);
    keeper_ring(keeper);
}

/* One look at what there is to do. False: the thread may end. */
static bool keeper_work(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    bool stop = keeper->stop_requested, ending = keeper->ending, work = keeper->work_requested;
    keeper->stop_requested = keeper->work_requested = false;
    pthread_mutex_unlock(&keeper->lock);
    free_waiting(keeper, ending ? CLOSED : NULL);
    if (work && !ending && keeper->work) keeper->work(keeper->context);
    if (stop && !ending) keeper->stop(keeper->context);
    return !ending;
}

static void *keeper_thread(void *argument) {
    struct keeper *keeper = argument;
    thread_be_patient();
    for (;;) {
        uint32_t seen = atomic_load_seq_cst(&keeper->bell);
        if (!keeper_work(keeper)) return NULL;
        futex_wait(&keeper->bell, seen, FUTEX_NO_DEADLINE);
    }
}

void keeper_init(struct keeper *keeper) {
    *keeper = (struct keeper){.taker = {.take = keeper_take}};
    atomic_store_relaxed(&keeper->garbage, CLOSED);
    pthread_mutex_init(&keeper->lock, NULL);
}

void keeper_deinit(struct keeper *keeper) {
    pthread_mutex_destroy(&keeper->lock);
}

int keeper_start(struct keeper *keeper, void (*stop)(void *), void *context) {
    keeper->stop = stop;
    keeper->context = context;
    keeper->stop_requested = keeper->work_requested = keeper->ending = false;
    atomic_store_release(&keeper->garbage, NULL);
    int result = thread_start(&keeper->thread, "kevyrt-keeper", keeper_thread, keeper);
    if (result < 0) free_waiting(keeper, CLOSED);
    return result;
}

void keeper_stop(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    keeper->ending = true;
    pthread_mutex_unlock(&keeper->lock);
    keeper_ring(keeper);
    thread_join(keeper->thread);
}

bool keeper_is_current(const struct keeper *keeper) {
    return pthread_equal(keeper->thread, pthread_self());
}
