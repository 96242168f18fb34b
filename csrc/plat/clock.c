#include "plat/clock.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { CALIBRATION_NS = 200000 };
#define TICK_ONE (UINT64_C(1) << 32)

struct clock_scale clock_scale = {.ns_per_tick = TICK_ONE};

static struct timespec read_clock(clockid_t id) {
    struct timespec now = {0};
    clock_gettime(id, &now); /* fails only for an unknown clock */
    return now;
}

int64_t clock_wall_us(void) {
    struct timespec now = read_clock(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void) {
    struct timespec now = read_clock(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint32_t clock_wall_seconds(void) {
    return (uint32_t)time(NULL);
}

uint64_t clock_monotonic_ns(void) {
    struct timespec now = read_clock(CLOCK_MONOTONIC);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)
/* Does the counter run on at one rate, whatever the processor's frequency and sleep? */
static bool counter_is_invariant(void) {
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
}

/* Nobody tells its rate, so it is held against the kernel's clock for a moment. */
static void calibrate(void) {
    if (!counter_is_invariant()) return;
    uint64_t start_ns = clock_monotonic_ns(), start = __builtin_ia32_rdtsc(), end_ns;
    while ((end_ns = clock_monotonic_ns()) - start_ns < CALIBRATION_NS) {
    }
    uint64_t ticks = __builtin_ia32_rdtsc() - start;
    clock_scale.ns_per_tick = (end_ns - start_ns) * TICK_ONE / ticks;
    clock_scale.counter = true;
}
#elif defined(__aarch64__)
static void calibrate(void) {
    uint64_t per_second;
    __asm__("mrs %0, cntfrq_el0" : "=r"(per_second));
    clock_scale.ns_per_tick = (uint64_t)((unsigned __int128)1000000000 * TICK_ONE / per_second);
    clock_scale.counter = true;
}
#else
static void calibrate(void) {
}
#endif

void clock_calibrate(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, calibrate);
}

void clock_sleep_ns(uint64_t duration_ns) {
    struct timespec left = {.tv_sec = (time_t)(duration_ns / 1000000000u),
                            .tv_nsec = (long)(duration_ns % 1000000000u)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}
