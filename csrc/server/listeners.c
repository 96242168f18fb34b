/* Where a server listens: TCP on the addresses of `bind`, and a Unix socket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plat/errors.h"
#include "server/server.h"

enum { PORT_ATTEMPTS = 8 };

/* One address of `bind`: "*" and "-::*" are every IPv4 and every IPv6 address; with a leading "-"
 * an address that this machine has not is skipped. */
struct bind_address {
    char host[HOST_MAX];
    bool optional;
};

static void parse_address(const char *word, size_t len, struct bind_address *out) {
    out->optional = *word == '-';
    if (out->optional) word++, len--;
    if (len >= sizeof out->host) len = sizeof out->host - 1;
    memcpy(out->host, word, len);
    out->host[len] = 0;
    if (strcmp(out->host, "*") == 0) strcpy(out->host, "0.0.0.0");
    else if (strcmp(out->host, "::*") == 0) strcpy(out->host, "::");
}

static bool is_absent_address(int error) {
    return error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT || error == -EPROTONOSUPPORT;
}

static enum kevyrt_status listen_on(struct kevyrt_server *server,
                                    const struct bind_address *address, int *out, uint32_t *count,
                                    struct kevyrt_error *error) {
    uint16_t bound = server_port(server);
    int fd = socket_listen_tcp(address->host, server_port(server), config_backlog(&server->config),
                               &bound);
    if (fd >= 0) {
        /* Further addresses share the port that the kernel chose for the first. */
        atomic_store_relaxed(&server->port, bound);
        if (!*server->host) memcpy(server->host, address->host, sizeof server->host);
        out[(*count)++] = fd;
        return KEVYRT_OK;
    }
    if (address->optional && is_absent_address(fd)) return KEVYRT_OK;
    return server_fail(error, KEVYRT_SYSTEM, fd, "cannot listen on %s:%u: %s", address->host,
                       server_port(server), system_error_text(fd));
}

static enum kevyrt_status listen_addresses(struct kevyrt_server *server, int *out, uint32_t *count,
                                           struct kevyrt_error *error) {
    for (const char *at = config_bind(&server->config); *at;) {
        struct bind_address address;
        size_t len = strcspn(at, " ");
        if (*count == LISTENERS_MAX)
            return server_fail(error, KEVYRT_BAD_CONFIG, 0, "bind: too many addresses");
        parse_address(at, len, &address);
        enum kevyrt_status status = listen_on(server, &address, out, count, error);
        if (status != KEVYRT_OK) return status;
        at += len;
        at += strspn(at, " ");
    }
    if (*count == 0 && *config_bind(&server->config))
        return server_fail(error, KEVYRT_SYSTEM, EADDRNOTAVAIL,
                           "cannot listen on port %u: no address of bind is there",
                           server_port(server));
    return KEVYRT_OK;
}

static void forget_listeners(struct kevyrt_server *server, const int *listeners, uint32_t *count) {
    while (*count) socket_close(listeners[--*count]);
    atomic_store_relaxed(&server->port, 0);
    server->host[0] = 0;
}

/* The port that the kernel chooses for the first address may be taken on the second: then another
 * one. */
static enum kevyrt_status listen_tcp(struct kevyrt_server *server, int *out, uint32_t *count,
                                     struct kevyrt_error *error) {
    int port = config_port(&server->config);
    struct kevyrt_error why = {0};
    enum kevyrt_status status = KEVYRT_OK;
    forget_listeners(server, out, count);
    for (int attempt = 0; port != 0 && attempt < PORT_ATTEMPTS; attempt++) {
        atomic_store_relaxed(&server->port, port > 0 ? (uint16_t)port : 0);
        status = listen_addresses(server, out, count, &why);
        if (status == KEVYRT_OK) return KEVYRT_OK;
        forget_listeners(server, out, count);
        if (port > 0 || why.number != EADDRINUSE) break;
    }
    if (status != KEVYRT_OK && error) *error = why;
    return status;
}

static enum kevyrt_status listen_unix(struct kevyrt_server *server, int *out, uint32_t *count,
                                      struct kevyrt_error *error) {
    const char *path = config_unixsocket(&server->config);
    if (!*path) return KEVYRT_OK;
    int fd = socket_listen_unix(path, config_unixsocketperm(&server->config),
                                config_backlog(&server->config));
    if (fd < 0)
        return server_fail(error, KEVYRT_SYSTEM, fd, "cannot listen on %s: %s", path,
                           system_error_text(fd));
    server->unix_bound = true;
    out[(*count)++] = fd;
    return KEVYRT_OK;
}

enum kevyrt_status listeners_open(struct kevyrt_server *server, int *out, uint32_t *count,
                                  struct kevyrt_error *error) {
    *count = 0;
    enum kevyrt_status status = listen_tcp(server, out, count, error);
    if (status != KEVYRT_OK) return status;
    status = listen_unix(server, out, count, error);
    if (status != KEVYRT_OK) forget_listeners(server, out, count);
    return status;
}

/* ---- At run time ----------------------------------------------------------------------------- */

/* An address can be bound anew while the old socket has it, if that does not listen. */
static void set_listening(struct kevyrt_server *server, const int *listeners, uint32_t count,
                          bool listening) {
    for (uint32_t i = 0; i < count; i++) {
        if (socket_is_unix(listeners[i])) continue;
        if (listening) (void)socket_listen_again(listeners[i], config_backlog(&server->config));
        else socket_shutdown(listeners[i]);
    }
}

static enum kevyrt_status reopen_tcp(struct kevyrt_server *server, const int *old,
                                     uint32_t old_count, int *out, uint32_t *count,
                                     struct kevyrt_error *error) {
    struct kevyrt_error why = {0};
    enum kevyrt_status status = listen_tcp(server, out, count, &why);
    if (status != KEVYRT_OK && why.number == EADDRINUSE) {
        set_listening(server, old, old_count, false);
        status = listen_tcp(server, out, count, &why);
        if (status != KEVYRT_OK) set_listening(server, old, old_count, true);
    }
    if (status != KEVYRT_OK) *error = why;
    return status;
}

enum kevyrt_status listeners_reopen(struct kevyrt_server *server, const int *old,
                                    uint32_t old_count, int *out, uint32_t *count,
                                    struct kevyrt_error *error) {
    uint16_t port = server_port(server);
    char host[HOST_MAX];
    memcpy(host, server->host, sizeof host);
    *count = 0;
    enum kevyrt_status status = reopen_tcp(server, old, old_count, out, count, error);
    if (status != KEVYRT_OK) {
        atomic_store_relaxed(&server->port, port);
        memcpy(server->host, host, sizeof host);
        return status;
    }
    for (uint32_t i = 0; i < old_count; i++)
        if (socket_is_unix(old[i])) out[(*count)++] = old[i];
    return KEVYRT_OK;
}

void listeners_give_up(const int *old, uint32_t old_count, const int *listeners, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        bool kept = false;
        for (uint32_t k = 0; k < old_count; k++) kept = kept || old[k] == listeners[i];
        if (!kept) socket_close(listeners[i]);
    }
}

void listeners_close(struct kevyrt_server *server, const int *listeners, uint32_t count) {
    forget_listeners(server, listeners, &count);
    listeners_remove_files(server);
}

void listeners_remove_files(struct kevyrt_server *server) {
    if (server->unix_bound) unlink(config_unixsocket(&server->config));
    server->unix_bound = false;
    door_remove(server);
}
