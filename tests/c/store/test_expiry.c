/* Active expiry and deadlines: every due entry is handed over once, within bounds, whatever the
 * callback deletes. */
#include "store_fixture.h"

#include <stdlib.h>

enum { KEYS = 5000 };

struct expiring {
    struct fixture fixture;
    uint32_t handed[KEYS];
    uint64_t neighbour; /* added to the number of a second entry to delete; 0: none */
    bool keeps;         /* the callback deletes nothing */
};

static void remove_number(struct expiring *expiring, uint64_t number) {
    struct number_key key;
    (void)delete (&expiring->fixture, 0, key_of(&key, number));
}

static void expire(void *context, uint32_t db, struct entry *entry) {
    struct expiring *expiring = context;
    uint64_t number = number_of(entry_key(entry));
    assert_int_equal(db, 0);
    expiring->handed[number]++;
    if (expiring->keeps) {
        return;
    }
    remove_number(expiring, number);
    if (expiring->neighbour != 0) {
        remove_number(expiring, (number + expiring->neighbour) % KEYS);
    }
}

/* Deadlines 1 to KEYS, in the order of the numbers; every tenth entry has none. */
static struct expiring *expiring_new(void) {
    struct expiring *expiring = calloc(1, sizeof *expiring);
    fixture_init(&expiring->fixture, 1);
    for (uint64_t i = 0; i < KEYS; i++) {
        struct number_key key;
        int64_t deadline_ms = i % 10 == 0 ? 0 : (int64_t)i + 1;
        assert_non_null(
            set(&expiring->fixture, 0, key_of(&key, i), BYTES_LITERAL("v"), deadline_ms));
    }
    return expiring;
}

static void expiring_free(struct expiring *expiring) {
    keyspace_check(&expiring->fixture.keyspace);
    fixture_deinit(&expiring->fixture);
    free(expiring);
}

/* Steps until the end of the table has been reached `rounds` times. */
static uint64_t run(struct expiring *expiring, int64_t now_ms, uint32_t limit, uint32_t rounds) {
    uint64_t expired = 0;
    while (rounds > 0) {
        uint32_t looked = UINT32_MAX;
        uint32_t count = keyspace_expire_step(&expiring->fixture.keyspace, 0, now_ms, limit, expire,
                                              expiring, &looked);
        assert_true(looked <= limit && count <= looked);
        expired += count;
        rounds -= looked < limit;
    }
    return expired;
}

static void test_due_entries_go_and_others_stay(void **state) {
    (void)state;
    for (uint32_t limit = 1; limit <= 64; limit = limit * 3 + 1) {
        struct expiring *expiring = expiring_new();
        assert_int_equal(run(expiring, 0, limit, 2), 0);
        uint64_t expired = run(expiring, KEYS / 2, limit, 1);
        assert_int_equal(expired, KEYS / 2 - KEYS / 20);
        for (uint64_t i = 0; i < KEYS; i++) {
            assert_int_equal(expiring->handed[i], i < KEYS / 2 && i % 10 != 0);
        }
        assert_int_equal(keyspace_count(&expiring->fixture.keyspace, 0), KEYS - expired);
        assert_int_equal(run(expiring, KEYS, limit, 1), KEYS / 2 - KEYS / 20);
        assert_int_equal(keyspace_count(&expiring->fixture.keyspace, 0), KEYS / 10);
        assert_int_equal(expiring->fixture.keyspace.deadline_count, 0);
        expiring_free(expiring);
    }
}

static void test_a_round_looks_at_each_once(void **state) {
    (void)state;
    struct expiring *expiring = expiring_new();
    expiring->keeps = true;
    assert_int_equal(run(expiring, KEYS, 7, 1), KEYS - KEYS / 10);
    for (uint64_t i = 0; i < KEYS; i++) {
        assert_int_equal(expiring->handed[i], i % 10 != 0);
    }
    expiring_free(expiring);
}

static void test_the_callback_may_delete_others(void **state) {
    (void)state;
    struct expiring *expiring = expiring_new();
    for (uint64_t i = 1; i <= 8; i++) {
        expiring->neighbour = i * 3;
        (void)run(expiring, KEYS * (int64_t)i / 8, 5, 1);
        keyspace_check(&expiring->fixture.keyspace);
    }
    assert_int_equal(expiring->fixture.keyspace.deadline_count, 0);
    for (uint64_t i = 0; i < KEYS; i++) {
        assert_true(expiring->handed[i] <= 1);
    }
    expiring_free(expiring);
}

static void test_deadlines_come_and_go(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    struct bytes key = BYTES_LITERAL("some key");
    uint64_t hash = hash_of(&fixture, key);
    for (uint32_t len = 0; len < 1000; len += 31) {
        char *value = calloc(1, len + 1);
        struct entry *entry = set(&fixture, 0, key, bytes_of(value, len), 0);
        assert_false(entry_is_expired(entry, INT64_MAX));
        entry_mark_raw(entry);
        entry = keyspace_set_deadline(&fixture.keyspace, 0, hash, entry, 70);
        assert_int_equal(entry_deadline(entry), 70);
        assert_true(entry_is_expired(entry, 70) && !entry_is_expired(entry, 69));
        assert_ptr_equal(keyspace_set_deadline(&fixture.keyspace, 0, hash, entry, 80), entry);
        assert_int_equal(entry_deadline(entry), 80);
        assert_int_equal(keyspace_count_deadlines(&fixture.keyspace, 0), 1);
        entry = keyspace_set_deadline(&fixture.keyspace, 0, hash, entry, 0);
        assert_int_equal(entry_deadline(entry), 0);
        assert_true(entry_is_raw(entry));
        assert_true(bytes_equal(entry_string(entry), bytes_of(value, len)));
        assert_int_equal(keyspace_count_deadlines(&fixture.keyspace, 0), 0);
        keyspace_check(&fixture.keyspace);
        free(value);
    }
    fixture_deinit(&fixture);
}

static void test_average_ttl(void **state) {
    (void)state;
    struct expiring *expiring = expiring_new();
    int64_t mean = keyspace_average_ttl(&expiring->fixture.keyspace, 0, 0);
    assert_in_range(mean, KEYS / 4, KEYS * 3 / 4);
    assert_int_equal(keyspace_average_ttl(&expiring->fixture.keyspace, 0, KEYS), 0);
    (void)run(expiring, KEYS, 100, 1);
    assert_int_equal(keyspace_average_ttl(&expiring->fixture.keyspace, 0, 0), 0);
    expiring_free(expiring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due_entries_go_and_others_stay),
        cmocka_unit_test(test_a_round_looks_at_each_once),
        cmocka_unit_test(test_the_callback_may_delete_others),
        cmocka_unit_test(test_deadlines_come_and_go),
        cmocka_unit_test(test_average_ttl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
