/* The heap of deadlines: always the earliest first, whoever leaves, and refused memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "shard/shard.h"

enum { WAITERS = 400, STEPS = 20000 };

static uint64_t earliest(struct waiter *waiters[WAITERS]) {
    uint64_t first = WAITING_NEVER;
    for (int i = 0; i < WAITERS; i++)
        if (waiters[i]->alarm_index != WAITER_NO_ALARM && waiters[i]->alarm_us < first)
            first = waiters[i]->alarm_us;
    return first;
}

static void toggle(struct timers *timers, struct waiter *waiter, uint64_t alarm_us) {
    if (waiter->alarm_index != WAITER_NO_ALARM) {
        timers_remove(timers, waiter);
        assert_int_equal(waiter->alarm_index, WAITER_NO_ALARM);
        timers_remove(timers, waiter);
        return;
    }
    waiter->alarm_us = alarm_us;
    assert_true(timers_reserve(timers, 1));
    timers_add(timers, waiter);
    assert_ptr_equal(timers->heap[waiter->alarm_index], waiter);
}

static void test_the_earliest_comes_first(void **state) {
    (void)state;
    struct waiter *waiters[WAITERS];
    struct timers timers = {0};
    struct random_state random;
    random_seed(&random, 11);
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = calloc(1, sizeof **waiters);
        assert_non_null(waiters[i]);
        waiters[i]->alarm_index = WAITER_NO_ALARM;
    }
    for (int step = 0; step < STEPS; step++) {
        /* Few deadlines, so that many are equal. */
        toggle(&timers, waiters[random_below(&random, WAITERS)], random_below(&random, 50));
        if (step % 16 == 0) assert_int_equal(timers_next_us(&timers), earliest(waiters));
    }
    while (timers.count) {
        assert_int_equal(timers_next_us(&timers), earliest(waiters));
        timers_remove(&timers, timers.heap[0]);
    }
    assert_int_equal(timers_next_us(&timers), WAITING_NEVER);
    timers_deinit(&timers);
    for (int i = 0; i < WAITERS; i++) free(waiters[i]);
}

static void test_refused_memory(void **state) {
    (void)state;
    struct timers timers = {0};
    mem_fail_after(1);
    bool reserved = timers_reserve(&timers, 1);
    mem_fail_after(0);
    assert_false(reserved);
    assert_true(timers_reserve(&timers, 1));
    assert_true(timers_reserve(&timers, 100));
    assert_true(timers.capacity >= 100);
    timers_deinit(&timers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_earliest_comes_first),
        cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
