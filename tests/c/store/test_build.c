/* Values made from nothing: in a pack, in one batch, in several; elements twice, and memory refused. */
#include "store/build.h"
#include "store/hash_fields.h"
#include "store/zset.h"
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { LONG = 900, SEVERAL = 3 * (BUILD_BATCH_BYTES / LONG) };

static const struct bytes key = BYTES_LITERAL("key");

static struct bytes numbered(char *text, uint32_t number, uint32_t len) {
    memset(text, 'x', len);
    int digits = snprintf(text, 16, "%u", number);
    text[digits] = 'x';
    return bytes_of(text, len);
}

static enum build_result add(struct build *build, enum value_type type, uint32_t number,
                             uint32_t len) {
    char text[2 * LONG];
    struct bytes element = numbered(text, number, len);
    struct hash_field field = {.name = element, .value = BYTES_LITERAL("value")};
    switch (type) {
    case VALUE_LIST:
        return build_element(build, element);
    case VALUE_SET:
        return build_member(build, element);
    case VALUE_ZSET:
        return build_scored(build, tree_score_order(number * 37 % 1000), element);
    default:
        field.deadline_ms = number % 5 == 0 ? 1000 + number : 0;
        return build_field(build, &field);
    }
}

/* So many of them; which element is added twice, or `count`. */
static enum build_result make(struct build *build, struct fixture *fixture, enum value_type type,
                              uint32_t count, uint32_t len, uint32_t twice) {
    enum build_result result = BUILD_DONE;
    build_begin(build, &fixture->keyspace.nodes, &fixture->seed, type);
    for (uint32_t i = 0; i < count && result == BUILD_DONE; i++) {
        assert_int_equal(build_count(build), i);
        result = add(build, type, i == twice ? i / 3 : i, len);
    }
    return result == BUILD_DONE ? build_settle(build) : result;
}

static struct entry *store(struct build *build, struct fixture *fixture) {
    struct edit_place place = {&fixture->keyspace, 0, hash_of(fixture, key), key};
    struct built built = build_end(build);
    struct entry *entry = built_store(&built, &place, 0, NULL);
    built_drop(&built);
    return entry;
}

static void check(struct fixture *fixture, const struct entry *entry, uint32_t count,
                  uint32_t len) {
    char text[2 * LONG];
    struct collection_view view = view_of(entry);
    assert_int_equal(view_count(&view), count);
    if (entry_is_tree(entry)) collection_check(entry_collection(entry));
    for (uint32_t i = 0; i < count; i += 1 + count / 500) {
        struct walk walk;
        struct bytes element = numbered(text, i, len);
        bool found = view_type(&view) == VALUE_LIST
                         ? walk_seek(&walk, &view, i)
                         : walk_find(&walk, &view, &fixture->seed, element);
        assert_true(found);
        assert_true(bytes_equal(element_member(view_type(&view), walk.record), element));
    }
}

static void test_sizes(void **state) {
    (void)state;
    static const struct {
        uint32_t count, len;
    } sizes[] = {{1, 5}, {20, 5}, {200, 10}, {200, 1500}, {3000, 20}, {SEVERAL, LONG}};
    for (enum value_type type = VALUE_LIST; type <= VALUE_HASH; type++) {
        for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct fixture fixture;
            struct build build;
            fixture_init(&fixture, 1);
            assert_int_equal(make(&build, &fixture, type, sizes[i].count, sizes[i].len, UINT32_MAX),
                             BUILD_DONE);
            check(&fixture, store(&build, &fixture), sizes[i].count, sizes[i].len);
            fixture_deinit(&fixture);
        }
    }
}

static void test_twice(void **state) {
    (void)state;
    static const uint32_t counts[] = {10, 300, SEVERAL};
    for (enum value_type type = VALUE_SET; type <= VALUE_HASH; type++) {
        for (uint32_t i = 0; i < 3; i++) {
            struct fixture fixture;
            struct build build;
            fixture_init(&fixture, 1);
            uint32_t len = counts[i] == SEVERAL ? LONG : 12;
            assert_int_equal(make(&build, &fixture, type, counts[i], len, counts[i] - 1),
                             BUILD_TWICE);
            build_drop(&build);
            fixture_deinit(&fixture);
        }
    }
}

static void test_refused_memory(void **state) {
    (void)state;
    static const struct { uint32_t count, len; } sizes[] = {{10, 5}, {300, 20}, {40, 1500}};
    for (enum value_type type = VALUE_LIST; type <= VALUE_HASH; type++) {
        for (uint32_t i = 0; i < 3; i++) {
            enum build_result result = BUILD_NO_MEMORY;
            for (long count = 1; result != BUILD_DONE; count++) {
                struct fixture fixture;
                struct build build;
                fixture_init(&fixture, 1);
                mem_fail_after(count);
                result = make(&build, &fixture, type, sizes[i].count, sizes[i].len, UINT32_MAX);
                mem_fail_after(0);
                if (result == BUILD_DONE)
                    check(&fixture, store(&build, &fixture), sizes[i].count, sizes[i].len);
                else assert_int_equal(result, BUILD_NO_MEMORY);
                build_drop(&build);
                fixture_deinit(&fixture);
            }
        }
    }
}

/* In a heap of nobody's, while what is there is frozen, and changed behind that. */
static void test_other_heap(void **state) {
    (void)state;
    struct fixture fixture;
    struct build build;
    struct node_heap heap;
    char text[LONG];
    fixture_init(&fixture, 1);
    node_heap_init(&heap, &fixture.keyspace.account, NULL);
    build_begin(&build, &heap, &fixture.seed, VALUE_HASH);
    for (uint32_t i = 0; i < 2000; i++)
        assert_int_equal(add(&build, VALUE_HASH, i, 30), BUILD_DONE);
    assert_int_equal(build_settle(&build), BUILD_DONE);
    node_heap_freeze(&fixture.keyspace.nodes);
    struct entry *entry = store(&build, &fixture);
    struct edit_place place = {&fixture.keyspace, 0, hash_of(&fixture, key), key};
    for (uint32_t i = 0; i < 1000; i++) {
        struct edit edit;
        edit_open(&edit, &place, entry, VALUE_HASH);
        assert_true(edit_reserve(&edit, FIELDS_CHANGES, 100));
        assert_true(fields_erase(&edit, numbered(text, i, 30)));
        assert_true(edit_commit(&edit));
        if (i == 500) node_heap_thaw(&fixture.keyspace.nodes);
    }
    collection_check(entry_collection(entry));
    assert_true(delete (&fixture, 0, key));
    node_heap_deinit(&heap);
    fixture_deinit(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_other_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
