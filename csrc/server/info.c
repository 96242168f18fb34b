/* INFO: what this server can say of itself. A field that would have to be made up is not there.
 *
 * The text grows as it is written, since 10,000 databases have 10,000 lines. All batons are held,
 * so the shards are summed at one instant.
 */
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/call.h"
#include "plat/clock.h"
#include "server/admin.h"
#include "server/server.h"
#include "shard/shard.h"

enum { FIRST_BYTES = 4096, LINE_MAX_BYTES = 1024 };

struct info {
    struct kevyrt_server *server;
    struct fabric *fabric;
    char *text;
    size_t len, capacity;
    bool failed; /* no memory: what follows is dropped */
};

/* ---- Lines ----------------------------------------------------------------------------------- */

static bool reserve(struct info *info, size_t more) {
    if (info->failed)
        return false;
    if (info->len + more <= info->capacity)
        return true;
    size_t capacity = info->capacity ? info->capacity * 2 : FIRST_BYTES;
    char *grown = mem_realloc(NULL, info->text, capacity);
    info->failed = !grown;
    if (!grown)
        return false;
    info->text = grown;
    info->capacity = capacity;
    return true;
}

static void line(struct info *info, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct info *info, const char *format, ...) {
    if (!reserve(info, LINE_MAX_BYTES))
        return;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(info->text + info->len, LINE_MAX_BYTES - 2, format, arguments);
    va_end(arguments);
    KRT_ASSERT(n >= 0 && n < LINE_MAX_BYTES - 2);
    memcpy(info->text + info->len + n, "\r\n", 2);
    info->len += (size_t)n + 2;
}

static void number(struct info *info, const char *name, uint64_t value) {
    line(info, "%s:%llu", name, (unsigned long long)value);
}

/* A number of bytes, and again for people. */
static void size(struct info *info, const char *name, uint64_t bytes) {
    static const char units[] = "BKMGTP";
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && units[unit + 1]; unit++)
        value /= 1024;
    number(info, name, bytes);
    line(info, "%s_human:%.*f%c", name, unit ? 2 : 0, value, units[unit]);
}

static void seconds(struct info *info, const char *name, struct timeval time) {
    line(info, "%s:%lld.%06ld", name, (long long)time.tv_sec, (long)time.tv_usec);
}

/* ---- Sections -------------------------------------------------------------------------------- */

static const char *backend(const struct info *info) {
    return info->fabric->settings.reactor == REACTOR_URING ? "io_uring" : "epoll";
}

static void server_section(struct info *info) {
    struct utsname system;
    uint64_t up = (uint64_t)(clock_wall_ms() - info->server->started_ms) / 1000;
    line(info, "redis_version:%s", KEVYRT_REDIS_VERSION);
    line(info, "redis_mode:standalone");
    if (uname(&system) >= 0)
        line(info, "os:%s %s %s", system.sysname, system.release, system.machine);
    number(info, "arch_bits", sizeof(void *) * 8);
    line(info, "multiplexing_api:%s", backend(info));
    number(info, "process_id", (uint64_t)getpid());
    line(info, "run_id:%s", info->server->run_id);
    number(info, "tcp_port", info->server->port);
    number(info, "server_time_usec", (uint64_t)clock_wall_ms() * 1000);
    number(info, "uptime_in_seconds", up);
    number(info, "uptime_in_days", up / 86400);
}

static void clients_section(struct info *info) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++)
        count += atomic_load_relaxed(&info->fabric->shards[i]->connections);
    number(info, "connected_clients", count);
    number(info, "maxclients", info->fabric->settings.max_clients);
}

static void memory_section(struct info *info) {
    const struct config *config = &info->server->config;
    uint64_t used = 0, held = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        used += keyspace_used_bytes(info->fabric->keyspaces[i]);
        held += keyspace_held_bytes(info->fabric->keyspaces[i]);
    }
    size(info, "used_memory", used);
    size(info, "maxmemory", (uint64_t)config_number(config, SETTING_MAXMEMORY));
    line(info, "maxmemory_policy:%s", config_text(config, SETTING_MAXMEMORY_POLICY));
    number(info, "allocator_allocated", used);
    number(info, "allocator_active", held);
    if (used > 0)
        line(info, "allocator_frag_ratio:%.2f", (double)held / (double)used);
}

static void persistence_section(struct info *info) {
    bool log = config_number(&info->server->config, SETTING_APPENDONLY);
    line(info, "loading:0"); /* a start answers nobody before it is complete */
    number(info, "aof_enabled", log);
}

static void stats_section(struct info *info) {
    uint64_t commands = 0, hits = 0, misses = 0, expired = 0, evicted = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        const struct shard_data *data = &info->fabric->shards[i]->data;
        commands += data->counters.commands;
        hits += data->keyspace.stats.hits;
        misses += data->keyspace.stats.misses;
        expired += data->keyspace.stats.expired;
        evicted += data->keyspace.stats.evicted;
    }
    number(info, "total_connections_received",
           atomic_load_relaxed(&info->fabric->connections_received));
    number(info, "total_commands_processed", commands);
    number(info, "rejected_connections", atomic_load_relaxed(&info->fabric->connections_rejected));
    number(info, "expired_keys", expired);
    number(info, "evicted_keys", evicted);
    number(info, "keyspace_hits", hits);
    number(info, "keyspace_misses", misses);
}

static void replication_section(struct info *info) {
    line(info, "role:master"); /* there are no replicas, in either direction */
    line(info, "connected_slaves:0");
}

/* Of the whole process, as the names say: of a guest that is its host's share too. */
static void cpu_section(struct info *info) {
    struct rusage own, children;
    if (getrusage(RUSAGE_SELF, &own) < 0 || getrusage(RUSAGE_CHILDREN, &children) < 0)
        return;
    seconds(info, "used_cpu_sys", own.ru_stime);
    seconds(info, "used_cpu_user", own.ru_utime);
    seconds(info, "used_cpu_sys_children", children.ru_stime);
    seconds(info, "used_cpu_user_children", children.ru_utime);
}

static void commandstats_section(struct info *info) {
    for (size_t id = 0; id < command_count(); id++) {
        uint64_t calls = 0;
        for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++)
            calls += info->fabric->shards[i]->data.statistics.commands[id].calls;
        if (calls)
            line(info, "cmdstat_%s:calls=%llu", command_at(id)->full_name,
                 (unsigned long long)calls);
    }
}

static void cluster_section(struct info *info) {
    line(info, "cluster_enabled:0");
}

static void keyspace_section(struct info *info) {
    for (uint32_t db = 0; db < info->fabric->domain.database_count; db++) {
        uint64_t keys = 0, deadlines = 0;
        for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
            keys += keyspace_count(info->fabric->keyspaces[i], db);
            deadlines += keyspace_count_deadlines(info->fabric->keyspaces[i], db);
        }
        if (keys) /* avg_ttl 0 is Redis's word for not known */
            line(info, "db%u:keys=%llu,expires=%llu,avg_ttl=0", db, (unsigned long long)keys,
                 (unsigned long long)deadlines);
    }
}

static void kevyrt_section(struct info *info) {
    uint64_t gap = 0, over = 0, borrowed = 0, forwarded = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        struct shard *shard = info->fabric->shards[i];
        uint64_t own = atomic_load_relaxed(&shard->io.gap_max_ns);
        gap = own > gap ? own : gap;
        over += atomic_load_relaxed(&shard->io.gaps_over_1ms);
        borrowed += shard->data.counters.borrowed_runs;
        forwarded += shard->data.counters.forwarded;
    }
    line(info, "kevyrt_version:%s", KEVYRT_VERSION);
    number(info, "shards", info->fabric->settings.shard_count);
    line(info, "io_backend:%s", backend(info));
    line(info, "io_backend_reason:%s", info->server->io_reason);
    number(info, "loop_gap_max_us", gap / 1000);
    number(info, "loop_gaps_over_1ms", over);
    number(info, "borrowed_runs", borrowed);
    number(info, "forwarded_requests", forwarded);
}

/* ---- INFO ------------------------------------------------------------------------------------ */

static const struct section {
    const char *name, *title;
    void (*write)(struct info *);
    bool on_request; /* not among the sections that INFO shows by itself */
} sections[] = {
    {"server", "Server", server_section, false},
    {"clients", "Clients", clients_section, false},
    {"memory", "Memory", memory_section, false},
    {"persistence", "Persistence", persistence_section, false},
    {"stats", "Stats", stats_section, false},
    {"replication", "Replication", replication_section, false},
    {"cpu", "CPU", cpu_section, false},
    {"commandstats", "Commandstats", commandstats_section, true},
    {"cluster", "Cluster", cluster_section, false},
    {"keyspace", "Keyspace", keyspace_section, false},
    {"kevyrt", "Kevyrt", kevyrt_section, true},
};

static bool is_wanted(const struct call *call, const struct section *section) {
    if (call->argc == 1)
        return !section->on_request;
    for (uint32_t i = 1; i < call->argc; i++) {
        struct bytes word = call->argv[i];
        if (bytes_is(word, section->name) || bytes_is(word, "all") || bytes_is(word, "everything"))
            return true;
        if (bytes_is(word, "default") && !section->on_request)
            return true;
    }
    return false;
}

static void write_section(struct info *info, const struct section *section) {
    if (info->len > 0)
        line(info, "%s", "");
    line(info, "# %s", section->title);
    section->write(info);
}

static void info_command(struct call *call) {
    struct kevyrt_server *server = call->domain->server_context;
    struct info info = {.server = server, .fabric = &server->fabric};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        if (is_wanted(call, &sections[i]))
            write_section(&info, &sections[i]);
    if (info.failed)
        call_error_memory(call);
    else
        reply_verbatim(call->reply, "txt", bytes_of(info.text, info.len));
    mem_free(NULL, info.text);
}

void info_bind(void) {
    command_bind_all_shards("info", info_command);
}
