/* Invalidations: posts that tell of changed keys.
 *
 * Where one goes is decided under the board: a client that redirects has another one told on its own shard, so that
 * there, too, it is in the letterbox before whoever changed the key is answered. If that client has gone, the one that caches
 * is told so. Whether it may be told at all (its protocol, whether it is subscribed) is seen where it arrives, by
 * the thread that runs its commands.
 */
#include "shard/board/tracking_internal.h"

/* A list of keys in RESP, or everything. */
struct bulletin {
    struct invalidation out;
    struct blob *keys; /* counted; NULL: everything */
};

/* ---- Arriving -------------------------------------------------------------------------------------- */

static void push_head(struct reply *reply) {
    reply_push(reply, 2);
    reply_bulk_text(reply, "invalidate");
}

/* As a message of a channel, for a protocol without pushes. */
static void message_head(struct reply *reply) {
    reply_array(reply, 3);
    reply_bulk_text(reply, "message");
    reply_bulk_text(reply, "__redis__:invalidate");
}

static bool write_head(struct reply *reply, const struct client *client, enum route route) {
    if (client->proto > 2) push_head(reply);
    else if (route == ROUTE_REDIRECTED && client->listens & LISTENS_CHANNELS) message_head(reply);
    else return false;
    return true;
}

/* What was posted before it ended tracking, or began to track otherwise. */
static bool is_outdated(const struct client *client, const struct invalidation *out) {
    if (out->route == ROUTE_REDIRECTED) return false;
    uint32_t flags = client->tracker->flags;
    return !(flags & TRACKER_ON) || !(flags & TRACKER_BROADCAST) != !out->broadcast;
}

static void tell_broken(struct shard *shard, struct connection *connection) {
    const struct card *card = connection->client.card;
    struct reply reply;
    if (connection->client.proto < 3) return;
    reply_init(&reply, &shard->io.pool, connection->client.proto);
    reply_push(&reply, 2);
    reply_bulk_text(&reply, "tracking-redir-broken");
    reply_integer(&reply, (int64_t)atomic_load_relaxed(&card->redirect));
    connection_push(shard, connection, &reply);
}

/* False: there is nobody to whom `write` would write. */
static void deliver_to(struct shard *shard, const struct invalidation *out,
                       void (*write)(struct reply *, const void *), const void *what) {
    struct connection *connection = connection_find(shard, out->connection, out->generation);
    struct reply reply;
    if (!connection || is_outdated(&connection->client, out)) return;
    if (out->route == ROUTE_BROKEN) {
        tell_broken(shard, connection);
        return;
    }
    reply_init(&reply, &shard->io.pool, connection->client.proto);
    if (!write_head(&reply, &connection->client, out->route)) return;
    write(&reply, what);
    connection_push(shard, connection, &reply);
}

static void write_item(struct reply *reply, const void *what) {
    const struct item *item = what;
    reply_array(reply, 1);
    reply_bulk(reply, bytes_of(item->key->bytes, item->key->len));
}

static void deliver_item(struct shard *shard, struct post *post) {
    struct item *item = (struct item *)post;
    deliver_to(shard, &item->out, write_item, item);
    item_free(item);
}

static void discard_item(struct post *post) {
    item_free((struct item *)post);
}

static void write_bulletin(struct reply *reply, const void *what) {
    const struct bulletin *bulletin = what;
    if (bulletin->keys) reply_raw(reply, bulletin->keys->data, bulletin->keys->len);
    else if (bulletin->out.proto > 2) reply_raw(reply, "_\r\n", 3);
    else reply_raw(reply, "$-1\r\n", 5);
}

static void discard_bulletin(struct post *post) {
    struct bulletin *bulletin = (struct bulletin *)post;
    if (bulletin->keys) blob_put(bulletin->keys);
    mem_free(NULL, bulletin);
}

static void deliver_bulletin(struct shard *shard, struct post *post) {
    deliver_to(shard, &((struct bulletin *)post)->out, write_bulletin, post);
    discard_bulletin(post);
}

/* ---- Leaving ----------------------------------------------------------------------------------------- */

static bool is_gone(const struct card *card) {
    return atomic_load_relaxed(&card->doomed) || atomic_load_relaxed(&card->flags) & CARD_GONE;
}

/* Fills in where it goes, and posts it. The head of `out` is all that changes. */
static void post_on(struct shard *home, const struct tracker *tracker, struct invalidation *out) {
    const struct card *redirect = tracker->redirect;
    uint32_t target = tracker->shard;
    out->connection = tracker->connection;
    out->generation = tracker->generation;
    out->route = ROUTE_OWN;
    out->proto = (uint8_t)atomic_load_relaxed(&tracker->card->proto);
    out->broadcast = tracker->flags & TRACKER_BROADCAST;
    if (redirect && is_gone(redirect)) {
        out->route = ROUTE_BROKEN;
        atomic_store_relaxed(&tracker->card->redirect_broken, 1);
    } else if (redirect) {
        out->route = ROUTE_REDIRECTED;
        target = redirect->shard;
        out->connection = redirect->connection;
        out->generation = redirect->generation;
    }
    board_post(home, target, &out->post);
}

void invalidations_post_item(struct shard *home, struct item *item) {
    const struct tracker *tracker = item->tracker;
    if (!(tracker->flags & TRACKER_ON) || tracker->flags & TRACKER_BROADCAST) {
        item_free(item);
        return;
    }
    item->out = (struct invalidation){.post = {.deliver = deliver_item, .discard = discard_item}};
    post_on(home, tracker, &item->out);
}

void invalidations_post(struct shard *home, struct tracker *tracker, struct blob *keys) {
    struct bulletin *bulletin = mem_calloc(NULL, sizeof *bulletin);
    if (!bulletin) {
        invalidations_close(home, tracker);
        return;
    }
    bulletin->out.post.deliver = deliver_bulletin;
    bulletin->out.post.discard = discard_bulletin;
    bulletin->keys = keys ? blob_get(keys) : NULL;
    post_on(home, tracker, &bulletin->out);
}

void invalidations_close(struct shard *home, struct tracker *tracker) {
    struct fabric *fabric = home->fabric;
    pthread_mutex_lock(&fabric->registry.lock);
    fabric_doom(fabric, tracker->card);
    pthread_mutex_unlock(&fabric->registry.lock);
}

/* ---- Listening ---------------------------------------------------------------------------------------- */

static void discard_listen(struct post *post) {
    mem_free(NULL, post);
}

static void deliver_listen(struct shard *shard, struct post *post) {
    const struct invalidation *out = (const struct invalidation *)post;
    struct connection *connection = connection_find(shard, out->connection, out->generation);
    if (connection) client_listen(&connection->client, LISTENS_REDIRECTED, true);
    discard_listen(post);
}

struct post *invalidations_listen_new(const struct card *card) {
    struct invalidation *out = mem_calloc(NULL, sizeof *out);
    if (!out) return NULL;
    out->post.deliver = deliver_listen;
    out->post.discard = discard_listen;
    out->connection = card->connection;
    out->generation = card->generation;
    return &out->post;
}
