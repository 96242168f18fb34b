/* Connections to a whole server: adopted socket pairs, cut at any point, slow, greedy and many. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hash.h"
#include "kevyrt/servers.h"

#define PIPELINE                                                                      \
    "SET a 1\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$5\r\nhello\r\nGET a\r\nMGET a b c\r\n" \
    "MSET a 2 b 3 c 4\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\nDEL a b c\r\nDBSIZE\r\nPING\r\n"
#define PIPELINE_REPLY                                                                         \
    "+OK\r\n+OK\r\n$1\r\n1\r\n*3\r\n$1\r\n1\r\n$5\r\nhello\r\n$-1\r\n+OK\r\n$1\r\n3\r\n:3\r\n" \
    ":0\r\n+PONG\r\n"

/* ---- Answers ------------------------------------------------------------------------------------ */

static void answer_a_pipeline(struct kevyrt_server *server) {
    int fd = wire_open(server);
    for (int i = 0; i < 20; i++) assert_answers(fd, PIPELINE, PIPELINE_REPLY);
    close(fd);
    server_await_connections(server, 0);
}

static void test_a_pipeline(void **state) {
    (void)state;
    for_each_variant(answer_a_pipeline);
}

static void answer_single_bytes(struct kevyrt_server *server) {
    int fd = wire_open(server);
    char reply[sizeof PIPELINE_REPLY];
    for (size_t i = 0; i < strlen(PIPELINE); i++) wire_send(fd, &PIPELINE[i], 1);
    assert_true(wire_receive(fd, reply, strlen(PIPELINE_REPLY)));
    assert_memory_equal(reply, PIPELINE_REPLY, strlen(PIPELINE_REPLY));
    close(fd);
}

static void test_single_bytes(void **state) {
    (void)state;
    for_each_variant(answer_single_bytes);
}

/* Requests while the peer has shut down its sending half are answered, then the end comes. */
static void answer_the_last_words(struct kevyrt_server *server) {
    int fd = wire_open(server);
    wire_say(fd, PIPELINE);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    char reply[sizeof PIPELINE_REPLY];
    assert_true(wire_receive(fd, reply, strlen(PIPELINE_REPLY)));
    assert_memory_equal(reply, PIPELINE_REPLY, strlen(PIPELINE_REPLY));
    assert_false(wire_receive(fd, reply, 1));
    close(fd);
    server_await_connections(server, 0);
}

static void test_the_last_words_are_answered(void **state) {
    (void)state;
    for_each_variant(answer_the_last_words);
}

/* ---- Large values ------------------------------------------------------------------------------- */

enum { LARGE = 1 << 20, LARGE_ROUNDS = 8 };

struct sender {
    pthread_t thread;
    int fd;
    char *value;
};

static void *send_large(void *argument) {
    struct sender *sender = argument;
    char head[64];
    for (int i = 0; i < LARGE_ROUNDS; i++) {
        int len =
            snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$5\r\nkey:%d\r\n$%d\r\n", i % 4, LARGE);
        wire_send(sender->fd, head, (size_t)len);
        wire_send(sender->fd, sender->value, LARGE);
        len = snprintf(head, sizeof head, "\r\nGET key:%d\r\n", i % 4);
        wire_send(sender->fd, head, (size_t)len);
    }
    return NULL;
}

static void echo_large_values(struct kevyrt_server *server) {
    struct sender sender = {.fd = wire_open(server), .value = malloc(LARGE)};
    char *reply = malloc(LARGE), head[32], expected[32];
    int len = snprintf(expected, sizeof expected, "+OK\r\n$%d\r\n", LARGE);
    assert_non_null(sender.value);
    assert_non_null(reply);
    for (size_t i = 0; i < LARGE; i++) sender.value[i] = (char)(i * 2654435761u >> 13);
    assert_int_equal(pthread_create(&sender.thread, NULL, send_large, &sender), 0);
    for (int i = 0; i < LARGE_ROUNDS; i++) {
        assert_true(wire_receive(sender.fd, head, (size_t)len));
        assert_memory_equal(head, expected, (size_t)len);
        assert_true(wire_receive(sender.fd, reply, LARGE));
        assert_memory_equal(reply, sender.value, LARGE);
        assert_true(wire_receive(sender.fd, head, 2));
    }
    assert_int_equal(pthread_join(sender.thread, NULL), 0);
    close(sender.fd);
    free(sender.value);
    free(reply);
}

static void test_large_values(void **state) {
    (void)state;
    for_each_variant(echo_large_values);
}

/* ---- Ends --------------------------------------------------------------------------------------- */

/* The peer goes after any byte of its requests, with and without having read. */
static void cut_anywhere(struct kevyrt_server *server) {
    char some[64];
    int witness = wire_open(server);
    for (size_t len = 0; len <= strlen(PIPELINE); len++) {
        int fd = wire_open(server);
        wire_send(fd, PIPELINE, len);
        if (len % 3 == 1) (void)recv(fd, some, len % 7 + 1, MSG_DONTWAIT);
        close(fd);
        if (len % 16 == 0) assert_answers(witness, "PING\r\n", "+PONG\r\n");
    }
    server_await_connections(server, 1);
    close(witness);
    server_await_connections(server, 0);
}

static void test_peers_vanish_at_any_byte(void **state) {
    (void)state;
    for_each_variant(cut_anywhere);
}

/* Values and replies are on their way in both directions when the peer goes. */
static void cut_large_transfers(struct kevyrt_server *server) {
    struct random_state random;
    char *value = calloc(1, LARGE);
    assert_non_null(value);
    random_seed(&random, 5);
    assert_int_equal(
        kevyrt_set(server, 0, bytes_of("large", 5), bytes_of(value, LARGE), KEVYRT_WAIT, NULL),
        KEVYRT_OK);
    for (int i = 0; i < 24; i++) {
        int fd = wire_open(server);
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        wire_say(fd, "GET large\r\nGET large\r\n*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1048576\r\n");
        (void)send(fd, value, random_below(&random, LARGE), MSG_NOSIGNAL);
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        (void)poll(&poller, 1, (int)random_below(&random, 3));
        (void)recv(fd, value, random_below(&random, 100000) + 1, 0);
        memset(value, 0, LARGE);
        close(fd);
    }
    server_await_connections(server, 0);
    assert_call(server, "EXISTS x", ":0\r\n");
    free(value);
}

static void test_peers_vanish_in_large_transfers(void **state) {
    (void)state;
    for_each_variant(cut_large_transfers);
}

static void end_by_command(struct kevyrt_server *server) {
    int fd = wire_open(server);
    assert_answers(fd, "SET k v\r\nQUIT\r\nSET k w\r\n", "+OK\r\n+OK\r\n");
    wire_drain(fd);
    close(fd);
    fd = wire_open(server);
    assert_answers(fd, "GET k\r\n*2\r\n$x\r\n",
                   "$1\r\nv\r\n-ERR Protocol error: invalid bulk length\r\n");
    wire_drain(fd);
    close(fd);
    server_await_connections(server, 0);
}

static void test_quit_and_protocol_errors(void **state) {
    (void)state;
    for_each_variant(end_by_command);
}

/* ---- Many --------------------------------------------------------------------------------------- */

enum { CLIENTS = 4, CLIENT_ROUNDS = 40 };

struct client_thread {
    pthread_t thread;
    struct kevyrt_server *server;
    int index;
    const char *trouble;
};

static const char *ask_and_compare(int fd, const char *request, const char *expected) {
    char reply[256];
    size_t len = strlen(expected);
    wire_say(fd, request);
    if (!wire_receive(fd, reply, len)) return "the connection ended";
    return memcmp(reply, expected, len) == 0 ? NULL : "another answer";
}

/* Keys of its own on all shards, and a connection that is given up with requests under way now and then.
 * What these still do may come after what the next connection does, hence keys of each connection's own. */
static void *be_a_client(void *argument) {
    struct client_thread *client = argument;
    int fd = wire_open(client->server);
    char key[32], request[256], expected[128];
    for (int i = 0; i < CLIENT_ROUNDS && !client->trouble; i++) {
        (void)snprintf(key, sizeof key, "c%d:%d", client->index, i / 10);
        (void)snprintf(request, sizeof request,
                       "SET %1$s:a %2$d\r\nSET %1$s:b %2$d\r\nMGET %1$s:a %1$s:b\r\nDEL %1$s:c\r\n",
                       key, i + 1000);
        (void)snprintf(expected, sizeof expected,
                       "+OK\r\n+OK\r\n*2\r\n$4\r\n%1$d\r\n$4\r\n%1$d\r\n:0\r\n", i + 1000);
        if (i % 10 == 9) {
            wire_say(fd, request);
            close(fd);
            fd = wire_open(client->server);
        } else {
            client->trouble = ask_and_compare(fd, request, expected);
        }
    }
    close(fd);
    return NULL;
}

static void serve_many(struct kevyrt_server *server) {
    struct client_thread clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client_thread){.server = server, .index = i};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, be_a_client, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) assert_int_equal(pthread_join(clients[i].thread, NULL), 0);
    for (int i = 0; i < CLIENTS; i++)
        if (clients[i].trouble) fail_msg("client %d: %s", i, clients[i].trouble);
    server_await_connections(server, 0);
}

static void test_many_clients(void **state) {
    (void)state;
    for_each_variant(serve_many);
}

static void keep_idle_connections(struct kevyrt_server *server) {
    enum { IDLE = 200 };
    int fds[IDLE];
    for (int i = 0; i < IDLE; i++) fds[i] = wire_open(server);
    server_await_connections(server, IDLE);
    for (int i = 0; i < IDLE; i += 7) assert_answers(fds[i], "PING\r\n", "+PONG\r\n");
    for (int i = 0; i < IDLE; i++) close(fds[i]);
    server_await_connections(server, 0);
}

static void test_idle_connections(void **state) {
    (void)state;
    for_each_variant(keep_idle_connections);
}

/* ---- Other ways in ------------------------------------------------------------------------------- */

static void serve_a_pair_of_its_own(struct kevyrt_server *server) {
    struct kevyrt_error error = {0};
    int fd = -1;
    assert_int_equal(kevyrt_server_connect(server, &fd, &error), KEVYRT_OK);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_answers(fd, PIPELINE, PIPELINE_REPLY);
    close(fd);
    server_await_connections(server, 0);
    kevyrt_server_stop(server);
    assert_int_equal(kevyrt_server_connect(server, &fd, &error), KEVYRT_STOPPED);
}

static void test_a_pair_of_its_own(void **state) {
    (void)state;
    for_each_variant(serve_a_pair_of_its_own);
}

static int knock(const char *path) {
    struct timeval patience = {.tv_sec = 30};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

/* CONFIG SET moves the other listeners about, and leaves the door alone; a stop removes it, and the next one is another. */
static void serve_at_the_door(struct kevyrt_server *server) {
    struct kevyrt_error error = {0};
    char path[KEVYRT_DOOR_PATH_MAX], again[KEVYRT_DOOR_PATH_MAX];
    assert_int_equal(kevyrt_server_open_door(server, "/tmp", path, &error), KEVYRT_OK);
    assert_int_equal(kevyrt_server_open_door(server, "/nowhere", again, &error), KEVYRT_OK);
    assert_string_equal(path, again);
    int first = knock(path);
    assert_answers(first, PIPELINE, PIPELINE_REPLY);
    assert_call(server, "CONFIG SET port 0", "+OK\r\n");
    int second = knock(path);
    assert_answers(second, PIPELINE, PIPELINE_REPLY);
    close(first);
    close(second);
    kevyrt_server_stop(server);
    assert_int_equal(knock(path), -1);
    *strrchr(path, '/') = 0;
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(kevyrt_server_open_door(server, "/tmp", path, &error), KEVYRT_STOPPED);
    assert_int_equal(kevyrt_server_start(server, &error), KEVYRT_OK);
    assert_int_equal(kevyrt_server_open_door(server, "/nowhere", path, &error), KEVYRT_SYSTEM);
    assert_int_equal(error.number, ENOENT);
    assert_int_equal(kevyrt_server_open_door(server, "/tmp", path, &error), KEVYRT_OK);
    assert_string_not_equal(path, again);
}

static void test_the_door(void **state) {
    (void)state;
    for_each_variant(serve_at_the_door);
}

/* A stop that comes before shard 0 has seen the door closes it all the same. */
static void open_and_stop(struct kevyrt_server *server) {
    struct kevyrt_error error = {0};
    char path[KEVYRT_DOOR_PATH_MAX];
    for (int i = 0; i < 20; i++) {
        assert_int_equal(kevyrt_server_open_door(server, "/tmp", path, &error), KEVYRT_OK);
        kevyrt_server_stop(server);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(kevyrt_server_start(server, &error), KEVYRT_OK);
    }
}

static void test_doors_that_are_hardly_open(void **state) {
    (void)state;
    for_each_variant(open_and_stop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pipeline),
        cmocka_unit_test(test_single_bytes),
        cmocka_unit_test(test_the_last_words_are_answered),
        cmocka_unit_test(test_large_values),
        cmocka_unit_test(test_peers_vanish_at_any_byte),
        cmocka_unit_test(test_peers_vanish_in_large_transfers),
        cmocka_unit_test(test_quit_and_protocol_errors),
        cmocka_unit_test(test_many_clients),
        cmocka_unit_test(test_idle_connections),
        cmocka_unit_test(test_a_pair_of_its_own),
        cmocka_unit_test(test_the_door),
        cmocka_unit_test(test_doors_that_are_hardly_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
