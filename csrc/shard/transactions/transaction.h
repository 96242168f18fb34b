/* Transactions: MULTI, EXEC, DISCARD.
 *
 * Role: between MULTI and EXEC a client's commands are queued, with what is known of each (struct plan), and nothing of
 * them touches data: queueing needs no baton. EXEC is one call that needs what all of them need together. It runs each
 * through execute_command as a nested call: one clock reading, and no eviction, expiry cycle or other client between
 * two of them.
 * Threads: a client's owner.
 * Ownership: what is queued is copied into the transaction's arena; arguments that are blobs are counted instead, and those of a
 * pipeline in process are borrowed.
 * Invariants
 *   X1  CALL_QUEUES is set in client.call_flags exactly between MULTI and the end of its transaction.
 *   X2  What a request of a client needs is asked when its turn has come (transaction_needs): the plan was made when
 *       the request was parsed, before the MULTI or EXEC in front of it had run.
 *   X3  A queue that cannot be executed any more (spoiled, or a watched key changed) does not grow.
 * Errors: replies, in Redis's words. Refused memory while queueing spoils the transaction, and EXEC says so.
 * Bounds: client-query-buffer-limit counts the arguments (limits.c).
 */
#pragma once

#include "shard/shard.h"

struct queued {
    struct queued *next;
    struct plan plan;
    uint32_t argc;
    const struct bytes *argv; /* `words`, or what was lent */
    struct bytes words[];
};

struct transaction {
    struct arena arena;
    struct queued *first, *last;
    uint32_t count;
    bool spoiled;   /* a command could not be queued: EXEC will not run */
    bool has_blobs; /* among the arguments */
    bool open;      /* a command's set is */
    bool
        lent; /* arguments stay where they are until the end: nothing is copied (caller_pipeline.c) */
    uint64_t mask;    /* shards of all keys */
    uint64_t flags;   /* enum command_flags, of all commands */
    uint64_t lacking; /* those that some command lacks */
    uint64_t argument_bytes;
};

static inline bool client_queues(const struct client *client) {
    return client->call_flags & CALL_QUEUES;
}

/* The shards that must be held for the client's next request. */
uint64_t transaction_needs(const struct client *client, const struct plan *plan);
/* The shards that a request and those whom it may serve need, with `held` held (blocking/reach.c). */
uint64_t transaction_reach(struct fabric *fabric, const struct client *client,
                           const struct request *request, const struct plan *plan, uint64_t held);
/* Is what it needs perhaps not all? Then the ticket comes first. */
bool transaction_is_open(const struct fabric *fabric, const struct client *client,
                         const struct plan *plan);
/* The flags that count for gates: of EXEC, those of what is queued as well. */
uint64_t transaction_flags(const struct client *client, const struct command *command);
/* Does it lack a flag that allows what others may not do just now; of EXEC, does something that is queued? */
bool transaction_lacks(const struct client *client, const struct command *command, uint64_t flag);
bool transaction_is_exec(const struct command *command);
/* Is it about transactions, or open, so that it stands alone and waits for replies that are outstanding? */
static inline bool transaction_concerns(const struct client *client,
                                        const struct command *command) {
    return client_queues(client) ||
           (command && (command->open || command->group == GROUP_TRANSACTIONS));
}

/* Queues the request and says so. */
void transaction_queue(struct client *client, struct reply *reply, const struct request *request,
                       const struct plan *plan);
/* A request of the client was refused: what it has queued will not run. */
void transaction_spoil(struct client *client);
/* The client is as before MULTI; it watches what it watched. */
void transaction_forget(struct client *client);
/* The same, and it watches nothing. */
void transaction_discard(struct client *client);
/* With the client's end. */
void transaction_free(struct client *client);
/* Bytes that are queued, as Redis counts them in the query buffer. */
static inline uint64_t transaction_bytes(const struct client *client) {
    return client->transaction ? client->transaction->argument_bytes : 0;
}

/* Registers MULTI, EXEC and DISCARD; behind QUIT and RESET, which are never queued. */
void transaction_bind(void);
