/* The receive buffers that io_uring picks from by itself (a provided buffer ring).
 *
 * Role: the kernel takes a buffer when data arrives; the completion lends it to us; recycle gives
 * all lent buffers back at once.
 * Threads: the reactor's. Ownership: the ring and its memory are hidden from forked children.
 * Errors: negative errno values at open. Bounds: a power of two of buffers, at most 32768.
 */
#pragma once

#include <liburing.h>

#include "io/reactor.h"

#define URING_BUFFER_GROUP 0

struct uring_buffers {
    struct io_uring_buf_ring *ring;
    char *memory;
    uint16_t *lent; /* numbers of the buffers to give back */
    uint32_t lent_count;
    uint32_t count, buffer_bytes;
    struct mem_account *account;
};

int uring_buffers_open(struct uring_buffers *buffers, struct io_uring *ring,
                       const struct reactor_limits *limits);
/* The io_uring must have exited. Also after a failed open. */
void uring_buffers_close(struct uring_buffers *buffers);

/* Takes over the buffer that a completion names, until recycle. */
static inline struct bytes uring_buffers_lend(struct uring_buffers *buffers, uint32_t cqe_flags,
                                              size_t len) {
    uint16_t number = (uint16_t)(cqe_flags >> IORING_CQE_BUFFER_SHIFT);
    buffers->lent[buffers->lent_count++] = number;
    return bytes_of(buffers->memory + (size_t)number * buffers->buffer_bytes, len);
}

/* How many the kernel may have: completions that were not looked at yet hold some of them. */
static inline uint32_t uring_buffers_left(const struct uring_buffers *buffers) {
    return buffers->count - buffers->lent_count;
}

void uring_buffers_recycle(struct uring_buffers *buffers);
