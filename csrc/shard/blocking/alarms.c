/* A heap under a lock.
 *
 * Who adds an alarm that comes before all others stores `next_us` and wakes the thread of shard 0, which reads it before it
 * sleeps; both are sequentially consistent, through the wake-up. Who leaves the heap leaves `next_us` alone, as mostly another
 * waiter comes before that: the thread looks in vain at most once for each that was the first.
 *
 * Answers are told with the lock held, so that an owner that has its answer, and takes its waiter out, does not free it under
 * the hands of who tells it. What is done to tell one neither locks nor waits.
 */
#include "shard/blocking/alarms.h"

#include "shard/shard.h"

void alarms_init(struct alarms *alarms) {
    pthread_mutex_init(&alarms->lock, NULL);
    atomic_store_relaxed(&alarms->next_us, WAITING_NEVER);
}

void alarms_deinit(struct alarms *alarms) {
    timers_deinit(&alarms->timers);
    pthread_mutex_destroy(&alarms->lock);
}

static struct alarms *enter(struct fabric *fabric) {
    pthread_mutex_lock(&fabric->alarms.lock);
    return &fabric->alarms;
}

static void leave(struct alarms *alarms) {
    pthread_mutex_unlock(&alarms->lock);
}

bool alarms_reserve(struct fabric *fabric) {
    struct alarms *alarms = enter(fabric);
    bool reserved = timers_reserve(&alarms->timers, alarms->reserved + 1);
    alarms->reserved += reserved;
    leave(alarms);
    return reserved;
}

void alarms_release(struct fabric *fabric) {
    struct alarms *alarms = enter(fabric);
    alarms->reserved--;
    leave(alarms);
}

/* With the lock. */
static void add(struct fabric *fabric, struct waiter *waiter) {
    struct alarms *alarms = &fabric->alarms;
    timers_add(&alarms->timers, waiter);
    if (waiter->alarm_us >= atomic_load_relaxed(&alarms->next_us)) return;
    atomic_store_seq_cst(&alarms->next_us, waiter->alarm_us);
    inbox_wake(&fabric->shards[0]->inbox);
}

void alarms_add(struct fabric *fabric, struct waiter *waiter) {
    struct alarms *alarms = enter(fabric);
    KRT_ASSERT(alarms->reserved);
    alarms->reserved--;
    add(fabric, waiter);
    leave(alarms);
}

void alarms_remove(struct fabric *fabric, struct waiter *waiter) {
    struct alarms *alarms = enter(fabric);
    timers_remove(&alarms->timers, waiter);
    leave(alarms);
}

/* ---- What is late ----------------------------------------------------------------------------------- */

/* What is in the heap stays there until its owner takes it out, so that there is room for it. */
static void change(struct timers *timers, struct waiter *waiter, uint64_t alarm_us) {
    timers_remove(timers, waiter);
    waiter->alarm_us = alarm_us;
    timers_add(timers, waiter);
}

void alarms_put_off(struct fabric *fabric, struct waiter *waiter) {
    struct alarms *alarms = enter(fabric);
    timers_remove(&alarms->timers, waiter);
    waiter->alarm_us = virtual_clock_after(&fabric->domain.clock, waiter->late_us);
    waiter->late = true;
    add(fabric, waiter);
    leave(alarms);
}

static void tell_late(struct waiter *waiter) {
    waiter->late = false;
    in_process_answer(waiter, IN_PROCESS_ANSWERED);
}

void alarms_hurry(struct fabric *fabric, struct waiter *waiter) {
    struct alarms *alarms = enter(fabric);
    if (waiter->late) tell_late(waiter);
    leave(alarms);
}

/* ---- The time is over --------------------------------------------------------------------------------- */

static void time_out(struct timers *timers, struct waiter *waiter, uint64_t now_us) {
    waiter_reply_nothing(waiter, &waiter->reply);
    waiter->late = waiter->late_us != 0;
    if (waiter->late) change(timers, waiter, now_us + waiter->late_us);
    else in_process_answer(waiter, IN_PROCESS_ANSWERED);
}

/* False: somebody tries it. What was claimed is on its way to its owner. */
static bool ring(struct timers *timers, struct waiter *waiter, uint64_t now_us) {
    bool late = waiter->late, is_first = !late && waiter_leave(waiter, WAITER_TIMED_OUT);
    if (!late && !is_first && atomic_load_relaxed(&waiter->state) == WAITER_TRYING) return false;
    change(timers, waiter, WAITING_NEVER);
    if (late) tell_late(waiter);
    else if (is_first) time_out(timers, waiter, now_us);
    return true;
}

bool alarms_tend(struct fabric *fabric, uint64_t monotonic_ns) {
    struct alarms *alarms = enter(fabric);
    struct timers *timers = &alarms->timers;
    uint64_t now_us = virtual_clock_waiting_at(&fabric->domain.clock, monotonic_ns);
    bool through = true;
    while (through && timers_next_us(timers) <= now_us)
        through = ring(timers, timers->heap[0], now_us);
    atomic_store_seq_cst(&alarms->next_us, timers_next_us(timers));
    leave(alarms);
    return through;
}

void alarms_stop(struct fabric *fabric) {
    struct alarms *alarms = enter(fabric);
    for (uint32_t i = 0; i < alarms->timers.count; i++) {
        struct waiter *waiter = alarms->timers.heap[i];
        if (waiter->late) tell_late(waiter);
        else if (waiter_leave(waiter, WAITER_CANCELLED))
            in_process_answer(waiter, IN_PROCESS_STOPPED);
    }
    leave(alarms);
}
