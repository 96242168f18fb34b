/* Turns: the shard thread's time with batons.
 *
 *   away ──turn_begin──▶ own ──turn_borrow / turn_coordinate──▶ what a run needs
 *     ▲                   │ ▲                                      │
 *     └─────turn_end──────┘ └───────────────turn_return────────────┘
 *
 * A thread that goes to other places leaves its own, unless the run needs that too: two threads that
 * each kept their own place while they tried the other's would both fail. Before any drop the data of the place is sealed (B6): what its effects must tell others leaves in
 * the order in which it happened. turn_pause and turn_coordinate drop between commands only, when no call has
 * a visible effect that it has not completed.
 */
#include "plat/clock.h"
#include "plat/futex.h"
#include "shard/shard.h"

/* How long a borrower tries again before it forwards or waits: about 10 µs, a short turn elsewhere. What
 * takes its place is a copy, two messages and the wake-up of a thread. */
enum { BORROW_TRIES = 200 };

static struct shard *shard_of(struct fabric *fabric, uint32_t index) {
    return fabric->shards[index];
}

/* A deadline appeared in a place whose thread sleeps without a timer: it must come round to arm one. */
static void wake_for_expiry(struct shard *shard) {
    struct shard_data *data = &shard->data;
    if (KRT_LIKELY(!keyspace_has_deadlines(&data->keyspace) || data->expiry_armed)) return;
    data->expiry_armed = true;
    inbox_wake(&shard->inbox);
}

/* Somebody sleeps until the data changes. */
static void tell_change(struct shard *shard) {
    const struct change_bell *bell = &shard->fabric->change_bell;
    shard->data.quiet_changes = SHARD_NOT_QUIET;
    if (bell->ring) bell->ring(bell->context);
}

static void seal_data(struct shard *shard) {
    struct shard_data *data = &shard->data;
    if (KRT_UNLIKELY(data->effects.dirty > data->quiet_changes)) tell_change(shard);
    data->ended_ticks = 0;
    if (KRT_UNLIKELY(data->outcomes.posted)) board_rouse(shard);
    if (KRT_UNLIKELY(data->outcomes.first_answered)) in_process_rouse(shard);
    wake_for_expiry(shard);
    for (uint64_t left = data->pushed | data->backlogged; left; left &= left - 1) {
        uint32_t target = (uint32_t)__builtin_ctzll(left);
        struct stream *stream = &data->streams[target];
        if (data->backlogged & (UINT64_C(1) << target)) stream_advance(stream);
        stream_wake(stream);
        if (stream->backlog_count) data->backlogged |= UINT64_C(1) << target;
        else data->backlogged &= ~(UINT64_C(1) << target);
    }
    data->pushed = 0;
}

/* What is left to be done of a call needs all that the call held, and may write. */
uint64_t turn_seal(struct shard *home, uint64_t held, uint64_t mask) {
    struct fabric *fabric = home->fabric;
    if (KRT_UNLIKELY(home->data.outcomes.pending)) outcomes_finish(home);
    uint64_t ticket = journal_seal(fabric, held);
    for (; mask; mask &= mask - 1) seal_data(shard_of(fabric, (uint32_t)__builtin_ctzll(mask)));
    return ticket;
}

uint64_t turn_seal_one(struct shard *shard) {
    if (KRT_UNLIKELY(shard->data.outcomes.pending)) outcomes_finish(shard);
    uint64_t ticket = journal_seal(shard->fabric, shard->own);
    seal_data(shard);
    return ticket;
}

/* Of the thread's holding. Batches leave behind the chunks of what came before them. */
static void seal(struct shard *shard, uint64_t mask) {
    held_note(shard, turn_seal(turn_home(shard), shard->held, mask & ~shard->own));
    if (!(mask & shard->own)) return;
    forward_flush(shard);
    seal_data(shard);
}

/* For what calls leave to be done when they are complete (outcomes.h). */
static void note_held(struct shard *shard) {
    if (!shard->held) return;
    struct outcomes *outcomes = &turn_home(shard)->data.outcomes;
    outcomes->held = shard->held;
    outcomes->ticket = shard->io.ticket;
}

static void turn_drop(struct shard *shard, uint64_t mask) {
    if (mask == 0) return;
    seal(shard, mask);
    baton_set_drop(&shard->fabric->set, mask);
    shard->held &= ~mask;
    note_held(shard);
}

/* While busy the batons are only asked for, so that the sockets are served meanwhile. */
static uint64_t patience_end(struct shard *shard) {
    uint64_t busy_ms = atomic_load_relaxed(&shard->fabric->busy_ms);
    if (atomic_load_relaxed(&shard->busy)) return 0;
    return busy_ms ? clock_monotonic_ns() + busy_ms * 1000000 : FUTEX_NO_DEADLINE;
}

static bool turn_took(struct shard *shard, uint64_t mask, enum baton_result result) {
    if (result != BATON_TAKEN) return false;
    shard->held = mask;
    note_held(shard);
    shard->now_ms = 0;
    return true;
}

static bool turn_take(struct shard *shard, uint64_t mask) {
    return turn_took(shard, mask, baton_set_take(&shard->fabric->set, mask, patience_end(shard)));
}

/* The own place, or the end of the turn. */
static bool turn_take_own(struct shard *shard) {
    bool taken = turn_take(shard, shard->own);
    atomic_store_relaxed(&shard->busy, !taken && !baton_is_closed(shard->baton));
    return taken;
}

bool turn_begin(struct shard *shard) {
    KRT_DCHECK(shard->held == 0);
    if (KRT_LIKELY(baton_try(shard->baton))) turn_took(shard, shard->own, BATON_TAKEN);
    else if (!turn_take_own(shard)) return false;
    if (KRT_UNLIKELY(atomic_load_relaxed(&shard->busy))) atomic_store_relaxed(&shard->busy, 0);
    domain_keep_time(&shard->fabric->domain);
    /* While the disk fails reads are answered, whatever position their data has. */
    if (domain_log_fails(&shard->fabric->domain)) shard->io.ticket = 0;
    forward_drain(shard);
    return KRT_LIKELY(shard->held == shard->own) || turn_return(shard);
}

bool turn_borrow(struct shard *shard, uint64_t mask) {
    if ((mask & ~shard->held) == 0) return true;
    turn_drop(shard, shard->held);
    for (int tries = 0; tries < BORROW_TRIES; tries++) {
        if (baton_set_try(&shard->fabric->set, mask)) return turn_took(shard, mask, BATON_TAKEN);
        futex_pause();
    }
    (void)turn_take_own(shard);
    return false;
}

bool turn_coordinate(struct shard *shard, uint64_t mask) {
    turn_drop(shard, shard->held);
    if (turn_take(shard, mask)) return true;
    (void)turn_take_own(shard);
    return false;
}

static bool take_ticket(struct shard *shard) {
    return baton_ticket_take(&shard->fabric->set, patience_end(shard)) == BATON_TAKEN;
}

bool turn_open(struct shard *shard, uint64_t mask) {
    turn_drop(shard, shard->held);
    shard->has_ticket = take_ticket(shard);
    if (shard->has_ticket && turn_take(shard, mask)) return true;
    if (shard->has_ticket) baton_ticket_drop(&shard->fabric->set);
    shard->has_ticket = false;
    (void)turn_take_own(shard);
    return false;
}

void turn_extend(struct shard *shard, uint64_t mask) {
    KRT_DCHECK(shard->has_ticket);
    call_reach_extend(&shard->reach, mask);
}

/* Everything goes before the ticket: who waits for it holds nothing. */
bool turn_close(struct shard *shard) {
    turn_drop(shard, shard->held);
    shard->has_ticket = false;
    baton_ticket_drop(&shard->fabric->set);
    return turn_take_own(shard);
}

bool turn_return(struct shard *shard) {
    turn_drop(shard, shard->held & ~shard->own);
    return shard->held != 0 || turn_take_own(shard);
}

bool turn_is_overdue(const struct shard *shard) {
    bool wanted = false;
    for (uint64_t left = shard->held; left && !wanted; left &= left - 1)
        wanted = baton_wanted(shard_of(shard->fabric, (uint32_t)__builtin_ctzll(left))->baton);
    return wanted && clock_monotonic_ns() - shard->io.slice_ns >= SLICE_NS;
}

bool turn_slice_is_over(struct shard *shard) {
    return shard->io.slice_commands >= SLICE_COMMANDS || turn_is_wanted(shard);
}

bool turn_pause(struct shard *shard) {
    if (!turn_return(shard)) return false;
    shard->now_ms = 0;
    shard->io.slice_commands = 0;
    shard->io.slice_ns = clock_monotonic_ns();
    if (KRT_LIKELY(!baton_wanted(shard->baton))) return true;
    seal(shard, shard->own);
    shard->held = 0;
    return turn_took(shard, shard->own, baton_yield(shard->baton, patience_end(shard))) ||
           turn_take_own(shard);
}

void turn_end(struct shard *shard) {
    turn_drop(shard, shard->held);
}
