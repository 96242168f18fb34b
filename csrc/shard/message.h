/* Messages: what travels on the streams between shards.
 *
 * Role: a message is one heap object behind a common head. Its ownership passes at the push.
 * A batch of forwarded requests travels to the target, is executed there, and the same object travels
 * home with the replies; its buffers are then kept for the next batch.
 * Bounds: BATCH_REQUESTS per batch; a shard keeps at most BATCH_SPARES of its own.
 */
#pragma once

#include "base/arena.h"
#include "cmd/table.h"
#include "resp/parser.h"
#include "resp/reply.h"

enum message_kind {
    MESSAGE_ADOPT,   /* a connected fd for this shard */
    MESSAGE_LISTEN,  /* to shard 0: other listeners */
    MESSAGE_BATCH,   /* requests to execute here */
    MESSAGE_REPLIES, /* a batch that comes home */
};

struct message {
    enum message_kind kind;
};

struct adopt_message {
    struct message head;
    int fd;
};

enum { LISTENERS_MAX = 32 };

struct listen_message {
    struct message head;
    uint32_t count;
    int listeners[LISTENERS_MAX]; /* all of them; those that are new are the message's */
};

enum { BATCH_REQUESTS = 64, BATCH_SPARES = 16 };

struct forwarded {
    const struct command *command;
    const struct bytes *argv; /* in the batch's arena; blobs are counted */
    uint32_t argc;
    uint32_t db;
    uint64_t hash; /* of the first key */
    uint32_t hash_index;
    uint32_t connection, generation, slot; /* of the source shard */
    struct card *card;                     /* of the connection's client; counted */
    uint64_t reply_bytes;                  /* set by the target */
    uint8_t proto;
    uint8_t call_flags; /* enum call_flags */
};

struct batch {
    struct message head;
    uint32_t source; /* shard index */
    uint32_t kills;  /* fabric.kills when it was begun */
    uint64_t ticket; /* position in the log of what its sender has seen */
    uint32_t count;
    struct arena arena;
    struct reply reply; /* all replies, one behind the other */
    struct batch *next_spare;
    struct forwarded requests[BATCH_REQUESTS];
};
