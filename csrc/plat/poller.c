#define _GNU_SOURCE
#include "plat/poller.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "plat/clock.h"

#define NS_PER_MS 1000000u

/* 1 once epoll_pwait2 turned out to be missing. Writers and readers: any thread, relaxed: a hint that
 * saves a system call, found out anew if it is not seen. */
static atomic_u32 pwait2_is_missing;

int poller_open(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

int poller_watch(int poller, int fd, uint32_t events, uint64_t token, bool change) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    int operation = change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    return epoll_ctl(poller, operation, fd, &event) == 0 ? 0 : -errno;
}

void poller_forget(int poller, int fd) {
    struct epoll_event unused = {0};
    (void)epoll_ctl(poller, EPOLL_CTL_DEL, fd, &unused);
}

static int wait_ms(int poller, struct epoll_event *events, int capacity, int timeout_ms) {
    int count = epoll_wait(poller, events, capacity, timeout_ms);
    return count >= 0 ? count : -errno;
}

/* Rounds up: a wait that ends early would be repeated at once until the deadline is there. */
static int wait_rounded(int poller, struct epoll_event *events, int capacity, uint64_t left_ns) {
    uint64_t left_ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
    return wait_ms(poller, events, capacity, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
}

/* Older kernels answer ENOSYS, and seccomp filters that do not know the call EPERM. */
static int wait_exact(int poller, struct epoll_event *events, int capacity, uint64_t left_ns) {
    struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000u),
                            .tv_nsec = (long)(left_ns % 1000000000u)};
    long count = syscall(SYS_epoll_pwait2, poller, events, capacity, &left, NULL, 0);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) {
        return count >= 0 ? (int)count : -errno;
    }
    atomic_store_relaxed(&pwait2_is_missing, 1);
    return wait_rounded(poller, events, capacity, left_ns);
}

static int wait_once(int poller, struct epoll_event *events, int capacity, uint64_t deadline_ns) {
    if (deadline_ns == 0 || deadline_ns == UINT64_MAX) {
        return wait_ms(poller, events, capacity, deadline_ns == 0 ? 0 : -1);
    }
    uint64_t now = clock_monotonic_ns();
    if (now >= deadline_ns) {
        return wait_ms(poller, events, capacity, 0);
    }
    if (atomic_load_relaxed(&pwait2_is_missing)) {
        return wait_rounded(poller, events, capacity, deadline_ns - now);
    }
    return wait_exact(poller, events, capacity, deadline_ns - now);
}

int poller_wait(int poller, struct epoll_event *events, int capacity, uint64_t deadline_ns) {
    int count;
    do {
        count = wait_once(poller, events, capacity, deadline_ns);
    } while (count == -EINTR);
    return count;
}
