/* The map of embedded nodes: whatever is put in is found, by hash, in walks and by chance, while it grows,
 * shrinks and memory is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/mem.h"

enum { NODES = 20000 };

struct item {
    struct map_node node;
    uint32_t number;
    uint32_t seen;
};

static struct item items[NODES];

/* Two nodes of each hash. */
static uint64_t hash_of(uint32_t number) {
    static const struct hash_seed seed = {.a = 1, .b = 2};
    uint32_t half = number / 2;
    return hash_bytes(&seed, &half, sizeof half);
}

static void insert(struct map *map, uint32_t number) {
    assert_true(map_reserve(map));
    items[number] = (struct item){.number = number};
    map_insert(map, &items[number].node, hash_of(number));
}

static bool is_in(const struct map *map, uint32_t number) {
    for (struct map_node *node = map_first(map, hash_of(number)); node; node = map_next(node))
        if (((struct item *)node)->number == number) return true;
    return false;
}

static void assert_walked_once(const struct map *map, uint32_t from, uint32_t to) {
    struct map_walk walk;
    uint64_t count = 0;
    for (uint32_t i = 0; i < NODES; i++) items[i].seen = 0;
    map_walk_init(&walk, map);
    for (struct map_node *node; (node = map_walk_next(&walk)); count++)
        assert_int_equal(((struct item *)node)->seen++, 0);
    assert_int_equal(count, to - from);
    assert_int_equal(map->count, to - from);
    for (uint32_t i = from; i < to; i++) assert_int_equal(items[i].seen, 1);
}

static void test_grows_and_shrinks(void **state) {
    (void)state;
    struct map map = {0};
    for (uint32_t i = 0; i < NODES; i++) {
        insert(&map, i);
        if (i % 997 == 0) assert_walked_once(&map, 0, i + 1);
    }
    assert_true(map.buckets >= NODES);
    for (uint32_t i = 0; i < NODES; i++) {
        assert_true(is_in(&map, i));
        map_remove(&map, &items[i].node);
        assert_false(is_in(&map, i));
        if (i % 997 == 0) assert_walked_once(&map, i + 1, NODES);
    }
    assert_null(map.segments);
    assert_null(map_first(&map, hash_of(0)));
}

static void test_a_walk_may_remove_what_it_is_given(void **state) {
    (void)state;
    struct map map = {0};
    struct map_walk walk;
    uint32_t count = 0;
    for (uint32_t i = 0; i < NODES; i++) insert(&map, i);
    map_walk_init(&walk, &map);
    for (struct map_node *node; (node = map_walk_next(&walk)); count++) map_remove(&map, node);
    assert_int_equal(count, NODES);
    assert_int_equal(map.count, 0);
}

static void test_works_on_without_memory(void **state) {
    (void)state;
    struct map map = {0};
    mem_fail_after(1);
    assert_false(map_reserve(&map));
    mem_fail_after(0);
    insert(&map, 0);
    for (uint32_t i = 1; i < NODES; i++) {
        mem_fail_after(1);
        insert(&map, i);
    }
    mem_fail_after(0);
    assert_int_equal(map.buckets, MAP_SEGMENT);
    for (uint32_t i = 0; i < NODES; i++) assert_true(is_in(&map, i));
    for (uint32_t i = 0; i < NODES; i++) map_remove(&map, &items[i].node);
    assert_int_equal(map.count, 0);
}

static void test_random_nodes_are_spread(void **state) {
    (void)state;
    enum { FEW = 16, DRAWS = 16000 };
    struct map map = {0};
    struct random_state random;
    random_seed(&random, 7);
    assert_null(map_random(&map, &random));
    for (uint32_t i = 0; i < FEW; i++) insert(&map, i);
    for (int i = 0; i < DRAWS; i++) ((struct item *)map_random(&map, &random))->seen++;
    for (uint32_t i = 0; i < FEW; i++) assert_in_range(items[i].seen, DRAWS / FEW / 8, DRAWS / 2);
    map_deinit(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_and_shrinks),
        cmocka_unit_test(test_a_walk_may_remove_what_it_is_given),
        cmocka_unit_test(test_works_on_without_memory),
        cmocka_unit_test(test_random_nodes_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
