/* What the files of tracking share: items, prefixes, and how either becomes posts. */
#pragma once

#include "shard/shard.h"

/* ---- Posts (invalidations.c) --------------------------------------------------------------------------- */

/* What a connection is to be told: that it is itself that caches, that another client has asked it to listen, or that the
 * one it has asked is gone. */
enum route { ROUTE_OWN, ROUTE_REDIRECTED, ROUTE_BROKEN };

struct invalidation {
    struct post post;
    uint32_t connection, generation; /* of the post's target */
    uint8_t route;                   /* enum route */
    uint8_t proto;                   /* of the client that caches: in what null is written */
    bool broadcast;                  /* told for a prefix */
};

/* A client and a key that it may have cached. */
struct item {
    union {
        struct map_node node;    /* in the table; its hash is of both */
        struct invalidation out; /* out of it */
    };
    struct tracker *tracker; /* counted */
    struct tracked_key *key; /* counted */
    struct item *next;       /* of the same key; then of the same call */
};

struct tracked_key {
    struct map_node node;
    atomic_u32 references; /* its items; any thread, get relaxed, put acquire-release */
    uint32_t len;
    struct mem_account *account; /* of itself and its items */
    struct item *first;
    char bytes[];
};

/* Frees an item that is out of the table, on any thread. */
void item_free(struct item *item);

/* With the board: the tracker's item leaves, or is dropped if there is nobody to tell. */
void invalidations_post_item(struct shard *home, struct item *item);
/* The same for a list of keys in RESP, or for null if there is none: everything. */
void invalidations_post(struct shard *home, struct tracker *tracker, struct blob *keys);
/* The client cannot be told what it must know. */
void invalidations_close(struct shard *home, struct tracker *tracker);
/* A post that makes the client of the card listen, to be posted with the board; NULL: no memory. */
struct post *invalidations_listen_new(const struct card *card);

/* ---- Prefixes (broadcast.c) ------------------------------------------------------------------------------ */

/* A client's interest in a prefix. */
struct interest {
    struct prefix *prefix;
    struct tracker *tracker;
    struct interest *next; /* of the tracker, in the order of prefixes; its owner */
    struct interest *next_of, *previous_of; /* of the prefix; the board */
    bool is_new;                            /* of the call that has not succeeded yet */
};

struct prefix {
    struct prefix *next;    /* in their order; changes under all batons */
    struct interest *first; /* the board */
    uint32_t len;
    char bytes[];
};

struct touched_key {
    struct touched_key *next;
    const struct tracker *by; /* the client that changed it; NULL: none that tracks */
    uint32_t len;
    char bytes[];
};

static inline struct bytes prefix_bytes(const struct prefix *prefix) {
    return bytes_of(prefix->bytes, prefix->len);
}

/* With all batons, the board and a tracker that is on. False: no memory, and nothing has changed. */
bool broadcast_subscribe(struct fabric *fabric, struct tracker *tracker,
                         const struct bytes *prefixes, uint32_t count);
/* With the board. NULL: the server has stopped, nothing but the memory is there. */
void broadcast_unsubscribe(struct tracking *tracking, struct tracker *tracker);
/* With all batons and the board: prefixes that nobody is interested in go. */
void broadcast_prune(struct fabric *fabric);
void broadcast_touch(struct call *call, const struct key_place *place);
/* With the board: tells those that are interested. */
void broadcast_finish(struct shard *home);
/* The keys are not needed. */
void broadcast_forget(struct tracking_outcome *outcome);
