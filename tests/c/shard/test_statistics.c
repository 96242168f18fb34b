/* Statistics: distributions against a plain list of times, errors by code, rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "shard/observation/statistics.h"

static void buckets_cover_all_times_without_gaps(void **state) {
    (void)state;
    uint64_t begin = 0;
    for (uint32_t bucket = 0; bucket + 1 < LATENCY_BUCKETS; bucket++) {
        uint64_t end = latency_bucket_end_ns(bucket);
        assert_true(end >= begin);
        assert_int_equal(latency_bucket(begin), bucket);
        assert_int_equal(latency_bucket(end), bucket);
        assert_true(end - begin <= begin / 32);
        begin = end + 1;
    }
    assert_int_equal(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1);
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum { TIMES = 10000 };

static void percentiles_are_those_of_the_list(void **state) {
    (void)state;
    static uint64_t times[TIMES];
    static const double percentiles[] = {0, 1, 50, 90, 99, 99.9, 100};
    static struct latency latency;
    struct random_state random;
    random_seed(&random, 7);
    for (int i = 0; i < TIMES; i++) {
        times[i] = random_next(&random) >> (35 + random_next(&random) % 29);
        latency_note(&latency, times[i], 1);
    }
    qsort(times, TIMES, sizeof *times, by_size);
    assert_int_equal(latency_count(&latency), TIMES);
    for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++) {
        size_t rank = (size_t)(percentiles[i] / 100 * TIMES);
        uint64_t exact = times[rank ? rank - 1 : 0];
        uint64_t got = latency_percentile_ns(&latency, percentiles[i]);
        assert_true(got >= exact && got - exact <= exact / 32);
    }
}

static void sums_of_places_are_places(void **state) {
    (void)state;
    static struct latency one, other;
    one.counts[3] = 2;
    other.counts[3] = 1;
    other.counts[800] = 4;
    latency_add(&one, &other);
    assert_int_equal(one.counts[3], 3);
    assert_int_equal(latency_count(&one), 7);
    assert_int_equal(latency_percentile_ns(&one, 100), latency_bucket_end_ns(800));
    assert_int_equal(latency_percentile_ns(&(struct latency){0}, 50), 0);
}

/* Short calls are measured one in eight, long ones each; what was measured stands for all. */
static void time_is_that_of_all_calls(void **state) {
    (void)state;
    struct command_statistics command = {0};
    uint64_t short_ticks = 1000, ticks = 0, measured = 0;
    assert_true(clock_ticks_to_ns(short_ticks) < SHORT_CALL_NS);
    for (int call = 0; call < 801; call++) {
        if (statistics_begin(&command) == 0) continue;
        statistics_measure(&command, short_ticks, true);
        measured++;
    }
    assert_int_equal(command.calls, 801);
    assert_int_equal(measured, 101);
    assert_int_equal(command.measured, 801);
    assert_int_equal(latency_count(command.latency), 801);
    ticks = command.calls * short_ticks;
    assert_int_equal(statistics_time_ns(&command), clock_ticks_to_ns(ticks));
    uint64_t long_ticks = short_ticks * 1000000;
    for (int call = 0; call < 8; call++)
        assert_int_equal(statistics_begin(&command) != 0, call == 7);
    statistics_measure(&command, long_ticks, false);
    for (int call = 0; call < 5; call++) {
        assert_true(statistics_begin(&command) != 0);
        statistics_measure(&command, long_ticks, false);
    }
    ticks += long_ticks * 13;
    assert_int_equal(statistics_time_ns(&command), clock_ticks_to_ns(ticks));
    assert_int_equal(statistics_begin(&command) != 0, true);
    statistics_interrupt(&command, 0);
    assert_int_equal(command.calls, 814);
    free(command.latency);
}

static void errors_are_counted_by_code(void **state) {
    (void)state;
    struct statistics statistics;
    const struct command *get = command_find_name(BYTES_LITERAL("get"));
    assert_true(statistics_init(&statistics));
    statistics_error(&statistics, get, true, "WRONGTYPE");
    statistics_error(&statistics, get, false, "NOAUTH");
    statistics_error(&statistics, NULL, false, "ERR");
    statistics_error(&statistics, get, true, "WRONGTYPE");
    assert_int_equal(statistics.error_replies, 4);
    assert_int_equal(statistics.error_count, 3);
    assert_string_equal(statistics.errors[0].code, "WRONGTYPE");
    assert_int_equal(statistics.errors[0].count, 2);
    assert_int_equal(statistics.commands[get->id].failed, 2);
    assert_int_equal(statistics.commands[get->id].rejected, 1);
    for (int i = 0; i < 2 * ERROR_CODES; i++) {
        char code[REPLY_CODE_MAX + 1];
        (void)snprintf(code, sizeof code, "CODE%d", i);
        statistics_error(&statistics, NULL, false, code);
    }
    assert_int_equal(statistics.error_count, ERROR_CODES);
    assert_int_equal(statistics.error_replies, 4 + 2 * ERROR_CODES);
    statistics_reset(&statistics);
    assert_int_equal(statistics.error_count, 0);
    assert_int_equal(statistics.commands[get->id].failed, 0);
    statistics_error(&statistics, get, true, "OOM");
    assert_int_equal(statistics.errors[0].count, 1);
    statistics_deinit(&statistics);
}

static struct rate_sample sample_at(uint64_t ms, uint64_t commands) {
    return (struct rate_sample){.at_ns = ms * 1000000, .commands = commands};
}

static void rates_look_back_over_the_window(void **state) {
    (void)state;
    struct statistics statistics = {0};
    for (uint64_t ms = 1000000; ms < 1005000; ms += 10) {
        struct rate_sample now = sample_at(ms, ms * 3);
        statistics_sample(&statistics, &now);
    }
    /* Every tenth of a second was noted, and the oldest of the window is where a rate begins. */
    const struct rate_sample *from = statistics_baseline(&statistics, sample_at(1005000, 0).at_ns);
    assert_int_equal(from->at_ns, sample_at(1003400, 0).at_ns);
    assert_int_equal(from->commands, UINT64_C(1003400) * 3);
    /* Whoever slept is measured from its last sample. */
    from = statistics_baseline(&statistics, sample_at(1060000, 0).at_ns);
    assert_int_equal(from->at_ns, sample_at(1004900, 0).at_ns);
}

static void ticks_are_nanoseconds_by_the_scale(void **state) {
    (void)state;
    clock_calibrate();
    uint64_t start_ns = clock_monotonic_ns(), start = clock_ticks();
    clock_sleep_ns(20000000);
    uint64_t ticks = clock_ticks() - start, ns = clock_monotonic_ns() - start_ns;
    double ratio = (double)clock_ticks_to_ns(ticks) / (double)ns;
    assert_true(ratio > 0.95 && ratio < 1.05);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_cover_all_times_without_gaps),
        cmocka_unit_test(percentiles_are_those_of_the_list),
        cmocka_unit_test(sums_of_places_are_places),
        cmocka_unit_test(time_is_that_of_all_calls),
        cmocka_unit_test(errors_are_counted_by_code),
        cmocka_unit_test(rates_look_back_over_the_window),
        cmocka_unit_test(ticks_are_nanoseconds_by_the_scale),
    };
    return cmocka_run_group_tests_name("statistics", tests, NULL, NULL);
}
