/* The queue, its tickets, and who sleeps for them. tests/models/log_queue.py walks through all interleavings.
 *
 * A push is one compare-and-swap of the stack's head; the thread takes the whole stack and turns it round, so nobody could see a chunk
 * come back (ABA).
 *
 * Tickets. A push counts itself in `started` before it is in the queue, and reads `started` when it is there. Whoever is ahead
 * of it in the queue had counted itself before. So the ticket is at least the place of the chunk in the order of the queue, and all that was
 * counted comes: a ticket is never too small, and becomes safe.
 *
 * Sleeping. The thread announces that it parks, and looks at the queue again; a push looks at the announcement when its chunk is
 * there. Who waits for a ticket counts itself, and looks at `safe` again; the thread looks at the count when `safe` has grown. All four
 * are sequentially consistent, so one of each pair sees the other.
 *
 * Gaps. Where memory was refused there is no chunk. The push counts a gap before it counts itself and passes on; the thread, when it
 * takes the queue, takes the gaps behind it, so it knows of each gap no later than of the first chunk behind it.
 */
#include "aof/internal.h"
#include "base/assert.h"
#include "plat/futex.h"

/* ---- Pushing ------------------------------------------------------------------------------------ */

void aof_queue_ring(struct aof *aof) {
    if (atomic_load_seq_cst(&aof->parked) && atomic_swap_seq_cst(&aof->parked, 0))
        futex_wake(&aof->parked, 1);
}

static void push(struct aof *aof, struct aof_chunk *chunk) {
    atomic_add_seq_cst(&aof->started, 1);
    void *head = atomic_load_relaxed(&aof->head);
    do chunk->next = head;
    while (!atomic_cas_seq_cst(&aof->head, &head, chunk));
}

static void push_gap(struct aof *aof, struct aof_tail *tail) {
    if (tail->chunk) aof_chunk_put(tail->chunk);
    tail->broken = false;
    atomic_add_seq_cst(&aof->gaps, 1);
    atomic_add_seq_cst(&aof->started, 1);
}

uint64_t aof_push(struct aof *aof, struct aof_tail *tail) {
    struct aof_chunk *chunk = tail->chunk;
    if (tail->broken) {
        push_gap(aof, tail);
    } else if (chunk) {
        atomic_add_relaxed(&aof->backlog, chunk->len - chunk->start);
        push(aof, chunk);
    } else {
        return tail->ticket;
    }
    tail->chunk = NULL;
    tail->ticket = atomic_load_seq_cst(&aof->started);
    aof_queue_ring(aof);
    return tail->ticket;
}

void aof_push_mark(struct aof *aof, struct aof_mark *mark) {
    mark->chunk = (struct aof_chunk){.mark = mark};
    push(aof, &mark->chunk);
    aof_queue_ring(aof);
}

uint64_t aof_ticket(const struct aof *aof) {
    return atomic_load_seq_cst(&aof->started);
}

uint64_t aof_safe(const struct aof *aof) {
    return atomic_load_acquire(&aof->safe);
}

uint64_t aof_synced(const struct aof *aof) {
    return atomic_load_acquire(&aof->synced);
}

bool aof_is_full(const struct aof *aof) {
    return atomic_load_relaxed(&aof->backlog) > AOF_BACKLOG_MAX;
}

/* ---- Taking ------------------------------------------------------------------------------------- */

struct aof_chunk *aof_queue_take(struct aof *aof, uint64_t *gaps) {
    struct aof_chunk *chunk = NULL, *in_order = NULL;
    *gaps = 0;
    if (atomic_load_relaxed(&aof->head)) chunk = atomic_swap_seq_cst(&aof->head, NULL);
    if (KRT_UNLIKELY(atomic_load_seq_cst(&aof->gaps))) *gaps = atomic_swap_seq_cst(&aof->gaps, 0);
    while (chunk) {
        struct aof_chunk *next = chunk->next;
        chunk->next = in_order;
        in_order = chunk;
        chunk = next;
    }
    return in_order;
}

static bool is_called(const struct aof *aof) {
    return atomic_load_seq_cst(&aof->head) || atomic_load_seq_cst(&aof->gaps) ||
           atomic_load_seq_cst(&aof->closing) || atomic_load_seq_cst(&aof->changed) ||
           atomic_load_seq_cst(&aof->syncer.state) == SYNCER_DONE;
}

void aof_queue_park(struct aof *aof, uint64_t deadline_ns) {
    atomic_store_seq_cst(&aof->parked, 1);
    if (!is_called(aof)) (void)futex_wait(&aof->parked, 1, deadline_ns);
    atomic_store_seq_cst(&aof->parked, 0);
}

/* ---- Waiting ------------------------------------------------------------------------------------ */

static void tell(struct aof *aof) {
    atomic_add_seq_cst(&aof->told, 1);
    futex_wake(&aof->told, INT32_MAX);
}

void aof_wake(struct aof *aof) {
    atomic_add_seq_cst(&aof->called, 1);
    tell(aof);
}

void aof_tell(struct aof *aof, uint64_t safe, uint64_t synced) {
    atomic_store_seq_cst(&aof->safe, safe);
    atomic_store_seq_cst(&aof->synced, synced);
    if (atomic_load_seq_cst(&aof->sleepers)) tell(aof);
}

bool aof_wait(struct aof *aof, uint64_t ticket, bool synced, uint64_t deadline_ns) {
    atomic_u64 *reached = synced ? &aof->synced : &aof->safe;
    if (atomic_load_seq_cst(reached) >= ticket) return true;
    uint32_t called = atomic_load_seq_cst(&aof->called);
    bool in_time = true, is_safe = false;
    atomic_add_seq_cst(&aof->sleepers, 1);
    while (in_time && atomic_load_seq_cst(&aof->called) == called) {
        uint32_t seen = atomic_load_seq_cst(&aof->told);
        is_safe = atomic_load_seq_cst(reached) >= ticket;
        if (is_safe) break;
        in_time = futex_wait(&aof->told, seen, deadline_ns);
    }
    atomic_sub_acq_rel(&aof->sleepers, 1);
    return is_safe || atomic_load_seq_cst(reached) >= ticket;
}
