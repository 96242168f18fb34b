/* MONITOR and the slow log against a whole server: refused memory, stops, clients that come and go. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "kevyrt/servers.h"
#include "server/server.h"
#include "shard/shard.h"

enum { PATIENCE_MS = 20000, TEXT_MAX = 4096 };

static void sleep_ms(long ms) {
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* What comes until it ends with `end`; false at the end of the connection. */
static bool receive_until(int fd, const char *end, char text[TEXT_MAX]) {
    size_t len = 0, end_len = strlen(end);
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    while (len < end_len || memcmp(text + len - end_len, end, end_len) != 0) {
        if (poll(&poller, 1, PATIENCE_MS) != 1) fail_msg("nothing more: %.*s", (int)len, text);
        ssize_t got = recv(fd, text + len, TEXT_MAX - 1 - len, 0);
        if (got <= 0) return false;
        len += (size_t)got;
    }
    text[len] = 0;
    return true;
}

static void await_shut_gate(struct kevyrt_server *server) {
    for (int ms = 0;; ms++) {
        assert_call(server, "ECHO gate", "$4\r\ngate\r\n");
        struct fabric *fabric = &server->fabric;
        assert_true(baton_try(&fabric->batons[0]) ||
                    baton_take(&fabric->batons[0], UINT64_MAX) == BATON_TAKEN);
        bool shut = !(fabric->domain.gates & GATE_MONITOR);
        baton_drop(&fabric->batons[0]);
        if (shut) return;
        if (ms == PATIENCE_MS) fail_msg("the gate stays open");
        sleep_ms(1);
    }
}

/* Every line, or the end: never one without those before it. */
static void refuse_lines(struct kevyrt_server *server) {
    bool whole = false;
    for (long n = 1; n < 40 && !whole; n++) {
        char text[TEXT_MAX];
        int monitor = wire_open(server);
        assert_answers(monitor, "MONITOR\r\n", "+OK\r\n");
        mem_fail_after(n);
        char ignored[REPLY_MAX];
        (void)call(server, "SET monitored first", ignored);
        sleep_ms(5);
        mem_fail_after(0);
        assert_call(server, "ECHO last", "$4\r\nlast\r\n");
        whole = receive_until(monitor, "\"ECHO\" \"last\"\r\n", text);
        if (whole) assert_non_null(strstr(text, " [0 local] \"SET\" \"monitored\" \"first\"\r\n+"));
        close(monitor);
    }
    assert_true(whole);
    await_shut_gate(server);
}

static void test_refused_lines(void **state) {
    (void)state;
    for_each_variant(refuse_lines);
}

static void refuse_entries(struct kevyrt_server *server) {
    char text[REPLY_MAX];
    bool logged = false;
    assert_call(server, "CONFIG SET slowlog-log-slower-than 0", "+OK\r\n");
    for (long n = 1; n < 40 && !logged; n++) {
        assert_call(server, "SLOWLOG RESET", "+OK\r\n");
        mem_fail_after(n);
        (void)call(server, "ECHO entry", text);
        mem_fail_after(0);
        assert_int_equal(call(server, "SLOWLOG GET", text), KEVYRT_OK);
        logged = strstr(text, "entry") != NULL;
    }
    assert_true(logged);
    assert_call(server, "CONFIG SET slowlog-log-slower-than 10000", "+OK\r\n");
}

static void test_refused_entries(void **state) {
    (void)state;
    for_each_variant(refuse_entries);
}

/* The calls of the fast path are shown, and logged where everything is. */
static void fast_calls(struct kevyrt_server *server) {
    char text[TEXT_MAX];
    int monitor = wire_open(server);
    assert_answers(monitor, "MONITOR\r\n", "+OK\r\n");
    assert_call(server, "SET fast 1", "+OK\r\n");
    assert_call(server, "GET fast", "$1\r\n1\r\n");
    assert_true(receive_until(monitor, "[0 local] \"GET\" \"fast\"\r\n", text));
    close(monitor);
    await_shut_gate(server);
}

static void test_fast_calls(void **state) {
    (void)state;
    for_each_variant(fast_calls);
}

static void stop_with_monitors(const struct variant *variant) {
    enum { MONITORS = 12 };
    struct kevyrt_server *server = server_open(variant);
    int fds[MONITORS];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MONITORS; i++) {
            fds[i] = wire_open(server);
            assert_answers(fds[i], "MONITOR\r\n", "+OK\r\n");
        }
        assert_call(server, "ECHO before", "$6\r\nbefore\r\n");
        kevyrt_server_stop(server);
        for (int i = 0; i < MONITORS; i++) {
            wire_drain(fds[i]);
            close(fds[i]);
        }
        server_start(server);
        assert_int_equal(server->fabric.domain.gates & GATE_MONITOR, 0);
    }
    server_close(server);
}

static void test_stops(void **state) {
    (void)state;
    for_each_setting(stop_with_monitors);
}

/* ---- Monitors that come and go while commands run ---------------------------------------------------- */

static void *work(void *argument) {
    char text[REPLY_MAX], line[64];
    for (int i = 0; i < 400; i++) {
        (void)snprintf(line, sizeof line, "INCR busy:%d", i % 5);
        (void)call(argument, line, text);
    }
    return NULL;
}

static void come_and_go(struct kevyrt_server *server) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, server), 0);
    for (int i = 0; i < 60; i++) {
        int fd = wire_open(server);
        assert_answers(fd, "MONITOR\r\n", "+OK\r\n");
        if (i % 3 == 0) wire_say(fd, "RESET\r\nPING\r\n");
        if (i % 3 == 1) sleep_ms(1);
        close(fd);
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    await_shut_gate(server);
}

static void test_come_and_go(void **state) {
    (void)state;
    for_each_variant(come_and_go);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_lines), cmocka_unit_test(test_refused_entries),
        cmocka_unit_test(test_fast_calls),    cmocka_unit_test(test_stops),
        cmocka_unit_test(test_come_and_go),
    };
    return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
