/* Detaching a database and freeing it on another thread while the keyspace goes on. */
#include "store_fixture.h"

#include <pthread.h>
#include <stdlib.h>

enum { KEYS = 3000, ROUNDS = 5, LARGE = 3000 };

static const char large[LARGE];

static void fill(struct fixture *fixture, uint32_t db) {
    for (uint64_t i = 0; i < KEYS; i++) {
        struct number_key key;
        uint32_t len = i % 5 == 0 ? LARGE : (uint32_t)(i % 100);
        assert_non_null(set(fixture, db, key_of(&key, i), bytes_of(large, len), i % 3 ? 0 : 9));
    }
    assert_non_null(set(fixture, db, bytes_of(large, LARGE), bytes_of(large, LARGE), 0));
}

static void *free_on_thread(void *garbage) {
    garbage_give(NULL, garbage);
    return NULL;
}

static void test_freed_elsewhere(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 2);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        fill(&fixture, round % 2);
        struct garbage *garbage = keyspace_detach(&fixture.keyspace, round % 2);
        assert_non_null(garbage);
        assert_int_equal(keyspace_count(&fixture.keyspace, round % 2), 0);
        assert_int_equal(fixture.keyspace.deadline_count, 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, free_on_thread, garbage), 0);
        fill(&fixture, round % 2);
        keyspace_check(&fixture.keyspace);
        assert_int_equal(pthread_join(thread, NULL), 0);
        garbage_give(NULL, keyspace_detach(&fixture.keyspace, round % 2));
    }
    fixture_deinit(&fixture);
}

/* A reply that still refers to a blob outlives the database. */
static void test_blobs_outlive_the_database(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    fill(&fixture, 0);
    struct number_key key;
    struct bytes value = entry_string(find(&fixture, 0, key_of(&key, 5)));
    assert_int_equal(value.flags, BYTES_BLOB);
    struct blob *blob = blob_get(blob_of(value));
    garbage_give(NULL, keyspace_detach(&fixture.keyspace, 0));
    assert_int_equal(blob->references, 1);
    assert_memory_equal(value.at, large, LARGE);
    blob_put(blob);
    fixture_deinit(&fixture);
}

static void test_used_bytes_return(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    uint64_t before = keyspace_used_bytes(&fixture.keyspace);
    fill(&fixture, 0);
    assert_true(keyspace_used_bytes(&fixture.keyspace) > before + KEYS / 5 * LARGE);
    garbage_give(NULL, keyspace_detach(&fixture.keyspace, 0));
    assert_int_equal(keyspace_used_bytes(&fixture.keyspace), before);
    assert_int_equal(keyspace_held_bytes(&fixture.keyspace), before);
    fixture_deinit(&fixture);
}

/* Nothing that goes over the whole keyspace sees what is aside. */
static void test_aside(void **state) {
    (void)state;
    struct fixture fixture;
    struct keyspace *keyspace = &fixture.keyspace;
    struct number_key key;
    fixture_init(&fixture, 2);
    fill(&fixture, 0);
    uint64_t used = keyspace_used_bytes(keyspace), deadlines = keyspace->deadline_count;
    uint64_t held = keyspace_held_bytes(keyspace);
    fill(&fixture, 2);
    fill(&fixture, 3);
    delete (&fixture, 2, key_of(&key, 3));
    keyspace_check(keyspace);
    assert_int_equal(keyspace_count_all(keyspace), KEYS + 1);
    assert_int_equal(keyspace->deadline_count, deadlines);
    assert_in_range(keyspace_used_bytes(keyspace), used, used + 16384);
    assert_true(keyspace_held_bytes(keyspace) > held + used);
    garbage_give(NULL, keyspace_discard(keyspace, 1));
    assert_null(keyspace_discard(keyspace, 1));
    garbage_give(NULL, keyspace_install(keyspace, 0));
    assert_null(keyspace_install(keyspace, 1));
    keyspace_check(keyspace);
    assert_int_equal(keyspace_count(keyspace, 0), KEYS);
    assert_int_equal(keyspace_count(keyspace, 2), 0);
    assert_int_equal(keyspace->deadline_count, deadlines - 1);
    garbage_give(NULL, keyspace_install(keyspace, 0)); /* by nothing */
    assert_int_equal(keyspace_count_all(keyspace) + keyspace->deadline_count, 0);
    fixture_deinit(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freed_elsewhere),
        cmocka_unit_test(test_blobs_outlive_the_database),
        cmocka_unit_test(test_used_bytes_return),
        cmocka_unit_test(test_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
