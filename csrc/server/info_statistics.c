/* INFO's statistics: totals and rates, and per command its calls, their time and its distribution. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/info.h"

typedef unsigned long long ull;

struct totals {
    uint64_t commands, hits, misses, expired, expired_fields, evicted, errors, input_bytes,
        output_bytes;
    double commands_per_s, input_per_s, output_per_s;
};

static double rate(uint64_t now, uint64_t before, uint64_t ns) {
    return ns ? (double)(now - before) * 1e9 / (double)ns : 0;
}

static void add_shard(struct totals *totals, const struct shard *shard, uint64_t now_ns) {
    const struct shard_data *data = &shard->data;
    const struct rate_sample *base = statistics_baseline(&data->statistics, now_ns);
    uint64_t input = atomic_load_relaxed(&shard->io.input_bytes);
    uint64_t output = atomic_load_relaxed(&shard->io.output_bytes);
    uint64_t ns = base->at_ns ? now_ns - base->at_ns : 0;
    totals->commands += data->counters.commands;
    totals->hits += data->keyspace.stats.hits;
    totals->misses += data->keyspace.stats.misses;
    totals->expired += data->keyspace.stats.expired;
    totals->expired_fields += data->keyspace.stats.expired_fields;
    totals->evicted += data->keyspace.stats.evicted;
    totals->errors += data->statistics.error_replies;
    totals->input_bytes += input - data->counters.input_before;
    totals->output_bytes += output - data->counters.output_before;
    totals->commands_per_s += rate(data->counters.commands, base->commands, ns);
    totals->input_per_s += rate(input, base->input_bytes, ns);
    totals->output_per_s += rate(output, base->output_bytes, ns);
}

/* For how long the budget of memory was exceeded, in ms: at all, and without an end so far. */
static void evictions(struct info *info) {
    uint64_t now_ns = 0, total_ns = budget_exceeded_ns(info->fabric, &now_ns);
    info_number(info, "total_eviction_exceeded_time", total_ns / 1000000);
    info_number(info, "current_eviction_exceeded_time", now_ns / 1000000);
}

/* Active expiry: what it found lately, how often it ran out of time, and what it took. */
static void expiry(struct info *info) {
    uint64_t cut = 0, ns = 0;
    double stale = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        const struct keyspace_stats *stats = &info->fabric->keyspaces[i]->stats;
        cut += stats->expire_cut;
        ns += stats->expire_ns;
        stale += stats->stale / info->fabric->settings.shard_count;
    }
    info_hundredths(info, "expired_stale_perc", 100 * stale, "");
    info_number(info, "expired_time_cap_reached_count", cut);
    info_number(info, "expire_cycle_cpu_milliseconds", ns / 1000000);
}

static void tracking(struct info *info) {
    const struct tracking *tracking = &info->fabric->tracking;
    info_number(info, "tracking_total_keys", atomic_load_relaxed(&tracking->keys));
    info_number(info, "tracking_total_items", atomic_load_relaxed(&tracking->items));
    info_number(info, "tracking_total_prefixes", atomic_load_relaxed(&tracking->interests));
}

static void sockets(struct info *info) {
    uint64_t reads = 0, writes = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        reads += atomic_load_relaxed(&info->fabric->shards[i]->io.reads);
        writes += atomic_load_relaxed(&info->fabric->shards[i]->io.writes);
    }
    info_number(info, "total_reads_processed", reads);
    info_number(info, "total_writes_processed", writes);
}

static void zeros(struct info *info, const char *const *names) {
    for (; *names; names++) info_number(info, *names, 0);
}

/* In Redis's order, with the fields of what there is none of. */
static void rest(struct info *info) {
    static const char *const before[] = {"sync_full", "sync_partial_ok", "sync_partial_err",
                                         "total_forks", NULL};
    static const char *const behind[] = {"unexpected_error_replies",
                                         "active_defrag_hits",
                                         "active_defrag_misses",
                                         "active_defrag_key_hits",
                                         "active_defrag_key_misses",
                                         "total_active_defrag_time",
                                         "current_active_defrag_time",
                                         "io_threaded_reads_processed",
                                         "io_threaded_writes_processed",
                                         "migrate_cached_sockets",
                                         NULL};
    zeros(info, before);
    info_number(info, "pubsub_channels", info->pubsub.channels);
    info_number(info, "pubsub_patterns", info->pubsub.patterns);
    info_number(info, "pubsubshard_channels", info->pubsub.shard_channels);
    info_number(info, "slave_expires_tracked_keys", 0);
    tracking(info);
    zeros(info, behind);
}

void info_stats(struct info *info) {
    struct fabric *fabric = info->fabric;
    struct totals totals = {0};
    uint64_t now_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        add_shard(&totals, fabric->shards[i], now_ns);
    info_number(info, "total_connections_received",
                atomic_load_relaxed(&fabric->connections_received));
    info_number(info, "total_commands_processed", totals.commands);
    info_number(info, "instantaneous_ops_per_sec", (uint64_t)totals.commands_per_s);
    info_number(info, "total_net_input_bytes", totals.input_bytes);
    info_number(info, "total_net_output_bytes", totals.output_bytes);
    info_hundredths(info, "instantaneous_input_kbps", totals.input_per_s / 1024, "");
    info_hundredths(info, "instantaneous_output_kbps", totals.output_per_s / 1024, "");
    info_number(info, "rejected_connections", atomic_load_relaxed(&fabric->connections_rejected));
    info_number(info, "expired_subkeys", totals.expired_fields);
    info_number(info, "expired_keys", totals.expired);
    info_number(info, "evicted_keys", totals.evicted);
    expiry(info);
    sockets(info);
    evictions(info);
    info_number(info, "evicted_clients", atomic_load_relaxed(&fabric->eviction.evicted));
    info_number(info, "keyspace_hits", totals.hits);
    info_number(info, "keyspace_misses", totals.misses);
    info_number(info, "latest_fork_usec", 0);
    info_number(info, "total_error_replies", totals.errors);
    rest(info);
}

/* ---- Per command ------------------------------------------------------------------------------ */

static const struct command_statistics *of_shard(const struct info *info, uint32_t shard,
                                                 size_t id) {
    return &info->fabric->shards[shard]->data.statistics.commands[id];
}

static void command_line(struct info *info, size_t id) {
    uint64_t calls = 0, ns = 0, failed = 0, rejected = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        const struct command_statistics *own = of_shard(info, i, id);
        calls += own->calls;
        ns += statistics_time_ns(own);
        failed += own->failed;
        rejected += own->rejected;
    }
    if (calls || rejected)
        info_line(info,
                  "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
                  "failed_calls=%llu",
                  command_at(id)->full_name, (ull)calls, (ull)ns / 1000,
                  calls ? (double)ns / 1000 / (double)calls : 0.0, (ull)rejected, (ull)failed);
}

void info_commandstats(struct info *info) {
    for (size_t id = 0; id < command_count(); id++) command_line(info, id);
}

/* ---- Errors ----------------------------------------------------------------------------------- */

/* How often a code was replied on the shards from `first` on; 0 if an earlier one has counted it. */
static uint64_t count_error(const struct info *info, uint32_t first, const char *code) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        const struct statistics *own = &info->fabric->shards[i]->data.statistics;
        for (uint32_t at = 0; at < own->error_count; at++) {
            if (strcmp(own->errors[at].code, code) != 0) continue;
            if (i < first) return 0;
            count += own->errors[at].count;
        }
    }
    return count;
}

void info_errorstats(struct info *info) {
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        const struct statistics *own = &info->fabric->shards[i]->data.statistics;
        for (uint32_t at = 0; at < own->error_count; at++) {
            uint64_t count = count_error(info, i, own->errors[at].code);
            if (count) info_line(info, "errorstat_%s:count=%llu", own->errors[at].code, (ull)count);
        }
    }
}

/* ---- Latencies -------------------------------------------------------------------------------- */

enum { PERCENTILES_TEXT_MAX = 800 };

/* "p50=1.003,p99=..." by the numbers of the setting. */
static void write_percentiles(char text[PERCENTILES_TEXT_MAX], const struct latency *latency,
                              const char *numbers) {
    size_t len = 0;
    char *end;
    text[0] = 0;
    for (const char *at = numbers; *at && len < PERCENTILES_TEXT_MAX - 64; at = end) {
        double percentile = strtod(at, &end);
        if (end == at) break;
        while (*at == ' ') at++;
        double us = (double)latency_percentile_ns(latency, percentile) / 1000;
        len += (size_t)snprintf(text + len, PERCENTILES_TEXT_MAX - len, "%sp%.*s=%.3f",
                                len ? "," : "", (int)(end - at), at, us);
    }
}

static bool sum_latency(const struct info *info, size_t id, struct latency *sum) {
    bool any = false;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        const struct latency *own = of_shard(info, i, id)->latency;
        if (own && !any) memset(sum, 0, sizeof *sum);
        if (own) latency_add(sum, own);
        any = any || own;
    }
    return any;
}

void info_latencystats(struct info *info) {
    const struct config *config = &info->server->config;
    const char *numbers = config_text(config, SETTING_LATENCY_TRACKING_INFO_PERCENTILES);
    char text[PERCENTILES_TEXT_MAX];
    struct latency sum;
    if (!config_number(config, SETTING_LATENCY_TRACKING) || !*numbers) return;
    for (size_t id = 0; id < command_count(); id++) {
        if (!sum_latency(info, id, &sum)) continue;
        write_percentiles(text, &sum, numbers);
        info_line(info, "latency_percentiles_usec_%s:%s", command_at(id)->full_name, text);
    }
}
