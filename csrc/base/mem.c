/* malloc with accounting by usable size, and page runs from the kernel. */
#include "base/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

/* 0: no failure is injected; n: the n-th next allocation fails; 1 stays 1, so all after it fail
 * too. Writers and readers: any thread, relaxed; tests alone set it. */
static atomic_u64 allocations_left;

void mem_fail_after(long count) {
    KRT_ASSERT(count >= 0);
    atomic_store_relaxed(&allocations_left, (uint64_t)count);
}

static bool count_down(uint64_t left) {
    while (left > 1) {
        if (atomic_cas_acq_rel(&allocations_left, &left, left - 1)) {
            return false;
        }
    }
    return left == 1;
}

static inline bool must_fail(void) {
    uint64_t left = atomic_load_relaxed(&allocations_left);
    return KRT_UNLIKELY(left != 0) && count_down(left);
}

static void *charge(struct mem_account *account, void *at) {
    if (account != NULL && at != NULL) {
        atomic_add_relaxed(&account->used_bytes, malloc_usable_size(at));
    }
    return at;
}

static void uncharge(struct mem_account *account, uint64_t size) {
    if (account != NULL) {
        atomic_sub_relaxed(&account->used_bytes, size);
    }
}

void *mem_alloc(struct mem_account *account, size_t size) {
    return must_fail() ? NULL : charge(account, malloc(size));
}

void *mem_calloc(struct mem_account *account, size_t size) {
    return must_fail() ? NULL : charge(account, calloc(1, size));
}

void *mem_realloc(struct mem_account *account, void *at, size_t size) {
    KRT_ASSERT(size > 0); /* realloc to nothing means something else on every libc */
    if (must_fail()) {
        return NULL;
    }
    size_t before = malloc_usable_size(at);
    void *moved = realloc(at, size);
    if (moved == NULL) {
        return NULL;
    }
    uncharge(account, before);
    return charge(account, moved);
}

void mem_free(struct mem_account *account, void *at) {
    if (at != NULL) {
        uncharge(account, malloc_usable_size(at));
        free(at);
    }
}

void mem_recharge(struct mem_account *from, struct mem_account *to, const void *at) {
    (void)charge(to, (void *)(uintptr_t)at);
    uncharge(from, malloc_usable_size((void *)(uintptr_t)at));
}

void mem_recharge_bytes(struct mem_account *from, struct mem_account *to, uint64_t bytes) {
    atomic_add_relaxed(&to->used_bytes, bytes);
    uncharge(from, bytes);
}

static size_t round_to_pages(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) & ~(page - 1);
}

/* The kernel aligns to pages only: more is mapped and both ends are given back. */
static char *map_aligned(size_t size, size_t align) {
    size_t mapped = size + align;
    char *raw = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) {
        return NULL;
    }
    size_t head = (align - ((uintptr_t)raw & (align - 1))) & (align - 1);
    if (head > 0) {
        (void)munmap(raw, head);
    }
    (void)munmap(raw + head + size, mapped - size - head);
    return raw + head;
}

void *mem_pages_alloc(struct mem_account *account, size_t size, size_t align) {
    KRT_ASSERT(size > 0 && align == round_to_pages(align) && (align & (align - 1)) == 0);
    size = round_to_pages(size);
    if (must_fail() || size + align < size) {
        return NULL;
    }
    char *at = map_aligned(size, align);
    if (at != NULL) {
        /* Refused by kernels without transparent huge pages, which is what is wanted anyway. */
        (void)madvise(at, size, MADV_NOHUGEPAGE);
        if (account != NULL) {
            atomic_add_relaxed(&account->used_bytes, size);
        }
    }
    return at;
}

void mem_pages_free(struct mem_account *account, void *at, size_t size) {
    if (at != NULL) {
        size = round_to_pages(size);
        (void)munmap(at, size);
        uncharge(account, size);
    }
}
