#include "server/admin.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "cmd/call.h"
#include "plat/clock.h"
#include "server/server.h"
#include "shard/shard.h"

static struct kevyrt_server *server_of(struct call *call) {
    return call->domain->server_context;
}

/* ---- CONFIG --------------------------------------------------------------------------------------- */

struct config_reply {
    struct call *call;
    struct config *config;
    bool shown[SETTING_COUNT];
    uint64_t pairs;
};

static void show_setting(void *context, const char *name, enum setting_id id) {
    struct config_reply *state = context;
    if (state->shown[id]) return; /* several patterns may match one setting */
    state->shown[id] = true;
    state->pairs++;
    reply_bulk_text(state->call->reply, name);
    reply_bulk_text(state->call->reply, config_text(state->config, id));
}

static void config_get_command(struct call *call) {
    struct config_reply state = {.call = call, .config = &server_of(call)->config};
    struct reply_mark mark = reply_defer_begin(call->reply);
    for (uint32_t i = 2; i < call->argc; i++) config_match(call->argv[i], show_setting, &state);
    reply_defer_map(call->reply, mark, state.pairs);
}

static void config_resetstat_command(struct call *call) {
    struct fabric *fabric = &server_of(call)->fabric;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct shard *shard = fabric->shards[i];
        shard->data.keyspace.stats = (struct keyspace_stats){0};
        shard->data.counters = (struct shard_counters){0};
        memset(shard->data.calls, 0, command_count() * sizeof *shard->data.calls);
        atomic_store_relaxed(&shard->io.gap_max_ns, 0);
        atomic_store_relaxed(&shard->io.gaps_over_1ms, 0);
    }
    atomic_store_relaxed(&fabric->connections_received, 0);
    atomic_store_relaxed(&fabric->connections_rejected, 0);
    reply_ok(call->reply);
}

/* ---- SHUTDOWN ------------------------------------------------------------------------------------- */

static bool shutdown_parse(struct call *call, bool *abort) {
    bool save = false, nosave = false, other = false;
    for (uint32_t i = 1; i < call->argc; i++) {
        struct bytes word = call->argv[i];
        if (bytes_is(word, "nosave")) nosave = true;
        else if (bytes_is(word, "save")) save = true;
        else if (bytes_is(word, "now") || bytes_is(word, "force")) other = true;
        else if (bytes_is(word, "abort")) *abort = true;
        else return false;
    }
    return !(save && nosave) && !(*abort && (save || nosave || other));
}

static void shutdown_command(struct call *call) {
    bool abort = false;
    if (!shutdown_parse(call, &abort)) {
        call_error_syntax(call);
    } else if (abort) {
        call_error(call, "ERR No shutdown in progress.");
    } else {
        if (call->client) call->client->close_after_reply = true;
        server_request_shutdown(server_of(call));
    }
}

/* ---- DEBUG ---------------------------------------------------------------------------------------- */

static void debug_command(struct call *call) {
    if (config_debug_command(&server_of(call)->config) != CONFIG_DEBUG_YES) {
        call_error(call, "ERR DEBUG command not allowed. If the enable-debug-command option is set "
                         "to \"local\", you can run it from a local connection, otherwise you need "
                         "to set this option in the configuration file, and then restart the "
                         "server.");
        return;
    }
    if (call->argc != 3 || !bytes_is(call->argv[1], "kevyrt-shard")) {
        call_error_syntax(call);
        return;
    }
    struct key_place place = keyspace_for(call, 2);
    reply_integer(call->reply, place.keyspace->index);
}

/* ---- INFO ----------------------------------------------------------------------------------------- */

enum { INFO_MAX = 65536 };

struct info {
    struct kevyrt_server *server;
    char *text;
    size_t len;
};

static void __attribute__((format(printf, 2, 3))) line(struct info *info, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(info->text + info->len, INFO_MAX - info->len, format, arguments);
    va_end(arguments);
    if (n > 0 && (size_t)n < INFO_MAX - info->len) info->len += (size_t)n;
}

static void info_server(struct info *info) {
    int64_t up = (clock_wall_ms() - info->server->started_ms) / 1000;
    bool uring = info->server->fabric.settings.reactor == REACTOR_URING;
    line(info, "redis_version:%s\r\nredis_mode:standalone\r\narch_bits:%zu\r\n",
         KEVYRT_REDIS_VERSION, sizeof(void *) * 8);
    line(info, "multiplexing_api:%s\r\nprocess_id:%ld\r\nrun_id:%s\r\ntcp_port:%u\r\n",
         uring ? "io_uring" : "epoll", (long)getpid(), info->server->run_id, info->server->port);
    line(info, "uptime_in_seconds:%lld\r\nuptime_in_days:%lld\r\n", (long long)up,
         (long long)up / 86400);
}

static void info_clients(struct info *info) {
    uint32_t count = 0;
    struct fabric *fabric = &info->server->fabric;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        count += atomic_load_relaxed(&fabric->shards[i]->connections);
    line(info, "connected_clients:%u\r\nmaxclients:%u\r\n", count, fabric->settings.max_clients);
}

static void info_memory(struct info *info) {
    uint64_t used = 0;
    struct fabric *fabric = &info->server->fabric;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        used += keyspace_used_bytes(fabric->keyspaces[i]);
    line(info, "used_memory:%llu\r\nused_memory_human:%.2fM\r\nmaxmemory_policy:%s\r\n",
         (unsigned long long)used, (double)used / (1024 * 1024),
         config_text(&info->server->config, SETTING_MAXMEMORY_POLICY));
}

static void info_stats(struct info *info) {
    uint64_t commands = 0, hits = 0, misses = 0, expired = 0, evicted = 0;
    struct fabric *fabric = &info->server->fabric;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        const struct shard *shard = fabric->shards[i];
        commands += shard->data.counters.commands;
        hits += shard->data.keyspace.stats.hits;
        misses += shard->data.keyspace.stats.misses;
        expired += shard->data.keyspace.stats.expired;
        evicted += shard->data.keyspace.stats.evicted;
    }
    line(info, "total_connections_received:%llu\r\nrejected_connections:%llu\r\n",
         (unsigned long long)atomic_load_relaxed(&fabric->connections_received),
         (unsigned long long)atomic_load_relaxed(&fabric->connections_rejected));
    line(info, "total_commands_processed:%llu\r\nexpired_keys:%llu\r\nevicted_keys:%llu\r\n",
         (unsigned long long)commands, (unsigned long long)expired, (unsigned long long)evicted);
    line(info, "keyspace_hits:%llu\r\nkeyspace_misses:%llu\r\n", (unsigned long long)hits,
         (unsigned long long)misses);
}

static void info_replication(struct info *info) {
    line(info, "role:master\r\nconnected_slaves:0\r\n");
}

static void info_keyspace(struct info *info) {
    struct fabric *fabric = &info->server->fabric;
    for (uint32_t db = 0; db < fabric->domain.database_count; db++) {
        uint64_t keys = 0, deadlines = 0;
        for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
            keys += keyspace_count(fabric->keyspaces[i], db);
            deadlines += keyspace_count_deadlines(fabric->keyspaces[i], db);
        }
        if (keys)
            line(info, "db%u:keys=%llu,expires=%llu,avg_ttl=0\r\n", db, (unsigned long long)keys,
                 (unsigned long long)deadlines);
    }
}

static void info_kevyrt(struct info *info) {
    uint64_t gap = 0;
    struct fabric *fabric = &info->server->fabric;
    bool uring = fabric->settings.reactor == REACTOR_URING;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        uint64_t own = atomic_load_relaxed(&fabric->shards[i]->io.gap_max_ns);
        gap = own > gap ? own : gap;
    }
    line(info, "kevyrt_version:%s\r\nshards:%u\r\nio_backend:%s\r\nio_backend_reason:%s\r\n",
         KEVYRT_VERSION, fabric->settings.shard_count, uring ? "io_uring" : "epoll",
         info->server->io_reason);
    line(info, "loop_gap_max_us:%llu\r\n", (unsigned long long)gap / 1000);
}

static const struct info_section {
    const char *name, *title;
    void (*write)(struct info *);
} info_sections[] = {
    {"server", "Server", info_server},          {"clients", "Clients", info_clients},
    {"memory", "Memory", info_memory},          {"stats", "Stats", info_stats},
    {"replication", "Replication", info_replication},
    {"keyspace", "Keyspace", info_keyspace},    {"kevyrt", "Kevyrt", info_kevyrt},
};

static bool info_wanted(struct call *call, const char *name) {
    bool own = strcmp(name, "kevyrt") == 0;
    if (call->argc == 1) return !own;
    for (uint32_t i = 1; i < call->argc; i++) {
        if (bytes_is(call->argv[i], name) || bytes_is(call->argv[i], "all")) return true;
        if (bytes_is(call->argv[i], "everything")) return true;
        if (bytes_is(call->argv[i], "default") && !own) return true;
    }
    return false;
}

static void info_command(struct call *call) {
    struct info info = {.server = server_of(call), .text = mem_alloc(NULL, INFO_MAX)};
    if (!info.text) {
        call_error_memory(call);
        return;
    }
    for (size_t i = 0; i < sizeof info_sections / sizeof *info_sections; i++) {
        if (!info_wanted(call, info_sections[i].name)) continue;
        line(&info, "%s# %s\r\n", info.len ? "\r\n" : "", info_sections[i].title);
        info_sections[i].write(&info);
    }
    reply_verbatim(call->reply, "txt", bytes_of(info.text, info.len));
    mem_free(NULL, info.text);
}

void server_commands_bind(void) {
    command_bind("config|get", config_get_command);
    command_bind_all_shards("config|resetstat", config_resetstat_command);
    command_bind("shutdown", shutdown_command);
    command_bind_all_shards("debug", debug_command);
    command_bind_all_shards("info", info_command);
}
