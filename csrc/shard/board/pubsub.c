/* SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their opposites; PUBLISH, SPUBLISH; PUBSUB.
 *
 * Who subscribes or unsubscribes takes the board and first delivers what is in the letterbox of his shard (settle):
 * what comes later was published later. So a subscriber gets what is published behind his place in the board's order,
 * and nothing from before. Inside a transaction, part of whose reply is written, what is delivered to its own client
 * meanwhile waits for the end of the reply (shard_io.deferred).
 */
#include "shard/board/pubsub.h"

#include "base/glob.h"
#include "shard/board/publish.h"
#include "shard/shard.h"

/* ---- Subscribers in RESP2 --------------------------------------------------------------------------- */

static bool is_allowed(const struct command *command) {
    static const char *const names[] = {"ping",         "subscribe",    "ssubscribe",
                                        "unsubscribe",  "sunsubscribe", "psubscribe",
                                        "punsubscribe", "quit",         "reset"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(command->full_name, names[i]) == 0) return true;
    return false;
}

bool pubsub_refuses(struct client *client, struct reply *reply, const struct plan *plan) {
    if (KRT_LIKELY(!(client->call_flags & CALL_SUBSCRIBED)) || client->proto != 2) return false;
    if (is_allowed(plan->command)) return false;
    execute_reject_format(client, reply, plan,
                          "Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
                          "QUIT / RESET are allowed in this context");
    return true;
}

/* ---- The one that subscribes ------------------------------------------------------------------------ */

/* NULL after the error reply: who is in the process has no connection to be sent messages on. */
static struct connection *connection_of(struct call *call) {
    if (!call->client || call->client->session) {
        call_error_format(call, "ERR '%s' needs a connection to the server's socket",
                          call->command->full_name);
        return NULL;
    }
    return client_connection(call->client);
}

static struct shard *shard_of(const struct call *call) {
    return client_shard(call->client);
}

/* Takes the board, and delivers what was posted before. */
static void settle(struct call *call, struct shard *shard, struct connection *connection) {
    struct shard *home = call_home(call);
    board_take(home);
    board_send(home);
    if (call->flags & CALL_NESTED) {
        shard->io.deferring = connection;
        connection->client.listens |= LISTENS_DEFERRED;
    }
    board_drain(shard);
    shard->io.deferring = NULL;
}

static uint64_t own_count(const struct client *client, enum channel_kind kind) {
    const atomic_u32 *counts = client->card->subscriptions;
    if (kind == CHANNEL_SHARD) return atomic_load_relaxed(&counts[CHANNEL_SHARD]);
    return (uint64_t)atomic_load_relaxed(&counts[CHANNEL_PLAIN]) +
           atomic_load_relaxed(&counts[CHANNEL_PATTERN]);
}

/* What these commands answer is told to who is silent (CLIENT REPLY) as well. */
struct answer {
    struct call *call;
    const char *what;
    struct reply aside;
    bool silent;
};

static void answer_begin(struct answer *answer, struct call *call, const char *what) {
    *answer = (struct answer){.call = call, .what = what};
    answer->silent = call->flags & (CALL_SILENT | CALL_SKIPPED);
    reply_init(&answer->aside, &shard_of(call)->io.pool, call->client->proto);
}

/* `name` NULL: there was nothing to end. */
static void answer_add(struct answer *answer, const struct bytes *name, uint64_t count) {
    struct reply *reply = answer->silent ? &answer->aside : answer->call->reply;
    reply_push(reply, 3);
    reply_bulk_text(reply, answer->what);
    if (name) reply_bulk(reply, *name);
    else reply_null(reply);
    reply_integer(reply, (int64_t)count);
}

static void answer_end(struct answer *answer, struct connection *connection) {
    struct shard *shard = shard_of(answer->call);
    if (answer->silent) connection_push(shard, connection, &answer->aside);
    limits_count(shard, connection);
}

/* ---- Subscribing ------------------------------------------------------------------------------------ */

/* All or nothing. `count`: those that are new. */
static bool join_all(struct call *call, struct connection *connection, enum channel_kind kind,
                     uint32_t *count) {
    struct shard *shard = shard_of(call);
    *count = 0;
    for (uint32_t i = 1; i < call->argc; i++) {
        bool joined;
        if (audience_join(shard, connection, kind, call->argv[i], &joined)) {
            *count += joined;
            continue;
        }
        while (*count) {
            audience_leave_newest(shard, connection, kind);
            --*count;
        }
        return false;
    }
    return true;
}

/* The oldest of the newest `count`. */
static struct subscription *first_of(const struct connection *connection, enum channel_kind kind,
                                     uint32_t count) {
    struct subscription *at = count ? connection->client.subscriptions[kind] : NULL;
    for (; count > 1; count--) at = at->next_own;
    return at;
}

/* The new ones stand in the client's list in the order of the arguments, each where its name came first. */
static void answer_joined(struct call *call, const struct connection *connection,
                          enum channel_kind kind, uint32_t joined, struct answer *answer) {
    uint64_t count = own_count(&connection->client, kind) - joined;
    struct subscription *next = first_of(connection, kind, joined);
    for (uint32_t i = 1; i < call->argc; i++) {
        if (next && bytes_equal(channel_name(next->listeners->channel), call->argv[i])) {
            next = next->previous_own;
            count++;
        }
        answer_add(answer, &call->argv[i], count);
    }
}

static void subscribe(struct call *call, enum channel_kind kind, const char *what) {
    struct connection *connection = connection_of(call);
    if (!connection) return;
    struct answer answer;
    uint32_t joined;
    settle(call, shard_of(call), connection);
    if (!join_all(call, connection, kind, &joined)) {
        call_error_memory(call);
        return;
    }
    answer_begin(&answer, call, what);
    answer_joined(call, connection, kind, joined, &answer);
    answer_end(&answer, connection);
}

static void subscribe_command(struct call *call) {
    subscribe(call, CHANNEL_PLAIN, "subscribe");
}

static void psubscribe_command(struct call *call) {
    subscribe(call, CHANNEL_PATTERN, "psubscribe");
}

static void ssubscribe_command(struct call *call) {
    subscribe(call, CHANNEL_SHARD, "ssubscribe");
}

/* ---- Unsubscribing ---------------------------------------------------------------------------------- */

static void leave_named(struct call *call, struct connection *connection, enum channel_kind kind,
                        struct answer *answer) {
    struct shard *shard = shard_of(call);
    for (uint32_t i = 1; i < call->argc; i++) {
        (void)audience_leave(shard, connection, kind, call->argv[i]);
        answer_add(answer, &call->argv[i], own_count(&connection->client, kind));
    }
}

static void leave_all(struct call *call, struct connection *connection, enum channel_kind kind,
                      struct answer *answer) {
    struct shard *shard = shard_of(call);
    const struct client *client = &connection->client;
    if (!client->subscriptions[kind]) answer_add(answer, NULL, own_count(client, kind));
    while (client->subscriptions[kind]) {
        struct bytes name = channel_name(client->subscriptions[kind]->listeners->channel);
        answer_add(answer, &name, own_count(client, kind) - 1);
        audience_leave_newest(shard, connection, kind);
    }
}

static void unsubscribe(struct call *call, enum channel_kind kind, const char *what) {
    struct connection *connection = connection_of(call);
    if (!connection) return;
    struct answer answer;
    settle(call, shard_of(call), connection);
    answer_begin(&answer, call, what);
    if (call->argc == 1) leave_all(call, connection, kind, &answer);
    else leave_named(call, connection, kind, &answer);
    answer_end(&answer, connection);
}

static void unsubscribe_command(struct call *call) {
    unsubscribe(call, CHANNEL_PLAIN, "unsubscribe");
}

static void punsubscribe_command(struct call *call) {
    unsubscribe(call, CHANNEL_PATTERN, "punsubscribe");
}

static void sunsubscribe_command(struct call *call) {
    unsubscribe(call, CHANNEL_SHARD, "sunsubscribe");
}

/* A thread that has lost its place (execute_busy) holds no batons, and no effects are there. */
void pubsub_end(struct call *call) {
    if (!(call->flags & CALL_SUBSCRIBED) && !(call->client->call_flags & CALL_SUBSCRIBED)) return;
    struct connection *connection = connection_of(call);
    if (!call->effects) {
        audience_end(shard_of(call), connection);
        return;
    }
    settle(call, shard_of(call), connection);
    audience_leave_all(shard_of(call), connection);
    limits_count(shard_of(call), connection);
}

/* ---- Publishing ------------------------------------------------------------------------------------- */

static void publish(struct call *call, enum channel_kind kind) {
    uint64_t count = publish_message(call_home(call), kind, call->argv[1], call->argv[2]);
    if (count == PUBLISH_NO_MEMORY) call_error_memory(call);
    else reply_integer(call->reply, (int64_t)count);
}

static void publish_command(struct call *call) {
    publish(call, CHANNEL_PLAIN);
}

static void spublish_command(struct call *call) {
    publish(call, CHANNEL_SHARD);
}

/* ---- PUBSUB ----------------------------------------------------------------------------------------- */

static struct channels *channels_for(struct call *call) {
    board_take(call_home(call));
    return &fabric_of(call)->board->channels;
}

static void reply_channels(struct call *call, enum channel_kind kind) {
    if (call->argc > 3) {
        call_error_subcommand(call);
        return;
    }
    struct map_walk walk;
    struct reply_mark mark = reply_defer_begin(call->reply);
    uint64_t count = 0;
    map_walk_init(&walk, &channels_for(call)->kinds[kind]);
    for (struct map_node *node; (node = map_walk_next(&walk));) {
        struct bytes name = channel_name((struct channel *)node);
        if (call->argc == 3 && !glob_match(call->argv[2], name)) continue;
        reply_bulk(call->reply, name);
        count++;
    }
    reply_defer_array(call->reply, mark, count);
}

static void reply_numbers(struct call *call, enum channel_kind kind) {
    struct channels *channels = channels_for(call);
    reply_array(call->reply, (uint64_t)(call->argc - 2) * 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        uint64_t hash = hash_bytes(&call->domain->hash_seed, call->argv[i].at, call->argv[i].len);
        struct channel *channel = channels_find(channels, kind, hash, call->argv[i]);
        reply_bulk(call->reply, call->argv[i]);
        reply_integer(call->reply, channel ? (int64_t)channel->count : 0);
    }
}

static void pubsub_channels_command(struct call *call) {
    reply_channels(call, CHANNEL_PLAIN);
}

static void pubsub_numsub_command(struct call *call) {
    reply_numbers(call, CHANNEL_PLAIN);
}

static void pubsub_numpat_command(struct call *call) {
    reply_integer(call->reply, (int64_t)channels_for(call)->kinds[CHANNEL_PATTERN].count);
}

static void pubsub_shardchannels_command(struct call *call) {
    reply_channels(call, CHANNEL_SHARD);
}

static void pubsub_shardnumsub_command(struct call *call) {
    reply_numbers(call, CHANNEL_SHARD);
}

struct pubsub_counts pubsub_count(struct call *call) {
    const struct channels *channels = channels_for(call);
    return (struct pubsub_counts){
        .channels = channels->kinds[CHANNEL_PLAIN].count,
        .patterns = channels->kinds[CHANNEL_PATTERN].count,
        .shard_channels = channels->kinds[CHANNEL_SHARD].count,
        .clients = channels->clients,
    };
}

static void pubsub_help_command(struct call *call) {
    static const char *const lines[] = {
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> (default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)",
        NULL,
    };
    call_reply_help(call, lines);
}

/* Shard channels are routed like keys in a cluster; here they are in no shard's place. */
static uint64_t nowhere(const struct domain *domain, const struct bytes *argv, uint32_t argc) {
    (void)domain, (void)argv, (void)argc;
    return 0;
}

void pubsub_bind(void) {
    command_bind("subscribe", subscribe_command);
    command_bind("unsubscribe", unsubscribe_command);
    command_bind("psubscribe", psubscribe_command);
    command_bind("punsubscribe", punsubscribe_command);
    command_bind_placed("ssubscribe", ssubscribe_command, nowhere);
    command_bind_placed("sunsubscribe", sunsubscribe_command, nowhere);
    command_bind("publish", publish_command);
    command_bind_placed("spublish", spublish_command, nowhere);
    command_bind("pubsub|channels", pubsub_channels_command);
    command_bind("pubsub|numsub", pubsub_numsub_command);
    command_bind("pubsub|numpat", pubsub_numpat_command);
    command_bind("pubsub|shardchannels", pubsub_shardchannels_command);
    command_bind("pubsub|shardnumsub", pubsub_shardnumsub_command);
    command_bind("pubsub|help", pubsub_help_command);
}
