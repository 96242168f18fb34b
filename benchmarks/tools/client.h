/* client.h: what the small clients of these tools share. They are single-threaded; any trouble ends them
 * with a line on stderr and status 1, and then no figure stands. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "not what was expected");
    exit(1);
}

static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static inline void send_all(int fd, const char *at, size_t count) {
    while (count > 0) {
        ssize_t sent = send(fd, at, count, MSG_NOSIGNAL);
        if (sent <= 0) fail("send");
        at += sent;
        count -= (size_t)sent;
    }
}

/* Blocks until exactly these bytes have come. */
static inline void expect(int fd, const char *wanted, size_t count) {
    char found[256];
    errno = 0;
    if (count > sizeof found || recv(fd, found, count, MSG_WAITALL) != (ssize_t)count ||
        memcmp(found, wanted, count) != 0)
        fail("reply");
}

/* A connection that the server has accepted and answered. */
static inline int open_connection(int port) {
    static const char ping[] = "PING\r\n", pong[] = "+PONG\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    send_all(fd, ping, sizeof ping - 1);
    expect(fd, pong, sizeof pong - 1);
    return fd;
}

/* Says that it is ready, and waits for the word to begin. */
static inline void await_start(void) {
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) exit(1);
}
