/* CONFIG: what the settings are, and the statistics that it resets. */
#include "base/glob.h"
#include "cmd/call.h"
#include "server/admin.h"
#include "server/server.h"
#include "shard/shard.h"

static struct kevyrt_server *server_of(struct call *call) {
    return call->domain->server_context;
}

struct config_reply {
    struct call *call;
    uint64_t pairs;
    bool shown[CONFIG_NAMES]; /* several patterns may match one name */
};

static void show_setting(struct config_reply *state, uint32_t name, struct bytes shown_as) {
    const struct config *config = &server_of(state->call)->config;
    state->shown[name] = true;
    state->pairs++;
    reply_bulk(state->call->reply, shown_as);
    reply_bulk_text(state->call->reply, config_text(config, config_name_setting(name)));
}

static bool is_glob(struct bytes text) {
    for (uint32_t i = 0; i < text.len; i++)
        if (memchr("*?[", text.at[i], 3))
            return true;
    return false;
}

/* A plain name comes back as it was written, a pattern gives the settings' own names. */
static void show_matches(struct config_reply *state, struct bytes wanted) {
    bool glob = is_glob(wanted);
    for (uint32_t i = 0; i < CONFIG_NAMES; i++) {
        const char *text = config_name(i);
        if (!text || state->shown[i])
            continue;
        struct bytes name = bytes_of(text, strlen(text));
        if (glob ? glob_match_nocase(wanted, name) : bytes_is(wanted, text))
            show_setting(state, i, glob ? name : wanted);
    }
}

static void config_get_command(struct call *call) {
    struct config_reply state = {.call = call};
    struct reply_mark mark = reply_defer_begin(call->reply);
    for (uint32_t i = 2; i < call->argc; i++)
        show_matches(&state, call->argv[i]);
    reply_defer_map(call->reply, mark, state.pairs);
}

static void config_resetstat_command(struct call *call) {
    struct fabric *fabric = &server_of(call)->fabric;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct shard *shard = fabric->shards[i];
        shard->data.keyspace.stats = (struct keyspace_stats){0};
        shard->data.counters = (struct shard_counters){0};
        statistics_reset(&shard->data.statistics);
        atomic_store_relaxed(&shard->io.gap_max_ns, 0);
        atomic_store_relaxed(&shard->io.gaps_over_1ms, 0);
    }
    atomic_store_relaxed(&fabric->connections_received, 0);
    atomic_store_relaxed(&fabric->connections_rejected, 0);
    reply_ok(call->reply);
}

void config_commands_bind(void) {
    command_bind("config|get", config_get_command);
    command_bind_all_shards("config|resetstat", config_resetstat_command);
}
