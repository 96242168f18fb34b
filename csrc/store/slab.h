/* The heap of small things: a slab allocator that belongs to a baton, not to a thread.
 *
 * Role: cells in classes of 8 bytes up to SLAB_MAX_BYTES, for entries and small nodes. No atomics,
 * no thread-local storage: whoever holds the shard's baton allocates and frees.
 * Layout: regions of 1 MiB from mem_pages_alloc, cut into slabs of 16 KiB. A region's first page
 * describes its slabs, found by masking a cell's address, so a free needs the address only and a
 * slab has no header that would spoil its alignment: 64-byte cells lie on cache lines. Empty slabs
 * serve any class again; an empty region goes back to the kernel, in steps of 256 KiB (one is
 * kept). The pages of a region are resident once they are first used, in order.
 * Errors: NULL when memory is refused. Bounds: waste per slab under one cell; 4 KiB per region.
 */
#pragma once

#include "base/mem.h"

enum { SLAB_MAX_BYTES = 512 };

struct slab_heap; /* members in slab.c */

/* `account` is charged with whole regions: slab_held_bytes of all heaps that share it. */
struct slab_heap *slab_heap_new(struct mem_account *account);
/* Gives back every region at once: what lives in the cells is gone with it. */
void slab_heap_free(struct slab_heap *heap);

/* Aligned to 8 bytes; to 64 if the size is a multiple of 64. */
void *slab_alloc(struct slab_heap *heap, size_t size);
void slab_free(struct slab_heap *heap, void *cell);
/* The bytes that a request of `size` occupies: two sizes with the same answer can share a cell. */
static inline size_t slab_cell_bytes(size_t size) {
    return (size + 7) & ~(size_t)7;
}
uint64_t slab_used_bytes(const struct slab_heap *heap); /* cells handed out */
uint64_t slab_held_bytes(const struct slab_heap *heap); /* regions held */

/* Makes the n-th next allocation of this heap and all after it fail, as mem_fail_after does for
 * general memory; 0 switches it off. For tests of the out-of-memory paths. */
void slab_fail_after(struct slab_heap *heap, uint64_t count);
/* Asserts the counts and lists over all slabs. */
void slab_heap_check(const struct slab_heap *heap);
