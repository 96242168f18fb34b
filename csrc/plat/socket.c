#define _GNU_SOURCE
#include "plat/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_KIND (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage room;
};

static void set_option(int fd, int level, int name, int value) {
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

/* A negative errno value if the option cannot be read. */
static int get_option(int fd, int name) {
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -errno;
}

static int close_with(int fd, int error) {
    close(fd);
    return error;
}

/* --- listening ------------------------------------------------------------------------------- */

static uint16_t bound_port_of(int fd) {
    union address address = {0};
    socklen_t len = sizeof address;
    if (getsockname(fd, &address.any, &len) != 0) {
        return 0;
    }
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static int listen_at(const struct addrinfo *at, int backlog) {
    int fd = socket(at->ai_family, SOCKET_KIND, 0);
    if (fd < 0) {
        return -errno;
    }
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    /* Each address is bound by its own: [::] must not take what 0.0.0.0 was asked for. */
    if (at->ai_family == AF_INET6) {
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0) {
        return close_with(fd, -errno);
    }
    if (listen(fd, backlog) != 0) {
        return close_with(fd, -errno);
    }
    return fd;
}

static int resolve_error(int code) {
    switch (code) {
    case EAI_SYSTEM:
        return -errno;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_AGAIN:
        return -EAGAIN;
    default:
        return -EADDRNOTAVAIL;
    }
}

int socket_listen_tcp(const char *host, uint16_t port, int backlog, uint16_t *bound_port) {
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int code = getaddrinfo(host, service, &hints, &found);
    if (code != 0) {
        return resolve_error(code);
    }

    int fd = -EADDRNOTAVAIL;
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        fd = listen_at(at, backlog);
    }
    freeaddrinfo(found);
    if (fd >= 0 && bound_port) {
        *bound_port = bound_port_of(fd);
    }
    return fd;
}

/* Whether `address` is a socket file on which nobody accepts: left behind by a process that died. */
static bool unix_is_stale(const union address *address) {
    struct stat status;
    if (lstat(address->local.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return false;
    }
    int fd = socket(AF_UNIX, SOCKET_KIND, 0);
    if (fd < 0) {
        return false;
    }
    bool refused = connect(fd, &address->any, sizeof address->local) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int bind_unix(int fd, const union address *address) {
    if (bind(fd, &address->any, sizeof address->local) == 0) {
        return 0;
    }
    if (errno != EADDRINUSE) {
        return -errno;
    }
    if (!unix_is_stale(address)) {
        return -EADDRINUSE;
    }
    if (unlink(address->local.sun_path) != 0 && errno != ENOENT) {
        return -errno;
    }
    return bind(fd, &address->any, sizeof address->local) == 0 ? 0 : -errno;
}

int socket_listen_unix(const char *path, unsigned mode, int backlog) {
    union address address = {.local = {.sun_family = AF_UNIX}};
    size_t len = strlen(path);
    if (len == 0) {
        return -EINVAL;
    }
    if (len >= sizeof address.local.sun_path) {
        return -ENAMETOOLONG;
    }
    memcpy(address.local.sun_path, path, len + 1);

    int fd = socket(AF_UNIX, SOCKET_KIND, 0);
    if (fd < 0) {
        return -errno;
    }
    int error = bind_unix(fd, &address);
    if (error < 0) {
        return close_with(fd, error);
    }
    /* Permissions before listen: nobody connects who may not. */
    if ((mode && chmod(path, mode) != 0) || listen(fd, backlog) != 0) {
        error = -errno;
        unlink(path);
        return close_with(fd, error);
    }
    return fd;
}

/* --- connected sockets ----------------------------------------------------------------------- */

int socket_listen_again(int listener, int backlog) {
    return listen(listener, backlog) == 0 ? 0 : -errno;
}

int socket_accept(int listener) {
    int fd;
    do {
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd >= 0 ? fd : -errno;
}

int socket_pair(int ends[2]) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : -errno;
}

ssize_t socket_receive(int fd, void *into, size_t capacity) {
    ssize_t got;
    do {
        got = recv(fd, into, capacity, 0);
    } while (got < 0 && errno == EINTR);
    return got >= 0 ? got : -errno;
}

ssize_t socket_send(int fd, const struct iovec *iov, int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
    ssize_t sent;
    do {
        sent = count == 1 ? send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                          : sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : -errno;
}

void socket_tune(int fd, int keepalive_seconds) {
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        return;
    }
    if (keepalive_seconds <= 0) {
        return;
    }
    /* A dead peer is found after about twice the interval, as in Redis: idle, then three probes. */
    int probe_seconds = keepalive_seconds / 3;
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_seconds);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, probe_seconds ? probe_seconds : 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

bool socket_is_unix(int fd) {
    return get_option(fd, SO_DOMAIN) == AF_UNIX;
}

static int add_flag(int fd, int get, int set, int flag) {
    int flags = fcntl(fd, get);
    if (flags < 0) {
        return -errno;
    }
    return fcntl(fd, set, flags | flag) == 0 ? 0 : -errno;
}

int socket_prepare_adopted(int fd) {
    int type = get_option(fd, SO_TYPE);
    if (type < 0) {
        return type;
    }
    if (type != SOCK_STREAM) {
        return -EPROTOTYPE;
    }
    union address peer;
    socklen_t len = sizeof peer;
    if (getpeername(fd, &peer.any, &len) != 0) {
        return -errno;
    }
    int error = add_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK);
    return error < 0 ? error : add_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC);
}

int socket_take_error(int fd) {
    int error = get_option(fd, SO_ERROR);
    return error > 0 ? -error : error;
}

bool socket_is_stream_end(int fd) {
    return get_option(fd, SO_TYPE) == SOCK_STREAM && get_option(fd, SO_ACCEPTCONN) == 0;
}

void socket_shutdown(int fd) {
    (void)shutdown(fd, SHUT_RDWR);
}

void socket_close(int fd) {
    /* Linux releases the descriptor even when close reports EINTR: never close twice. */
    (void)close(fd);
}

/* --- addresses as text ----------------------------------------------------------------------- */

static size_t unix_path_len(const union address *address, socklen_t len) {
    size_t head = offsetof(struct sockaddr_un, sun_path);
    return len > head ? strnlen(address->local.sun_path, len - head) : 0;
}

/* Cut so that the port, which readers split off, always fits. An abstract name, which starts with a
 * zero byte, is no text and counts as unnamed. */
static void print_path(const union address *address, socklen_t len,
                       struct socket_address_text *out) {
    size_t path_len = unix_path_len(address, len);
    size_t room = sizeof out->text - sizeof ":0";
    snprintf(out->text, sizeof out->text, "%.*s:0", (int)(path_len < room ? path_len : room),
             path_len ? address->local.sun_path : "");
}

static void print_address(const union address *address, socklen_t len,
                          struct socket_address_text *out) {
    char host[INET6_ADDRSTRLEN];
    switch (address->any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        snprintf(out->text, sizeof out->text, "%s:%u", host, ntohs(address->v4.sin_port));
        return;
    case AF_INET6:
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
        snprintf(out->text, sizeof out->text, "[%s]:%u", host, ntohs(address->v6.sin6_port));
        return;
    case AF_UNIX:
        print_path(address, len, out);
        return;
    default:
        snprintf(out->text, sizeof out->text, "?:0");
    }
}

void socket_local_text(int fd, struct socket_address_text *out) {
    union address address = {0};
    socklen_t len = sizeof address;
    if (getsockname(fd, &address.any, &len) != 0) {
        len = 0;
    }
    bool unnamed = address.any.sa_family == AF_UNIX && unix_path_len(&address, len) == 0;
    if (unnamed) {
        snprintf(out->text, sizeof out->text, "/unixsocket:0");
    } else {
        print_address(&address, len, out);
    }
}

void socket_peer_text(int fd, struct socket_address_text *out) {
    union address address = {0};
    socklen_t len = sizeof address;
    if (getpeername(fd, &address.any, &len) != 0) {
        len = 0;
    }
    /* The client's end of a Unix socket has no name: the path it connected to says where it came in. */
    if (len && address.any.sa_family == AF_UNIX && unix_path_len(&address, len) == 0) {
        socket_local_text(fd, out);
    } else {
        print_address(&address, len, out);
    }
}

/* --- the wake-up event ----------------------------------------------------------------------- */

int event_open(void) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

void event_signal(int fd) {
    uint64_t one = 1;
    /* A full counter (EAGAIN) is readable already. */
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void event_clear(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

/* --- descriptor limits ----------------------------------------------------------------------- */

uint64_t descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

uint64_t descriptor_limit_raise(uint64_t wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    if (limit.rlim_cur < wanted && limit.rlim_cur != RLIM_INFINITY) {
        limit.rlim_cur = wanted < limit.rlim_max ? (rlim_t)wanted : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    return descriptor_limit();
}
