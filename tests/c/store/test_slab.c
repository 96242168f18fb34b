/* The slab heap: alignment, disjoint cells, reuse, giving back, refusal. */
#include "store_fixture.h"

#include <stdlib.h>

enum { CELLS = 20000, REGION_BYTES = 1 << 20, STEP_BYTES = 1 << 18 };

struct cell {
    unsigned char *at;
    size_t size;
    unsigned char fill;
};

static void cell_write(struct cell *cell, struct slab_heap *heap, size_t size, unsigned char fill) {
    cell->at = slab_alloc(heap, size);
    cell->size = size;
    cell->fill = fill;
    assert_non_null(cell->at);
    assert_int_equal((uintptr_t)cell->at % 8, 0);
    if (size % 64 == 0) {
        assert_int_equal((uintptr_t)cell->at % (size % 512 == 0 ? 512 : 64), 0);
    }
    memset(cell->at, fill, size);
}

static void cell_free(struct cell *cell, struct slab_heap *heap) {
    for (size_t i = 0; i < cell->size; i++) {
        assert_int_equal(cell->at[i], cell->fill);
    }
    slab_free(heap, cell->at);
    cell->at = NULL;
}

/* Regions that were given up leave in steps, one whenever a slab changes hands. */
static void settle(struct slab_heap *heap) {
    for (uint64_t steps = slab_held_bytes(heap) / STEP_BYTES; steps > 0; steps--) {
        slab_free(heap, slab_alloc(heap, 8));
    }
    assert_int_equal(slab_held_bytes(heap), REGION_BYTES);
    slab_heap_check(heap);
}

static void test_cells_keep_their_bytes(void **state) {
    (void)state;
    struct mem_account account = {0};
    struct random_state random;
    random_seed(&random, 1);
    struct slab_heap *heap = slab_heap_new(&account);
    struct cell *cells = calloc(CELLS, sizeof *cells);
    uint64_t heap_bytes = account.used_bytes, used = 0;
    for (uint32_t round = 0; round < 3 * CELLS; round++) {
        struct cell *cell = &cells[random_below(&random, CELLS)];
        if (cell->at != NULL) {
            used -= slab_cell_bytes(cell->size);
            cell_free(cell, heap);
        } else {
            size_t size = 1 + random_below(&random, SLAB_MAX_BYTES);
            cell_write(cell, heap, size, (unsigned char)round);
            used += slab_cell_bytes(size);
        }
        assert_int_equal(slab_used_bytes(heap), used);
    }
    slab_heap_check(heap);
    for (uint32_t i = 0; i < CELLS; i++) {
        if (cells[i].at != NULL) {
            cell_free(&cells[i], heap);
        }
    }
    slab_heap_check(heap);
    assert_int_equal(slab_used_bytes(heap), 0);
    assert_int_equal(account.used_bytes - heap_bytes, slab_held_bytes(heap));
    settle(heap);
    slab_heap_free(heap);
    assert_int_equal(account.used_bytes, 0);
    free(cells);
}

static void fill(struct slab_heap *heap, struct cell *cells, uint32_t count, size_t size) {
    for (uint32_t i = 0; i < count; i++) {
        cell_write(&cells[i], heap, size, (unsigned char)i);
    }
}

static void drain(struct slab_heap *heap, struct cell *cells, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        cell_free(&cells[i], heap);
    }
}

static void test_empty_slabs_serve_other_classes(void **state) {
    (void)state;
    struct mem_account account = {0};
    struct slab_heap *heap = slab_heap_new(&account);
    struct cell *cells = calloc(CELLS, sizeof *cells);
    fill(heap, cells, CELLS, 88);
    uint64_t held = slab_held_bytes(heap);
    assert_int_equal(held, 2 * REGION_BYTES); /* 1.76 million bytes */
    drain(heap, cells, CELLS);
    for (size_t size = 8; size <= SLAB_MAX_BYTES; size += 8) {
        fill(heap, cells, 1024, size);
        assert_in_range(slab_held_bytes(heap), REGION_BYTES, 2 * REGION_BYTES - 1);
        drain(heap, cells, 1024);
    }
    settle(heap);
    slab_heap_free(heap);
    assert_int_equal(account.used_bytes, 0);
    free(cells);
}

static void test_88_byte_cells_waste_little(void **state) {
    (void)state;
    struct mem_account account = {0};
    struct slab_heap *heap = slab_heap_new(&account);
    uint32_t count = 0;
    while (slab_held_bytes(heap) <= 4 * (uint64_t)REGION_BYTES) {
        assert_non_null(slab_alloc(heap, 88));
        count++;
    }
    double each = 4.0 * REGION_BYTES / (count - 1);
    assert_true(each < 88.5);
    slab_heap_free(heap);
}

static void test_refused_memory_is_null(void **state) {
    (void)state;
    struct mem_account account = {0};
    mem_fail_after(1);
    assert_null(slab_heap_new(&account));
    mem_fail_after(0);
    struct slab_heap *heap = slab_heap_new(&account);
    mem_fail_after(1);
    assert_null(slab_alloc(heap, 24));
    mem_fail_after(0);
    assert_int_equal(slab_used_bytes(heap), 0);
    void *cell = slab_alloc(heap, 24);
    assert_non_null(cell);
    slab_fail_after(heap, 2);
    void *second = slab_alloc(heap, 24);
    assert_non_null(second);
    assert_null(slab_alloc(heap, 24));
    assert_null(slab_alloc(heap, 32));
    slab_fail_after(heap, 0);
    slab_free(heap, cell);
    slab_free(heap, second);
    slab_heap_check(heap);
    slab_heap_free(heap);
    assert_int_equal(account.used_bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_keep_their_bytes),
        cmocka_unit_test(test_empty_slabs_serve_other_classes),
        cmocka_unit_test(test_88_byte_cells_waste_little),
        cmocka_unit_test(test_refused_memory_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
