/* Publishing: a message's way from its publisher to all who are subscribed.
 *
 * Role: with the board held the publisher looks up who is subscribed, on which shards, and posts one letter to each of
 * them. The letter has the message as it goes over the wire, once for each way in which somebody is subscribed (the
 * channel, and each pattern that matches). The shard thread copies it into the output of its connections.
 * Threads: publish_* as effects, by the holder of the batons of the call; delivery by shard threads.
 * Ownership: the letters of a message are one allocation, which the last delivery frees.
 * Errors: PUBLISH_NO_MEMORY, and nothing was sent.
 * Bounds: a letterbox with BOARD_POSTS_MAX posts takes no message; its shard ends those who listen there (board.h).
 */
#pragma once

#include "shard/board/channels.h"

struct fabric;
struct shard;

#define PUBLISH_NO_MEMORY UINT64_MAX

/* Is anybody subscribed to anything? */
bool publish_is_heard(const struct fabric *fabric);
/* Returns how many are subscribed, a client once for each of its subscriptions. `kind` is CHANNEL_PLAIN or
 * CHANNEL_SHARD. Takes the board of the call if anybody listens at all. */
uint64_t publish_message(struct shard *home, enum channel_kind kind, struct bytes channel,
                         struct bytes body);
