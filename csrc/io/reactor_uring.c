/* The reactor over io_uring (Linux 6.1 and newer).
 *
 * What the kernel should do for a socket is a function of the socket's state; `armed` says what it
 * does now. Whatever changes the state enrols the socket once, and the next wait brings both
 * together (submit_socket):
 *
 *      desired                                armed             submitted
 *      not paused, not ended                  no RECEIVE        multishot receive
 *      paused                                 RECEIVE           cancel of the receive
 *      paused, not ended                      no WATCH          poll for errors and hang-ups
 *      a send was asked for                   no SEND           send (one iovec) or sendmsg
 *      a send found no room                   no SEND           poll for room
 *      closing                                anything          cancels
 *      closing                                nothing           close, EVENT_CLOSED
 *
 * One enter submits all of it and waits. Where a submission does not fit, the queue is submitted
 * and filled again; what the kernel does not take stays enrolled, and the wait does not sleep (R4).
 *
 * Receiving ends with ENOBUFS when the provided buffers are used up. Such a socket is starved: it
 * is armed again only while buffers are left, at most as many sockets per wait as there are
 * buffers, first come first served; the others stay enrolled.
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
#include <poll.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "io/listeners.h"
#include "io/uring_backlog.h"
#include "io/uring_buffers.h"
#include "io/uring_setup.h"
#include "plat/clock.h"
#include "plat/descriptors.h"
#include "plat/socket.h"

#define SEND_BYTES_MAX (1u << 30) /* per operation: results are int */
#define SEND_IOVECS_MAX 1024      /* the kernel's limit */
#define REAP_ROUNDS_MAX 200
#define REAP_ROUND_NS (10u * 1000000u)

enum armed { ARMED_RECEIVE = 1, ARMED_SEND = 2, ARMED_WATCH = 4 };

struct uring {
    struct reactor base;
    struct mem_account *account;
    struct io_uring ring;
    uint32_t cq_tail; /* completions before it were seen to be there */
    bool wake_armed;
    bool refused; /* the kernel did not take a submission: try again without sleeping */
    int wake_fd;
    uint64_t wake_count; /* the kernel reads the eventfd into it */
    struct uring_buffers buffers;
    uint32_t starved_left; /* starved sockets that may still be armed in this wait */
    struct msghdr
        *messages; /* of the submission with the same number: copied by the kernel at submission */
    struct io_table table;
    struct io_listeners listeners;
    struct socket_list changed; /* may want something of the kernel */
    struct socket_list closed;  /* EVENT_CLOSED is due */
    struct uring_backlog backlog;
};

static struct uring *of(struct reactor *base) {
    return (struct uring *)base;
}

/* --- submissions ----------------------------------------------------------------------------- */

/* NULL: the kernel takes nothing now. */
static struct io_uring_sqe *submission(struct uring *u) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (KRT_UNLIKELY(sqe == NULL)) {
        (void)io_uring_submit(&u->ring);
        sqe = io_uring_get_sqe(&u->ring);
        u->refused = u->refused || sqe == NULL;
    }
    return sqe;
}

static void enrol(struct uring *u, struct io_socket *s) {
    if (!s->listed) {
        s->listed = true;
        socket_list_append(&u->changed, s);
    }
}

static bool submit_receive(struct uring *u, struct io_socket *s) {
    struct io_uring_sqe *sqe = submission(u);
    if (sqe == NULL) {
        return false;
    }
    io_uring_prep_recv_multishot(sqe, s->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = URING_BUFFER_GROUP;
    sqe->user_data = io_token_of(TOKEN_RECEIVE, s);
    s->armed |= ARMED_RECEIVE;
    s->starved = false;
    return true;
}

static void prepare_message(struct uring *u, struct io_uring_sqe *sqe, const struct io_socket *s) {
    struct msghdr *message = &u->messages[sqe - u->ring.sq.sqes];
    int count = s->send_count < SEND_IOVECS_MAX ? s->send_count : SEND_IOVECS_MAX;
    *message = (struct msghdr){.msg_iov = (struct iovec *)s->send_at, .msg_iovlen = (size_t)count};
    io_uring_prep_sendmsg(sqe, s->fd, message, MSG_NOSIGNAL | MSG_WAITALL);
}

/* MSG_WAITALL: the kernel goes on after a short send by itself, and completes once. It gives up with
 * EAGAIN when its poll wakes too often without room, as it does once the peer has ended its own
 * direction; then the room alone is polled for. */
static bool submit_send(struct uring *u, struct io_socket *s) {
    struct io_uring_sqe *sqe = submission(u);
    if (sqe == NULL) {
        return false;
    }
    if (KRT_UNLIKELY(s->blocked)) {
        io_uring_prep_poll_add(sqe, s->fd, POLLOUT);
    } else if (s->send_count == 1) {
        size_t len = s->send_at->iov_len < SEND_BYTES_MAX ? s->send_at->iov_len : SEND_BYTES_MAX;
        io_uring_prep_send(sqe, s->fd, s->send_at->iov_base, len, MSG_NOSIGNAL | MSG_WAITALL);
    } else {
        prepare_message(u, sqe, s);
    }
    sqe->user_data = io_token_of(TOKEN_SEND, s);
    s->armed |= ARMED_SEND;
    return true;
}

static bool submit_watch(struct uring *u, struct io_socket *s) {
    struct io_uring_sqe *sqe = submission(u);
    if (sqe == NULL) {
        return false;
    }
    io_uring_prep_poll_add(sqe, s->fd, POLLERR | POLLHUP);
    sqe->user_data = io_token_of(TOKEN_WATCH, s);
    s->armed |= ARMED_WATCH;
    return true;
}

/* By token, not by descriptor: a cancel that the kernel takes late finds nothing instead of the
 * next owner of the descriptor. Its result says nothing that the cancelled operation's own
 * completion does not say. */
static bool submit_cancel(struct uring *u, uint64_t token) {
    struct io_uring_sqe *sqe = submission(u);
    if (sqe == NULL) {
        return false;
    }
    io_uring_prep_cancel64(sqe, token, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = io_token_pack(TOKEN_CANCEL, 0, 0);
    return true;
}

/* Cancels those of `operations` that are armed, each once. Whether nothing is left to submit. */
static bool submit_cancels(struct uring *u, struct io_socket *s, uint32_t operations) {
    static const enum io_token_kind kinds[] = {TOKEN_RECEIVE, TOKEN_SEND, TOKEN_WATCH};
    for (int i = 0; i < 3; i++) {
        uint32_t operation = 1u << i & operations & s->armed & ~s->cancelled;
        if (operation && !submit_cancel(u, io_token_of(kinds[i], s))) {
            return false;
        }
        s->cancelled |= operation;
    }
    return true;
}

/* --- bringing sockets and kernel together ---------------------------------------------------- */

static void finish(struct uring *u, struct io_socket *s) {
    KRT_ASSERT(s->closing && s->armed == 0); /* R3 */
    socket_close(s->fd);
    io_table_remove(&u->table, s);
    s->listed = true;
    socket_list_append(&u->closed, s);
}

static bool submit_closing(struct uring *u, struct io_socket *s) {
    if (s->armed == 0) {
        finish(u, s);
        return true;
    }
    return submit_cancels(u, s, s->armed);
}

static bool may_receive(struct uring *u, const struct io_socket *s) {
    if (!s->starved) {
        return true;
    }
    if (u->starved_left == 0) {
        return false;
    }
    u->starved_left--;
    return true;
}

static bool submit_receiving(struct uring *u, struct io_socket *s) {
    bool wanted = !s->paused && !s->ended;
    if (wanted && !(s->armed & ARMED_RECEIVE)) {
        return may_receive(u, s) && submit_receive(u, s);
    }
    return wanted || submit_cancels(u, s, ARMED_RECEIVE);
}

/* Whether nothing is left to submit. */
static bool submit_socket(struct uring *u, struct io_socket *s) {
    if (s->closing) {
        return submit_closing(u, s);
    }
    bool done = true;
    if (s->sending && !(s->armed & ARMED_SEND)) {
        done = submit_send(u, s);
    }
    done = submit_receiving(u, s) && done;
    if (s->paused && !s->ended && !s->hung && !(s->armed & ARMED_WATCH)) {
        done = submit_watch(u, s) && done;
    }
    return done;
}

static void submit_changed(struct uring *u) {
    struct socket_list changed = u->changed;
    struct io_socket *s;
    u->changed = (struct socket_list){0};
    u->starved_left = uring_buffers_left(&u->buffers);
    while ((s = socket_list_take(&changed)) != NULL) {
        s->listed = false;
        if (!submit_socket(u, s)) {
            enrol(u, s);
        }
    }
}

static void submit_wake(struct uring *u) {
    struct io_uring_sqe *sqe = submission(u);
    if (sqe != NULL) {
        io_uring_prep_read(sqe, u->wake_fd, &u->wake_count, sizeof u->wake_count, 0);
        sqe->user_data = io_token_pack(TOKEN_WAKE, 0, 0);
        u->wake_armed = true;
    }
}

static bool submit_accept(struct uring *u, struct io_listener *listener) {
    struct io_uring_sqe *sqe = submission(u);
    if (sqe == NULL) {
        return false;
    }
    if (listener->single) {
        io_uring_prep_accept(sqe, listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } else {
        io_uring_prep_multishot_accept(sqe, listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    sqe->user_data = io_listeners_token(&u->listeners, listener);
    io_listeners_armed(&u->listeners, listener);
    return true;
}

static void submit_due_listeners(struct uring *u) {
    uint64_t now = clock_monotonic_ns();
    struct io_listener *listener;
    while (u->listeners.unarmed > 0 && (listener = io_listeners_due(&u->listeners, now)) != NULL) {
        if (!submit_accept(u, listener)) {
            return;
        }
    }
}

/* --- sockets --------------------------------------------------------------------------------- */

static int uring_add(struct reactor *base, struct io_socket *s, int fd) {
    struct uring *u = of(base);
    *s = (struct io_socket){.fd = fd};
    int error = io_table_put(&u->table, s);
    if (error == 0) {
        enrol(u, s);
    }
    return error;
}

static void uring_pause(struct reactor *base, struct io_socket *s) {
    KRT_DCHECK(!s->closing);
    s->paused = true;
    enrol(of(base), s);
}

static void uring_resume(struct reactor *base, struct io_socket *s) {
    KRT_DCHECK(!s->closing);
    s->paused = s->hung = false;
    enrol(of(base), s);
}

static int uring_send(struct reactor *base, struct io_socket *s, const struct iovec *iov,
                      int count) {
    KRT_ASSERT(!s->sending && !s->closing && count > 0); /* R1 */
    s->send_at = iov;
    s->send_count = count;
    s->sending = true;
    enrol(of(base), s);
    return -EINPROGRESS;
}

static void uring_remove(struct reactor *base, struct io_socket *s) {
    struct uring *u = of(base);
    if (s->closing) {
        return;
    }
    s->closing = true;
    if (s->armed == 0 && !s->listed) {
        finish(u, s);
    } else {
        enrol(u, s);
    }
}

/* --- completions ----------------------------------------------------------------------------- */

static bool ring_has_completions(struct uring *u) {
    uint32_t head = *u->ring.cq.khead;
    if (head == u->cq_tail) {
        u->cq_tail = io_uring_smp_load_acquire(u->ring.cq.ktail);
    }
    return head != u->cq_tail;
}

static bool take_from_ring(struct uring *u, struct completion *out) {
    if (!ring_has_completions(u)) {
        return false;
    }
    uint32_t head = *u->ring.cq.khead;
    const struct io_uring_cqe *cqe = &u->ring.cq.cqes[head & *u->ring.cq.kring_mask];
    *out = (struct completion){.token = cqe->user_data, .result = cqe->res, .flags = cqe->flags};
    io_uring_cq_advance(&u->ring, 1);
    return true;
}

static bool take_completion(struct uring *u, struct completion *out) {
    return uring_backlog_take(&u->backlog, out) || take_from_ring(u, out);
}

static bool report(struct reactor_event *event, enum reactor_event_kind kind, struct io_socket *s,
                   int result) {
    *event = (struct reactor_event){.kind = kind, .socket = s, .result = result};
    return true;
}

static bool report_end(struct io_socket *s, int result, struct reactor_event *event) {
    s->ended = true;
    return report(event, EVENT_END, s, result);
}

/* Whether the socket is still in use by the caller; a closing one may have been waiting for this.
 * */
static bool operation_over(struct uring *u, struct io_socket *s, uint32_t operation) {
    s->armed &= ~operation;
    s->cancelled &= ~operation;
    if (s->closing || operation == ARMED_RECEIVE) {
        enrol(u, s);
    }
    return !s->closing;
}

/* Interruptions, cancels and used up buffers delay receiving; everything else ends it. */
static bool received_nothing(struct io_socket *s, int result, struct reactor_event *event) {
    switch (-result) {
    case ENOBUFS:
        s->starved = true;
        return false;
    case ECANCELED:
    case EAGAIN:
    case EINTR:
        return false;
    default:
        return !s->ended && report_end(s, result, event);
    }
}

static bool on_receive(struct uring *u, const struct completion *c, struct reactor_event *event) {
    struct io_socket *s = io_table_find(&u->table, c->token);
    struct bytes data = {0};
    if (c->flags & IORING_CQE_F_BUFFER) {
        data = uring_buffers_lend(&u->buffers, c->flags, c->result > 0 ? (size_t)c->result : 0);
    }
    if (s == NULL) {
        return false;
    }
    if (!(c->flags & IORING_CQE_F_MORE)) {
        (void)operation_over(u, s, ARMED_RECEIVE);
    }
    if (s->closing) {
        return false;
    }
    if (c->result <= 0) {
        return received_nothing(s, c->result, event);
    }
    *event = (struct reactor_event){.kind = EVENT_DATA, .socket = s, .data = data};
    return true;
}

static bool on_send(struct uring *u, const struct completion *c, struct reactor_event *event) {
    struct io_socket *s = io_table_find(&u->table, c->token);
    if (s == NULL || !operation_over(u, s, ARMED_SEND)) {
        return false;
    }
    bool had_room = !s->blocked;
    s->blocked = c->result == -EAGAIN;
    if (KRT_UNLIKELY(!had_room || s->blocked)) {
        enrol(u, s); /* to wait for room, or to send now that there is */
        return false;
    }
    s->sending = false;
    return report(event, EVENT_SENT, s, c->result);
}

/* A paused socket does not read, so the error itself is asked for. A hang-up without an error may
 * have data in front of it: it is told after the resume. */
static bool on_watch(struct uring *u, const struct completion *c, struct reactor_event *event) {
    struct io_socket *s = io_table_find(&u->table, c->token);
    if (s == NULL || !operation_over(u, s, ARMED_WATCH) || !s->paused || s->ended) {
        return false;
    }
    int error = socket_take_error(s->fd);
    s->hung = error == 0;
    return error < 0 && report_end(s, error, event);
}

/* Kernels 6.6 to 6.8-rc reported numbers under load that were no descriptors of new connections:
 * such a number is not ours to close, and this listener accepts one by one from now on. */
static bool is_connection(struct uring *u, struct io_listener *listener, int fd) {
    if (socket_is_stream_end(fd)) {
        return true;
    }
    listener->single = true;
    if (listener->armed) {
        (void)submit_cancel(u, io_listeners_token(&u->listeners, listener));
    }
    return false;
}

static bool report_accept(struct reactor_event *event, enum reactor_event_kind kind,
                          const struct io_listener *listener, int result) {
    *event = (struct reactor_event){.kind = kind, .listener = listener->fd, .result = result};
    return true;
}

static bool on_accept(struct uring *u, const struct completion *c, struct reactor_event *event) {
    struct io_listener *listener = io_listeners_of_token(&u->listeners, c->token);
    if (listener == NULL) {
        if (c->result >= 0) {
            socket_close(c->result);
        }
        return false;
    }
    bool paused = false;
    if (!(c->flags & IORING_CQE_F_MORE)) {
        paused = io_listeners_disarmed(&u->listeners, listener, c->result < 0 ? c->result : 0);
    }
    if (c->result < 0) {
        listener->single = listener->single || c->result == -EINVAL;
        return paused && report_accept(event, EVENT_ACCEPT_FAILED, listener, c->result);
    }
    return is_connection(u, listener, c->result) &&
           report_accept(event, EVENT_ACCEPT, listener, c->result);
}

static bool on_wake(struct uring *u, struct reactor_event *event) {
    u->wake_armed = false;
    return report(event, EVENT_WAKE, NULL, 0);
}

/* Whether the completion amounts to an event. */
static bool dispatch(struct uring *u, const struct completion *c, struct reactor_event *event) {
    switch (io_token_kind_of(c->token)) {
    case TOKEN_RECEIVE:
        return on_receive(u, c, event);
    case TOKEN_SEND:
        return on_send(u, c, event);
    case TOKEN_ACCEPT:
        return on_accept(u, c, event);
    case TOKEN_WATCH:
        return on_watch(u, c, event);
    case TOKEN_WAKE:
        return on_wake(u, event);
    case TOKEN_CANCEL:
        return false;
    }
    return false;
}

static bool uring_next(struct reactor *base, struct reactor_event *event) {
    struct uring *u = of(base);
    struct completion completion;
    while (take_completion(u, &completion)) {
        if (dispatch(u, &completion, event)) {
            return true;
        }
    }
    struct io_socket *closed = socket_list_take(&u->closed);
    return closed != NULL && report(event, EVENT_CLOSED, closed, 0);
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
           ring_has_completions(u) ||
           (u->changed.first != NULL && uring_buffers_left(&u->buffers) > 0);
}

static int uring_wait(struct reactor *base, uint64_t deadline_ns) {
    struct uring *u = of(base);
    u->refused = false;
    submit_changed(u);
    if (KRT_UNLIKELY(u->listeners.unarmed > 0)) {
        submit_due_listeners(u);
    }
    if (!u->wake_armed && u->wake_fd >= 0) {
        submit_wake(u);
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

/* Takes what is in the ring: the accept that is being cancelled ends here, all else waits for its
 * turn. */
static void reap(struct uring *u, struct io_listener *listener) {
    uint64_t token = io_listeners_token(&u->listeners, listener);
    struct completion c;
    while (uring_backlog_reserve(&u->backlog, u->account) && take_from_ring(u, &c)) {
        if (c.token != token) {
            uring_backlog_keep(&u->backlog, &c);
            continue;
        }
        if (c.result >= 0) {
            socket_close(c.result);
        }
        if (!(c.flags & IORING_CQE_F_MORE)) {
            (void)io_listeners_disarmed(&u->listeners, listener, 0);
        }
    }
}

static void reap_accept(struct uring *u, struct io_listener *listener) {
    bool cancelled = false;
    for (int round = 0; listener->armed && round < REAP_ROUNDS_MAX; round++) {
        cancelled = cancelled || submit_cancel(u, io_listeners_token(&u->listeners, listener));
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

/* The kernel writes the count of wakes into our memory: the read must be over before it is freed.
 * */
static void reap_wake(struct uring *u) {
    bool cancelled = false;
    struct completion c;
    for (int round = 0; u->wake_armed && round < REAP_ROUNDS_MAX; round++) {
        cancelled = cancelled || submit_cancel(u, io_token_pack(TOKEN_WAKE, 0, 0));
        (void)enter(u, clock_monotonic_ns() + REAP_ROUND_NS);
        while (take_from_ring(u, &c)) {
            u->wake_armed = u->wake_armed && io_token_kind_of(c.token) != TOKEN_WAKE;
        }
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
