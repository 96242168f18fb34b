/* The reactor over epoll, level-triggered.
 *
 * A wait fills `ready`; reactor_next serves its entries one event at a time. Receiving reads at
 * most once per socket and wait into the arena, whose bytes are lent until recycle. When the arena
 * is used up the entries that are left are served first after the next wait, before the kernel is
 * asked again, so that nobody starves behind the sockets at the head of the kernel's list.
 *
 * What is watched is a function of the socket's state (wanted_events). A change enrols the socket,
 * and the next wait brings the kernel up to date: pausing and resuming within one turn costs
 * nothing. A socket for which nothing is wanted is not registered at all, because epoll reports
 * errors and hang-ups always and would spin on them.
 */
#include <errno.h>

#include "base/assert.h"
#include "io/bodies.h"
#include "io/listeners.h"
#include "plat/clock.h"
#include "plat/descriptors.h"
#include "plat/poller.h"
#include "plat/socket.h"

#define READY_MAX 1024u            /* events per wait */
#define RECEIVE_MAX (64u * 1024)   /* bytes per socket and wait */
#define ACCEPT_BURST 64u           /* connections per listener and wait */
#define RETRY_NS (100u * 1000000u) /* pause after the kernel refused to register */
#define SEND_IOVECS_MAX 1024       /* the kernel's limit */
#define GONE (EPOLLERR | EPOLLHUP) /* always reported; in a mask: registered for nothing else */

struct epoll_reactor {
    struct reactor base;
    struct mem_account *account;
    int poller;
    int wake_fd;
    bool refused; /* the kernel refused to register something: try again after RETRY_NS */
    struct io_table table;
    struct io_listeners listeners;
    struct socket_list changed; /* wanted events may differ from those watched */
    struct socket_list closed;  /* EVENT_CLOSED is due */
    struct epoll_event *ready;
    uint32_t ready_capacity, ready_count, ready_at;
    uint32_t burst;   /* connections accepted from the entry at ready_at */
    bool send_served; /* the send of the entry at ready_at was served */
    char *arena;
    uint32_t arena_bytes, arena_used;
    uint32_t receive_max, receive_min;
};

static struct epoll_reactor *of(struct reactor *base) {
    return (struct epoll_reactor *)base;
}

/* --- what is watched ------------------------------------------------------------------------- */

static uint32_t wanted_events(const struct io_socket *s) {
    uint32_t events = s->sending ? EPOLLOUT : 0;
    if (!s->ended && !s->paused) {
        events |= EPOLLIN;
    }
    if (!s->ended && s->paused && !s->hung) {
        events |= GONE;
    }
    return events;
}

static void enrol(struct epoll_reactor *r, struct io_socket *s) {
    if (!s->listed) {
        s->listed = true;
        socket_list_append(&r->changed, s);
    }
}

static int watch(struct epoll_reactor *r, struct io_socket *s) {
    uint32_t wanted = wanted_events(s);
    int error = 0;
    if (wanted == 0 && s->armed != 0) {
        poller_forget(r->poller, s->fd);
    } else if (wanted != s->armed) {
        error = poller_watch(r->poller, s->fd, wanted & ~(uint32_t)GONE,
                             io_token_of(TOKEN_RECEIVE, s), s->armed != 0);
    }
    if (error == 0) {
        s->armed = wanted;
    }
    return error;
}

static void finish(struct epoll_reactor *r, struct io_socket *s) {
    s->listed = true;
    socket_list_append(&r->closed, s);
}

static void watch_changed(struct epoll_reactor *r) {
    struct socket_list changed = r->changed;
    struct io_socket *s;
    r->changed = (struct socket_list){0};
    while ((s = socket_list_take(&changed)) != NULL) {
        s->listed = false;
        if (s->closing) {
            finish(r, s);
        } else if (watch(r, s) < 0) {
            r->refused = true;
            enrol(r, s);
        }
    }
}

/* --- sockets --------------------------------------------------------------------------------- */

static int epoll_add(struct reactor *base, struct io_socket *s, int fd) {
    struct epoll_reactor *r = of(base);
    *s = (struct io_socket){.fd = fd};
    int error = io_table_put(&r->table, s);
    if (error < 0) {
        return error;
    }
    error = watch(r, s);
    if (error < 0) {
        io_table_remove(&r->table, s);
    }
    return error;
}

static void epoll_pause(struct reactor *base, struct io_socket *s) {
    KRT_DCHECK(!s->closing);
    s->paused = true;
    enrol(of(base), s);
}

static void epoll_resume(struct reactor *base, struct io_socket *s) {
    KRT_DCHECK(!s->closing);
    s->paused = s->hung = false;
    enrol(of(base), s);
}

static int send_now(const struct io_socket *s) {
    int count = s->send_count < SEND_IOVECS_MAX ? s->send_count : SEND_IOVECS_MAX;
    ssize_t sent = socket_send(s->fd, s->send_at, count);
    KRT_ASSERT(sent <= INT32_MAX);
    return (int)sent;
}

static size_t iovec_bytes(const struct iovec *iov, int count) {
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        total += iov[i].iov_len;
    }
    return total;
}

static int epoll_send(struct reactor *base, struct io_socket *s, const struct iovec *iov,
                      int count) {
    KRT_ASSERT(!s->sending && !s->closing && count > 0);
    s->send_at = iov;
    s->send_count = count;
    int sent = send_now(s);
    if ((sent < 0 && sent != -EAGAIN) || (sent >= 0 && (size_t)sent == iovec_bytes(iov, count))) {
        return sent;
    }
    s->send_done = sent > 0 ? sent : 0;
    s->sending = true;
    enrol(of(base), s);
    return -EINPROGRESS;
}

static void epoll_remove(struct reactor *base, struct io_socket *s) {
    struct epoll_reactor *r = of(base);
    if (s->closing) {
        return;
    }
    s->closing = true;
    /* Closing alone would leave the registration if the caller kept a duplicate of the descriptor.
     * */
    if (s->armed != 0) {
        poller_forget(r->poller, s->fd);
    }
    socket_close(s->fd);
    io_table_remove(&r->table, s);
    if (!s->listed) {
        finish(r, s);
    }
}

/* --- listeners ------------------------------------------------------------------------------- */

static int arm_listener(struct epoll_reactor *r, struct io_listener *listener) {
    int error = poller_watch(r->poller, listener->fd, EPOLLIN,
                             io_listeners_token(&r->listeners, listener), false);
    if (error == 0) {
        io_listeners_armed(&r->listeners, listener);
    }
    return error;
}

static void arm_due_listeners(struct epoll_reactor *r) {
    uint64_t now = clock_monotonic_ns();
    struct io_listener *listener;
    while (r->listeners.unarmed > 0 && (listener = io_listeners_due(&r->listeners, now)) != NULL) {
        if (arm_listener(r, listener) < 0) {
            listener->retry_ns = now + ACCEPT_BACKOFF_NS;
        }
    }
}

static int epoll_listen(struct reactor *base, int fd) {
    struct epoll_reactor *r = of(base);
    struct io_listener *listener = io_listeners_add(&r->listeners, fd);
    if (listener == NULL) {
        return -ENOSPC;
    }
    int error = arm_listener(r, listener);
    if (error < 0) {
        io_listeners_remove(&r->listeners, listener);
    }
    return error;
}

static void disarm_listener(struct epoll_reactor *r, struct io_listener *listener) {
    if (listener->armed) {
        poller_forget(r->poller, listener->fd);
        (void)io_listeners_disarmed(&r->listeners, listener, 0);
    }
}

static void epoll_unlisten(struct reactor *base, int fd) {
    struct epoll_reactor *r = of(base);
    struct io_listener *listener = io_listeners_of_fd(&r->listeners, fd);
    KRT_ASSERT(listener != NULL);
    disarm_listener(r, listener);
    io_listeners_remove(&r->listeners, listener);
}

static void begin_entry(struct epoll_reactor *r, uint32_t at) {
    r->ready_at = at;
    r->burst = 0;
    r->send_served = false;
}

/* --- waiting --------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t effective_deadline(struct epoll_reactor *r, uint64_t deadline_ns) {
    if (r->closed.first != NULL) {
        return 0;
    }
    if (KRT_UNLIKELY(r->listeners.unarmed > 0)) {
        deadline_ns = earlier(deadline_ns, io_listeners_next_retry(&r->listeners));
    }
    if (KRT_UNLIKELY(r->refused)) {
        deadline_ns = earlier(deadline_ns, clock_monotonic_ns() + RETRY_NS);
    }
    return deadline_ns;
}

static int epoll_reactor_wait(struct reactor *base, uint64_t deadline_ns) {
    struct epoll_reactor *r = of(base);
    r->refused = false;
    watch_changed(r);
    if (KRT_UNLIKELY(r->listeners.unarmed > 0)) {
        arm_due_listeners(r);
    }
    if (r->ready_at < r->ready_count) {
        return 0;
    }
    int count = poller_wait(r->poller, r->ready, (int)r->ready_capacity,
                            effective_deadline(r, deadline_ns));
    r->ready_count = count > 0 ? (uint32_t)count : 0;
    begin_entry(r, 0);
    return count < 0 ? count : 0;
}

/* --- events ---------------------------------------------------------------------------------- */

/* What serving one entry came to: an event, nothing more from this entry, or no room to receive. */
enum served { SERVED_EVENT, SERVED_ALL, SERVED_NO_ROOM };

static enum served serve_accept(struct epoll_reactor *r, uint64_t token,
                                struct reactor_event *event) {
    struct io_listener *listener = io_listeners_of_token(&r->listeners, token);
    while (listener != NULL && listener->armed && r->burst++ < ACCEPT_BURST) {
        int result = socket_accept(listener->fd);
        if (result >= 0) {
            *event = (struct reactor_event){
                .kind = EVENT_ACCEPT, .listener = listener->fd, .result = result};
            return SERVED_EVENT;
        }
        if (result == -EAGAIN) {
            return SERVED_ALL;
        }
        poller_forget(r->poller, listener->fd);
        if (io_listeners_disarmed(&r->listeners, listener, result)) {
            *event = (struct reactor_event){
                .kind = EVENT_ACCEPT_FAILED, .listener = listener->fd, .result = result};
            return SERVED_EVENT;
        }
    }
    return SERVED_ALL;
}

static enum served end(struct epoll_reactor *r, struct io_socket *s, int result,
                       struct reactor_event *event) {
    s->ended = true;
    enrol(r, s);
    *event = (struct reactor_event){.kind = EVENT_END, .socket = s, .result = result};
    return SERVED_EVENT;
}

static enum served serve_send(struct epoll_reactor *r, struct io_socket *s,
                              struct reactor_event *event) {
    int result = s->send_done > 0 ? s->send_done : send_now(s);
    if (result == -EAGAIN) {
        return SERVED_ALL;
    }
    s->sending = false;
    s->send_done = 0;
    enrol(r, s);
    *event = (struct reactor_event){.kind = EVENT_SENT, .socket = s, .result = result};
    return SERVED_EVENT;
}

static enum served serve_receive(struct epoll_reactor *r, struct io_socket *s,
                                 struct reactor_event *event) {
    uint32_t room = r->arena_bytes - r->arena_used;
    if (room < r->receive_min) {
        return SERVED_NO_ROOM;
    }
    char *into = r->arena + r->arena_used;
    ssize_t got = socket_receive(s->fd, into, room < r->receive_max ? room : r->receive_max);
    if (got > 0) {
        r->arena_used += (uint32_t)got;
        *event = (struct reactor_event){
            .kind = EVENT_DATA, .socket = s, .data = bytes_of(into, (size_t)got)};
        return SERVED_EVENT;
    }
    return got == -EAGAIN ? SERVED_ALL : end(r, s, (int)got, event);
}

/* A paused socket does not read, so the error itself is asked for. A hang-up without an error may
 * have data in front of it: it is told after the resume, and not watched any longer. */
static enum served serve_gone(struct epoll_reactor *r, struct io_socket *s,
                              struct reactor_event *event) {
    int error = socket_take_error(s->fd);
    if (error < 0) {
        return end(r, s, error, event);
    }
    s->hung = true;
    enrol(r, s);
    return SERVED_ALL;
}

/* One event of an entry per call: the end of a send first, then what there is to read. */
static enum served serve_socket(struct epoll_reactor *r, struct epoll_event *entry,
                                struct reactor_event *event) {
    const uint32_t readable = EPOLLIN | GONE;
    struct io_socket *s = io_table_find(&r->table, entry->data.u64);
    if (s != NULL && s->sending && !r->send_served && entry->events & (EPOLLOUT | GONE)) {
        r->send_served = true;
        if (serve_send(r, s, event) == SERVED_EVENT) {
            return SERVED_EVENT;
        }
    }
    if (s == NULL || s->ended || !(entry->events & readable)) {
        return SERVED_ALL;
    }
    if (s->paused && !(entry->events & GONE)) {
        return SERVED_ALL;
    }
    enum served served = s->paused ? serve_gone(r, s, event) : serve_receive(r, s, event);
    if (served != SERVED_NO_ROOM) {
        entry->events &= ~readable;
    }
    return served;
}

static enum served serve(struct epoll_reactor *r, struct epoll_event *entry,
                         struct reactor_event *event) {
    switch (io_token_kind_of(entry->data.u64)) {
    case TOKEN_ACCEPT:
        return serve_accept(r, entry->data.u64, event);
    case TOKEN_WAKE:
        if (entry->events == 0) {
            return SERVED_ALL;
        }
        entry->events = 0;
        event_clear(r->wake_fd);
        *event = (struct reactor_event){.kind = EVENT_WAKE};
        return SERVED_EVENT;
    default:
        return serve_socket(r, entry, event);
    }
}

static bool next_closed(struct epoll_reactor *r, struct reactor_event *event) {
    struct io_socket *s = socket_list_take(&r->closed);
    if (s == NULL) {
        return false;
    }
    *event = (struct reactor_event){.kind = EVENT_CLOSED, .socket = s};
    return true;
}

static bool epoll_next(struct reactor *base, struct reactor_event *event) {
    struct epoll_reactor *r = of(base);
    while (r->ready_at < r->ready_count) {
        enum served served = serve(r, &r->ready[r->ready_at], event);
        if (served == SERVED_EVENT) {
            return true;
        }
        if (served == SERVED_NO_ROOM) {
            break;
        }
        begin_entry(r, r->ready_at + 1);
    }
    return next_closed(r, event);
}

static void epoll_recycle(struct reactor *base) {
    of(base)->arena_used = 0;
}

/* --- opening and closing --------------------------------------------------------------------- */

static void epoll_free(struct epoll_reactor *r) {
    struct mem_account *account = r->account;
    if (r->poller >= 0) {
        descriptor_forget(r->poller);
        socket_close(r->poller);
    }
    if (r->arena != NULL) {
        mem_pages_free(account, r->arena, r->arena_bytes);
    }
    mem_free(account, r->ready);
    io_table_deinit(&r->table);
    mem_free(account, r);
}

static void epoll_close(struct reactor *base) {
    epoll_free(of(base));
}

static const struct reactor_ops epoll_ops = {
    .close = epoll_close,
    .listen = epoll_listen,
    .unlisten = epoll_unlisten,
    .add = epoll_add,
    .pause = epoll_pause,
    .resume = epoll_resume,
    .send = epoll_send,
    .remove = epoll_remove,
    .wait = epoll_reactor_wait,
    .next = epoll_next,
    .recycle = epoll_recycle,
};

static uint32_t clamp(uint32_t value, uint32_t low, uint32_t high) {
    return value < low ? low : value > high ? high : value;
}

static int allocate(struct epoll_reactor *r, const struct reactor_limits *limits) {
    r->ready_capacity = clamp(limits->ring_entries, 1, READY_MAX);
    r->ready = mem_alloc(r->account, r->ready_capacity * sizeof(struct epoll_event));
    r->arena_bytes = limits->buffer_count * limits->buffer_bytes;
    r->arena = mem_pages_alloc(r->account, r->arena_bytes, 4096);
    r->receive_max = clamp(r->arena_bytes / 4, 1, RECEIVE_MAX);
    r->receive_min = clamp(limits->buffer_bytes, 1, r->receive_max);
    return r->ready != NULL && r->arena != NULL ? 0 : -ENOMEM;
}

static int watch_wake(struct epoll_reactor *r) {
    if (r->wake_fd < 0) {
        return 0;
    }
    return poller_watch(r->poller, r->wake_fd, EPOLLIN, io_token_pack(TOKEN_WAKE, 0, 0), false);
}

int reactor_epoll_open(struct reactor **out, const struct reactor_limits *limits) {
    struct epoll_reactor *r = mem_calloc(limits->account, sizeof *r);
    if (r == NULL) {
        return -ENOMEM;
    }
    r->base = (struct reactor){.ops = &epoll_ops, .kind = REACTOR_EPOLL};
    r->account = limits->account;
    r->wake_fd = limits->wake_fd;
    io_table_init(&r->table, limits->account);
    r->poller = poller_open();
    descriptor_note(r->poller);
    int error = r->poller < 0 ? r->poller : allocate(r, limits);
    if (error == 0) {
        error = watch_wake(r);
    }
    if (error < 0) {
        epoll_free(r);
        return error;
    }
    *out = &r->base;
    return 0;
}
