/* Snapshots that are kept in memory: kevyrt_snapshot.
 *
 * Role: pieces of one size, all full but the last; it grows while a snapshot is made, and is constant from then on.
 * Threads: the thread that makes it, until it is complete; then any.
 * Ownership: counted. Not charged to the data: it is the host's, and outlives the server.
 */
#pragma once

#include "base/atomic.h"
#include "server/kevyrt.h"

enum { SNAPSHOT_PIECE_BYTES = 1 << 20 };

struct kevyrt_snapshot {
    atomic_u32 references; /* any thread; put acq_rel */
    char **pieces;
    size_t count, room; /* of `pieces` */
    uint64_t len;
};

struct kevyrt_snapshot *memory_snapshot_new(void);
/* False: no memory. */
bool memory_snapshot_add(struct kevyrt_snapshot *snapshot, const void *at, size_t len);
/* It is complete: gives back what the last piece has too much. */
void memory_snapshot_end(struct kevyrt_snapshot *snapshot);
/* As many of the bytes from `offset` on as there are in one piece, at most `len`; 0 at the end. */
size_t memory_snapshot_read(const struct kevyrt_snapshot *snapshot, uint64_t offset,
                            const char **at, size_t len);
