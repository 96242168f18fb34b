/* Clocks. Wall time serves deadlines of keys and TIME; monotonic time serves time-outs and gaps.
 * Any thread. Never fails on the systems we support. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

int64_t clock_wall_ms(void);
int64_t clock_wall_us(void);
/* Whole seconds, perhaps a few milliseconds late; the cheapest of the three. */
uint32_t clock_wall_seconds(void);
uint64_t clock_monotonic_ns(void);

/* Ticks: the cheapest clock there is, for the time that single commands take. The processor's counter
 * where it runs at one rate on all cores, else nanoseconds. The two members are constant once
 * clock_calibrate, which any thread may call at any time, has returned for the first time. */
struct clock_scale {
    uint64_t ns_per_tick; /* times 2^32 */
    bool counter;         /* ticks are the processor's */
};
extern struct clock_scale clock_scale;
void clock_calibrate(void);
static inline uint64_t clock_ticks(void) {
#if defined(__x86_64__)
    if (clock_scale.counter) return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#endif
    return clock_monotonic_ns();
}
static inline uint64_t clock_ticks_to_ns(uint64_t ticks) {
    return (uint64_t)((unsigned __int128)ticks * clock_scale.ns_per_tick >> 32);
}

/* Sleeps on, whatever signals come. */
void clock_sleep_ns(uint64_t duration_ns);
