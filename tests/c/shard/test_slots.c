/* Reply slots: order, growth, bounds, and their end with replies on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "shard/slots.h"

struct bench {
    struct reply_pool pool;
    struct reply output, incoming;
    struct slots slots;
};

static int bench_open(void **state) {
    static struct bench bench;
    bench = (struct bench){0};
    reply_pool_init(&bench.pool, NULL, 4);
    reply_init(&bench.output, &bench.pool, 2);
    reply_init(&bench.incoming, &bench.pool, 2);
    *state = &bench;
    return 0;
}

static int bench_close(void **state) {
    struct bench *bench = *state;
    slots_deinit(&bench->slots);
    reply_clear(&bench->output);
    reply_clear(&bench->incoming);
    reply_pool_deinit(&bench->pool);
    return 0;
}

static uint32_t issue(struct bench *bench) {
    uint32_t number = UINT32_MAX;
    assert_true(slots_issue(&bench->slots, &bench->pool, &number));
    return number;
}

/* The reply of a slot comes as the first part of a batch that holds more. */
static void fill(struct bench *bench, uint32_t number, int64_t value) {
    reply_integer(&bench->incoming, value);
    uint64_t bytes = reply_pending_bytes(&bench->incoming);
    reply_simple(&bench->incoming, "next");
    slots_fill(&bench->slots, number, &bench->incoming, bytes, &bench->output);
    assert_int_equal(reply_pending_bytes(&bench->incoming), strlen("+next\r\n"));
    reply_clear(&bench->incoming);
}

/* What the output holds, and takes it out. */
static const char *output(struct bench *bench) {
    static char text[65536];
    size_t len = 0;
    struct iovec iov[8];
    for (int count; (count = reply_iovecs(&bench->output, iov, 8)) > 0;) {
        size_t before = len;
        for (int i = 0; i < count; i++) {
            assert_true(len + iov[i].iov_len < sizeof text);
            memcpy(text + len, iov[i].iov_base, iov[i].iov_len);
            len += iov[i].iov_len;
        }
        reply_consume(&bench->output, len - before);
    }
    text[len] = '\0';
    return text;
}

static void test_no_slot_takes_no_memory(void **state) {
    struct bench *bench = *state;
    assert_int_equal(slots_pending(&bench->slots), 0);
    assert_null(bench->slots.ring);
    uint32_t number = issue(bench);
    assert_non_null(bench->slots.ring);
    fill(bench, number, 1);
    assert_string_equal(output(bench), ":1\r\n");
    assert_int_equal(slots_pending(&bench->slots), 0);
    assert_null(bench->slots.ring);
}

static void test_in_order_whatever_comes_home_first(void **state) {
    struct bench *bench = *state;
    uint32_t a = issue(bench), b = issue(bench), c = issue(bench);
    fill(bench, c, 3);
    assert_string_equal(output(bench), "");
    fill(bench, a, 1);
    assert_string_equal(output(bench), ":1\r\n");
    assert_int_equal(slots_pending(&bench->slots), 2);
    fill(bench, b, 2);
    assert_string_equal(output(bench), ":2\r\n:3\r\n");
    assert_int_equal(slots_pending(&bench->slots), 0);
}

/* Random orders over several times the ring, with what is issued in between. */
static void test_random_orders(void **state) {
    enum { TOTAL = 5000, WINDOW = 200 };
    struct bench *bench = *state;
    struct random_state random;
    uint32_t numbers[WINDOW];
    int64_t values[WINDOW], issued = 0, expected = 0;
    uint32_t open = 0;
    random_seed(&random, 11);
    while (expected < TOTAL) {
        bool room = open < WINDOW && slots_pending(&bench->slots) < SLOTS_MAX;
        if (room && issued < TOTAL && random_next(&random) % 2) {
            numbers[open] = issue(bench);
            values[open++] = issued++;
        } else if (open > 0) {
            uint32_t i = (uint32_t)(random_next(&random) % open);
            fill(bench, numbers[i], values[i]);
            numbers[i] = numbers[--open];
            values[i] = values[open];
        }
        const char *at = output(bench);
        for (int64_t value; sscanf(at, ":%ld\r\n", &value) == 1; at = strchr(at, '\n') + 1)
            assert_int_equal(value, expected++);
        assert_string_equal(at, "");
    }
    assert_int_equal(slots_pending(&bench->slots), 0);
}

static void test_the_bound(void **state) {
    struct bench *bench = *state;
    uint32_t number;
    for (uint32_t i = 0; i < SLOTS_MAX; i++) assert_int_equal(issue(bench), i);
    assert_false(slots_issue(&bench->slots, &bench->pool, &number));
    assert_int_equal(slots_pending(&bench->slots), SLOTS_MAX);
    fill(bench, 0, 0);
    assert_int_equal(issue(bench), SLOTS_MAX);
    for (uint32_t i = SLOTS_MAX; i > 0; i--) fill(bench, i, i);
    assert_int_equal(slots_pending(&bench->slots), 0);
}

static void push(struct bench *bench, const char *text) {
    struct reply pushed;
    reply_init(&pushed, &bench->pool, 3);
    reply_simple(&pushed, text);
    assert_true(slots_push(&bench->slots, &bench->pool, &pushed));
    assert_true(reply_is_empty(&pushed));
}

/* What nobody asked for stands behind what was asked before, and before what was asked after. */
static void test_pushes_keep_their_place(void **state) {
    struct bench *bench = *state;
    uint32_t a = issue(bench);
    push(bench, "p");
    push(bench, "q");
    uint32_t b = issue(bench), c = issue(bench);
    push(bench, "r");
    fill(bench, b, 2);
    assert_string_equal(output(bench), "");
    fill(bench, a, 1);
    assert_string_equal(output(bench), ":1\r\n+p\r\n+q\r\n:2\r\n");
    push(bench, "s");
    fill(bench, c, 3);
    assert_string_equal(output(bench), ":3\r\n+r\r\n+s\r\n");
    assert_int_equal(slots_pending(&bench->slots), 0);
}

static void test_pushes_into_a_full_ring(void **state) {
    struct bench *bench = *state;
    uint32_t number, pushed = 0;
    for (uint32_t i = 0; slots_issue(&bench->slots, &bench->pool, &number); i++, pushed++)
        push(bench, "p");
    assert_int_equal(slots_pending(&bench->slots), SLOTS_MAX);
    for (uint32_t i = 0; i < pushed; i++) fill(bench, 2 * i, i);
    assert_int_equal(slots_pending(&bench->slots), 0);
    assert_int_equal(strlen(output(bench)) > pushed * strlen("+p\r\n"), true);
}

/* Numbers run freely: the ring goes on where 32 bits end. */
static void test_numbers_wrap(void **state) {
    struct bench *bench = *state;
    bench->slots.issued = bench->slots.retired = UINT32_MAX - 1;
    uint32_t numbers[100];
    for (int i = 0; i < 100; i++) numbers[i] = issue(bench);
    assert_int_equal(numbers[0], UINT32_MAX - 1);
    assert_int_equal(numbers[2], 0);
    for (int i = 99; i >= 0; i--) fill(bench, numbers[i], i);
    const char *at = output(bench);
    for (int64_t i = 0, value; i < 100; i++, at = strchr(at, '\n') + 1) {
        assert_int_equal(sscanf(at, ":%ld\r\n", &value), 1);
        assert_int_equal(value, i);
    }
}

static void test_large_values_are_shared(void **state) {
    struct bench *bench = *state;
    struct blob *blob = blob_new(NULL, 100000);
    memset(blob->data, 'x', blob->len);
    uint32_t first = issue(bench), second = issue(bench);
    reply_bulk(&bench->incoming, blob_bytes(blob));
    uint64_t bytes = reply_pending_bytes(&bench->incoming);
    slots_fill(&bench->slots, second, &bench->incoming, bytes, &bench->output);
    assert_int_equal(atomic_load_relaxed(&blob->references), 2);
    fill(bench, first, 1);
    assert_int_equal(reply_pending_bytes(&bench->output), 4 + bytes);
    reply_clear(&bench->output);
    assert_int_equal(atomic_load_relaxed(&blob->references), 1);
    blob_put(blob);
}

/* A connection ends with slots empty, filled and waiting: nothing is left behind. */
static void test_the_end_of_a_connection(void **state) {
    struct bench *bench = *state;
    for (int i = 0; i < 300; i++) issue(bench);
    for (uint32_t i = 1; i < 300; i += 2) fill(bench, i, i);
    slots_deinit(&bench->slots);
    assert_int_equal(slots_pending(&bench->slots), 0);
    assert_null(bench->slots.ring);
    slots_deinit(&bench->slots);
}

static void test_no_memory_issues_nothing(void **state) {
    struct bench *bench = *state;
    uint32_t number;
    mem_fail_after(1);
    assert_false(slots_issue(&bench->slots, &bench->pool, &number));
    mem_fail_after(0);
    assert_int_equal(slots_pending(&bench->slots), 0);
    for (int i = 0; i < SLOTS_FIRST; i++) issue(bench);
    mem_fail_after(1);
    assert_false(slots_issue(&bench->slots, &bench->pool, &number));
    mem_fail_after(0);
    assert_int_equal(slots_pending(&bench->slots), SLOTS_FIRST);
    assert_int_equal(issue(bench), SLOTS_FIRST);
    fill(bench, 0, 7);
    assert_string_equal(output(bench), ":7\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_slot_takes_no_memory, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_in_order_whatever_comes_home_first, bench_open,
                                        bench_close),
        cmocka_unit_test_setup_teardown(test_random_orders, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_bound, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_pushes_keep_their_place, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_pushes_into_a_full_ring, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_numbers_wrap, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_large_values_are_shared, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_end_of_a_connection, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_no_memory_issues_nothing, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
