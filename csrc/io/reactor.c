#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/assert.h"
#include "io/bodies.h"

enum { REASON_BYTES = 160 };

static struct {
    pthread_once_t once;
    int result;
    char reason[REASON_BYTES];
} probed = {.once = PTHREAD_ONCE_INIT};

static void probe(void) {
    probed.result = reactor_uring_try(probed.reason, sizeof probed.reason);
}

int reactor_uring_probe(char *reason, size_t capacity) {
    pthread_once(&probed.once, probe);
    if (capacity > 0) {
        snprintf(reason, capacity, "%s", probed.reason);
    }
    return probed.result;
}

int reactor_open(struct reactor **out, enum reactor_kind kind,
                 const struct reactor_limits *limits) {
    KRT_ASSERT(limits->ring_entries > 0 && limits->buffer_count > 0 && limits->buffer_bytes > 0);
    KRT_ASSERT((uint64_t)limits->buffer_count * limits->buffer_bytes <= REACTOR_BUFFERS_MAX);
    return kind == REACTOR_URING ? reactor_uring_open(out, limits)
                                 : reactor_epoll_open(out, limits);
}
