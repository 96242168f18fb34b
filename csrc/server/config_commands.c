/* CONFIG: what the settings are, and the statistics that it resets. */
#include <stdio.h>

#include "base/glob.h"
#include "cmd/call.h"
#include "plat/process.h"
#include "plat/socket.h"
#include "server/admin.h"
#include "server/server.h"
#include "shard/shard.h"

/* ---- GET ------------------------------------------------------------------------------------- */

struct config_reply {
    struct call *call;
    uint64_t pairs;
    bool shown[CONFIG_NAMES]; /* several patterns may match one name */
};

/* The working folder may be another than the one that was set: it is the process's, who may change it. */
static const char *shown_text(const struct config *config, enum setting_id id,
                              char room[CONFIG_VALUE_MAX]) {
    return id == SETTING_DIR ? process_folder(room, CONFIG_VALUE_MAX) : config_text(config, id);
}

static void show_setting(struct config_reply *state, uint32_t name, struct bytes shown_as) {
    const struct config *config = &call_server(state->call)->config;
    char room[CONFIG_VALUE_MAX];
    state->shown[name] = true;
    state->pairs++;
    reply_bulk(state->call->reply, shown_as);
    reply_bulk_text(state->call->reply, shown_text(config, config_name_setting(name), room));
}

static bool is_glob(struct bytes text) {
    for (uint32_t i = 0; i < text.len; i++)
        if (memchr("*?[", text.at[i], 3)) return true;
    return false;
}

/* A plain name comes back as it was written, a pattern gives the settings' own names. */
static void show_named(struct config_reply *state, struct bytes wanted) {
    uint32_t name = config_find_name(wanted);
    if (name < CONFIG_NAMES && !state->shown[name]) show_setting(state, name, wanted);
}

static void show_matches(struct config_reply *state, struct bytes pattern) {
    for (uint32_t i = 0; i < CONFIG_NAMES; i++) {
        const char *text = config_name(i);
        if (!text || state->shown[i]) continue;
        struct bytes name = bytes_of(text, strlen(text));
        if (glob_match_nocase(pattern, name)) show_setting(state, i, name);
    }
}

static void config_get_command(struct call *call) {
    struct config_reply state = {.call = call};
    struct reply_mark mark = reply_defer_begin(call->reply);
    for (uint32_t i = 2; i < call->argc; i++) {
        if (is_glob(call->argv[i])) show_matches(&state, call->argv[i]);
        else show_named(&state, call->argv[i]);
    }
    reply_defer_map(call->reply, mark, state.pairs);
}

/* ---- SET ------------------------------------------------------------------------------------- */

/* Pairs of a CONFIG SET: all are checked, then all are in force, or none. */
struct config_set {
    struct call *call;
    struct kevyrt_server *server;
    uint32_t pairs;
    uint32_t made; /* changes that exist */
    struct config_change *changes;
};

static bool refuse(struct config_set *set, uint32_t pair, const char *why) {
    struct bytes name = set->call->argv[2 + 2 * pair];
    call_error_format(set->call, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                      (int)name.len, name.at, why);
    return false;
}

/* The text of an argument as C knows it; false if it is none. */
static bool copy_text(struct bytes from, char *to, size_t capacity) {
    if (from.len >= capacity || memchr(from.at, 0, from.len)) return false;
    memcpy(to, from.at, from.len);
    to[from.len] = 0;
    return true;
}

static enum setting_id find_name(struct bytes name) {
    char text[64];
    return copy_text(name, text, sizeof text) ? config_find(text) : SETTING_COUNT;
}

/* Names come before values: an unknown one is told first, whatever is wrong besides. */
static bool check_names(struct config_set *set) {
    for (uint32_t i = 0; i < set->pairs; i++) {
        struct bytes name = set->call->argv[2 + 2 * i];
        set->changes[i].id = find_name(name);
        if (set->changes[i].id < SETTING_COUNT) continue;
        call_error_format(set->call,
                          "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                          (int)name.len, name.at);
        return false;
    }
    return true;
}

static bool check_allowed(struct config_set *set) {
    for (uint32_t i = 0; i < set->pairs; i++) {
        enum setting_id id = set->changes[i].id;
        if (config_setting(id)->when == WHEN_START)
            return refuse(set, i, "can't set immutable config");
        if (config_setting(id)->when == WHEN_PROTECTED &&
            !admin_allows(set->call, SETTING_ENABLE_PROTECTED_CONFIGS))
            return refuse(set, i, "can't set protected config");
        for (uint32_t k = 0; k < i; k++)
            if (set->changes[k].id == id) return refuse(set, i, "duplicate parameter");
    }
    return true;
}

static bool make_change(struct config_set *set, uint32_t pair) {
    char value[CONFIG_VALUE_MAX + 1], reason[CONFIG_REASON_MAX];
    const struct bytes *words = &set->call->argv[2 + 2 * pair];
    if (!copy_text(words[1], value, sizeof value))
        return refuse(set, pair, "the value is too long or has a zero byte");
    if (config_change_make(&set->changes[pair], &set->server->config, set->changes[pair].id, value,
                           reason) != KEVYRT_OK)
        return refuse(set, pair, reason);
    set->made++;
    return true;
}

static bool reserve_changes(struct config_set *set) {
    set->changes = mem_calloc(NULL, set->pairs * sizeof *set->changes);
    if (!set->changes) call_error_memory(set->call);
    return set->changes;
}

static bool make_changes(struct config_set *set) {
    for (uint32_t i = 0; i < set->pairs; i++)
        if (!make_change(set, i)) return false;
    return true;
}

static void swap_changes(struct config_set *set) {
    for (uint32_t i = 0; i < set->pairs; i++)
        config_change_swap(&set->changes[i], &set->server->config);
}

static bool changes(const struct config_set *set, enum setting_id id, uint32_t *pair) {
    for (uint32_t i = 0; i < set->pairs; i++) {
        if (set->changes[i].id != id) continue;
        *pair = i;
        return true;
    }
    return false;
}

static bool refuse_listeners(struct config_set *set, const char *why) {
    uint32_t pair = 0;
    log_line(LOG_WARNING, "CONFIG SET: %s", why);
    if (changes(set, SETTING_PORT, &pair))
        return refuse(set, pair, "Unable to listen on this port. Check server logs.");
    (void)changes(set, SETTING_BIND, &pair);
    return refuse(set, pair, "Failed to bind to specified addresses.");
}

static bool apply_listeners(struct config_set *set) {
    struct fabric *fabric = &set->server->fabric;
    struct kevyrt_error why = {0};
    int listeners[LISTENERS_MAX];
    uint32_t count, pair;
    if (!changes(set, SETTING_PORT, &pair) && !changes(set, SETTING_BIND, &pair)) return true;
    if (listeners_reopen(set->server, fabric->listeners, fabric->listener_count, listeners, &count,
                         &why) != KEVYRT_OK)
        return refuse_listeners(set, why.text);
    if (fabric_change_listeners(fabric, listeners, count)) return true;
    listeners_give_up(fabric->listeners, fabric->listener_count, listeners, count);
    return refuse_listeners(set, "out of memory");
}

/* Files for so many clients, and for what the server itself needs. */
static bool apply_clients(struct config_set *set) {
    char why[128];
    uint32_t pair;
    if (!changes(set, SETTING_MAXCLIENTS, &pair)) return true;
    uint64_t wanted = (uint64_t)config_number(&set->server->config, SETTING_MAXCLIENTS);
    uint64_t reserved = 32 + 8 * (uint64_t)set->server->fabric.settings.shard_count;
    uint64_t limit = descriptor_limit_raise(wanted + reserved);
    if (limit >= wanted + reserved) return true;
    (void)snprintf(why, sizeof why,
                   "The operating system is not able to handle the specified number of clients, "
                   "try with %lld",
                   (long long)(limit > reserved ? limit - reserved : 1));
    return refuse(set, pair, why);
}

static bool apply(struct config_set *set) {
    struct fabric *fabric = &set->server->fabric;
    if (!apply_clients(set) || !apply_listeners(set)) return false;
    struct fabric_settings settings = fabric->settings;
    config_fabric_settings(&set->server->config, &settings);
    fabric_apply_settings(fabric, &settings);
    aof_owner_apply(set->server);
    persistence_apply(set->server);
    return true;
}

static bool set_all(struct config_set *set) {
    if (!reserve_changes(set) || !check_names(set) || !check_allowed(set) || !make_changes(set))
        return false;
    swap_changes(set);
    if (apply(set)) return true;
    swap_changes(set);
    return false;
}

static void config_set_command(struct call *call) {
    struct config_set set = {
        .call = call, .server = call_server(call), .pairs = (call->argc - 2) / 2};
    if (call->argc % 2) call_error_syntax(call);
    else if (set_all(&set)) reply_ok(call->reply);
    for (uint32_t i = 0; i < set.made; i++) config_change_free(&set.changes[i]);
    mem_free(NULL, set.changes);
}

/* ---- RESETSTAT, HELP ------------------------------------------------------------------------- */

static void config_resetstat_command(struct call *call) {
    struct fabric *fabric = &call_server(call)->fabric;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct shard *shard = fabric->shards[i];
        shard->data.keyspace.stats = (struct keyspace_stats){0};
        shard->data.counters = (struct shard_counters){
            .input_before = atomic_load_relaxed(&shard->io.input_bytes),
            .output_before = atomic_load_relaxed(&shard->io.output_bytes),
        };
        statistics_reset(&shard->data.statistics);
        atomic_store_relaxed(&shard->io.gap_max_ns, 0);
        atomic_store_relaxed(&shard->io.reads, 0);
        atomic_store_relaxed(&shard->io.writes, 0);
        atomic_store_relaxed(&shard->io.gaps_over_1ms, 0);
    }
    atomic_store_relaxed(&fabric->connections_received, 0);
    atomic_store_relaxed(&fabric->connections_rejected, 0);
    atomic_store_relaxed(&fabric->eviction.evicted, 0);
    reply_ok(call->reply);
}

static void config_help_command(struct call *call) {
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        NULL,
    };
    call_reply_help(call, lines);
}

void config_commands_bind(void) {
    command_bind("config|get", config_get_command);
    command_bind("config|help", config_help_command);
    command_bind_all_shards("config|set", config_set_command);
    command_bind_all_shards("config|resetstat", config_resetstat_command);
}
