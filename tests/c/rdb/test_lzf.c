/* What is compressed is read back by a decoder of the test's own, is never longer than is promised, and is short where the
 * bytes repeat. */
#include "rdb/lzf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

enum { ROUNDS = 3000 };

/* Returns how many bytes came out. Every access is checked. */
static size_t expand(const uint8_t *at, size_t len, uint8_t *to, size_t room) {
    size_t out = 0;
    for (size_t in = 0; in < len;) {
        unsigned control = at[in++];
        if (control < 32) {
            size_t count = control + 1;
            assert_true(in + count <= len && out + count <= room);
            memcpy(to + out, at + in, count);
            in += count;
            out += count;
            continue;
        }
        size_t count = control >> 5;
        if (count == 7) {
            assert_true(in < len);
            count += at[in++];
        }
        assert_true(in < len);
        size_t distance = ((size_t)(control & 31) << 8 | at[in++]) + 1;
        count += 2;
        assert_true(distance <= out && out + count <= room);
        for (; count > 0; count--, out++) to[out] = to[out - distance];
    }
    return out;
}

struct bench {
    char *from, *compressed;
    uint8_t *back;
    struct random_state random;
};

static void bench_init(struct bench *bench) {
    random_seed(&bench->random, 11);
    bench->from = malloc(LZF_PIECE_MAX);
    bench->compressed = malloc(lzf_bound(LZF_PIECE_MAX));
    bench->back = malloc(LZF_PIECE_MAX);
}

static void bench_deinit(struct bench *bench) {
    free(bench->from);
    free(bench->compressed);
    free(bench->back);
}

/* In memory of just the promised size, so that a sanitizer sees what is outside of it. */
static size_t check(struct bench *bench, size_t len) {
    char *from = malloc(len > 0 ? len : 1), *to = malloc(lzf_bound(len));
    memcpy(from, bench->from, len);
    size_t compressed = lzf_compress(from, len, to);
    assert_true(compressed <= lzf_bound(len));
    assert_int_equal(expand((const uint8_t *)to, compressed, bench->back, LZF_PIECE_MAX), len);
    assert_memory_equal(bench->back, from, len);
    free(from);
    free(to);
    return compressed;
}

static void fill(struct bench *bench, size_t len, unsigned letters) {
    for (size_t i = 0; i < len; i++) bench->from[i] = (char)random_below(&bench->random, letters);
}

/* Bytes, and copies of what is there already. */
static void fill_with_copies(struct bench *bench, size_t len) {
    for (size_t i = 0; i < len;) {
        size_t count = 1 + random_below(&bench->random, 300);
        count = count < len - i ? count : len - i;
        size_t from = random_below(&bench->random, i + 1);
        bool copy = i > 0 && random_below(&bench->random, 2) == 0;
        for (; count > 0; count--, i++, from++)
            bench->from[i] = copy ? bench->from[from] : (char)random_below(&bench->random, 256);
    }
}

static void test_round_trip(void **state) {
    struct bench bench;
    (void)state;
    bench_init(&bench);
    for (size_t len = 0; len < 300; len++) {
        fill(&bench, len, 2);
        (void)check(&bench, len);
    }
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = random_below(&bench.random, round % 50 == 0 ? LZF_PIECE_MAX + 1 : 2000);
        if (round % 3 == 0) fill_with_copies(&bench, len);
        else fill(&bench, len, 1u << random_below(&bench.random, 9));
        (void)check(&bench, len);
    }
    bench_deinit(&bench);
}

static void test_whole_pieces(void **state) {
    struct bench bench;
    (void)state;
    bench_init(&bench);
    memset(bench.from, 0, LZF_PIECE_MAX);
    assert_true(check(&bench, LZF_PIECE_MAX) < LZF_PIECE_MAX / 80);
    fill(&bench, LZF_PIECE_MAX, 256);
    (void)check(&bench, LZF_PIECE_MAX);
    for (size_t i = 0; i < LZF_PIECE_MAX; i++) bench.from[i] = "a word and another one, "[i % 24];
    assert_true(check(&bench, LZF_PIECE_MAX) < LZF_PIECE_MAX / 50);
    /* The furthest that a repetition may lie back, and one further. */
    fill(&bench, LZF_PIECE_MAX, 256);
    memcpy(bench.from + 8192, bench.from, 100);
    memcpy(bench.from + 30001, bench.from + 30001 - 8193, 100);
    (void)check(&bench, LZF_PIECE_MAX);
    bench_deinit(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_whole_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
