/* Sockets, descriptors and the wake-up event. The only place that reads errno: every function
 * returns a descriptor or 0, or a negative errno value. All descriptors are close-on-exec and
 * non-blocking. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct socket_address_text {
    char text[64]; /* "127.0.0.1:6379", "[::1]:6379", or "/path/to/socket:0" cut to fit */
};

/* `host` is a numeric address or a name to resolve; "*" and "-::*" style prefixes are handled by
 * the caller. `port` 0 binds any free one; *bound_port receives the port. */
int socket_listen_tcp(const char *host, uint16_t port, int backlog, uint16_t *bound_port);
/* `mode` 0 leaves the permissions to the umask. A stale socket file is replaced. */
int socket_listen_unix(const char *path, unsigned mode, int backlog);
/* Of a listening socket that was shut down. 0 or a negative errno value. */
int socket_listen_again(int listener, int backlog);
int socket_accept(int listener);
/* One try each; bytes moved, 0 at end of file (receive), -EAGAIN when it would block. Never a
 * signal. */
ssize_t socket_receive(int fd, void *into, size_t capacity);
ssize_t socket_send(int fd, const struct iovec *iov, int count);
/* TCP_NODELAY and keep-alive (seconds; 0 off); does nothing on other families. */
void socket_tune(int fd, int keepalive_seconds);
bool socket_is_unix(int fd);
/* Makes an adopted descriptor non-blocking and close-on-exec; refuses what is not a connected
 * stream socket. */
int socket_prepare_adopted(int fd);
/* Two connected stream sockets, which block, and are closed on exec. 0 or a negative errno value. */
int socket_pair(int ends[2]);
void socket_peer_text(int fd, struct socket_address_text *out);
void socket_local_text(int fd, struct socket_address_text *out);
/* The error that waits on a socket (negative errno value, 0: none); reading it clears it. */
int socket_take_error(int fd);
/* Whether `fd` is a socket that connects two ends, and not a listening one. */
bool socket_is_stream_end(int fd);
void socket_shutdown(int fd);
void socket_close(int fd);

/* An eventfd. */
int event_open(void);
void event_signal(int fd);
void event_clear(int fd);

/* Raises RLIMIT_NOFILE's soft limit towards `wanted`; returns the limit in force. */
uint64_t descriptor_limit_raise(uint64_t wanted);
uint64_t descriptor_limit(void);
