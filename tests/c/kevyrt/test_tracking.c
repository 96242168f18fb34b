/* Clients that cache, beside callers in the process; and a server that stops with them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kevyrt/servers.h"

enum { ROUNDS = 20 };

/* A client that caches; `mode` is of CLIENT TRACKING ON. */
static int open_tracking(struct kevyrt_server *server, const char *mode) {
    char line[128];
    int fd = wire_open(server);
    (void)snprintf(line, sizeof line, "CLIENT TRACKING ON %s\r\n", mode);
    assert_answers(fd, line, "+OK\r\n");
    return fd;
}

/* In RESP3; what HELLO answers is read up to its last line. */
static void speak_resp3(int fd) {
    static const char end[] = "$7\r\nmodules\r\n*0\r\n";
    char text[512] = "";
    wire_say(fd, "HELLO 3\r\n");
    for (size_t len = 0; !strstr(text, end); len++) {
        assert_true(len + 1 < sizeof text);
        assert_true(wire_receive(fd, text + len, 1));
    }
}

static void set(struct kevyrt_server *server, const char *key) {
    enum kevyrt_status status =
        kevyrt_set(server, 0, bytes_of(key, strlen(key)), BYTES_LITERAL("v"), KEVYRT_WAIT, NULL);
    assert_int_equal(status, KEVYRT_OK);
}

static void assert_told(int fd, const char *key) {
    char push[128];
    (void)snprintf(push, sizeof push, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$%zu\r\n%s\r\n+PONG\r\n",
                   strlen(key), key);
    assert_answers(fd, "PING\r\n", push);
}

/* What is written in the process is told before the next answer, whatever way it took. */
static void writes_in_process_are_told(struct kevyrt_server *server) {
    int fd = open_tracking(server, ""), all = open_tracking(server, "BCAST PREFIX key:");
    speak_resp3(fd);
    speak_resp3(all);
    for (int i = 0; i < ROUNDS; i++) {
        char key[32], line[64];
        (void)snprintf(key, sizeof key, "key:%d", i);
        (void)snprintf(line, sizeof line, "EXISTS %s\r\n", key);
        assert_answers(fd, line, ":0\r\n");
        set(server, key);
        assert_told(fd, key);
        assert_told(all, key);
        set(server, key);
        assert_told(all, key);
        assert_answers(fd, line, ":1\r\n");
        (void)snprintf(line, sizeof line, "DEL %s", key);
        assert_call(server, line, ":1\r\n");
        assert_told(fd, key);
        assert_told(all, key);
    }
    close(fd);
    close(all);
    server_await_connections(server, 0);
}

static void test_writes_in_process_are_told(void **state) {
    (void)state;
    for_each_variant(writes_in_process_are_told);
}

/* Nobody looks at anything for an expired key to be told of. */
static void deadlines_are_told(struct kevyrt_server *server) {
    int fd = open_tracking(server, "");
    speak_resp3(fd);
    assert_call(server, "SET short v PX 20", "+OK\r\n");
    char push[128];
    static const char expected[] = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\nshort\r\n";
    assert_answers(fd, "EXISTS short\r\n", ":1\r\n");
    assert_true(wire_receive(fd, push, strlen(expected)));
    assert_memory_equal(push, expected, strlen(expected));
    close(fd);
}

static void test_deadlines_are_told(void **state) {
    (void)state;
    for_each_variant(deadlines_are_told);
}

static void test_sessions_have_nothing_to_be_told_on(void **state) {
    (void)state;
    const struct variant variant = {"epoll-2", "epoll", "2", "auto", "0"};
    struct kevyrt_server *server = server_open(&variant);
    struct kevyrt_session *session = kevyrt_session_new(server);
    struct bytes argv[] = {BYTES_LITERAL("CLIENT"), BYTES_LITERAL("TRACKING"), BYTES_LITERAL("ON")};
    struct kevyrt_reply reply;
    assert_int_equal(kevyrt_call(server, session, 0, argv, 3, KEVYRT_WAIT, &reply), KEVYRT_OK);
    assert_true(reply.len > 0 && reply.at[0] == '-');
    kevyrt_reply_free(&reply);
    kevyrt_session_put(session);
    server_close(server);
}

/* Posts that nobody takes, prefixes, redirections and items end with the server, and it starts anew without them. */
static void stop_with_clients(const struct variant *variant) {
    struct kevyrt_server *server = server_open(variant);
    for (int round = 0; round < 3; round++) {
        int fds[6];
        for (int i = 0; i < 6; i++) {
            static const char *const modes[] = {"", "BCAST", "BCAST PREFIX k PREFIX x",
                                                "OPTOUT NOLOOP"};
            fds[i] = open_tracking(server, modes[i % 4]);
            speak_resp3(fds[i]);
            wire_say(fds[i], "MGET k1 k2 k3 k4\r\n");
        }
        for (int i = 0; i < 50; i++) set(server, i % 2 ? "k1" : "k4");
        kevyrt_server_stop(server);
        for (int i = 0; i < 6; i++) {
            wire_drain(fds[i]);
            close(fds[i]);
        }
        server_start(server);
        char info[REPLY_MAX];
        assert_int_equal(call(server, "INFO clients", info), KEVYRT_OK);
        assert_non_null(strstr(info, "tracking_clients:0"));
    }
    server_close(server);
}

static void test_stops_with_clients(void **state) {
    (void)state;
    for_each_setting(stop_with_clients);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_in_process_are_told),
        cmocka_unit_test(test_deadlines_are_told),
        cmocka_unit_test(test_sessions_have_nothing_to_be_told_on),
        cmocka_unit_test(test_stops_with_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
