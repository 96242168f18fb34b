/* LATENCY LATEST, HISTORY, RESET and HISTOGRAM; the reports for people are in latency_reports.c. */
#include "cmd/call.h"
#include "shard/fabric.h"
#include "shard/observation/latency_events.h"
#include "shard/shard.h"

static struct latency_events *events_of(struct call *call) {
    return &fabric_of(call)->latency;
}

/* False: there is no such kind, or nothing was noted of it. */
static bool find_series(struct call *call, struct bytes name, enum latency_event *event,
                        struct latency_series *series) {
    return latency_event_find(name, event) && latency_events_look(events_of(call), *event, series);
}

static void latency_latest_command(struct call *call) {
    struct latency_series series;
    uint64_t count = 0;
    struct reply_mark mark = reply_defer_begin(call->reply);
    for (enum latency_event event = 0; event < LATENCY_EVENTS; event++) {
        if (!latency_events_look(events_of(call), event, &series)) continue;
        struct latency_sample last = latency_sample_at(&series, LATENCY_SAMPLES - 1);
        reply_array(call->reply, 4);
        reply_bulk_text(call->reply, latency_event_name(event));
        reply_integer(call->reply, last.at_s);
        reply_integer(call->reply, (int64_t)last.ms);
        reply_integer(call->reply, (int64_t)series.most_ms);
        count++;
    }
    reply_defer_array(call->reply, mark, count);
}

static void latency_history_command(struct call *call) {
    struct latency_series series;
    enum latency_event event;
    uint64_t count = 0;
    struct reply_mark mark = reply_defer_begin(call->reply);
    bool any = find_series(call, call->argv[2], &event, &series);
    for (uint32_t i = 0; any && i < LATENCY_SAMPLES; i++) {
        struct latency_sample sample = latency_sample_at(&series, i);
        if (!sample.at_s) continue;
        reply_array(call->reply, 2);
        reply_integer(call->reply, sample.at_s);
        reply_integer(call->reply, (int64_t)sample.ms);
        count++;
    }
    reply_defer_array(call->reply, mark, count);
}

static void latency_reset_command(struct call *call) {
    struct latency_series series;
    enum latency_event event;
    int64_t count = 0;
    for (event = 0; call->argc == 2 && event < LATENCY_EVENTS; event++)
        count += latency_events_reset(events_of(call), event);
    for (uint32_t i = 2; i < call->argc; i++)
        if (find_series(call, call->argv[i], &event, &series))
            count += latency_events_reset(events_of(call), event);
    reply_integer(call->reply, count);
}

/* ---- HISTOGRAM ---------------------------------------------------------------------------------- */

/* Redis counts up to powers of two of 1.024 us and gives the end of the bucket that begins there. */
enum { FIRST_LEVEL_NS = 1024, LEVEL_PARTS = 128 };

static int64_t level_us(uint64_t level_ns) {
    return (int64_t)((level_ns + level_ns / LEVEL_PARTS - 1) / 1000);
}

static uint32_t most_common(const struct latency *latency) {
    uint32_t most = 0;
    for (uint32_t i = 1; i < LATENCY_BUCKETS; i++)
        if (latency->counts[i] > latency->counts[most]) most = i;
    return most;
}

/* Calls since the last measurement count as what is most common; one that still runs does not count. */
static void add_place(struct latency *sum, const struct command_statistics *own, bool runs) {
    uint64_t known = own->measured + runs;
    uint64_t pending = own->calls > known ? own->calls - known : 0;
    latency_add(sum, own->latency);
    if (pending < CALLS_PER_MEASUREMENT) sum->counts[most_common(own->latency)] += pending;
}

static bool sum_places(struct call *call, const struct command *command, struct latency *sum) {
    const struct fabric *fabric = fabric_of(call);
    bool any = false;
    *sum = (struct latency){0};
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct command_statistics *own =
            statistics_of(&fabric->shards[i]->data.statistics, command);
        if (!own->latency) continue;
        add_place(sum, own, command == call->command && fabric->shards[i] == call_home(call));
        any = true;
    }
    return any;
}

static void reply_levels(struct reply *reply, const struct latency *latency, uint64_t total) {
    uint64_t seen = 0, told = 0, count = 0, level_ns = FIRST_LEVEL_NS;
    struct reply_mark mark = reply_defer_begin(reply);
    for (uint32_t bucket = 0; told < total; level_ns *= 2) {
        while (bucket < LATENCY_BUCKETS && latency_bucket_end_ns(bucket) < level_ns)
            seen += latency->counts[bucket++];
        if (seen == told) continue;
        told = seen;
        reply_integer(reply, level_us(level_ns));
        reply_integer(reply, (int64_t)seen);
        count++;
    }
    reply_defer_map(reply, mark, count);
}

/* Returns whether there is anything to tell. */
static bool reply_histogram(struct call *call, const struct command *command) {
    struct latency sum;
    if (!sum_places(call, command, &sum)) return false;
    uint64_t total = latency_count(&sum);
    reply_bulk_text(call->reply, command->full_name);
    reply_map(call->reply, 2);
    reply_bulk_text(call->reply, "calls");
    reply_integer(call->reply, (int64_t)total);
    reply_bulk_text(call->reply, "histogram_usec");
    reply_levels(call->reply, &sum, total);
    return true;
}

/* A container counts nothing by itself; its subcommands follow it. */
static uint64_t reply_with_subcommands(struct call *call, const struct command *command) {
    uint64_t count = reply_histogram(call, command);
    for (uint32_t i = 0; i < command->subcommand_count; i++)
        count += reply_histogram(call, &command->subcommands[i]);
    return count;
}

static void latency_histogram_command(struct call *call) {
    uint64_t count = 0;
    struct reply_mark mark = reply_defer_begin(call->reply);
    for (size_t id = 0; call->argc == 2 && id < command_count(); id++)
        count += reply_histogram(call, command_at(id));
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct command *command = command_names_find_full(call->domain->names, call->argv[i]);
        if (command) count += reply_with_subcommands(call, command);
    }
    reply_defer_map(call->reply, mark, count);
}

static void latency_help_command(struct call *call) {
    static const char *const lines[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the "
        "specified command names.",
        "    If no commands are specified then all histograms are replied.",
        NULL,
    };
    call_reply_help(call, lines);
}

void latency_commands_bind(void) {
    command_bind("latency|latest", latency_latest_command);
    command_bind("latency|history", latency_history_command);
    command_bind("latency|reset", latency_reset_command);
    command_bind_all_shards("latency|histogram", latency_histogram_command);
    command_bind("latency|help", latency_help_command);
}
