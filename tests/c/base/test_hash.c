/* The hash of keys: every byte counts, every use of its bits is even; and the random generator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

static const struct hash_seed seed = {.a = 0x0123456789abcdef, .b = 0xfedcba9876543210};

/* In a block of its exact size, at an odd address: a sanitizer sees a look beyond it. */
static uint64_t hash_of(const char *text, size_t len) {
    char *block = malloc(len + 1);
    assert_non_null(block);
    memcpy(block + 1, text, len);
    uint64_t hash = hash_bytes(&seed, block + 1, len);
    free(block);
    return hash;
}

static int compare(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void assert_all_differ(uint64_t *hashes, size_t count) {
    qsort(hashes, count, sizeof *hashes, compare);
    for (size_t i = 1; i < count; i++) assert_true(hashes[i - 1] != hashes[i]);
}

/* Runs of zeroes of every length, and every single bit in keys of every length up to 80. */
static void test_every_byte_and_the_length_count(void **state) {
    enum { LENGTHS = 80 };
    static uint64_t hashes[LENGTHS + LENGTHS * LENGTHS * 8];
    char key[LENGTHS] = {0};
    size_t count = 0;
    (void)state;
    for (size_t len = 0; len < LENGTHS; len++) {
        hashes[count++] = hash_of(key, len);
        for (size_t bit = 0; bit < len * 8; bit++) {
            key[bit / 8] = (char)(1 << bit % 8);
            hashes[count++] = hash_of(key, len);
            key[bit / 8] = 0;
        }
    }
    assert_all_differ(hashes, count);
}

static void test_the_seed_counts(void **state) {
    struct hash_seed other_a = seed, other_b = seed;
    (void)state;
    other_a.a++;
    other_b.b++;
    for (size_t len = 0; len < 40; len++) {
        const char key[40] = "0123456789012345678901234567890123456789";
        uint64_t hash = hash_bytes(&seed, key, len);
        assert_true(hash == hash_bytes(&seed, key, len));
        assert_true(hash != hash_bytes(&other_a, key, len));
        assert_true(hash != hash_bytes(&other_b, key, len));
    }
}

/* 64,000 keys that differ in a number: no part of any use has half more or less than its share. */
static void test_the_uses_are_even(void **state) {
    enum { KEYS = 64000, BUCKETS = 64 };
    uint32_t shards[64] = {0}, prints[256] = {0}, buckets[BUCKETS] = {0};
    char key[32];
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        uint64_t hash = hash_of(key, (size_t)snprintf(key, sizeof key, "key:%012d", i));
        shards[hash_shard(hash, 64)]++;
        prints[hash_fingerprint(hash)]++;
        buckets[hash % BUCKETS]++;
    }
    assert_int_equal(prints[0], 0);
    for (int i = 0; i < 64; i++) {
        assert_in_range(shards[i], KEYS / 64 / 2, KEYS / 64 * 3 / 2);
        assert_in_range(buckets[i], KEYS / BUCKETS / 2, KEYS / BUCKETS * 3 / 2);
    }
    for (int i = 2; i < 256; i++) /* 1 has the share of 0, too */
        assert_in_range(prints[i], KEYS / 256 / 2, KEYS / 256 * 3 / 2);
}

static void test_every_shard_count_is_used_whole(void **state) {
    (void)state;
    for (uint32_t count = 1; count <= 64; count++) {
        assert_int_equal(hash_shard(0, count), 0);
        assert_int_equal(hash_shard(UINT64_MAX, count), count - 1);
    }
}

static void test_random_numbers(void **state) {
    struct random_state one, same, other;
    uint32_t counts[10] = {0};
    (void)state;
    random_seed(&one, 0);
    random_seed(&same, 0);
    random_seed(&other, 1);
    for (int i = 0; i < 100; i++) {
        uint64_t number = random_next(&one);
        assert_true(number == random_next(&same));
        assert_true(number != random_next(&other));
    }
    for (int i = 0; i < 10000; i++) counts[random_below(&one, 10)]++;
    for (int i = 0; i < 10; i++) assert_in_range(counts[i], 800, 1200);
    assert_int_equal(random_below(&one, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_and_the_length_count),
        cmocka_unit_test(test_the_seed_counts),
        cmocka_unit_test(test_the_uses_are_even),
        cmocka_unit_test(test_every_shard_count_is_used_whole),
        cmocka_unit_test(test_random_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
