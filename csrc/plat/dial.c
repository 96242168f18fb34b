#include "plat/dial.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "plat/clock.h"
#include "plat/descriptors.h"
#include "plat/socket.h"

enum { POLL_MS_MAX = 1000000 };

static int time_left_ms(uint64_t deadline_ns) {
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns >= deadline_ns) return 0;
    uint64_t left_ms = (deadline_ns - now_ns + 999999) / 1000000;
    return left_ms < POLL_MS_MAX ? (int)left_ms : POLL_MS_MAX;
}

/* Until there is something to be done. 0 or an error. */
static int await_ready(int fd, short events, int stop, uint64_t deadline_ns) {
    for (;;) {
        struct pollfd watched[] = {{.fd = fd, .events = events}, {.fd = stop, .events = POLLIN}};
        int left_ms = time_left_ms(deadline_ns);
        int ready = poll(watched, 2, left_ms);
        if (ready < 0 && errno != EINTR) return -errno;
        if (ready > 0 && watched[1].revents) return -ECANCELED;
        if (ready > 0) return 0;
        if (ready == 0 && left_ms == 0) return -ETIMEDOUT;
    }
}

void dial_close(int fd) {
    descriptor_forget(fd);
    socket_close(fd);
}

static int connect_to(const struct addrinfo *at, int stop, uint64_t deadline_ns) {
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    descriptor_note(fd);
    int result = connect(fd, at->ai_addr, at->ai_addrlen) == 0 ? 0 : -errno;
    if (result == -EINPROGRESS) {
        result = await_ready(fd, POLLOUT, stop, deadline_ns);
        if (result == 0) result = socket_take_error(fd);
    }
    if (result == 0) {
        socket_tune(fd, 0);
        return fd;
    }
    dial_close(fd);
    return result;
}

int dial_tcp(const char *host, const char *port, int stop, uint64_t deadline_ns) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, port, &hints, &found) != 0) return -EADDRNOTAVAIL;
    int fd = -EADDRNOTAVAIL;
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
        fd = connect_to(at, stop, deadline_ns);
    freeaddrinfo(found);
    return fd;
}

int dial_send(int fd, const void *from, size_t len, int stop, uint64_t deadline_ns) {
    const char *at = from;
    while (len > 0) {
        struct iovec iov = {.iov_base = (void *)(uintptr_t)at, .iov_len = len};
        ssize_t sent = socket_send(fd, &iov, 1);
        if (sent == -EAGAIN) {
            int result = await_ready(fd, POLLOUT, stop, deadline_ns);
            if (result < 0) return result;
            continue;
        }
        if (sent < 0) return (int)sent;
        at += sent;
        len -= (size_t)sent;
    }
    return 0;
}

ssize_t dial_receive(int fd, void *into, size_t capacity, int stop, uint64_t deadline_ns) {
    for (;;) {
        ssize_t got = socket_receive(fd, into, capacity);
        if (got != -EAGAIN) return got;
        int result = await_ready(fd, POLLIN, stop, deadline_ns);
        if (result < 0) return result;
    }
}
