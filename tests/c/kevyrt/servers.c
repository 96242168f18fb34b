#include "kevyrt/servers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WORDS_MAX = 64, PATIENCE_MS = 20000 };

static const struct variant variants[] = {
    {"epoll-1", "epoll", "1", "auto", "0"},
    {"epoll-4", "epoll", "4", "auto", "0"},
    {"epoll-4-tiny", "epoll", "4", "never", "8"},
    {"io_uring-1", "io_uring", "1", "auto", "0"},
    {"io_uring-4", "io_uring", "4", "auto", "0"},
    {"io_uring-4-tiny", "io_uring", "4", "never", "8"},
};

/* ---- Servers ------------------------------------------------------------------------------------ */

struct kevyrt_server *server_new(const struct variant *variant) {
    struct kevyrt_setting settings[] = {
        {"port", "0"},
        {"io", variant->io},
        {"threads", variant->threads},
        {"debug-borrow", variant->borrow},
        {"debug-ring-entries", variant->ring_entries},
        {"enable-debug-command", "yes"},
    };
    struct kevyrt_error error = {0};
    struct kevyrt_server *server = NULL;
    if (kevyrt_server_new(settings, sizeof settings / sizeof *settings, &server, &error) !=
        KEVYRT_OK)
        fail_msg("%s: %s", variant->name, error.text);
    return server;
}

void server_start(struct kevyrt_server *server) {
    struct kevyrt_error error = {0};
    if (kevyrt_server_start(server, &error) != KEVYRT_OK)
        fail_msg("does not start: %s", error.text);
    assert_true(kevyrt_server_running(server));
}

struct kevyrt_server *server_open(const struct variant *variant) {
    struct kevyrt_server *server = server_new(variant);
    server_start(server);
    return server;
}

void server_close(struct kevyrt_server *server) {
    kevyrt_server_stop(server);
    assert_false(kevyrt_server_running(server));
    kevyrt_server_put(server);
}

/* Where io_uring is forbidden a server that insists on it does not start. */
static bool is_to_be_had(const struct variant *variant) {
    struct kevyrt_error error = {0};
    struct kevyrt_server *server = server_new(variant);
    enum kevyrt_status status = kevyrt_server_start(server, &error);
    kevyrt_server_put(server);
    if (status != KEVYRT_OK) print_message("%s is not to be had: %s\n", variant->name, error.text);
    return status == KEVYRT_OK;
}

void for_each_setting(void (*test)(const struct variant *variant)) {
    int tested = 0;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        bool required = strcmp(variants[i].io, "epoll") == 0;
        if (!required && !is_to_be_had(&variants[i])) continue;
        test(&variants[i]);
        tested++;
    }
    assert_true(tested >= 3);
}

static void (*started_test)(struct kevyrt_server *server);

static void run_started(const struct variant *variant) {
    struct kevyrt_server *server = server_open(variant);
    started_test(server);
    server_close(server);
}

void for_each_variant(void (*test)(struct kevyrt_server *server)) {
    started_test = test;
    for_each_setting(run_started);
}

static uint64_t connections_of(struct kevyrt_server *server) {
    static struct kevyrt_stats stats;
    uint64_t count = 0;
    assert_int_equal(kevyrt_stats(server, &stats), KEVYRT_OK);
    for (uint32_t i = 0; i < stats.shard_count; i++) count += stats.shards[i].connections;
    return count;
}

void server_await_connections(struct kevyrt_server *server, uint64_t count) {
    struct timespec pause = {.tv_nsec = 1000000};
    for (int ms = 0; connections_of(server) != count; ms++) {
        if (ms == PATIENCE_MS)
            fail_msg("%d connections, not %d", (int)connections_of(server), (int)count);
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- Calls -------------------------------------------------------------------------------------- */

enum kevyrt_status call(struct kevyrt_server *server, const char *line, char out[REPLY_MAX]) {
    char text[REPLY_MAX], *rest;
    struct bytes argv[WORDS_MAX];
    struct kevyrt_reply reply;
    uint32_t argc = 0;
    (void)snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = bytes_of(word, strlen(word));
    enum kevyrt_status status = kevyrt_call(server, NULL, 0, argv, argc, KEVYRT_WAIT, &reply);
    if (status == KEVYRT_OK) {
        (void)snprintf(out, REPLY_MAX, "%.*s", (int)reply.len, reply.at);
        kevyrt_reply_free(&reply);
    }
    return status;
}

void assert_call(struct kevyrt_server *server, const char *line, const char *expected) {
    char reply[REPLY_MAX];
    assert_int_equal(call(server, line, reply), KEVYRT_OK);
    assert_string_equal(reply, expected);
}

/* ---- Connections -------------------------------------------------------------------------------- */

int wire_open(struct kevyrt_server *server) {
    struct kevyrt_error error = {0};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    (void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (kevyrt_server_adopt(server, pair[1], &error) != KEVYRT_OK)
        fail_msg("not adopted: %s", error.text);
    return pair[0];
}

void wire_send(int fd, const char *at, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        assert_true(sent > 0);
        at += sent;
        len -= (size_t)sent;
    }
}

void wire_say(int fd, const char *text) {
    wire_send(fd, text, strlen(text));
}

bool wire_receive(int fd, char *at, size_t len) {
    while (len > 0) {
        ssize_t got = recv(fd, at, len, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        len -= (size_t)got;
    }
    return true;
}

void assert_answers(int fd, const char *request, const char *expected) {
    char reply[REPLY_MAX];
    size_t len = strlen(expected);
    assert_true(len < sizeof reply);
    wire_say(fd, request);
    assert_true(wire_receive(fd, reply, len));
    reply[len] = '\0';
    assert_string_equal(reply, expected);
}

void wire_drain(int fd) {
    char bytes[4096];
    ssize_t got;
    do got = recv(fd, bytes, sizeof bytes, 0);
    while (got > 0 || (got < 0 && errno == EINTR));
    assert_true(got == 0 || errno == ECONNRESET);
}
