/* The heap of small things: a slab allocator that belongs to a baton, not to a thread.
 *
 * Role: cells in classes of 8 bytes up to SLAB_MAX_BYTES, for entries and small nodes. No atomics, no
 * thread-local storage: whoever holds the shard's baton allocates and frees.
 * Layout: regions of 1 MiB from mem_pages_alloc, cut into slabs of 16 KiB; a slab's header is found
 * by masking a cell's address, so a free needs the address only. Empty slabs serve any class again;
 * an empty region goes back to the kernel (one is kept).
 * Errors: NULL when memory is refused. Bounds: waste per slab under one cell plus its header.
 */
#pragma once

#include "base/mem.h"

enum { SLAB_MAX_BYTES = 512 };

struct slab_heap; /* members in slab.c */

struct slab_heap *slab_heap_new(struct mem_account *account);
/* Gives back every region at once: what lives in the cells is gone with it. */
void slab_heap_free(struct slab_heap *heap);

void *slab_alloc(struct slab_heap *heap, size_t size);
void slab_free(struct slab_heap *heap, void *cell);
/* The bytes that a request of `size` occupies: two sizes with the same answer can share a cell. */
static inline size_t slab_cell_bytes(size_t size) {
    return (size + 7) & ~(size_t)7;
}
uint64_t slab_used_bytes(const struct slab_heap *heap); /* cells handed out */
uint64_t slab_held_bytes(const struct slab_heap *heap); /* regions held */
