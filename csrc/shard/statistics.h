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

#include "cmd/table.h"
#include "plat/clock.h"
#include "resp/reply.h"

enum { LATENCY_LINEAR_SHIFT = 5, LATENCY_BUCKETS = 832, ERROR_CODES = 64, RATE_SAMPLES = 16 };

/* How many calls took how long. The first 64 buckets are nanoseconds; each further 32 of them have twice the
 * width of the 32 before. The last one takes what is longer than a second. */
struct latency {
    uint64_t counts[LATENCY_BUCKETS];
};

struct command_statistics {
    uint64_t calls, ticks; /* ticks: of plat/clock.h */
    uint64_t failed;       /* ran and replied an error */
    uint64_t rejected;     /* refused before it ran */
    struct latency *latency; /* NULL until the first call that is measured */
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
};

/* False: no memory; statistics_deinit is due all the same. */
bool statistics_init(struct statistics *statistics);
void statistics_deinit(struct statistics *statistics);
/* CONFIG RESETSTAT. The samples of the rates stay, as their counters do. */
void statistics_reset(struct statistics *statistics);

/* A call that ran from `start` to `end` (ticks). `with_latency`: its time goes into the distribution. */
static inline void statistics_call(struct statistics *statistics, const struct command *command,
                                   uint64_t start, uint64_t end, bool with_latency);
/* An error reply; of a command that was refused before it ran, or of one that ran (`ran`), or of neither
 * (NULL). */
void statistics_error(struct statistics *statistics, const struct command *command, bool ran,
                      const char *code);

/* Notes the counters if the newest sample is old enough. */
void statistics_sample(struct statistics *statistics, const struct rate_sample *now);
/* The sample that a rate of `now` is measured from. */
const struct rate_sample *statistics_baseline(const struct statistics *statistics, uint64_t now_ns);

/* ---- Distributions ------------------------------------------------------------------------------ */

static inline uint32_t latency_bucket(uint64_t ns) {
    uint64_t clipped = ns < (UINT64_C(1) << 30) - 1 ? ns : (UINT64_C(1) << 30) - 1;
    uint32_t width = clipped < 64 ? 0 : 63 - LATENCY_LINEAR_SHIFT - (uint32_t)__builtin_clzll(clipped);
    return (width << LATENCY_LINEAR_SHIFT) + (uint32_t)(clipped >> width);
}

/* The longest time that counts in the bucket. */
uint64_t latency_bucket_end_ns(uint32_t bucket);
void latency_add(struct latency *sum, const struct latency *more);
uint64_t latency_count(const struct latency *latency);
/* The time that `percentile` (0 to 100) of the calls did not exceed; 0 without calls. */
uint64_t latency_percentile_ns(const struct latency *latency, double percentile);

/* Counts `count` calls of that time in the distribution. */
void statistics_latency(struct command_statistics *command, uint64_t ns, uint64_t count);

static inline void statistics_call(struct statistics *statistics, const struct command *command,
                                   uint64_t start, uint64_t end, bool with_latency) {
    struct command_statistics *own = &statistics->commands[command->id];
    own->calls++;
    own->ticks += end - start;
    if (!with_latency) return;
    uint64_t ns = clock_ticks_to_ns(end - start);
    if (KRT_LIKELY(own->latency)) own->latency->counts[latency_bucket(ns)]++;
    else statistics_latency(own, ns, 1);
}
