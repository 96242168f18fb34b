/* Tracking: which clients cache what, and how they are told that it has changed (CLIENT TRACKING).
 *
 * Role: each shard has a table of the keys of its own that clients have read and may have cached, without their database,
 * as Redis's. Who changes such a key takes it out of the table, and what was in it leaves as posts at the
 * end of the call. Clients of the other mode name prefixes and are told of every change of a key that
 * begins with one.
 * Threads: a shard's table is under its baton. Prefixes come and go under all batons; who is interested in one, the
 * list of those that track, and where their invalidations go are under the board's. What is said to be the
 * owner's is the shard thread's of the client.
 * Ownership: a tracker is counted: its client has one reference, and so has each item. Items are their shard's
 * table's until they are taken out; then they are posts.
 * Invariants
 *   K1  An item is in its shard's maps and in the list of its key, or it is on its way to its client.
 *   K2  A key in a table has an item at least; there are as many items of one key and one tracker as one.
 *   K3  `keyspace.wanted` has TOUCH while the shard's table has a key or there is a prefix.
 *   K4  A client that tracks listens: its commands run on its own thread, with its letterbox emptied around each.
 * Errors: an invalidation needs no memory, since what remembers a key is what tells of it. Where memory is refused for
 * anything else that a client must be told, the client is closed, and with its connection its cache is gone. A read that
 * cannot be remembered is not answered either.
 * Bounds: `fabric_settings.tracking_keys` keys in all tables together; who goes beyond takes out others of the same shard
 * by chance, TRACKING_EVICTIONS at a time.
 */
#pragma once

#include "base/map.h"
#include "shard/board/board.h"
#include "shard/departures.h"

struct call;
struct card;
struct client;
struct item;
struct key_place;
struct plan;
struct prefix;
struct interest;
struct touched_key;

enum { TRACKING_EVICTIONS = 100 };

enum tracker_flag {
    TRACKER_ON = 1,
    TRACKER_BROADCAST = 2,
    TRACKER_OPTIN = 4,
    TRACKER_OPTOUT = 8,
    TRACKER_NOLOOP = 16,
};

/* A client that tracks or has tracked. */
struct tracker {
    atomic_u32 references;                  /* any thread; get relaxed, put acquire-release */
    uint32_t shard, connection, generation; /* of its client; constant */
    uint64_t id;                            /* the client's; constant */
    struct card *card;                      /* while it is on; the board */
    /* The owner writes with the board; so the owner reads, and the board's holder. */
    uint32_t flags;                  /* enum tracker_flag */
    struct card *redirect;           /* counted: who is told instead; NULL: itself */
    struct interest *first;          /* its prefixes, in their order */
    struct tracker *next, *previous; /* of those that are on, by age; the board */
    struct departure departure;      /* takes away prefixes that nobody is interested in */
    bool departs;                    /* it is on its way; the owner */
    bool caching;                    /* CLIENT CACHING was said of the next command; the owner */
};

/* The keys of one shard. All zero is empty. */
struct tracking_table {
    struct map keys, items;
};

/* What all shards share. */
struct tracking {
    atomic_u64 keys,
        items;          /* in all tables; holders of batons, each for its shard, relaxed: counts */
    atomic_u32 clients; /* those that are on; writer the board's holder, relaxed: a count */
    atomic_u32 interests;         /* prefixes that somebody is interested in; the same */
    struct tracker *first, *last; /* those that are on; the board */
    struct prefix *prefixes;      /* in their order; changes under all batons */
};

/* What a call has to tell when it is complete. All zero: nothing. */
struct tracking_outcome {
    struct item *first, *last; /* taken out of tables, in the order of their changes */
    struct touched_key *keys;  /* that begin with a prefix, newest first */
    bool keys_lost;            /* some more, for which there was no memory */
    bool flushed;              /* everything, behind what is in the list */
};

/* ---- Effects, in a call ----------------------------------------------------------------------------- */
/* The key may be cached by somebody. */
void tracking_touch(struct call *call, const struct key_place *place);
/* Whole databases have been emptied, with all batons. */
void tracking_flush(struct call *call);
/* The call has read its keys, which the client of the tracker caches. */
void tracking_remember(struct call *call, struct tracker *tracker);
/* At the end of an outermost call: what is to be told goes to the board. Those who have read the keys are told before
 * anybody who waited is served, those who are interested in prefixes once, behind. */
void tracking_tell(struct shard *home);
void tracking_finish(struct shard *home);
/* Does the shard want to be told of touches? */
bool tracking_wants(const struct shard *shard);

/* ---- Clients ---------------------------------------------------------------------------------------- */
struct tracking_options {
    uint32_t flags;               /* enum tracker_flag */
    struct card *redirect;        /* counted; it passes if it succeeds */
    const struct bytes *prefixes; /* of TRACKER_BROADCAST; none: every key */
    uint32_t prefix_count;
};
/* In the call of the client itself, with the batons of all shards for TRACKER_BROADCAST. False: no memory, and nothing has
 * changed. */
bool tracking_on(struct call *call, const struct tracking_options *options);
/* In a call of the client, or when its connection ends (NULL). */
void tracking_off(struct client *client, struct call *call);
/* CLIENT CACHING, of the next command. */
void tracking_cache(struct client *client);
/* A command of a client that listens has run, or was refused: what CLIENT CACHING said is over,
 * unless it was said of a transaction that goes on. */
void tracking_end_command(struct client *client, const struct plan *plan);
static inline struct tracker *tracker_get(struct tracker *tracker) {
    atomic_add_relaxed(&tracker->references, 1);
    return tracker;
}
/* NULL is none. */
void tracker_put(struct tracker *tracker);

/* ---- The server --------------------------------------------------------------------------------------- */
/* After the threads have ended. */
void tracking_deinit(struct fabric *fabric);
