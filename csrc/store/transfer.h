/* Entries that go from one key to another: within a database, between databases, between shards.
 *
 * Role: RENAME, MOVE and COPY, below their effects. Every database has a heap of its own, so an entry that
 * leaves its key is made anew.
 * Threads: holder of the batons of both places.
 * Ownership: a blob goes along without being copied; its charge goes with it to another shard if nobody
 * else has the blob. A copy shares the blob with its original.
 * Errors: NULL for no memory; both places are then as they were (K4 of keyspace.h).
 * Bounds: at most an inline value and a key are copied.
 */
#pragma once

#include "store/keyspace.h"

struct entry_place {
    struct keyspace *keyspace;
    uint32_t db;
    uint64_t hash;
    struct bytes key;
};

/* `found` is what lies at `to` now, which is superseded, or NULL; it is not `entry`. Both return the entry
 * at `to`, with the deadline of the original. */
struct entry *keyspace_copy_entry(const struct entry *entry, const struct entry_place *to,
                                  struct entry *found);
/* `entry` at `from` is gone afterwards. The access field goes along. */
struct entry *keyspace_move_entry(const struct entry_place *from, struct entry *entry,
                                  const struct entry_place *to, struct entry *found);
