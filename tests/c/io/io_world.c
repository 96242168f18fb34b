#define _GNU_SOURCE
#include "io_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plat/clock.h"
#include "plat/socket.h"

#define TEN_SECONDS_NS 10000000000u

bool world_is_tiny(const struct world *world) {
    return world->variant->buffer_count <= 8;
}

int world_open(struct world *world, const struct variant *variant) {
    *world = (struct world){.variant = variant, .wake_fd = event_open(), .echo = true};
    struct reactor_limits limits = {.ring_entries = variant->ring_entries,
                                    .buffer_count = variant->buffer_count,
                                    .buffer_bytes = variant->buffer_bytes,
                                    .wake_fd = world->wake_fd,
                                    .account = &world->account};
    return reactor_open(&world->reactor, variant->kind, &limits);
}

void world_close(struct world *world) {
    reactor_close(world->reactor);
    socket_close(world->wake_fd);
    assert_int_equal(world->account.used_bytes, 0);
}

void conn_open(struct world *world, struct conn *conn, int fd) {
    conn->world = world;
    conn->ended = conn->closed = false;
    conn->sent = conn->used = 0;
    conn->received = 0;
    conn->open = true;
    assert_int_equal(reactor_add(world->reactor, &conn->socket, fd), 0);
}

struct conn *conn_new(struct world *world, int fd) {
    struct conn *conn = calloc(1, sizeof *conn);
    conn_open(world, conn, fd);
    return conn;
}

void conn_free(struct conn *conn) {
    assert_true(conn->closed);
    free(conn->out);
    free(conn);
}

/* What is being sent must not move: new bytes wait behind it in the same buffer only when nothing is in flight,
 * so growth allocates anew and keeps the old one until then. Here the buffer is simply never moved in flight. */
static void flush(struct conn *conn) {
    while (conn->open && !conn->socket.sending && !conn->socket.closing &&
           conn->sent < conn->used) {
        size_t left = conn->used - conn->sent;
        size_t head = left / 2;
        conn->iov[0] = (struct iovec){conn->out + conn->sent, head};
        conn->iov[1] = (struct iovec){conn->out + conn->sent + head, left - head};
        int count = head ? 2 : 1;
        const struct iovec *iov = head ? conn->iov : conn->iov + 1;
        int result = reactor_send(conn->world->reactor, &conn->socket, iov, count);
        if (result < 0) {
            conn->sent_error = result == -EINPROGRESS ? conn->sent_error : result;
            return;
        }
        conn->sent += (size_t)result;
    }
    if (conn->sent == conn->used) {
        conn->sent = conn->used = 0;
    }
}

void conn_queue(struct conn *conn, const void *at, size_t len) {
    if (conn->used + len > conn->capacity) {
        /* Room for all that a test sends is taken at once: a send in flight refers to it. */
        assert_false(conn->socket.sending);
        conn->capacity = (conn->used + len) * 2 < (1u << 20) ? 1u << 20 : (conn->used + len) * 2;
        conn->out = realloc(conn->out, conn->capacity);
        assert_non_null(conn->out);
    }
    memcpy(conn->out + conn->used, at, len);
    conn->used += len;
    flush(conn);
}

static void on_data(struct world *world, struct conn *conn, struct bytes data) {
    world->data_events++;
    assert_true(data.len > 0);
    assert_false(conn->ended);
    assert_false(conn->socket.closing);
    for (uint32_t i = 0; world->check && i < data.len; i++) {
        if (data.at[i] != pattern_byte(conn->received + i)) {
            fail_msg("byte %llu differs", (unsigned long long)conn->received + i);
        }
    }
    conn->received += data.len;
    if (world->echo) {
        conn_queue(conn, data.at, data.len);
    }
}

static void on_end(struct world *world, struct conn *conn, int result) {
    assert_false(conn->ended);
    conn->ended = true;
    conn->end_result = result;
    world->ended++;
    if (!world->keep_open) {
        reactor_remove(world->reactor, &conn->socket);
    }
}

static void on_sent(struct conn *conn, int result) {
    assert_false(conn->socket.sending);
    if (result < 0) {
        conn->sent_error = result;
        reactor_remove(conn->world->reactor, &conn->socket);
        return;
    }
    conn->sent += (size_t)result;
    assert_true(conn->sent <= conn->used);
    flush(conn);
}

static void on_accept(struct world *world, int fd) {
    if (world->adopt == NULL) {
        close(fd);
    } else {
        assert_true(world->accepted < world->adopt_capacity);
        world->adopt[world->accepted] = conn_new(world, fd);
    }
    world->accepted++;
}

static void handle(struct world *world, const struct reactor_event *event) {
    struct conn *conn = (struct conn *)event->socket;
    if (conn != NULL) {
        assert_false(conn->closed); /* R2 */
    }
    switch (event->kind) {
    case EVENT_ACCEPT:
        on_accept(world, event->result);
        break;
    case EVENT_ACCEPT_FAILED:
        assert_int_equal(event->result, -EMFILE);
        world->accept_failed++;
        break;
    case EVENT_DATA:
        on_data(world, conn, event->data);
        break;
    case EVENT_END:
        on_end(world, conn, event->result);
        break;
    case EVENT_SENT:
        on_sent(conn, event->result);
        break;
    case EVENT_CLOSED:
        conn->closed = true;
        conn->open = false;
        world->closed++;
        break;
    case EVENT_WAKE:
        world->wakes++;
        break;
    case EVENT_NONE:
        fail();
        break;
    }
}

void world_turn(struct world *world, uint64_t timeout_ns) {
    struct reactor_event event;
    uint64_t deadline = timeout_ns == 0 || timeout_ns == UINT64_MAX
                            ? timeout_ns
                            : clock_monotonic_ns() + timeout_ns;
    world->waits++;
    assert_int_equal(reactor_wait(world->reactor, deadline), 0);
    while (reactor_next(world->reactor, &event)) {
        handle(world, &event);
    }
    reactor_recycle(world->reactor);
}

void world_until(struct world *world, const uint64_t *counter, uint64_t wanted) {
    uint64_t give_up = clock_monotonic_ns() + TEN_SECONDS_NS;
    while (*counter < wanted) {
        world_turn(world, 10000000);
        if (clock_monotonic_ns() > give_up) {
            fail_msg("counted %llu of %llu", (unsigned long long)*counter,
                     (unsigned long long)wanted);
        }
    }
}

void set_blocking(int fd, bool blocking) {
    int flags = fcntl(fd, F_GETFL);
    assert_int_equal(fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK), 0);
}

void pair_open(int fds[2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

char pattern_byte(uint64_t offset) {
    return (char)((offset * 0x9e3779b97f4a7c15u) >> 56);
}
