/* Hot keys: what the table promises of counts, against counts of everything; fading, looks, sums, and the keys of calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "shard/observation/statistics.h"

enum { NAMES = 5000, NOTES = 200000 };

static struct hash_seed seed = {1, 2};

static void note(struct hot_keys *keys, unsigned number, double weight) {
    char name[32];
    uint32_t len = (uint32_t)snprintf(name, sizeof name, "key:%u", number);
    hot_keys_note(keys, hash_bytes(&seed, name, len), 0, bytes_of(name, len), weight);
}

/* Small numbers are drawn far more often than large ones. */
static unsigned draw(struct random_state *random) {
    uint64_t number = random_below(random, NAMES);
    for (int i = 0; i < 4; i++) number = number * random_below(random, NAMES) / NAMES;
    return (unsigned)number;
}

static unsigned number_of(const struct hot_key *key) {
    char name[HOT_KEY_BYTES + 1] = {0};
    memcpy(name, key->name, key->len);
    return (unsigned)atoi(name + strlen("key:"));
}

static void counts_are_within_their_doubt(void **state) {
    (void)state;
    static struct hot_keys keys;
    static double exact[NAMES];
    struct random_state random;
    random_seed(&random, 11);
    for (int i = 0; i < NOTES; i++) {
        unsigned number = draw(&random), weight = 1 + i % 3;
        exact[number] += weight;
        note(&keys, number, weight);
    }
    bool found[NAMES] = {false};
    for (uint32_t i = 0; i < keys.count; i++) {
        const struct hot_key *key = &keys.at[i];
        found[number_of(key)] = true;
        assert_true(exact[number_of(key)] <= key->count);
        assert_true(exact[number_of(key)] >= key->count - key->doubt);
    }
    unsigned frequent = 0;
    for (unsigned number = 0; number < NAMES; number++) {
        if (exact[number] <= keys.total / HOT_KEYS) continue;
        assert_true(found[number]);
        frequent++;
    }
    assert_true(frequent > 2);
}

static void looking_begins_and_old_counts_fade(void **state) {
    (void)state;
    struct hot_keys *keys = NULL;
    uint64_t now = 5 * HOT_LEASE_NS;
    assert_non_null(hot_keys_look(&keys, now));
    note(keys, 1, 64);
    hot_keys_look(&keys, now + HOT_HALF_LIFE_NS - 1);
    assert_true(keys->at[0].count == 64);
    hot_keys_look(&keys, now + 3 * HOT_HALF_LIFE_NS);
    assert_true(keys->at[0].count == 8 && keys->total == 8);
    hot_keys_look(&keys, now + 1000 * HOT_HALF_LIFE_NS);
    assert_true(keys->at[0].count < 1e-9);
    mem_free(NULL, keys);
}

static struct hot_keys *look_at_call(struct hot_keys **slot, const struct bytes *argv,
                                     uint32_t argc, uint64_t now) {
    struct domain domain = {.hash_seed = seed};
    struct call call = {
        .command = command_find(argv, argc), .argv = argv, .argc = argc, .domain = &domain};
    assert_non_null(call.command);
    hot_keys_note_call(slot, &call, 5, now);
    return *slot;
}

static void calls_are_noted_until_nobody_looks(void **state) {
    (void)state;
    struct hot_keys *keys = NULL;
    const struct bytes get[] = {BYTES_LITERAL("get"), BYTES_LITERAL("a")};
    const struct bytes ping[] = {BYTES_LITERAL("ping")};
    hot_keys_look(&keys, 100);
    assert_non_null(look_at_call(&keys, get, 2, 200));
    assert_non_null(look_at_call(&keys, ping, 1, 300));
    assert_int_equal(keys->count, 1);
    assert_true(keys->at[0].count == 5 && keys->at[0].len == 1 && keys->at[0].name[0] == 'a');
    assert_null(look_at_call(&keys, get, 2, 101 + HOT_LEASE_NS));
}

static void some_keys_of_many_stand_for_all(void **state) {
    (void)state;
    enum { KEYS = 100 };
    struct hot_keys *keys = NULL;
    static char names[KEYS][8];
    struct bytes argv[KEYS + 1] = {BYTES_LITERAL("mget")};
    for (uint32_t i = 0; i < KEYS; i++)
        argv[i + 1] =
            bytes_of(names[i], (uint32_t)snprintf(names[i], sizeof names[i], "key:%u", i));
    hot_keys_look(&keys, 1);
    for (int i = 0; i < 1000; i++) look_at_call(&keys, argv, KEYS + 1, 2);
    assert_true(keys->total > 0.98 * 5 * 1000 * KEYS && keys->total < 1.04 * 5 * 1000 * KEYS);
    mem_free(NULL, keys);
}

static void places_are_summed_by_name(void **state) {
    (void)state;
    static struct hot_keys sum, one, other;
    for (unsigned i = 0; i < HOT_KEYS; i++) {
        note(&one, i, 100 + i);
        note(&other, i + 10, 1000 + i);
    }
    hot_keys_add(&sum, &one);
    hot_keys_add(&sum, &other);
    assert_int_equal(sum.count, HOT_KEYS);
    assert_true(sum.total == one.total + other.total);
    hot_keys_sort(&sum);
    for (uint32_t i = 0; i < HOT_KEYS; i++) {
        unsigned number = number_of(&sum.at[i]);
        assert_true(number >= 10);
        double both = number < HOT_KEYS ? 100 + number : 0;
        assert_true(sum.at[i].count == both + 1000 + number - 10);
        if (i) assert_true(sum.at[i].count <= sum.at[i - 1].count);
    }
}

static void long_and_empty_names_are_kept_as_far_as_there_is_room(void **state) {
    (void)state;
    static struct hot_keys keys;
    char name[2 * HOT_KEY_BYTES];
    memset(name, 'n', sizeof name);
    hot_keys_note(&keys, 1, 3, bytes_of(name, sizeof name), 1);
    hot_keys_note(&keys, 2, 3, bytes_of(name, 0), 2);
    hot_keys_note(&keys, 2, 4, bytes_of(name, 0), 4);
    assert_int_equal(keys.count, 3);
    assert_int_equal(keys.at[0].len, sizeof name);
    assert_memory_equal(keys.at[0].name, name, HOT_KEY_BYTES);
    assert_true(keys.at[1].count == 2 && keys.at[2].count == 4 && keys.at[2].db == 4);
}

static void distances_have_their_mean(void **state) {
    (void)state;
    static struct hot_keys keys;
    uint64_t sum = 0;
    bool seen[15] = {false};
    for (int i = 0; i < 100000; i++) {
        uint32_t distance = hot_keys_draw(&keys, 14);
        assert_true(distance <= 14);
        seen[distance] = true;
        sum += distance;
    }
    for (int i = 0; i < 15; i++) assert_true(seen[i]);
    assert_true(sum > 690000 && sum < 710000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_within_their_doubt),
        cmocka_unit_test(looking_begins_and_old_counts_fade),
        cmocka_unit_test(calls_are_noted_until_nobody_looks),
        cmocka_unit_test(some_keys_of_many_stand_for_all),
        cmocka_unit_test(places_are_summed_by_name),
        cmocka_unit_test(long_and_empty_names_are_kept_as_far_as_there_is_room),
        cmocka_unit_test(distances_have_their_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
