/* The table through a keyspace: growth and shrinking, the scan's guarantee (K3), equal chances,
 * work without memory for segments. */
#include "store_fixture.h"

#include <stdlib.h>

static void add_number(struct fixture *fixture, uint64_t number) {
    struct number_key key;
    assert_non_null(set(fixture, 0, key_of(&key, number), BYTES_LITERAL("v"), 0));
}

static void delete_number(struct fixture *fixture, uint64_t number) {
    struct number_key key;
    (void)delete (fixture, 0, key_of(&key, number));
}

static const struct table *keys_of(const struct fixture *fixture) {
    return &fixture->keyspace.databases[0]->keys;
}

/* ---- Buckets --------------------------------------------------------------------------------- */

/* The match agrees with a plain loop for every fingerprint, also right beside an equal one. */
static void test_fingerprint_match_is_exact(void **state) {
    (void)state;
    struct random_state random;
    random_seed(&random, 5);
    for (uint32_t round = 0; round < 20000; round++) {
        struct bucket bucket = {0};
        uint8_t wanted = (uint8_t)(1 + random_below(&random, 255));
        uint64_t bound = 1 + random_below(&random, 4);
        for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
            bucket.fingerprints[i] = (uint8_t)(wanted + random_below(&random, bound));
        }
        bucket.meta = 0xff;
        uint64_t match = bucket_match(&bucket, wanted);
        for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
            if (bucket.fingerprints[i] == wanted) {
                assert_int_not_equal(match, 0);
                assert_int_equal(bucket_match_slot(match), i);
                match &= match - 1;
            }
        }
        assert_int_equal(match, 0);
    }
}

/* ---- Growth ---------------------------------------------------------------------------------- */

static void test_every_size_up_and_down(void **state) {
    (void)state;
    enum { KEYS = 500 };
    struct fixture fixture;
    fixture_init(&fixture, 1);
    for (uint64_t i = 0; i < KEYS; i++) {
        add_number(&fixture, i);
        table_check(keys_of(&fixture));
    }
    uint64_t buckets = keys_of(&fixture)->bucket_count;
    assert_in_range(buckets, KEYS / 6, KEYS / 5);
    for (uint64_t i = 0; i < KEYS; i++) {
        delete_number(&fixture, i * 7 % KEYS);
        table_check(keys_of(&fixture));
    }
    assert_int_equal(keys_of(&fixture)->bucket_count, 1);
    assert_int_equal(slab_used_bytes(fixture.keyspace.databases[0]->store.heap), 0);
    fixture_deinit(&fixture);
}

static void test_segments_come_and_go(void **state) {
    (void)state;
    enum { KEYS = 150000 };
    struct fixture fixture;
    fixture_init(&fixture, 1);
    for (uint64_t i = 0; i < KEYS; i++) {
        add_number(&fixture, i);
    }
    keyspace_check(&fixture.keyspace);
    assert_int_equal(keys_of(&fixture)->segment_count, 7);
    for (uint64_t i = 0; i < KEYS; i++) {
        delete_number(&fixture, i);
    }
    keyspace_check(&fixture.keyspace);
    assert_in_range(keys_of(&fixture)->segment_count, 1, 2);
    fixture_deinit(&fixture);
}

/* Without memory to grow, insertions go on with longer chains and the table catches up later. */
static void test_growth_refused(void **state) {
    (void)state;
    enum { KEYS = 30000, SEGMENT_KEYS = 22000 };
    struct fixture fixture;
    fixture_init(&fixture, 1);
    for (uint64_t i = 0; i < SEGMENT_KEYS; i++) {
        add_number(&fixture, i);
    }
    uint64_t inserted = SEGMENT_KEYS;
    mem_fail_after(1);
    struct number_key key;
    while (set(&fixture, 0, key_of(&key, inserted), BYTES_LITERAL("v"), 0) != NULL) {
        inserted++;
    }
    mem_fail_after(0);
    assert_int_equal(keyspace_count(&fixture.keyspace, 0), inserted);
    assert_in_range(inserted, SEGMENT_KEYS + 1000, UINT32_MAX);
    assert_int_equal(keys_of(&fixture)->bucket_count, SEGMENT_BUCKETS);
    keyspace_check(&fixture.keyspace);
    for (uint64_t i = inserted; i < inserted + KEYS; i++) {
        add_number(&fixture, i);
    }
    keyspace_check(&fixture.keyspace);
    uint64_t count = keyspace_count(&fixture.keyspace, 0);
    assert_true(count * 2 <= keys_of(&fixture)->bucket_count * 11);
    fixture_deinit(&fixture);
}

/* A merge that gets no overflow bucket is left out; deletions succeed and nothing is lost. */
static void test_merge_refused(void **state) {
    (void)state;
    enum { KEYS = 20000, KEPT = 50 };
    struct fixture fixture;
    fixture_init(&fixture, 1);
    for (uint64_t i = 0; i < KEYS; i++) {
        add_number(&fixture, i);
    }
    for (uint64_t i = KEPT; i < KEYS; i++) {
        slab_fail_after(fixture.keyspace.databases[0]->store.heap, 1 + i % 3);
        delete_number(&fixture, i);
    }
    slab_fail_after(fixture.keyspace.databases[0]->store.heap, 0);
    keyspace_check(&fixture.keyspace);
    assert_int_equal(keyspace_count(&fixture.keyspace, 0), KEPT);
    fixture_deinit(&fixture);
}

/* ---- Scan ------------------------------------------------------------------------------------ */

enum { STABLE = 700, VOLATILE = 30000 };

struct seen {
    uint32_t stable[STABLE];
    uint64_t visits;
};

static void see(void *context, struct entry *entry) {
    struct seen *seen = context;
    uint64_t number = number_of(entry_key(entry));
    seen->visits++;
    if (number < STABLE) {
        seen->stable[number]++;
    }
}

static void assert_all_seen(const struct seen *seen) {
    for (uint32_t i = 0; i < STABLE; i++) {
        assert_true(seen->stable[i] > 0);
    }
}

/* A table at rest gives each entry once. */
static void test_scan_of_a_resting_table(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    for (uint64_t size = 1; size <= STABLE; size++) {
        add_number(&fixture, size - 1);
        struct seen seen = {0};
        uint64_t cursor = 0;
        do {
            cursor = keyspace_scan(&fixture.keyspace, 0, cursor, see, &seen);
        } while (cursor != 0);
        assert_int_equal(seen.visits, size);
        for (uint64_t i = 0; i < size; i++) {
            assert_int_equal(seen.stable[i], 1);
        }
    }
    fixture_deinit(&fixture);
}

static uint32_t random_burst(struct random_state *random) {
    return (uint32_t)random_below(random, random_below(random, 8) == 0 ? 5000 : 60);
}

/* Between two calls the table takes a random walk between STABLE and STABLE + VOLATILE entries. */
static void churn(struct fixture *fixture, uint64_t *top) {
    struct random_state *random = &fixture->random;
    bool grows = random_below(random, 2) == 0;
    for (uint32_t i = random_burst(random); i > 0; i--) {
        if (grows && *top < VOLATILE) {
            add_number(fixture, STABLE + (*top)++);
        } else if (!grows && *top > 0) {
            delete_number(fixture, STABLE + --*top);
        }
    }
}

static void test_scan_sees_what_stays(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    for (uint64_t i = 0; i < STABLE; i++) {
        add_number(&fixture, i);
    }
    uint64_t top = 0, smallest = UINT64_MAX, largest = 0;
    for (uint32_t round = 0; round < 40; round++) {
        struct seen seen = {0};
        uint64_t cursor = 0;
        do {
            cursor = keyspace_scan(&fixture.keyspace, 0, cursor, see, &seen);
            churn(&fixture, &top);
            uint64_t buckets = keys_of(&fixture)->bucket_count;
            smallest = buckets < smallest ? buckets : smallest;
            largest = buckets > largest ? buckets : largest;
        } while (cursor != 0);
        assert_all_seen(&seen);
    }
    assert_true(largest > 8 * smallest);
    keyspace_check(&fixture.keyspace);
    fixture_deinit(&fixture);
}

/* Measured positions are those that a scan of the same table visits, up to the budget. */
static void test_measured_positions_are_visited(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    for (uint64_t i = 0; i < STABLE; i++) {
        add_number(&fixture, i);
    }
    for (uint64_t wanted = 1; wanted < 3 * STABLE; wanted = wanted * 2 + 1) {
        struct seen seen = {0};
        struct scan_budget budget = {.entries = wanted, .positions = 1000};
        uint64_t end = keyspace_scan_measure(&fixture.keyspace, 0, 0, &budget), cursor = 0;
        keyspace_scan_fetch(&fixture.keyspace, 0, 0, 1000 - budget.positions);
        for (uint64_t left = 1000 - budget.positions; left > 0; left--) {
            cursor = keyspace_scan(&fixture.keyspace, 0, cursor, see, &seen);
        }
        assert_int_equal(cursor, end);
        assert_true(budget.entries == 0 || end == 0);
        assert_true(seen.visits >= wanted || seen.visits == STABLE);
        assert_true(seen.visits < wanted + 64);
    }
    fixture_deinit(&fixture);
}

static void test_any_cursor_is_valid(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    for (uint64_t i = 0; i < STABLE; i++) {
        add_number(&fixture, i);
    }
    for (uint32_t round = 0; round < 1000; round++) {
        struct seen seen = {0};
        uint64_t cursor = random_next(&fixture.random);
        cursor = keyspace_scan(&fixture.keyspace, 0, cursor, see, &seen);
        assert_true(cursor < keys_of(&fixture)->bucket_count);
    }
    fixture_deinit(&fixture);
}

/* ---- Random ---------------------------------------------------------------------------------- */

static double chi_square(struct fixture *fixture, uint32_t keys, uint32_t draws_per_key) {
    uint32_t *drawn = calloc(keys, sizeof *drawn);
    for (uint64_t i = 0; i < (uint64_t)keys * draws_per_key; i++) {
        uint64_t number = number_of(entry_key(keyspace_random(&fixture->keyspace, 0)));
        assert_true(number < keys);
        drawn[number]++;
    }
    double sum = 0;
    for (uint32_t i = 0; i < keys; i++) {
        double off = (double)drawn[i] - draws_per_key;
        sum += off * off / draws_per_key;
    }
    free(drawn);
    return sum;
}

/* 1000 entries have 999 degrees of freedom: mean 999, standard deviation 45. Drawing a bucket and
 * then one of its entries gives several thousand here. */
static void test_random_is_uniform(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    for (uint64_t i = 0; i < 1000; i++) {
        add_number(&fixture, i);
    }
    double sum = chi_square(&fixture, 1000, 200);
    assert_true(sum > 999 - 4 * 45 && sum < 999 + 4 * 45);
    fixture_deinit(&fixture);
}

static void test_random_of_few(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    for (uint64_t i = 0; i < 2000; i++) {
        add_number(&fixture, i);
    }
    for (uint64_t i = 3; i < 2000; i++) {
        delete_number(&fixture, i);
    }
    assert_true(chi_square(&fixture, 3, 10000) < 20);
    fixture_deinit(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fingerprint_match_is_exact),
        cmocka_unit_test(test_every_size_up_and_down),
        cmocka_unit_test(test_segments_come_and_go),
        cmocka_unit_test(test_growth_refused),
        cmocka_unit_test(test_merge_refused),
        cmocka_unit_test(test_scan_of_a_resting_table),
        cmocka_unit_test(test_scan_sees_what_stays),
        cmocka_unit_test(test_measured_positions_are_visited),
        cmocka_unit_test(test_any_cursor_is_valid),
        cmocka_unit_test(test_random_is_uniform),
        cmocka_unit_test(test_random_of_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
