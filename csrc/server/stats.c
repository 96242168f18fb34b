/* Counters of the server and its shards, read at one instant: kevyrt_stats. */
#include <stdio.h>

#include "plat/clock.h"
#include "plat/futex.h"
#include "plat/process.h"
#include "server/server.h"
#include "shard/shard.h"

static void read_shard(const struct fabric *fabric, uint32_t index,
                       struct kevyrt_shard_stats *out) {
    struct shard *shard = fabric->shards[index];
    const struct keyspace *keyspace = &shard->data.keyspace;
    *out = (struct kevyrt_shard_stats){
        .commands = shard->data.counters.commands,
        .keys = keyspace_count_all(keyspace),
        .keyspace_hits = keyspace->stats.hits,
        .keyspace_misses = keyspace->stats.misses,
        .expired_keys = keyspace->stats.expired,
        .evicted_keys = keyspace->stats.evicted,
        .connections = atomic_load_relaxed(&shard->connections),
        .used_bytes = keyspace_used_bytes(keyspace),
        .held_bytes = keyspace_held_bytes(keyspace),
        .baton_waits = shard->baton->waits,
        .baton_wait_ns = shard->baton->wait_ns,
        .loops = atomic_load_relaxed(&shard->io.loops),
        .loop_gap_max_ns = atomic_load_relaxed(&shard->io.gap_max_ns),
        .loop_gaps_over_1ms = atomic_load_relaxed(&shard->io.gaps_over_1ms),
        .borrowed_runs = shard->data.counters.borrowed_runs,
        .forwarded_requests = shard->data.counters.forwarded,
    };
}

/* ---- Rates -------------------------------------------------------------------------------------- */

static double rate(uint64_t now, uint64_t before, uint64_t ns) {
    return ns && now > before ? (double)(now - before) * 1e9 / (double)ns : 0;
}

/* In-process calls run while the shard's thread, which takes the samples, sleeps. So they are taken here as well. */
static void read_rates(struct shard *shard, struct kevyrt_stats *out) {
    struct statistics *statistics = &shard->data.statistics;
    const struct rate_sample *base = statistics_baseline(statistics, out->at_ns);
    struct rate_sample now = {
        .at_ns = out->at_ns,
        .commands = shard->data.counters.commands,
        .input_bytes = atomic_load_relaxed(&shard->io.input_bytes),
        .output_bytes = atomic_load_relaxed(&shard->io.output_bytes),
    };
    uint64_t ns = base->at_ns && now.at_ns > base->at_ns ? now.at_ns - base->at_ns : 0;
    out->commands_per_s += rate(now.commands, base->commands, ns);
    out->input_bytes_per_s += rate(now.input_bytes, base->input_bytes, ns);
    out->output_bytes_per_s += rate(now.output_bytes, base->output_bytes, ns);
    out->input_bytes += now.input_bytes - shard->data.counters.input_before;
    out->output_bytes += now.output_bytes - shard->data.counters.output_before;
    out->error_replies += statistics->error_replies;
    (void)statistics_sample(statistics, &now);
}

/* ---- Memory ------------------------------------------------------------------------------------- */

static void read_memory(struct kevyrt_server *server, struct kevyrt_stats *out) {
    struct fabric *fabric = &server->fabric;
    const struct config *config = &server->config;
    uint64_t used = 0;
    for (uint32_t i = 0; i < out->shard_count; i++) {
        used += out->shards[i].used_bytes;
        out->table_bytes += out->shards[i].used_bytes - keyspace_entry_bytes(fabric->keyspaces[i]);
    }
    out->peak_bytes = fabric_note_used(fabric, used);
    out->startup_bytes = atomic_load_relaxed(&fabric->startup_bytes);
    out->client_bytes = limits_sum(fabric);
    out->maxmemory_bytes = (uint64_t)config_number(config, SETTING_MAXMEMORY);
    snprintf(out->maxmemory_policy, sizeof out->maxmemory_policy, "%s",
             config_text(config, SETTING_MAXMEMORY_POLICY));
}

/* ---- All of it ---------------------------------------------------------------------------------- */

static bool read_all(struct kevyrt_server *server, struct kevyrt_stats *out) {
    struct fabric *fabric = &server->fabric;
    uint64_t all = fabric_all(fabric);
    if (baton_set_take(&fabric->set, all, FUTEX_NO_DEADLINE) != BATON_TAKEN) return false;
    out->at_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < out->shard_count; i++) {
        read_shard(fabric, i, &out->shards[i]);
        read_rates(fabric->shards[i], out);
    }
    read_memory(server, out);
    persistence_stats(server, &out->persistence);
    baton_set_drop(&fabric->set, all);
    return true;
}

enum kevyrt_status kevyrt_stats(struct kevyrt_server *server, struct kevyrt_stats *out) {
    struct fabric *fabric = &server->fabric;
    *out = (struct kevyrt_stats){.shard_count = fabric->settings.shard_count};
    if (!server_enter(server)) return KEVYRT_STOPPED;
    bool read = read_all(server, out);
    server_leave(server);
    if (!read) return KEVYRT_STOPPED;
    bool uring = fabric->settings.reactor == REACTOR_URING;
    snprintf(out->io_backend, sizeof out->io_backend, "%s", uring ? "io_uring" : "epoll");
    snprintf(out->io_reason, sizeof out->io_reason, "%s", server->io_reason);
    out->resident_bytes = process_resident_bytes();
    out->uptime_ms = (uint64_t)(clock_wall_ms() - server->started_ms);
    out->connections_received = atomic_load_relaxed(&fabric->connections_received);
    out->rejected_connections = atomic_load_relaxed(&fabric->connections_rejected);
    return KEVYRT_OK;
}
