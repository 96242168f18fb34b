/* Compiles and links, as part of a shared object, only with a static liburing of at least 2.3: that
 * release brought io_uring_register_sync_cancel. Used by setup.py and by the Makefile. */
#include <liburing.h>

int probe_uring(struct io_uring *ring);

int probe_uring(struct io_uring *ring) {
    struct io_uring_sync_cancel_reg cancel = {.fd = -1};
    return io_uring_register_sync_cancel(ring, &cancel);
}
