/* One baton: the word's states and the waiting.
 *
 *                 take: CAS 0 -> HELD                    close
 *        FREE  ------------------------->  HELD  ----------------->  CLOSED (for ever)
 *              <-------------------------
 *                 drop: CAS HELD -> 0
 *
 * Beside HELD the word counts who waits, so one compare-and-swap of the whole word decides everything,
 * and the inlined fast paths fail by themselves when anything else is the case. Every change of the
 * word is a compare-and-swap: a blind addition could resurrect a word that was closed meanwhile.
 *
 *     transition                          who                       where
 *     ----------------------------------  ------------------------  --------------------------
 *     register: +WAITER, or with FAIR     newcomer                  enlist
 *         +NEXT
 *     barge: HELD over waiters            newcomer                  enlist
 *     close the door: FAIR                holder                    limit_overtaking, baton_yield
 *     take: -WAITER or -NEXT, HELD        waiter inside the door    take_turn
 *     withdraw: -WAITER or -NEXT          waiter                    withdraw
 *     open the door: FAIR off, NEXT       last waiter inside to     left_by, wake_next_cohort
 *         becomes WAITER, PARITY flips    take or withdraw
 *     drop: HELD and ASLEEP off           holder                    baton_drop_contended
 *     hush: HUSH on, off                  ticket's holder           baton_hush, baton_unhush
 *
 * Cohorts. The next cohort moves up when the one inside is empty, and that flips PARITY. A waiter of
 * the next cohort knows it by comparing PARITY with what it saw when it registered. One bit is enough:
 * it must take or withdraw before the next flip, which needs its own cohort to be empty. With nobody
 * registered at all, PARITY is 0.
 *
 * Sleeping. Inside the door one sleeps on the word itself, with ASLEEP set by the sleeper; a drop takes
 * ASLEEP off and wakes one, whoever it is, as all of them may take. The woken thread does not know
 * who else sleeps, so it leaves ASLEEP behind when it takes, sets it again when it sleeps again, and
 * passes it on when it withdraws: a wake-up is never lost in a thread that has no use for it. The
 * next cohort sleeps on `doors`, out of reach of a drop's single wake-up, which it could not use; GATED
 * says so, and who opens the door wakes all of them.
 *
 * The ticket's holder may always take, hence it registers inside the door even if that is closed: it is
 * one at a time.
 */
#include "ring/baton.h"

#include <limits.h>

#include "plat/clock.h"
#include "plat/futex.h"
#include "ring/baton_wait.h"

enum {
    WAITER_MASK = BATON_COHORT_MAX * BATON_WAITER,
    SPINS_PER_CLOCK = 16, /* looks at the word between two looks at the clock */
};

/* In unsigned arithmetic, as it reaches bit 31. */
static const uint32_t NEXT_MASK = (uint32_t)BATON_COHORT_MAX * BATON_NEXT;
static const uint32_t NEXT_SHIFT_DOWN = BATON_NEXT / BATON_WAITER;

/* One wait of one thread, on its stack. */
struct wait {
    struct baton *baton;
    uint64_t deadline_ns;
    uint64_t began_ns;
    uint64_t now_ns;
    uint64_t spin_until_ns;
    uint32_t spins;
    uint32_t parity; /* of the word when it registered */
    bool inside;     /* may take: the door is not between it and the room */
    bool slept;
    bool ticket; /* holds the set's ticket */
};

static bool swap_word(struct baton *baton, uint32_t *found, uint32_t wanted) {
    return atomic_cas_acq_rel(&baton->word, found, wanted);
}

/* ---- Waking ------------------------------------------------------------------------------------- */

/* The count changes after the word: a sleeper read it before its own swap of the word, so it either
 * finds the new word or does not fall asleep. */
static void wake_next_cohort(struct baton *baton) {
    atomic_add_acq_rel(&baton->doors, 1);
    futex_wake(&baton->doors, INT_MAX);
}

static void wake_everybody(struct baton *baton) {
    wake_next_cohort(baton);
    futex_wake(&baton->word, INT_MAX);
}

/* ---- Registering and leaving -------------------------------------------------------------------- */

/* The word after one waiter left it. Nobody sleeps on the word of an empty cohort. */
static uint32_t left_by(uint32_t word, bool inside) {
    if (!inside) return word - BATON_NEXT;
    word -= BATON_WAITER;
    if (word & WAITER_MASK) return word;
    uint32_t moving_up = (word & NEXT_MASK) / NEXT_SHIFT_DOWN;
    word &= ~(NEXT_MASK | BATON_ASLEEP | BATON_FAIR | BATON_GATED);
    /* With nobody left to compare it, PARITY goes too: a free word that is not 0 is out of reach of the
     * inlined paths. */
    return moving_up ? (word ^ BATON_PARITY) | moving_up : word & ~(uint32_t)BATON_PARITY;
}

static uint32_t with_sleepers_of(const struct wait *wait, uint32_t word) {
    return wait->slept ? word | BATON_ASLEEP : word;
}

static void after_leaving(struct baton *baton, uint32_t before, uint32_t after) {
    if ((before & BATON_GATED) && !(after & BATON_GATED)) wake_next_cohort(baton);
}

/* After a take that was not the inlined one: the last overtaking allowed closes the door behind itself.
 * Takes of registered waiters count too, or two that register in turn could starve a third. */
static void limit_overtaking(struct baton *baton) {
    uint32_t word = atomic_load_relaxed(&baton->word);
    bool overtook = (word & WAITER_MASK) && !(word & BATON_FAIR);
    baton->barges = overtook ? baton->barges + 1 : 0;
    if (baton->barges < BATON_BARGES) return;
    baton->barges = 0;
    while ((word & WAITER_MASK) && !(word & BATON_FAIR))
        if (swap_word(baton, &word, word | BATON_FAIR)) return;
}

/* Takes a free baton from among the registered. */
static bool take_turn(struct wait *wait, uint32_t word) {
    uint32_t after = left_by(with_sleepers_of(wait, word), wait->inside) | BATON_HELD;
    if (!swap_word(wait->baton, &word, after)) return false;
    after_leaving(wait->baton, word, after);
    limit_overtaking(wait->baton);
    return true;
}

/* Leaves without the baton. If it is free, no drop will pass on a wake-up that was spent on this
 * thread, so this thread does. False: the word changed, look again. */
static bool withdraw(struct wait *wait, uint32_t word) {
    uint32_t after = left_by(with_sleepers_of(wait, word), wait->inside);
    if (!swap_word(wait->baton, &word, after)) return false;
    after_leaving(wait->baton, word, after);
    if ((after & BATON_ASLEEP) && !(after & BATON_HELD)) futex_wake(&wait->baton->word, INT_MAX);
    return true;
}

enum enlisted { ENLISTED, ENLIST_TOOK, ENLIST_HUSHED, ENLIST_GONE };

static bool cohort_is_full(uint32_t word, bool inside) {
    return inside ? (word & WAITER_MASK) == WAITER_MASK : (word & NEXT_MASK) == NEXT_MASK;
}

static void wait_for_room(struct wait *wait, uint32_t word) {
    futex_wait(&wait->baton->word, word, clock_monotonic_ns() + BATON_CROWD_POLL_NS);
}

/* Takes the baton at once if that is allowed, or registers as a waiter. */
static enum enlisted enlist(struct wait *wait) {
    struct baton *baton = wait->baton;
    uint32_t word = atomic_load_relaxed(&baton->word);
    for (;;) {
        if (word & BATON_CLOSED) return ENLIST_GONE;
        if ((word & BATON_HUSH) && !wait->ticket) return ENLIST_HUSHED;
        wait->inside = wait->ticket || !(word & BATON_FAIR);
        if (wait->inside && !(word & BATON_HELD)) {
            if (!swap_word(baton, &word, word | BATON_HELD)) continue;
            limit_overtaking(baton);
            return ENLIST_TOOK;
        }
        if (KRT_UNLIKELY(cohort_is_full(word, wait->inside))) {
            wait_for_room(wait, word);
            word = atomic_load_relaxed(&baton->word);
            continue;
        }
        wait->parity = word & BATON_PARITY;
        if (swap_word(baton, &word, word + (wait->inside ? BATON_WAITER : BATON_NEXT)))
            return ENLISTED;
    }
}

/* ---- Waiting ------------------------------------------------------------------------------------ */

/* A spin that looks at the clock sparsely: reading it takes as long as a short turn. */
static bool spin(struct wait *wait) {
    futex_pause();
    if (++wait->spins % SPINS_PER_CLOCK == 0) wait->now_ns = clock_monotonic_ns();
    return wait->now_ns < wait->spin_until_ns;
}

static void sleep_on_word(struct wait *wait, uint32_t word) {
    uint32_t asleep = word | BATON_ASLEEP;
    if (word != asleep && !swap_word(wait->baton, &word, asleep)) return;
    wait->slept = true;
    futex_wait(&wait->baton->word, asleep, wait->deadline_ns);
}

static void sleep_at_door(struct wait *wait) {
    uint32_t doors = atomic_load_acquire(&wait->baton->doors);
    uint32_t word = atomic_load_acquire(&wait->baton->word);
    bool may_sleep = !(word & (BATON_CLOSED | BATON_HUSH)) && (word & BATON_PARITY) == wait->parity;
    if (!may_sleep || !swap_word(wait->baton, &word, word | BATON_GATED)) return;
    futex_wait(&wait->baton->doors, doors, wait->deadline_ns);
}

static void sleep_until_change(struct wait *wait, uint32_t word) {
    if (wait->inside) sleep_on_word(wait, word);
    else sleep_at_door(wait);
    wait->now_ns = clock_monotonic_ns();
    wait->spin_until_ns = wait->now_ns; /* a second spin would not be shorter than the first */
}

/* A registered waiter's loop, until it took or withdrew. */
static enum baton_result wait_turn(struct wait *wait) {
    for (;;) {
        uint32_t word = atomic_load_acquire(&wait->baton->word);
        if (word & BATON_CLOSED) return BATON_GONE;
        wait->inside = wait->inside || (word & BATON_PARITY) != wait->parity;
        if ((word & BATON_HUSH) && !wait->ticket) {
            if (withdraw(wait, word)) return BATON_HUSHED;
        } else if (wait->inside && !(word & BATON_HELD)) {
            if (take_turn(wait, word)) return BATON_TAKEN;
        } else if (wait->now_ns >= wait->deadline_ns) {
            if (withdraw(wait, word)) return BATON_BUSY;
        } else if (!spin(wait)) {
            sleep_until_change(wait, word);
        }
    }
}

static void count_wait(struct wait *wait) {
    wait->baton->waits++;
    wait->baton->wait_ns += clock_monotonic_ns() - wait->began_ns;
}

static enum baton_result take_slowly(struct baton *baton, uint64_t deadline_ns, bool ticket) {
    struct wait wait = {.baton = baton, .deadline_ns = deadline_ns, .ticket = ticket};
    switch (enlist(&wait)) {
    case ENLIST_TOOK:
        return BATON_TAKEN;
    case ENLIST_HUSHED:
        return BATON_HUSHED;
    case ENLIST_GONE:
        return BATON_GONE;
    case ENLISTED:
        break;
    }
    wait.began_ns = wait.now_ns = clock_monotonic_ns();
    wait.spin_until_ns = wait.began_ns + BATON_SPIN_NS;
    enum baton_result result = wait_turn(&wait);
    if (result == BATON_TAKEN) count_wait(&wait);
    return result;
}

/* ---- The interface ------------------------------------------------------------------------------ */

void baton_init(struct baton *baton) {
    *baton = (struct baton){0};
}

enum baton_result baton_take(struct baton *baton, uint64_t deadline_ns) {
    return KRT_LIKELY(baton_try(baton)) ? BATON_TAKEN : take_slowly(baton, deadline_ns, false);
}

enum baton_result baton_take_with_ticket(struct baton *baton) {
    return take_slowly(baton, FUTEX_NO_DEADLINE, true);
}

bool baton_try_with_ticket(struct baton *baton) {
    uint32_t word = atomic_load_relaxed(&baton->word);
    while (!(word & (BATON_HELD | BATON_CLOSED)))
        if (swap_word(baton, &word, word | BATON_HELD)) return true;
    return false;
}

static void drop_with(struct baton *baton, uint32_t door) {
    uint32_t word = atomic_load_relaxed(&baton->word);
    uint32_t after;
    do {
        KRT_ASSERT((word & (BATON_HELD | BATON_CLOSED)) == BATON_HELD); /* N1, N4 */
        after = word & ~(uint32_t)(BATON_HELD | BATON_ASLEEP);
        if (word & WAITER_MASK) after |= door; /* N2: a closed door has somebody inside */
    } while (!swap_word(baton, &word, after));
    if (word & BATON_ASLEEP) futex_wake(&baton->word, 1);
}

void baton_drop_contended(struct baton *baton) {
    drop_with(baton, 0);
}

enum baton_result baton_yield(struct baton *baton, uint64_t deadline_ns) {
    if (!baton_wanted(baton)) return BATON_TAKEN;
    baton->barges = 0;
    drop_with(baton, BATON_FAIR);
    return take_slowly(baton, deadline_ns, false);
}

void baton_close(struct baton *baton) {
    uint32_t word = atomic_swap_acq_rel(&baton->word, BATON_CLOSED);
    KRT_ASSERT((word & (BATON_HELD | BATON_CLOSED)) == BATON_HELD); /* N1, N4 */
    wake_everybody(baton);
}

void baton_close_in_child(struct baton *baton) {
    atomic_store_release(&baton->word, BATON_CLOSED);
}

void baton_hush(struct baton *baton) {
    uint32_t word = atomic_load_relaxed(&baton->word);
    while (!(word & BATON_CLOSED))
        if (swap_word(baton, &word, word | BATON_HUSH)) break;
    wake_everybody(baton);
}

void baton_unhush(struct baton *baton) {
    uint32_t word = atomic_load_relaxed(&baton->word);
    while (!(word & BATON_CLOSED))
        if (swap_word(baton, &word, word & ~(uint32_t)BATON_HUSH)) break;
}
