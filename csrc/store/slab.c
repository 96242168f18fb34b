/* Regions, slabs and cells.
 *
 * A slab is in one of three states:
 *
 *   free      its bit is set in the region's `free_slabs`           slab_claim -> open
 *   open      some cells are handed out, or none yet; in the list of its class
 *                                                 last cell handed out -> full, slab_free -> free
 *   full      in no list                                            slab_free -> open
 *
 * A region is in the heap's list `regions`, and in `open_regions` while it has a free slab. Once it
 * is given up it is in the list `leaving` alone, and is unmapped from its end in steps, one whenever
 * a slab changes hands.
 * Cells are handed out from the slab's own list of returned cells first, then from its untouched
 * end: a page that was never needed is never touched.
 */
#include "store/slab.h"

#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_POISONED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_POISONED 1
#endif
#endif
#ifdef SLAB_POISONED
#include <sanitizer/asan_interface.h>
#define POISON(at, size) ASAN_POISON_MEMORY_REGION((at), (size))
#define UNPOISON(at, size) ASAN_UNPOISON_MEMORY_REGION((at), (size))
#else
#define POISON(at, size) ((void)(at), (void)(size))
#define UNPOISON(at, size) ((void)(at), (void)(size))
#endif

enum {
    REGION_BYTES = 1 << 20,
    REGION_HEAD_BYTES = 4096, /* the page of descriptors, taken from the first slab */
    SLAB_BYTES = 1 << 14,
    REGION_SLABS = REGION_BYTES / SLAB_BYTES,
    SLAB_CLASSES = SLAB_MAX_BYTES / 8 + 1,
    UNMAP_STEP_BYTES = 1 << 18, /* a whole region at once takes the kernel some 100 us */
};

struct slab {
    struct slab *next, *prev; /* of the class, while open */
    void *returned;           /* cells given back, linked through their first word */
    char *fresh;              /* the first cell never handed out */
    uint32_t fresh_count;
    uint16_t used;
    uint16_t cell_bytes; /* 0: the slab is free */
};

struct region {
    struct region *next, *prev;           /* all regions */
    struct region *next_open, *prev_open; /* those with a free slab */
    uint64_t free_slabs;                  /* one bit each */
    struct slab slabs[REGION_SLABS];
};

_Static_assert(sizeof(struct region) <= REGION_HEAD_BYTES, "descriptors fit one page");
_Static_assert(REGION_SLABS == 64, "one word of bits describes a region");

struct slab_heap {
    uint64_t used_bytes;
    uint64_t failing; /* 0: no failure is injected; 1: every allocation fails */
    struct slab *open[SLAB_CLASSES];
    struct region *regions, *open_regions;
    struct region *leaving;
    size_t leaving_bytes; /* what is left of the first one; the others are whole */
    uint64_t held_bytes;
    uint64_t empty_regions; /* 0 or 1 */
    struct mem_account *account;
};

struct slab_heap *slab_heap_new(struct mem_account *account) {
    struct slab_heap *heap = mem_calloc(account, sizeof *heap);
    if (heap != NULL) {
        heap->account = account;
        heap->leaving_bytes = REGION_BYTES;
    }
    return heap;
}

static void unmap(struct slab_heap *heap, void *at, size_t size) {
    UNPOISON(at, size);
    mem_pages_free(heap->account, at, size);
    heap->held_bytes -= size;
}

static void unmap_step(struct slab_heap *heap) {
    struct region *region = heap->leaving;
    if (KRT_LIKELY(region == NULL)) {
        return;
    }
    size_t offset = heap->leaving_bytes - UNMAP_STEP_BYTES;
    if (offset == 0) { /* the step that takes the descriptors */
        heap->leaving = region->next;
    }
    heap->leaving_bytes = offset > 0 ? offset : REGION_BYTES;
    unmap(heap, (char *)region + offset, UNMAP_STEP_BYTES);
}

void slab_heap_free(struct slab_heap *heap) {
    if (heap == NULL) {
        return;
    }
    while (heap->leaving != NULL) {
        unmap_step(heap);
    }
    for (struct region *region = heap->regions, *next; region != NULL; region = next) {
        next = region->next;
        unmap(heap, region, REGION_BYTES);
    }
    KRT_ASSERT(heap->held_bytes == 0);
    mem_free(heap->account, heap);
}

static struct region *region_of(const void *at) {
    return (struct region *)((uintptr_t)at & ~(uintptr_t)(REGION_BYTES - 1));
}

static struct slab *slab_of(const void *cell) {
    size_t offset = (uintptr_t)cell & (REGION_BYTES - 1);
    return &region_of(cell)->slabs[offset / SLAB_BYTES];
}

/* ---- Lists ----------------------------------------------------------------------------------- */

static void open_push(struct slab_heap *heap, struct slab *slab) {
    struct slab **head = &heap->open[slab->cell_bytes / 8];
    slab->prev = NULL;
    slab->next = *head;
    if (*head != NULL) {
        (*head)->prev = slab;
    }
    *head = slab;
}

static void open_unlink(struct slab_heap *heap, struct slab *slab) {
    if (slab->prev != NULL) {
        slab->prev->next = slab->next;
    } else {
        heap->open[slab->cell_bytes / 8] = slab->next;
    }
    if (slab->next != NULL) {
        slab->next->prev = slab->prev;
    }
}

static void open_region_push(struct slab_heap *heap, struct region *region) {
    region->prev_open = NULL;
    region->next_open = heap->open_regions;
    if (heap->open_regions != NULL) {
        heap->open_regions->prev_open = region;
    }
    heap->open_regions = region;
}

static void open_region_unlink(struct slab_heap *heap, struct region *region) {
    if (region->prev_open != NULL) {
        region->prev_open->next_open = region->next_open;
    } else {
        heap->open_regions = region->next_open;
    }
    if (region->next_open != NULL) {
        region->next_open->prev_open = region->prev_open;
    }
}

/* ---- Regions --------------------------------------------------------------------------------- */

static struct region *region_new(struct slab_heap *heap) {
    struct region *region = mem_pages_alloc(heap->account, REGION_BYTES, REGION_BYTES);
    if (region == NULL) {
        return NULL;
    }
    region->free_slabs = UINT64_MAX;
    region->next = heap->regions;
    if (heap->regions != NULL) {
        heap->regions->prev = region;
    }
    heap->regions = region;
    heap->held_bytes += REGION_BYTES;
    heap->empty_regions++;
    open_region_push(heap, region);
    return region;
}

static void region_leave(struct slab_heap *heap, struct region *region) {
    open_region_unlink(heap, region);
    if (region->prev != NULL) {
        region->prev->next = region->next;
    } else {
        heap->regions = region->next;
    }
    if (region->next != NULL) {
        region->next->prev = region->prev;
    }
    struct region **place = heap->leaving == NULL ? &heap->leaving : &heap->leaving->next;
    region->next = *place;
    *place = region;
}

/* ---- Slabs ----------------------------------------------------------------------------------- */

static void slab_open(struct slab *slab, struct region *region, size_t index, size_t cell_bytes) {
    char *start = (char *)region + index * SLAB_BYTES;
    char *end = start + SLAB_BYTES;
    if (index == 0) {
        start += REGION_HEAD_BYTES;
    }
    POISON(start, (size_t)(end - start));
    slab->returned = NULL;
    slab->fresh = start;
    slab->fresh_count = (uint32_t)((size_t)(end - start) / cell_bytes);
    slab->used = 0;
    slab->cell_bytes = (uint16_t)cell_bytes;
}

/* Takes a free slab for a class, from the lowest address of the first open region. */
static struct slab *slab_claim(struct slab_heap *heap, size_t cell_bytes) {
    unmap_step(heap);
    struct region *region = heap->open_regions;
    if (region == NULL) {
        region = region_new(heap);
        if (region == NULL) {
            return NULL;
        }
    }
    if (region->free_slabs == UINT64_MAX) {
        heap->empty_regions--;
    }
    size_t index = (size_t)__builtin_ctzll(region->free_slabs);
    region->free_slabs &= region->free_slabs - 1;
    if (region->free_slabs == 0) {
        open_region_unlink(heap, region);
    }
    slab_open(&region->slabs[index], region, index, cell_bytes);
    open_push(heap, &region->slabs[index]);
    return &region->slabs[index];
}

static void slab_release(struct slab_heap *heap, struct slab *slab) {
    unmap_step(heap);
    struct region *region = region_of(slab);
    if (region->free_slabs == 0) {
        open_region_push(heap, region);
    }
    slab->cell_bytes = 0;
    region->free_slabs |= UINT64_C(1) << (slab - region->slabs);
    if (region->free_slabs != UINT64_MAX) {
        return;
    }
    if (heap->empty_regions > 0) {
        region_leave(heap, region);
    } else {
        heap->empty_regions = 1;
    }
}

/* ---- Cells ----------------------------------------------------------------------------------- */

static bool must_fail(struct slab_heap *heap) {
    if (heap->failing > 1) {
        heap->failing--;
        return false;
    }
    return true;
}

void *slab_alloc(struct slab_heap *heap, size_t size) {
    size_t cell_bytes = slab_cell_bytes(size);
    KRT_DCHECK(cell_bytes > 0 && cell_bytes <= SLAB_MAX_BYTES);
    if (KRT_UNLIKELY(heap->failing != 0) && must_fail(heap)) {
        return NULL;
    }
    struct slab *slab = heap->open[cell_bytes / 8];
    if (KRT_UNLIKELY(slab == NULL)) {
        slab = slab_claim(heap, cell_bytes);
        if (slab == NULL) {
            return NULL;
        }
    }
    void *cell = slab->returned;
    if (cell != NULL) {
        UNPOISON(cell, cell_bytes);
        slab->returned = *(void **)cell;
    } else {
        cell = slab->fresh;
        UNPOISON(cell, cell_bytes);
        slab->fresh += cell_bytes;
        slab->fresh_count--;
    }
    slab->used++;
    heap->used_bytes += cell_bytes;
    if (slab->returned == NULL && slab->fresh_count == 0) {
        open_unlink(heap, slab);
    }
    return cell;
}

void slab_free(struct slab_heap *heap, void *cell) {
    struct slab *slab = slab_of(cell);
    KRT_DCHECK(slab->cell_bytes > 0 && slab->used > 0);
    if (slab->returned == NULL && slab->fresh_count == 0) {
        open_push(heap, slab);
    }
    *(void **)cell = slab->returned;
    slab->returned = cell;
    POISON(cell, slab->cell_bytes);
    heap->used_bytes -= slab->cell_bytes;
    slab->used--;
    if (slab->used == 0) {
        open_unlink(heap, slab);
        slab_release(heap, slab);
    }
}

uint64_t slab_used_bytes(const struct slab_heap *heap) {
    return heap->used_bytes;
}

uint64_t slab_held_bytes(const struct slab_heap *heap) {
    return heap->held_bytes;
}

void slab_fail_after(struct slab_heap *heap, uint64_t count) {
    heap->failing = count;
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static bool open_contains(const struct slab_heap *heap, const struct slab *slab) {
    for (const struct slab *at = heap->open[slab->cell_bytes / 8]; at != NULL; at = at->next) {
        KRT_ASSERT(at->next == NULL || at->next->prev == at);
        if (at == slab) {
            return true;
        }
    }
    return false;
}

static uint64_t region_check(const struct slab_heap *heap, const struct region *region) {
    uint64_t used_bytes = 0;
    for (size_t i = 0; i < REGION_SLABS; i++) {
        const struct slab *slab = &region->slabs[i];
        bool is_free = region->free_slabs >> i & 1;
        KRT_ASSERT(is_free == (slab->cell_bytes == 0));
        if (is_free) {
            continue;
        }
        bool is_full = slab->returned == NULL && slab->fresh_count == 0;
        KRT_ASSERT(slab->used > 0);
        KRT_ASSERT(open_contains(heap, slab) == !is_full);
        used_bytes += (uint64_t)slab->used * slab->cell_bytes;
    }
    return used_bytes;
}

void slab_heap_check(const struct slab_heap *heap) {
    uint64_t used_bytes = 0, held_bytes = 0, empty = 0;
    for (const struct region *at = heap->regions; at != NULL; at = at->next) {
        used_bytes += region_check(heap, at);
        held_bytes += REGION_BYTES;
        empty += at->free_slabs == UINT64_MAX;
    }
    KRT_ASSERT(used_bytes == heap->used_bytes);
    for (const struct region *at = heap->leaving; at != NULL; at = at->next) {
        held_bytes += at == heap->leaving ? heap->leaving_bytes : REGION_BYTES;
    }
    KRT_ASSERT(held_bytes == heap->held_bytes);
    KRT_ASSERT(empty == heap->empty_regions && empty <= 1);
}
