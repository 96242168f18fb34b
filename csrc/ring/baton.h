/* The baton: the right to be in a shard's data room (docs/ARCHITECTURE.md, rules B1 to B7).
 *
 * Role: one word per place. The uncontended take and drop are one atomic each, inlined. Everything
 * else (spinning, sleeping, fairness, hush, closing) is out of line in baton.c, whose head has the
 * state diagram.
 *
 * Threads: any. A baton is owned by a call, not by a thread; who takes it drops it.
 *
 * Fairness: waiters may be overtaken, by newcomers or by each other, BATON_BARGES times. Then (or when
 * the holder yields) the door closes: BATON_FAIR. Whoever comes now waits in the next cohort, and only the cohort
 * inside the door may take. The last of it to leave, by taking or by withdrawing, opens the door: the
 * next cohort moves up. So a registered waiter is overtaken a bounded number of times, and nothing is
 * ever handed to a thread that does not run yet.
 *
 * Invariants
 *   N1  BATON_HELD is set exactly while somebody is in the room.
 *   N2  While BATON_FAIR is set somebody is registered inside the door, only those inside (and the
 *       ticket's holder) may take, and nobody but the ticket's holder joins them.
 *   N3  While BATON_HUSH is set only the ticket's holder may take.
 *   N4  BATON_CLOSED is final: nobody takes any more.
 *   N5  Waiting for a set is in ascending order of index, holding nothing above what is waited for.
 *   N6  Who sleeps on `word` is registered inside the door; then BATON_ASLEEP is set, or somebody who
 *       slept is awake and will take, sleep again or pass the wake-up on. Who sleeps on `doors` is
 *       registered in the next cohort, and BATON_GATED is set.
 *
 * Bounds: a spin lasts about BATON_SPIN_NS before the thread sleeps; barging by others is bounded by
 * BATON_BARGES; each cohort counts up to BATON_COHORT_MAX, and who comes beyond that polls at
 * BATON_CROWD_POLL_NS until there is room.
 */
#pragma once

#include "base/assert.h"
#include "base/atomic.h"

enum {
    BATON_HELD = 1u << 0,
    BATON_CLOSED = 1u << 1,
    BATON_FAIR = 1u << 2,   /* the door is closed: no barging, newcomers wait in the next cohort */
    BATON_HUSH = 1u << 3,   /* only the ticket's holder may take */
    BATON_ASLEEP = 1u << 4, /* somebody may sleep on the word: a drop must wake */
    BATON_GATED = 1u << 5,  /* somebody may sleep on `doors`: who opens the door must wake */
    BATON_PARITY = 1u << 6, /* flips when the next cohort moves up */
    BATON_WAITER = 1u << 8, /* bits 8..19 count the waiters inside the door */
    BATON_NEXT = 1u << 20,  /* bits 20..31 count the next cohort */
    BATON_COHORT_MAX = 4095,
};

enum baton_result { BATON_TAKEN, BATON_BUSY, BATON_GONE, BATON_HUSHED };

enum { BATON_SPIN_NS = 20000, BATON_BARGES = 8, BATON_CROWD_POLL_NS = 1000000 };

struct baton {
    atomic_u32 word;  /* any thread; take acquire, drop release */
    atomic_u32 doors; /* futex word of the next cohort; counts its wake-ups; any thread, acq_rel */
    uint32_t barges;  /* holder only: takes since somebody waits inside an open door */
    uint64_t waits;   /* holder only: takes that had to wait, for statistics */
    uint64_t wait_ns; /* holder only: time spent waiting for them */
} KRT_CACHE_ALIGNED;

void baton_init(struct baton *baton);

/* Takes a free baton nobody waits for, without waiting. */
static inline bool baton_try(struct baton *baton) {
    uint32_t found = 0;
    return KRT_LIKELY(atomic_cas_acquire(&baton->word, &found, BATON_HELD));
}

/* Waits until the absolute monotonic deadline (FUTEX_NO_DEADLINE: for ever; one in the past: takes a
 * baton that may be taken now). BATON_BUSY when the deadline passed, BATON_HUSHED when a ticket's holder
 * asks for silence, BATON_GONE when closed. */
enum baton_result baton_take(struct baton *baton, uint64_t deadline_ns);

void baton_drop_contended(struct baton *baton);

static inline void baton_drop(struct baton *baton) {
    uint32_t found = BATON_HELD;
    if (KRT_UNLIKELY(!atomic_compare_exchange_strong_explicit(
            &baton->word, &found, 0, memory_order_release, memory_order_relaxed)))
        baton_drop_contended(baton);
}

/* Holder: does anybody wait? Asked between slices. */
static inline bool baton_wanted(struct baton *baton) {
    return atomic_load_relaxed(&baton->word) >= BATON_WAITER;
}

/* Holder, between two slices while wanted: lets every earlier waiter go first, then takes again as
 * baton_take does. It is held no more unless the result is BATON_TAKEN. */
enum baton_result baton_yield(struct baton *baton, uint64_t deadline_ns);

/* Holder: the baton ends CLOSED, and all who wait learn it. The closer holds nothing afterwards and
 * does not drop. */
void baton_close(struct baton *baton);

/* In a forked child: CLOSED whatever the state was; wakes nobody, touches nothing else. */
void baton_close_in_child(struct baton *baton);

static inline bool baton_is_closed(struct baton *baton) {
    return atomic_load_acquire(&baton->word) & BATON_CLOSED;
}

/* ---- Sets of batons and the ticket (B1) ---------------------------------------------------------- */

/* A set is the shards of a server. The board is not in it: it is taken last, after effects, so hush must
 * not reach it; who holds it waits for nothing, so anybody may wait for it (baton_take). */
enum { BATON_SET_MAX = 64 };

struct baton_set {
    struct baton *batons; /* array, ascending order is the order of waiting */
    uint32_t count;
    /* 0 free, 1 held, 2 held and waited for; any thread, acquire/release. */
    atomic_u32 ticket;
    /* Odd while hush is raised, and a hushed thread sleeps on it; writer: the ticket's holder. */
    atomic_u32 hush;
};

void baton_set_init(struct baton_set *set, struct baton *batons, uint32_t count);

/* A mask has bit i for batons[i]. Takes all or nothing without waiting. */
bool baton_set_try(struct baton_set *set, uint64_t mask);

/* Takes all of the mask, waiting in ascending order; drops everything and starts again when hushed.
 * The caller holds nothing, has no effect yet and has raised no hush. BATON_TAKEN, BATON_BUSY (deadline;
 * nothing held) or BATON_GONE (nothing held). */
enum baton_result baton_set_take(struct baton_set *set, uint64_t mask, uint64_t deadline_ns);
void baton_set_drop(struct baton_set *set, uint64_t mask);

/* Sleeps until no hush is raised. The caller holds nothing. */
void baton_set_wait_hush(struct baton_set *set);

/* For a call whose set is open: taken before any baton; one per server. What is known of the set is
 * then taken with baton_set_take, the rest one by one with baton_ticket_extend. BATON_TAKEN, BATON_BUSY
 * or BATON_GONE. */
enum baton_result baton_ticket_take(struct baton_set *set, uint64_t deadline_ns);
/* The ticket's holder, with effects or without, holding any others: takes one more in any order, and
 * raises hush if it must wait for it. BATON_TAKEN or BATON_GONE. */
enum baton_result baton_ticket_extend(struct baton_set *set, uint32_t index);
/* Lowers hush if it was raised and lets the next one have the ticket. The batons are dropped apart,
 * before this. */
void baton_ticket_drop(struct baton_set *set);
