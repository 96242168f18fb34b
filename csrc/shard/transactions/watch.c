/* WATCH, UNWATCH, and the records of who watches what.
 *
 *            card.watching: | epoch | changed | how many keys |
 *
 *   WATCH          adds records, each under the baton of its key's shard, then counts them in the word
 *   a change       sets `changed` in the word, if the epoch is still the record's, and takes away the watcher's records
 *                  of that shard: one change is enough
 *   EXEC, UNWATCH  begin the next epoch and take all records away. They hold the shards; the end of a connection, and
 *                  what is answered without the place, do not, and leave that to a departure.
 */
#include "shard/transactions/watch.h"

#include "plat/futex.h"
#include "shard/transactions/transaction.h"

enum { EPOCH_SHIFT = 33 };
#define CHANGED (UINT64_C(1) << 32)
#define EPOCHS_MASK ((UINT64_C(1) << 31) - 1)

/* ---- The word ----------------------------------------------------------------------------------- */

static uint64_t epoch_of(uint64_t word) {
    return word >> EPOCH_SHIFT;
}

uint32_t watch_count(const struct card *card, bool *changed) {
    uint64_t word = atomic_load_relaxed(&card->watching);
    *changed = word & CHANGED;
    return (uint32_t)word;
}

bool watch_is_broken(const struct client *client) {
    return client->watcher && (atomic_load_relaxed(&client->card->watching) & CHANGED);
}

static void mark(struct fabric *fabric, struct watcher *watcher) {
    atomic_u64 *watching = &watcher->card->watching;
    uint64_t word = atomic_load_relaxed(watching);
    while (epoch_of(word) == watcher->epoch && !(word & CHANGED)) {
        uint64_t marked = ((uint64_t)watcher->epoch << EPOCH_SHIFT) | CHANGED;
        if (!atomic_cas_acq_rel(watching, &word, marked)) continue;
        atomic_sub_relaxed(&fabric->watching_clients, 1);
        return;
    }
}

/* Counts more keys, unless one has changed meanwhile. */
static void count_keys(struct card *card, uint32_t more) {
    uint64_t word = atomic_load_relaxed(&card->watching);
    while (!(word & CHANGED) && !atomic_cas_acq_rel(&card->watching, &word, word + more)) continue;
}

static void begin_epoch(struct client *client) {
    uint64_t next = (client->watcher->epoch + UINT64_C(1)) & EPOCHS_MASK;
    uint64_t old = atomic_swap_acq_rel(&client->card->watching, next << EPOCH_SHIFT);
    if (!(old & CHANGED)) atomic_sub_relaxed(&client->fabric->watching_clients, 1);
}

/* ---- Records ------------------------------------------------------------------------------------ */

static uint64_t hash_of(uint32_t db, uint64_t hash) {
    return hash + db * UINT64_C(0x9e3779b97f4a7c15);
}

static struct watched_key *find_key(const struct shard *shard, const struct key_place *place) {
    struct map_node *node = map_first(&shard->data.watched, hash_of(place->db, place->hash));
    for (; node; node = map_next(node)) {
        struct watched_key *key = (struct watched_key *)node;
        if (key->db == place->db && bytes_equal(bytes_of(key->name, key->len), place->key))
            return key;
    }
    return NULL;
}

static struct watched_key *add_key(struct shard *shard, const struct key_place *place) {
    struct watched_key *key = mem_alloc(NULL, sizeof *key + place->key.len);
    if (!key) return NULL;
    if (!map_reserve(&shard->data.watched)) {
        mem_free(NULL, key);
        return NULL;
    }
    key->first = NULL;
    key->db = place->db;
    key->len = place->key.len;
    bytes_copy(key->name, place->key.at, place->key.len);
    map_insert(&shard->data.watched, &key->node, hash_of(place->db, place->hash));
    return key;
}

static void drop_key_if_unwatched(struct shard *shard, struct watched_key *key) {
    if (key->first) return;
    map_remove(&shard->data.watched, &key->node);
    mem_free(NULL, key);
}

static void watcher_put(struct watcher *watcher) {
    if (atomic_sub_acq_rel(&watcher->references, 1) != 1) return;
    card_put(watcher->card);
    mem_free(NULL, watcher);
}

static void link_watch(struct watch *watch, struct watched_key *key, struct watch **first) {
    watch->key = key;
    watch->next_of_key = key->first;
    watch->link_of_key = &key->first;
    if (key->first) key->first->link_of_key = &watch->next_of_key;
    key->first = watch;
    watch->next_of_watcher = *first;
    watch->link_of_watcher = first;
    if (*first) (*first)->link_of_watcher = &watch->next_of_watcher;
    *first = watch;
}

static void unlink_watch(struct shard *shard, struct watch *watch) {
    *watch->link_of_key = watch->next_of_key;
    if (watch->next_of_key) watch->next_of_key->link_of_key = watch->link_of_key;
    *watch->link_of_watcher = watch->next_of_watcher;
    if (watch->next_of_watcher) watch->next_of_watcher->link_of_watcher = watch->link_of_watcher;
    drop_key_if_unwatched(shard, watch->key);
    watcher_put(watch->watcher);
    mem_free(NULL, watch);
}

/* Takes away what the watcher has in the shard. */
static void unlink_all(struct shard *shard, struct watcher *watcher) {
    while (watcher->first[shard->index]) unlink_watch(shard, watcher->first[shard->index]);
    outcomes_update_wanted(shard);
}

static void unlink_everywhere(struct fabric *fabric, struct watcher *watcher) {
    for (uint64_t left = watcher->mask; left; left &= left - 1)
        unlink_all(fabric->shards[__builtin_ctzll(left)], watcher);
}

/* ---- The end of watching ------------------------------------------------------------------------ */

static void depart(struct fabric *fabric, struct departure *departure) {
    struct watcher *watcher = (struct watcher *)departure;
    unlink_everywhere(fabric, watcher);
    watcher_put(watcher);
}

/* A session's call takes what it needs; its thread is no shard's. */
static bool holds_all(const struct client *client, struct shard *own) {
    return client->session || (client->watcher->mask & ~own->held) == 0;
}

void watch_end(struct client *client) {
    struct watcher *watcher = client->watcher;
    if (KRT_LIKELY(!watcher)) return;
    struct shard *own = client->session ? NULL : client_shard(client);
    bool held = holds_all(client, own);
    begin_epoch(client);
    client->watcher = NULL;
    if (held) depart(client->fabric, &watcher->departure);
    else departures_add(own, &watcher->departure, watcher->mask, depart);
}

void watch_end_session(struct client *client) {
    struct baton_set *set = &client->fabric->set;
    if (!client->watcher) return;
    uint64_t mask = client->watcher->mask;
    if (baton_set_take(set, mask, FUTEX_NO_DEADLINE) != BATON_TAKEN) return;
    watch_end(client);
    baton_set_drop(set, mask);
}

/* A server that stops takes the records away itself. */
void watch_abandon(struct client *client) {
    struct watcher *watcher = client->watcher;
    if (!watcher) return;
    begin_epoch(client);
    client->watcher = NULL;
    watcher_put(watcher);
}

static void clear_key(struct shard *shard, struct watched_key *key) {
    for (struct watch *watch = key->first, *next; watch; watch = next) {
        next = watch->next_of_key;
        mark(shard->fabric, watch->watcher);
        unlink_watch(shard, watch);
    }
}

void watch_clear(struct shard *shard) {
    struct map_walk walk;
    map_walk_init(&walk, &shard->data.watched);
    for (struct map_node *node; (node = map_walk_next(&walk));)
        clear_key(shard, (struct watched_key *)node);
    map_deinit(&shard->data.watched);
}

/* ---- Changes ------------------------------------------------------------------------------------ */

static struct entry *entry_of(const struct key_place *place) {
    return keyspace_find(place->keyspace, place->db, place->hash, place->key);
}

/* Was it gone for its watcher already, and only now it is deleted? */
static bool is_no_change(struct watch *watch, const struct key_place *place) {
    if (KRT_LIKELY(!watch->expired) || entry_of(place)) return false;
    watch->expired = false;
    return true;
}

void watch_touch(struct call *call, const struct key_place *place) {
    struct shard *shard = place_shard(call, place);
    struct watched_key *key = find_key(shard, place);
    if (KRT_LIKELY(!key)) return;
    for (struct watch *watch = key->first, *next; watch; watch = next) {
        next = watch->next_of_key;
        if (is_no_change(watch, place)) continue;
        mark(shard->fabric, watch->watcher);
        unlink_all(shard, watch->watcher);
    }
}

struct replacement {
    struct call *call;
    struct shard *shard;
    uint32_t replaced_by; /* UINT32_MAX: the database is emptied */
};

/* What the key of a database will be: nothing, or what the other database holds. */
static struct entry *replacement_of(const struct replacement *with, struct key_place place) {
    if (with->replaced_by == UINT32_MAX) return NULL;
    place.db = with->replaced_by;
    return entry_of(&place);
}

/* A key that is missing before and behind is no change, and one whose time is over is missing. */
static void replace_watch(const struct replacement *with, struct watch *watch,
                          const struct entry *now, const struct entry *then) {
    bool then_expired = then && entry_is_expired(then, call_now(with->call));
    if (watch->expired && (!then || then_expired)) watch->expired = then;
    else if (!watch->expired && !now && then_expired) watch->expired = true;
    else mark(with->shard->fabric, watch->watcher);
}

static void replace_key(const struct replacement *with, struct watched_key *key) {
    struct key_place place = keyspace_for_bytes(with->call, bytes_of(key->name, key->len), key->db);
    const struct entry *now = entry_of(&place), *then = replacement_of(with, place);
    if (!now && !then) return;
    for (struct watch *watch = key->first; watch; watch = watch->next_of_key)
        replace_watch(with, watch, now, then);
}

/* Before it happens. The records stay until their clients end to watch. */
void watch_touch_all(struct call *call, uint32_t db, uint32_t replaced_by) {
    struct fabric *fabric = fabric_of(call);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct replacement with = {call, fabric->shards[i], replaced_by};
        struct map_walk walk;
        map_walk_init(&walk, &with.shard->data.watched);
        for (struct map_node *node; (node = map_walk_next(&walk));) {
            struct watched_key *key = (struct watched_key *)node;
            if (db == UINT32_MAX || key->db == db) replace_key(&with, key);
        }
    }
}

static bool has_expired(struct call *call, const struct watch *watch) {
    if (watch->expired) return false;
    struct watched_key *key = watch->key;
    struct key_place place = keyspace_for_bytes(call, bytes_of(key->name, key->len), key->db);
    const struct entry *entry = entry_of(&place);
    return entry && entry_is_expired(entry, call_now(call));
}

bool watch_has_changed(struct call *call, const struct client *client) {
    const struct watcher *watcher = client->watcher;
    if (watch_is_broken(client)) return true;
    for (uint64_t left = watcher->mask; left; left &= left - 1)
        for (struct watch *watch = watcher->first[__builtin_ctzll(left)]; watch;
             watch = watch->next_of_watcher)
            if (has_expired(call, watch)) return true;
    return false;
}

/* ---- WATCH, UNWATCH ----------------------------------------------------------------------------- */

static bool begin_watching(struct client *client) {
    struct fabric *fabric = client->fabric;
    size_t lists = fabric->settings.shard_count * sizeof(struct watch *);
    struct watcher *watcher = mem_calloc(NULL, sizeof *watcher + lists);
    if (!watcher) return false;
    atomic_store_relaxed(&watcher->references, 1);
    watcher->card = card_get(client->card);
    watcher->epoch = (uint32_t)epoch_of(atomic_load_relaxed(&client->card->watching));
    client->watcher = watcher;
    atomic_add_relaxed(&fabric->watching_clients, 1);
    return true;
}

static bool is_watched(const struct watcher *watcher, uint32_t shard,
                       const struct watched_key *key) {
    for (struct watch *watch = watcher->first[shard]; watch; watch = watch->next_of_watcher)
        if (watch->key == key) return true;
    return false;
}

/* False: no memory. What is new goes to the head of *added. */
static bool watch_key(struct call *call, struct watcher *watcher, const struct key_place *place,
                      struct watch **added) {
    struct shard *shard = place_shard(call, place);
    struct watched_key *key = find_key(shard, place);
    if (key && is_watched(watcher, shard->index, key)) return true;
    struct watch *watch = mem_alloc(NULL, sizeof *watch);
    if (watch && !key) key = add_key(shard, place);
    if (!watch || !key) {
        mem_free(NULL, watch);
        return false;
    }
    const struct entry *entry = entry_of(place);
    watch->expired = entry && entry_is_expired(entry, call_now(call));
    watch->watcher = watcher;
    atomic_add_relaxed(&watcher->references, 1);
    link_watch(watch, key, &watcher->first[shard->index]);
    watcher->mask |= shard->own;
    outcomes_update_wanted(shard);
    watch->next_added = *added;
    *added = watch;
    return true;
}

static uint32_t count_added(const struct watch *added) {
    uint32_t count = 0;
    for (; added; added = added->next_added) count++;
    return count;
}

static void forget_added(struct call *call, struct watch *added) {
    for (struct watch *next; added; added = next) {
        const struct watched_key *key = added->key;
        struct key_place place = keyspace_for_bytes(call, bytes_of(key->name, key->len), key->db);
        struct shard *shard = place_shard(call, &place);
        next = added->next_added;
        unlink_watch(shard, added);
        outcomes_update_wanted(shard);
    }
}

static bool watches_nothing(const struct client *client) {
    return atomic_load_relaxed(&client->card->watching) == (uint64_t)client->watcher->epoch
                                                               << EPOCH_SHIFT;
}

static void watch_keys(struct call *call, struct client *client) {
    struct watch *added = NULL;
    uint32_t i = 1;
    for (; i < call->argc; i++) {
        struct key_place place = keyspace_for(call, i);
        if (!watch_key(call, client->watcher, &place, &added)) break;
    }
    if (i == call->argc) {
        count_keys(client->card, count_added(added));
        reply_ok(call->reply);
        return;
    }
    forget_added(call, added);
    if (watches_nothing(client)) watch_end(client);
    call_error_memory(call);
}

static void watch_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    if (client_queues(client)) {
        call_error(call, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    if (watch_is_broken(client)) reply_ok(call->reply); /* it is too late already */
    else if (client->watcher || begin_watching(client)) watch_keys(call, client);
    else call_error_memory(call);
}

/* Inside a transaction nothing is watched any more. */
void unwatch_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    watch_end(client);
    reply_ok(call->reply);
}

void watch_bind(void) {
    command_bind_local("watch", watch_command);
    command_bind("unwatch", unwatch_command);
}
