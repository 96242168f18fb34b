#include "shard/limits.h"

#include "plat/clock.h"
#include "shard/shard.h"
#include "shard/transactions/transaction.h"

enum { RECENT_NS = 1000000000 };

/* ---- Sums -------------------------------------------------------------------------------------- */

uint64_t limits_sum(const struct fabric *fabric) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        sum += atomic_load_relaxed(&fabric->shards[i]->io.client_bytes);
    return sum;
}

void limits_count(struct shard *shard, struct connection *connection) {
    atomic_u64 *sum = &shard->io.client_bytes;
    uint64_t now = client_bytes(connection->client.card);
    atomic_store_relaxed(sum, atomic_load_relaxed(sum) + now - connection->counted_bytes);
    connection->counted_bytes = now;
}

static void raise_to(atomic_u64 *most, uint64_t bytes) {
    if (bytes > atomic_load_relaxed(most)) atomic_store_relaxed(most, bytes);
}

static void next_period(struct shard_io *io) {
    if (KRT_LIKELY(io->woke_ns - io->recent_ns < RECENT_NS)) return;
    io->recent_ns = io->woke_ns;
    atomic_store_relaxed(&io->recent_input[1], atomic_load_relaxed(&io->recent_input[0]));
    atomic_store_relaxed(&io->recent_output[1], atomic_load_relaxed(&io->recent_output[0]));
    atomic_store_relaxed(&io->recent_input[0], 0);
    atomic_store_relaxed(&io->recent_output[0], 0);
}

void limits_recent(const struct fabric *fabric, uint64_t *input, uint64_t *output) {
    *input = *output = 0;
    for (uint32_t i = 0; i < fabric->settings.shard_count * 2; i++) {
        struct shard_io *io = &fabric->shards[i / 2]->io;
        uint64_t in = atomic_load_relaxed(&io->recent_input[i % 2]);
        uint64_t out = atomic_load_relaxed(&io->recent_output[i % 2]);
        if (in > *input) *input = in;
        if (out > *output) *output = out;
    }
}

static void note(struct shard *shard, struct connection *connection, atomic_u64 *field,
                 uint64_t bytes) {
    if (KRT_LIKELY(atomic_load_relaxed(field) == bytes)) return;
    atomic_store_relaxed(field, bytes);
    limits_count(shard, connection);
}

void limits_forget(struct shard *shard, struct connection *connection) {
    atomic_u64 *sum = &shard->io.client_bytes;
    atomic_store_relaxed(sum, atomic_load_relaxed(sum) - connection->counted_bytes);
    if (connection->soft_since_ns) shard->io.soft_exceeded--;
    connection->counted_bytes = connection->soft_since_ns = 0;
}

/* ---- One connection ---------------------------------------------------------------------------- */

static void close_for(struct shard *shard, struct connection *connection, const char *what) {
    const struct card *card = connection->client.card;
    log_line(LOG_WARNING, "Closing client %llu (%s): it holds too much %s",
             (unsigned long long)card->id, card->peer.text, what);
    connection_end(shard, connection);
}

static bool exceeds_soft(struct shard *shard, struct connection *connection,
                         const struct output_limit *limit, uint64_t bytes) {
    bool exceeded = limit->soft_bytes && bytes >= limit->soft_bytes;
    if (exceeded != (connection->soft_since_ns != 0)) {
        connection->soft_since_ns = exceeded ? shard->io.woke_ns : 0;
        shard->io.soft_exceeded += exceeded ? 1 : -1u;
    }
    return exceeded && shard->io.woke_ns - connection->soft_since_ns > limit->soft_ns;
}

static const struct output_limit *limit_of(const struct shard *shard,
                                           const struct connection *connection) {
    bool subscribed = connection->client.listens & LISTENS_CHANNELS;
    return &shard->io.limits.output[subscribed ? LIMIT_PUBSUB : LIMIT_NORMAL];
}

static void check_output(struct shard *shard, struct connection *connection, uint64_t bytes) {
    const struct output_limit *limit = limit_of(shard, connection);
    bool hard = limit->hard_bytes && bytes >= limit->hard_bytes;
    if (hard || exceeds_soft(shard, connection, limit, bytes))
        close_for(shard, connection, "output (client-output-buffer-limit)");
}

bool limits_drown(struct shard *shard, struct connection *connection) {
    uint64_t hard_bytes = limit_of(shard, connection)->hard_bytes;
    if (KRT_UNLIKELY(connection->drowned)) return true;
    if (KRT_LIKELY(!hard_bytes || reply_pending_bytes(&connection->output) < hard_bytes))
        return false;
    connection_drown(shard, connection);
    return true;
}

void limits_note_output(struct shard *shard, struct connection *connection) {
    const struct output_limit *limit = limit_of(shard, connection);
    uint64_t bytes = reply_pending_bytes(&connection->output);
    if (connection->closing) return;
    note(shard, connection, &connection->client.card->output_bytes, bytes);
    raise_to(&shard->io.recent_output[0], bytes);
    if (KRT_UNLIKELY(limit->hard_bytes | limit->soft_bytes | connection->soft_since_ns))
        check_output(shard, connection, bytes);
}

void limits_note_input(struct shard *shard, struct connection *connection) {
    uint64_t bytes = parser_held_bytes(&connection->parser);
    note(shard, connection, &connection->client.card->input_bytes, bytes);
    raise_to(&shard->io.recent_input[0], bytes);
    /* What waits for EXEC has come in and was not executed either. */
    uint64_t queued = transaction_bytes(&connection->client);
    if (KRT_UNLIKELY(connection->client.transaction)) limits_count(shard, connection);
    if (KRT_UNLIKELY(bytes + queued > shard->io.limits.query_bytes) &&
        parser_kept_bytes(&connection->parser) + queued > shard->io.limits.query_bytes)
        close_for(shard, connection, "input (client-query-buffer-limit)");
}

/* ---- All of them ------------------------------------------------------------------------------- */

static struct card *largest(struct registry *registry) {
    struct card *found = NULL;
    uint64_t most = 0;
    for (struct card *card = registry->first; card; card = card->next) {
        uint64_t bytes = client_bytes(card);
        if (card->fd < 0 || bytes <= most || atomic_load_relaxed(&card->doomed)) continue;
        if (atomic_load_relaxed(&card->flags) & CARD_NO_EVICT) continue;
        found = card;
        most = bytes;
    }
    return found;
}

/* Returns what it held; 0: there is none that may be closed. */
static uint64_t evict_one_client(struct fabric *fabric) {
    struct registry *registry = &fabric->registry;
    uint64_t bytes = 0;
    pthread_mutex_lock(&registry->lock);
    struct card *card = largest(registry);
    if (card) {
        bytes = client_bytes(card);
        fabric_doom(fabric, card);
        atomic_add_relaxed(&fabric->eviction.evicted, 1);
        log_line(LOG_NOTICE, "Closing client %llu (%s) for maxmemory-clients: it holds %llu bytes",
                 (unsigned long long)card->id, card->peer.text, (unsigned long long)bytes);
    }
    pthread_mutex_unlock(&registry->lock);
    return bytes;
}

/* Of those that stay: who is closed gives back what he holds a little later. */
static uint64_t sum_of_cards(struct registry *registry) {
    uint64_t sum = 0;
    pthread_mutex_lock(&registry->lock);
    for (struct card *card = registry->first; card; card = card->next)
        if (card->fd >= 0 && !atomic_load_relaxed(&card->doomed)) sum += client_bytes(card);
    pthread_mutex_unlock(&registry->lock);
    return sum;
}

/* Runs beside the shards. */
static void evict_clients(struct garbage *job) {
    struct client_eviction *eviction = (struct client_eviction *)job;
    struct fabric *fabric = (struct fabric *)((char *)eviction - offsetof(struct fabric, eviction));
    uint64_t limit = atomic_load_relaxed(&eviction->limit);
    uint64_t sum = sum_of_cards(&fabric->registry);
    while (sum > limit) {
        uint64_t bytes = evict_one_client(fabric);
        if (bytes == 0) break;
        sum = sum > bytes ? sum - bytes : 0;
    }
    atomic_store_release(&eviction->asked, 0);
}

void limits_init(struct client_eviction *eviction) {
    *eviction = (struct client_eviction){.job.free = evict_clients};
}

static void check_all(struct shard *shard) {
    struct fabric *fabric = shard->fabric;
    struct client_eviction *eviction = &fabric->eviction;
    uint64_t limit = shard->io.limits.all_bytes;
    uint32_t idle = 0;
    if (KRT_LIKELY(!limit) || limits_sum(fabric) <= limit) return;
    if (!atomic_cas_acq_rel(&eviction->asked, &idle, 1)) return;
    atomic_store_relaxed(&eviction->limit, limit);
    garbage_give(fabric->domain.taker, &eviction->job);
}

void limits_tend(struct shard *shard) {
    next_period(&shard->io);
    check_all(shard);
    if (KRT_LIKELY(!shard->io.soft_exceeded)) return;
    for (uint32_t i = 0; i < shard->io.connection_capacity; i++) {
        struct connection *connection = shard->io.connections[i];
        if (connection && connection->soft_since_ns) limits_note_output(shard, connection);
    }
}
