/* Submissions: what sockets and listeners want of the kernel.
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
#ifdef KRT_HAVE_URING
#include "io/uring.h"

#include <poll.h>

#include "plat/clock.h"
#include "plat/socket.h"

#define SEND_BYTES_MAX (1u << 30) /* per operation: results are int */
#define SEND_IOVECS_MAX 1024      /* the kernel's limit */

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

void uring_enrol(struct uring *u, struct io_socket *s) {
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
bool uring_submit_cancel(struct uring *u, uint64_t token) {
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
        if (operation && !uring_submit_cancel(u, io_token_of(kinds[i], s))) {
            return false;
        }
        s->cancelled |= operation;
    }
    return true;
}

/* --- bringing sockets and kernel together ---------------------------------------------------- */

void uring_finish(struct uring *u, struct io_socket *s) {
    KRT_ASSERT(s->closing && s->armed == 0); /* R3 */
    socket_close(s->fd);
    io_table_remove(&u->table, s);
    s->listed = true;
    socket_list_append(&u->closed, s);
}

static bool submit_closing(struct uring *u, struct io_socket *s) {
    if (s->armed == 0) {
        uring_finish(u, s);
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

void uring_submit_changed(struct uring *u) {
    struct socket_list changed = u->changed;
    struct io_socket *s;
    u->changed = (struct socket_list){0};
    u->starved_left = uring_buffers_left(&u->buffers);
    while ((s = socket_list_take(&changed)) != NULL) {
        s->listed = false;
        if (!submit_socket(u, s)) {
            uring_enrol(u, s);
        }
    }
}

void uring_submit_wake(struct uring *u) {
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

void uring_submit_due_listeners(struct uring *u) {
    uint64_t now = clock_monotonic_ns();
    struct io_listener *listener;
    while (u->listeners.unarmed > 0 && (listener = io_listeners_due(&u->listeners, now)) != NULL) {
        if (!submit_accept(u, listener)) {
            return;
        }
    }
}
#endif
