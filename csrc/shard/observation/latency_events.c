#include "shard/observation/latency_events.h"

#include <string.h>

#include "plat/clock.h"
#include "shard/fabric.h"

void latency_events_init(struct latency_events *events) {
    memset(events->series, 0, sizeof events->series);
    pthread_mutex_init(&events->lock, NULL);
}

void latency_events_deinit(struct latency_events *events) {
    pthread_mutex_destroy(&events->lock);
}

const char *latency_event_name(enum latency_event event) {
    static const char *const names[LATENCY_EVENTS] = {"command", "fast-command", "expire-cycle",
                                                      "eviction-cycle"};
    return names[event];
}

bool latency_event_find(struct bytes name, enum latency_event *event) {
    for (*event = 0; *event < LATENCY_EVENTS; ++*event) {
        const char *known = latency_event_name(*event);
        if (bytes_equal(name, bytes_of(known, strlen(known)))) return true;
    }
    return false;
}

/* The worst of a second stands for it. */
static void add_sample(struct latency_series *series, int64_t now_s, uint64_t ms) {
    struct latency_sample *last =
        &series->samples[(series->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
    if (ms > series->most_ms) series->most_ms = ms;
    if (last->at_s == now_s) {
        if (ms > last->ms) last->ms = ms;
        return;
    }
    series->samples[series->next] = (struct latency_sample){now_s, ms};
    series->next = (series->next + 1) % LATENCY_SAMPLES;
}

void latency_note_event(struct fabric *fabric, enum latency_event event, uint64_t ns) {
    struct latency_events *events = &fabric->latency;
    uint64_t ms = ns / 1000000, threshold_ms = fabric->settings.latency_ms;
    if (threshold_ms == 0 || ms < threshold_ms) return;
    int64_t now_s = clock_wall_ms() / 1000;
    pthread_mutex_lock(&events->lock);
    add_sample(&events->series[event], now_s, ms);
    pthread_mutex_unlock(&events->lock);
}

uint64_t latency_begin_event(const struct fabric *fabric) {
    return fabric->settings.latency_ms ? clock_monotonic_ns() : 0;
}

void latency_end_event(struct fabric *fabric, enum latency_event event, uint64_t begun) {
    if (begun) latency_note_event(fabric, event, clock_monotonic_ns() - begun);
}

bool latency_events_look(struct latency_events *events, enum latency_event event,
                         struct latency_series *series) {
    pthread_mutex_lock(&events->lock);
    *series = events->series[event];
    pthread_mutex_unlock(&events->lock);
    return series->most_ms;
}

bool latency_events_reset(struct latency_events *events, enum latency_event event) {
    pthread_mutex_lock(&events->lock);
    struct latency_series *series = &events->series[event];
    bool any = series->most_ms;
    memset(series, 0, sizeof *series);
    pthread_mutex_unlock(&events->lock);
    return any;
}
