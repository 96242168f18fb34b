#include "shard/board/channels.h"

#include "shard/board/subscriber.h"
#include "shard/shard.h"

static uint64_t hash_of(const struct shard *shard, struct bytes name) {
    return hash_bytes(&shard->fabric->domain.hash_seed, name.at, name.len);
}

/* Of a name and a client together. */
static uint64_t hash_with(uint64_t hash, const struct connection *connection) {
    uint64_t mixed = (hash ^ connection->client.card->id) * UINT64_C(0x9e3779b97f4a7c15);
    return mixed ^ mixed >> 32;
}

static struct channels *channels_of(const struct shard *shard) {
    return &shard->fabric->board->channels;
}

/* ---- Looking up ----------------------------------------------------------------------------------- */

struct channel *channels_find(const struct channels *channels, enum channel_kind kind,
                              uint64_t hash, struct bytes name) {
    struct map_node *node = map_first(&channels->kinds[kind], hash);
    for (; node; node = map_next(node)) {
        struct channel *channel = (struct channel *)node;
        if (bytes_equal(channel_name(channel), name)) return channel;
    }
    return NULL;
}

struct listeners *audience_find(const struct audience *audience, enum channel_kind kind,
                                uint64_t hash, struct bytes name) {
    struct map_node *node = map_first(&audience->kinds[kind], hash);
    for (; node; node = map_next(node)) {
        struct listeners *listeners = (struct listeners *)node;
        if (bytes_equal(channel_name(listeners->channel), name)) return listeners;
    }
    return NULL;
}

static struct subscription *find_own(const struct audience *audience,
                                     const struct listeners *listeners,
                                     const struct connection *connection) {
    uint64_t hash = hash_with(listeners->node.hash, connection);
    struct map_node *node = map_first(&audience->subscriptions, hash);
    for (; node; node = map_next(node)) {
        struct subscription *own = (struct subscription *)node;
        if (own->listeners == listeners && own->connection == connection) return own;
    }
    return NULL;
}

static bool has_any(const struct client *client) {
    return client->subscriptions[CHANNEL_PLAIN] || client->subscriptions[CHANNEL_PATTERN] ||
           client->subscriptions[CHANNEL_SHARD];
}

/* ---- What counts ------------------------------------------------------------------------------------ */

static void unheard_link(struct channels *channels, struct channel *channel) {
    channel->previous_unheard = NULL;
    channel->next_unheard = channels->unheard;
    if (channels->unheard) channels->unheard->previous_unheard = channel;
    channels->unheard = channel;
}

static void unheard_unlink(struct channels *channels, struct channel *channel) {
    if (channel->next_unheard) channel->next_unheard->previous_unheard = channel->previous_unheard;
    if (channel->previous_unheard) channel->previous_unheard->next_unheard = channel->next_unheard;
    else channels->unheard = channel->next_unheard;
}

/* One writer: no need for an atomic addition. */
static void count_total(struct channels *channels, uint64_t more) {
    atomic_store_relaxed(&channels->subscriptions,
                         atomic_load_relaxed(&channels->subscriptions) + more);
}

static void uncount(struct channels *channels, enum channel_kind kind, struct channel *channel) {
    count_total(channels, UINT64_MAX);
    if (--channel->count) return;
    map_remove(&channels->kinds[kind], &channel->node);
    unheard_link(channels, channel);
}

/* Behind map_reserve of the kind. */
static void count(struct channels *channels, enum channel_kind kind, struct channel *channel,
                  uint64_t hash) {
    count_total(channels, 1);
    if (channel->count++) return;
    unheard_unlink(channels, channel);
    map_insert(&channels->kinds[kind], &channel->node, hash);
}

static void free_deserted(struct channels *channels, struct channel *channel) {
    if (channel->mask || channel->hearings) return;
    KRT_ASSERT(channel->count == 0);
    unheard_unlink(channels, channel);
    mem_free(channel->account, channel);
}

/* The shard has no listeners of it any more. */
static void forsake(struct shard *shard, struct channel *channel) {
    channel->mask &= ~shard->own;
    free_deserted(channels_of(shard), channel);
}

void channels_uncount(struct channels *channels, struct client *client) {
    if (client->uncounted || !has_any(client)) return;
    client->uncounted = true;
    channels->clients--;
    for (enum channel_kind kind = 0; kind < CHANNEL_KINDS; kind++)
        for (struct subscription *at = client->subscriptions[kind]; at; at = at->next_own)
            uncount(channels, kind, at->listeners->channel);
}

/* ---- Joining --------------------------------------------------------------------------------------- */

/* What is needed and not there yet, each allocated but not entered; the rest is what is there. */
struct joining {
    struct channel *channel;
    struct listeners *listeners;
    struct subscription *subscription;
    bool new_channel, new_listeners;
};

static struct channel *channel_new(struct mem_account *account, struct bytes name) {
    struct channel *channel = mem_alloc(account, sizeof *channel + name.len);
    if (!channel) return NULL;
    *channel = (struct channel){.account = account, .len = name.len};
    memcpy(channel->name, name.at, name.len);
    return channel;
}

static void joining_undo(struct mem_account *account, struct joining *joining) {
    if (joining->new_channel) mem_free(account, joining->channel);
    if (joining->new_listeners) mem_free(account, joining->listeners);
    mem_free(account, joining->subscription);
}

static bool reserve(struct shard *shard, enum channel_kind kind, struct bytes name,
                    struct joining *joining) {
    struct mem_account *account = &shard->data.keyspace.account;
    if (!joining->channel) {
        joining->channel = channel_new(account, name);
        joining->new_channel = joining->channel != NULL;
    }
    if (!joining->listeners) {
        joining->listeners = mem_calloc(account, sizeof *joining->listeners);
        joining->new_listeners = joining->listeners != NULL;
    }
    joining->subscription = mem_calloc(account, sizeof *joining->subscription);
    bool reserved = joining->channel && joining->listeners && joining->subscription &&
                    map_reserve(&channels_of(shard)->kinds[kind]) &&
                    map_reserve(&shard->io.audience.kinds[kind]) &&
                    map_reserve(&shard->io.audience.subscriptions);
    if (!reserved) joining_undo(account, joining);
    return reserved;
}

static void link_subscription(struct subscription *subscription, enum channel_kind kind) {
    struct listeners *listeners = subscription->listeners;
    struct client *client = &subscription->connection->client;
    subscription->next = listeners->first;
    if (listeners->first) listeners->first->previous = subscription;
    listeners->first = subscription;
    subscription->next_own = client->subscriptions[kind];
    if (subscription->next_own) subscription->next_own->previous_own = subscription;
    client->subscriptions[kind] = subscription;
}

static void note_own(struct connection *connection, enum channel_kind kind, uint32_t more) {
    atomic_u32 *own = &connection->client.card->subscriptions[kind];
    atomic_store_relaxed(own, atomic_load_relaxed(own) + more);
}

/* Its first subscription, or the end of its last. */
static void mark_client(struct shard *shard, struct client *client) {
    bool listens = has_any(client);
    if (listens == ((client->listens & LISTENS_CHANNELS) != 0)) return;
    if (!client->uncounted) channels_of(shard)->clients += listens ? 1 : UINT64_MAX;
    client_listen(client, LISTENS_CHANNELS, listens);
}

static void join(struct shard *shard, struct connection *connection, enum channel_kind kind,
                 uint64_t hash, struct joining *joining) {
    struct audience *audience = &shard->io.audience;
    struct channel *before = joining->listeners->channel;
    if (joining->new_channel) unheard_link(channels_of(shard), joining->channel);
    if (joining->new_listeners) map_insert(&audience->kinds[kind], &joining->listeners->node, hash);
    joining->listeners->channel = joining->channel;
    joining->channel->mask |= shard->own;
    if (before && before != joining->channel) forsake(shard, before);
    count(channels_of(shard), kind, joining->channel, hash);
    joining->subscription->listeners = joining->listeners;
    joining->subscription->connection = connection;
    map_insert(&audience->subscriptions, &joining->subscription->node, hash_with(hash, connection));
    link_subscription(joining->subscription, kind);
    note_own(connection, kind, 1);
    mark_client(shard, &connection->client);
}

bool audience_join(struct shard *shard, struct connection *connection, enum channel_kind kind,
                   struct bytes name, bool *joined) {
    uint64_t hash = hash_of(shard, name);
    struct joining joining = {
        .channel = channels_find(channels_of(shard), kind, hash, name),
        .listeners = audience_find(&shard->io.audience, kind, hash, name),
    };
    /* Of killed clients alone: it is heard again. */
    if (!joining.channel && joining.listeners) joining.channel = joining.listeners->channel;
    *joined = false;
    if (joining.listeners && find_own(&shard->io.audience, joining.listeners, connection))
        return true;
    if (!reserve(shard, kind, name, &joining)) return false;
    join(shard, connection, kind, hash, &joining);
    return *joined = true;
}

/* ---- Leaving --------------------------------------------------------------------------------------- */

static void unlink_subscription(struct subscription *subscription, enum channel_kind kind) {
    struct client *client = &subscription->connection->client;
    if (subscription->next) subscription->next->previous = subscription->previous;
    if (subscription->previous) subscription->previous->next = subscription->next;
    else subscription->listeners->first = subscription->next;
    if (subscription->next_own) subscription->next_own->previous_own = subscription->previous_own;
    if (subscription->previous_own) subscription->previous_own->next_own = subscription->next_own;
    else client->subscriptions[kind] = subscription->next_own;
}

/* Takes it out of the shard's table alone. True: that was the last one of the channel here. */
static bool leave_here(struct shard *shard, struct subscription *subscription,
                       enum channel_kind kind) {
    struct audience *audience = &shard->io.audience;
    struct listeners *listeners = subscription->listeners;
    unlink_subscription(subscription, kind);
    map_remove(&audience->subscriptions, &subscription->node);
    mem_free(&shard->data.keyspace.account, subscription);
    if (listeners->first) return false;
    map_remove(&audience->kinds[kind], &listeners->node);
    mem_free(&shard->data.keyspace.account, listeners);
    return true;
}

static void leave(struct shard *shard, struct subscription *subscription, enum channel_kind kind) {
    struct connection *connection = subscription->connection;
    struct channel *channel = subscription->listeners->channel;
    if (!connection->client.uncounted) uncount(channels_of(shard), kind, channel);
    if (leave_here(shard, subscription, kind)) forsake(shard, channel);
    note_own(connection, kind, UINT32_MAX);
    mark_client(shard, &connection->client);
}

bool audience_leave(struct shard *shard, struct connection *connection, enum channel_kind kind,
                    struct bytes name) {
    struct audience *audience = &shard->io.audience;
    struct listeners *listeners = audience_find(audience, kind, hash_of(shard, name), name);
    struct subscription *own = listeners ? find_own(audience, listeners, connection) : NULL;
    if (own) leave(shard, own, kind);
    return own != NULL;
}

void audience_leave_newest(struct shard *shard, struct connection *connection,
                           enum channel_kind kind) {
    leave(shard, connection->client.subscriptions[kind], kind);
}

void audience_leave_all(struct shard *shard, struct connection *connection) {
    for (enum channel_kind kind = 0; kind < CHANNEL_KINDS; kind++)
        while (connection->client.subscriptions[kind])
            audience_leave_newest(shard, connection, kind);
}

/* The board's table has nobody any more who would look at it: its end frees it. */
static void forget_all(struct shard *shard, struct connection *connection) {
    for (enum channel_kind kind = 0; kind < CHANNEL_KINDS; kind++)
        while (connection->client.subscriptions[kind])
            (void)leave_here(shard, connection->client.subscriptions[kind], kind);
}

void audience_end(struct shard *shard, struct connection *connection) {
    if (KRT_LIKELY(!has_any(&connection->client))) return;
    enum board_entry entry = board_enter_from(shard);
    if (entry != BOARD_CLOSED) audience_leave_all(shard, connection);
    else forget_all(shard, connection);
    board_exit_from(shard, entry);
}

/* ---- In process ----------------------------------------------------------------------------------- */

static struct channels *channels_in(const struct subscriber *subscriber) {
    return &subscriber->fabric->board->channels;
}

static bool hears_any(const struct subscriber *subscriber) {
    return subscriber->own[CHANNEL_PLAIN] || subscriber->own[CHANNEL_PATTERN] ||
           subscriber->own[CHANNEL_SHARD];
}

static struct hearing *hearing_of(const struct subscriber *subscriber,
                                  const struct channel *channel) {
    struct hearing *at = channel ? channel->hearings : NULL;
    while (at && at->subscriber != subscriber) at = at->next;
    return at;
}

static uint64_t hash_in(const struct subscriber *subscriber, struct bytes name) {
    return hash_bytes(&subscriber->fabric->domain.hash_seed, name.at, name.len);
}

struct hearing *channels_hearing(const struct subscriber *subscriber, enum channel_kind kind,
                                 struct bytes name) {
    uint64_t hash = hash_in(subscriber, name);
    return hearing_of(subscriber, channels_find(channels_in(subscriber), kind, hash, name));
}

static void link_hearing(struct hearing *hearing, enum channel_kind kind) {
    struct channel *channel = hearing->channel;
    struct subscriber *subscriber = hearing->subscriber;
    hearing->next = channel->hearings;
    if (hearing->next) hearing->next->previous = hearing;
    channel->hearings = hearing;
    hearing->next_own = subscriber->own[kind];
    if (hearing->next_own) hearing->next_own->previous_own = hearing;
    subscriber->own[kind] = hearing;
    subscriber->counts[kind]++;
}

static void unlink_hearing(struct hearing *hearing, enum channel_kind kind) {
    struct subscriber *subscriber = hearing->subscriber;
    if (hearing->next) hearing->next->previous = hearing->previous;
    if (hearing->previous) hearing->previous->next = hearing->next;
    else hearing->channel->hearings = hearing->next;
    if (hearing->next_own) hearing->next_own->previous_own = hearing->previous_own;
    if (hearing->previous_own) hearing->previous_own->next_own = hearing->next_own;
    else subscriber->own[kind] = hearing->next_own;
    subscriber->counts[kind]--;
}

bool channels_hear(struct subscriber *subscriber, enum channel_kind kind, struct bytes name) {
    struct channels *channels = channels_in(subscriber);
    struct mem_account *account = &subscriber->fabric->shards[0]->data.keyspace.account;
    uint64_t hash = hash_in(subscriber, name);
    struct channel *channel = channels_find(channels, kind, hash, name), *fresh = NULL;
    if (hearing_of(subscriber, channel)) return true;
    struct hearing *hearing = mem_calloc(NULL, sizeof *hearing);
    if (!channel) channel = fresh = channel_new(account, name);
    if (!hearing || !channel || !map_reserve(&channels->kinds[kind])) {
        mem_free(NULL, hearing);
        mem_free(account, fresh);
        return false;
    }
    if (fresh) unheard_link(channels, fresh);
    channels->clients += !hears_any(subscriber);
    count(channels, kind, channel, hash);
    *hearing = (struct hearing){.channel = channel, .subscriber = subscriber};
    link_hearing(hearing, kind);
    return true;
}

void channels_unhear(struct subscriber *subscriber, enum channel_kind kind,
                     struct hearing *hearing) {
    struct channels *channels = channels_in(subscriber);
    struct channel *channel = hearing->channel;
    unlink_hearing(hearing, kind);
    channels->clients -= !hears_any(subscriber);
    uncount(channels, kind, channel);
    if (channel->count == 0) free_deserted(channels, channel);
    mem_free(NULL, hearing);
}

/* ---- The end --------------------------------------------------------------------------------------- */

static void free_unheard(struct channels *channels) {
    while (channels->unheard) {
        struct channel *channel = channels->unheard;
        unheard_unlink(channels, channel);
        mem_free(channel->account, channel);
    }
}

void channels_deinit(struct channels *channels) {
    free_unheard(channels);
    for (enum channel_kind kind = 0; kind < CHANNEL_KINDS; kind++) {
        struct map_walk walk;
        map_walk_init(&walk, &channels->kinds[kind]);
        for (struct map_node *node; (node = map_walk_next(&walk));)
            mem_free(((struct channel *)node)->account, node);
        map_deinit(&channels->kinds[kind]);
    }
    channels->clients = 0;
    atomic_store_relaxed(&channels->subscriptions, 0);
}

void audience_deinit(struct audience *audience) {
    KRT_ASSERT(audience->subscriptions.count == 0);
    for (enum channel_kind kind = 0; kind < CHANNEL_KINDS; kind++)
        map_deinit(&audience->kinds[kind]);
    map_deinit(&audience->subscriptions);
}
