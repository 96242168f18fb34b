/* Random operations over several databases against the plainest reference: an array per database
 * that says what each key holds. The same run is repeated with memory refused at random: what fails
 * must have changed nothing (K4). */
#include "store_fixture.h"

#include <stdlib.h>

enum { DATABASES = 3, KEYS = 1500, HUGE_KEY_BYTES = 100 * 1024, VALUE_MAX = 20000 };

struct expected {
    bool is_present;
    uint32_t value_start, value_len;
    int64_t deadline_ms;
};

struct model {
    struct fixture fixture;
    struct expected expected[DATABASES][KEYS];
    uint64_t refused;
    bool refuses;
};

static char *noise; /* every key and value is a run of it */

static struct bytes key_at(uint32_t id) {
    static const uint32_t edges[] = {0,   1,   7,   8,   9,   15,  16,  17,  253,
                                     254, 255, 256, 475, 480, 496, 504, 505, HUGE_KEY_BYTES};
    const uint32_t edge_count = sizeof edges / sizeof edges[0];
    if (id < edge_count) {
        return bytes_of(noise + id, edges[id]);
    }
    return bytes_of(noise + id * 7, 16 + (id % 11 == 0 ? id % 500 : id % 24));
}

static struct bytes random_value(struct model *model, struct expected *expected) {
    static const uint32_t bounds[] = {1, 65, 65, 65, 520, VALUE_MAX};
    struct random_state *random = &model->fixture.random;
    uint32_t bound = bounds[random_below(random, sizeof bounds / sizeof bounds[0])];
    expected->value_start = (uint32_t)random_below(random, 1000);
    expected->value_len = (uint32_t)random_below(random, bound);
    return bytes_of(noise + expected->value_start, expected->value_len);
}

static int64_t random_deadline(struct model *model) {
    struct random_state *random = &model->fixture.random;
    return random_below(random, 3) == 0 ? 1 + (int64_t)random_below(random, 1000) : 0;
}

/* ---- Refusal --------------------------------------------------------------------------------- */

static void refuse_arm(struct model *model, uint32_t db) {
    struct random_state *random = &model->fixture.random;
    struct database *database = model->fixture.keyspace.databases[db];
    if (!model->refuses) {
        return;
    }
    if (random_below(random, 2) == 0) {
        mem_fail_after(1 + (long)random_below(random, 3));
    } else if (database != NULL) {
        slab_fail_after(database->store.heap, 1 + random_below(random, 3));
    }
}

static void refuse_disarm(struct model *model, uint32_t db) {
    mem_fail_after(0);
    struct database *database = model->fixture.keyspace.databases[db];
    if (database != NULL) {
        slab_fail_after(database->store.heap, 0);
    }
}

/* ---- Comparison ------------------------------------------------------------------------------ */

static void verify_key(struct model *model, uint32_t db, uint32_t id) {
    const struct expected *expected = &model->expected[db][id];
    struct bytes key = key_at(id);
    struct entry *entry = find(&model->fixture, db, key);
    assert_int_equal(entry != NULL, expected->is_present);
    if (entry == NULL) {
        return;
    }
    struct bytes value = bytes_of(noise + expected->value_start, expected->value_len);
    assert_int_equal(entry_type(entry), VALUE_STRING);
    assert_true(bytes_equal(entry_key(entry), key));
    assert_true(bytes_equal(entry_string(entry), value));
    assert_int_equal(entry_deadline(entry), expected->deadline_ms);
    assert_true(entry_bytes(entry) >= key.len + value.len);
}

static void verify(struct model *model) {
    keyspace_check(&model->fixture.keyspace);
    for (uint32_t db = 0; db < DATABASES; db++) {
        uint64_t count = 0, deadlines = 0;
        for (uint32_t id = 0; id < KEYS; id++) {
            verify_key(model, db, id);
            count += model->expected[db][id].is_present;
            deadlines +=
                model->expected[db][id].is_present && model->expected[db][id].deadline_ms != 0;
        }
        assert_int_equal(keyspace_count(&model->fixture.keyspace, db), count);
        assert_int_equal(keyspace_count_deadlines(&model->fixture.keyspace, db), deadlines);
    }
}

/* ---- Operations ------------------------------------------------------------------------------ */

static void do_set(struct model *model, uint32_t db, uint32_t id) {
    struct expected wanted = {.is_present = true, .deadline_ms = random_deadline(model)};
    struct bytes value = random_value(model, &wanted);
    refuse_arm(model, db);
    struct entry *entry = set(&model->fixture, db, key_at(id), value, wanted.deadline_ms);
    refuse_disarm(model, db);
    if (entry != NULL) {
        model->expected[db][id] = wanted;
    } else {
        model->refused++;
    }
    assert_true(entry == NULL || entry == find(&model->fixture, db, key_at(id)));
}

static void do_deadline(struct model *model, uint32_t db, uint32_t id) {
    struct entry *entry = find(&model->fixture, db, key_at(id));
    if (entry == NULL) {
        return;
    }
    int64_t deadline_ms = random_deadline(model);
    refuse_arm(model, db);
    entry = keyspace_set_deadline(&model->fixture.keyspace, db,
                                  hash_of(&model->fixture, key_at(id)), entry, deadline_ms);
    refuse_disarm(model, db);
    if (entry != NULL) {
        model->expected[db][id].deadline_ms = deadline_ms;
    } else {
        model->refused++;
    }
}

static void do_delete(struct model *model, uint32_t db, uint32_t id) {
    refuse_arm(model, db);
    bool deleted = delete (&model->fixture, db, key_at(id));
    refuse_disarm(model, db);
    assert_int_equal(deleted, model->expected[db][id].is_present);
    model->expected[db][id].is_present = false;
}

static void do_detach(struct model *model, uint32_t db) {
    bool had_any = keyspace_count(&model->fixture.keyspace, db) > 0;
    struct garbage *garbage = keyspace_detach(&model->fixture.keyspace, db);
    assert_int_equal(garbage != NULL, had_any);
    garbage_give(NULL, garbage);
    memset(model->expected[db], 0, sizeof model->expected[db]);
}

/* `deletes` of 16 operations delete: the tables grow while it is small and shrink while it is
 * large. */
static void do_any(struct model *model, uint32_t deletes) {
    struct random_state *random = &model->fixture.random;
    uint32_t db = (uint32_t)random_below(random, DATABASES);
    uint32_t id = (uint32_t)random_below(random, KEYS);
    uint32_t kind = (uint32_t)random_below(random, 16);
    if (kind < deletes) {
        do_delete(model, db, id);
    } else if (kind < 13) {
        do_set(model, db, id);
    } else {
        do_deadline(model, db, id);
    }
    verify_key(model, db, id);
}

static struct model *run(bool refuses) {
    struct model *model = calloc(1, sizeof *model);
    fixture_init(&model->fixture, DATABASES);
    model->refuses = refuses;
    for (uint32_t phase = 0; phase < 12; phase++) {
        for (uint32_t i = 0; i < 4000; i++) {
            do_any(model, phase % 2 == 0 ? 2 : 11);
        }
        verify(model);
        if (phase % 4 == 3) {
            do_detach(model, phase % DATABASES);
            verify(model);
        }
    }
    return model;
}

static void end(struct model *model) {
    fixture_deinit(&model->fixture);
    free(model);
}

static void test_random_operations(void **state) {
    (void)state;
    struct model *model = run(false);
    assert_int_equal(model->refused, 0);
    end(model);
}

static void test_random_operations_with_refused_memory(void **state) {
    (void)state;
    struct model *model = run(true);
    assert_true(model->refused > 1000);
    end(model);
}

/* ---- Single properties ----------------------------------------------------------------------- */

static void test_same_cell_is_overwritten_in_place(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    struct bytes key = BYTES_LITERAL("0123456789abcdef");
    struct entry *entry = set(&fixture, 0, key, bytes_of(noise, 64), 0);
    assert_int_equal(entry_bytes(entry), 88);
    entry_mark_raw(entry);
    assert_ptr_equal(set(&fixture, 0, key, bytes_of(noise + 1, 57), 0), entry);
    assert_false(entry_is_raw(entry));
    assert_true(bytes_equal(entry_string(entry), bytes_of(noise + 1, 57)));
    entry = set(&fixture, 0, key, bytes_of(noise, 56), 0);
    assert_int_equal(entry_bytes(entry), 80);
    entry = set(&fixture, 0, key, bytes_of(noise, 56), 99);
    assert_int_equal(entry_bytes(entry), 88);
    assert_ptr_equal(set(&fixture, 0, key, bytes_of(noise, 56), 100), entry);
    assert_int_equal(entry_deadline(entry), 100);
    keyspace_check(&fixture.keyspace);
    fixture_deinit(&fixture);
}

static void test_a_value_may_be_the_entry_itself(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    uint64_t hash = hash_of(&fixture, bytes_of(noise, 16));
    for (uint32_t len = 0; len < 2000; len = len * 2 + 1) {
        struct entry *entry = set(&fixture, 0, bytes_of(noise, 16), bytes_of(noise, len), 0);
        struct bytes value = entry_string(entry);
        struct bytes tail = bytes_of(value.at + value.len / 3, value.len - value.len / 3);
        entry = keyspace_set_string(&fixture.keyspace, 0, hash, entry_key(entry), tail, 5, entry);
        assert_true(bytes_equal(entry_string(entry), bytes_of(noise + len / 3, len - len / 3)));
        value = entry_string(entry);
        entry = keyspace_set_string(&fixture.keyspace, 0, hash, entry_key(entry), value, 6, entry);
        assert_true(bytes_equal(entry_string(entry), bytes_of(noise + len / 3, len - len / 3)));
        assert_int_equal(entry_deadline(entry), 6);
        keyspace_check(&fixture.keyspace);
    }
    struct entry *entry = set(&fixture, 0, bytes_of(noise, 16), bytes_of(noise, 56), 6);
    struct bytes value = entry_string(entry);
    struct bytes overlapping = bytes_of(value.at + 1, value.len - 1);
    assert_ptr_equal(set(&fixture, 0, entry_key(entry), overlapping, 6), entry);
    assert_true(bytes_equal(entry_string(entry), bytes_of(noise + 1, 55)));
    fixture_deinit(&fixture);
}

static void test_blobs_are_kept_by_reference(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 2);
    struct blob *blob = blob_copy(&fixture.keyspace.account, bytes_of(noise, VALUE_MAX));
    struct entry *entry = set(&fixture, 0, BYTES_LITERAL("a"), blob_bytes(blob), 0);
    assert_ptr_equal(entry_string(entry).at, blob->data);
    assert_int_equal(entry_string(entry).flags, BYTES_BLOB);
    (void)set(&fixture, 1, BYTES_LITERAL("b"), entry_string(entry), 0);
    assert_int_equal(blob->references, 3);
    entry = set(&fixture, 0, BYTES_LITERAL("a"), entry_string(entry), 0);
    assert_int_equal(blob->references, 3);
    entry = keyspace_set_deadline(&fixture.keyspace, 0, hash_of(&fixture, BYTES_LITERAL("a")),
                                  entry, 50);
    assert_ptr_equal(entry_string(entry).at, blob->data);
    assert_int_equal(blob->references, 3);
    assert_true(delete (&fixture, 0, BYTES_LITERAL("a")));
    garbage_give(NULL, keyspace_detach(&fixture.keyspace, 1));
    assert_int_equal(blob->references, 1);
    blob_put(blob);
    fixture_deinit(&fixture);
}

static void test_an_empty_keyspace_costs_nothing(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 16);
    assert_int_equal(keyspace_held_bytes(&fixture.keyspace),
                     keyspace_used_bytes(&fixture.keyspace));
    assert_null(find(&fixture, 3, BYTES_LITERAL("x")));
    assert_null(keyspace_random(&fixture.keyspace, 3));
    assert_null(keyspace_detach(&fixture.keyspace, 3));
    assert_int_equal(keyspace_scan(&fixture.keyspace, 3, 77, NULL, NULL), 0);
    keyspace_prefetch_bucket(&fixture.keyspace, 3, 1);
    keyspace_prefetch_entry(&fixture.keyspace, 3, 1);
    uint64_t before = keyspace_used_bytes(&fixture.keyspace);
    (void)set(&fixture, 3, BYTES_LITERAL("x"), BYTES_LITERAL("y"), 0);
    assert_in_range(keyspace_used_bytes(&fixture.keyspace) - before, 1, 4096);
    fixture_deinit(&fixture);
}

/* A prepared value is outside until it is committed, takes the place of any shape, and is none if
 * abandoned. */
static void test_prepared_values(void **state) {
    (void)state;
    struct fixture fixture;
    struct bytes key = BYTES_LITERAL("key");
    struct bytes values[] = {BYTES_LITERAL("short"), bytes_of(noise, 300), bytes_of(noise, 9000)};
    fixture_init(&fixture, 1);
    struct keyspace *keyspace = &fixture.keyspace;
    for (int i = 0; i < 9; i++) {
        struct entry *found = set(&fixture, 0, key, values[i % 3], i % 2 ? 1000 : 0);
        struct entry *prepared = keyspace_prepare_string(keyspace, 0, key, values[i / 3]);
        assert_ptr_equal(find(&fixture, 0, key), found);
        keyspace_commit(keyspace, 0, hash_of(&fixture, key), found, prepared);
        assert_ptr_equal(find(&fixture, 0, key), prepared);
        assert_true(bytes_equal(entry_string(prepared), values[i / 3]));
        assert_int_equal(entry_deadline(prepared), 0);
        assert_int_equal(keyspace_count_deadlines(keyspace, 0), 0);
        keyspace_abandon(keyspace, 0, keyspace_prepare_string(keyspace, 0, key, values[i % 3]));
        assert_ptr_equal(find(&fixture, 0, key), prepared);
        keyspace_check(keyspace);
    }
    fixture_deinit(&fixture);
}

static int make_noise(void **state) {
    (void)state;
    struct random_state random;
    random_seed(&random, 3);
    noise = malloc(2 * HUGE_KEY_BYTES);
    for (uint32_t i = 0; noise != NULL && i < 2 * HUGE_KEY_BYTES; i++) {
        noise[i] = (char)random_next(&random);
    }
    return noise == NULL;
}

static int free_noise(void **state) {
    (void)state;
    free(noise);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_random_operations_with_refused_memory),
        cmocka_unit_test(test_same_cell_is_overwritten_in_place),
        cmocka_unit_test(test_a_value_may_be_the_entry_itself),
        cmocka_unit_test(test_blobs_are_kept_by_reference),
        cmocka_unit_test(test_an_empty_keyspace_costs_nothing),
        cmocka_unit_test(test_prepared_values),
    };
    return cmocka_run_group_tests(tests, make_noise, free_noise);
}
