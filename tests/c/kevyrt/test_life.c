/* Start, stop, and several servers in one process. */
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kevyrt/servers.h"

static int open_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    assert_non_null(folder);
    while (readdir(folder)) count++;
    (void)closedir(folder);
    return count;
}

static void start_and_stop(const struct variant *variant) {
    struct kevyrt_server *server = server_new(variant);
    kevyrt_server_stop(server); /* of what was never started */
    server_start(server);
    assert_call(server, "SET k v", "+OK\r\n");
    int descriptors = open_descriptors();
    for (int i = 0; i < 10; i++) {
        kevyrt_server_stop(server);
        kevyrt_server_stop(server);
        char reply[REPLY_MAX];
        assert_int_equal(call(server, "PING", reply), KEVYRT_STOPPED);
        server_start(server);
        assert_call(server, "DBSIZE", ":0\r\n");
        assert_call(server, "SET k v", "+OK\r\n");
    }
    assert_int_equal(open_descriptors(), descriptors);
    server_close(server);
}

static void test_start_and_stop_often(void **state) {
    (void)state;
    for_each_setting(start_and_stop);
}

static void make_and_unmake(const struct variant *variant) {
    int descriptors = open_descriptors();
    for (int i = 0; i < 10; i++) server_close(server_open(variant));
    assert_int_equal(open_descriptors(), descriptors);
}

static void test_nothing_is_left_behind(void **state) {
    (void)state;
    for_each_setting(make_and_unmake);
}

/* The last reference stops a running server. */
static void put_while_running(const struct variant *variant) {
    struct kevyrt_server *server = server_open(variant);
    int fd = wire_open(server);
    assert_answers(fd, "PING\r\n", "+PONG\r\n");
    kevyrt_server_get(server);
    kevyrt_server_put(server);
    assert_answers(fd, "PING\r\n", "+PONG\r\n");
    kevyrt_server_put(server);
    wire_drain(fd);
    close(fd);
}

static void test_the_last_reference_stops(void **state) {
    (void)state;
    for_each_setting(put_while_running);
}

/* Connections in every state: idle, within a request, with replies that nobody reads. */
static void stop_under_connections(const struct variant *variant) {
    struct kevyrt_server *server = server_open(variant);
    char *value = calloc(1, 1 << 20);
    int fds[12];
    assert_non_null(value);
    assert_int_equal(
        kevyrt_set(server, 0, bytes_of("large", 5), bytes_of(value, 1 << 20), KEVYRT_WAIT, NULL),
        KEVYRT_OK);
    for (int i = 0; i < 12; i++) fds[i] = wire_open(server);
    for (int i = 0; i < 12; i += 3) {
        wire_say(fds[i], "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nxxx");
        wire_say(fds[i + 1], "GET large\r\nGET large\r\nGET large\r\n");
    }
    server_await_connections(server, 12);
    kevyrt_server_stop(server);
    for (int i = 0; i < 12; i++) {
        wire_drain(fds[i]);
        close(fds[i]);
    }
    kevyrt_server_put(server);
    free(value);
}

static void test_stop_ends_every_connection(void **state) {
    (void)state;
    for_each_setting(stop_under_connections);
}

/* ---- Traffic until the end ---------------------------------------------------------------------- */

static void *talk_until_the_end(void *argument) {
    int fd = *(int *)argument;
    char reply[4096];
    static const char requests[] = "MSET a 1 b 2 c 3\r\nMGET a b c\r\nINCR n\r\n";
    while (send(fd, requests, sizeof requests - 1, MSG_NOSIGNAL) > 0)
        if (recv(fd, reply, sizeof reply, 0) <= 0) break;
    return NULL;
}

static void stop_under_traffic(const struct variant *variant) {
    enum { TALKERS = 3 };
    struct timespec pause = {.tv_nsec = 4000000};
    struct kevyrt_server *server = server_open(variant);
    pthread_t threads[TALKERS];
    int fds[TALKERS];
    for (int i = 0; i < TALKERS; i++) {
        fds[i] = wire_open(server);
        assert_int_equal(pthread_create(&threads[i], NULL, talk_until_the_end, &fds[i]), 0);
    }
    (void)nanosleep(&pause, NULL);
    kevyrt_server_stop(server);
    for (int i = 0; i < TALKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        close(fds[i]);
    }
    kevyrt_server_put(server);
}

static void test_stop_under_traffic(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) for_each_setting(stop_under_traffic);
}

/* ---- Several ------------------------------------------------------------------------------------ */

static void *stop_it(void *server) {
    kevyrt_server_stop(server);
    return NULL;
}

static void stop_from_several_threads(const struct variant *variant) {
    struct kevyrt_server *server = server_open(variant);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stop_it, server), 0);
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_false(kevyrt_server_running(server));
    kevyrt_server_put(server);
}

static void test_stop_from_several_threads(void **state) {
    (void)state;
    for_each_setting(stop_from_several_threads);
}

static void keep_apart(const struct variant *variant) {
    struct kevyrt_server *servers[3];
    char expected[] = "$1\r\n0\r\n";
    for (int i = 0; i < 3; i++) {
        char line[] = "SET k 0";
        servers[i] = server_open(variant);
        line[6] = (char)('0' + i);
        assert_call(servers[i], line, "+OK\r\n");
    }
    for (int i = 0; i < 3; i++) {
        expected[4] = (char)('0' + i);
        assert_call(servers[i], "GET k", expected);
    }
    server_close(servers[1]);
    expected[4] = '2';
    assert_call(servers[2], "GET k", expected);
    server_close(servers[0]);
    server_close(servers[2]);
}

static void test_several_servers(void **state) {
    (void)state;
    for_each_setting(keep_apart);
}

/* SHUTDOWN ends the server, not the process. */
static void shut_down(const struct variant *variant) {
    struct kevyrt_server *server = server_open(variant);
    int fd = wire_open(server);
    wire_say(fd, "SHUTDOWN NOSAVE\r\n");
    uint64_t deadline_ns = kevyrt_now_ns() + UINT64_C(20000000000);
    enum kevyrt_status status;
    do status = kevyrt_server_wait(server, deadline_ns);
    while (status == KEVYRT_OK && kevyrt_server_running(server));
    assert_int_not_equal(status, KEVYRT_TIMEOUT);
    kevyrt_server_stop(server);
    wire_drain(fd);
    close(fd);
    server_start(server);
    assert_call(server, "PING", "+PONG\r\n");
    server_close(server);
}

static void test_shutdown_ends_the_server_alone(void **state) {
    (void)state;
    for_each_setting(shut_down);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_and_stop_often),
        cmocka_unit_test(test_nothing_is_left_behind),
        cmocka_unit_test(test_the_last_reference_stops),
        cmocka_unit_test(test_stop_ends_every_connection),
        cmocka_unit_test(test_stop_under_traffic),
        cmocka_unit_test(test_stop_from_several_threads),
        cmocka_unit_test(test_several_servers),
        cmocka_unit_test(test_shutdown_ends_the_server_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
