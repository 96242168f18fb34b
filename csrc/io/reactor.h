/* The reactor: one interface, two bodies (reactor_uring.c, reactor_epoll.c).
 *
 * Role: sockets of one shard thread: accepting, receiving, sending, closing, and sleeping until
 * something happens or a deadline passes. It knows nothing of requests. The loop is
 *     reactor_wait → reactor_next* (events) → … → reactor_recycle → reactor_send* → reactor_wait
 *
 * Threads: created, used and closed on the shard thread, always and only; the wake descriptor is
 * what others signal.
 * Ownership: a `struct io_socket` is embedded in the caller's connection. After reactor_add it
 * belongs to the reactor until EVENT_CLOSED, which is the last event about it: its fd is closed by
 * then, and its memory may be freed or reused. Bytes of EVENT_DATA are borrowed until
 * reactor_recycle. Memory handed to reactor_send stays untouched until EVENT_SENT (or
 * EVENT_CLOSED).
 *
 * Invariants
 *   R1  At most one send and one receive are in flight per socket.
 *   R2  No event follows EVENT_CLOSED; completions that come later find a dead generation.
 *   R3  An fd is closed only when no operation on it is in flight.
 *   R4  A full submission queue, an empty buffer pool, EMFILE, ENOBUFS or EINTR delay, never lose:
 *       what could not be submitted is kept and submitted at the next wait.
 *   R5  Idle costs nothing: reactor_wait without a deadline sleeps until an event or a wake.
 * Errors: negative errno values; EVENT_END carries why a peer is gone (0: orderly end of file).
 * Bounds: struct reactor_limits.
 */
#pragma once

#include <sys/uio.h>

#include "base/bytes.h"
#include "base/mem.h"

#define REACTOR_BUFFERS_MAX (1u << 20) /* buffer_count * buffer_bytes */

enum reactor_kind { REACTOR_EPOLL, REACTOR_URING };

struct reactor_limits {
    uint32_t ring_entries; /* submission queue (io_uring); events per wait (epoll) */
    uint32_t buffer_count; /* receive buffers: together at most 1 MiB per shard */
    uint32_t buffer_bytes;
    int wake_fd; /* an eventfd: readable ends the wait and is cleared (EVENT_WAKE) */
    struct mem_account *account;
};

/* One cache line. Private to the bodies, but for `fd`, which the caller may read until
 * reactor_remove. */
struct io_socket {
    int fd;
    uint32_t index;      /* of the reactor's own table */
    uint32_t generation; /* of that slot: tells this socket's completions from an earlier one's */
    uint32_t armed;      /* what the kernel does for us: operations in flight, or events watched */
    bool sending, closing, paused, ended;
    bool listed;  /* on the list of sockets with something to submit, or on that of closed ones */
    bool starved; /* io_uring: receiving ended because the buffers were used up */
    uint8_t cancelled; /* io_uring: operations whose cancel is on its way */
    bool hung;         /* while paused: the peer is gone, which is told after the resume */
    bool blocked;      /* io_uring: a send waits for room in the socket buffer */
    struct io_socket *next_listed;
    const struct iovec *send_at; /* what is being sent */
    int send_count;
    int send_done; /* epoll: bytes of a send that the socket buffer did not take whole */
};

enum reactor_event_kind {
    EVENT_NONE,
    EVENT_ACCEPT, /* result: a connected fd, non-blocking and close-on-exec, now the caller's */
    /* result: negative errno value (-EMFILE ...); accepting goes on by itself after a back-off */
    EVENT_ACCEPT_FAILED,
    EVENT_DATA,   /* data: received bytes, borrowed until reactor_recycle */
    EVENT_END,    /* no more data will come; result: 0 end of file, or a negative errno */
    EVENT_SENT,   /* result: bytes sent (may be fewer than asked), or a negative errno */
    EVENT_CLOSED, /* the socket's memory is the caller's again */
    EVENT_WAKE,
};

struct reactor_event {
    enum reactor_event_kind kind;
    struct io_socket *socket; /* EVENT_DATA, END, SENT, CLOSED */
    int listener;             /* EVENT_ACCEPT*: the listening fd */
    int result;
    struct bytes data;
};

struct reactor;

struct reactor_ops {
    void (*close)(struct reactor *);
    int (*listen)(struct reactor *, int fd);
    void (*unlisten)(struct reactor *, int fd);
    int (*add)(struct reactor *, struct io_socket *, int fd);
    void (*pause)(struct reactor *, struct io_socket *);
    void (*resume)(struct reactor *, struct io_socket *);
    int (*send)(struct reactor *, struct io_socket *, const struct iovec *, int);
    void (*remove)(struct reactor *, struct io_socket *);
    int (*wait)(struct reactor *, uint64_t deadline_ns);
    bool (*next)(struct reactor *, struct reactor_event *);
    void (*recycle)(struct reactor *);
};

struct reactor {
    const struct reactor_ops *ops;
    enum reactor_kind kind;
};

/* Can io_uring be had here? 0, or a negative errno value with the reason in words. Needs no
 * thread; may be asked once per process. */
int reactor_uring_probe(char *reason, size_t capacity);

/* Opens a reactor on the calling thread. 0 or a negative errno value. */
int reactor_open(struct reactor **out, enum reactor_kind kind, const struct reactor_limits *limits);

/* Every socket must have been removed and closed and every listener unlistened; frees the
 * reactor. */
static inline void reactor_close(struct reactor *r) {
    r->ops->close(r);
}

/* Starts accepting on a listening fd, which stays the caller's; unlisten cancels and reaps
 * before it returns, so that the fd may be closed and its port bound again at once. Connections
 * that were accepted but not yet reported by then are closed. At most 32 listeners: then -ENOSPC.
 * */
static inline int reactor_listen(struct reactor *r, int fd) {
    return r->ops->listen(r, fd);
}
static inline void reactor_unlisten(struct reactor *r, int fd) {
    r->ops->unlisten(r, fd);
}

/* Adopts a connected fd and starts receiving. On error the fd stays the caller's. */
static inline int reactor_add(struct reactor *r, struct io_socket *s, int fd) {
    return r->ops->add(r, s, fd);
}

/* Stops and continues receiving (back-pressure). Data already received may still be reported
 * after a pause. */
static inline void reactor_pause(struct reactor *r, struct io_socket *s) {
    r->ops->pause(r, s);
}
static inline void reactor_resume(struct reactor *r, struct io_socket *s) {
    r->ops->resume(r, s);
}

/* Starts a send of everything in `iov` (the array too stays until EVENT_SENT). Returns the bytes
 * sent if it is done already (no event follows), -EINPROGRESS if EVENT_SENT will come, or a
 * negative errno. */
static inline int reactor_send(struct reactor *r, struct io_socket *s, const struct iovec *iov,
                               int count) {
    return r->ops->send(r, s, iov, count);
}

/* Ends a socket: cancels what is in flight, closes the fd, then EVENT_CLOSED. Data of a send in
 * flight may be cut off. Idempotent. */
static inline void reactor_remove(struct reactor *r, struct io_socket *s) {
    r->ops->remove(r, s);
}

/* Submits what is queued and waits for events until the absolute monotonic deadline: 0 does not
 * wait, UINT64_MAX has no deadline. Receive buffers must have been recycled. It may return early
 * without an event (a listener's back-off ended, a submission is to be tried again). 0 or a
 * negative errno value (never EINTR). */
static inline int reactor_wait(struct reactor *r, uint64_t deadline_ns) {
    return r->ops->wait(r, deadline_ns);
}

/* The next event of this wait; false when there is none (io_uring: none now; epoll: the receive
 * arena may be used up, then what is left comes after the next wait). */
static inline bool reactor_next(struct reactor *r, struct reactor_event *event) {
    return r->ops->next(r, event);
}

/* Gives back every receive buffer borrowed since the last recycle. */
static inline void reactor_recycle(struct reactor *r) {
    r->ops->recycle(r);
}
