/* The listening descriptors of a reactor, and when each may accept again after a failure.
 *
 * Role: both bodies pause a listener that ran out of descriptors or memory, instead of spinning on
 * it.
 * Threads: the reactor's. Bounds: LISTENERS_MAX; beyond it -ENOSPC.
 */
#pragma once

#include "io/table.h"

#define LISTENERS_MAX 32
#define ACCEPT_BACKOFF_NS (100u * 1000000u)

struct io_listener {
    int fd; /* the caller's */
    uint32_t generation;
    bool used;
    bool armed;        /* the kernel accepts or watches for us */
    bool single;       /* io_uring: multishot accept failed here */
    uint64_t retry_ns; /* not armed: arm at this time */
};

struct io_listeners {
    struct io_listener at[LISTENERS_MAX];
    uint32_t unarmed; /* used, but not armed */
};

/* A listener that is not armed yet and may be at once; NULL: no room. */
struct io_listener *io_listeners_add(struct io_listeners *listeners, int fd);
struct io_listener *io_listeners_of_fd(struct io_listeners *listeners, int fd);
struct io_listener *io_listeners_of_token(struct io_listeners *listeners, uint64_t token);
uint64_t io_listeners_token(const struct io_listeners *listeners,
                            const struct io_listener *listener);
/* It must be disarmed. */
void io_listeners_remove(struct io_listeners *listeners, struct io_listener *listener);

void io_listeners_armed(struct io_listeners *listeners, struct io_listener *listener);
/* `error`: the reason of the failure, 0 for none; what is worth a pause is decided here. Returns
 * whether it is. */
bool io_listeners_disarmed(struct io_listeners *listeners, struct io_listener *listener, int error);
/* An unarmed listener whose time has come; NULL: none. */
struct io_listener *io_listeners_due(struct io_listeners *listeners, uint64_t now_ns);
/* The time of the next retry, UINT64_MAX: none. */
uint64_t io_listeners_next_retry(const struct io_listeners *listeners);
