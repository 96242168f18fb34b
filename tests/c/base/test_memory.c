/* Accounts, refused memory, blobs and arenas. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/blob.h"

static int stop_failing(void **state) {
    (void)state;
    mem_fail_after(0);
    return 0;
}

/* ---- Accounts ----------------------------------------------------------------------------------- */

static void test_an_account_sums_what_is_used(void **state) {
    struct mem_account account = {0};
    (void)state;
    void *a = mem_alloc(&account, 100), *b = mem_calloc(&account, 1000);
    assert_int_equal(account.used_bytes, malloc_usable_size(a) + malloc_usable_size(b));
    a = mem_realloc(&account, a, 5000);
    assert_int_equal(account.used_bytes, malloc_usable_size(a) + malloc_usable_size(b));
    mem_free(&account, b);
    assert_int_equal(account.used_bytes, malloc_usable_size(a));
    mem_free(&account, a);
    mem_free(&account, NULL);
    assert_int_equal(account.used_bytes, 0);
}

static void test_pages_are_aligned_zeroed_and_counted(void **state) {
    enum { ALIGN = 1 << 20 };
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 3 * page + 1;
    struct mem_account account = {0};
    (void)state;
    char *pages = mem_pages_alloc(&account, size, ALIGN);
    assert_non_null(pages);
    assert_int_equal((uintptr_t)pages % ALIGN, 0);
    assert_int_equal(account.used_bytes, 4 * page);
    for (size_t i = 0; i < size; i++) assert_int_equal(pages[i], 0);
    memset(pages, 1, size);
    mem_pages_free(&account, pages, size);
    assert_int_equal(account.used_bytes, 0);
    assert_null(mem_pages_alloc(&account, SIZE_MAX - ALIGN, ALIGN));
    assert_int_equal(account.used_bytes, 0);
}

/* The n-th next request fails, and every one after it. */
static void test_refusals_are_counted(void **state) {
    struct mem_account account = {0};
    (void)state;
    mem_fail_after(3);
    void *a = mem_alloc(&account, 10), *b = mem_alloc(&account, 10);
    assert_non_null(a);
    assert_non_null(b);
    uint64_t used = account.used_bytes;
    assert_null(mem_alloc(&account, 10));
    assert_null(mem_calloc(&account, 10));
    assert_null(mem_realloc(&account, a, 20));
    assert_null(mem_pages_alloc(&account, 1 << 20, 1 << 20));
    assert_int_equal(account.used_bytes, used);
    mem_fail_after(0);
    a = mem_realloc(&account, a, 20);
    assert_non_null(a);
    mem_free(&account, a);
    mem_free(&account, b);
    assert_int_equal(account.used_bytes, 0);
}

/* ---- Blobs -------------------------------------------------------------------------------------- */

static void test_a_blob_lives_until_its_last_reference(void **state) {
    struct mem_account account = {0};
    (void)state;
    struct blob *blob = blob_copy(&account, BYTES_LITERAL("value"));
    struct bytes bytes = blob_bytes(blob);
    assert_true(bytes.flags & BYTES_BLOB);
    assert_ptr_equal(blob_of(bytes), blob);
    assert_ptr_equal(blob_get(blob), blob);
    blob_put(blob);
    assert_true(bytes_equal(bytes, BYTES_LITERAL("value")));
    assert_true(account.used_bytes > 0);
    blob_put(blob);
    assert_int_equal(account.used_bytes, 0);
}

static void test_a_blob_is_resized_before_it_is_published(void **state) {
    struct mem_account account = {0};
    (void)state;
    struct blob *blob = blob_new(&account, 4);
    memcpy(blob->data, "abcd", 4);
    blob = blob_resize(blob, 100000);
    assert_int_equal(blob->len, 100000);
    assert_memory_equal(blob->data, "abcd", 4);
    mem_fail_after(1);
    assert_null(blob_resize(blob, 200000));
    mem_fail_after(0);
    assert_int_equal(blob->len, 100000);
    blob = blob_resize(blob, 2);
    assert_true(bytes_equal(blob_bytes(blob), BYTES_LITERAL("ab")));
    blob_put(blob);
    assert_int_equal(account.used_bytes, 0);
}

static void test_a_blob_without_memory(void **state) {
    struct mem_account account = {0};
    (void)state;
    mem_fail_after(1);
    assert_null(blob_new(&account, 10));
    assert_null(blob_copy(&account, BYTES_LITERAL("value")));
    mem_fail_after(0);
    struct blob *empty = blob_copy(&account, bytes_of(NULL, 0));
    assert_int_equal(empty->len, 0);
    blob_put(empty);
    assert_int_equal(account.used_bytes, 0);
}

/* ---- Arenas ------------------------------------------------------------------------------------- */

static void test_an_arena_hands_out_aligned_room(void **state) {
    struct arena arena = {0};
    char *rooms[2000];
    (void)state;
    for (int i = 0; i < 2000; i++) {
        rooms[i] = arena_alloc(&arena, (size_t)i % 97 + 1);
        assert_int_equal((uintptr_t)rooms[i] % 16, 0);
        memset(rooms[i], i % 128, (size_t)i % 97 + 1);
    }
    for (int i = 0; i < 2000; i++)
        for (int at = 0; at <= i % 97; at++) assert_int_equal(rooms[i][at], i % 128);
    arena_deinit(&arena);
}

static void test_an_arena_keeps_its_first_block(void **state) {
    struct arena arena = {0};
    (void)state;
    arena_reset(&arena);
    char *first = arena_alloc(&arena, 100);
    for (int i = 0; i < 100; i++) assert_non_null(arena_alloc(&arena, 1000));
    assert_ptr_not_equal(arena.first, arena.last);
    arena_reset(&arena);
    assert_ptr_equal(arena.first, arena.last);
    assert_ptr_equal(arena_alloc(&arena, 100), first);
    arena_deinit(&arena);
    assert_null(arena.first);
}

static void test_an_arena_gives_a_huge_block_back(void **state) {
    struct arena arena = {0};
    (void)state;
    char *huge = arena_alloc(&arena, 10 << 20);
    assert_non_null(huge);
    memset(huge, 1, 10 << 20);
    arena_reset(&arena);
    assert_null(arena.first);
    assert_non_null(arena_alloc(&arena, 1));
    arena_deinit(&arena);
}

static void test_an_arena_without_memory(void **state) {
    struct arena arena = {0};
    (void)state;
    mem_fail_after(2);
    char *room = arena_alloc(&arena, 100);
    assert_non_null(room);
    assert_null(arena_alloc(&arena, ARENA_BLOCK_BYTES));
    assert_non_null(arena_alloc(&arena, 100)); /* of the block that is there */
    mem_fail_after(0);
    assert_non_null(arena_alloc(&arena, ARENA_BLOCK_BYTES));
    arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_account_sums_what_is_used),
        cmocka_unit_test(test_pages_are_aligned_zeroed_and_counted),
        cmocka_unit_test_teardown(test_refusals_are_counted, stop_failing),
        cmocka_unit_test(test_a_blob_lives_until_its_last_reference),
        cmocka_unit_test_teardown(test_a_blob_is_resized_before_it_is_published, stop_failing),
        cmocka_unit_test_teardown(test_a_blob_without_memory, stop_failing),
        cmocka_unit_test(test_an_arena_hands_out_aligned_room),
        cmocka_unit_test(test_an_arena_keeps_its_first_block),
        cmocka_unit_test(test_an_arena_gives_a_huge_block_back),
        cmocka_unit_test_teardown(test_an_arena_without_memory, stop_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
