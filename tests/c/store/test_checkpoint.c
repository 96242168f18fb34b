/* Checkpoints of a keyspace: whatever strings, deadlines and databases come and go, what was there comes back, also beside a
 * snapshot, and where memory is refused nothing happens. */
#include "store/checkpoint.h"

#include "store/snapshot.h"
#include "store/store_fixture.h"

enum { DATABASES = 4, KEYS = 300, ROUNDS = 60, STEPS = 400, ATTEMPTS_MAX = 5000 };

/* ---- What there is ------------------------------------------------------------------------------ */

struct sum {
    const struct keyspace *keyspace;
    uint64_t total;
    uint32_t db;
};

static void add_entry(void *context, struct entry *entry) {
    struct sum *sum = context;
    const struct hash_seed *seed = sum->keyspace->hash_seed;
    struct bytes key = entry_key(entry), value = entry_string(entry);
    uint64_t parts[] = {
        hash_bytes(seed, key.at, key.len),
        hash_bytes(seed, value.at, value.len),
        (uint64_t)entry_deadline(entry),
        sum->db,
        access_field(entry),
        entry->flags & ENTRY_FORM,
    };
    sum->total += hash_bytes(seed, parts, sizeof parts);
}

static uint64_t digest(struct fixture *fixture) {
    struct sum sum = {&fixture->keyspace, 0, 0};
    keyspace_check(&fixture->keyspace);
    for (; sum.db < DATABASES; sum.db++) {
        keyspace_walk(&fixture->keyspace, sum.db, add_entry, &sum);
    }
    return sum.total;
}

/* ---- What happens to it ------------------------------------------------------------------------- */

static uint64_t below(struct fixture *fixture, uint64_t bound) {
    return random_below(&fixture->random, bound);
}

static struct bytes random_key(struct fixture *fixture, char text[600]) {
    struct number_key key;
    uint64_t number = below(fixture, KEYS);
    struct bytes name = key_of(&key, number);
    uint32_t len = number % 10 == 0 ? 560 : name.len; /* one that no cell takes */
    memset(text, 'k', 600);
    memcpy(text, name.at, name.len);
    return bytes_of(text, len);
}

static void set_random(struct fixture *fixture, uint32_t db) {
    static const uint32_t lengths[] = {0, 3, 8, 64, 64, 64, 100, 500, 2000};
    static char value[2000];
    char text[600];
    uint32_t len = lengths[below(fixture, sizeof lengths / sizeof *lengths)];
    int64_t deadline_ms = below(fixture, 3) == 0 ? (int64_t)(1 + below(fixture, 1000)) : 0;
    memset(value, (int)('a' + below(fixture, 26)), len);
    struct entry *entry =
        set(fixture, db, random_key(fixture, text), bytes_of(value, len), deadline_ms);
    if (entry != NULL && below(fixture, 8) == 0) {
        entry_mark_raw(entry);
    }
}

static void change_deadline(struct fixture *fixture, uint32_t db) {
    char text[600];
    struct bytes key = random_key(fixture, text);
    struct entry *entry = find(fixture, db, key);
    if (entry != NULL) {
        (void)keyspace_set_deadline(&fixture->keyspace, db, hash_of(fixture, key), entry,
                                    (int64_t)below(fixture, 3));
    }
}

static void open_part(struct fixture *fixture, uint32_t db) {
    char text[600];
    struct bytes key = random_key(fixture, text);
    struct entry *entry = find(fixture, db, key);
    uint32_t len = entry != NULL ? entry_string(entry).len : 0;
    (void)keyspace_open_string(&fixture->keyspace, db, hash_of(fixture, key), key,
                               (struct string_part){len, 5}, len + 5, entry);
}

static void step(struct fixture *fixture, bool whole) {
    uint32_t db = (uint32_t)below(fixture, DATABASES);
    char text[600];
    switch (below(fixture, whole ? 200 : 190)) {
    case 190:
    case 191:
        garbage_give(NULL, keyspace_detach(&fixture->keyspace, db));
        break;
    case 192:
    case 193:
        keyspace_swap(&fixture->keyspace, db, (uint32_t)below(fixture, DATABASES));
        break;
    case 194:
        set_random(fixture, DATABASES + db);
        garbage_give(NULL, keyspace_install(&fixture->keyspace, db));
        break;
    case 0 ... 9:
        change_deadline(fixture, db);
        break;
    case 10 ... 19:
        open_part(fixture, db);
        break;
    case 20 ... 69:
        (void)delete (fixture, db, random_key(fixture, text));
        break;
    default:
        set_random(fixture, db);
    }
}

static void go_back(struct keyspace *keyspace) {
    struct checkpoint_part *part = keyspace->checkpoint;
    assert_true(checkpoint_prepare(part));
    checkpoint_commit(part, NULL);
    checkpoint_clear(part);
    assert_true(checkpoint_is_clean(part));
}

static void begin(struct keyspace *keyspace) {
    struct checkpoint_part *part = checkpoint_new(keyspace);
    assert_non_null(part);
    checkpoint_begin(part);
}

/* ---- Tests -------------------------------------------------------------------------------------- */

static void play(bool whole) {
    struct fixture fixture;
    fixture_init(&fixture, DATABASES);
    for (int i = 0; i < STEPS; i++) step(&fixture, whole);
    begin(&fixture.keyspace);
    uint64_t before = digest(&fixture);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = (int)below(&fixture, STEPS); i > 0; i--) step(&fixture, whole);
        if (below(&fixture, 4) == 0) {
            before = digest(&fixture);
            checkpoint_renew(fixture.keyspace.checkpoint, NULL);
            assert_true(checkpoint_is_clean(fixture.keyspace.checkpoint));
        } else {
            go_back(&fixture.keyspace);
        }
        assert_int_equal(digest(&fixture), before);
        if (below(&fixture, 8) == 0) { /* with what was not gone back from */
            for (int i = 0; i < STEPS; i++) step(&fixture, whole);
            before = digest(&fixture);
            checkpoint_end(fixture.keyspace.checkpoint, NULL);
            assert_int_equal(digest(&fixture), before);
            begin(&fixture.keyspace);
        }
    }
    fixture_deinit(&fixture);
}

static void test_keys(void **state) {
    (void)state;
    play(false);
}

static void test_databases(void **state) {
    (void)state;
    play(true);
}

/* More new keys than are listed. */
static void test_many_new_keys(void **state) {
    (void)state;
    struct fixture fixture;
    struct number_key key;
    fixture_init(&fixture, DATABASES);
    for (int i = 0; i < STEPS; i++) step(&fixture, false);
    begin(&fixture.keyspace);
    uint64_t before = digest(&fixture);
    for (uint64_t i = 0; i < CHECKPOINT_CREATED_MAX + 100; i++) {
        assert_non_null(set(&fixture, 0, key_of(&key, i), BYTES_LITERAL("new"), 0));
    }
    assert_true(checkpoint_is_replaced(fixture.keyspace.checkpoint, 0));
    go_back(&fixture.keyspace);
    assert_int_equal(digest(&fixture), before);
    fixture_deinit(&fixture);
}

/* Whatever allocation is refused, on the way back nothing has happened, or all of it. */
static void test_refused_memory(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, DATABASES);
    for (int i = 0; i < STEPS; i++) step(&fixture, false);
    begin(&fixture.keyspace);
    uint64_t before = digest(&fixture);
    for (int i = 0; i < 2 * STEPS; i++) step(&fixture, false);
    garbage_give(NULL, keyspace_detach(&fixture.keyspace, 1));
    for (int i = 0; i < STEPS; i++) step(&fixture, false);
    uint64_t after = digest(&fixture);
    long n = 0;
    bool done = false;
    while (!done) {
        mem_fail_after(++n);
        done = checkpoint_prepare(fixture.keyspace.checkpoint);
        mem_fail_after(0);
        assert_true(n < ATTEMPTS_MAX);
        if (!done) {
            assert_int_equal(digest(&fixture), after);
        }
    }
    assert_true(n > 10);
    mem_fail_after(1);
    checkpoint_commit(fixture.keyspace.checkpoint, NULL);
    checkpoint_clear(fixture.keyspace.checkpoint);
    mem_fail_after(0);
    assert_int_equal(digest(&fixture), before);
    fixture_deinit(&fixture);
}

/* A change goes through where it cannot be kept, and then there is no way back, but one from there on. */
static void test_refused_keeping(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, DATABASES);
    struct bytes key = BYTES_LITERAL("key");
    assert_non_null(set(&fixture, 0, key, BYTES_LITERAL("one"), 0));
    begin(&fixture.keyspace);
    mem_fail_after(1);
    struct entry *entry = set(&fixture, 0, key, BYTES_LITERAL("two"), 0);
    mem_fail_after(0);
    assert_non_null(entry);
    assert_true(checkpoint_has_failed(fixture.keyspace.checkpoint));
    checkpoint_renew(fixture.keyspace.checkpoint, NULL);
    assert_false(checkpoint_has_failed(fixture.keyspace.checkpoint));
    uint64_t before = digest(&fixture);
    assert_true(delete (&fixture, 0, key));
    go_back(&fixture.keyspace);
    assert_int_equal(digest(&fixture), before);
    fixture_deinit(&fixture);
}

/* ---- Beside a snapshot ---------------------------------------------------------------------------- */

struct counting {
    struct kept_taker taker; /* first */
    uint64_t kept;
};

static void take(struct kept_taker *taker, struct kept_buffer *buffer) {
    size_t offset = 0;
    while (kept_next(buffer, &offset) != NULL) ((struct counting *)taker)->kept++;
    kept_buffer_free(buffer, 0);
}

static uint64_t count_keys(const struct fixture *fixture) {
    return keyspace_count_all(&fixture->keyspace);
}

static void snapshot_begin(struct fixture *fixture, struct snapshot_part *part,
                           struct counting *counting) {
    *counting = (struct counting){.taker = {.take = take}};
    assert_true(snapshot_part_init(part, &fixture->keyspace, &counting->taker));
    keyspace_cut(&fixture->keyspace, part);
}

static void snapshot_end(struct fixture *fixture, struct snapshot_part *part) {
    struct garbage *waited = NULL;
    while (!snapshot_part_walk(part, 50)) continue;
    keyspace_thaw(&fixture->keyspace, &waited);
    snapshot_part_deinit(part);
    for (struct garbage *next; waited != NULL; waited = next) {
        next = waited->next;
        waited->free(waited);
    }
}

static void test_beside_a_snapshot(void **state) {
    (void)state;
    struct fixture fixture;
    struct snapshot_part part;
    struct counting counting;
    fixture_init(&fixture, DATABASES);
    for (int i = 0; i < STEPS; i++) step(&fixture, true);
    begin(&fixture.keyspace);
    uint64_t before = digest(&fixture);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = (int)below(&fixture, STEPS); i > 0; i--) step(&fixture, true);
        uint64_t count = count_keys(&fixture);
        snapshot_begin(&fixture, &part, &counting);
        for (int i = (int)below(&fixture, STEPS); i > 0; i--) step(&fixture, true);
        (void)snapshot_part_walk(&part, (uint32_t)below(&fixture, 100));
        go_back(&fixture.keyspace);
        assert_int_equal(digest(&fixture), before);
        for (int i = (int)below(&fixture, STEPS); i > 0; i--) step(&fixture, true);
        snapshot_end(&fixture, &part);
        assert_int_equal(counting.kept, count);
        go_back(&fixture.keyspace);
        assert_int_equal(digest(&fixture), before);
    }
    fixture_deinit(&fixture);
}

/* A checkpoint that ends, and the keyspace with one, whatever is held. */
static void test_ends(void **state) {
    (void)state;
    for (int with = 0; with < 2; with++) {
        struct fixture fixture;
        fixture_init(&fixture, DATABASES);
        for (int i = 0; i < STEPS; i++) step(&fixture, true);
        begin(&fixture.keyspace);
        uint64_t used = keyspace_used_bytes(&fixture.keyspace);
        garbage_give(NULL, keyspace_detach(&fixture.keyspace, 0));
        assert_true(keyspace_used_bytes(&fixture.keyspace) < used);
        for (int i = 0; i < STEPS; i++) step(&fixture, true);
        if (with) {
            checkpoint_end(fixture.keyspace.checkpoint, NULL);
        }
        fixture_deinit(&fixture);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_databases),
        cmocka_unit_test(test_many_new_keys),
        cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_refused_keeping),
        cmocka_unit_test(test_beside_a_snapshot),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
