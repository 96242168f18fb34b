/* Trees beside a plain array: every order, frozen and not, with and without memory. */
#include "store/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/varint.h"

enum { MODEL_MAX = 1 << 16, RECORD_BYTES = 1600 };

struct model_record {
    struct record_key key;
    uint32_t len;
    char *at;
};

struct model {
    struct node_heap heap;
    struct mem_account account;
    struct tree tree;
    struct random_state random;
    struct model_record *records;
    uint32_t count;
    uint32_t keys;      /* how many different ones */
    uint32_t long_rate; /* one record of so many is long; 0: none */
};

static struct model *model_new(enum tree_order order, uint64_t seed) {
    struct model *model = calloc(1, sizeof *model);
    node_heap_init(&model->heap, &model->account, NULL);
    model->tree = tree_empty(order);
    model->records = calloc(MODEL_MAX, sizeof *model->records);
    model->keys = 1000;
    model->long_rate = 40;
    random_seed(&model->random, seed);
    return model;
}

static void model_free(struct model *model) {
    for (uint32_t i = 0; i < model->count; i++) free(model->records[i].at);
    tree_free(&model->tree, &model->account);
    node_heap_deinit(&model->heap);
    assert_int_equal(atomic_load_relaxed(&model->account.used_bytes), 0);
    free(model->records);
    free(model);
}

static uint32_t below(struct model *model, uint32_t bound) {
    return (uint32_t)random_below(&model->random, bound);
}

/* ---- The array ------------------------------------------------------------------------------- */

static int compare(enum tree_order order, const struct model_record *a,
                   const struct model_record *b) {
    if (a->key.order != b->key.order) return a->key.order < b->key.order ? -1 : 1;
    if (order == TREE_BY_ID)
        return a->key.extra != b->key.extra ? (a->key.extra < b->key.extra ? -1 : 1) : 0;
    if (order != TREE_BY_SCORE) return 0;
    int difference = memcmp(a->at, b->at, a->len < b->len ? a->len : b->len);
    return difference ? difference : (a->len > b->len) - (a->len < b->len);
}

static uint32_t model_lower_bound(const struct model *model, const struct model_record *record,
                                  bool after) {
    uint32_t at = 0;
    enum tree_order order = (enum tree_order)model->tree.order;
    while (at < model->count) {
        int difference = compare(order, &model->records[at], record);
        if (difference > 0 || (difference == 0 && !after)) break;
        at++;
    }
    return at;
}

static void model_put(struct model *model, uint32_t at, const struct model_record *record) {
    assert_true(model->count < MODEL_MAX);
    memmove(&model->records[at + 1], &model->records[at],
            (model->count - at) * sizeof *model->records);
    model->records[at] = *record;
    model->count++;
}

static void model_take(struct model *model, uint32_t at, uint32_t count) {
    for (uint32_t i = at; i < at + count; i++) free(model->records[i].at);
    memmove(&model->records[at], &model->records[at + count],
            (model->count - at - count) * sizeof *model->records);
    model->count -= count;
}

/* ---- Both ------------------------------------------------------------------------------------ */

static uint32_t random_len(struct model *model) {
    if (model->long_rate && below(model, model->long_rate) == 0)
        return LEAF_RECORD_MAX - 100 + below(model, 600);
    return below(model, 4) ? below(model, 24) : below(model, 200);
}

static struct model_record random_record(struct model *model) {
    struct model_record record = {.key = {below(model, model->keys), below(model, 1u << 30)}};
    char *at = record.at = malloc(RECORD_BYTES);
    record.len = random_len(model);
    memset(at, 'a' + (int)below(model, 3), record.len);
    if (record.len > 0) at[record.len - 1] = (char)('a' + below(model, 26));
    if (model->tree.order == TREE_BY_SCORE) {
        record.key = (struct record_key){tree_score_order((double)record.key.order - 300), 0};
    } else if (model->tree.order == TREE_BY_ID) {
        record.len = (uint32_t)varint_write(at, record.key.order);
        record.len += (uint32_t)varint_write(at + record.len, record.key.extra);
        record.len += below(model, 60);
    } else if (model->tree.order == TREE_BY_HASH) {
        record.key.extra = 0;
    } else if (model->tree.order == TREE_BY_POSITION) {
        record.key = (struct record_key){0};
    }
    return record;
}

static void assert_same(struct bytes bytes, struct record_key key, enum tree_order order,
                        const struct model_record *record) {
    assert_int_equal(bytes.len, record->len);
    assert_memory_equal(bytes.at, record->at, record->len);
    if (order != TREE_BY_ID) {
        assert_int_equal(key.order, record->key.order);
        assert_int_equal(key.extra, record->key.extra);
    }
}

static void assert_tree_equals(const struct tree *tree, const struct model_record *records,
                               uint32_t count) {
    struct tree_path path;
    uint32_t at = 0;
    assert_int_equal(tree->count, count);
    if (count == 0) return;
    for (bool more = tree_seek(tree, 0, &path); more; more = tree_next(&path), at++) {
        assert_true(at < count);
        assert_same(tree_record(&path), tree_key(&path), (enum tree_order)tree->order,
                    &records[at]);
    }
    assert_int_equal(at, count);
    assert_false(tree_seek(tree, count, &path));
    while (tree_prev(&path)) {
        at--;
        assert_same(tree_record(&path), tree_key(&path), (enum tree_order)tree->order,
                    &records[at]);
    }
    assert_int_equal(at, 0);
}

static struct bytes as_bytes(const struct model_record *record, struct blob **blob) {
    struct bytes bytes = bytes_of(record->at, record->len);
    *blob = record->len > LEAF_RECORD_MAX ? blob_copy(NULL, bytes) : NULL;
    return *blob ? blob_bytes(*blob) : bytes;
}

/* Often one of the ends. */
static uint32_t random_rank(struct model *model) {
    uint32_t dice = below(model, 4);
    return dice == 0 ? 0 : dice == 1 ? model->count : below(model, model->count + 1);
}

static bool go_to(struct model *model, const struct model_record *record, struct tree_path *path) {
    if (model->tree.order == TREE_BY_POSITION)
        return tree_seek(&model->tree, random_rank(model), path);
    struct tree_probe probe = {.key = record->key, .member = bytes_of(record->at, record->len)};
    if (model->tree.order != TREE_BY_ID) probe.key.extra = 0;
    return tree_find(&model->tree, &probe, path);
}

static bool is_twice(const struct model *model, const struct model_record *record, uint32_t at) {
    enum tree_order order = (enum tree_order)model->tree.order;
    return (order == TREE_BY_SCORE || order == TREE_BY_ID) && at < model->count &&
           compare(order, &model->records[at], record) == 0;
}

static void insert_one(struct model *model) {
    struct blob *blob;
    struct tree_path path = {0};
    struct model_record record = random_record(model);
    bool found = go_to(model, &record, &path);
    uint32_t at = model->tree.root ? (uint32_t)tree_rank(&path) : 0;
    if (model->tree.order != TREE_BY_POSITION) {
        assert_int_equal(at, model_lower_bound(model, &record, false));
        assert_int_equal(found, at < model->count);
    }
    if (is_twice(model, &record, at)) {
        free(record.at);
        return;
    }
    struct bytes bytes = as_bytes(&record, &blob);
    assert_true(tree_reserve(&model->tree, &model->heap, 1, bytes.len));
    mem_fail_after(below(model, 4) == 0);
    tree_insert(&model->tree, &model->heap, &path, &record.key, bytes);
    mem_fail_after(0);
    model_put(model, at, &record);
    if (blob) blob_put(blob);
}

static void replace_one(struct model *model) {
    struct blob *blob;
    struct tree_path path;
    uint32_t at = below(model, model->count);
    struct model_record record = random_record(model), *old = &model->records[at];
    if (model->tree.order == TREE_BY_SCORE || model->tree.order == TREE_BY_ID) {
        free(record.at);
        return;
    }
    record.key.order = old->key.order;
    struct bytes bytes = as_bytes(&record, &blob);
    assert_true(tree_seek(&model->tree, at, &path));
    assert_true(tree_reserve(&model->tree, &model->heap, 1, bytes.len));
    tree_replace(&model->tree, &model->heap, &path, &record.key, bytes);
    free(old->at);
    *old = record;
    if (blob) blob_put(blob);
}

static void erase_some(struct model *model, uint32_t at, uint32_t count) {
    struct tree_path path;
    assert_true(tree_seek(&model->tree, at, &path));
    assert_int_equal(tree_rank(&path), at);
    assert_true(tree_reserve(&model->tree, &model->heap, 1, 0));
    mem_fail_after(below(model, 4) == 0);
    uint32_t erased = tree_erase(&model->tree, &model->heap, &path, count);
    mem_fail_after(0);
    assert_in_range(erased, 1, count);
    model_take(model, at, erased);
}

/* Grows to about `size` records and keeps changing. */
static void change(struct model *model, uint32_t size) {
    uint32_t dice = below(model, 100), grow = model->count < size ? 70 : 30;
    if (model->count == 0 || dice < grow) insert_one(model);
    else if (dice < grow + 8) replace_one(model);
    else if (dice < grow + 10 && model->count > 60)
        erase_some(model, below(model, model->count - 50), 1 + below(model, 50));
    else erase_some(model, random_rank(model) % model->count, 1);
}

static const enum tree_order orders[] = {TREE_BY_POSITION, TREE_BY_HASH, TREE_BY_HASH_WITH,
                                         TREE_BY_SCORE, TREE_BY_ID};
enum { ORDERS = sizeof orders / sizeof *orders };

static void test_beside_an_array(void **state) {
    (void)state;
    for (uint32_t i = 0; i < ORDERS; i++) {
        struct model *model = model_new(orders[i], 7 + i);
        for (uint32_t step = 0; step < 6000; step++) {
            change(model, step < 4000 ? 2000 : 0);
            tree_check(&model->tree);
            if (step % 500 == 0) assert_tree_equals(&model->tree, model->records, model->count);
        }
        while (model->count) erase_some(model, 0, model->count);
        tree_check(&model->tree);
        assert_int_equal(model->tree.bytes, 0);
        model_free(model);
    }
}

/* Members of one score that begin alike: separators cannot tell them apart. */
static void test_equal_scores(void **state) {
    (void)state;
    struct model *model = model_new(TREE_BY_SCORE, 3);
    model->long_rate = 0;
    for (uint32_t i = 0; i < 30000; i++) {
        char member[32];
        struct tree_path path;
        uint32_t number = i * 7919u % 30011u;
        int len = snprintf(member, sizeof member, "member:%08u", number);
        struct record_key key = {tree_score_order(0), 0};
        struct tree_probe probe = {.key = key, .member = bytes_of(member, (size_t)len)};
        (void)tree_find(&model->tree, &probe, &path);
        assert_true(tree_reserve(&model->tree, &model->heap, 1, 32));
        tree_insert(&model->tree, &model->heap, &path, &key, probe.member);
        assert_true(tree_find(&model->tree, &probe, &path));
        assert_true(bytes_equal(tree_record(&path), probe.member));
        probe.after = true;
        if (tree_find(&model->tree, &probe, &path))
            assert_false(bytes_equal(tree_record(&path), probe.member));
        if (i % 1000 == 0) tree_check(&model->tree);
    }
    tree_check(&model->tree);
    model_free(model);
}

static void test_order_keeps_height_low(void **state) {
    (void)state;
    struct model *model = model_new(TREE_BY_POSITION, 5);
    struct record_key key = {0};
    for (uint32_t i = 0; i < 200000; i++) {
        struct tree_path path;
        (void)tree_seek(&model->tree, i % 2 ? 0 : model->tree.count, &path);
        assert_true(tree_reserve(&model->tree, &model->heap, 1, 16));
        tree_insert(&model->tree, &model->heap, &path, &key, BYTES_LITERAL("sixteen bytes ok"));
    }
    tree_check(&model->tree);
    assert_int_equal(model->tree.height, 2);
    assert_true(model->tree.bytes < 200000 * 19); /* 18 for record and offset */
    model_free(model);
}

/* A scores' order is that of doubles, and back. */
static void test_scores(void **state) {
    (void)state;
    const double scores[] = {-1.0 / 0.0, -1e300, -2, -1.5, -1e-310,  0,
                             1e-310,     0.1,    3,  1e17, 1.0 / 0.0};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        assert_true(tree_score(tree_score_order(scores[i])) == scores[i]);
        if (i) assert_true(tree_score_order(scores[i - 1]) < tree_score_order(scores[i]));
    }
}

/* ---- Freezing -------------------------------------------------------------------------------- */

static struct model_record *copy_of(const struct model *model) {
    struct model_record *copy = calloc(model->count + 1, sizeof *copy);
    for (uint32_t i = 0; i < model->count; i++) {
        copy[i] = model->records[i];
        copy[i].at = malloc(RECORD_BYTES);
        memcpy(copy[i].at, model->records[i].at, copy[i].len);
    }
    return copy;
}

static void free_copy(struct model_record *copy, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) free(copy[i].at);
    free(copy);
}

/* What was there at the freeze is there until the thaw, whatever is written meanwhile. */
static void test_frozen_while_written(void **state) {
    (void)state;
    for (uint32_t i = 0; i < ORDERS; i++) {
        struct model *model = model_new(orders[i], 70 + i);
        for (uint32_t round = 0; round < 6; round++) {
            for (uint32_t step = 0; step < 2500; step++) change(model, 1500);
            struct tree frozen = model->tree;
            uint32_t count = model->count;
            struct model_record *copy = copy_of(model);
            node_heap_freeze(&model->heap);
            for (uint32_t step = 0; step < 1500; step++) {
                change(model, round % 2 ? 0 : 3000);
                if (step % 100 == 0) {
                    assert_tree_equals(&frozen, copy, count);
                    tree_check(&frozen);
                }
                tree_check(&model->tree);
            }
            assert_tree_equals(&frozen, copy, count);
            assert_tree_equals(&model->tree, model->records, model->count);
            node_heap_thaw(&model->heap);
            assert_tree_equals(&model->tree, model->records, model->count);
            free_copy(copy, count);
        }
        model_free(model);
    }
}

struct waiting {
    struct garbage_taker taker;
    struct garbage *first;
    int count;
};

static void let_wait(struct garbage_taker *taker, struct garbage *garbage) {
    struct waiting *waiting = (struct waiting *)taker;
    garbage->next = waiting->first;
    waiting->first = garbage;
    waiting->count++;
}

/* However much was written since the freeze, the thaw hands over one thing, and whoever takes it frees it. */
static void test_thaw_frees_nothing_itself(void **state) {
    (void)state;
    for (uint32_t i = 0; i < ORDERS; i++) {
        struct waiting waiting = {.taker = {let_wait}};
        struct model *model = model_new(orders[i], 110 + i);
        for (uint32_t step = 0; step < 4000; step++) change(model, 3000);
        node_heap_freeze(&model->heap);
        for (uint32_t step = 0; step < 2000; step++) change(model, 3000);
        model->account.taker = &waiting.taker;
        uint64_t before = model->account.used_bytes;
        node_heap_thaw(&model->heap);
        assert_int_equal(model->account.used_bytes, before);
        assert_int_equal(waiting.count, 1);
        waiting.first->free(waiting.first);
        assert_true(model->account.used_bytes < before);
        model->account.taker = NULL;
        model_free(model);
    }
}

/* A copy shares what lies outside and nothing else; without memory there is none. */
static void test_copies(void **state) {
    (void)state;
    for (uint32_t i = 0; i < ORDERS; i++) {
        struct tree copy;
        struct model *model = model_new(orders[i], 90 + i);
        for (uint32_t step = 0; step < 9000; step++) change(model, 3000);
        for (int failing = 1; failing < 11; failing += 3) {
            mem_fail_after(failing);
            bool copied = tree_copy(&model->tree, &model->heap, &copy);
            mem_fail_after(0);
            assert_false(copied);
        }
        uint32_t count = model->count;
        struct model_record *records = copy_of(model);
        assert_true(tree_copy(&model->tree, &model->heap, &copy));
        for (uint32_t step = 0; step < 500; step++) change(model, 0);
        tree_check(&copy);
        assert_tree_equals(&copy, records, count);
        tree_free(&copy, &model->account);
        free_copy(records, count);
        model_free(model);
    }
}

/* Behind an id that is there comes the next one, also where the leaf ends with it. */
static void test_behind_ids(void **state) {
    enum { COUNT = 3000 };
    (void)state;
    struct mem_account account = {0};
    struct node_heap heap;
    struct tree tree = tree_empty(TREE_BY_ID);
    struct tree_path path;
    node_heap_init(&heap, &account, NULL);
    for (uint64_t i = 0; i < COUNT; i++) {
        char record[2 * VARINT_BYTES_MAX];
        size_t len = varint_write(record, i / 7);
        len += varint_write(record + len, i % 7);
        assert_true(tree_reserve(&tree, &heap, 1, len));
        (void)tree_seek(&tree, tree.count, &path);
        tree_insert(&tree, &heap, &path, &(struct record_key){0}, bytes_of(record, len));
    }
    assert_true(tree.height > 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct tree_probe probe = {.key = {i / 7, i % 7}};
        assert_true(tree_find(&tree, &probe, &path));
        assert_int_equal(tree_rank(&path), i);
        probe.after = true;
        assert_int_equal(tree_find(&tree, &probe, &path), i + 1 < COUNT);
        if (i + 1 < COUNT) assert_int_equal(tree_rank(&path), i + 1);
        assert_true(tree_prev(&path));
        assert_int_equal(tree_rank(&path), i);
    }
    tree_free(&tree, &account);
    node_heap_deinit(&heap);
    assert_int_equal(atomic_load_relaxed(&account.used_bytes), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beside_an_array),
        cmocka_unit_test(test_equal_scores),
        cmocka_unit_test(test_order_keeps_height_low),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_frozen_while_written),
        cmocka_unit_test(test_thaw_frees_nothing_itself),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_behind_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
