/* INFO: what this server can say of itself. A field that would have to be made up is not there.
 *
 * The text grows as it is written, since 10,000 databases have 10,000 lines.
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
#include "server/info.h"

enum { FIRST_BYTES = 4096, LINE_MAX_BYTES = 1024 };

/* ---- Lines ----------------------------------------------------------------------------------- */

static bool reserve(struct info *info, size_t more) {
    if (info->failed) return false;
    if (info->len + more <= info->capacity) return true;
    size_t capacity = info->capacity ? info->capacity * 2 : FIRST_BYTES;
    char *grown = mem_realloc(NULL, info->text, capacity);
    info->failed = !grown;
    if (!grown) return false;
    info->text = grown;
    info->capacity = capacity;
    return true;
}

void info_line(struct info *info, const char *format, ...) {
    if (!reserve(info, LINE_MAX_BYTES)) return;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(info->text + info->len, LINE_MAX_BYTES - 2, format, arguments);
    va_end(arguments);
    KRT_ASSERT(n >= 0 && n < LINE_MAX_BYTES - 2);
    memcpy(info->text + info->len + n, "\r\n", 2);
    info->len += (size_t)n + 2;
}

/* Most lines are a name and a number: formats cost more than all else that is in them. */
static char *line_begin(struct info *info, const char *name, const char *more) {
    size_t len = strlen(name), more_len = strlen(more);
    if (!reserve(info, LINE_MAX_BYTES)) return NULL;
    KRT_ASSERT(len + more_len < LINE_MAX_BYTES / 2);
    char *at = info->text + info->len;
    memcpy(at, name, len);
    memcpy(at + len, more, more_len);
    at[len + more_len] = ':';
    return at + len + more_len + 1;
}

static void line_end(struct info *info, char *at) {
    memcpy(at, "\r\n", 2);
    info->len = (size_t)(at + 2 - info->text);
}

void info_text(struct info *info, const char *name, const char *text) {
    size_t len = strlen(text);
    char *at = line_begin(info, name, "");
    KRT_ASSERT(len < LINE_MAX_BYTES / 2 - 4);
    if (!at) return;
    memcpy(at, text, len);
    line_end(info, at + len);
}

void info_number(struct info *info, const char *name, uint64_t value) {
    char *at = line_begin(info, name, "");
    if (at) line_end(info, at + bytes_from_uint64(at, value));
}

/* A number of hundredths as %.2f writes it. */
static size_t write_hundredths(char *at, uint64_t hundredths) {
    size_t len = bytes_from_uint64(at, hundredths / 100);
    at[len] = '.';
    at[len + 1] = (char)('0' + hundredths / 10 % 10);
    at[len + 2] = (char)('0' + hundredths % 10);
    return len + 3;
}

void info_signed(struct info *info, const char *name, int64_t value) {
    char *at = line_begin(info, name, "");
    if (at) line_end(info, at + bytes_from_int64(at, value));
}

void info_hundredths(struct info *info, const char *name, double value, const char *unit) {
    char *at = line_begin(info, name, "");
    if (!at) return;
    at += write_hundredths(at, (uint64_t)(value * 100 + 0.5));
    memcpy(at, unit, strlen(unit));
    line_end(info, at + strlen(unit));
}

/* In the largest unit that it fills, rounded as printf does: halves to the even digit. */
static size_t write_size(char *at, uint64_t bytes) {
    static const char units[] = "BKMGTP";
    unsigned unit = 0;
    while (bytes >> (10 * unit) >= 1024 && units[unit + 1]) unit++;
    unsigned __int128 scaled = (unsigned __int128)bytes * 100;
    uint64_t hundredths = (uint64_t)(scaled >> (10 * unit));
    uint64_t rest = (uint64_t)(scaled - ((unsigned __int128)hundredths << (10 * unit)));
    uint64_t half = unit ? UINT64_C(1) << (10 * unit - 1) : 1;
    hundredths += rest > half || (rest == half && hundredths % 2);
    size_t len = unit ? write_hundredths(at, hundredths) : bytes_from_uint64(at, bytes);
    at[len] = units[unit];
    return len + 1;
}

void info_size(struct info *info, const char *name, uint64_t bytes) {
    info_number(info, name, bytes);
    char *at = line_begin(info, name, "_human");
    if (at) line_end(info, at + write_size(at, bytes));
}

static void seconds(struct info *info, const char *name, struct timeval time) {
    char *at = line_begin(info, name, "");
    if (!at) return;
    at += bytes_from_int64(at, time.tv_sec);
    *at++ = '.';
    for (long unit = 100000; unit > 0; unit /= 10) *at++ = (char)('0' + time.tv_usec / unit % 10);
    line_end(info, at);
}

/* ---- Sections -------------------------------------------------------------------------------- */

static const char *backend(const struct info *info) {
    return info->fabric->settings.reactor == REACTOR_URING ? "io_uring" : "epoll";
}

static void server_section(struct info *info) {
    struct utsname system;
    uint64_t up = (uint64_t)(clock_wall_ms() - info->server->started_ms) / 1000;
    info_text(info, "redis_version", KEVYRT_REDIS_VERSION);
    info_text(info, "redis_git_sha1", "00000000"); /* of Redis's sources: there are none in it */
    info_number(info, "redis_git_dirty", 0);
    info_text(info, "redis_mode", "standalone");
    if (uname(&system) >= 0)
        info_line(info, "os:%s %s %s", system.sysname, system.release, system.machine);
    info_number(info, "arch_bits", sizeof(void *) * 8);
    info_text(info, "multiplexing_api", backend(info));
    info_number(info, "process_id", (uint64_t)getpid());
    info_text(info, "process_supervised", "no");
    info_text(info, "run_id", info->server->run_id);
    info_number(info, "tcp_port", server_port(info->server));
    info_number(info, "server_time_usec", (uint64_t)domain_now_us(&info->fabric->domain));
    info_number(info, "uptime_in_seconds", up);
    info_number(info, "uptime_in_days", up / 86400);
    info_number(info, "lru_clock",
                atomic_load_relaxed(&info->fabric->domain.access.seconds) & ACCESS_MASK);
    info_number(info, "hz", (uint64_t)config_number(&info->server->config, SETTING_HZ));
    info_number(info, "configured_hz", (uint64_t)config_number(&info->server->config, SETTING_HZ));
    const char *file = config_text(&info->server->config, SETTING_CONFIG_FILE);
    if (*file) info_line(info, "config_file:%.900s", file);
    info_number(info, "io_threads_active", 0); /* shards have no such threads beside them */
}

static void blocking_keys(struct info *info) {
    uint64_t keys = 0, of_groups = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        keys += waiting_keys(&info->fabric->shards[i]->data.waiting);
        of_groups += info->fabric->shards[i]->data.waiting.group_queues;
    }
    info_number(info, "total_blocking_keys", keys);
    info_number(info, "total_blocking_keys_on_nokey", of_groups);
}

static uint64_t count_watched(const struct info *info) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++)
        count += info->fabric->shards[i]->data.watched.count;
    return count;
}

static void clients_section(struct info *info) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++)
        count += atomic_load_relaxed(&info->fabric->shards[i]->connections);
    info_number(info, "connected_clients", count);
    info_number(info, "cluster_connections", 0);
    info_number(info, "maxclients", info->fabric->settings.max_clients);
    uint64_t input, output;
    limits_recent(info->fabric, &input, &output);
    info_number(info, "client_recent_max_input_buffer", input);
    info_number(info, "client_recent_max_output_buffer", output);
    info_number(info, "blocked_clients", atomic_load_relaxed(&info->fabric->waiters));
    info_number(info, "tracking_clients", atomic_load_relaxed(&info->fabric->tracking.clients));
    info_number(info, "pubsub_clients", info->pubsub.clients);
    info_number(info, "watching_clients", atomic_load_relaxed(&info->fabric->watching_clients));
    info_number(info, "clients_in_timeout_table",
                atomic_load_relaxed(&info->fabric->waiters_timed));
    info_number(info, "total_watched_keys", count_watched(info));
    blocking_keys(info);
}

static void replication_section(struct info *info) {
    info_text(info, "role", "master"); /* there are no replicas, in either direction */
    info_number(info, "connected_slaves", 0);
    info_text(info, "master_failover_state", "no-failover");
    info_text(info, "master_replid", info->server->replication_id);
    info_text(info, "master_replid2", "0000000000000000000000000000000000000000");
    info_number(info, "master_repl_offset", 0);
    info_text(info, "second_repl_offset", "-1");
    info_number(info, "repl_backlog_active", 0);
    info_number(info, "repl_backlog_size",
                (uint64_t)config_number(&info->server->config, SETTING_REPL_BACKLOG_SIZE));
    info_number(info, "repl_backlog_first_byte_offset", 0);
    info_number(info, "repl_backlog_histlen", 0);
}

/* Of the whole process, as the names say: of a guest that is its host's share too. */
static void cpu_section(struct info *info) {
    struct rusage own, children;
    if (getrusage(RUSAGE_SELF, &own) < 0 || getrusage(RUSAGE_CHILDREN, &children) < 0) return;
    seconds(info, "used_cpu_sys", own.ru_stime);
    seconds(info, "used_cpu_user", own.ru_utime);
    seconds(info, "used_cpu_sys_children", children.ru_stime);
    seconds(info, "used_cpu_user_children", children.ru_utime);
}

/* There are none, and Redis shows the title all the same. */
static void modules_section(struct info *info) {
    (void)info;
}

static void cluster_section(struct info *info) {
    info_number(info, "cluster_enabled", 0);
}

static void database_line(struct info *info, uint32_t db) {
    int64_t now = domain_now(&info->fabric->domain);
    uint64_t keys = 0, deadlines = 0, expiring = 0;
    double left_ms = 0;
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++) {
        struct keyspace *keyspace = info->fabric->keyspaces[i];
        uint64_t own = keyspace_count_deadlines(keyspace, db);
        keys += keyspace_count(keyspace, db);
        deadlines += own;
        expiring += keyspace_count_expiring(keyspace, db);
        if (own) left_ms += (double)own * (double)keyspace_average_ttl(keyspace, db, now);
    }
    if (keys)
        info_line(info, "db%u:keys=%llu,expires=%llu,avg_ttl=%lld,subexpiry=%llu", db,
                  (unsigned long long)keys, (unsigned long long)deadlines,
                  (long long)(deadlines ? left_ms / (double)deadlines : 0),
                  (unsigned long long)expiring);
}

static void keyspace_section(struct info *info) {
    for (uint32_t db = 0; db < info->fabric->domain.database_count; db++) database_line(info, db);
}

static uint64_t count_keys(const struct keyspace *keyspace) {
    uint64_t keys = 0;
    for (uint32_t db = 0; db < keyspace->database_count; db++) keys += keyspace_count(keyspace, db);
    return keys;
}

static void shard_line(struct info *info, const struct shard *shard) {
    const struct shard_data *data = &shard->data;
    info_line(info,
              "shard%u:keys=%llu,used_memory=%llu,connections=%u,commands=%llu,borrowed_runs=%llu,"
              "forwarded_requests=%llu,loop_gap_max_us=%llu",
              shard->index, (unsigned long long)count_keys(&data->keyspace),
              (unsigned long long)keyspace_used_bytes(&data->keyspace),
              atomic_load_relaxed(&shard->connections), (unsigned long long)data->counters.commands,
              (unsigned long long)data->counters.borrowed_runs,
              (unsigned long long)data->counters.forwarded,
              (unsigned long long)atomic_load_relaxed(&shard->io.gap_max_ns) / 1000);
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
    info_text(info, "kevyrt_version", KEVYRT_VERSION);
    info_number(info, "shards", info->fabric->settings.shard_count);
    info_text(info, "io_backend", backend(info));
    info_text(info, "io_backend_reason", info->server->io_reason);
    info_number(info, "loop_gap_max_us", gap / 1000);
    info_number(info, "loop_gaps_over_1ms", over);
    info_number(info, "borrowed_runs", borrowed);
    info_number(info, "forwarded_requests", forwarded);
    for (uint32_t i = 0; i < info->fabric->settings.shard_count; i++)
        shard_line(info, info->fabric->shards[i]);
}

/* ---- INFO ------------------------------------------------------------------------------------ */

static const struct section {
    const char *name, *title;
    void (*write)(struct info *);
    bool on_request; /* not among the sections that INFO shows by itself */
} sections[] = {
    {"server", "Server", server_section, false},
    {"clients", "Clients", clients_section, false},
    {"memory", "Memory", info_memory, false},
    {"persistence", "Persistence", info_persistence, false},
    {"stats", "Stats", info_stats, false},
    {"replication", "Replication", replication_section, false},
    {"cpu", "CPU", cpu_section, false},
    {"modules", "Modules", modules_section, false},
    {"commandstats", "Commandstats", info_commandstats, true},
    {"errorstats", "Errorstats", info_errorstats, false},
    {"latencystats", "Latencystats", info_latencystats, true},
    {"cluster", "Cluster", cluster_section, false},
    {"keyspace", "Keyspace", keyspace_section, false},
    {"kevyrt", "Kevyrt", kevyrt_section, true},
};

static bool is_wanted(const struct call *call, const struct section *section) {
    if (call->argc == 1) return !section->on_request;
    for (uint32_t i = 1; i < call->argc; i++) {
        struct bytes word = call->argv[i];
        if (bytes_is(word, section->name) || bytes_is(word, "all") || bytes_is(word, "everything"))
            return true;
        if (bytes_is(word, "default") && !section->on_request) return true;
    }
    return false;
}

/* With an empty line before it, but for the first. */
static void title(struct info *info, const char *text) {
    if (!reserve(info, LINE_MAX_BYTES)) return;
    char *at = info->text + info->len;
    size_t len = strlen(text);
    if (info->len > 0) {
        memcpy(at, "\r\n", 2);
        at += 2;
    }
    memcpy(at, "# ", 2);
    memcpy(at + 2, text, len);
    line_end(info, at + 2 + len);
}

static void write_section(struct info *info, const struct section *section) {
    title(info, section->title);
    section->write(info);
}

static void info_command(struct call *call) {
    struct kevyrt_server *server = call_server(call);
    struct info info = {.server = server, .fabric = &server->fabric, .pubsub = pubsub_count(call)};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        if (is_wanted(call, &sections[i])) write_section(&info, &sections[i]);
    if (info.failed) call_error_memory(call);
    else reply_verbatim(call->reply, "txt", bytes_of(info.text, info.len));
    mem_free(NULL, info.text);
}

void info_bind(void) {
    command_bind_all_shards("info", info_command);
}
