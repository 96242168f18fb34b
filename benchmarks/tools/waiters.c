/* waiters.c: many connections that wait: waiters PORT COUNT KEYS_EACH LOW_MS HIGH_MS
 *
 * Connection i sends BLPOP of KEYS_EACH keys that nobody else names. With HIGH_MS 0 all wait for ever, and
 * are closed at the end of stdin. Otherwise it begins when it reads a byte; the time-outs are spread from
 * LOW_MS to HIGH_MS, every reply must be nil, and it prints how late each came, in microseconds from the
 * moment that it was sent plus the time-out. LOW_MS must be longer than sending takes.
 *
 * Prints "ready" when every connection has been answered once, or in the first case when all are sent. */
#include <sys/epoll.h>

#include "client.h"

enum { EVENTS = 256, KEYS_MAX = 32 };

static const char nil[] = "*-1\r\n";

struct waiter {
    int fd;
    int64_t due_ns;
};

static void send_blpop(int fd, int number, int keys_each, double timeout_s) {
    char command[64 + KEYS_MAX * 32], seconds[32];
    int timeout_size = snprintf(seconds, sizeof seconds, "%.3f", timeout_s);
    int size = snprintf(command, sizeof command, "*%d\r\n$5\r\nBLPOP\r\n", keys_each + 2);
    for (int i = 0; i < keys_each; i++)
        size += snprintf(command + size, sizeof command - (size_t)size, "$16\r\nwait:%06d:%04d\r\n",
                         number, i);
    size += snprintf(command + size, sizeof command - (size_t)size, "$%d\r\n%s\r\n", timeout_size,
                     seconds);
    send_all(fd, command, (size_t)size);
}

static void take_reply(struct waiter *waiter, int64_t now) {
    expect(waiter->fd, nil, sizeof nil - 1);
    printf("%lld\n", (long long)(now - waiter->due_ns) / 1000);
}

static void await_replies(int poller, int count) {
    struct epoll_event events[EVENTS];
    while (count > 0) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        int64_t now = now_ns();
        for (int i = 0; i < ready; i++) take_reply(events[i].data.ptr, now);
        count -= ready;
    }
}

/* A millisecond is the finest that a time-out can be. */
static void wait_all(struct waiter *waiters, int count, int keys_each, int low_ms, int high_ms) {
    for (int i = 0; i < count; i++) {
        int64_t timeout_ms = low_ms + (int64_t)(high_ms - low_ms) * i / count;
        waiters[i].due_ns = now_ns() + timeout_ms * 1000000;
        send_blpop(waiters[i].fd, i, keys_each, (double)timeout_ms / 1000);
    }
}

static int open_all(struct waiter *waiters, int count, int port) {
    int poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        /* One wake-up for each reply, which is small and comes as a whole. */
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &waiters[i]};
        waiters[i].fd = open_connection(port);
        if (epoll_ctl(poller, EPOLL_CTL_ADD, waiters[i].fd, &event) < 0) fail("epoll_ctl");
    }
    return poller;
}

int main(int argc, char **argv) {
    if (argc != 6 || atoi(argv[3]) > KEYS_MAX) {
        fprintf(stderr, "usage: waiters PORT COUNT KEYS_EACH LOW_MS HIGH_MS\n");
        return 2;
    }
    int count = atoi(argv[2]), keys_each = atoi(argv[3]), high_ms = atoi(argv[5]);
    struct waiter *waiters = calloc((size_t)count, sizeof *waiters);
    if (!waiters) fail("calloc");
    int poller = open_all(waiters, count, atoi(argv[1]));
    if (high_ms == 0) {
        wait_all(waiters, count, keys_each, 0, 0);
        puts("ready");
        fflush(stdout);
        while (getchar() != EOF) continue;
        return 0;
    }
    await_start();
    wait_all(waiters, count, keys_each, atoi(argv[4]), high_ms);
    await_replies(poller, count);
    return 0;
}
