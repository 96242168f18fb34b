/* Latency events: the latest spikes of each kind of work, what LATENCY tells about them.
 *
 * Role: who does such work and took latency-monitor-threshold or longer notes it here; of each second the worst is
 * kept. The distributions of all commands' times are elsewhere (shard/observation/statistics.h).
 * Threads: any; `lock` is a leaf.
 * Bounds: LATENCY_SAMPLES of each kind; nothing is allocated.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct fabric;
struct call;

enum latency_event {
    LATENCY_COMMAND,
    LATENCY_FAST_COMMAND,
    LATENCY_EXPIRE_CYCLE,
    LATENCY_EVICTION_CYCLE,
    LATENCY_EVENTS,
};

enum { LATENCY_SAMPLES = 160 };

struct latency_sample {
    int64_t at_s; /* 0: none */
    uint64_t ms;
};

struct latency_series {
    struct latency_sample
        samples[LATENCY_SAMPLES]; /* a ring; the oldest is at `next` once it is full */
    uint32_t next;
    uint64_t most_ms; /* since the last reset; a series of 0 has no samples */
};

struct latency_events {
    pthread_mutex_t lock;
    struct latency_series series[LATENCY_EVENTS]; /* under the lock */
};

void latency_events_init(struct latency_events *events);
void latency_events_deinit(struct latency_events *events);
/* With a baton held. Notes it if it took long. */
void latency_note_event(struct fabric *fabric, enum latency_event event, uint64_t ns);
/* When a piece of work begins: 0 if nobody wants to know. Its end notes it. */
uint64_t latency_begin_event(const struct fabric *fabric);
void latency_end_event(struct fabric *fabric, enum latency_event event, uint64_t begun);

/* ---- For LATENCY ---------------------------------------------------------------------------------- */
const char *latency_event_name(enum latency_event event);
/* False: there is no such kind. */
bool latency_event_find(struct bytes name, enum latency_event *event);
/* A copy of the series; false: it has no samples. */
bool latency_events_look(struct latency_events *events, enum latency_event event,
                         struct latency_series *series);
/* The i-th oldest sample of the ring, or one without a time. */
static inline struct latency_sample latency_sample_at(const struct latency_series *series,
                                                      uint32_t i) {
    return series->samples[(series->next + i) % LATENCY_SAMPLES];
}
/* Forgets the samples; were there any? */
bool latency_events_reset(struct latency_events *events, enum latency_event event);
/* Register LATENCY's subcommands with the command table. */
void latency_commands_bind(void);
void latency_reports_bind(void);
