/* The commands of channels: SUBSCRIBE and its kin, PUBLISH, PUBSUB.
 *
 * Threads: those that subscribe run on the shard thread of their connection.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct call;
struct client;
struct command;
struct plan;
struct reply;

/* A subscriber in RESP2 may not run most commands: replies the error and returns true. */
bool pubsub_refuses(struct client *client, struct reply *reply, const struct plan *plan);
/* RESET: the call's client is subscribed to nothing any more. */
void pubsub_end(struct call *call);

struct pubsub_counts {
    uint64_t channels, patterns, shard_channels, clients;
};
/* Takes the board of the call. */
struct pubsub_counts pubsub_count(struct call *call);

void pubsub_bind(void);
