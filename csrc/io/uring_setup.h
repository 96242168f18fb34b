/* Making the ring, the same way for the probe and for the reactor. */
#pragma once

#include <liburing.h>

#define URING_CQ_FACTOR 4u /* completions outnumber submissions: multishot */
#define URING_CQ_MAX 65536u
#define URING_SQ_MAX 32768u

/* The ring belongs to the calling thread (single issuer).
 *   DEFER_TASKRUN  completions are worked out when we enter, never in the middle of a command
 *   SUBMIT_ALL     one refused submission does not hold up those behind it
 *   CLAMP          sizes beyond the kernel's bounds are its bounds */
static inline int uring_setup(struct io_uring *ring, uint32_t entries) {
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                                              IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP};
    entries = entries < URING_SQ_MAX ? entries : URING_SQ_MAX;
    params.cq_entries =
        entries * URING_CQ_FACTOR < URING_CQ_MAX ? entries * URING_CQ_FACTOR : URING_CQ_MAX;
    return io_uring_queue_init_params(entries, ring, &params);
}
