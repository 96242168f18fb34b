/* A snapshot of a world: what is kept must be what was there at the cut, each key once.
 *
 * Whoever changes a value and forgets keyspace_preserve (store/keyspace.h) is found here: what is kept then, or later by the walk, is
 * another value than it was.
 */
#pragma once

#include "cmd/cmd_world.h"
#include "store/snapshot.h"

struct world_cut {
    struct kept_taker taker; /* first */
    struct world *world;
    struct snapshot_part parts[WORLD_SHARDS_MAX];
    struct kept_buffer *taken;
    uint64_t keys, digest; /* at the cut */
};

void world_cut_begin(struct world_cut *cut, struct world *world);
/* Each shard goes over so many entries more. */
void world_cut_walk(struct world_cut *cut, uint32_t entries);
/* Through with the walk; everything is as it was, or the test fails. */
void world_cut_end(struct world_cut *cut);
/* The same for one that nobody needs any more. */
void world_cut_give_up(struct world_cut *cut);
