/* Comparison, and integers as Redis reads and writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"

/* In a block of its exact size: a sanitizer sees a look beyond it. */
static bool parse(const char *text, size_t len, int64_t *out) {
    char *exact = malloc(len + !len);
    assert_non_null(exact);
    memcpy(exact, text, len);
    bool done = bytes_to_int64(bytes_of(exact, len), out);
    free(exact);
    return done;
}

static void assert_reads(const char *text, int64_t expected) {
    int64_t value = 77;
    assert_true(parse(text, strlen(text), &value));
    assert_int_equal(value, expected);
}

static void test_integers_are_read(void **state) {
    (void)state;
    assert_reads("0", 0);
    assert_reads("-1", -1);
    assert_reads("10", 10);
    assert_reads("999999999999999999", 999999999999999999);
    assert_reads("9223372036854775807", INT64_MAX);
    assert_reads("-9223372036854775807", -INT64_MAX);
    assert_reads("-9223372036854775808", INT64_MIN);
}

static void test_what_is_no_integer(void **state) {
    static const char *const wrong[] = {"",
                                        "-",
                                        "+1",
                                        "-0",
                                        "00",
                                        "01",
                                        "-01",
                                        " 1",
                                        "1 ",
                                        "1.0",
                                        "1e3",
                                        "0x1",
                                        "a",
                                        "--1",
                                        "1-",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "18446744073709551616",
                                        "99999999999999999999",
                                        "1000000000000000000000000"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t value = 77;
        assert_false(parse(wrong[i], strlen(wrong[i]), &value));
        assert_int_equal(value, 77);
    }
    int64_t value;
    assert_false(parse("1\0", 2, &value));
    assert_false(parse("\0", 1, &value));
    assert_false(parse("1\xb9", 2, &value));
}

static void assert_round_trip(int64_t value) {
    char *text = malloc(20), expected[32];
    int64_t again;
    assert_non_null(text);
    size_t len = bytes_from_int64(text, value);
    assert_int_equal(len, snprintf(expected, sizeof expected, "%lld", (long long)value));
    assert_memory_equal(text, expected, len);
    assert_true(bytes_to_int64(bytes_of(text, len), &again));
    assert_int_equal(again, value);
    free(text);
}

static void test_integers_are_written(void **state) {
    struct random_state random;
    (void)state;
    random_seed(&random, 9);
    assert_round_trip(INT64_MIN);
    assert_round_trip(INT64_MAX);
    for (int64_t power = 1; power < INT64_MAX / 10; power *= 10)
        for (int64_t offset = -2; offset <= 2; offset++) {
            assert_round_trip(power + offset);
            assert_round_trip(-power + offset);
        }
    for (int i = 0; i < 20000; i++)
        assert_round_trip((int64_t)(random_next(&random) >> random_below(&random, 64)));
    char text[20];
    assert_int_equal(bytes_from_uint64(text, UINT64_MAX), 20);
    assert_memory_equal(text, "18446744073709551615", 20);
}

static void test_words_in_any_case(void **state) {
    (void)state;
    assert_true(bytes_is(BYTES_LITERAL("KeepTTL"), "keepttl"));
    assert_true(bytes_is(bytes_of("nxx", 2), "nx"));
    assert_true(bytes_is(bytes_of("", 0), ""));
    assert_false(bytes_is(BYTES_LITERAL("n"), "nx"));
    assert_false(bytes_is(BYTES_LITERAL("nxx"), "nx"));
    assert_false(bytes_is(BYTES_LITERAL("nx\0"), "nx"));
    assert_false(bytes_is(BYTES_LITERAL("\0"), ""));
    assert_false(bytes_is(BYTES_LITERAL("[x"), "{x")); /* they differ in the bit of the case */
}

static void test_equality(void **state) {
    (void)state;
    assert_true(bytes_equal(BYTES_LITERAL("a\0b"), bytes_of("a\0b", 3)));
    assert_false(bytes_equal(BYTES_LITERAL("a\0b"), BYTES_LITERAL("a\0c")));
    assert_false(bytes_equal(BYTES_LITERAL("a"), BYTES_LITERAL("ab")));
    assert_true(bytes_equal(BYTES_LITERAL(""), BYTES_LITERAL("")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_are_read),
        cmocka_unit_test(test_what_is_no_integer),
        cmocka_unit_test(test_integers_are_written),
        cmocka_unit_test(test_words_in_any_case),
        cmocka_unit_test(test_equality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
