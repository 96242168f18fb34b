/* Chunks: what calls leave for the append-only log, as it goes into the file.
 *
 * Role: every shard has a tail (struct aof_tail) in its data room. The effects of the calls that the shard is the home of are
 * encoded into the tail's chunk, as Redis's commands. When the call is complete, aof_tail_end_call puts MULTI and EXEC around
 * what was more than one effect. A chunk is queued (aof.h) before any baton of its calls drops, so that the order
 * of the queue is an order in which the calls may have happened, and what the log keeps after a crash is a beginning of it.
 * Form in the file: a header line, which Redis skips as an annotation, then the commands. The header has the length of the
 * commands, their CRC32C, and how far the file was synced when it was written (docs/PERSISTENCE.md), so a reader knows before it
 * runs anything whether the chunk is whole, and whether one that is not was ever promised to anybody.
 * Threads: the tail, holder of the shard's baton. A chunk is its queue's once it is pushed.
 * Errors: without memory for an effect the tail is `broken`: the log has a gap, which aof.h deals with.
 */
#pragma once

#include "base/bytes.h"

enum { AOF_CHUNK_BYTES = 64 << 10 }; /* a tail that has so much is queued at the end of the call */

enum { AOF_DB_NONE = UINT32_MAX };

struct aof_chunk {
    struct aof_chunk *next;
    struct aof_mark *
        mark; /* not NULL: no chunk but something for the log's thread to do in its place (aof.h) */
    uint32_t first_db, last_db; /* the database at its entry and exit; AOF_DB_NONE: it is empty */
    bool broken;                /* some effect is missing */
    size_t len, capacity;
    char *at; /* commands; the writer adds SELECT and the header */
};

struct aof_tail {
    struct aof_chunk *chunk; /* NULL: nothing */
    size_t call_start;       /* where the effects of the call begin in it */
    uint32_t call_effects;
    uint64_t ticket; /* of the last chunk queued whose calls had the shard (aof.h) */
    bool broken;
};

void aof_tail_append(struct aof_tail *tail, uint32_t db, const struct bytes *argv, uint32_t argc);
void aof_tail_end_call(struct aof_tail *tail);
static inline bool aof_tail_is_empty(const struct aof_tail *tail) {
    return tail->chunk == NULL;
}
