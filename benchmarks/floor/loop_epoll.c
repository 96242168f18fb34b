/* loop_epoll.c: level-triggered epoll; in a loop one read and one write per ready connection. */
#include "loop.h"
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { EVENTS = 256 };

static int poll_fd;

static void watch(int fd, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poll_fd, operation, fd, &event) < 0) perror("epoll_ctl");
}

static void accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && session_open(fd) != NULL) watch(fd, EPOLL_CTL_ADD, EPOLLIN);
}

/* Waits for room only while some is missing: the usual loop makes no epoll_ctl call at all. */
static void await_room(struct session *s, bool wait) {
    if (s->sending == wait) return;
    s->sending = wait;
    watch(s->fd, EPOLL_CTL_MOD, wait ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static bool flush(struct session *s) {
    if (session_pending(s) == 0) return true;
    ssize_t n = send(s->fd, s->out + s->sent, session_pending(s), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (n > 0) session_sent(s, (size_t)n);
    await_room(s, session_pending(s) > 0);
    return true;
}

static bool receive(struct session *s) {
    static char input[SESSION_READ_BYTES];
    ssize_t n = recv(s->fd, input, sizeof input, 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    return n > 0 && session_feed(s, input, (size_t)n);
}

static void serve(struct session *s, uint32_t events) {
    bool alive = !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || receive(s);
    if (!alive || !flush(s)) session_close(s);
}

int loop_epoll_run(int listener) {
    struct epoll_event events[EVENTS];
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int n = epoll_wait(poll_fd, events, EVENTS, -1);
        if (n < 0 && errno != EINTR) {
            perror("epoll_wait");
            return 1;
        }
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) accept_one(listener);
            else serve(session_of(events[i].data.fd), events[i].events);
        }
    }
}
