#ifdef KRT_HAVE_URING
#include "io/uring_buffers.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

enum { PAGE_BYTES = 4096, BUFFERS_MAX = 32768 };

static size_t ring_bytes(const struct uring_buffers *buffers) {
    return buffers->count * sizeof(struct io_uring_buf);
}

static size_t memory_bytes(const struct uring_buffers *buffers) {
    return (size_t)buffers->count * buffers->buffer_bytes;
}

/* A child that keeps a mapping keeps alive what the kernel pinned for it. Failure costs only that.
 * */
static void *pages_not_for_children(struct mem_account *account, size_t size) {
    void *pages = mem_pages_alloc(account, size, (size_t)sysconf(_SC_PAGESIZE));
    if (pages != NULL) {
        (void)madvise(pages, size, MADV_DONTFORK);
    }
    return pages;
}

static uint32_t power_of_two_below(uint32_t value) {
    return 1u << (31 - __builtin_clz(value));
}

static int allocate(struct uring_buffers *buffers) {
    buffers->ring = pages_not_for_children(buffers->account, ring_bytes(buffers));
    buffers->memory = pages_not_for_children(buffers->account, memory_bytes(buffers));
    buffers->lent = mem_alloc(buffers->account, buffers->count * sizeof *buffers->lent);
    return buffers->ring && buffers->memory && buffers->lent ? 0 : -ENOMEM;
}

/* First use would fault page by page in the middle of serving. */
static void touch_pages(struct uring_buffers *buffers) {
    for (size_t at = 0; at < memory_bytes(buffers); at += PAGE_BYTES) {
        ((volatile char *)buffers->memory)[at] = 0;
    }
}

static int register_ring(struct uring_buffers *buffers, struct io_uring *ring) {
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)buffers->ring,
                                            .ring_entries = buffers->count,
                                            .bgid = URING_BUFFER_GROUP};
    return io_uring_register_buf_ring(ring, &registration, 0);
}

int uring_buffers_open(struct uring_buffers *buffers, struct io_uring *ring,
                       const struct reactor_limits *limits) {
    uint32_t count = limits->buffer_count < BUFFERS_MAX ? limits->buffer_count : BUFFERS_MAX;
    *buffers = (struct uring_buffers){.count = power_of_two_below(count),
                                      .buffer_bytes = limits->buffer_bytes,
                                      .account = limits->account};
    int error = allocate(buffers);
    if (error == 0) {
        error = register_ring(buffers, ring);
    }
    if (error < 0) {
        return error;
    }
    io_uring_buf_ring_init(buffers->ring);
    touch_pages(buffers);
    for (uint32_t i = 0; i < buffers->count; i++) {
        buffers->lent[i] = (uint16_t)i;
    }
    buffers->lent_count = buffers->count;
    uring_buffers_recycle(buffers);
    return 0;
}

void uring_buffers_close(struct uring_buffers *buffers) {
    if (buffers->ring != NULL) {
        mem_pages_free(buffers->account, buffers->ring, ring_bytes(buffers));
    }
    if (buffers->memory != NULL) {
        mem_pages_free(buffers->account, buffers->memory, memory_bytes(buffers));
    }
    mem_free(buffers->account, buffers->lent);
}

void uring_buffers_recycle(struct uring_buffers *buffers) {
    int mask = io_uring_buf_ring_mask(buffers->count);
    for (uint32_t i = 0; i < buffers->lent_count; i++) {
        uint16_t number = buffers->lent[i];
        char *at = buffers->memory + (size_t)number * buffers->buffer_bytes;
        io_uring_buf_ring_add(buffers->ring, at, buffers->buffer_bytes, number, mask, (int)i);
    }
    io_uring_buf_ring_advance(buffers->ring, (int)buffers->lent_count);
    buffers->lent_count = 0;
}
#endif
