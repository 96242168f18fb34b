/* General allocation with accounting and an injectable failure.
 *
 * Every allocation of the core that is not a slab cell goes through here. A `struct mem_account` sums
 * what is handed out by usable size (malloc_usable_size), so that "used memory" is what the allocator
 * really spent. Accounts are shared by threads (a value may be freed by whoever drops the last
 * reference), hence atomic; slab cells (store/slab.h) are counted without atomics.
 *
 * A NULL account is not counted: structures of the runtime that are no part of the data.
 * Errors: NULL when memory is refused; nothing here aborts. `mem_fail_after` makes the n-th following
 * allocation and all after it fail, for tests of the out-of-memory paths (0 switches it off).
 */
#pragma once

#include <stddef.h>

#include "base/atomic.h"

struct garbage_taker;

struct mem_account {
    atomic_u64 used_bytes; /* writers and readers: any thread, relaxed; a statistic */
    struct garbage_taker
        *taker; /* frees what is large (base/garbage.h); NULL: whoever drops it does */
};

void *mem_alloc(struct mem_account *account, size_t size);
void *mem_calloc(struct mem_account *account, size_t size);
void *mem_realloc(struct mem_account *account, void *at, size_t size);
void mem_free(struct mem_account *account, void *at);
/* The allocation is from now on `to`'s; it is freed with that account. */
void mem_recharge(struct mem_account *from, struct mem_account *to, const void *at);
/* The same for many at once, of so many bytes by usable size. */
void mem_recharge_bytes(struct mem_account *from, struct mem_account *to, uint64_t bytes);

/* Anonymous pages straight from the kernel, zeroed, `align` a power of two of at least the page size;
 * counted in the account. Huge pages are declined: a 2 MiB fault stalls a shard for milliseconds. */
void *mem_pages_alloc(struct mem_account *account, size_t size, size_t align);
void mem_pages_free(struct mem_account *account, void *at, size_t size);

void mem_fail_after(long count);
