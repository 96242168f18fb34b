/* The clock while others call: time-outs that come through the clock alone, calls that see no time go back, and stops
 * in the middle of it all. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kevyrt/servers.h"

enum { WAITERS = 3, MOVES = 200, ROUNDS = 5 };
#define SECOND_US INT64_C(1000000)

static void change(struct kevyrt_server *server, enum kevyrt_clock_change what, int64_t us) {
    assert_int_equal(kevyrt_clock_change(server, what, us, NULL), KEVYRT_OK);
}

static enum kevyrt_status ask(struct kevyrt_server *server, const char *line,
                              struct kevyrt_reply *reply) {
    struct bytes argv[8];
    char words[REPLY_MAX], *rest;
    uint32_t argc = 0;
    (void)snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = bytes_of(word, strlen(word));
    return kevyrt_call(server, NULL, 0, argv, argc, KEVYRT_WAIT, reply);
}

struct crew {
    struct kevyrt_server *server;
    atomic_bool over;
    atomic_int rounds, called;
};

static void note_call(void *context) {
    atomic_fetch_add((atomic_int *)context, 1);
}

/* NULL; or what is wrong. */
static const char *wait_once(struct crew *crew, const char *line) {
    struct kevyrt_reply reply;
    enum kevyrt_status status = ask(crew->server, line, &reply);
    if (status == KEVYRT_STOPPED) return NULL;
    if (status != KEVYRT_BLOCKED) return "it does not wait";
    struct kevyrt_waiting *waiting = reply.waiting;
    kevyrt_waiting_call_back(waiting, note_call, &crew->called);
    do status = kevyrt_waiting_wait(waiting, UINT64_MAX, &reply);
    while (status == KEVYRT_BLOCKED);
    kevyrt_waiting_put(waiting);
    atomic_fetch_add(&crew->rounds, 1);
    if (status == KEVYRT_STOPPED) return NULL;
    if (status != KEVYRT_OK) return "no answer";
    bool is_null = reply.len == 3 || strncmp(reply.at, ":0\r\n", reply.len) == 0;
    kevyrt_reply_free(&reply);
    return is_null ? NULL : "something else than a time-out";
}

static void *let_time_out(void *argument) {
    static const char *const lines[] = {"BLPOP q 1", "WAIT 1 1000", "BLPOP q r s 2"};
    struct crew *crew = argument;
    const char *trouble = NULL;
    for (int i = 0; !crew->over && !trouble; i++) trouble = wait_once(crew, lines[i % 3]);
    return (void *)trouble;
}

static void *look(void *argument) {
    struct crew *crew = argument;
    long long last = 0;
    while (!crew->over) {
        struct kevyrt_reply reply;
        enum kevyrt_status status = ask(crew->server, "TIME", &reply);
        if (status == KEVYRT_STOPPED) continue;
        if (status != KEVYRT_OK) return "no time";
        long long seconds = atoll(strchr(reply.at + 5, '\n') + 1);
        kevyrt_reply_free(&reply);
        if (seconds < last) return "time goes back";
        last = seconds;
        struct kevyrt_clock clock;
        kevyrt_clock_read(crew->server, &clock);
        if (clock.now_us / SECOND_US < seconds) return "the clock is behind its calls";
    }
    return NULL;
}

static void *set_and_get(void *argument) {
    struct crew *crew = argument;
    while (!crew->over) {
        struct kevyrt_value value;
        struct kevyrt_reply reply;
        if (ask(crew->server, "SET k v PX 1500", &reply) == KEVYRT_OK) kevyrt_reply_free(&reply);
        if (kevyrt_get(crew->server, 0, BYTES_LITERAL("k"), KEVYRT_WAIT, &value) == KEVYRT_OK)
            kevyrt_value_put(&value);
    }
    return NULL;
}

static void join(pthread_t thread) {
    void *trouble;
    assert_int_equal(pthread_join(thread, &trouble), 0);
    if (trouble) fail_msg("%s", (char *)trouble);
}

static void move(struct kevyrt_server *server) {
    for (int i = 0; i < MOVES; i++) {
        change(server, KEVYRT_CLOCK_ADVANCE, SECOND_US);
        if (i % 16 == 3) change(server, KEVYRT_CLOCK_RESUME, 0);
        if (i % 16 == 9) change(server, KEVYRT_CLOCK_FREEZE, 0);
    }
}

/* Within a while. It may have come behind most of the time that has passed. */
static bool is_answered(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLIN};
    return poll(&look, 1, 20) == 1;
}

static void others_call(struct kevyrt_server *server) {
    pthread_t threads[WAITERS + 2];
    struct crew crew = {.server = server};
    change(server, KEVYRT_CLOCK_FREEZE, 0);
    for (int i = 0; i < WAITERS; i++) pthread_create(&threads[i], NULL, let_time_out, &crew);
    pthread_create(&threads[WAITERS], NULL, look, &crew);
    pthread_create(&threads[WAITERS + 1], NULL, set_and_get, &crew);
    int fd = wire_open(server);
    for (int round = 0; round < ROUNDS; round++) {
        wire_say(fd, "BLPOP nobodys 150\r\nPING\r\n");
        move(server);
        while (!is_answered(fd)) change(server, KEVYRT_CLOCK_ADVANCE, 10 * SECOND_US);
        char answer[5 + 7];
        assert_true(wire_receive(fd, answer, sizeof answer));
        assert_memory_equal(answer, "*-1\r\n+PONG\r\n", sizeof answer);
        if (round != 2) continue;
        close(fd);
        kevyrt_server_stop(server);
        change(server, KEVYRT_CLOCK_ADVANCE, SECOND_US);
        server_start(server);
        fd = wire_open(server);
    }
    crew.over = true;
    change(server, KEVYRT_CLOCK_RESUME, 0);
    change(server, KEVYRT_CLOCK_ADVANCE, 2 * SECOND_US);
    for (int i = 0; i < WAITERS + 2; i++) join(threads[i]);
    assert_true(crew.rounds > 0);
    assert_int_equal(crew.called, crew.rounds);
    close(fd);
}

static void test_others_call(void **state) {
    (void)state;
    for_each_variant(others_call);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_others_call)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
