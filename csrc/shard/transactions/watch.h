/* WATCH: has a key changed since?
 *
 * Role: a client that watches has a *watcher*; in the shard of each watched key is a record of it. A change of the
 * key (the effect `touch`) marks the client's card, from whatever thread, and EXEC looks at the card alone.
 * Threads: tables, records and the watcher's lists are per shard, under the shard's baton. The mark is a word of the card
 * (struct card, `watching`) that any holder may change.
 * Ownership: a watcher is counted: by its client, and by each record.
 * Invariants
 *   W1  The word of the card has an epoch. Ending to watch begins the next one, so a record that is left somewhere
 *       cannot mark what its client watches later.
 *   W2  Records of shard s are linked in `watchers[s]`'s list and in the key's list, under the baton of s.
 *   W3  EFFECT_TOUCH is wanted in a shard while it has records (outcomes_update_wanted).
 * Errors: refused memory is the reply to WATCH, which then has added nothing.
 * Bounds: as many records as keys are named.
 */
#pragma once

#include "base/map.h"
#include "shard/departures.h"
#include "shard/shard.h"

struct watched_key {
    struct map_node node;
    struct watch *first;
    uint32_t db;
    uint32_t len;
    char name[];
};

/* A client watches a key. */
struct watch {
    struct watch *next_of_key, **link_of_key;
    struct watch *next_of_watcher, **link_of_watcher;
    struct watched_key *key;
    struct watcher *watcher;
    struct watch *next_added; /* of one WATCH, until it is through */
    bool expired;             /* its time was over when it was watched: that it goes is no change */
};

struct watcher {
    struct departure departure; /* first */
    struct card *card;          /* counted */
    atomic_u32 references;      /* acquire-release */
    uint32_t epoch;             /* constant */
    uint64_t mask;              /* shards of its keys; the client's owner */
    struct watch *first[];      /* by shard; under the baton of each */
};

/* Does something that it watches show a change already? */
bool watch_is_broken(const struct client *client);
/* The same for EXEC, with the shards of all watched keys held: a key whose time is over has changed as well. */
bool watch_has_changed(struct call *call, const struct client *client);
/* The client watches nothing any more. What lies in shards that its thread does not hold is taken away later. */
void watch_end(struct client *client);
/* The same for a session, whose thread holds nothing; waits for the batons of what it watches. */
void watch_end_session(struct client *client);
/* The same for one whose server has stopped, or stops. */
void watch_abandon(struct client *client);
/* How many keys the client watches, and has one changed? Any thread. */
uint32_t watch_count(const struct card *card, bool *changed);

static inline uint64_t watch_bytes(const struct card *card) {
    return (uint32_t)atomic_load_relaxed(&card->watching) * sizeof(struct watch);
}

/* Of effects. */
void watch_touch(struct call *call, const struct key_place *place);
void watch_touch_all(struct call *call, uint32_t db, uint32_t replaced_by);
/* With the shard's end: records that sessions have left. */
void watch_clear(struct shard *shard);

void unwatch_command(struct call *call);
void watch_bind(void);
