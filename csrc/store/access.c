/* The counter of accesses. */
#include "store/access.h"

enum { COUNT_MAX = 255, MINUTES_MASK = 0xffff };

const struct access_clock access_clock_none;

static uint32_t minutes_now(const struct access_clock *clock) {
    return atomic_load_relaxed(&clock->seconds) / 60 & MINUTES_MASK;
}

/* The low byte counts, the minutes lie above it. */
static uint32_t field_of(uint32_t minutes, uint32_t count) {
    return minutes << 8 | count;
}

uint32_t access_first(const struct access_clock *clock) {
    if (clock->kind == ACCESS_TIME) {
        return atomic_load_relaxed(&clock->seconds) & ACCESS_MASK;
    }
    return field_of(minutes_now(clock), ACCESS_COUNT_FIRST);
}

uint32_t access_of_idle(const struct access_clock *clock, uint32_t otherwise, int64_t idle_s) {
    uint32_t idle = idle_s < ACCESS_MASK ? (uint32_t)idle_s : ACCESS_MASK;
    return clock->kind == ACCESS_TIME ? (atomic_load_relaxed(&clock->seconds) - idle) & ACCESS_MASK
                                      : otherwise;
}

uint32_t access_of_frequency(const struct access_clock *clock, uint32_t otherwise, int64_t count) {
    return clock->kind == ACCESS_FREQUENCY ? field_of(minutes_now(clock), (uint32_t)count)
                                           : otherwise;
}

uint32_t access_frequency(const struct access_clock *clock, const struct entry *entry) {
    uint32_t field = access_field(entry), count = field & COUNT_MAX;
    uint32_t passed = (minutes_now(clock) - (field >> 8)) & MINUTES_MASK;
    uint32_t fallen = clock->decay_minutes > 0 ? passed / clock->decay_minutes : 0;
    return fallen < count ? count - fallen : 0;
}

/* Counts with a probability that falls with the count, so that 255 stands for millions. */
void access_count(const struct access_clock *clock, struct random_state *random,
                  struct entry *entry) {
    uint32_t count = access_frequency(clock, entry);
    uint32_t above = count > ACCESS_COUNT_FIRST ? count - ACCESS_COUNT_FIRST : 0;
    uint64_t one_in = (uint64_t)above * clock->log_factor + 1;
    if (count < COUNT_MAX && (one_in == 1 || random_below(random, one_in) == 0)) {
        count++;
    }
    access_put(entry, field_of(minutes_now(clock), count));
}
