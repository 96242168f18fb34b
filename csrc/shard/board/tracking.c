/* Tables of what clients cache.
 *
 *             read by a client that tracks
 *   absent ──────────tracking_remember─────────▶ in the table: keys, items, the key's list
 *      ▲                                            │ changed (tracking_touch), or too much (evict)
 *      │                                            ▼
 *   delivered ◀──letterbox──── a post ◀──tracking_finish──── in the outcome of the call
 *
 * An item is what a key and a client need to be known by, and what tells of the change: it is allocated when the key is
 * read, and from then on nothing can fail. It names a tracker, not a client: whoever has ended, or has ended tracking, is
 * found out when the item is posted. So what such clients have read stays until it changes or is taken out for
 * room, as in Redis, and costs nothing at their end.
 */
#include "shard/board/tracking.h"

#include "shard/board/tracking_internal.h"

static const uint64_t ITEM_HASH = UINT64_C(0x9e3779b97f4a7c15);

static struct bytes key_bytes(const struct tracked_key *key) {
    return bytes_of(key->bytes, key->len);
}

static uint64_t item_hash(const struct tracked_key *key, const struct tracker *tracker) {
    return key->node.hash + tracker->id * ITEM_HASH;
}

static struct tracked_key *find_key(const struct tracking_table *table, uint64_t hash,
                                    struct bytes name) {
    for (struct map_node *node = map_first(&table->keys, hash); node; node = map_next(node)) {
        struct tracked_key *key = (struct tracked_key *)node;
        if (bytes_equal(key_bytes(key), name)) return key;
    }
    return NULL;
}

static bool has_item(const struct tracking_table *table, const struct tracked_key *key,
                     const struct tracker *tracker) {
    struct map_node *node = map_first(&table->items, item_hash(key, tracker));
    for (; node; node = map_next(node)) {
        const struct item *item = (const struct item *)node;
        if (item->key == key && item->tracker == tracker) return true;
    }
    return false;
}

void item_free(struct item *item) {
    struct tracked_key *key = item->key;
    struct mem_account *account = key ? key->account : NULL;
    if (item->tracker) tracker_put(item->tracker);
    mem_free(account, item);
    if (key && atomic_sub_acq_rel(&key->references, 1) == 1) mem_free(account, key);
}

/* ---- Out of the table ---------------------------------------------------------------------------- */

static void add_to_outcome(struct shard *home, struct item *item) {
    struct tracking_outcome *outcome = &home->data.outcomes.tracking;
    item->next = NULL;
    if (outcome->last) outcome->last->next = item;
    else outcome->first = item;
    outcome->last = item;
    home->data.outcomes.pending = true;
}

/* NOLOOP: it knows what it has done itself. */
static bool is_told(const struct item *item, const struct tracker *by) {
    return item->tracker != by || !(by->flags & TRACKER_NOLOOP);
}

/* The key is not cached by anybody once its items have arrived. `by` is who changed it, or NULL. */
static void take_out(struct shard *home, struct shard *shard, struct tracked_key *key,
                     const struct tracker *by) {
    struct tracking_table *table = &shard->data.tracked;
    struct tracking *tracking = &home->fabric->tracking;
    map_remove(&table->keys, &key->node);
    atomic_sub_relaxed(&tracking->keys, 1);
    for (struct item *item = key->first, *next; item; item = next) {
        next = item->next;
        map_remove(&table->items, &item->node);
        atomic_sub_relaxed(&tracking->items, 1);
        if (is_told(item, by)) add_to_outcome(home, item);
        else item_free(item);
    }
    if (table->keys.count == 0) outcomes_update_wanted(shard);
}

static const struct tracker *tracker_of(const struct call *call) {
    return call->client ? call->client->tracker : NULL;
}

void tracking_touch(struct call *call, const struct key_place *place) {
    struct shard *home = call_home(call);
    struct shard *shard = place_shard(call, place);
    struct tracked_key *key = find_key(&shard->data.tracked, place->hash, place->key);
    if (key) take_out(home, shard, key, tracker_of(call));
    if (home->fabric->tracking.prefixes) broadcast_touch(call, place);
}

/* ---- Flushes ----------------------------------------------------------------------------------------- */

static void table_free(struct tracking_table *table) {
    struct map_walk walk;
    map_walk_init(&walk, &table->items);
    for (struct map_node *node; (node = map_walk_next(&walk));) {
        map_remove(&table->items, node);
        item_free((struct item *)node);
    }
    map_deinit(&table->items);
    map_deinit(&table->keys); /* its nodes went with the last item of each */
}

/* A table that is freed beside the shards, as long as it takes. */
struct old_table {
    struct garbage garbage;
    struct tracking_table table;
};

static void old_table_free(struct garbage *garbage) {
    struct old_table *old = (struct old_table *)garbage;
    table_free(&old->table);
    mem_free(NULL, old);
}

static void table_clear(struct shard *shard) {
    struct tracking_table *table = &shard->data.tracked;
    struct tracking *tracking = &shard->fabric->tracking;
    if (table->keys.count == 0) return;
    atomic_sub_relaxed(&tracking->keys, table->keys.count);
    atomic_sub_relaxed(&tracking->items, table->items.count);
    struct old_table *old = mem_alloc(NULL, sizeof *old);
    if (old) {
        *old = (struct old_table){{.free = old_table_free}, *table};
        garbage_give(shard->fabric->domain.taker, &old->garbage);
    } else {
        table_free(table);
    }
    *table = (struct tracking_table){0};
    outcomes_update_wanted(shard);
}

/* In its place among the changes of the call; without memory for that, behind them. */
void tracking_flush(struct call *call) {
    struct shard *home = call_home(call);
    struct fabric *fabric = home->fabric;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) table_clear(fabric->shards[i]);
    if (atomic_load_relaxed(&fabric->tracking.clients) == 0) return;
    struct item *mark = mem_calloc(NULL, sizeof *mark);
    home->data.outcomes.pending = true;
    if (mark) add_to_outcome(home, mark);
    else home->data.outcomes.tracking.flushed = true;
}

/* ---- Into the table ---------------------------------------------------------------------------------- */

static struct tracked_key *key_new(struct shard *shard, struct bytes name) {
    struct mem_account *account = &shard->data.keyspace.account;
    struct tracked_key *key = mem_alloc(account, sizeof *key + name.len);
    if (!key) return NULL;
    *key = (struct tracked_key){.account = account, .len = name.len};
    bytes_copy(key->bytes, name.at, name.len);
    return key;
}

static void enter_item(struct shard *shard, struct tracked_key *key, struct item *item,
                       struct tracker *tracker) {
    atomic_add_relaxed(&key->references, 1);
    *item = (struct item){.tracker = tracker_get(tracker), .key = key, .next = key->first};
    key->first = item;
    map_insert(&shard->data.tracked.items, &item->node, item_hash(key, tracker));
    atomic_add_relaxed(&shard->fabric->tracking.items, 1);
}

static void enter_key(struct shard *shard, struct tracked_key *key, uint64_t hash) {
    map_insert(&shard->data.tracked.keys, &key->node, hash);
    atomic_add_relaxed(&shard->fabric->tracking.keys, 1);
    if (shard->data.tracked.keys.count == 1) outcomes_update_wanted(shard);
}

/* False: no memory, and nothing has changed. */
static bool remember(struct shard *shard, struct tracker *tracker, struct bytes name,
                     uint64_t hash) {
    struct tracking_table *table = &shard->data.tracked;
    struct mem_account *account = &shard->data.keyspace.account;
    struct tracked_key *key = find_key(table, hash, name), *fresh = NULL;
    if (key && has_item(table, key, tracker)) return true;
    struct item *item = mem_alloc(account, sizeof *item);
    if (!key) key = fresh = key_new(shard, name);
    if (!item || !key || !map_reserve(&table->keys) || !map_reserve(&table->items)) {
        mem_free(account, item);
        mem_free(account, fresh);
        return false;
    }
    if (fresh) enter_key(shard, fresh, hash);
    enter_item(shard, key, item, tracker);
    return true;
}

/* Those who have cached one of the keys beyond the limit are told that it has changed. */
static void make_room(struct shard *home, struct shard *shard) {
    uint64_t most = home->fabric->settings.tracking_keys;
    struct tracking_table *table = &shard->data.tracked;
    if (most == 0) return;
    for (int i = 0; i < TRACKING_EVICTIONS; i++) {
        if (atomic_load_relaxed(&home->fabric->tracking.keys) <= most || !table->keys.count) return;
        struct map_node *node = map_random(&table->keys, &shard->data.keyspace.random);
        take_out(home, shard, (struct tracked_key *)node, NULL);
    }
}

static void remember_key(struct call *call, struct tracker *tracker, uint32_t index) {
    struct shard *home = call_home(call);
    uint64_t hash = call_hash(call, index);
    struct shard *shard = home->fabric->shards[hash_shard(hash, call->domain->shard_count)];
    if (remember(shard, tracker, call->argv[index], hash)) make_room(home, shard);
    else call->reply->failed = true;
}

/* Without memory for it the answer must not be cached, so there is none. */
void tracking_remember(struct call *call, struct tracker *tracker) {
    const struct command *command = call->command;
    struct key_refs keys;
    if (!(command->flags & CMD_READONLY) || command->group == GROUP_SCRIPTING) return;
    if (!key_refs_init(&keys, command, call->argv, call->argc)) {
        call->reply->failed = true;
        return;
    }
    for (int i = 0; i < keys.count; i++) remember_key(call, tracker, keys.at[i].index);
    key_refs_deinit(&keys);
}

/* ---- The end of a call ------------------------------------------------------------------------------- */

static void post_flush(struct shard *home) {
    struct tracker *tracker = home->fabric->tracking.first;
    for (; tracker; tracker = tracker->next) invalidations_post(home, tracker, NULL);
}

void tracking_tell(struct shard *home) {
    struct tracking_outcome *outcome = &home->data.outcomes.tracking;
    struct item *item = outcome->first;
    if (!item && !outcome->flushed) return;
    board_take(home);
    outcome->first = outcome->last = NULL;
    for (struct item *next; item; item = next) {
        next = item->next;
        if (item->key) {
            invalidations_post_item(home, item);
        } else {
            post_flush(home);
            item_free(item);
        }
    }
    if (outcome->flushed) post_flush(home);
    outcome->flushed = false;
}

void tracking_finish(struct shard *home) {
    struct tracking_outcome *outcome = &home->data.outcomes.tracking;
    tracking_tell(home);
    if (!outcome->keys && !outcome->keys_lost) return;
    board_take(home);
    broadcast_finish(home);
    outcome->keys_lost = false;
}

bool tracking_wants(const struct shard *shard) {
    return shard->data.tracked.keys.count || shard->fabric->tracking.prefixes;
}

static void outcome_free(struct tracking_outcome *outcome) {
    for (struct item *item = outcome->first, *next; item; item = next) {
        next = item->next;
        item_free(item);
    }
    broadcast_forget(outcome);
    *outcome = (struct tracking_outcome){0};
}

void tracking_deinit(struct fabric *fabric) {
    struct tracking *tracking = &fabric->tracking;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct shard *shard = fabric->shards[i];
        outcome_free(&shard->data.outcomes.tracking);
        table_free(&shard->data.tracked);
    }
    for (struct prefix *prefix = tracking->prefixes, *next; prefix; prefix = next) {
        next = prefix->next;
        mem_free(NULL, prefix);
    }
    *tracking = (struct tracking){0};
}
