/* Sets of batons, the ticket and hush (rule B1).
 *
 * Waiting in ascending order cannot deadlock, so a call that knows its set needs no more. A call that
 * learns its set while it has effects can neither drop what it holds nor keep to the order. There is one
 * such call at a time (the ticket), and it makes everybody else let go (hush):
 *
 *     ticket free --take--> held, quiet --extend must wait--> held, hush raised --drop--> ticket free
 *
 * Raising: `hush` becomes odd, then HUSH goes into every word; lowering: HUSH out of every word, then
 * `hush` becomes even and its sleepers are woken, then the ticket is free. So whoever saw HUSH in a word
 * finds `hush` odd, or its wait is over, and sleeping on the odd value loses no wake-up.
 *
 * A hushed waiter withdraws from the word, and a hushed set drops all it holds; who is in a room with
 * effects finishes and drops, as a whole set is held before the first effect. Hence every baton that the
 * ticket's holder waits for comes free, and nobody else may take it.
 */
#include "ring/baton_wait.h"

#include <limits.h>

#include "plat/clock.h"
#include "plat/futex.h"

enum ticket_state { TICKET_FREE, TICKET_HELD, TICKET_WANTED };

void baton_set_init(struct baton_set *set, struct baton *batons, uint32_t count) {
    KRT_ASSERT(count >= 1 && count <= BATON_SET_MAX);
    *set = (struct baton_set){.batons = batons, .count = count};
}

static uint32_t lowest(uint64_t mask) {
    return (uint32_t)__builtin_ctzll(mask);
}

static void check_mask(const struct baton_set *set, uint64_t mask) {
    KRT_ASSERT(set->count == BATON_SET_MAX || mask >> set->count == 0);
}

void baton_set_drop(struct baton_set *set, uint64_t mask) {
    check_mask(set, mask);
    for (; mask; mask &= mask - 1) baton_drop(&set->batons[lowest(mask)]);
}

bool baton_set_try(struct baton_set *set, uint64_t mask) {
    check_mask(set, mask);
    for (uint64_t left = mask; left; left &= left - 1) {
        if (KRT_LIKELY(baton_try(&set->batons[lowest(left)]))) continue;
        baton_set_drop(set, mask ^ left); /* what came before the one that failed */
        return false;
    }
    return true;
}

/* ---- Hush ---------------------------------------------------------------------------------------- */

/* False only when the deadline has passed. */
static bool wait_hush(struct baton_set *set, uint64_t deadline_ns) {
    uint32_t hush;
    while ((hush = atomic_load_acquire(&set->hush)) & 1)
        if (!futex_wait(&set->hush, hush, deadline_ns)) return false;
    return true;
}

void baton_set_wait_hush(struct baton_set *set) {
    wait_hush(set, FUTEX_NO_DEADLINE);
}

static bool hush_is_raised(struct baton_set *set) {
    return atomic_load_relaxed(&set->hush) & 1;
}

static void raise_hush(struct baton_set *set) {
    atomic_add_acq_rel(&set->hush, 1);
    for (uint32_t i = 0; i < set->count; i++) baton_hush(&set->batons[i]);
}

static void lower_hush(struct baton_set *set) {
    for (uint32_t i = 0; i < set->count; i++) baton_unhush(&set->batons[i]);
    atomic_add_acq_rel(&set->hush, 1);
    futex_wake(&set->hush, INT_MAX);
}

/* ---- Sets ---------------------------------------------------------------------------------------- */

/* One attempt: all of the mask, or nothing and why. */
static enum baton_result take_in_order(struct baton_set *set, uint64_t mask, uint64_t deadline_ns) {
    for (uint64_t left = mask; left; left &= left - 1) {
        enum baton_result result = baton_take(&set->batons[lowest(left)], deadline_ns);
        if (KRT_LIKELY(result == BATON_TAKEN)) continue;
        baton_set_drop(set, mask ^ left);
        return result;
    }
    return BATON_TAKEN;
}

enum baton_result baton_set_take(struct baton_set *set, uint64_t mask, uint64_t deadline_ns) {
    check_mask(set, mask);
    enum baton_result result;
    while ((result = take_in_order(set, mask, deadline_ns)) == BATON_HUSHED)
        if (!wait_hush(set, deadline_ns)) return BATON_BUSY;
    return result;
}

/* ---- The ticket ---------------------------------------------------------------------------------- */

/* Any baton answers for the set: they are closed together, and in a forked child the ticket may belong
 * to a thread that does not exist. */
static bool is_gone(struct baton_set *set) {
    return baton_is_closed(&set->batons[0]);
}

enum baton_result baton_ticket_take(struct baton_set *set, uint64_t deadline_ns) {
    if (is_gone(set)) return BATON_GONE;
    uint32_t found = TICKET_FREE;
    if (atomic_cas_acquire(&set->ticket, &found, TICKET_HELD)) return BATON_TAKEN;
    /* Who waited leaves WANTED behind, as it does not know who else waits. */
    while (atomic_swap_acquire(&set->ticket, TICKET_WANTED) != TICKET_FREE)
        if (!futex_wait(&set->ticket, TICKET_WANTED, deadline_ns)) return BATON_BUSY;
    return BATON_TAKEN;
}

enum baton_result baton_ticket_extend(struct baton_set *set, uint32_t index) {
    KRT_ASSERT(index < set->count);
    KRT_DCHECK(atomic_load_relaxed(&set->ticket) != TICKET_FREE);
    struct baton *baton = &set->batons[index];
    if (baton_try_with_ticket(baton)) return BATON_TAKEN;
    if (!hush_is_raised(set)) raise_hush(set);
    return baton_take_with_ticket(baton);
}

void baton_ticket_drop(struct baton_set *set) {
    if (hush_is_raised(set)) lower_hush(set);
    uint32_t before = atomic_swap_acq_rel(&set->ticket, TICKET_FREE);
    KRT_ASSERT(before != TICKET_FREE);
    if (before == TICKET_WANTED) futex_wake(&set->ticket, 1);
}
