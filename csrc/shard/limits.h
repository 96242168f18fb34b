/* Limits of what clients may hold: client-output-buffer-limit, client-query-buffer-limit, maxmemory-clients.
 *
 * Role: a connection that holds too much is closed; what all of them hold together is summed, and while it is
 * too much the largest are closed, those that hold least last.
 * Threads: the shard thread.
 * Errors: a connection that is closed for a limit gets no reply; the log says why.
 * Bounds: a soft limit is looked at when output moves, and every tenth of a second.
 */
#pragma once

#include "base/garbage.h"
#include "shard/clients/client.h"

struct connection;
struct fabric;
struct shard;

enum { LIMIT_NORMAL, LIMIT_REPLICA, LIMIT_PUBSUB, LIMIT_CLASSES };

struct output_limit {
    uint64_t hard_bytes, soft_bytes; /* 0: none */
    uint64_t soft_ns;                /* how long the soft one may be exceeded */
};

struct client_limits {
    struct output_limit output[LIMIT_CLASSES];
    uint64_t query_bytes;
    uint64_t all_bytes; /* of all clients of the server together; 0: none */
};

/* The closing of clients for maxmemory-clients goes on beside the shards (base/garbage.h). */
struct client_eviction {
    struct garbage job; /* first: the job is its eviction */
    atomic_u32
        asked; /* it is on its way; any shard thread, the one that does it; acquire-release */
    atomic_u64 limit;   /* who asks, relaxed */
    atomic_u64 evicted; /* so far; relaxed, a statistic */
};

void limits_init(struct client_eviction *eviction);
/* A new connection counts from now on. */
void limits_count(struct shard *shard, struct connection *connection);
/* What the connection holds has changed: tells its card, and closes it if it is too much. */
void limits_note_input(struct shard *shard, struct connection *connection);
void limits_note_output(struct shard *shard, struct connection *connection);
/* Is it lost already, or has it got too much to be told more? Then it is ended in this loop. */
bool limits_drown(struct shard *shard, struct connection *connection);
/* Its share of the sum is gone. */
void limits_forget(struct shard *shard, struct connection *connection);
/* Soft limits that were exceeded for too long; and those of all clients together. */
void limits_tend(struct shard *shard);
/* The most that one connection held lately, of input and of output. */
void limits_recent(const struct fabric *fabric, uint64_t *input, uint64_t *output);
/* What all clients hold. */
uint64_t limits_sum(const struct fabric *fabric);
