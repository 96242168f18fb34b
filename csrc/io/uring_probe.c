/* Can io_uring be had? Found out by trying what the reactor will do, on a ring that is thrown
 * away: version numbers say nothing about seccomp filters, sysctls and backports. */
#include <errno.h>
#include <stdio.h>

#include "io/bodies.h"

#ifndef KRT_HAVE_URING

int reactor_uring_try(char *reason, size_t capacity) {
    snprintf(reason, capacity, "built without liburing");
    return -ENOSYS;
}

#else
#include "io/uring_buffers.h"
#include "io/uring_setup.h"
#include "plat/errors.h"

static const char *advice(const char *step, int error) {
    switch (-error) {
    case EPERM:
        return " (forbidden by seccomp, as in most containers, or by kernel.io_uring_disabled)";
    case EACCES:
        return " (forbidden by a security policy)";
    case ENOSYS:
        return " (the kernel was built without io_uring, or a seccomp filter hides it)";
    case ENOMEM:
        return " (the limit on locked memory may be too small)";
    case EINVAL:
        return step[0] == 'i' ? " (Linux 6.1 or newer is needed)" : "";
    default:
        return "";
    }
}

static int refuse(char *reason, size_t capacity, const char *step, int error) {
    snprintf(reason, capacity, "%s: %s%s", step, system_error_text(error), advice(step, error));
    return error;
}

/* An operation that all of them came with or after is IORING_OP_SEND_ZC (6.0); ring flags tell
 * 6.1. */
static int check_operations(struct io_uring *ring) {
    static const int needed[] = {IORING_OP_ACCEPT,  IORING_OP_RECV,     IORING_OP_SEND,
                                 IORING_OP_SENDMSG, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
                                 IORING_OP_READ,    IORING_OP_SEND_ZC};
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    if (probe == NULL) {
        return -ENOMEM;
    }
    int error = 0;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (!io_uring_opcode_supported(probe, needed[i])) {
            error = -EOPNOTSUPP;
        }
    }
    io_uring_free_probe(probe);
    return error;
}

static int check_buffers(struct io_uring *ring) {
    struct mem_account account = {0};
    struct reactor_limits limits = {.buffer_count = 1, .buffer_bytes = 64, .account = &account};
    struct uring_buffers buffers;
    int error = uring_buffers_open(&buffers, ring, &limits);
    if (error == 0) {
        error = io_uring_unregister_buf_ring(ring, URING_BUFFER_GROUP);
    }
    uring_buffers_close(&buffers);
    return error;
}

int reactor_uring_try(char *reason, size_t capacity) {
    struct io_uring ring;
    int error = uring_setup(&ring, 8);
    if (error < 0) {
        return refuse(reason, capacity, "io_uring_setup", error);
    }
    const char *step = "io_uring_register (buffer ring)";
    error = check_buffers(&ring);
    if (error == 0) {
        step = "io_uring operations of Linux 6.1";
        error = check_operations(&ring);
    }
    io_uring_queue_exit(&ring);
    if (error < 0) {
        return refuse(reason, capacity, step, error);
    }
    snprintf(reason, capacity, "io_uring is available");
    return 0;
}
#endif
