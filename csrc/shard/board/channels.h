/* Channels: who is subscribed to what.
 *
 * Role: two tables. The board's (`struct channels`) knows for each channel and pattern of the server how many
 * subscribers there are and on which shards; a shard's (`struct audience`) knows its own subscribers one by one. A
 * publisher reads the first, the shard thread that delivers reads the second.
 * Threads: the board's table and each `struct channel` belong to the holder of the board's baton; a name is constant. An
 * audience belongs to its shard thread. Who subscribes is that thread, with the board; so who has the board may read what a
 * client is subscribed to.
 * Ownership: a channel lives as long as somebody listens to it, a subscription until its client leaves.
 * Invariants
 *   C1  A channel is in the board's table while it counts a subscriber. Its mask has the bits of the shards whose
 *       audiences have `struct listeners` of it; it lives while it has one, or a subscriber in process.
 *   C2  Between two subscriptions nothing of one client is counted twice: a client is subscribed once to a name.
 *   C3  Who is killed counts no more from then on (channels_uncount), before its shard thread ends its subscriptions.
 *   C4  Whoever subscribes has been told before of everything that was posted earlier, so that a message is for those
 *       who are subscribed when it is delivered.
 * Errors: false for refused memory; then nothing has changed.
 */
#pragma once

#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"

struct client;
struct connection;
struct fabric;
struct hearing;
struct shard;
struct subscriber;

enum channel_kind { CHANNEL_PLAIN, CHANNEL_PATTERN, CHANNEL_SHARD, CHANNEL_KINDS };

struct channel {
    struct map_node node; /* of channels.kinds */
    struct mem_account *account;
    uint64_t mask;            /* shards where it has listeners */
    struct hearing *hearings; /* subscribers in process (subscriber.h); each is counted */
    uint64_t count;           /* subscribers; without any it is on the list of the unheard */
    struct channel *next_unheard, *previous_unheard;
    uint32_t len;
    char name[]; /* constant */
};

struct channels {
    struct map kinds[CHANNEL_KINDS];
    struct channel *unheard; /* counted by nobody, with listeners that are about to end */
    uint64_t clients;        /* that have any subscription */
    /* Subscriptions of all kinds. Writer the board's holder, read by who holds a shard: 0 means that nobody listens. The
     * batons through which a reader learns of a subscription order it; relaxed. */
    atomic_u64 subscriptions;
};

/* The subscribers of a channel on one shard. */
struct listeners {
    struct map_node node; /* of audience.kinds */
    struct channel *channel;
    struct subscription *first;
};

struct subscription {
    struct map_node node; /* of audience.subscriptions */
    struct listeners *listeners;
    struct connection *connection;
    struct subscription *next, *previous; /* of the channel, on this shard */
    struct subscription *next_own,
        *previous_own; /* of the client, of the same kind, newest first */
};

struct audience {
    struct map kinds[CHANNEL_KINDS]; /* listeners, by name */
    struct map subscriptions;        /* by name and client */
};

static inline struct bytes channel_name(const struct channel *channel) {
    return bytes_of(channel->name, channel->len);
}

/* ---- The board's table, with the board ---------------------------------------------------------- */
/* NULL: nobody is subscribed to it. */
struct channel *channels_find(const struct channels *channels, enum channel_kind kind,
                              uint64_t hash, struct bytes name);
/* What the client is subscribed to counts no more; it will be ended. */
void channels_uncount(struct channels *channels, struct client *client);
/* A subscriber in process. False: no memory, and nothing has changed. One that it has already stays as it is. */
bool channels_hear(struct subscriber *subscriber, enum channel_kind kind, struct bytes name);
void channels_unhear(struct subscriber *subscriber, enum channel_kind kind,
                     struct hearing *hearing);
/* NULL: it is not subscribed to it. */
struct hearing *channels_hearing(const struct subscriber *subscriber, enum channel_kind kind,
                                 struct bytes name);
/* After the threads have ended: what connections left behind that found the board closed. */
void channels_deinit(struct channels *channels);

/* ---- The audience of a shard: its thread ---------------------------------------------------------- */
/* NULL: there is none here. */
struct listeners *audience_find(const struct audience *audience, enum channel_kind kind,
                                uint64_t hash, struct bytes name);
/* With the board as well. `joined` tells whether it was not subscribed before. */
bool audience_join(struct shard *shard, struct connection *connection, enum channel_kind kind,
                   struct bytes name, bool *joined);
/* With the board as well. False: it was not subscribed. */
bool audience_leave(struct shard *shard, struct connection *connection, enum channel_kind kind,
                    struct bytes name);
/* With the board as well. The client's newest subscription of the kind, which there is. */
void audience_leave_newest(struct shard *shard, struct connection *connection,
                           enum channel_kind kind);
/* Everything that the client is subscribed to; takes the board for itself, or finds it closed. */
void audience_end(struct shard *shard, struct connection *connection);
/* The same with the board. */
void audience_leave_all(struct shard *shard, struct connection *connection);
void audience_deinit(struct audience *audience);
