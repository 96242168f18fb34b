/* From calls to the log's queue, and back from the log to who waits.
 *
 *   effect ─▶ tail of the home ─▶ (end of the call: EXEC) ─▶ journal_push: a chunk of the queue, a ticket for all that is held
 *                                                                         │
 *        connections (held.c), callers, answers ◀── journal_note_safe ◀── the log's thread has written, or synced
 *
 * A chunk is queued when the calls of a holding are over and before the first of its batons drops; sooner where somebody is told
 * of a call before that (a post, a reply that goes home), since what he is told needs a ticket. It is never queued in the middle
 * of a call, whose effects stand together.
 */
#include "shard/journal/journal.h"

#include "plat/futex.h"
#include "shard/blocking/waitaof.h"
#include "shard/shard.h"

static struct aof *aof_of(const struct fabric *fabric) {
    return atomic_load_relaxed(&fabric->journal.aof);
}

/* ---- Calls ----------------------------------------------------------------------------------------- */

void journal_log(struct call *call, uint32_t db, const struct bytes *argv, uint32_t argc) {
    struct shard *home = call_home(call);
    if (KRT_UNLIKELY(call->flags & CALL_LOADING)) return;
    aof_tail_append(&home->data.aof, db, argv, argc);
    home->data.outcomes.pending = true;
    if (call->client) call->client->has_logged = true;
}

static uint64_t push(struct shard *home, uint64_t held) {
    struct fabric *fabric = home->fabric;
    struct aof *aof = aof_of(fabric);
    uint64_t ticket = fabric->journal.base + aof_push(aof, &home->data.aof);
    for (uint64_t left = held | home->own; left; left &= left - 1)
        fabric->shards[__builtin_ctzll(left)]->data.aof.ticket = ticket;
    if (KRT_UNLIKELY(aof_is_full(aof))) atomic_store_relaxed(&fabric->journal.full, 1);
    return ticket;
}

static uint64_t seen(const struct fabric *fabric, uint64_t held) {
    uint64_t ticket = 0;
    for (uint64_t left = held; left; left &= left - 1) {
        uint64_t own = fabric->shards[__builtin_ctzll(left)]->data.aof.ticket;
        if (own > ticket) ticket = own;
    }
    return ticket;
}

/* What its thread has seen before may be what it tells of. */
void journal_stamp(struct shard *home) {
    struct outcomes *outcomes = &home->data.outcomes;
    if (!outcomes->first_post || !aof_of(home->fabric)) return;
    uint64_t ticket = seen(home->fabric, outcomes->held | home->own);
    if (ticket < outcomes->ticket) ticket = outcomes->ticket;
    for (struct post *post = outcomes->first_post; post; post = post->next) post->ticket = ticket;
}

void journal_end_call(struct shard *home) {
    struct outcomes *outcomes = &home->data.outcomes;
    struct aof_tail *tail = &home->data.aof;
    bool tells = outcomes->first_post || outcomes->first_answered;
    if (!aof_of(home->fabric)) return;
    aof_tail_end_call(tail);
    if (!aof_tail_is_empty(tail) && (tells || aof_tail_is_long(tail)))
        (void)push(home, outcomes->held | home->own);
}

void journal_end_eviction(struct shard *home, struct shard *victim) {
    struct aof_tail *tail = &home->data.aof;
    if (KRT_LIKELY(!aof_of(home->fabric))) return;
    aof_tail_end_call(tail);
    if (victim && !aof_tail_is_empty(tail))
        (void)push(home, home->data.outcomes.held | victim->own);
}

bool journal_is_inside(const struct shard *home) {
    return home->data.aof.call_effects != 0;
}

uint64_t journal_seal_all(struct fabric *fabric, uint64_t held) {
    struct shard *home = NULL;
    for (uint64_t left = held; left; left &= left - 1) {
        struct shard *shard = fabric->shards[__builtin_ctzll(left)];
        if (aof_tail_is_empty(&shard->data.aof)) continue;
        KRT_DCHECK(!home); /* J1 */
        home = shard;
        (void)push(home, held);
    }
    if (!home && domain_log_fails(&fabric->domain)) return 0;
    return seen(fabric, held);
}

/* ---- Who waits ------------------------------------------------------------------------------------- */

static bool is_safe(struct journal *journal, uint64_t ticket) {
    if ((ticket & JOURNAL_OF_READ) && atomic_load_seq_cst(&journal->failing)) return true;
    return (ticket & ~JOURNAL_OF_READ) <= atomic_load_seq_cst(&journal->safe);
}

enum journal_result journal_wait(struct fabric *fabric, uint64_t ticket, uint64_t deadline_ns) {
    struct journal *journal = &fabric->journal;
    bool in_time = true;
    for (;;) {
        uint32_t bell = atomic_load_seq_cst(&journal->bell);
        atomic_add_seq_cst(&journal->sleepers, 1);
        bool ended = atomic_load_seq_cst(&journal->ended);
        bool safe = is_safe(journal, ticket);
        bool sleeps = !safe && !ended && in_time;
        if (sleeps) in_time = futex_wait(&journal->bell, bell, deadline_ns);
        atomic_sub_relaxed(&journal->sleepers, 1);
        if (sleeps) continue;
        return safe ? JOURNAL_SAFE : ended ? JOURNAL_LOST : JOURNAL_LATE;
    }
}

static void ring(struct journal *journal) {
    if (KRT_LIKELY(!atomic_load_seq_cst(&journal->sleepers))) return;
    atomic_add_seq_cst(&journal->bell, 1);
    futex_wake(&journal->bell, INT32_MAX);
}

/* ---- Lists of waiters -------------------------------------------------------------------------------- */

static bool is_synced(struct journal *journal, uint64_t ticket) {
    return ticket <= atomic_load_seq_cst(&journal->synced);
}

/* `is_due`: of is_safe and is_synced that which the list is about. Returns whether it has become due meanwhile. Somebody else may
 * have told it by then, and it is gone. */
static bool push_waiter(struct journal *journal, atomic_ptr *list,
                        bool (*is_due)(struct journal *journal, uint64_t ticket),
                        struct waiter *waiter) {
    uint64_t ticket = waiter->ticket;
    void *head = atomic_load_relaxed(list);
    do {
        waiter->next_sync = head;
    } while (!atomic_cas_seq_cst(list, &head, waiter));
    return is_due(journal, ticket);
}

/* Who waits no more is told as well, which is how he leaves the list. */
static bool has_ended(const struct waiter *waiter) {
    uint32_t state = atomic_load_relaxed(&waiter->state);
    return waiter->await && state != WAITER_WAITING;
}

/* The list is taken whole, so two that tell at once have different parts of it. */
static void tell_due(struct journal *journal, atomic_ptr *list,
                     bool (*is_due)(struct journal *journal, uint64_t ticket),
                     void (*tell)(struct waiter *waiter)) {
    for (bool again = true; again;) {
        struct waiter *next, *waiter = atomic_swap_seq_cst(list, NULL);
        for (again = false; waiter; waiter = next) {
            next = waiter->next_sync;
            if (is_due(journal, waiter->ticket) || has_ended(waiter)) tell(waiter);
            else again |= push_waiter(journal, list, is_due, waiter);
        }
    }
}

static void tell_all(atomic_ptr *list, void (*tell)(struct waiter *waiter)) {
    struct waiter *next, *waiter = atomic_swap_seq_cst(list, NULL);
    for (; waiter; waiter = next) {
        next = waiter->next_sync;
        tell(waiter);
    }
}

static void tell_answers(struct journal *journal) {
    if (atomic_load_seq_cst(&journal->answers))
        tell_due(journal, &journal->answers, is_safe, in_process_tell);
}

void journal_answer_later(struct fabric *fabric, struct waiter *waiter) {
    struct journal *journal = &fabric->journal;
    if (push_waiter(journal, &journal->answers, is_safe, waiter)) tell_answers(journal);
    if (KRT_UNLIKELY(atomic_load_seq_cst(&journal->ended)))
        tell_all(&journal->answers, in_process_abandon);
}

void journal_work(struct fabric *fabric) {
    struct journal *journal = &fabric->journal;
    if (atomic_load_seq_cst(&journal->syncs))
        tell_due(journal, &journal->syncs, is_synced, waitaof_answer);
}

static void ask_for_syncs(struct journal *journal) {
    if (journal->ask && atomic_load_seq_cst(&journal->syncs)) journal->ask(journal->context);
}

void journal_await_sync(struct fabric *fabric, struct waiter *waiter) {
    struct journal *journal = &fabric->journal;
    bool forever = waiter->ticket == UINT64_MAX; /* others of its kind may have ended */
    if (push_waiter(journal, &journal->syncs, is_synced, waiter) || forever) ask_for_syncs(journal);
}

/* ---- The log's thread -------------------------------------------------------------------------------- */

static void wake_shards(struct fabric *fabric, uint64_t safe) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct shard *shard = fabric->shards[i];
        if (atomic_load_seq_cst(&shard->awaited) <= safe) inbox_wake(&shard->inbox);
    }
}

void journal_note_safe(struct fabric *fabric, uint64_t safe, uint64_t synced) {
    struct journal *journal = &fabric->journal;
    if (safe > atomic_load_relaxed(&journal->safe)) atomic_store_seq_cst(&journal->safe, safe);
    bool more = synced > atomic_load_relaxed(&journal->synced);
    if (more) atomic_store_seq_cst(&journal->synced, synced);
    wake_shards(fabric, safe);
    ring(journal);
    tell_answers(journal);
    if (more) ask_for_syncs(journal);
}

static void wake_all(struct fabric *fabric) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        inbox_wake(&fabric->shards[i]->inbox);
}

void journal_note_room(struct fabric *fabric) {
    if (KRT_LIKELY(!atomic_load_relaxed(&fabric->journal.full))) return;
    atomic_store_relaxed(&fabric->journal.full, 0);
    wake_all(fabric);
}

void journal_note_failing(struct fabric *fabric, bool failing) {
    struct journal *journal = &fabric->journal;
    if (atomic_load_relaxed(&journal->failing) == failing) return;
    atomic_store_seq_cst(&journal->failing, failing);
    wake_all(fabric);
    ring(journal);
    tell_answers(journal);
}

void journal_look(struct fabric *fabric) {
    struct aof *aof = aof_of(fabric);
    if (!aof || !aof_is_full(aof)) journal_note_room(fabric);
}

/* ---- Life ---------------------------------------------------------------------------------------------- */

uint64_t journal_attach(struct fabric *fabric, struct aof *aof) {
    struct journal *journal = &fabric->journal;
    KRT_ASSERT(!aof_of(fabric));
    journal->base = journal->last;
    atomic_store_release(&journal->aof, aof);
    fabric->sink.wanted |= EFFECT_LOG;
    return journal->base;
}

uint64_t journal_detach(struct fabric *fabric) {
    struct journal *journal = &fabric->journal;
    struct aof *aof = aof_of(fabric);
    (void)journal_seal_all(fabric, fabric_all(fabric));
    fabric->sink.wanted &= ~(uint32_t)EFFECT_LOG;
    journal->last = journal->base + aof_ticket(aof);
    atomic_store_release(&journal->aof, NULL);
    journal_note_room(fabric);
    return journal->last;
}

void journal_start(struct fabric *fabric) {
    atomic_store_seq_cst(&fabric->journal.ended, 0);
}

void journal_stop(struct fabric *fabric) {
    struct journal *journal = &fabric->journal;
    bool safe = !journal->close || journal->close(journal->context);
    if (safe) journal_note_safe(fabric, journal->last, journal->last);
    atomic_store_seq_cst(&journal->ended, 1);
    futex_wake(&journal->ended, INT32_MAX);
    ring(journal);
    tell_all(&journal->answers, in_process_abandon);
    tell_all(&journal->syncs, waitaof_answer);
}
