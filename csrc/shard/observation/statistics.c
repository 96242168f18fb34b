#include "shard/observation/statistics.h"

#include "base/mem.h"

/* As in Redis: sixteen samples, a tenth of a second apart. */
enum { SAMPLE_NS = 100000000 };
#define WINDOW_NS (UINT64_C(16) * SAMPLE_NS)

bool statistics_init(struct statistics *statistics) {
    *statistics = (struct statistics){
        .commands = mem_calloc(NULL, command_count() * sizeof *statistics->commands),
        .errors = mem_calloc(NULL, ERROR_CODES * sizeof *statistics->errors),
    };
    return statistics->commands && statistics->errors;
}

static void free_latencies(struct statistics *statistics) {
    for (size_t id = 0; statistics->commands && id < command_count(); id++)
        mem_free(NULL, statistics->commands[id].latency);
}

void statistics_deinit(struct statistics *statistics) {
    free_latencies(statistics);
    mem_free(NULL, statistics->commands);
    mem_free(NULL, statistics->errors);
    mem_free(NULL, statistics->hot);
    *statistics = (struct statistics){0};
}

void statistics_reset(struct statistics *statistics) {
    free_latencies(statistics);
    memset(statistics->commands, 0, command_count() * sizeof *statistics->commands);
    statistics->error_count = 0;
    statistics->error_replies = 0;
    memset(statistics->samples, 0, sizeof statistics->samples);
}

/* ---- Calls --------------------------------------------------------------------------------------- */

void statistics_measure(struct command_statistics *command, uint64_t ticks, bool with_latency) {
    uint64_t ns = clock_ticks_to_ns(ticks);
    uint32_t weight = command->weight ? command->weight : 1;
    command->measured += weight;
    command->ticks += ticks * weight;
    command->weight = ns < SHORT_CALL_NS ? CALLS_PER_MEASUREMENT : 1;
    command->unmeasured = command->weight - 1;
    if (!with_latency) return;
    if (!command->latency) command->latency = mem_calloc(NULL, sizeof *command->latency);
    if (command->latency) latency_note(command->latency, ns, weight);
}

/* While keys are looked at calls are measured at distances that vary: what comes in the rhythm of the measurements would
 * be met always or never. Their mean stays. */
__attribute__((noinline)) static void note_keys(struct statistics *statistics,
                                                const struct call *call, uint32_t weight,
                                                uint64_t now) {
    struct command_statistics *own = statistics_of(statistics, call->command);
    hot_keys_note_call(&statistics->hot, call, weight, clock_ticks_to_ns(now));
    if (!statistics->hot || own->weight == 1) return;
    own->unmeasured = hot_keys_draw(statistics->hot, 2 * (CALLS_PER_MEASUREMENT - 1));
    own->weight = own->unmeasured + 1;
}

void statistics_measure_call(struct statistics *statistics, const struct call *call, uint64_t start,
                             bool with_latency) {
    struct command_statistics *own = statistics_of(statistics, call->command);
    uint64_t now = clock_ticks();
    uint32_t weight = own->weight ? own->weight : 1;
    statistics_measure(own, now - start, with_latency);
    if (KRT_UNLIKELY(statistics->hot)) note_keys(statistics, call, weight, now);
}

/* ---- Errors ------------------------------------------------------------------------------------- */

static void count_code(struct statistics *statistics, const char *code) {
    uint32_t i = 0;
    while (i < statistics->error_count && strcmp(statistics->errors[i].code, code) != 0) i++;
    if (i == ERROR_CODES) return;
    struct error_statistics *error = &statistics->errors[i];
    if (i == statistics->error_count) {
        statistics->error_count++;
        memcpy(error->code, code, strlen(code) + 1);
        error->count = 0;
    }
    error->count++;
}

void statistics_error(struct statistics *statistics, const struct command *command, bool ran,
                      const char *code) {
    statistics->error_replies++;
    count_code(statistics, code);
    if (!command) return;
    if (ran) statistics->commands[command->id].failed++;
    else statistics->commands[command->id].rejected++;
}

/* ---- Rates -------------------------------------------------------------------------------------- */

static const struct rate_sample *sample_before(const struct statistics *statistics, uint32_t back) {
    return &statistics->samples[(statistics->next_sample - back) % RATE_SAMPLES];
}

bool statistics_sample(struct statistics *statistics, const struct rate_sample *now) {
    if (KRT_LIKELY(now->at_ns - sample_before(statistics, 1)->at_ns < SAMPLE_NS)) return false;
    statistics->samples[statistics->next_sample++ % RATE_SAMPLES] = *now;
    return true;
}

/* The oldest of the window; whoever slept longer than that is measured from where it fell asleep. */
const struct rate_sample *statistics_baseline(const struct statistics *statistics,
                                              uint64_t now_ns) {
    const struct rate_sample *best = sample_before(statistics, 1);
    for (uint32_t back = 2; back <= RATE_SAMPLES; back++) {
        const struct rate_sample *sample = sample_before(statistics, back);
        if (sample->at_ns == 0 || now_ns - sample->at_ns > WINDOW_NS) break;
        best = sample;
    }
    return best;
}

/* ---- Distributions ------------------------------------------------------------------------------ */

void latency_note(struct latency *latency, uint64_t ns, uint64_t calls) {
    latency->counts[latency_bucket(ns)] += calls;
}

uint64_t latency_bucket_end_ns(uint32_t bucket) {
    KRT_ASSERT(bucket < LATENCY_BUCKETS);
    if (bucket < 64) return bucket;
    uint32_t width = (bucket >> LATENCY_LINEAR_SHIFT) - 1;
    uint64_t steps = (bucket & ((1u << LATENCY_LINEAR_SHIFT) - 1)) + (1u << LATENCY_LINEAR_SHIFT);
    return ((steps + 1) << width) - 1;
}

void latency_add(struct latency *sum, const struct latency *more) {
    for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) sum->counts[i] += more->counts[i];
}

uint64_t latency_count(const struct latency *latency) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) count += latency->counts[i];
    return count;
}

uint64_t latency_percentile_ns(const struct latency *latency, double percentile) {
    uint64_t count = latency_count(latency), seen = 0;
    double wanted = percentile / 100 * (double)count;
    for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += latency->counts[i];
        if (seen && (double)seen >= wanted) return latency_bucket_end_ns(i);
    }
    return 0;
}
