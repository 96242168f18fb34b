#include "cmd/virtual_clock.h"

enum { NS_PER_US = 1000 };

/* A moment is over when the reading in whole microseconds has come to it. What is added may be negative. */
uint64_t virtual_clock_real_ns(const struct virtual_clock *clock, uint64_t waiting_us) {
    uint64_t us = atomic_load_relaxed(&clock->waiting_us);
    if (waiting_us == WAITING_NEVER) return FUTEX_NO_DEADLINE;
    if (atomic_load_relaxed(&clock->frozen)) return waiting_us <= us ? 0 : FUTEX_NO_DEADLINE;
    __int128 real_us = (__int128)waiting_us - (int64_t)us;
    if (real_us <= 0) return 0;
    return real_us < FUTEX_NO_DEADLINE / NS_PER_US ? (uint64_t)real_us * NS_PER_US
                                                   : FUTEX_NO_DEADLINE;
}

uint64_t virtual_clock_after(const struct virtual_clock *clock, uint64_t duration_us) {
    uint64_t now_us = virtual_clock_waiting_us(clock), longest_us = WAITING_NEVER - 1 - now_us;
    /* A part of the first microsecond is over. */
    if (!atomic_load_relaxed(&clock->frozen)) now_us++;
    return duration_us < longest_us ? now_us + duration_us : WAITING_NEVER - 1;
}

static void add(atomic_u64 *to, uint64_t us) {
    atomic_store_relaxed(to, atomic_load_relaxed(to) + us);
}

void virtual_clock_freeze(struct virtual_clock *clock) {
    if (atomic_load_relaxed(&clock->frozen)) return;
    atomic_store_relaxed(&clock->waiting_us, virtual_clock_waiting_us(clock));
    atomic_store_relaxed(&clock->wall_us, (uint64_t)virtual_clock_wall_us(clock));
    atomic_store_relaxed(&clock->frozen, 1);
    clock->changed = true;
}

void virtual_clock_resume(struct virtual_clock *clock) {
    if (!atomic_load_relaxed(&clock->frozen)) return;
    add(&clock->waiting_us, -(clock_monotonic_ns() / NS_PER_US));
    add(&clock->wall_us, -(uint64_t)clock_wall_us());
    atomic_store_relaxed(&clock->frozen, 0);
}

void virtual_clock_move(struct virtual_clock *clock, int64_t us) {
    add(&clock->wall_us, (uint64_t)us);
    if (us > 0) add(&clock->waiting_us, (uint64_t)us);
    clock->changed = true;
}

void virtual_clock_reset(struct virtual_clock *clock) {
    virtual_clock_resume(clock);
    int64_t ahead_us = (int64_t)atomic_load_relaxed(&clock->wall_us);
    if (ahead_us < 0) add(&clock->waiting_us, (uint64_t)-ahead_us);
    atomic_store_relaxed(&clock->wall_us, 0);
}
