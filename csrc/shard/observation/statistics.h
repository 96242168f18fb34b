/* Statistics: what each place counts of its commands, for INFO and its kin.
 *
 * Role: per command the calls, their time and its distribution, refusals and failures; errors by code; rates.
 * Whoever runs a command counts it at the place whose baton serves (turn_home); a reader sums the places.
 * Threads: holder of the place's baton.
 * Errors: where memory for a distribution is refused, calls are counted without it.
 * Bounds: ERROR_CODES codes per place, further ones count in the total alone; a distribution has LATENCY_BUCKETS,
 * of a relative width of at most 1/32.
 */
#pragma once

#include "plat/clock.h"
#include "resp/reply.h"
#include "shard/observation/hot_keys.h"

enum { LATENCY_LINEAR_SHIFT = 5, LATENCY_BUCKETS = 832, ERROR_CODES = 64, RATE_SAMPLES = 16 };

/* How many calls took how long. The first 64 buckets are nanoseconds; each further 32 of them have twice the
 * width of the 32 before. The last one takes what is longer than a second. */
struct latency {
    uint64_t counts[LATENCY_BUCKETS];
};

/* Reading the clock twice costs as much as a look-up. So of a command whose last measured call was short, one
 * call in CALLS_PER_MEASUREMENT is measured, and stands for those that were not. */
enum { CALLS_PER_MEASUREMENT = 8, SHORT_CALL_NS = 2000 };

struct command_statistics {
    uint64_t calls;
    uint64_t measured, ticks; /* calls that measurements stand for, and their time in ticks */
    uint64_t failed;          /* ran and replied an error */
    uint64_t rejected;        /* refused before it ran */
    struct latency *latency;  /* of the measured ones; NULL until the first */
    uint32_t unmeasured;      /* calls still to pass before the next measurement */
    uint32_t weight;          /* calls that it stands for */
};

struct error_statistics {
    char code[REPLY_CODE_MAX + 1];
    uint64_t count;
};

/* What rates are made of: counters at a moment. */
struct rate_sample {
    uint64_t at_ns, commands, input_bytes, output_bytes;
};

struct statistics {
    struct command_statistics *commands; /* by id */
    struct error_statistics *errors;
    uint32_t error_count;
    uint64_t error_replies;
    struct rate_sample samples[RATE_SAMPLES]; /* a ring; the newest is before `next_sample` */
    uint32_t next_sample;
    struct hot_keys *hot; /* NULL: nobody looks */
};

/* False: no memory; statistics_deinit is due all the same. */
bool statistics_init(struct statistics *statistics);
void statistics_deinit(struct statistics *statistics);
/* CONFIG RESETSTAT. Rates begin anew as well, since their counters do. */
void statistics_reset(struct statistics *statistics);

static inline struct command_statistics *statistics_of(struct statistics *statistics,
                                                       const struct command *command) {
    return &statistics->commands[command->id];
}

void statistics_measure(struct command_statistics *command, uint64_t ticks, bool with_latency);

/* Counts a call. Returns when it started, in ticks, if it is measured, else 0. */
static inline uint64_t statistics_begin(struct command_statistics *command) {
    command->calls++;
    if (KRT_LIKELY(command->unmeasured)) {
        command->unmeasured--;
        return 0;
    }
    return clock_ticks();
}

/* `with_latency`: the time of a measured call goes into the distribution. */
static inline void statistics_end(struct command_statistics *command, uint64_t start,
                                  bool with_latency) {
    if (KRT_UNLIKELY(start)) statistics_measure(command, clock_ticks() - start, with_latency);
}

void statistics_measure_call(struct statistics *statistics, const struct call *call, uint64_t start,
                             bool with_latency);

/* The same of a call whose keys may be hot. */
static inline void statistics_end_call(struct statistics *statistics, const struct call *call,
                                       uint64_t start, bool with_latency) {
    if (KRT_UNLIKELY(start)) statistics_measure_call(statistics, call, start, with_latency);
}

/* The call is unfinished and will be begun again: so far it was only time. */
static inline void statistics_interrupt(struct command_statistics *command, uint64_t start) {
    command->calls--;
    if (start) command->ticks += clock_ticks() - start;
}

/* The time of all calls, as far as the measured ones tell. */
static inline uint64_t statistics_time_ns(const struct command_statistics *command) {
    if (command->measured == 0) return 0;
    unsigned __int128 ticks = (unsigned __int128)command->ticks * command->calls;
    return clock_ticks_to_ns((uint64_t)(ticks / command->measured));
}

/* An error reply; of a command that was refused before it ran, or of one that ran (`ran`), or of neither
 * (NULL). */
void statistics_error(struct statistics *statistics, const struct command *command, bool ran,
                      const char *code);

/* Notes the counters if the newest sample is old enough; was it? */
bool statistics_sample(struct statistics *statistics, const struct rate_sample *now);
/* The sample that a rate of `now` is measured from. */
const struct rate_sample *statistics_baseline(const struct statistics *statistics, uint64_t now_ns);

/* ---- Distributions ------------------------------------------------------------------------------ */

static inline uint32_t latency_bucket(uint64_t ns) {
    uint64_t clipped = ns < (UINT64_C(1) << 30) - 1 ? ns : (UINT64_C(1) << 30) - 1;
    uint32_t width =
        clipped < 64 ? 0 : 63 - LATENCY_LINEAR_SHIFT - (uint32_t)__builtin_clzll(clipped);
    return (width << LATENCY_LINEAR_SHIFT) + (uint32_t)(clipped >> width);
}

/* The longest time that counts in the bucket. */
uint64_t latency_bucket_end_ns(uint32_t bucket);
void latency_add(struct latency *sum, const struct latency *more);
uint64_t latency_count(const struct latency *latency);
/* The time that `percentile` (0 to 100) of the calls did not exceed; 0 without calls. */
uint64_t latency_percentile_ns(const struct latency *latency, double percentile);

void latency_note(struct latency *latency, uint64_t ns, uint64_t calls);
