/* Commands from several threads at once: in-process callers, sessions, and connections beside them. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kevyrt/servers.h"

enum { CREW = 4, ROUNDS = 300 };

struct worker {
    struct kevyrt_server *server;
    pthread_t thread;
    uint32_t index;
    uint64_t done;
};

static void crew_start(struct kevyrt_server *server, struct worker *crew, uint32_t count,
                       void *(*work)(void *)) {
    for (uint32_t i = 0; i < count; i++) {
        crew[i] = (struct worker){.server = server, .index = i};
        assert_int_equal(pthread_create(&crew[i].thread, NULL, work, &crew[i]), 0);
    }
}

/* A worker that failed an assertion would end its thread alone, so workers return what went wrong. */
static void crew_join(struct worker *crew, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        void *trouble;
        assert_int_equal(pthread_join(crew[i].thread, &trouble), 0);
        if (trouble) fail_msg("worker %u: %s", i, (char *)trouble);
    }
}

/* ---- Counting ----------------------------------------------------------------------------------- */

static void *count_up(void *argument) {
    struct worker *worker = argument;
    char reply[REPLY_MAX];
    for (int i = 0; i < ROUNDS; i++) {
        if (call(worker->server, "INCR shared", reply) != KEVYRT_OK || reply[0] != ':')
            return "INCR failed";
        if (call(worker->server, i % 2 ? "INCRBY left 3" : "INCRBY right 5", reply) != KEVYRT_OK)
            return "INCRBY failed";
    }
    return NULL;
}

static void count_everything(struct kevyrt_server *server) {
    struct worker crew[CREW];
    char expected[64];
    crew_start(server, crew, CREW, count_up);
    crew_join(crew, CREW);
    (void)snprintf(expected, sizeof expected, "$4\r\n%d\r\n", CREW * ROUNDS);
    assert_call(server, "GET shared", expected);
    (void)snprintf(expected, sizeof expected, "$4\r\n%d\r\n", CREW * ROUNDS / 2 * 3);
    assert_call(server, "GET left", expected);
    (void)snprintf(expected, sizeof expected, "$4\r\n%d\r\n", CREW * ROUNDS / 2 * 5);
    assert_call(server, "GET right", expected);
}

static void test_no_increment_is_lost(void **state) {
    (void)state;
    for_each_variant(count_everything);
}

/* ---- The fast path beside the general one ------------------------------------------------------- */

/* Values of one letter: a reader that saw half of another would notice. Small, copied and counted ones. */
static const uint32_t lengths[] = {1, 60, 1500, 20000};

static bool is_of_one_letter(const char *at, uint32_t len) {
    for (uint32_t i = 1; i < len; i++)
        if (at[i] != at[0]) return false;
    return true;
}

static const char *read_value(struct kevyrt_server *server, struct bytes key) {
    struct kevyrt_value value;
    if (kevyrt_get(server, 0, key, KEVYRT_WAIT, &value) != KEVYRT_OK) return "get failed";
    bool good = value.found == KEVYRT_MISSING || is_of_one_letter(value.at, value.len);
    kevyrt_value_put(&value);
    return good ? NULL : "a torn value";
}

static void *set_and_get(void *argument) {
    static const char keys[] = "abcdefgh";
    static _Thread_local char text[20000];
    struct worker *worker = argument;
    const char *trouble = NULL;
    for (uint32_t i = 0; i < ROUNDS && !trouble; i++) {
        uint32_t len = lengths[(i / 8) % 4];
        struct bytes key = bytes_of(&keys[i % 8], 1);
        memset(text, 'a' + (int)(i % 20), len);
        struct bytes value = bytes_of(text, len);
        if (kevyrt_set(worker->server, 0, key, value, KEVYRT_WAIT, NULL) != KEVYRT_OK)
            trouble = "set failed";
        else trouble = read_value(worker->server, bytes_of(&keys[i * 5 % 8], 1));
    }
    return (void *)(uintptr_t)trouble;
}

static void set_and_get_on_all(struct kevyrt_server *server) {
    struct worker crew[CREW];
    crew_start(server, crew, CREW, set_and_get);
    crew_join(crew, CREW);
    assert_call(server, "DBSIZE", ":8\r\n");
}

static void test_values_are_whole(void **state) {
    (void)state;
    for_each_variant(set_and_get_on_all);
}

static void keep_a_value(struct kevyrt_server *server) {
    static char text[50000];
    struct kevyrt_value value;
    struct bytes key = bytes_of("k", 1);
    memset(text, 'x', sizeof text);
    assert_int_equal(kevyrt_set(server, 0, key, bytes_of(text, sizeof text), KEVYRT_WAIT, NULL),
                     KEVYRT_OK);
    assert_int_equal(kevyrt_get(server, 0, key, KEVYRT_WAIT, &value), KEVYRT_OK);
    assert_int_equal(value.found, KEVYRT_LARGE);
    assert_call(server, "SET k short", "+OK\r\n");
    assert_call(server, "FLUSHALL", "+OK\r\n");
    assert_int_equal(value.len, sizeof text);
    assert_memory_equal(value.at, text, sizeof text);
    kevyrt_value_put(&value);
}

static void test_a_value_outlives_its_key(void **state) {
    (void)state;
    for_each_variant(keep_a_value);
}

/* ---- Several keys are one ----------------------------------------------------------------------- */

/* Written together, on whatever shards: nobody may ever see two of them differ. */
#define PAIRS "MSET ka %1$d kb %1$d kc %1$d kd %1$d ke %1$d kf %1$d kg %1$d kh %1$d"
#define KEYS "MGET ka kb kc kd ke kf kg kh"
enum { TOGETHER = 8 };

static bool all_equal(const char *reply) {
    int first, value, used;
    char text[64];
    const char *at = reply;
    if (sscanf(at, "*8%n", &used) != 0) return false;
    at = strchr(at, '\n') + 1;
    for (int i = 0; i < TOGETHER; i++, at += used) {
        if (sscanf(at, "$%*d\r\n%63[0-9]\r\n%n", text, &used) != 1) return false;
        (void)sscanf(text, "%d", &value);
        if (i == 0) first = value;
        if (value != first) return false;
    }
    return true;
}

static void *write_together(void *argument) {
    struct worker *worker = argument;
    char line[256], reply[REPLY_MAX];
    for (int i = 0; i < ROUNDS; i++) {
        (void)snprintf(line, sizeof line, PAIRS, (int)worker->index * 100000 + i);
        if (call(worker->server, line, reply) != KEVYRT_OK || strcmp(reply, "+OK\r\n") != 0)
            return "MSET failed";
    }
    return NULL;
}

static void *read_together(void *argument) {
    struct worker *worker = argument;
    char reply[REPLY_MAX];
    for (int i = 0; i < ROUNDS; i++) {
        if (call(worker->server, KEYS, reply) != KEVYRT_OK) return "MGET failed";
        if (!all_equal(reply)) return "half of an MSET was seen";
    }
    return NULL;
}

/* The same over a connection, request by request. */
static void *connect_and_read_together(void *argument) {
    struct worker *worker = argument;
    char reply[REPLY_MAX];
    int fd = wire_open(worker->server);
    const char *trouble = NULL;
    for (int i = 0; i < ROUNDS / 4 && !trouble; i++) {
        size_t len = 0;
        wire_say(fd, KEYS "\r\n");
        for (int lines = 0; lines < 1 + 2 * TOGETHER && len + 1 < sizeof reply; len++) {
            if (!wire_receive(fd, reply + len, 1)) return "the connection ended";
            lines += reply[len] == '\n';
        }
        reply[len] = '\0';
        if (!all_equal(reply)) trouble = "half of an MSET was seen on the wire";
    }
    close(fd);
    return (void *)(uintptr_t)trouble;
}

static void several_keys_are_one(struct kevyrt_server *server) {
    struct worker writers[2], readers[2], remote[1];
    char line[256];
    (void)snprintf(line, sizeof line, PAIRS, 0);
    assert_call(server, line, "+OK\r\n");
    crew_start(server, writers, 2, write_together);
    crew_start(server, readers, 2, read_together);
    crew_start(server, remote, 1, connect_and_read_together);
    crew_join(writers, 2);
    crew_join(readers, 2);
    crew_join(remote, 1);
}

static void test_mset_is_seen_whole(void **state) {
    (void)state;
    assert_true(all_equal("*8\r\n$1\r\n7\r\n$1\r\n7\r\n$1\r\n7\r\n$1\r\n7\r\n"
                          "$1\r\n7\r\n$1\r\n7\r\n$1\r\n7\r\n$1\r\n7\r\n"));
    assert_false(all_equal("*8\r\n$1\r\n7\r\n$1\r\n7\r\n$1\r\n7\r\n$1\r\n8\r\n"
                           "$1\r\n7\r\n$1\r\n7\r\n$1\r\n7\r\n$1\r\n7\r\n"));
    for_each_variant(several_keys_are_one);
}

/* ---- Long replies ------------------------------------------------------------------------------- */

/* Around the room that a reply has with the caller: in it, over its end, behind it. */
static void echo_all_lengths(struct kevyrt_server *server) {
    enum { ROOM = sizeof((struct kevyrt_reply *)NULL)->room };
    static char text[3 * ROOM];
    for (uint32_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i % 26);
    for (uint32_t len = ROOM - 80; len < ROOM + 20; len++) {
        struct bytes argv[] = {BYTES_LITERAL("MGET"), BYTES_LITERAL("a"), BYTES_LITERAL("b"),
                               BYTES_LITERAL("none")};
        struct bytes sets[] = {BYTES_LITERAL("MSET"), BYTES_LITERAL("a"), bytes_of(text, len / 2),
                               BYTES_LITERAL("b"), bytes_of(text + len / 2, len - len / 2)};
        struct kevyrt_reply reply;
        char expected[2 * ROOM];
        assert_int_equal(kevyrt_call(server, NULL, 0, sets, 5, KEVYRT_WAIT, &reply), KEVYRT_OK);
        kevyrt_reply_free(&reply);
        assert_int_equal(kevyrt_call(server, NULL, 0, argv, 4, KEVYRT_WAIT, &reply), KEVYRT_OK);
        int count = snprintf(expected, sizeof expected, "*3\r\n$%u\r\n%.*s\r\n$%u\r\n%.*s\r\n_\r\n",
                             len / 2, (int)(len / 2), text, len - len / 2, (int)(len - len / 2),
                             text + len / 2);
        assert_int_equal(reply.len, count);
        assert_memory_equal(reply.at, expected, reply.len);
        kevyrt_reply_free(&reply);
    }
}

static void test_long_replies(void **state) {
    (void)state;
    for_each_variant(echo_all_lengths);
}

/* ---- Sessions ----------------------------------------------------------------------------------- */

static enum kevyrt_status session_call(struct kevyrt_server *server, struct kevyrt_session *session,
                                       const char *first, const char *second, char out[REPLY_MAX]) {
    struct bytes argv[] = {bytes_of(first, strlen(first)), bytes_of(second, strlen(second))};
    struct kevyrt_reply reply;
    enum kevyrt_status status = kevyrt_call(server, session, 0, argv, 2, KEVYRT_WAIT, &reply);
    if (status == KEVYRT_OK) {
        (void)snprintf(out, REPLY_MAX, "%.*s", (int)reply.len, reply.at);
        kevyrt_reply_free(&reply);
    }
    return status;
}

static void *use_a_session(void *argument) {
    struct worker *worker = argument;
    struct kevyrt_session *session = kevyrt_session_new(worker->server);
    char reply[REPLY_MAX], db[8], expected[16];
    const char *trouble = session ? NULL : "no session";
    (void)snprintf(db, sizeof db, "%u", worker->index + 1);
    if (!trouble && session_call(worker->server, session, "SELECT", db, reply) != KEVYRT_OK)
        trouble = "SELECT failed";
    for (int i = 1; i <= ROUNDS / 4 && !trouble; i++) {
        (void)snprintf(expected, sizeof expected, ":%d\r\n", i);
        if (session_call(worker->server, session, "INCR", "n", reply) != KEVYRT_OK ||
            strcmp(reply, expected) != 0)
            trouble = "another session's database";
    }
    kevyrt_session_put(session);
    return (void *)(uintptr_t)trouble;
}

static void use_sessions(struct kevyrt_server *server) {
    struct worker crew[CREW];
    crew_start(server, crew, CREW, use_a_session);
    crew_join(crew, CREW);
    assert_call(server, "DBSIZE", ":0\r\n");
}

static void test_sessions_have_databases_of_their_own(void **state) {
    (void)state;
    for_each_variant(use_sessions);
}

/* ---- Channels ------------------------------------------------------------------------------------- */

#define SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
#define MESSAGE "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\nbody\r\n"

/* From in the process messages can be sent, but there is nowhere to send them to. */
static void publish_from_within(struct kevyrt_server *server) {
    char reply[REPLY_MAX];
    int listeners[4];
    struct kevyrt_session *session = kevyrt_session_new(server);
    assert_non_null(session);
    for (int i = 0; i < 4; i++) {
        listeners[i] = wire_open(server);
        assert_answers(listeners[i], "SUBSCRIBE c\r\n", SUBSCRIBED);
    }
    assert_call(server, "PUBLISH c body", ":4\r\n");
    for (int i = 0; i < 4; i++) {
        char got[sizeof MESSAGE] = "";
        assert_true(wire_receive(listeners[i], got, strlen(MESSAGE)));
        assert_string_equal(got, MESSAGE);
    }
    assert_int_equal(call(server, "SUBSCRIBE c", reply), KEVYRT_OK);
    assert_string_equal(reply, "-ERR 'subscribe' needs a connection to the server's socket\r\n");
    assert_int_equal(session_call(server, session, "SUBSCRIBE", "c", reply), KEVYRT_OK);
    assert_string_equal(reply, "-ERR 'subscribe' needs a connection to the server's socket\r\n");
    for (int i = 0; i < 4; i++) close(listeners[i]);
    kevyrt_session_put(session);
    server_await_connections(server, 0);
    assert_call(server, "PUBLISH c body", ":0\r\n");
}

static void test_publishing_from_within(void **state) {
    (void)state;
    for_each_variant(publish_from_within);
}

/* ---- Time ---------------------------------------------------------------------------------------- */

static void await_empty(struct kevyrt_server *server) {
    struct timespec pause = {.tv_nsec = 5000000};
    char reply[REPLY_MAX];
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(call(server, "DBSIZE", reply), KEVYRT_OK);
        if (strcmp(reply, ":0\r\n") == 0) return;
        (void)nanosleep(&pause, NULL);
    }
    fail_msg("keys whose time has come are still there: %s", reply);
}

/* The shard threads sleep and have no connection: callers alone make and unmake deadlines, so fast that a
 * thread that is woken for one may find it gone. The next one must wake it again. */
static void expire_untouched(struct kevyrt_server *server) {
    char line[64], reply[REPLY_MAX];
    for (int i = 0; i < 64; i++) {
        (void)snprintf(line, sizeof line, "SET k:%d v PX 100000", i);
        assert_call(server, line, "+OK\r\n");
        (void)snprintf(line, sizeof line, "DEL k:%d", i);
        assert_call(server, line, ":1\r\n");
    }
    for (int i = 0; i < 64; i++) {
        (void)snprintf(line, sizeof line, "SET k:%d v PX 20", i);
        assert_int_equal(call(server, line, reply), KEVYRT_OK);
    }
    await_empty(server);
}

static void test_deadlines_wake_who_sleeps(void **state) {
    (void)state;
    for_each_variant(expire_untouched);
}

/* ---- Callers and the end ------------------------------------------------------------------------ */

static void *call_until_stopped(void *argument) {
    struct worker *worker = argument;
    char reply[REPLY_MAX];
    static const char *const lines[] = {"INCR n", "MGET a b c d", "MSET a 1 b 2 c 3 d 4",
                                        "FLUSHALL", "DBSIZE"};
    for (;; worker->done++) {
        enum kevyrt_status status = call(worker->server, lines[worker->done % 5], reply);
        if (status == KEVYRT_STOPPED) return NULL;
        if (status != KEVYRT_OK) return "neither done nor stopped";
    }
}

static void stop_under_callers(const struct variant *variant) {
    struct timespec pause = {.tv_nsec = 5000000};
    char reply[REPLY_MAX];
    struct worker crew[CREW];
    struct kevyrt_server *server = server_open(variant);
    crew_start(server, crew, CREW, call_until_stopped);
    (void)nanosleep(&pause, NULL);
    kevyrt_server_stop(server);
    crew_join(crew, CREW);
    assert_int_equal(call(server, "PING", reply), KEVYRT_STOPPED);
    kevyrt_server_put(server);
}

static void test_stop_ends_every_caller(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) for_each_setting(stop_under_callers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_increment_is_lost),
        cmocka_unit_test(test_values_are_whole),
        cmocka_unit_test(test_a_value_outlives_its_key),
        cmocka_unit_test(test_mset_is_seen_whole),
        cmocka_unit_test(test_long_replies),
        cmocka_unit_test(test_sessions_have_databases_of_their_own),
        cmocka_unit_test(test_publishing_from_within),
        cmocka_unit_test(test_deadlines_wake_who_sleeps),
        cmocka_unit_test(test_stop_ends_every_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
