/* The clock of a server: the real one, until a test changes it (server/clock.h).
 *
 * Role: two readings that move together. *Wall* time, since 1970, is what deadlines of data and TIME go by; it may be set back.
 * *Waiting* time is what time-outs go by: it moves with the wall clock and is never set back, so that who waits keeps what is left
 * of his time. Both are in microseconds: moved forward to another century a few thousand times, nanoseconds would be used up.
 * Threads: changes under all batons and fabric's alarms.lock, each of which lets a reader see both members as one. Who reads with
 * neither may see a half of a change; whoever changes it wakes all who sleep by it.
 * Errors: none.
 */
#pragma once

#include "base/assert.h"
#include "base/atomic.h"
#include "plat/clock.h"
#include "plat/futex.h"

#define WAITING_NEVER UINT64_MAX

/* All zero: the real one. */
struct virtual_clock {
    atomic_u32 frozen;
    atomic_u64 wall_us, waiting_us; /* frozen: what it says; else what is added to the real one */
    bool changed; /* it is not the real one, or was not: time may have passed at once */
};

static inline bool virtual_clock_is_real(const struct virtual_clock *clock) {
    return !atomic_load_relaxed(&clock->frozen) && atomic_load_relaxed(&clock->wall_us) == 0;
}
static inline int64_t virtual_clock_wall_us(const struct virtual_clock *clock) {
    int64_t us = (int64_t)atomic_load_relaxed(&clock->wall_us);
    return atomic_load_relaxed(&clock->frozen) ? us : us + clock_wall_us();
}
/* Waiting time at a moment of the monotonic clock. */
static inline uint64_t virtual_clock_waiting_at(const struct virtual_clock *clock,
                                                uint64_t monotonic_ns) {
    uint64_t us = atomic_load_relaxed(&clock->waiting_us);
    return KRT_UNLIKELY(atomic_load_relaxed(&clock->frozen)) ? us : us + monotonic_ns / 1000;
}
static inline uint64_t virtual_clock_waiting_us(const struct virtual_clock *clock) {
    return virtual_clock_waiting_at(clock, clock_monotonic_ns());
}
/* When a moment of waiting time will be, on the monotonic clock, as things are: 0 if it has been, FUTEX_NO_DEADLINE for never. */
uint64_t virtual_clock_real_ns(const struct virtual_clock *clock, uint64_t waiting_us);
/* So long from now on. */
uint64_t virtual_clock_after(const struct virtual_clock *clock, uint64_t duration_us);

/* ---- Changes ------------------------------------------------------------------------------------- */
void virtual_clock_freeze(struct virtual_clock *clock);
void virtual_clock_resume(struct virtual_clock *clock);
/* By so much, back if it is negative. */
void virtual_clock_move(struct virtual_clock *clock, int64_t us);
/* The real wall time again. */
void virtual_clock_reset(struct virtual_clock *clock);
