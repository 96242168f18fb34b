/* LATENCY GRAPH and DOCTOR: the events as people read them.
 *
 * A graph has a column for each sample, oldest on the left, between the lowest and the highest of them: where a sample
 * stands is a mark in one of GRAPH_ROWS rows, each of three heights, over a bar. Below an empty row its age
 * is written from top to bottom.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "cmd/call.h"
#include "plat/clock.h"
#include "shard/fabric.h"
#include "shard/observation/latency_events.h"

enum {
    GRAPH_ROWS = 4,
    GRAPH_WIDTH = 80,
    HEIGHTS = 3, /* in a row */
    LABEL_MAX = 24,
    REPORT_BYTES_MAX = 8192,
    MINUTE_S = 60,
    HOUR_S = 3600,
    DAY_S = 24 * HOUR_S,
};

/* ---- Text --------------------------------------------------------------------------------------- */

/* What does not fit is cut off; the bound is more than the longest report. */
struct report {
    size_t len;
    char text[REPORT_BYTES_MAX];
};

__attribute__((format(printf, 2, 3))) static void add(struct report *report, const char *format,
                                                      ...) {
    va_list arguments;
    size_t room = sizeof report->text - report->len;
    va_start(arguments, format);
    int len = vsnprintf(report->text + report->len, room, format, arguments);
    va_end(arguments);
    if (len > 0) report->len += (size_t)len < room ? (size_t)len : room - 1;
}

static void reply_report(struct call *call, const struct report *report) {
    reply_verbatim(call->reply, "txt", bytes_of(report->text, report->len));
}

/* ---- GRAPH -------------------------------------------------------------------------------------- */

struct graph {
    uint32_t count;
    uint64_t low_ms, high_ms;
    uint64_t ms[LATENCY_SAMPLES];
    char labels[LATENCY_SAMPLES][LABEL_MAX];
};

static void write_age(char label[LABEL_MAX], int64_t age_s) {
    if (age_s < MINUTE_S) snprintf(label, LABEL_MAX, "%" PRId64 "s", age_s);
    else if (age_s < HOUR_S) snprintf(label, LABEL_MAX, "%" PRId64 "m", age_s / MINUTE_S);
    else if (age_s < DAY_S) snprintf(label, LABEL_MAX, "%" PRId64 "h", age_s / HOUR_S);
    else snprintf(label, LABEL_MAX, "%" PRId64 "d", age_s / DAY_S);
}

static void graph_fill(struct graph *graph, const struct latency_series *series) {
    int64_t now_s = clock_wall_ms() / 1000;
    graph->count = 0;
    for (uint32_t i = 0; i < LATENCY_SAMPLES; i++) {
        struct latency_sample sample = latency_sample_at(series, i);
        if (!sample.at_s) continue;
        bool first = graph->count == 0;
        if (first || sample.ms < graph->low_ms) graph->low_ms = sample.ms;
        if (first || sample.ms > graph->high_ms) graph->high_ms = sample.ms;
        write_age(graph->labels[graph->count], now_s > sample.at_s ? now_s - sample.at_s : 0);
        graph->ms[graph->count++] = sample.ms;
    }
}

/* How high a sample stands, of GRAPH_ROWS * HEIGHTS. */
static uint32_t height(const struct graph *graph, uint32_t i) {
    enum { TOP = GRAPH_ROWS * HEIGHTS };
    uint64_t range = graph->high_ms - graph->low_ms;
    double part = range ? (double)(graph->ms[i] - graph->low_ms) / (double)range : 0;
    uint32_t at = (uint32_t)(part * TOP);
    return at < TOP ? at : TOP - 1;
}

static char mark_in_row(uint32_t at, uint32_t row) {
    uint32_t from = (GRAPH_ROWS - 1 - row) * HEIGHTS;
    if (at < from) return ' ';
    return at - from < HEIGHTS ? "_o#"[at - from] : '|';
}

/* Samples [from, to), side by side. */
static void draw_marks(struct report *report, const struct graph *graph, uint32_t from,
                       uint32_t to) {
    char line[GRAPH_WIDTH + 1];
    for (uint32_t row = 0; row < GRAPH_ROWS; row++) {
        for (uint32_t i = from; i < to; i++) line[i - from] = mark_in_row(height(graph, i), row);
        add(report, "%.*s\n", (int)(to - from), line);
    }
}

static void draw_labels(struct report *report, const struct graph *graph, uint32_t from,
                        uint32_t to) {
    char line[GRAPH_WIDTH + 1];
    add(report, "%*s\n", (int)(to - from), "");
    for (uint32_t row = 0; row < LABEL_MAX; row++) {
        bool any = false;
        for (uint32_t i = from; i < to; i++) {
            bool written = strlen(graph->labels[i]) > row;
            line[i - from] = ' ';
            if (written) line[i - from] = graph->labels[i][row];
            any = any || written;
        }
        if (!any) return;
        add(report, "%.*s\n", (int)(to - from), line);
    }
}

static void draw(struct report *report, const struct latency_series *series,
                 enum latency_event event) {
    struct graph graph;
    char rule[GRAPH_WIDTH + 1];
    memset(rule, '-', GRAPH_WIDTH);
    rule[GRAPH_WIDTH] = 0;
    graph_fill(&graph, series);
    add(report, "%s - high %" PRIu64 " ms, low %" PRIu64 " ms (all time high %" PRIu64 " ms)\n%s\n",
        latency_event_name(event), graph.high_ms, graph.low_ms, series->most_ms, rule);
    for (uint32_t from = 0; from < graph.count; from += GRAPH_WIDTH) {
        uint32_t to = graph.count - from > GRAPH_WIDTH ? from + GRAPH_WIDTH : graph.count;
        if (from) add(report, "\n");
        draw_marks(report, &graph, from, to);
        draw_labels(report, &graph, from, to);
    }
}

static void latency_graph_command(struct call *call) {
    struct latency_series series;
    struct report report = {.len = 0};
    struct bytes name = call->argv[2];
    enum latency_event event;
    if (!latency_event_find(name, &event) ||
        !latency_events_look(&fabric_of(call)->latency, event, &series)) {
        call_error_format(call, "ERR No samples available for event '%.*s'", (int)name.len,
                          name.at);
        return;
    }
    draw(&report, &series, event);
    reply_report(call, &report);
}

/* ---- DOCTOR ------------------------------------------------------------------------------------- */

struct summary {
    uint32_t count;
    double mean_ms, deviation_ms, period_s;
};

static struct summary summarize(const struct latency_series *series) {
    struct summary summary = {0};
    double sum = 0;
    int64_t oldest_s = 0, now_s = clock_wall_ms() / 1000;
    for (uint32_t i = 0; i < LATENCY_SAMPLES; i++) {
        struct latency_sample sample = latency_sample_at(series, i);
        if (!sample.at_s) continue;
        if (summary.count++ == 0) oldest_s = sample.at_s;
        sum += (double)sample.ms;
    }
    summary.mean_ms = sum / summary.count;
    for (uint32_t i = 0; i < LATENCY_SAMPLES; i++) {
        struct latency_sample sample = latency_sample_at(series, i);
        double apart = (double)sample.ms - summary.mean_ms;
        if (sample.at_s) summary.deviation_ms += (apart < 0 ? -apart : apart) / summary.count;
    }
    summary.period_s = (double)(now_s - oldest_s) / summary.count;
    return summary;
}

static void describe(struct report *report, uint32_t number, enum latency_event event,
                     const struct latency_series *series) {
    struct summary summary = summarize(series);
    add(report,
        "%u. %s: %u latency spikes (average %.0fms, mean deviation %.0fms, period %.2f sec). Worst "
        "all time event %" PRIu64 "ms.\n",
        number, latency_event_name(event), summary.count, summary.mean_ms, summary.deviation_ms,
        summary.period_s, series->most_ms);
}

static void advise(struct report *report, struct fabric *fabric, enum latency_event event) {
    switch (event) {
    case LATENCY_COMMAND:
        if (fabric->settings.slow_us < 0)
            add(report, "- The slow log is off: CONFIG SET slowlog-log-slower-than shows which "
                        "commands take so long.\n");
        else
            add(report, "- SLOWLOG GET tells which commands these were. What works on all of a "
                        "large value can often be done in parts.\n");
        break;
    case LATENCY_FAST_COMMAND:
        add(report, "- Commands that do little were held up: look for a machine that is busy with "
                    "something else, or that swaps.\n");
        break;
    case LATENCY_EXPIRE_CYCLE:
        add(report, "- Many keys reach their deadlines at the same time: spread the deadlines.\n");
        break;
    case LATENCY_EVICTION_CYCLE:
        add(report, "- Much is evicted at once: raise maxmemory, or write less in bursts.\n");
        break;
    case LATENCY_EVENTS:
        break;
    }
}

static void latency_doctor_command(struct call *call) {
    struct fabric *fabric = fabric_of(call);
    struct report report = {.len = 0};
    struct latency_series series;
    bool seen[LATENCY_EVENTS] = {false};
    uint32_t count = 0;
    for (enum latency_event event = 0; event < LATENCY_EVENTS; event++) {
        seen[event] = latency_events_look(&fabric->latency, event, &series);
        if (!seen[event]) continue;
        if (count == 0) add(&report, "Latency spikes were seen in this server:\n\n");
        describe(&report, ++count, event, &series);
    }
    if (count) add(&report, "\nWhat can be done about them:\n\n");
    for (enum latency_event event = 0; event < LATENCY_EVENTS; event++)
        if (seen[event]) advise(&report, fabric, event);
    if (!count && !fabric->settings.latency_ms)
        add(&report, "The latency monitor is off. CONFIG SET latency-monitor-threshold "
                     "<milliseconds> turns it on.\n");
    else if (!count)
        add(&report, "No latency spike was seen so far: nothing took as long as "
                     "latency-monitor-threshold.\n");
    reply_report(call, &report);
}

void latency_reports_bind(void) {
    command_bind("latency|graph", latency_graph_command);
    command_bind("latency|doctor", latency_doctor_command);
}
