/* Readiness of descriptors: epoll, level-triggered.
 *
 * Threads: one poller, one thread. Errors: negative errno values; a wait is never -EINTR.
 * Bounds: an event carries a 64-bit token; what it means is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

int poller_open(void);
/* Registers (`change` false) or changes what is watched on `fd`: EPOLLIN, EPOLLOUT; errors always are. */
int poller_watch(int poller, int fd, uint32_t events, uint64_t token, bool change);
void poller_forget(int poller, int fd);
/* Sleeps until something is ready or the absolute monotonic deadline has passed (0: does not sleep,
 * UINT64_MAX: no deadline). Returns how many of `events` were filled. */
int poller_wait(int poller, struct epoll_event *events, int capacity, uint64_t deadline_ns);
