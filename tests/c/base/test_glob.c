/* Glob patterns: what Redis matches, its oddities included, and in no more than square time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/glob.h"

static struct bytes text(const char *at) {
    return bytes_of(at, strlen(at));
}

struct row {
    const char *pattern, *matched, *other;
};

static void check_rows(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (rows[i].matched && !glob_match(text(rows[i].pattern), text(rows[i].matched)))
            fail_msg("'%s' does not match '%s'", rows[i].pattern, rows[i].matched);
        if (rows[i].other && glob_match(text(rows[i].pattern), text(rows[i].other)))
            fail_msg("'%s' matches '%s'", rows[i].pattern, rows[i].other);
    }
}

#define CHECK(rows) check_rows(rows, sizeof rows / sizeof *rows)

static void test_wildcards(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"abc", "abc", "abcd"},     {"abc", NULL, "ab"},    {"a?c", "axc", "ac"},
        {"?", "a", "ab"},           {"*", "a", NULL},       {"a*", "a", "ba"},
        {"*a", "bca", "ab"},        {"a*c", "abbc", "abb"}, {"a**c", "ac", "a"},
        {"*b*d*", "abcde", "adcb"}, {"a*a", "aa", "a"},
    };
    CHECK(rows);
}

static void test_the_empty_string_is_matched_by_the_empty_pattern_alone(void **state) {
    (void)state;
    assert_true(glob_match(text(""), text("")));
    assert_false(glob_match(text("*"), text("")));
    assert_false(glob_match(text(""), text("a")));
}

static void test_classes(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"[abc]", "b", "d"}, {"[^abc]", "d", "b"}, {"[a-c]x", "bx", "dx"},
        {"[c-a]", "b", "d"}, {"[^a-c]", "d", "a"}, {"[a\\]b]", "]", "\\"},
        {"[a-]", "a", "b"},  {"[\\-a]", "-", "b"}, {"x[]y", NULL, "xy"},
        {"[abc", "c", "d"},  {"[^", "a", NULL},    {"h[ae]llo*", "hallo!", "hillo"},
    };
    CHECK(rows);
}

static void test_escapes(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"\\*", "*", "a"},   {"\\?a", "?a", "ba"}, {"a\\[b", "a[b", "ab"},
        {"\\a", "a", "\\a"}, {"a\\", "a\\", "a"},  {"\\\\", "\\", "\\\\"},
    };
    CHECK(rows);
}

static void test_case(void **state) {
    (void)state;
    assert_true(glob_match_nocase(text("MAX*[C-E]?"), text("maxclients-dx")));
    assert_false(glob_match(text("MAX*"), text("maxclients")));
    assert_true(glob_match_nocase(text("[a-c]"), text("B")));
    assert_false(glob_match_nocase(text("[a-c]"), text("D")));
}

static void test_bytes_are_not_characters(void **state) {
    (void)state;
    assert_true(glob_match(bytes_of("a\0?", 3), bytes_of("a\0\xff", 3)));
    assert_false(glob_match(bytes_of("a\0b", 3), bytes_of("a\0c", 3)));
    assert_true(glob_match(text("[\x80-\xff]"), text("\xc3")));
}

/* Backtracking into every star would take 2^30 steps. */
static void test_stars_do_not_multiply(void **state) {
    (void)state;
    char pattern[61], subject[4001];
    for (int i = 0; i < 60; i++) pattern[i] = i % 2 ? 'a' : '*';
    memset(subject, 'a', 4000);
    pattern[60] = subject[4000] = 0;
    pattern[59] = 'b';
    assert_false(glob_match(text(pattern), text(subject)));
    pattern[59] = 'a';
    assert_true(glob_match(text(pattern), text(subject)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wildcards),
        cmocka_unit_test(test_the_empty_string_is_matched_by_the_empty_pattern_alone),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_case),
        cmocka_unit_test(test_bytes_are_not_characters),
        cmocka_unit_test(test_stars_do_not_multiply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
