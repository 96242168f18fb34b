/* Very many commands that wait for data at once. In process that takes no descriptor, so there may be more of them than a
 * machine allows connections.
 *
 * They come in waves, one of each wave for each key, and what becomes of one is its wave's fate. KEVYRT_CROWD says how many
 * there are (tests/long/crowd.py). */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kevyrt/servers.h"

enum { CROWD = 25600, WAVES = 32, OWNERS = 4, PUSHERS = 2, PUSHES = 2, WORDS = WAVES + 2 };
enum { GROWTH_BYTES = 64 << 10, GROWTH_EACH = 2 };

enum fate { TIMES_OUT, GIVES_UP, SERVED_FIRST, SERVED, FATES };

struct crowd {
    struct kevyrt_server *server;
    uint32_t keys, count; /* who is of wave w and waits for key k is number w * keys + k */
    struct kevyrt_waiting **all;
    atomic_uchar *called; /* how often each one's owner was called back */
};

static enum fate fate_of(uint32_t wave) {
    return wave % FATES;
}

static bool is_served(uint32_t wave) {
    return fate_of(wave) >= SERVED_FIRST;
}

static uint32_t wanted(void) {
    const char *text = getenv("KEVYRT_CROWD");
    return text ? (uint32_t)strtoul(text, NULL, 10) : CROWD;
}

static void crowd_open(struct crowd *crowd, struct kevyrt_server *server) {
    *crowd = (struct crowd){.server = server, .keys = wanted() / WAVES};
    crowd->count = crowd->keys * WAVES;
    crowd->all = calloc(crowd->count, sizeof *crowd->all);
    crowd->called = calloc(crowd->count, sizeof *crowd->called);
    assert_non_null(crowd->all);
    assert_non_null(crowd->called);
}

static void crowd_close(struct crowd *crowd) {
    free(crowd->all);
    free(crowd->called);
}

static enum kevyrt_status ask(struct kevyrt_server *server, char *line, enum kevyrt_wait wait,
                              struct kevyrt_reply *reply) {
    struct bytes argv[WORDS];
    uint32_t argc = 0;
    char *rest;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = bytes_of(word, strlen(word));
    return kevyrt_call(server, NULL, 0, argv, argc, wait, reply);
}

static void note_call(void *context) {
    atomic_fetch_add((atomic_uchar *)context, 1);
}

/* Those of some keys wait for a second one, mostly of another shard. No server thread holds a baton for long here, but it
 * may hold one just now. */
static void wait_for(struct crowd *crowd, uint32_t number) {
    char line[REPLY_MAX], text[REPLY_MAX];
    struct kevyrt_reply reply;
    uint32_t key = number % crowd->keys;
    const char *timeout = fate_of(number / crowd->keys) == TIMES_OUT ? "60" : "0";
    if (key % 8) (void)snprintf(line, sizeof line, "BLPOP key%u %s", key, timeout);
    else (void)snprintf(line, sizeof line, "BLPOP key%u side%u %s", key, key, timeout);
    (void)strcpy(text, line);
    enum kevyrt_status status = ask(crowd->server, text, KEVYRT_TRY, &reply);
    if (status == KEVYRT_WOULD_WAIT) status = ask(crowd->server, line, KEVYRT_WAIT, &reply);
    assert_int_equal(status, KEVYRT_BLOCKED);
    crowd->all[number] = reply.waiting;
    crowd->called[number] = 0;
    kevyrt_waiting_call_back(reply.waiting, note_call, &crowd->called[number]);
}

static void assert_blocked(struct crowd *crowd, uint32_t count) {
    char info[REPLY_MAX], line[64];
    assert_int_equal(call(crowd->server, "INFO clients", info), KEVYRT_OK);
    (void)snprintf(line, sizeof line, "blocked_clients:%u\r\n", count);
    assert_non_null(strstr(info, line));
}

static void assert_called(const struct crowd *crowd, uint32_t count) {
    uint32_t called = 0;
    for (uint32_t i = 0; i < crowd->count; i++) called += crowd->called[i];
    assert_int_equal(called, count);
}

static void all_wait(struct crowd *crowd) {
    for (uint32_t i = 0; i < crowd->count; i++) wait_for(crowd, i);
    assert_blocked(crowd, crowd->count);
    assert_call(crowd->server, "RPUSH nobodys x", ":1\r\n");
    assert_call(crowd->server, "DEL nobodys", ":1\r\n");
    assert_called(crowd, 0);
}

static uint32_t count_of(const struct crowd *crowd, bool served) {
    uint32_t count = 0;
    for (uint32_t wave = 0; wave < WAVES; wave++) count += is_served(wave) == served;
    return count * crowd->keys;
}

/* ---- Threads that do one thing ------------------------------------------------------------------- */

struct worker {
    struct crowd *crowd;
    uint32_t first, step;
    pthread_t thread;
};

static void work(struct crowd *crowd, void *(*job)(void *), uint32_t count) {
    struct worker workers[OWNERS];
    for (uint32_t i = 0; i < count; i++) {
        workers[i] = (struct worker){.crowd = crowd, .first = i, .step = count};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, job, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        void *trouble;
        assert_int_equal(pthread_join(workers[i].thread, &trouble), 0);
        if (trouble) fail_msg("%s", (char *)trouble);
    }
}

static const char *time_out(struct kevyrt_waiting *waiting) {
    struct kevyrt_reply reply;
    enum kevyrt_status status;
    do status = kevyrt_waiting_wait(waiting, UINT64_MAX, &reply);
    while (status == KEVYRT_BLOCKED);
    if (status != KEVYRT_OK || strncmp(reply.at, "_\r\n", reply.len) != 0) return "no time-out";
    bool early = kevyrt_now_ns() < kevyrt_waiting_deadline(waiting);
    kevyrt_reply_free(&reply);
    kevyrt_waiting_put(waiting);
    return early ? "too early" : NULL;
}

static void *let_time_out(void *argument) {
    const struct worker *worker = argument;
    const struct crowd *crowd = worker->crowd;
    const char *trouble = NULL;
    for (uint32_t i = worker->first; i < crowd->count && !trouble; i += worker->step)
        if (fate_of(i / crowd->keys) == TIMES_OUT) trouble = time_out(crowd->all[i]);
    return (void *)trouble;
}

/* Everybody of the key who is to be served, in several pushes: each gets the number of its wave. */
static const char *push(struct crowd *crowd, uint32_t key) {
    uint32_t wave = 0;
    for (int i = 1; i <= PUSHES; i++) {
        char line[REPLY_MAX];
        struct kevyrt_reply reply;
        int len = snprintf(line, sizeof line, "RPUSH key%u", key);
        for (; wave < (uint32_t)(i * WAVES / PUSHES); wave++)
            if (is_served(wave))
                len += snprintf(line + len, sizeof line - (size_t)len, " %u", wave);
        if (ask(crowd->server, line, KEVYRT_WAIT, &reply) != KEVYRT_OK) return "a push failed";
        kevyrt_reply_free(&reply);
    }
    return NULL;
}

static void *push_all(void *argument) {
    const struct worker *worker = argument;
    const char *trouble = NULL;
    for (uint32_t key = worker->first; key < worker->crowd->keys && !trouble; key += worker->step)
        trouble = push(worker->crowd, key);
    return (void *)trouble;
}

/* ---- Their fates ----------------------------------------------------------------------------------- */

static void give_up(struct crowd *crowd) {
    struct kevyrt_reply reply;
    for (uint32_t i = 0; i < crowd->count; i++)
        if (fate_of(i / crowd->keys) == GIVES_UP)
            assert_int_equal(kevyrt_waiting_cancel(crowd->all[i], &reply), KEVYRT_CANCELLED);
}

/* Until then they stand in their queues, with nobody behind them. */
static void put_given_up(struct crowd *crowd, uint32_t remainder) {
    for (uint32_t i = 0; i < crowd->count; i++)
        if (fate_of(i / crowd->keys) == GIVES_UP && i % 2 == remainder)
            kevyrt_waiting_put(crowd->all[i]);
}

static void assert_served(struct crowd *crowd, uint32_t number) {
    char key[32], value[32], expected[REPLY_MAX];
    struct kevyrt_reply reply;
    (void)snprintf(key, sizeof key, "key%u", number % crowd->keys);
    (void)snprintf(value, sizeof value, "%u", number / crowd->keys);
    int len = snprintf(expected, sizeof expected, "*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(key),
                       key, strlen(value), value);
    assert_int_equal(kevyrt_waiting_wait(crowd->all[number], 0, &reply), KEVYRT_OK);
    assert_int_equal(reply.len, len);
    assert_memory_equal(reply.at, expected, reply.len);
    assert_int_equal(crowd->called[number], 1);
    kevyrt_reply_free(&reply);
    kevyrt_waiting_put(crowd->all[number]);
}

static void change_clock(struct crowd *crowd, enum kevyrt_clock_change change, int64_t us) {
    assert_int_equal(kevyrt_clock_change(crowd->server, change, us, NULL), KEVYRT_OK);
}

static uint32_t count_of_fate(const struct crowd *crowd, enum fate fate) {
    uint32_t count = 0;
    for (uint32_t wave = 0; wave < WAVES; wave++) count += fate_of(wave) == fate;
    return count * crowd->keys;
}

/* Each meets its fate, once, and of a key in the order in which they came. No time passes before that of some is over. */
static void play(struct crowd *crowd) {
    uint32_t late = count_of_fate(crowd, TIMES_OUT);
    change_clock(crowd, KEVYRT_CLOCK_FREEZE, 0);
    all_wait(crowd);
    change_clock(crowd, KEVYRT_CLOCK_ADVANCE, 59999999);
    assert_called(crowd, 0);
    change_clock(crowd, KEVYRT_CLOCK_ADVANCE, 1);
    assert_called(crowd, late);
    work(crowd, let_time_out, OWNERS);
    give_up(crowd);
    put_given_up(crowd, 0);
    assert_called(crowd, late);
    assert_blocked(crowd, count_of(crowd, true));
    work(crowd, push_all, PUSHERS);
    assert_called(crowd, count_of(crowd, true) + late);
    for (uint32_t i = 0; i < crowd->count; i++)
        if (is_served(i / crowd->keys)) assert_served(crowd, i);
    put_given_up(crowd, 1);
    assert_blocked(crowd, 0);
    assert_call(crowd->server, "DBSIZE", ":0\r\n");
}

static void stop(struct crowd *crowd) {
    struct kevyrt_reply reply;
    all_wait(crowd);
    kevyrt_server_stop(crowd->server);
    assert_called(crowd, crowd->count);
    for (uint32_t i = 0; i < crowd->count; i++) {
        assert_int_equal(kevyrt_waiting_wait(crowd->all[i], 0, &reply), KEVYRT_STOPPED);
        kevyrt_waiting_put(crowd->all[i]);
    }
}

/* ---- Tests ----------------------------------------------------------------------------------------- */

static const struct variant four = {"epoll-4", "epoll", "4", "auto", "0"};

/* Of the whole process. A sanitizer's allocator says 0, and finds what is never given back itself. */
static size_t held_bytes(void) {
    return mallinfo2().uordblks;
}

/* A crowd that comes again takes nothing more than the one before. */
static void test_fates(void **state) {
    (void)state;
    struct crowd crowd;
    crowd_open(&crowd, server_open(&four));
    play(&crowd);
    size_t before = held_bytes();
    play(&crowd);
    size_t after = held_bytes(), most = before + GROWTH_BYTES + GROWTH_EACH * (size_t)crowd.count;
    print_message(
        "%u wait for %u keys; %zu bytes are held behind the first, %zu behind the second\n",
        crowd.count, crowd.keys, before, after);
    assert_true(after <= most);
    server_close(crowd.server);
    crowd_close(&crowd);
}

static void test_the_stop(void **state) {
    (void)state;
    struct crowd crowd;
    crowd_open(&crowd, server_open(&four));
    stop(&crowd);
    server_start(crowd.server);
    assert_blocked(&crowd, 0);
    stop(&crowd);
    server_close(crowd.server);
    crowd_close(&crowd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fates),
        cmocka_unit_test(test_the_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
