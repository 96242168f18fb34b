/* Connections that we make, by a thread that may wait for them.
 *
 * Threads: any that nothing waits for. What waits ends with -ECANCELED once `stop` (an event, plat/socket.h) is signalled,
 * but for the resolution of a name.
 * Errors: negative errno values; -ETIMEDOUT if the absolute monotonic deadline has passed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Of `host`, an address or a name, the first that answers. -EADDRNOTAVAIL: there is no such host. Returns a descriptor. */
int dial_tcp(const char *host, const char *port, int stop, uint64_t deadline_ns);
void dial_close(int fd);
/* All of it: 0, or an error. */
int dial_send(int fd, const void *at, size_t len, int stop, uint64_t deadline_ns);
/* What has come, at least a byte; 0: it has ended. */
ssize_t dial_receive(int fd, void *into, size_t capacity, int stop, uint64_t deadline_ns);
