/* Completions: what the kernel did becomes events.
 *
 * They come in any order, and after the socket they name has died: a token that finds no socket is
 * of a dead generation, and what it brings (a buffer, a descriptor) is given back.
 */
#ifdef KRT_HAVE_URING
#include "io/uring.h"

#include <errno.h>

#include "plat/socket.h"

/* --- completions ----------------------------------------------------------------------------- */

bool uring_ring_has_completions(struct uring *u) {
    uint32_t head = *u->ring.cq.khead;
    if (head == u->cq_tail) {
        u->cq_tail = io_uring_smp_load_acquire(u->ring.cq.ktail);
    }
    return head != u->cq_tail;
}

bool uring_take_from_ring(struct uring *u, struct completion *out) {
    if (!uring_ring_has_completions(u)) {
        return false;
    }
    uint32_t head = *u->ring.cq.khead;
    const struct io_uring_cqe *cqe = &u->ring.cq.cqes[head & *u->ring.cq.kring_mask];
    *out = (struct completion){.token = cqe->user_data, .result = cqe->res, .flags = cqe->flags};
    io_uring_cq_advance(&u->ring, 1);
    return true;
}

static bool take_completion(struct uring *u, struct completion *out) {
    return uring_backlog_take(&u->backlog, out) || uring_take_from_ring(u, out);
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
        uring_enrol(u, s);
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
        uring_enrol(u, s); /* to wait for room, or to send now that there is */
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
        (void)uring_submit_cancel(u, io_listeners_token(&u->listeners, listener));
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

bool uring_next_event(struct uring *u, struct reactor_event *event) {
    struct completion completion;
    while (take_completion(u, &completion)) {
        if (dispatch(u, &completion, event)) {
            return true;
        }
    }
    struct io_socket *closed = socket_list_take(&u->closed);
    return closed != NULL && report(event, EVENT_CLOSED, closed, 0);
}
#endif
