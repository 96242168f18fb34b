/* Faults that come and go while others call: each call is answered by its command or by a fault, as often as the faults
 * say, and who waits is told once. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "kevyrt/servers.h"

enum { CALLERS = 3, ROUNDS = 60, TIMES = 5 };
static const struct kevyrt_fault_rule any = {
    .client_id = KEVYRT_FAULT_ANY, .after_bytes = KEVYRT_FAULT_ANY, .times = KEVYRT_FAULT_ANY};

struct crew {
    struct kevyrt_server *server;
    atomic_bool over;
    atomic_int failed, done, called, waited;
};

static struct kevyrt_fault *add(struct kevyrt_server *server,
                                const struct kevyrt_fault_rule *rule) {
    struct kevyrt_fault *fault = NULL;
    struct kevyrt_error error;
    assert_int_equal(kevyrt_fault_add(server, rule, &fault, &error), KEVYRT_OK);
    return fault;
}

static void note_call(void *context) {
    atomic_fetch_add((atomic_int *)context, 1);
}

static enum kevyrt_status ask(struct crew *crew, const char *line, struct kevyrt_reply *reply) {
    struct bytes argv[8];
    char words[REPLY_MAX], *rest;
    uint32_t argc = 0;
    (void)snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = bytes_of(word, strlen(word));
    enum kevyrt_status status = kevyrt_call(crew->server, NULL, 0, argv, argc, KEVYRT_WAIT, reply);
    if (status != KEVYRT_BLOCKED) return status;
    struct kevyrt_waiting *waiting = reply->waiting;
    kevyrt_waiting_call_back(waiting, note_call, &crew->called);
    do status = kevyrt_waiting_wait(waiting, UINT64_MAX, reply);
    while (status == KEVYRT_BLOCKED);
    kevyrt_waiting_put(waiting);
    atomic_fetch_add(&crew->waited, 1);
    return status;
}

static void *call_on(void *argument) {
    static const char *const lines[] = {"INCR a", "INCR b", "BLPOP nobodys 0.001", "MSET a 1 b 2"};
    struct crew *crew = argument;
    for (int i = 0; !crew->over; i++) {
        struct kevyrt_reply reply;
        enum kevyrt_status status = ask(crew, lines[i % 4], &reply);
        if (status != KEVYRT_OK) return "no answer";
        bool failed = reply.len > 6 && memcmp(reply.at, "-FAULT", 6) == 0;
        if (!failed && reply.at[0] == '-') return "another error";
        atomic_fetch_add(failed ? &crew->failed : &crew->done, 1);
        kevyrt_reply_free(&reply);
    }
    return NULL;
}

/* A connection whose every second answer is late, and one in three is cut. */
static void *connect_on(void *argument) {
    struct crew *crew = argument;
    while (!crew->over) {
        char text[64];
        ssize_t got;
        int fd = wire_open(crew->server);
        wire_say(fd, "CLIENT SETNAME cut\r\nINCR a\r\nINCR b\r\nGET a\r\nGET b\r\n");
        (void)shutdown(fd, SHUT_WR); /* QUIT would meet faults too, and not quit */
        while ((got = read(fd, text, sizeof text)) > 0) continue;
        close(fd);
        if (got < 0) return "no end of the connection";
    }
    return NULL;
}

static void come_and_go(struct crew *crew) {
    int failures = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct kevyrt_fault_rule error = any, late = any, cut = any, drop = any;
        error.error = "FAULT no";
        error.command = round % 2 ? "incr" : NULL;
        error.times = TIMES;
        late.delay_us = 300;
        late.key = bytes_of("a", 1);
        cut.client = bytes_of("cut", 3);
        cut.after_bytes = 1;
        cut.times = 1;
        drop.command = "get";
        drop.drop = round % 3 ? KEVYRT_DROP_BEFORE : KEVYRT_DROP_AFTER;
        struct kevyrt_fault *faults[] = {add(crew->server, &error), add(crew->server, &late),
                                         add(crew->server, &cut), add(crew->server, &drop)};
        for (int i = 0; i < 20000 && kevyrt_fault_hits(faults[0]) < TIMES; i++) (void)usleep(1000);
        assert_int_equal(kevyrt_fault_hits(faults[0]), TIMES);
        if (round % 4) assert_int_equal(kevyrt_fault_remove(crew->server, faults[1], NULL), 0);
        else assert_int_equal(kevyrt_faults_clear(crew->server, NULL), KEVYRT_OK);
        for (int i = 0; i < 4; i++) kevyrt_fault_put(faults[i]);
        failures += TIMES;
    }
    assert_true(crew->failed <= failures); /* the rest were those of connections */
}

static void others_call(struct kevyrt_server *server) {
    pthread_t threads[CALLERS + 1];
    struct crew crew = {.server = server};
    for (int i = 0; i < CALLERS; i++) pthread_create(&threads[i], NULL, call_on, &crew);
    pthread_create(&threads[CALLERS], NULL, connect_on, &crew);
    come_and_go(&crew);
    assert_int_equal(kevyrt_faults_clear(server, NULL), KEVYRT_OK);
    crew.over = true;
    for (int i = 0; i <= CALLERS; i++) {
        void *trouble;
        assert_int_equal(pthread_join(threads[i], &trouble), 0);
        if (trouble) fail_msg("%s", (char *)trouble);
    }
    assert_true(crew.done > 0 && crew.waited > 0);
    assert_int_equal(crew.called, crew.waited);
}

static void test_others_call(void **state) {
    (void)state;
    for_each_variant(others_call);
}

/* Without memory to be late an answer is in time, and none is lost or comes twice. */
static void refuse_memory(struct kevyrt_server *server) {
    struct crew crew = {.server = server};
    struct kevyrt_fault_rule late = any;
    long long expected = 0;
    late.delay_us = 100;
    struct kevyrt_fault *fault = add(server, &late);
    for (long n = 1; crew.waited == 0; n++) {
        struct kevyrt_reply reply;
        assert_true(n < 100);
        mem_fail_after(n);
        enum kevyrt_status status = ask(&crew, "INCR n", &reply);
        mem_fail_after(0);
        if (status == KEVYRT_NO_MEMORY) {
            assert_int_equal(ask(&crew, "SET n 0", &reply), KEVYRT_OK);
            expected = crew.waited = 0;
            kevyrt_reply_free(&reply);
            continue;
        }
        assert_int_equal(status, KEVYRT_OK);
        if (reply.at[0] == ':') assert_int_equal(atoll(reply.at + 1), ++expected);
        else assert_memory_equal(reply.at, "-OOM", 4);
        kevyrt_reply_free(&reply);
    }
    assert_true(expected > 0);
    assert_int_equal(kevyrt_faults_clear(server, NULL), KEVYRT_OK);
    kevyrt_fault_put(fault);
}

static void test_refused_memory(void **state) {
    (void)state;
    for_each_variant(refuse_memory);
    struct kevyrt_fault_rule rule = any;
    struct kevyrt_fault *fault = NULL;
    struct kevyrt_setting setting = {"port", "0"};
    struct kevyrt_server *server;
    rule.error = "ERR no";
    assert_int_equal(kevyrt_server_new(&setting, 1, &server, NULL), KEVYRT_OK);
    mem_fail_after(1);
    assert_int_equal(kevyrt_fault_add(server, &rule, &fault, NULL), KEVYRT_NO_MEMORY);
    mem_fail_after(0);
    kevyrt_server_put(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_others_call),
                                       cmocka_unit_test(test_refused_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
