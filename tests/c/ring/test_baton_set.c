/* Sets of batons, the ticket and hush. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "plat/futex.h"
#include "ring/baton.h"
#include "ring/crew.h"

enum { BATONS = 5, THREADS = 6, ROUNDS = 4000 };

static const uint64_t ALL = (1u << BATONS) - 1;

struct rooms {
    struct baton batons[BATONS];
    struct baton_set set;
    uint64_t visits[BATONS]; /* each under its baton */
    uint64_t scripts;        /* under the ticket */
    atomic_u64 expected[BATONS];
    atomic_u32 calls;
};

static void rooms_init(struct rooms *rooms) {
    *rooms = (struct rooms){0};
    for (int i = 0; i < BATONS; i++) baton_init(&rooms->batons[i]);
    baton_set_init(&rooms->set, rooms->batons, BATONS);
}

static void visit(struct rooms *rooms, uint64_t mask) {
    for (int i = 0; i < BATONS; i++) {
        if (!(mask >> i & 1)) continue;
        rooms->visits[i]++;
        atomic_add_relaxed(&rooms->expected[i], 1);
    }
    atomic_add_relaxed(&rooms->calls, 1);
}

static void check_rooms(struct rooms *rooms) {
    for (int i = 0; i < BATONS; i++) {
        assert_int_equal(rooms->visits[i], atomic_load_relaxed(&rooms->expected[i]));
        uint32_t word = atomic_load_relaxed(&rooms->batons[i].word);
        assert_int_equal(word, 0);
    }
    assert_int_equal(atomic_load_relaxed(&rooms->set.ticket), 0);
    assert_int_equal(atomic_load_relaxed(&rooms->set.hush) & 1, 0);
}

static void take_set(struct rooms *rooms, struct crew_member *member) {
    uint64_t mask = 1 + crew_random(member, (uint32_t)ALL);
    if (crew_random(member, 4) == 0) {
        if (!baton_set_try(&rooms->set, mask)) return;
    } else if (crew_random(member, 4) == 0) {
        uint64_t deadline_ns = crew_deadline_us(crew_random(member, 100));
        if (baton_set_take(&rooms->set, mask, deadline_ns) == BATON_BUSY) return;
    } else {
        assert_int_equal(baton_set_take(&rooms->set, mask, FUTEX_NO_DEADLINE), BATON_TAKEN);
    }
    visit(rooms, mask);
    if (crew_random(member, 8) == 0) crew_sleep_us(30); /* long enough for others to fall asleep */
    baton_set_drop(&rooms->set, mask);
}

/* As a shard thread does: its own baton first, lower ones by trying, slices in between. */
static void take_as_shard(struct rooms *rooms, struct crew_member *member) {
    uint32_t own = member->index % BATONS;
    enum baton_result result = baton_take(&rooms->batons[own], FUTEX_NO_DEADLINE);
    if (result == BATON_HUSHED) {
        baton_set_wait_hush(&rooms->set);
        return;
    }
    assert_int_equal(result, BATON_TAKEN);
    uint64_t others = crew_random(member, (uint32_t)ALL + 1) & ~(UINT64_C(1) << own);
    if (baton_set_try(&rooms->set, others)) {
        visit(rooms, others | UINT64_C(1) << own);
        baton_set_drop(&rooms->set, others);
    }
    if (baton_yield(&rooms->batons[own], FUTEX_NO_DEADLINE) == BATON_TAKEN)
        baton_drop(&rooms->batons[own]);
}

/* As a script does: part of its set, an effect, then the rest in any order. */
static void run_script(struct rooms *rooms, struct crew_member *member) {
    assert_int_equal(baton_ticket_take(&rooms->set, FUTEX_NO_DEADLINE), BATON_TAKEN);
    rooms->scripts++;
    uint64_t held = crew_random(member, (uint32_t)ALL + 1);
    if (held) assert_int_equal(baton_set_take(&rooms->set, held, FUTEX_NO_DEADLINE), BATON_TAKEN);
    visit(rooms, held);
    if (crew_random(member, 4) == 0) crew_sleep_us(30);
    for (int more = 0; more < 3; more++) {
        uint32_t index = crew_random(member, BATONS);
        if (held >> index & 1) continue;
        assert_int_equal(baton_ticket_extend(&rooms->set, index), BATON_TAKEN);
        held |= UINT64_C(1) << index;
        visit(rooms, UINT64_C(1) << index);
    }
    baton_set_drop(&rooms->set, held);
    baton_ticket_drop(&rooms->set);
}

static void mix(struct crew_member *member) {
    struct rooms *rooms = member->world;
    for (int i = 0; i < ROUNDS; i++) {
        switch (crew_random(member, 8)) {
        case 0:
            run_script(rooms, member);
            break;
        case 1:
        case 2:
        case 3:
            take_as_shard(rooms, member);
            break;
        default:
            take_set(rooms, member);
        }
    }
}

static void test_random_sets_with_scripts_neither_lock_up_nor_tear(void **state) {
    (void)state;
    struct rooms rooms;
    rooms_init(&rooms);
    crew_run(THREADS, mix, &rooms);
    check_rooms(&rooms);
    assert_true(rooms.scripts > THREADS * ROUNDS / 16);
    assert_true(atomic_load_relaxed(&rooms.calls) > THREADS * ROUNDS / 2);
}

static void test_try_takes_all_or_nothing(void **state) {
    (void)state;
    struct rooms rooms;
    rooms_init(&rooms);
    assert_true(baton_try(&rooms.batons[2]));
    assert_false(baton_set_try(&rooms.set, ALL));
    assert_true(baton_set_try(&rooms.set, ALL ^ 4));
    assert_int_equal(baton_set_take(&rooms.set, 4, 0), BATON_BUSY);
    baton_set_drop(&rooms.set, ALL);
    check_rooms(&rooms);
}

static void test_a_take_that_runs_out_of_time_keeps_nothing(void **state) {
    (void)state;
    struct rooms rooms;
    rooms_init(&rooms);
    assert_true(baton_try(&rooms.batons[4]));
    assert_int_equal(baton_set_take(&rooms.set, ALL, crew_deadline_us(200)), BATON_BUSY);
    baton_drop(&rooms.batons[4]);
    check_rooms(&rooms);
}

static void hold_two(struct crew_member *member) {
    struct rooms *rooms = member->world;
    assert_int_equal(baton_set_take(&rooms->set, 3, FUTEX_NO_DEADLINE), BATON_TAKEN);
    atomic_store_release(&rooms->calls, 1);
    futex_wake(&rooms->calls, 1);
    crew_sleep_us(3000);
    baton_set_drop(&rooms->set, 3);
}

static void test_hush_sends_newcomers_away_until_the_ticket_is_back(void **state) {
    (void)state;
    struct rooms rooms;
    struct crew_member holder = {0};
    rooms_init(&rooms);
    assert_int_equal(baton_ticket_take(&rooms.set, 0), BATON_TAKEN);
    assert_int_equal(baton_ticket_take(&rooms.set, crew_deadline_us(100)), BATON_BUSY);
    crew_start(&holder, hold_two, &rooms);
    while (!atomic_load_acquire(&rooms.calls)) futex_wait(&rooms.calls, 0, FUTEX_NO_DEADLINE);
    assert_int_equal(baton_ticket_extend(&rooms.set, 0), BATON_TAKEN); /* waits, hence hush */
    assert_false(baton_try(&rooms.batons[3]));
    assert_int_equal(baton_take(&rooms.batons[3], FUTEX_NO_DEADLINE), BATON_HUSHED);
    assert_int_equal(baton_set_take(&rooms.set, 8, crew_deadline_us(200)), BATON_BUSY);
    assert_int_equal(baton_ticket_extend(&rooms.set, 3), BATON_TAKEN);
    crew_join(&holder);
    baton_set_drop(&rooms.set, 9);
    baton_ticket_drop(&rooms.set);
    baton_set_wait_hush(&rooms.set);
    assert_int_equal(baton_set_take(&rooms.set, ALL, 0), BATON_TAKEN);
    baton_set_drop(&rooms.set, ALL);
    check_rooms(&rooms);
}

static void test_a_closed_set_is_gone(void **state) {
    (void)state;
    struct rooms rooms;
    rooms_init(&rooms);
    assert_int_equal(baton_ticket_take(&rooms.set, 0), BATON_TAKEN);
    assert_true(baton_set_try(&rooms.set, ALL));
    for (int i = 0; i < BATONS; i++) baton_close(&rooms.batons[i]);
    assert_false(baton_set_try(&rooms.set, ALL));
    assert_int_equal(baton_set_take(&rooms.set, ALL, FUTEX_NO_DEADLINE), BATON_GONE);
    assert_int_equal(baton_ticket_extend(&rooms.set, 1), BATON_GONE);
    assert_int_equal(baton_ticket_take(&rooms.set, FUTEX_NO_DEADLINE), BATON_GONE);
    baton_ticket_drop(&rooms.set);
    for (int i = 0; i < BATONS; i++) assert_true(baton_is_closed(&rooms.batons[i]));
}

static void test_a_full_set_has_64(void **state) {
    (void)state;
    static struct baton batons[BATON_SET_MAX];
    struct baton_set set;
    for (int i = 0; i < BATON_SET_MAX; i++) baton_init(&batons[i]);
    baton_set_init(&set, batons, BATON_SET_MAX);
    assert_int_equal(baton_set_take(&set, UINT64_MAX, 0), BATON_TAKEN);
    assert_int_equal(baton_take(&batons[63], 0), BATON_BUSY);
    baton_set_drop(&set, UINT64_MAX);
    assert_true(baton_set_try(&set, UINT64_MAX));
    baton_set_drop(&set, UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_try_takes_all_or_nothing),
        cmocka_unit_test(test_a_take_that_runs_out_of_time_keeps_nothing),
        cmocka_unit_test(test_hush_sends_newcomers_away_until_the_ticket_is_back),
        cmocka_unit_test(test_a_closed_set_is_gone),
        cmocka_unit_test(test_a_full_set_has_64),
        cmocka_unit_test(test_random_sets_with_scripts_neither_lock_up_nor_tear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
