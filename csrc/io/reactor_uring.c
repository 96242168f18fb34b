/* The reactor over io_uring (Linux 6.1 and newer): waiting, opening and closing. What a wait submits
 * is decided in uring_submit.c, what came of it in uring_complete.c.
 */
#include "io/bodies.h"

#ifndef KRT_HAVE_URING
#include <errno.h>

int reactor_uring_open(struct reactor **out, const struct reactor_limits *limits) {
    (void)out;
    (void)limits;
    return -ENOSYS;
}

#else
#include <errno.h>

#include "io/uring.h"
#include "plat/clock.h"
#include "plat/descriptors.h"
#include "plat/socket.h"

#define REAP_ROUNDS_MAX 200
#define REAP_ROUND_NS (10u * 1000000u)

static struct uring *of(struct reactor *base) {
    return (struct uring *)base;
}

/* --- sockets --------------------------------------------------------------------------------- */

static int uring_add(struct reactor *base, struct io_socket *s, int fd) {
    struct uring *u = of(base);
    *s = (struct io_socket){.fd = fd};
    int error = io_table_put(&u->table, s);
    if (error == 0) {
        uring_enrol(u, s);
    }
    return error;
}

static void uring_pause(struct reactor *base, struct io_socket *s) {
    KRT_DCHECK(!s->closing);
    s->paused = true;
    uring_enrol(of(base), s);
}

static void uring_resume(struct reactor *base, struct io_socket *s) {
    KRT_DCHECK(!s->closing);
    s->paused = s->hung = false;
    uring_enrol(of(base), s);
}

static int uring_send(struct reactor *base, struct io_socket *s, const struct iovec *iov,
                      int count) {
    KRT_ASSERT(!s->sending && !s->closing && count > 0); /* R1 */
    s->send_at = iov;
    s->send_count = count;
    s->sending = true;
    uring_enrol(of(base), s);
    return -EINPROGRESS;
}

static void uring_remove(struct reactor *base, struct io_socket *s) {
    struct uring *u = of(base);
    if (s->closing) {
        return;
    }
    s->closing = true;
    if (s->armed == 0 && !s->listed) {
        uring_finish(u, s);
    } else {
        uring_enrol(u, s);
    }
}

static bool uring_next(struct reactor *base, struct reactor_event *event) {
    return uring_next_event(of(base), event);
}

/* --- waiting --------------------------------------------------------------------------------- */

static int enter(struct uring *u, uint64_t deadline_ns) {
    if (deadline_ns == 0) {
        return io_uring_submit_and_get_events(&u->ring);
    }
    if (deadline_ns == UINT64_MAX) {
        return io_uring_submit_and_wait(&u->ring, 1);
    }
    uint64_t now = clock_monotonic_ns();
    if (deadline_ns <= now) {
        return io_uring_submit_and_get_events(&u->ring);
    }
    uint64_t left = deadline_ns - now;
    struct __kernel_timespec timeout = {.tv_sec = (long long)(left / 1000000000u),
                                        .tv_nsec = (long long)(left % 1000000000u)};
    struct io_uring_cqe *first;
    return io_uring_submit_and_wait_timeout(&u->ring, &first, 1, &timeout, NULL);
}

/* A time-out and an interruption end a wait; memory pressure and a full completion queue (EAGAIN,
 * EBUSY) are over once completions were served, and what was not submitted goes with the next
 * enter. */
static int enter_result(int result) {
    switch (-result) {
    case ETIME:
    case EINTR:
    case EAGAIN:
    case EBUSY:
        return 0;
    default:
        return result < 0 ? result : 0;
    }
}

/* Something is due already: events, a submission to be tried again, or starved sockets that were
 * not armed although there are buffers. */
static bool must_not_sleep(struct uring *u) {
    return u->closed.first != NULL || u->refused || u->backlog.count > 0 ||
           uring_ring_has_completions(u) ||
           (u->changed.first != NULL && uring_buffers_left(&u->buffers) > 0);
}

static int uring_wait(struct reactor *base, uint64_t deadline_ns) {
    struct uring *u = of(base);
    u->refused = false;
    uring_submit_changed(u);
    if (KRT_UNLIKELY(u->listeners.unarmed > 0)) {
        uring_submit_due_listeners(u);
    }
    if (!u->wake_armed && u->wake_fd >= 0) {
        uring_submit_wake(u);
    }
    if (KRT_UNLIKELY(u->listeners.unarmed > 0)) {
        uint64_t retry_ns = io_listeners_next_retry(&u->listeners);
        deadline_ns = retry_ns < deadline_ns ? retry_ns : deadline_ns;
    }
    return enter_result(enter(u, must_not_sleep(u) ? 0 : deadline_ns));
}

static void uring_recycle(struct reactor *base) {
    struct uring *u = of(base);
    if (u->buffers.lent_count > 0) {
        uring_buffers_recycle(&u->buffers);
    }
}

/* --- waiting for the end of certain operations ----------------------------------------------- */

/* Of the accept that is being cancelled. */
static void discard_accept(struct uring *u, struct io_listener *listener,
                           const struct completion *c) {
    if (c->result >= 0) {
        socket_close(c->result);
    }
    if (!(c->flags & IORING_CQE_F_MORE)) {
        (void)io_listeners_disarmed(&u->listeners, listener, 0);
    }
}

/* What came of it while the end of another accept was waited for. */
static void reap_kept(struct uring *u, struct io_listener *listener) {
    uint64_t token = io_listeners_token(&u->listeners, listener);
    uint32_t kept = u->backlog.first;
    for (uint32_t i = kept; i < u->backlog.count; i++) {
        if (u->backlog.at[i].token == token) {
            discard_accept(u, listener, &u->backlog.at[i]);
        } else {
            u->backlog.at[kept++] = u->backlog.at[i];
        }
    }
    u->backlog.count = kept;
}

/* Takes what is in the ring: the accept that is being cancelled ends here, all else waits for its
 * turn. */
static void reap(struct uring *u, struct io_listener *listener) {
    uint64_t token = io_listeners_token(&u->listeners, listener);
    struct completion c;
    while (uring_backlog_reserve(&u->backlog, u->account) && uring_take_from_ring(u, &c)) {
        if (c.token == token) {
            discard_accept(u, listener, &c);
        } else {
            uring_backlog_keep(&u->backlog, &c);
        }
    }
}

static void reap_accept(struct uring *u, struct io_listener *listener) {
    bool cancelled = false;
    reap_kept(u, listener);
    for (int round = 0; listener->armed && round < REAP_ROUNDS_MAX; round++) {
        cancelled =
            cancelled || uring_submit_cancel(u, io_listeners_token(&u->listeners, listener));
        (void)enter(u, clock_monotonic_ns() + REAP_ROUND_NS);
        reap(u, listener);
    }
}

/* --- listeners ------------------------------------------------------------------------------- */

static int uring_listen(struct reactor *base, int fd) {
    return io_listeners_add(&of(base)->listeners, fd) != NULL ? 0 : -ENOSPC;
}

static void uring_unlisten(struct reactor *base, int fd) {
    struct uring *u = of(base);
    struct io_listener *listener = io_listeners_of_fd(&u->listeners, fd);
    KRT_ASSERT(listener != NULL);
    reap_accept(u, listener);
    if (listener->armed) {
        /* The kernel did not let go in seconds: its completions will find a dead generation. */
        (void)io_listeners_disarmed(&u->listeners, listener, 0);
    }
    io_listeners_remove(&u->listeners, listener);
}

/* --- opening and closing --------------------------------------------------------------------- */

/* Nobody is left who would be told: what completions bring is given back. Those that an unlisten has set aside come first, and
 * the wake may be among them. */
static void drain(struct uring *u) {
    struct reactor_event event;
    while (uring_next_event(u, &event)) {
        KRT_DCHECK(event.kind == EVENT_WAKE);
    }
}

/* The kernel writes the count of wakes into our memory: the read must be over before it is freed.
 * */
static void reap_wake(struct uring *u) {
    bool cancelled = false;
    drain(u);
    for (int round = 0; u->wake_armed && round < REAP_ROUNDS_MAX; round++) {
        cancelled = cancelled || uring_submit_cancel(u, io_token_pack(TOKEN_WAKE, 0, 0));
        (void)enter(u, clock_monotonic_ns() + REAP_ROUND_NS);
        drain(u);
    }
}

static void uring_free(struct uring *u) {
    struct mem_account *account = u->account;
    if (u->ring.ring_fd >= 0) {
        descriptor_forget(u->ring.ring_fd);
        io_uring_queue_exit(&u->ring);
    }
    uring_buffers_close(&u->buffers);
    mem_free(account, u->backlog.at);
    mem_free(account, u->messages);
    io_table_deinit(&u->table);
    mem_free(account, u);
}

static void uring_close(struct reactor *base) {
    struct uring *u = of(base);
    reap_wake(u);
    uring_free(u);
}

static const struct reactor_ops uring_ops = {
    .close = uring_close,
    .listen = uring_listen,
    .unlisten = uring_unlisten,
    .add = uring_add,
    .pause = uring_pause,
    .resume = uring_resume,
    .send = uring_send,
    .remove = uring_remove,
    .wait = uring_wait,
    .next = uring_next,
    .recycle = uring_recycle,
};

/* A registered descriptor saves the look-up at every enter; a ring without works as well. */
static int open_ring(struct uring *u, uint32_t entries) {
    int error = uring_setup(&u->ring, entries);
    if (error < 0) {
        u->ring.ring_fd = -1;
        return error;
    }
    descriptor_note(u->ring.ring_fd);
    (void)io_uring_register_ring_fd(&u->ring);
    return io_uring_ring_dontfork(&u->ring);
}

static int open_parts(struct uring *u, const struct reactor_limits *limits) {
    int error = open_ring(u, limits->ring_entries);
    if (error < 0) {
        return error;
    }
    u->messages = mem_calloc(u->account, *u->ring.sq.kring_entries * sizeof *u->messages);
    return u->messages != NULL ? uring_buffers_open(&u->buffers, &u->ring, limits) : -ENOMEM;
}

int reactor_uring_open(struct reactor **out, const struct reactor_limits *limits) {
    struct uring *u = mem_calloc(limits->account, sizeof *u);
    if (u == NULL) {
        return -ENOMEM;
    }
    u->base = (struct reactor){.ops = &uring_ops, .kind = REACTOR_URING};
    u->account = limits->account;
    u->wake_fd = limits->wake_fd;
    u->buffers.account = limits->account;
    io_table_init(&u->table, limits->account);
    int error = open_parts(u, limits);
    if (error < 0) {
        uring_free(u);
        return error;
    }
    *out = &u->base;
    return 0;
}
#endif
