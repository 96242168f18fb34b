/* One baton: exclusion, deadlines, fairness, closing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plat/clock.h"
#include "plat/futex.h"
#include "ring/baton.h"
#include "ring/crew.h"

enum { THREADS = 6, ROUNDS = 2000 };

struct room {
    struct baton baton;
    uint64_t visits; /* under the baton, plain on purpose: a race detector watches it */
    uint64_t inside;
    atomic_u64 taken, busy, gone;
    atomic_u32 stop;
};

static void visit(struct room *room) {
    assert_int_equal(++room->inside, 1);
    room->visits++;
    assert_int_equal(room->inside--, 1);
    atomic_add_relaxed(&room->taken, 1);
}

/* ---- One thread ---------------------------------------------------------------------------------- */

static void test_a_free_baton_is_taken_and_a_held_one_is_not(void **state) {
    (void)state;
    struct baton baton;
    baton_init(&baton);
    assert_true(baton_try(&baton));
    assert_false(baton_try(&baton));
    assert_int_equal(baton_take(&baton, 0), BATON_BUSY);
    baton_drop(&baton);
    assert_int_equal(baton_take(&baton, 0), BATON_TAKEN);
    baton_drop(&baton);
    assert_int_equal(atomic_load_relaxed(&baton.word), 0);
}

static void test_a_deadline_is_kept(void **state) {
    (void)state;
    struct baton baton;
    baton_init(&baton);
    assert_true(baton_try(&baton));
    uint64_t deadline_ns = crew_deadline_us(3000);
    assert_int_equal(baton_take(&baton, deadline_ns), BATON_BUSY);
    assert_true(clock_monotonic_ns() >= deadline_ns);
    assert_false(baton_wanted(&baton));
    baton_drop(&baton);
    assert_true(baton_try(&baton));
    baton_drop(&baton);
}

static void test_yield_without_waiters_keeps_the_baton(void **state) {
    (void)state;
    struct baton baton;
    baton_init(&baton);
    assert_true(baton_try(&baton));
    assert_int_equal(baton_yield(&baton, FUTEX_NO_DEADLINE), BATON_TAKEN);
    assert_int_equal(atomic_load_relaxed(&baton.word), BATON_HELD);
    baton_drop(&baton);
}

static void test_closed_is_final(void **state) {
    (void)state;
    struct baton baton;
    baton_init(&baton);
    assert_false(baton_is_closed(&baton));
    assert_true(baton_try(&baton));
    baton_close(&baton);
    assert_true(baton_is_closed(&baton));
    assert_false(baton_try(&baton));
    assert_int_equal(baton_take(&baton, FUTEX_NO_DEADLINE), BATON_GONE);
}

static void test_a_child_finds_it_closed_whatever_it_was(void **state) {
    (void)state;
    struct baton baton;
    baton_init(&baton);
    assert_true(baton_try(&baton));
    pid_t child = fork();
    if (child == 0) {
        baton_close_in_child(&baton);
        _exit(baton_take(&baton, FUTEX_NO_DEADLINE) == BATON_GONE ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(baton_is_closed(&baton));
    baton_drop(&baton);
}

/* ---- Many threads -------------------------------------------------------------------------------- */

static void take_try_yield(struct crew_member *member) {
    struct room *room = member->world;
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t way = crew_random(member, 8);
        if (way == 0) {
            if (!baton_try(&room->baton)) continue;
        } else if (way == 1) {
            uint64_t deadline_ns = crew_deadline_us(crew_random(member, 60));
            if (baton_take(&room->baton, deadline_ns) == BATON_BUSY) continue;
        } else {
            assert_int_equal(baton_take(&room->baton, FUTEX_NO_DEADLINE), BATON_TAKEN);
        }
        visit(room);
        if (way == 2) crew_sleep_us(20); /* long enough for others to fall asleep */
        if (way < 5) {
            assert_int_equal(baton_yield(&room->baton, FUTEX_NO_DEADLINE), BATON_TAKEN);
            visit(room);
        }
        baton_drop(&room->baton);
    }
}

static void test_one_at_a_time_is_in_the_room(void **state) {
    (void)state;
    struct room room = {0};
    baton_init(&room.baton);
    crew_run(THREADS, take_try_yield, &room);
    assert_int_equal(room.visits, atomic_load_relaxed(&room.taken));
    assert_true(room.visits > THREADS * ROUNDS / 2);
    assert_int_equal(atomic_load_relaxed(&room.baton.word), 0);
    assert_true(room.baton.waits > 0);
    assert_true(room.baton.wait_ns > 0);
}

static void take_until_stopped(struct crew_member *member) {
    struct room *room = member->world;
    while (!atomic_load_relaxed(&room->stop)) {
        assert_int_equal(baton_take(&room->baton, FUTEX_NO_DEADLINE), BATON_TAKEN);
        visit(room);
        baton_drop(&room->baton);
    }
}

/* This thread drops and takes again as fast as it can while another one waits. */
static void test_a_waiter_is_overtaken_a_bounded_number_of_times(void **state) {
    (void)state;
    struct room room = {0};
    struct crew_member waiter = {0};
    int closed_doors = 0;
    baton_init(&room.baton);
    assert_true(baton_try(&room.baton));
    crew_start(&waiter, take_until_stopped, &room);
    for (int i = 0; i < 1000; i++) {
        while (!baton_wanted(&room.baton)) futex_pause();
        if (i % 8 == 0) crew_sleep_us(2 * BATON_SPIN_NS / 1000); /* until the waiter sleeps */
        int takes = 0;
        for (uint64_t before = room.visits; room.visits == before; takes++) {
            baton_drop(&room.baton);
            assert_int_equal(baton_take(&room.baton, FUTEX_NO_DEADLINE), BATON_TAKEN);
        }
        assert_true(takes <= BATON_BARGES + 1);
        closed_doors += takes == BATON_BARGES + 1;
    }
    assert_true(closed_doors > 0); /* or no bound was put to the test */
    atomic_store_relaxed(&room.stop, 1);
    baton_drop(&room.baton);
    crew_join(&waiter);
}

static void hold_in_slices(struct crew_member *member) {
    struct room *room = member->world;
    assert_int_equal(baton_take(&room->baton, FUTEX_NO_DEADLINE), BATON_TAKEN);
    while (!atomic_load_relaxed(&room->stop)) {
        visit(room);
        if (baton_wanted(&room->baton))
            assert_int_equal(baton_yield(&room->baton, FUTEX_NO_DEADLINE), BATON_TAKEN);
    }
    baton_drop(&room->baton);
}

static void test_a_holder_that_yields_lets_callers_in(void **state) {
    (void)state;
    struct room room = {0};
    struct crew_member holder = {0};
    baton_init(&room.baton);
    crew_start(&holder, hold_in_slices, &room);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(baton_take(&room.baton, FUTEX_NO_DEADLINE), BATON_TAKEN);
        visit(&room);
        baton_drop(&room.baton);
    }
    atomic_store_relaxed(&room.stop, 1);
    crew_join(&holder);
    assert_int_equal(room.visits, atomic_load_relaxed(&room.taken));
}

static void take_until_gone(struct crew_member *member) {
    struct room *room = member->world;
    for (;;) {
        enum baton_result result = baton_take(&room->baton, crew_deadline_us(100000));
        if (result == BATON_GONE) break;
        if (result == BATON_BUSY) continue;
        visit(room);
        baton_drop(&room->baton);
    }
    atomic_add_relaxed(&room->gone, 1);
}

static void test_closing_wakes_everybody(void **state) {
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct room room = {0};
        struct crew_member members[THREADS];
        baton_init(&room.baton);
        if (round % 2)
            assert_true(baton_try(&room.baton)); /* all of them asleep, or all of them busy */
        for (uint32_t i = 0; i < THREADS; i++) {
            members[i].index = i;
            crew_start(&members[i], take_until_gone, &room);
        }
        crew_sleep_us(500);
        if (round % 2 == 0)
            assert_int_equal(baton_take(&room.baton, FUTEX_NO_DEADLINE), BATON_TAKEN);
        baton_close(&room.baton);
        for (uint32_t i = 0; i < THREADS; i++) crew_join(&members[i]);
        assert_int_equal(atomic_load_relaxed(&room.gone), THREADS);
        assert_int_equal(room.visits, atomic_load_relaxed(&room.taken));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_free_baton_is_taken_and_a_held_one_is_not),
        cmocka_unit_test(test_a_deadline_is_kept),
        cmocka_unit_test(test_yield_without_waiters_keeps_the_baton),
        cmocka_unit_test(test_closed_is_final),
        cmocka_unit_test(test_a_child_finds_it_closed_whatever_it_was),
        cmocka_unit_test(test_one_at_a_time_is_in_the_room),
        cmocka_unit_test(test_a_waiter_is_overtaken_a_bounded_number_of_times),
        cmocka_unit_test(test_a_holder_that_yields_lets_callers_in),
        cmocka_unit_test(test_closing_wakes_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
