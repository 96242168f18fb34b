/* Moving and copying entries between keys, databases and shards, against what the two keys must hold then;
 * the same with memory refused at every point. */
#include "store/transfer.h"
#include "store_fixture.h"

#include <stdlib.h>

enum { VALUE_MAX = 6000, NEIGHBOURS = 60, ATTEMPTS_MAX = 12 };

static char noise[VALUE_MAX + 64];

/* Two shards of one server. */
struct pair {
    struct fixture shards[2];
};

static void pair_init(struct pair *pair) {
    for (int i = 0; i < 2; i++) {
        fixture_init(&pair->shards[i], 2);
        for (uint64_t n = 0; n < NEIGHBOURS; n++) {
            struct number_key key;
            set(&pair->shards[i], 0, key_of(&key, n), BYTES_LITERAL("neighbour"), n % 2 ? 5 : 0);
        }
    }
}

static void pair_deinit(struct pair *pair) {
    for (int i = 0; i < 2; i++) keyspace_check(&pair->shards[i].keyspace);
    for (int i = 0; i < 2; i++) keyspace_deinit(&pair->shards[i].keyspace);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pair->shards[i].keyspace.account.used_bytes, 0);
        assert_int_equal(pair->shards[i].keyspace.page_account.used_bytes, 0);
    }
}

struct trial {
    uint32_t key_len, value_len, target_key_len, target_value_len;
    int64_t deadline_ms, target_deadline_ms;
    bool is_raw, has_target, other_shard, other_db, copies;
};

static struct entry_place place_of(struct pair *pair, const struct trial *trial, bool target) {
    struct fixture *fixture = &pair->shards[target && trial->other_shard];
    struct bytes key =
        bytes_of(noise + (target ? 1 : 0), target ? trial->target_key_len : trial->key_len);
    return (struct entry_place){&fixture->keyspace, target && trial->other_db,
                                hash_of(fixture, key), key};
}

static struct entry *entry_at(const struct entry_place *place) {
    return keyspace_find(place->keyspace, place->db, place->hash, place->key);
}

static void put(const struct entry_place *place, uint32_t value_len, int64_t deadline_ms,
                bool is_raw) {
    struct entry *entry =
        keyspace_set_string(place->keyspace, place->db, place->hash, place->key,
                            bytes_of(noise + 2, value_len), deadline_ms, entry_at(place));
    assert_non_null(entry);
    entry->access[1] = (uint8_t)value_len;
    if (is_raw) entry_mark_raw(entry);
}

static void verify(const struct entry_place *place, uint32_t value_len, int64_t deadline_ms,
                   bool is_raw) {
    struct entry *entry = entry_at(place);
    assert_non_null(entry);
    assert_true(bytes_equal(entry_string(entry), bytes_of(noise + 2, value_len)));
    assert_int_equal(entry_deadline(entry), deadline_ms);
    assert_int_equal(entry_is_raw(entry), is_raw);
}

static void refuse(const struct entry_place *to, long attempt, bool slabs) {
    struct database *database = to->keyspace->databases[to->db];
    if (!slabs) mem_fail_after(attempt);
    else if (database != NULL) slab_fail_after(database->store.heap, (uint64_t)attempt);
}

static struct entry *attempt(const struct trial *trial, const struct entry_place *from,
                             const struct entry_place *to) {
    struct entry *entry = entry_at(from), *found = entry_at(to);
    return trial->copies ? keyspace_copy_entry(entry, to, found)
                         : keyspace_move_entry(from, entry, to, found);
}

static void verify_untouched(const struct trial *trial, const struct entry_place *from,
                             const struct entry_place *to) {
    verify(from, trial->value_len, trial->deadline_ms, trial->is_raw);
    if (trial->has_target) verify(to, trial->target_value_len, trial->target_deadline_ms, false);
    else assert_null(entry_at(to));
}

static void verify_done(const struct trial *trial, const struct entry_place *from,
                        const struct entry_place *to) {
    verify(to, trial->value_len, trial->deadline_ms, trial->is_raw);
    if (trial->copies) verify(from, trial->value_len, trial->deadline_ms, trial->is_raw);
    else {
        assert_null(entry_at(from));
        assert_int_equal(entry_at(to)->access[1], (uint8_t)trial->value_len);
    }
}

static void run_trial(const struct trial *trial, bool slabs) {
    struct pair pair;
    pair_init(&pair);
    struct entry_place from = place_of(&pair, trial, false), to = place_of(&pair, trial, true);
    put(&from, trial->value_len, trial->deadline_ms, trial->is_raw);
    if (trial->has_target) put(&to, trial->target_value_len, trial->target_deadline_ms, false);
    struct entry *done = NULL;
    for (long left = 1; done == NULL && left < ATTEMPTS_MAX; left++) {
        refuse(&to, left, slabs);
        done = attempt(trial, &from, &to);
        refuse(&to, 0, slabs);
        if (done == NULL) verify_untouched(trial, &from, &to);
    }
    assert_ptr_equal(done, entry_at(&to));
    verify_done(trial, &from, &to);
    pair_deinit(&pair);
}

static struct trial random_trial(struct random_state *random) {
    static const uint32_t keys[] = {1, 16, 16, 254, 255, 490, 600};
    static const uint32_t values[] = {0, 3, 64, 64, 300, 480, 3000, VALUE_MAX};
    struct trial trial = {
        .key_len = keys[random_below(random, 7)],
        .target_key_len = keys[random_below(random, 7)],
        .value_len = values[random_below(random, 8)],
        .target_value_len = values[random_below(random, 8)],
        .deadline_ms = random_below(random, 2) ? 70 : 0,
        .target_deadline_ms = random_below(random, 2) ? 80 : 0,
        .is_raw = random_below(random, 3) == 0,
        .has_target = random_below(random, 2) == 0,
        .other_shard = random_below(random, 2) == 0,
        .other_db = random_below(random, 2) == 0,
        .copies = random_below(random, 2) == 0,
    };
    return trial;
}

static void test_between_all_kinds_of_places(void **state) {
    struct random_state random;
    (void)state;
    random_seed(&random, 11);
    for (int i = 0; i < 600; i++) {
        struct trial trial = random_trial(&random);
        run_trial(&trial, i % 2);
    }
}

/* The charge of a blob follows it to another shard, unless somebody else has it too. */
static void test_charges_follow(void **state) {
    struct pair pair;
    (void)state;
    pair_init(&pair);
    struct trial trial = {
        .key_len = 16, .target_key_len = 16, .value_len = VALUE_MAX, .other_shard = true};
    struct mem_account *here = &pair.shards[0].keyspace.account;
    struct mem_account *there = &pair.shards[1].keyspace.account;
    struct entry_place from = place_of(&pair, &trial, false), to = place_of(&pair, &trial, true);
    uint64_t here_before = here->used_bytes, there_before = there->used_bytes;
    put(&from, VALUE_MAX, 0, false);
    uint64_t charge = here->used_bytes - here_before;
    assert_non_null(attempt(&trial, &from, &to));
    assert_int_equal(here->used_bytes, here_before);
    assert_int_equal(there->used_bytes, there_before + charge);
    struct blob *reader = blob_get(blob_of(entry_string(entry_at(&to))));
    assert_non_null(attempt(&trial, &to, &from));
    assert_int_equal(here->used_bytes, here_before);
    assert_int_equal(there->used_bytes, there_before + charge);
    blob_put(reader);
    trial.copies = true;
    assert_non_null(attempt(&trial, &from, &to));
    assert_ptr_equal(entry_string(entry_at(&from)).at, entry_string(entry_at(&to)).at);
    pair_deinit(&pair);
}

static void test_swap(void **state) {
    struct fixture fixture;
    struct number_key key;
    (void)state;
    fixture_init(&fixture, 3);
    set(&fixture, 0, key_of(&key, 1), BYTES_LITERAL("v"), 9);
    set(&fixture, 1, key_of(&key, 2), BYTES_LITERAL("w"), 0);
    keyspace_swap(&fixture.keyspace, 0, 1);
    assert_non_null(find(&fixture, 1, key_of(&key, 1)));
    assert_non_null(find(&fixture, 0, key_of(&key, 2)));
    keyspace_swap(&fixture.keyspace, 1, 2);
    assert_int_equal(keyspace_count(&fixture.keyspace, 1), 0);
    assert_int_equal(keyspace_count_deadlines(&fixture.keyspace, 2), 1);
    keyspace_swap(&fixture.keyspace, 2, 2);
    assert_non_null(find(&fixture, 2, key_of(&key, 1)));
    keyspace_check(&fixture.keyspace);
    fixture_deinit(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_between_all_kinds_of_places),
        cmocka_unit_test(test_charges_follow),
        cmocka_unit_test(test_swap),
    };
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)('a' + i * 7 % 26);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
