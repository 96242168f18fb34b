/* The two readings of a clock: what each change does to them, and when a moment will be on the real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/virtual_clock.h"

#define SECOND_US INT64_C(1000000)
#define SLACK_US SECOND_US /* for a busy machine */
#define CENTURY_US (INT64_C(3155760000) * SECOND_US)

static void assert_near(uint64_t at, uint64_t expected) {
    assert_in_range(at, expected, expected + SLACK_US);
}

static uint64_t real_us(void) {
    return clock_monotonic_ns() / 1000;
}

static void test_all_zero_is_real(void **state) {
    (void)state;
    struct virtual_clock clock = {0};
    assert_true(virtual_clock_is_real(&clock));
    assert_false(clock.changed);
    int64_t wall = clock_wall_us();
    assert_near((uint64_t)virtual_clock_wall_us(&clock), (uint64_t)wall);
    uint64_t now = real_us();
    assert_near(virtual_clock_waiting_us(&clock), now);
    assert_int_equal(virtual_clock_real_ns(&clock, 5), 5000);
    assert_int_equal(virtual_clock_real_ns(&clock, WAITING_NEVER), FUTEX_NO_DEADLINE);
}

static void test_frozen(void **state) {
    (void)state;
    struct virtual_clock clock = {0};
    virtual_clock_freeze(&clock);
    int64_t wall = virtual_clock_wall_us(&clock);
    uint64_t waiting = virtual_clock_waiting_us(&clock);
    uint64_t after = virtual_clock_after(&clock, 30);
    assert_int_equal(after, waiting + 30);
    assert_int_equal(virtual_clock_real_ns(&clock, after), FUTEX_NO_DEADLINE);
    virtual_clock_move(&clock, 29);
    assert_int_equal(virtual_clock_real_ns(&clock, after), FUTEX_NO_DEADLINE);
    virtual_clock_move(&clock, 1);
    assert_int_equal(virtual_clock_real_ns(&clock, after), 0);
    assert_int_equal(virtual_clock_wall_us(&clock), wall + 30);
    virtual_clock_freeze(&clock);
    assert_int_equal(virtual_clock_wall_us(&clock), wall + 30);
    assert_false(virtual_clock_is_real(&clock));
}

/* Who waits keeps what is left of his time, whichever way the wall clock goes. */
static void test_waiting_time_never_goes_back(void **state) {
    (void)state;
    struct virtual_clock clock = {0};
    virtual_clock_freeze(&clock);
    uint64_t waiting = virtual_clock_waiting_us(&clock);
    virtual_clock_move(&clock, -CENTURY_US / 2);
    assert_int_equal(virtual_clock_waiting_us(&clock), waiting);
    virtual_clock_move(&clock, CENTURY_US);
    assert_int_equal(virtual_clock_waiting_us(&clock), waiting + CENTURY_US);
    virtual_clock_resume(&clock);
    assert_near(virtual_clock_waiting_us(&clock), waiting + CENTURY_US);
    virtual_clock_reset(&clock);
    assert_near(virtual_clock_waiting_us(&clock), waiting + CENTURY_US);
    assert_true(virtual_clock_is_real(&clock));
    assert_true(clock.changed);
    int64_t wall = clock_wall_us();
    assert_near((uint64_t)virtual_clock_wall_us(&clock), (uint64_t)wall);
}

static void test_a_reset_forward_passes_time(void **state) {
    (void)state;
    struct virtual_clock clock = {0};
    virtual_clock_move(&clock, -3600 * SECOND_US);
    uint64_t waiting = virtual_clock_waiting_us(&clock);
    virtual_clock_reset(&clock);
    assert_near(virtual_clock_waiting_us(&clock), waiting + 3600 * SECOND_US);
}

/* A moment of waiting time is as far away in real time. */
static void test_moments_behind_an_offset(void **state) {
    (void)state;
    struct virtual_clock clock = {0};
    virtual_clock_move(&clock, CENTURY_US);
    uint64_t now = real_us(), at = virtual_clock_after(&clock, 5 * SECOND_US);
    assert_near(virtual_clock_real_ns(&clock, at) / 1000, now + 5 * SECOND_US);
    assert_int_equal(virtual_clock_real_ns(&clock, CENTURY_US - 1), 0);
    assert_int_equal(virtual_clock_waiting_at(&clock, virtual_clock_real_ns(&clock, at)), at);
    /* It stood longer than it was moved: what is added is negative. */
    struct virtual_clock behind = {.waiting_us = (uint64_t)-SECOND_US};
    assert_int_equal(virtual_clock_real_ns(&behind, 3 * SECOND_US), 4 * SECOND_US * 1000);
    assert_int_equal(virtual_clock_waiting_at(&behind, 4 * SECOND_US * 1000), 3 * SECOND_US);
    assert_int_equal(virtual_clock_real_ns(&behind, WAITING_NEVER - 1), FUTEX_NO_DEADLINE);
    assert_int_equal(virtual_clock_after(&behind, WAITING_NEVER - 1), WAITING_NEVER - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_zero_is_real),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_waiting_time_never_goes_back),
        cmocka_unit_test(test_a_reset_forward_passes_time),
        cmocka_unit_test(test_moments_behind_an_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
