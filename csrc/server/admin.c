#include "server/admin.h"

#include <stdlib.h>

#include "base/glob.h"
#include "cmd/call.h"
#include "plat/clock.h"
#include "plat/socket.h"
#include "server/server.h"
#include "shard/shard.h"

enum { DEBUG_SLEEP_SECONDS_MAX = 3600 };

static struct kevyrt_server *server_of(struct call *call) {
    return call->domain->server_context;
}

/* ---- CONFIG ---------------------------------------------------------------------------------- */

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
        memset(shard->data.calls, 0, command_count() * sizeof *shard->data.calls);
        atomic_store_relaxed(&shard->io.gap_max_ns, 0);
        atomic_store_relaxed(&shard->io.gaps_over_1ms, 0);
    }
    atomic_store_relaxed(&fabric->connections_received, 0);
    atomic_store_relaxed(&fabric->connections_rejected, 0);
    reply_ok(call->reply);
}

/* ---- SHUTDOWN -------------------------------------------------------------------------------- */

static bool shutdown_parse(struct call *call, bool *abort) {
    bool save = false, nosave = false, other = false;
    for (uint32_t i = 1; i < call->argc; i++) {
        struct bytes word = call->argv[i];
        if (bytes_is(word, "nosave"))
            nosave = true;
        else if (bytes_is(word, "save"))
            save = true;
        else if (bytes_is(word, "now") || bytes_is(word, "force"))
            other = true;
        else if (bytes_is(word, "abort"))
            *abort = true;
        else
            return false;
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
        if (call->client)
            call->client->close_after_reply = true;
        server_request_shutdown(server_of(call));
    }
}

/* ---- DEBUG ----------------------------------------------------------------------------------- */

/* In process, over a Unix socket, or from the two addresses that Redis takes for local. */
static bool is_local(const struct client *client) {
    if (!client || client->session || socket_is_unix(client->card->fd))
        return true;
    const char *peer = client->card->peer.text;
    return strncmp(peer, "127.0.0.1:", 10) == 0 || strncmp(peer, "[::1]:", 6) == 0;
}

static bool debug_is_allowed(struct call *call) {
    switch (config_debug_command(&server_of(call)->config)) {
    case CONFIG_DEBUG_YES:
        return true;
    case CONFIG_DEBUG_LOCAL:
        return is_local(call->client);
    case CONFIG_DEBUG_NO:
        return false;
    }
    return false;
}

/* Keeps every place, as a command that takes that long would. */
static void debug_sleep(struct call *call) {
    char text[32] = "";
    struct bytes seconds = call->argv[2];
    memcpy(text, seconds.at, seconds.len < sizeof text ? seconds.len : sizeof text - 1);
    double wanted = strtod(text, NULL);
    if (wanted > 0 && wanted <= DEBUG_SLEEP_SECONDS_MAX) clock_sleep_ns((uint64_t)(wanted * 1e9));
    reply_ok(call->reply);
}

static void debug_command(struct call *call) {
    if (!debug_is_allowed(call)) {
        call_error(call, "ERR DEBUG command not allowed. If the enable-debug-command option is set "
                         "to \"local\", you can run it from a local connection, otherwise you need "
                         "to set this option in the configuration file, and then restart the "
                         "server.");
        return;
    }
    if (call->argc != 3) {
        call_error_syntax(call);
    } else if (bytes_is(call->argv[1], "kevyrt-shard")) {
        struct key_place place = keyspace_for(call, 2);
        reply_integer(call->reply, place.keyspace->index);
    } else if (bytes_is(call->argv[1], "sleep")) {
        debug_sleep(call);
    } else {
        call_error_syntax(call);
    }
}

void server_commands_bind(void) {
    command_bind("config|get", config_get_command);
    command_bind_all_shards("config|resetstat", config_resetstat_command);
    command_bind("shutdown", shutdown_command);
    command_bind_all_shards("debug", debug_command);
    info_bind();
}
