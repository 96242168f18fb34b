/* Chunks: what calls leave for the append-only log, as it goes into the file.
 *
 * Role: every shard has a tail (struct aof_tail) in its data room. The effects of the calls that the shard is the home of are
 * encoded into the tail's chunk, as Redis's commands. When the call is complete, aof_tail_end_call puts EXEC behind
 * what was more than one effect, as MULTI is in front of it. A chunk is queued (aof.h) before any baton of its calls drops, so that
 * the order of the queue is an order in which the calls may have happened, and what the log keeps after a crash is a beginning of it.
 * Form in the file: a header line (header.h), which Redis skips as an annotation, then the commands.
 * Threads: the tail, holder of the shard's baton. A chunk is its queue's once it is pushed; what is over of it comes home to the
 * tail's pool, so that as a rule no turn allocates.
 * Ownership: a tail that is all zeroes is empty; aof_tail_deinit frees what it has. The log must be closed before.
 * Errors: without memory for an effect the tail is `broken`: the log has a gap, which aof.h deals with.
 * Bounds: a pool of AOF_TAIL_POOL chunks.
 */
#pragma once

#include "base/atomic.h"
#include "base/bytes.h"

enum { AOF_CHUNK_BYTES = 64 << 10 }; /* a tail that has so much is queued at the end of the call */
enum {
    AOF_CHUNK_ROOM = 192, /* in front of the commands, for what the log's thread puts there */
    AOF_TAIL_POOL = 8,
};

enum { AOF_DB_NONE = UINT32_MAX };

struct aof_mark;
struct aof_tail;

struct aof_chunk {
    struct aof_chunk *next;
    struct aof_mark *
        mark; /* not NULL: no chunk but something for the log's thread to do in its place (aof.h) */
    struct aof_tail *home;      /* whose pool it comes from */
    uint32_t first_db, last_db; /* the database at its entry and exit */
    size_t start, len;          /* the commands begin at `start` and end at `len` */
    size_t capacity;
    char *at; /* behind the struct */
};

struct aof_tail {
    struct aof_chunk *chunk; /* NULL: nothing */
    size_t call_start;       /* where the effects of the call begin in it */
    uint32_t call_effects;
    bool broken;            /* some effect is missing */
    uint64_t ticket;        /* of the last chunk queued whose calls had the shard (aof.h) */
    struct aof_chunk *free; /* to be used again */
    atomic_ptr
        returned; /* struct aof_chunk: the log's thread pushes, the holder takes all; acq_rel */
    atomic_u32 pooled; /* how many are in `free` and `returned`; both of them, relaxed: a bound */
};

void aof_tail_append(struct aof_tail *tail, uint32_t db, const struct bytes *argv, uint32_t argc);
void aof_tail_end_call(struct aof_tail *tail);
void aof_tail_deinit(struct aof_tail *tail);
/* Nothing to be queued. */
static inline bool aof_tail_is_empty(const struct aof_tail *tail) {
    return tail->chunk == NULL && !tail->broken;
}
/* It is long enough to be queued before the turn is over. */
static inline bool aof_tail_is_long(const struct aof_tail *tail) {
    return tail->chunk && tail->chunk->len - tail->chunk->start >= AOF_CHUNK_BYTES;
}

/* ---- For the log's thread ---------------------------------------------------------------------- */

/* NULL: no memory. */
struct aof_chunk *aof_chunk_new(size_t capacity);
/* Home, or freed. */
void aof_chunk_put(struct aof_chunk *chunk);
/* `*2 $6 SELECT`; returns the length, at most AOF_SELECT_MAX. */
enum { AOF_SELECT_MAX = 40 };
size_t aof_select_encode(char *out, uint32_t db);
