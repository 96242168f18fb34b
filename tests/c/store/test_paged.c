/* Large strings that are changed in place, against plain memory: joined, copied, frozen, and with memory refused. */
#include "store/paged.h"
#include "store/transfer.h"
#include "store_fixture.h"

#include <stdlib.h>

enum { ROOM = 3 << 20, ROUNDS = 4000, PART_MAX = 9000 };

struct world {
    struct fixture fixture;
    char *model, *read;
    uint32_t len;
};

static const struct bytes key = BYTES_LITERAL("string");

static struct world *world_new(void) {
    struct world *world = calloc(1, sizeof *world);
    fixture_init(&world->fixture, 2);
    world->model = calloc(1, ROOM);
    world->read = calloc(1, ROOM);
    return world;
}

static void world_free(struct world *world) {
    (void)delete (&world->fixture, 0, key);
    keyspace_check(&world->fixture.keyspace);
    fixture_deinit(&world->fixture);
    free(world->model);
    free(world->read);
    free(world);
}

static uint64_t below(struct world *world, uint64_t bound) {
    return random_below(&world->fixture.random, bound);
}

static struct entry *string_of(struct world *world) {
    return find(&world->fixture, 0, key);
}

static void fill(struct world *world, char *to, uint32_t len) {
    for (uint32_t i = 0; i < len; i++) to[i] = (char)below(world, 256);
}

/* A value that came whole. */
static void set_whole(struct world *world, uint32_t len) {
    memset(world->model, 0, ROOM);
    fill(world, world->model, len);
    world->len = len;
    assert_non_null(set(&world->fixture, 0, key, bytes_of(world->model, len), 0));
}

static struct entry *open_part(struct world *world, struct string_part part, uint32_t len) {
    return keyspace_open_string(&world->fixture.keyspace, 0, hash_of(&world->fixture, key), key,
                                part, len, string_of(world));
}

static struct string_part some_part(struct world *world, uint32_t bound) {
    bound = bound < ROOM ? bound : ROOM;
    uint32_t len = (uint32_t)below(world, below(world, 4) == 0 ? PART_MAX : 10) + 1;
    return (struct string_part){(uint32_t)below(world, bound - len), len};
}

static void write_part(struct world *world, struct string_part part) {
    char bytes[PART_MAX];
    uint32_t end = part.offset + part.len, len = world->len > end ? world->len : end;
    struct entry *entry = open_part(world, part, len);
    assert_non_null(entry);
    fill(world, bytes, part.len);
    string_write(entry, part.offset, bytes_of(bytes, part.len));
    memcpy(world->model + part.offset, bytes, part.len);
    world->len = len;
    assert_true(entry_is_raw(entry));
}

static void check_part(struct world *world, const struct entry *entry, struct string_part part) {
    string_read(entry, part, world->read);
    assert_memory_equal(world->read, world->model + part.offset, part.len);
}

/* Each run begins where the one before ended. */
static void check_runs(struct world *world, const struct entry *entry) {
    for (uint32_t at = 0; at < world->len;) {
        struct bytes run = string_run(entry, at);
        assert_true(run.len > 0 && run.len <= world->len - at);
        for (uint32_t i = 0; !run.at && i < run.len; i++) assert_int_equal(world->model[at + i], 0);
        if (run.at) assert_memory_equal(run.at, world->model + at, run.len);
        at += run.len;
    }
}

static void check_all(struct world *world) {
    struct entry *entry = string_of(world);
    check_runs(world, entry);
    assert_int_equal(string_len(entry), world->len);
    check_part(world, entry, (struct string_part){0, world->len});
    if (entry_is_tree(entry)) collection_check(entry_collection(entry));
    keyspace_check(&world->fixture.keyspace);
}

static void test_as_plain_memory(void **state) {
    (void)state;
    struct world *world = world_new();
    set_whole(world, PAGED_BYTES_MIN - 100);
    for (int i = 0; i < ROUNDS; i++) {
        if (below(world, 3) == 0) write_part(world, some_part(world, world->len + PART_MAX));
        check_part(world, string_of(world), some_part(world, world->len));
        if (below(world, 400) == 0) check_all(world);
        if (below(world, 900) == 0) {
            assert_true(keyspace_join_string(&world->fixture.keyspace, 0, string_of(world)));
            assert_false(entry_is_tree(string_of(world)));
            assert_memory_equal(entry_string(string_of(world)).at, world->model, world->len);
        }
    }
    check_all(world);
    world_free(world);
}

/* Bytes that nobody wrote are zero, and take no memory. */
static void test_gaps(void **state) {
    (void)state;
    struct world *world = world_new();
    struct entry *entry = open_part(world, (struct string_part){UINT32_MAX - 1, 1}, UINT32_MAX);
    assert_non_null(entry);
    string_write(entry, UINT32_MAX - 1, BYTES_LITERAL("x"));
    assert_int_equal(string_len(entry), UINT32_MAX);
    assert_true(entry_bytes(entry) < 10 * PAGE_BYTES);
    string_read(entry, (struct string_part){UINT32_MAX - 5, 5}, world->read);
    assert_memory_equal(world->read, "\0\0\0\0x", 5);
    world_free(world);
}

/* A base of which every page has been written is not kept. */
static void test_covered_base(void **state) {
    (void)state;
    struct world *world = world_new();
    set_whole(world, 2 * PAGED_BYTES_MIN);
    write_part(world, (struct string_part){0, 1});
    uint64_t with_base = entry_bytes(string_of(world));
    for (uint32_t at = 0; at < world->len; at += PAGE_BYTES)
        write_part(world, (struct string_part){at, 1});
    assert_true(entry_bytes(string_of(world)) < with_base + with_base / 4);
    check_all(world);
    world_free(world);
}

static void test_copies_are_apart(void **state) {
    (void)state;
    struct world *world = world_new();
    struct keyspace *keyspace = &world->fixture.keyspace;
    set_whole(world, 2 * PAGED_BYTES_MIN);
    write_part(world, (struct string_part){5000, 9000});
    struct entry_place to = {keyspace, 1, hash_of(&world->fixture, key), key};
    struct entry *copy = keyspace_copy_entry(string_of(world), &to, NULL);
    char *before = malloc(world->len);
    memcpy(before, world->model, world->len);
    for (int i = 0; i < 50; i++) write_part(world, some_part(world, world->len));
    check_all(world);
    string_read(copy, (struct string_part){0, world->len}, world->read);
    assert_memory_equal(world->read, before, world->len);
    free(before);
    assert_true(delete (&world->fixture, 1, key));
    world_free(world);
}

/* What was frozen can be read as it was, whatever is written, until the thaw. */
static void test_frozen(void **state) {
    (void)state;
    struct world *world = world_new();
    struct node_heap *heap = &world->fixture.keyspace.nodes;
    set_whole(world, 2 * PAGED_BYTES_MIN);
    for (int i = 0; i < 100; i++) write_part(world, some_part(world, world->len));
    uint32_t len = world->len;
    char *before = malloc(len);
    memcpy(before, world->model, len);
    node_heap_freeze(heap);
    struct collection *frozen = collection_freeze(entry_collection(string_of(world)));
    for (int i = 0; i < 600; i++) write_part(world, some_part(world, world->len + PART_MAX));
    check_all(world);
    assert_true(delete (&world->fixture, 0, key));
    assert_int_equal(paged_len(frozen), len);
    paged_read(frozen, (struct string_part){0, len}, world->read);
    assert_memory_equal(world->read, before, len);
    free(before);
    collection_unfreeze(frozen);
    node_heap_thaw(heap);
    world_free(world);
}

/* Refused memory at any point leaves the string as it was. */
static void test_refused_memory(void **state) {
    (void)state;
    struct world *world = world_new();
    set_whole(world, PAGED_BYTES_MIN + 5);
    for (int round = 0; round < 3; round++) {
        struct string_part part = {world->len - 3000, PART_MAX};
        uint32_t end = part.offset + part.len;
        long attempt = 1;
        for (;; attempt++) {
            mem_fail_after(attempt);
            struct entry *entry = open_part(world, part, end);
            mem_fail_after(0);
            if (entry != NULL) break;
            check_all(world);
        }
        assert_true(attempt > 1);
        write_part(world, part);
        check_all(world);
        mem_fail_after(1);
        assert_false(keyspace_join_string(&world->fixture.keyspace, 0, string_of(world)));
        mem_fail_after(0);
        check_all(world);
    }
    world_free(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_plain_memory), cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_covered_base),    cmocka_unit_test(test_copies_are_apart),
        cmocka_unit_test(test_frozen),          cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
