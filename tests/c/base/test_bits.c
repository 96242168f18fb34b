/* Bits of bytes, held against a model that takes them one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"

enum { LEN_MAX = 700, ROUNDS = 300 };

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

/* In a block of its exact size: a sanitizer sees a look beyond it. */
struct run {
    char *at;
    size_t len;
};

/* Of mostly zeros, mostly ones, or anything. */
static struct run run_new(size_t len, unsigned kind) {
    struct run run = {malloc(len + !len), len};
    assert_non_null(run.at);
    memset(run.at, kind == 1 ? 0xff : 0, len);
    if (kind < 2 && len > 0 && draw(4) > 0) run.at[draw(len)] ^= (char)(1 << draw(8));
    for (size_t i = 0; kind == 2 && i < len; i++) run.at[i] = (char)draw(256);
    return run;
}

static bool bit_of(struct run run, uint64_t number) {
    return (uint8_t)run.at[number / 8] >> (7 - number % 8) & 1;
}

static uint64_t count_naively(struct run run, uint64_t first, uint64_t end) {
    uint64_t count = 0;
    for (uint64_t i = first; i < end; i++) count += bit_of(run, i);
    return count;
}

static uint64_t find_naively(struct run run, uint64_t first, uint64_t end, bool bit) {
    uint64_t i = first;
    while (i < end && bit_of(run, i) != bit) i++;
    return i < end ? i : end;
}

static void check_part(struct run run, uint64_t first, uint64_t end) {
    assert_int_equal(bits_count(run.at, first, end), count_naively(run, first, end));
    assert_int_equal(bits_find(run.at, first, end, true), find_naively(run, first, end, true));
    assert_int_equal(bits_find(run.at, first, end, false), find_naively(run, first, end, false));
}

static void test_parts(void **unused) {
    (void)unused;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct run run = run_new(draw(LEN_MAX), round % 3);
        uint64_t bits = run.len * 8;
        check_part(run, 0, bits);
        for (int i = 0; i < 10 && bits; i++) {
            uint64_t first = draw(bits + 1), end = first + draw(bits - first + 1);
            uint64_t soon = first + draw(20);
            check_part(run, first, end);
            check_part(run, first, soon < bits ? soon : bits);
        }
        free(run.at);
    }
}

static void test_parts_that_are_empty(void **unused) {
    (void)unused;
    assert_int_equal(bits_count("", 0, 0), 0);
    assert_int_equal(bits_count("", 5, 3), 0);
    assert_int_equal(bits_find("", 0, 0, false), 0);
    assert_int_equal(bits_find("", 9, 9, true), 9);
}

/* Every length around the steps of the loops, all ones: each bit is counted once. */
static void test_every_length(void **unused) {
    (void)unused;
    for (size_t len = 0; len < 600; len++) {
        struct run run = run_new(len, 2);
        memset(run.at, 0xff, len);
        assert_int_equal(bits_count(run.at, 0, len * 8), len * 8);
        assert_int_equal(bits_find(run.at, 0, len * 8, false), len * 8);
        memset(run.at, 0, len);
        assert_int_equal(bits_find(run.at, 0, len * 8, true), len * 8);
        assert_int_equal(bits_count(run.at, 0, len * 8), 0);
        free(run.at);
    }
}

static char combined(enum bits_operation operation, char a, char b) {
    return (char)(operation == BITS_AND ? a & b : operation == BITS_OR ? a | b : a ^ b);
}

static void check_combined(enum bits_operation operation, size_t len) {
    struct run to = run_new(len, 2), from = run_new(len, 2), before = run_new(len, 0);
    memcpy(before.at, to.at, len);
    bits_combine(operation, to.at, from.at, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(to.at[i], combined(operation, before.at[i], from.at[i]));
    bits_invert(to.at, to.at, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(to.at[i], (char)~combined(operation, before.at[i], from.at[i]));
    bits_invert(from.at, to.at, len);
    for (size_t i = 0; i < len; i++) assert_int_equal(from.at[i], (char)~to.at[i]);
    free(to.at);
    free(from.at);
    free(before.at);
}

static void test_combining(void **unused) {
    (void)unused;
    for (size_t len = 0; len < 140; len++) {
        check_combined(BITS_AND, len);
        check_combined(BITS_OR, len);
        check_combined(BITS_XOR, len);
    }
}

static uint64_t read_naively(struct run run, uint64_t first, uint32_t width) {
    uint64_t value = 0;
    for (uint32_t i = 0; i < width; i++) value = value << 1 | bit_of(run, first + i);
    return value;
}

/* A number is read as the model does; written, it is what was written, and nothing beside it moved. */
static void check_number(uint64_t first, uint32_t width, unsigned kind) {
    uint64_t end = first + width, all = UINT64_MAX >> (64 - width), value = draw(UINT64_MAX);
    struct run run = run_new((end + 7) / 8, kind), before = run_new(run.len, 0);
    memcpy(before.at, run.at, run.len);
    assert_int_equal(bits_read(run.at, first, width), read_naively(run, first, width));
    bits_write(run.at, first, width, value);
    assert_int_equal(read_naively(run, first, width), value & all);
    assert_int_equal(bits_read(run.at, first, width), value & all);
    for (uint64_t i = 0; i < run.len * 8; i++)
        if (i < first || i >= end) assert_int_equal(bit_of(run, i), bit_of(before, i));
    free(run.at);
    free(before.at);
}

static void test_numbers(void **unused) {
    (void)unused;
    for (uint64_t first = 0; first < 24; first++)
        for (uint32_t width = 1; width <= 64; width++)
            for (unsigned kind = 0; kind < 3; kind++) check_number(first, width, kind);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),        cmocka_unit_test(test_parts_that_are_empty),
        cmocka_unit_test(test_every_length), cmocka_unit_test(test_combining),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
