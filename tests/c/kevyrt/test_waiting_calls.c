/* Commands that wait for data, in process: how they are answered, give up, and end with the server. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "kevyrt/servers.h"

enum { WORDS = 16, QUEUE = 6, SECOND_MS = 1000 };

static uint64_t in_ms(uint64_t ms) {
    return kevyrt_now_ns() + ms * 1000000;
}

static enum kevyrt_status ask(struct kevyrt_server *server, struct kevyrt_session *session,
                              const char *line, enum kevyrt_wait wait, struct kevyrt_reply *reply) {
    char text[REPLY_MAX], *rest;
    struct bytes argv[WORDS];
    uint32_t argc = 0;
    (void)snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = bytes_of(word, strlen(word));
    return kevyrt_call(server, session, 0, argv, argc, wait, reply);
}

static struct kevyrt_waiting *block(struct kevyrt_server *server, const char *line) {
    struct kevyrt_reply reply;
    enum kevyrt_status status = ask(server, NULL, line, KEVYRT_TRY, &reply);
    if (status == KEVYRT_WOULD_WAIT) status = ask(server, NULL, line, KEVYRT_WAIT, &reply);
    assert_int_equal(status, KEVYRT_BLOCKED);
    return reply.waiting;
}

static void assert_reply(struct kevyrt_reply *reply, const char *expected) {
    assert_int_equal(reply->len, strlen(expected));
    assert_memory_equal(reply->at, expected, reply->len);
    kevyrt_reply_free(reply);
}

/* It is answered, soon. */
static void assert_answered(struct kevyrt_waiting *waiting, const char *expected) {
    struct kevyrt_reply reply;
    assert_int_equal(kevyrt_waiting_wait(waiting, in_ms(SECOND_MS), &reply), KEVYRT_OK);
    assert_reply(&reply, expected);
    kevyrt_waiting_put(waiting);
}

static void assert_waits(struct kevyrt_waiting *waiting) {
    struct kevyrt_reply reply;
    assert_int_equal(kevyrt_waiting_wait(waiting, in_ms(2), &reply), KEVYRT_TIMEOUT);
}

/* ---- One thread --------------------------------------------------------------------------------- */

static void answer_each_way(struct kevyrt_server *server) {
    struct kevyrt_reply reply;
    assert_call(server, "RPUSH there a", ":1\r\n");
    assert_int_equal(ask(server, NULL, "BLPOP there 0", KEVYRT_WAIT, &reply), KEVYRT_OK);
    assert_reply(&reply, "*2\r\n$5\r\nthere\r\n$1\r\na\r\n");
    assert_int_equal(ask(server, NULL, "BLPOP q x", KEVYRT_WAIT, &reply), KEVYRT_OK);
    assert_reply(&reply, "-ERR timeout is not a float or out of range\r\n");
    struct kevyrt_waiting *list = block(server, "BLMPOP 0 3 q r s LEFT COUNT 2");
    struct kevyrt_waiting *zset = block(server, "BZPOPMIN q z 0");
    struct kevyrt_waiting *stream = block(server, "XREAD BLOCK 0 STREAMS x y $ $");
    assert_waits(list);
    assert_call(server, "RPUSH s a b c", ":3\r\n");
    assert_answered(list, "*2\r\n$1\r\ns\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_call(server, "ZADD z 2 b 1.5 a", ":2\r\n");
    assert_answered(zset, "*3\r\n$1\r\nz\r\n$1\r\na\r\n,1.5\r\n");
    assert_call(server, "XADD y 1-1 f v", "$3\r\n1-1\r\n");
    assert_answered(stream,
                    "%1\r\n$1\r\ny\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
}

static void time_out(struct kevyrt_server *server) {
    struct kevyrt_reply reply;
    uint64_t start = kevyrt_now_ns();
    struct kevyrt_waiting *waiting = block(server, "BLPOP q r 0.03");
    assert_true(kevyrt_waiting_deadline(waiting) >= start + 30000000);
    assert_int_equal(kevyrt_waiting_wait(waiting, in_ms(5), &reply), KEVYRT_TIMEOUT);
    enum kevyrt_status status;
    do status = kevyrt_waiting_wait(waiting, UINT64_MAX, &reply);
    while (status == KEVYRT_BLOCKED);
    assert_int_equal(status, KEVYRT_OK);
    assert_true(kevyrt_now_ns() - start >= 30000000);
    assert_reply(&reply, "_\r\n");
    kevyrt_waiting_put(waiting);
    assert_call(server, "RPUSH q a", ":1\r\n");
    assert_call(server, "LLEN q", ":1\r\n");
}

static void cancel(struct kevyrt_server *server) {
    struct kevyrt_reply reply;
    struct kevyrt_waiting *first = block(server, "BLPOP q r s t 0");
    struct kevyrt_waiting *second = block(server, "BLPOP q 0"), *third = block(server, "BLPOP q 0");
    assert_int_equal(kevyrt_waiting_cancel(first, &reply), KEVYRT_CANCELLED);
    assert_int_equal(kevyrt_waiting_cancel(first, &reply), KEVYRT_CANCELLED);
    assert_int_equal(kevyrt_waiting_wait(first, UINT64_MAX, &reply), KEVYRT_CANCELLED);
    assert_call(server, "RPUSH q a", ":1\r\n");
    /* Too late for the second: the element is not lost. */
    assert_int_equal(kevyrt_waiting_cancel(second, &reply), KEVYRT_OK);
    assert_reply(&reply, "*2\r\n$1\r\nq\r\n$1\r\na\r\n");
    kevyrt_waiting_put(second);
    kevyrt_waiting_put(third);
    assert_call(server, "RPUSH q b", ":1\r\n");
    assert_call(server, "LRANGE q 0 -1", "*1\r\n$1\r\nb\r\n");
    kevyrt_waiting_put(first);
}

/* In the order in which they came, connections among them. */
static void serve_in_order(struct kevyrt_server *server) {
    struct kevyrt_waiting *queue[QUEUE];
    char expected[64], blocked[REPLY_MAX];
    int fd = wire_open(server);
    for (int i = 0; i < QUEUE / 2; i++) queue[i] = block(server, "BLPOP q other 0");
    wire_say(fd, "BLPOP q 0\r\n");
    do assert_int_equal(call(server, "INFO clients", blocked), KEVYRT_OK);
    while (!strstr(blocked, "blocked_clients:4"));
    for (int i = QUEUE / 2; i < QUEUE; i++) queue[i] = block(server, "BLPOP third q 0");
    assert_call(server, "RPUSH q 0 1 2 3 4 5 6 7", ":8\r\n");
    for (int i = 0; i < QUEUE; i++) {
        (void)snprintf(expected, sizeof expected, "*2\r\n$1\r\nq\r\n$1\r\n%d\r\n",
                       i < QUEUE / 2 ? i : i + 1);
        assert_answered(queue[i], expected);
    }
    assert_answers(fd, "", "*2\r\n$1\r\nq\r\n$1\r\n3\r\n");
    assert_call(server, "LLEN q", ":1\r\n");
    close(fd);
}

static void pass_on(struct kevyrt_server *server) {
    struct kevyrt_waiting *ends[4];
    ends[0] = block(server, "BLMOVE b c LEFT RIGHT 0");
    ends[1] = block(server, "BRPOPLPUSH c d 0");
    ends[2] = block(server, "BLMOVE a b LEFT RIGHT 0");
    ends[3] = block(server, "BLPOP e d 0");
    int fd = wire_open(server);
    assert_answers(fd, "RPUSH a x\r\n", ":1\r\n");
    for (int i = 0; i < 3; i++) assert_answered(ends[i], "$1\r\nx\r\n");
    assert_answered(ends[3], "*2\r\n$1\r\nd\r\n$1\r\nx\r\n");
    assert_call(server, "EXISTS a b c d e", ":0\r\n");
    close(fd);
}

static void lose_the_group(struct kevyrt_server *server) {
    assert_call(server, "XGROUP CREATE s g $ MKSTREAM", "+OK\r\n");
    assert_call(server, "XGROUP CREATE t g $ MKSTREAM", "+OK\r\n");
    struct kevyrt_waiting *first = block(server, "XREADGROUP GROUP g c BLOCK 0 STREAMS s t > >");
    assert_call(server, "DEL t", ":1\r\n");
    assert_answered(first, "-NOGROUP No such key 't' or consumer group 'g' in XREADGROUP with "
                           "GROUP option\r\n");
    first = block(server, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    assert_call(server, "PEXPIRE s 5", ":1\r\n");
    assert_answered(first, "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with "
                           "GROUP option\r\n");
}

/* A session is seen, and woken by name. */
static void unblock_session(struct kevyrt_server *server) {
    struct kevyrt_reply reply;
    char line[REPLY_MAX], list[REPLY_MAX];
    struct kevyrt_session *session = kevyrt_session_new(server);
    assert_int_equal(ask(server, session, "CLIENT ID", KEVYRT_WAIT, &reply), KEVYRT_OK);
    int id = atoi(reply.at + 1);
    kevyrt_reply_free(&reply);
    assert_int_equal(ask(server, session, "BLPOP q r 0", KEVYRT_WAIT, &reply), KEVYRT_BLOCKED);
    struct kevyrt_waiting *waiting = reply.waiting;
    (void)snprintf(line, sizeof line, "CLIENT LIST ID %d", id);
    assert_int_equal(call(server, line, list), KEVYRT_OK);
    assert_non_null(strstr(list, " flags=b "));
    (void)snprintf(line, sizeof line, "CLIENT UNBLOCK %d ERROR", id);
    assert_call(server, line, ":1\r\n");
    assert_answered(waiting, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert_call(server, line, ":0\r\n");
    assert_int_equal(ask(server, session, "PING", KEVYRT_WAIT, &reply), KEVYRT_OK);
    assert_reply(&reply, "+PONG\r\n");
    kevyrt_session_put(session);
}

/* Refused memory at any point: it waits, or says so and leaves nothing behind. */
static void refuse_memory(struct kevyrt_server *server) {
    struct kevyrt_reply reply;
    enum kevyrt_status status = KEVYRT_NO_MEMORY;
    for (long n = 1; status != KEVYRT_BLOCKED; n++) {
        assert_true(n < 100);
        mem_fail_after(n);
        status = ask(server, NULL, "XREAD BLOCK 0 STREAMS x y z $ $ $", KEVYRT_WAIT, &reply);
        mem_fail_after(0);
        if (status == KEVYRT_OK)
            assert_reply(&reply, "-OOM out of memory: the command was not executed\r\n");
        else assert_true(status == KEVYRT_BLOCKED || status == KEVYRT_NO_MEMORY);
    }
    assert_call(server, "XADD z 1-1 f v", "$3\r\n1-1\r\n");
    assert_answered(reply.waiting,
                    "%1\r\n$1\r\nz\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
}

/* ---- Calling back ------------------------------------------------------------------------------- */

static void count_call(void *context) {
    atomic_fetch_add((_Atomic int *)context, 1);
}

static void call_back(struct kevyrt_server *server) {
    _Atomic int first = 0, second = 0, third = 0;
    struct kevyrt_waiting *early = block(server, "BLPOP q r 0"), *late = block(server, "BLPOP q 0");
    struct kevyrt_waiting *never = block(server, "BLPOP q 0");
    kevyrt_waiting_call_back(early, count_call, &first);
    kevyrt_waiting_call_back(never, count_call, &third);
    assert_int_equal(first, 0);
    int fd = wire_open(server);
    assert_answers(fd, "RPUSH q a b\r\n", ":2\r\n");
    assert_answered(early, "*2\r\n$1\r\nq\r\n$1\r\na\r\n");
    assert_int_equal(first, 1);
    kevyrt_waiting_call_back(late, count_call, &second);
    assert_int_equal(second, 1);
    assert_answered(late, "*2\r\n$1\r\nq\r\n$1\r\nb\r\n");
    kevyrt_waiting_put(never);
    assert_int_equal(first + second + third, 2);
    close(fd);
}

/* ---- Several threads ---------------------------------------------------------------------------- */

enum { POPPERS = 4, PUSHERS = 2, PUSHES = 400 };

struct crew {
    struct kevyrt_server *server;
    _Atomic int popped, pushed, called, answered;
    _Atomic bool over;
};

static void *push(void *argument) {
    struct crew *crew = argument;
    static const char *const lines[] = {"RPUSH q x", "LPUSH r x", "RPUSH s x y"};
    char reply[REPLY_MAX];
    for (int i = 0; i < PUSHES; i++) {
        if (call(crew->server, lines[i % 3], reply) != KEVYRT_OK) return "a push failed";
        crew->pushed += i % 3 == 2 ? 2 : 1;
    }
    return NULL;
}

/* Gives up as often as not, and hears of each answer once. */
static const char *pop_one(struct crew *crew, int round) {
    static const char *const lines[] = {"BLPOP q r s 0", "BRPOP s 0.001", "BLPOP r q 0.01"};
    struct kevyrt_reply reply;
    enum kevyrt_status status = ask(crew->server, NULL, lines[round % 3], KEVYRT_WAIT, &reply);
    if (status == KEVYRT_BLOCKED) {
        struct kevyrt_waiting *waiting = reply.waiting;
        if (round % 2) kevyrt_waiting_call_back(waiting, count_call, &crew->called);
        do status = kevyrt_waiting_wait(waiting, kevyrt_now_ns() + 20000, &reply);
        while (status == KEVYRT_BLOCKED);
        if (status == KEVYRT_TIMEOUT) status = kevyrt_waiting_cancel(waiting, &reply);
        if (round % 2 && status == KEVYRT_OK) crew->answered++;
        kevyrt_waiting_put(waiting);
    }
    if (status == KEVYRT_CANCELLED) return NULL;
    if (status != KEVYRT_OK) return "neither answered nor cancelled";
    crew->popped += reply.at[0] == '*';
    kevyrt_reply_free(&reply);
    return NULL;
}

static void *pop(void *argument) {
    struct crew *crew = argument;
    const char *trouble = NULL;
    for (int round = 0; !crew->over && !trouble; round++) trouble = pop_one(crew, round);
    return (void *)trouble;
}

static void join(pthread_t thread) {
    void *trouble;
    assert_int_equal(pthread_join(thread, &trouble), 0);
    if (trouble) fail_msg("%s", (char *)trouble);
}

static void lose_nothing(struct kevyrt_server *server) {
    pthread_t poppers[POPPERS], pushers[PUSHERS];
    char left[REPLY_MAX];
    int there = 0;
    struct crew crew = {.server = server};
    for (int i = 0; i < POPPERS; i++) pthread_create(&poppers[i], NULL, pop, &crew);
    for (int i = 0; i < PUSHERS; i++) pthread_create(&pushers[i], NULL, push, &crew);
    for (int i = 0; i < PUSHERS; i++) join(pushers[i]);
    crew.over = true;
    for (int i = 0; i < POPPERS; i++) join(poppers[i]);
    for (int i = 0; i < 3; i++) {
        (void)call(server, (const char *[]){"LLEN q", "LLEN r", "LLEN s"}[i], left);
        there += atoi(left + 1);
    }
    assert_int_equal(crew.popped + there, crew.pushed);
    assert_int_equal(crew.called, crew.answered);
}

/* ---- The end of the server ---------------------------------------------------------------------- */

static void *wait_for_the_end(void *argument) {
    struct kevyrt_reply reply;
    enum kevyrt_status status;
    do status = kevyrt_waiting_wait(argument, UINT64_MAX, &reply);
    while (status == KEVYRT_BLOCKED);
    if (status != KEVYRT_STOPPED) return "not told that the server stops";
    kevyrt_waiting_put(argument);
    return NULL;
}

static void stop_under_waiters(const struct variant *variant) {
    _Atomic int told = 0;
    pthread_t threads[POPPERS];
    struct kevyrt_server *server = server_open(variant);
    struct kevyrt_waiting *held = block(server, "BLPOP a b c d e f 0");
    struct kevyrt_waiting *gone = block(server, "BLPOP a b c d e f 0");
    struct kevyrt_reply reply;
    int fd = wire_open(server);
    wire_say(fd, "BLPOP a b c d e f 0\r\n");
    kevyrt_waiting_call_back(held, count_call, &told);
    for (int i = 0; i < POPPERS; i++)
        pthread_create(&threads[i], NULL, wait_for_the_end, block(server, "BZPOPMIN a b c 0"));
    assert_int_equal(kevyrt_waiting_cancel(gone, &reply), KEVYRT_CANCELLED);
    kevyrt_server_stop(server);
    for (int i = 0; i < POPPERS; i++) join(threads[i]);
    assert_int_equal(told, 1);
    wire_drain(fd);
    close(fd);
    kevyrt_waiting_put(gone);
    /* One that is put behind a start is in no queue of the new life. */
    server_start(server);
    struct kevyrt_waiting *anew = block(server, "BLPOP a 0");
    assert_int_equal(kevyrt_waiting_wait(held, UINT64_MAX, &reply), KEVYRT_STOPPED);
    kevyrt_waiting_put(held);
    assert_call(server, "RPUSH a x", ":1\r\n");
    assert_answered(anew, "*2\r\n$1\r\na\r\n$1\r\nx\r\n");
    server_close(server);
}

/* The handle keeps what it needs. */
static void outlive_the_server(const struct variant *variant) {
    struct kevyrt_reply reply;
    struct kevyrt_server *server = server_open(variant);
    struct kevyrt_waiting *waiting = block(server, "BLPOP a b 0");
    kevyrt_server_stop(server);
    kevyrt_server_put(server);
    assert_int_equal(kevyrt_waiting_wait(waiting, UINT64_MAX, &reply), KEVYRT_STOPPED);
    kevyrt_waiting_put(waiting);
}

static void test_answers(void **state) {
    (void)state;
    for_each_variant(answer_each_way);
}

static void test_time_outs(void **state) {
    (void)state;
    for_each_variant(time_out);
}

static void test_cancels(void **state) {
    (void)state;
    for_each_variant(cancel);
}

static void test_first_come_first_served(void **state) {
    (void)state;
    for_each_variant(serve_in_order);
}

static void test_chains(void **state) {
    (void)state;
    for_each_variant(pass_on);
}

static void test_groups_that_are_gone(void **state) {
    (void)state;
    for_each_variant(lose_the_group);
}

static void test_sessions(void **state) {
    (void)state;
    for_each_variant(unblock_session);
}

static void test_refused_memory(void **state) {
    (void)state;
    for_each_variant(refuse_memory);
}

static void test_calls_back(void **state) {
    (void)state;
    for_each_variant(call_back);
}

static void test_nothing_is_lost(void **state) {
    (void)state;
    for_each_variant(lose_nothing);
}

static void test_stops(void **state) {
    (void)state;
    for_each_setting(stop_under_waiters);
    for_each_setting(outlive_the_server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),    cmocka_unit_test(test_time_outs),
        cmocka_unit_test(test_cancels),    cmocka_unit_test(test_first_come_first_served),
        cmocka_unit_test(test_chains),     cmocka_unit_test(test_groups_that_are_gone),
        cmocka_unit_test(test_sessions),   cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_calls_back), cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
