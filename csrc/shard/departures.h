/* Departures: what a client leaves behind in the data rooms of shards and must be taken away there.
 *
 * Role: a client that ends, or a waiter whose time is over, has entries in tables that only the holders of batons may
 * change, while its end comes at a moment when none is held. It puts a departure on the list of its shard, and
 * the shard thread takes the batons in its next turn. Until then who finds such an entry sees by its own mark that
 * nobody is behind it.
 * Threads: the list is the shard thread's. `depart` runs with the batons of `mask` held, or when the threads have ended.
 * Ownership: a departure is embedded in what is taken away; `depart` frees it or puts its reference.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fabric;
struct shard;

struct departure {
    struct departure *next;
    uint64_t mask; /* shards that it is about */
    void (*depart)(struct fabric *fabric, struct departure *departure);
};

/* How soon it is tried again where somebody else has a place. */
enum { DEPARTURES_AGAIN_NS = 1000000 };

void departures_add(struct shard *shard, struct departure *departure, uint64_t mask,
                    void (*depart)(struct fabric *, struct departure *));
/* In a turn with the own baton; does not wait long for others. False: the place is lost. */
bool departures_tend(struct shard *shard);
/* After the threads have ended. */
void departures_end(struct shard *shard);
