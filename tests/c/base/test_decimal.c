/* Long doubles as text: the short ways say what the C library says. */
#include "base/decimal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { DRAWS = 200000 };

/* What the library prints, without zeros at the end. */
static size_t expected_text(char out[DECIMAL_TEXT_MAX], long double value) {
    size_t len = (size_t)snprintf(out, DECIMAL_TEXT_MAX, "%.17Lf", value);
    while (out[len - 1] == '0') len--;
    len -= out[len - 1] == '.';
    if (len == 2 && memcmp(out, "-0", 2) == 0) return (size_t)snprintf(out, 2, "0");
    return len;
}

static void check_text(long double value) {
    char mine[DECIMAL_TEXT_MAX], theirs[DECIMAL_TEXT_MAX];
    size_t len = decimal_from_long_double(mine, value);
    assert_int_equal(len, expected_text(theirs, value));
    assert_memory_equal(mine, theirs, len);
}

/* Sixteen bits of exponent around one, so that both ways are taken. */
static long double draw_value(struct random_state *random) {
    int exponent = (int)random_below(random, 220) - 140;
    long double value = ldexpl((long double)random_next(random), exponent - 40);
    return random_below(random, 2) ? value : -value;
}

static void test_values_are_written_as_the_library_writes_them(void **state) {
    struct random_state random;
    (void)state;
    random_seed(&random, 1);
    for (int i = 0; i < DRAWS; i++) check_text(draw_value(&random));
    for (int i = 0; i < DRAWS; i++)
        check_text((long double)random_below(&random, 1000000) /
                   (long double)(1 + random_below(&random, 4096)));
}

static void test_edges_are_written(void **state) {
    static const long double values[] = {0.0L,
                                         -0.0L,
                                         1.0L,
                                         0.5L,
                                         0.999999999999999999L,
                                         1e17L,
                                         9.5e17L,
                                         1e18L,
                                         18446744073709551615.0L,
                                         1e19L,
                                         1e-17L,
                                         5e-18L,
                                         1.5e-17L,
                                         4.9e-18L,
                                         1e-30L,
                                         1e300L,
                                         3.0e3L,
                                         0.1L,
                                         1234.56789L};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        check_text(values[i]);
        check_text(-values[i]);
    }
    for (int i = 1; i < 60; i++) { /* halves of the last place */
        check_text(ldexpl(1, -i));
        check_text(3 * ldexpl(1, -i));
    }
}

static void check_read(const char *text, size_t len) {
    long double value = 7;
    assert_true(decimal_to_long_double(bytes_of(text, len), &value));
    assert_true(value == strtold(text, NULL));
    assert_int_equal(signbit(value) != 0, signbit(strtold(text, NULL)) != 0);
}

static void test_digits_are_read_as_the_library_reads_them(void **state) {
    struct random_state random;
    char text[64];
    (void)state;
    random_seed(&random, 2);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t whole = random_next(&random) >> random_below(&random, 64);
        uint64_t part = random_next(&random) >> random_below(&random, 64);
        const char *sign = random_below(&random, 2) ? "-" : "";
        int len =
            random_below(&random, 4)
                ? snprintf(text, sizeof text, "%s%llu.%0*llu", sign, (unsigned long long)whole,
                           (int)random_below(&random, 9), (unsigned long long)part)
                : snprintf(text, sizeof text, "%s%llu", sign, (unsigned long long)whole);
        check_read(text, (size_t)len);
    }
}

static void test_what_is_no_number_is_refused(void **state) {
    static const char *const texts[] = {"",   "-", ".",   "-.",  " 1",  "1 ", "1.2.3",
                                        "1x", "x", "--1", "+-1", "nan", "1e", "0x"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        long double value = 7;
        assert_false(decimal_to_long_double(bytes_of(texts[i], strlen(texts[i])), &value));
        assert_true(value == 7);
    }
    check_read("1.", 2);
    check_read(".5", 2);
    check_read("+5", 2);
    check_read("-0", 2);
    check_read("1e3", 3);
    check_read("999999999999999999", 18);
    check_read("0.00000000000000001", 19);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_written_as_the_library_writes_them),
        cmocka_unit_test(test_edges_are_written),
        cmocka_unit_test(test_digits_are_read_as_the_library_reads_them),
        cmocka_unit_test(test_what_is_no_number_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
