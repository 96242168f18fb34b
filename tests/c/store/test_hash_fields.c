/* Deadlines of fields: a hash against an array that does the same, in both forms, with names whose hashes are
 * equal, and the table of expiring hashes. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/hash_fields.h"
#include "store/transfer.h"

enum { NAMES = 64, COLLIDING = 200000, VALUE_BYTES_MAX = 1200 };

struct name {
    char text[16];
    uint32_t hash;
};

struct model {
    struct fixture fixture;
    struct name names[NAMES];
    struct {
        bool is_there;
        uint32_t len;
        int64_t deadline_ms;
    } fields[NAMES];
    uint32_t value_max; /* small: stays a pack for long */
};

static const struct bytes key = {.at = "some hash", .len = 9};

/* ---- Names --------------------------------------------------------------------------------------- */

static int compare_hashes(const void *a, const void *b) {
    const struct name *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

static void name_number(const struct fixture *fixture, struct name *name, uint32_t number) {
    (void)snprintf(name->text, sizeof name->text, "f%u", number);
    name->hash = element_hash(&fixture->seed, bytes_of(name->text, strlen(name->text)));
}

/* Pairs of equal hash first, then any. */
static void name_all(struct model *model) {
    struct name *all = calloc(COLLIDING, sizeof *all);
    uint32_t count = 0;
    for (uint32_t i = 0; i < COLLIDING; i++) name_number(&model->fixture, &all[i], i);
    qsort(all, COLLIDING, sizeof *all, compare_hashes);
    for (uint32_t i = 0; i + 1 < COLLIDING && count + 2 <= 8; i++) {
        if (all[i].hash != all[i + 1].hash) continue;
        model->names[count++] = all[i];
        model->names[count++] = all[i + 1];
    }
    free(all);
    assert_true(count >= 2);
    for (; count < NAMES; count++)
        name_number(&model->fixture, &model->names[count], COLLIDING + count);
}

static struct bytes name_of(const struct model *model, uint32_t i) {
    return bytes_of(model->names[i].text, strlen(model->names[i].text));
}

/* ---- One change ---------------------------------------------------------------------------------- */

static struct edit_place place_of(struct model *model) {
    return (struct edit_place){&model->fixture.keyspace, 0, hash_of(&model->fixture, key), key};
}

static void put(struct model *model, uint32_t i, uint32_t len, int64_t deadline_ms) {
    static char value[VALUE_BYTES_MAX], record[VALUE_BYTES_MAX + 64];
    struct edit edit;
    struct edit_place place = place_of(model);
    struct hash_field field = {name_of(model, i), bytes_of(value, len), deadline_ms};
    struct bytes bytes = bytes_of(record, hash_field_bytes(&field));
    hash_field_write(record, &field);
    edit_open(&edit, &place, find(&model->fixture, 0, key), VALUE_HASH);
    if (bytes.len > LEAF_RECORD_MAX)
        assert_true(edit_keep(&edit, blob_copy(&model->fixture.keyspace.account, bytes)));
    assert_true(edit_reserve(&edit, FIELDS_CHANGES, bytes.len + FIELDS_RECORD_MAX));
    if (deadline_ms != 0 && edit.entry != NULL) assert_true(edit_reserve_deadlines(&edit));
    bytes = bytes.len > LEAF_RECORD_MAX ? edit_kept(&edit) : bytes;
    assert_int_equal(fields_put(&edit, &field, bytes), !model->fields[i].is_there);
    assert_true(edit_commit(&edit));
    model->fields[i].is_there = true;
    model->fields[i].len = len;
    model->fields[i].deadline_ms = deadline_ms;
}

/* The last one takes the key along. */
static void end_erasures(struct model *model, struct edit *edit) {
    edit_commit_erasures(edit);
    if (view_count(&edit->view) == 0)
        keyspace_delete(&model->fixture.keyspace, 0, hash_of(&model->fixture, key), edit->entry);
}

static void erase(struct model *model, uint32_t i) {
    struct edit edit;
    struct edit_place place = place_of(model);
    struct entry *entry = find(&model->fixture, 0, key);
    if (entry == NULL) return;
    edit_open(&edit, &place, entry, VALUE_HASH);
    assert_true(edit_reserve_erasures(&edit, 1));
    assert_int_equal(fields_erase(&edit, name_of(model, i)), model->fields[i].is_there);
    end_erasures(model, &edit);
    model->fields[i].is_there = false;
}

static uint32_t number_of_name(const struct model *model, struct bytes name) {
    for (uint32_t i = 0; i < NAMES; i++)
        if (bytes_equal(name_of(model, i), name)) return i;
    fail_msg("%.*s is nobody's name", (int)name.len, name.at);
    return 0;
}

static void expire_first(struct model *model, int64_t now_ms) {
    struct walk walk;
    struct edit edit;
    struct edit_place place = place_of(model);
    struct entry *entry = find(&model->fixture, 0, key);
    if (entry == NULL) return;
    edit_open(&edit, &place, entry, VALUE_HASH);
    assert_true(edit_reserve_erasures(&edit, 1));
    if (fields_first_due(&edit.view, now_ms, &walk)) {
        struct hash_field field = hash_field_read(walk.record);
        uint32_t number = number_of_name(model, field.name);
        assert_int_equal(field.deadline_ms, model->fields[number].deadline_ms);
        for (uint32_t i = 0; i < NAMES; i++) /* nothing has been due for longer */
            assert_true(!model->fields[i].is_there || model->fields[i].deadline_ms == 0 ||
                        model->fields[i].deadline_ms >= field.deadline_ms);
        fields_erase_at(&edit, &walk);
        model->fields[number].is_there = false;
    }
    end_erasures(model, &edit);
}

/* ---- Comparing ----------------------------------------------------------------------------------- */

static uint64_t count_due(const struct model *model, int64_t now_ms) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < NAMES; i++)
        count += model->fields[i].is_there && model->fields[i].deadline_ms != 0 &&
                 model->fields[i].deadline_ms <= now_ms;
    return count;
}

static void check(struct model *model, int64_t now_ms) {
    struct walk walk;
    uint64_t count = 0;
    struct collection_view view = view_of(find(&model->fixture, 0, key));
    for (uint32_t i = 0; i < NAMES; i++) {
        bool found = walk_find(&walk, &view, &model->fixture.seed, name_of(model, i));
        assert_int_equal(found, model->fields[i].is_there);
        count += found;
        if (found) {
            struct hash_field field = hash_field_read(walk.record);
            assert_int_equal(field.value.len, model->fields[i].len);
            assert_int_equal(field.deadline_ms, model->fields[i].deadline_ms);
        }
    }
    assert_int_equal(view_count(&view), count);
    assert_int_equal(fields_count_due(&view, now_ms), count_due(model, now_ms));
    assert_int_equal(fields_first_due(&view, now_ms, &walk), count_due(model, now_ms) > 0);
    bool any = count_due(model, INT64_MAX) > 0;
    assert_int_equal(fields_have_deadlines(&view), any);
    assert_int_equal(keyspace_count_expiring(&model->fixture.keyspace, 0), any);
    keyspace_check(&model->fixture.keyspace);
}

/* Few deadlines, so that equal ones are frequent. */
static void change(struct model *model) {
    struct random_state *random = &model->fixture.random;
    uint32_t i = (uint32_t)random_below(random, random_below(random, 2) == 0 ? 8 : NAMES);
    uint32_t len = (uint32_t)random_below(random, model->value_max);
    int64_t deadline_ms = (int64_t)random_below(random, 6);
    switch (random_below(random, 4)) {
    case 0:
        erase(model, i);
        break;
    case 1:
        expire_first(model, deadline_ms);
        break;
    case 2:
        put(model, i, len, 0);
        break;
    default:
        put(model, i, len, deadline_ms == 5 ? INT64_C(1) << 45 : deadline_ms);
    }
}

static void run_model(uint32_t value_max, int changes, bool freeze) {
    struct model *model = calloc(1, sizeof *model);
    struct node_heap *nodes = &model->fixture.keyspace.nodes;
    fixture_init(&model->fixture, 2);
    name_all(model);
    model->value_max = value_max;
    for (int n = 0; n < changes; n++) {
        if (freeze && n % 50 == 20) node_heap_freeze(nodes);
        if (freeze && n % 50 == 45) node_heap_thaw(nodes);
        change(model);
        check(model, n % 7);
    }
    if (nodes->frozen != 0) node_heap_thaw(nodes);
    fixture_deinit(&model->fixture);
    free(model);
}

static void test_packs_against_a_model(void **state) {
    (void)state;
    run_model(4, 3000, false);
}

static void test_trees_against_a_model(void **state) {
    (void)state;
    run_model(200, 3000, false);
    run_model(VALUE_BYTES_MAX, 1000, false);
}

static void test_frozen_trees_against_a_model(void **state) {
    (void)state;
    run_model(200, 1000, true);
}

/* ---- The table of expiring hashes ---------------------------------------------------------------- */

static void test_an_expiring_hash_is_moved_and_copied(void **state) {
    (void)state;
    struct model *model = calloc(1, sizeof *model);
    struct keyspace *keyspace = &model->fixture.keyspace;
    struct bytes other = BYTES_LITERAL("other");
    fixture_init(&model->fixture, 2);
    name_all(model);
    for (uint32_t len = 1; len < 600; len += 500) {
        uint64_t hash = hash_of(&model->fixture, key);
        struct entry_place from = {keyspace, 0, hash, key};
        struct entry_place to = {keyspace, 1, hash_of(&model->fixture, other), other};
        put(model, 0, len, 0);
        put(model, 0, len, 7);
        put(model, 9, 5, 0);
        struct entry *before = find(&model->fixture, 1, other);
        assert_non_null(keyspace_copy_entry(find(&model->fixture, 0, key), &to, before));
        assert_int_equal(keyspace->expiring_count, 2);
        struct entry *copy = find(&model->fixture, 1, other);
        struct entry *entry = find(&model->fixture, 0, key);
        assert_non_null(keyspace_set_deadline(keyspace, 0, hash, entry, 99));
        entry = find(&model->fixture, 0, key);
        assert_non_null(keyspace_move_entry(&from, entry, &to, copy));
        assert_int_equal(keyspace->expiring_count, 1);
        assert_int_equal(keyspace_count_expiring(keyspace, 1), 1);
        keyspace_check(keyspace);
        assert_non_null(set(&model->fixture, 1, other, BYTES_LITERAL("v"), 0));
        assert_int_equal(keyspace->expiring_count, 0);
        memset(model->fields, 0, sizeof model->fields);
        put(model, 0, len, 0);
        put(model, 0, len, 7);
        garbage_give(NULL, keyspace_detach(keyspace, 0));
        assert_int_equal(keyspace->expiring_count, 0);
        assert_false(keyspace_has_deadlines(keyspace));
        memset(model->fields, 0, sizeof model->fields);
        keyspace_check(keyspace);
    }
    fixture_deinit(&model->fixture);
    free(model);
}

struct stepping {
    struct model *model;
    uint32_t handed, patience;
};

static bool step(void *context, uint32_t db, struct entry *entry) {
    struct stepping *stepping = context;
    assert_int_equal(db, 0);
    assert_ptr_equal(entry, find(&stepping->model->fixture, 0, key));
    stepping->handed++;
    expire_first(stepping->model, 5);
    return stepping->handed >= stepping->patience;
}

/* What is not done with one hash is gone on with at the next step. */
static void test_a_step_comes_back(void **state) {
    (void)state;
    for (uint32_t value_max = 1; value_max < 300; value_max += 250) {
        uint32_t looked;
        struct model *model = calloc(1, sizeof *model);
        struct stepping stepping = {.model = model, .patience = 12};
        fixture_init(&model->fixture, 1);
        name_all(model);
        for (uint32_t i = 0; i < 20; i++) {
            put(model, i, value_max, 0);
            put(model, i, value_max, i < 12 ? 5 : 6);
        }
        struct keyspace *keyspace = &model->fixture.keyspace;
        for (uint32_t n = 1; n <= 12; n++) {
            assert_int_equal(keyspace_fields_step(keyspace, 0, 5, 9, step, &stepping, &looked), 1);
            assert_int_equal(stepping.handed, n);
        }
        assert_int_equal(keyspace_fields_step(keyspace, 0, 5, 9, step, &stepping, &looked), 0);
        check(model, 5);
        fixture_deinit(&model->fixture);
        free(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packs_against_a_model),
        cmocka_unit_test(test_trees_against_a_model),
        cmocka_unit_test(test_frozen_trees_against_a_model),
        cmocka_unit_test(test_an_expiring_hash_is_moved_and_copied),
        cmocka_unit_test(test_a_step_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
