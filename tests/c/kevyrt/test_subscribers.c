/* Subscribers in process, bells, and waits for the log: what event loops stand on. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "kevyrt/servers.h"

enum { PUBLISHERS = 3, MESSAGES = 2000, JOINS = 300, CANCELS = 2000, SETS = 50 };

/* ---- A loop --------------------------------------------------------------------------------------- */

struct loop {
    struct kevyrt_bell *bell;
};

static void loop_open(struct loop *loop) {
    assert_int_equal(kevyrt_bell_new(&loop->bell, NULL), KEVYRT_OK);
}

static bool is_readable(const struct loop *loop, int timeout_ms) {
    struct pollfd at = {.fd = kevyrt_bell_fd(loop->bell), .events = POLLIN};
    return poll(&at, 1, timeout_ms) == 1;
}

/* Sleeps until something has rung. */
static struct kevyrt_mark *loop_next(struct loop *loop) {
    for (;;) {
        assert_true(is_readable(loop, 20000));
        struct kevyrt_mark *mark = kevyrt_bell_take(loop->bell);
        if (mark) return mark;
    }
}

static void rings_in_order(void **state) {
    (void)state;
    struct loop loop;
    loop_open(&loop);
    struct kevyrt_mark marks[3] = {{NULL, loop.bell}, {NULL, loop.bell}, {NULL, loop.bell}};
    assert_false(is_readable(&loop, 0));
    for (int i = 0; i < 3; i++) kevyrt_bell_ring(&marks[i]);
    struct kevyrt_mark *mark = loop_next(&loop);
    for (int i = 0; i < 3; i++, mark = mark->next) assert_ptr_equal(mark, &marks[i]);
    assert_null(mark);
    assert_false(is_readable(&loop, 0));
    kevyrt_bell_signal(loop.bell);
    assert_true(is_readable(&loop, 0));
    assert_null(kevyrt_bell_take(loop.bell));
    assert_false(is_readable(&loop, 0));
    kevyrt_bell_free(loop.bell);
}

/* ---- Subscribers --------------------------------------------------------------------------------- */

struct ear {
    struct kevyrt_mark mark; /* first */
    struct loop *loop;
    struct kevyrt_subscriber *subscriber;
};

static struct ear *ear_new(struct kevyrt_server *server, struct loop *loop) {
    struct ear *ear = calloc(1, sizeof *ear);
    *ear = (struct ear){{NULL, loop->bell}, loop, NULL};
    assert_int_equal(kevyrt_subscriber_new(server, kevyrt_bell_ring, ear, &ear->subscriber),
                     KEVYRT_OK);
    return ear;
}

static void ear_free(struct ear *ear) {
    kevyrt_subscriber_put(ear->subscriber);
    (void)kevyrt_bell_take(ear->loop->bell);
    free(ear);
}

static void subscribe(struct ear *ear, const char *name) {
    struct bytes names[] = {bytes_of(name, strlen(name))};
    assert_int_equal(kevyrt_subscribe(ear->subscriber, KEVYRT_CHANNELS, names, 1), KEVYRT_OK);
}

static enum kevyrt_status hear(struct ear *ear, struct kevyrt_message *message) {
    for (;;) {
        enum kevyrt_status status = kevyrt_subscriber_take(ear->subscriber, message);
        if (status != KEVYRT_BLOCKED) return status;
        kevyrt_subscriber_arm(ear->subscriber);
        (void)loop_next(ear->loop);
    }
}

static void assert_hears(struct ear *ear, const char *expected) {
    struct kevyrt_message message;
    assert_int_equal(hear(ear, &message), KEVYRT_OK);
    assert_int_equal(message.len, strlen(expected));
    assert_memory_equal(message.at, expected, message.len);
    kevyrt_message_free(&message);
}

static void hears_each_way(struct kevyrt_server *server) {
    struct loop loop;
    loop_open(&loop);
    struct ear *ear = ear_new(server, &loop);
    struct bytes patterns[] = {BYTES_LITERAL("a*"), BYTES_LITERAL("b*")};
    subscribe(ear, "aa");
    assert_int_equal(kevyrt_subscribe(ear->subscriber, KEVYRT_PATTERNS, patterns, 2), KEVYRT_OK);
    assert_hears(ear, ">3\r\n$9\r\nsubscribe\r\n$2\r\naa\r\n:1\r\n");
    assert_hears(ear, ">3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:2\r\n");
    assert_hears(ear, ">3\r\n$10\r\npsubscribe\r\n$2\r\nb*\r\n:3\r\n");
    assert_call(server, "PUBLISH aa x", ":2\r\n");
    assert_call(server, "PUBSUB NUMSUB aa", "*2\r\n$2\r\naa\r\n:1\r\n");
    assert_hears(ear, "*3\r\n$7\r\nmessage\r\n$2\r\naa\r\n$1\r\nx\r\n");
    assert_hears(ear, "*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\naa\r\n$1\r\nx\r\n");
    assert_int_equal(kevyrt_unsubscribe(ear->subscriber, KEVYRT_PATTERNS, NULL, 0), KEVYRT_OK);
    assert_hears(ear, ">3\r\n$12\r\npunsubscribe\r\n$2\r\nb*\r\n:2\r\n");
    assert_hears(ear, ">3\r\n$12\r\npunsubscribe\r\n$2\r\na*\r\n:1\r\n");
    assert_int_equal(kevyrt_unsubscribe(ear->subscriber, KEVYRT_SHARD_CHANNELS, NULL, 0),
                     KEVYRT_OK);
    assert_hears(ear, ">3\r\n$12\r\nsunsubscribe\r\n_\r\n:0\r\n");
    ear_free(ear);
    assert_call(server, "PUBLISH aa x", ":0\r\n");
    kevyrt_bell_free(loop.bell);
}

static void test_ways(void **state) {
    (void)state;
    for_each_variant(hears_each_way);
}

/* Connections and subscribers share channels, whoever comes and goes first. */
static void share_a_channel(struct kevyrt_server *server) {
    struct loop loop;
    loop_open(&loop);
    for (int first = 0; first < 2; first++) {
        int fd = first ? -1 : wire_open(server);
        if (!first)
            assert_answers(fd, "SUBSCRIBE a\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
        struct ear *ear = ear_new(server, &loop);
        subscribe(ear, "a");
        if (first) {
            fd = wire_open(server);
            assert_answers(fd, "SUBSCRIBE a\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
        }
        assert_call(server, "PUBLISH a x", ":2\r\n");
        assert_answers(fd, "", "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
        if (first) ear_free(ear);
        assert_answers(fd, "UNSUBSCRIBE a\r\n", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n");
        assert_call(server, "PUBLISH a x", first ? ":0\r\n" : ":1\r\n");
        if (!first) ear_free(ear);
        assert_call(server, "PUBSUB CHANNELS", "*0\r\n");
        close(fd);
    }
    kevyrt_bell_free(loop.bell);
}

static void test_shared(void **state) {
    (void)state;
    for_each_variant(share_a_channel);
}

static void refuse_memory(struct kevyrt_server *server) {
    struct loop loop;
    loop_open(&loop);
    struct ear *ear = ear_new(server, &loop);
    struct bytes names[] = {BYTES_LITERAL("a"), BYTES_LITERAL("b"), BYTES_LITERAL("c")};
    for (long n = 1;; n++) {
        mem_fail_after(n);
        enum kevyrt_status status = kevyrt_subscribe(ear->subscriber, KEVYRT_CHANNELS, names, 3);
        mem_fail_after(0);
        if (status == KEVYRT_OK) break;
        assert_int_equal(status, KEVYRT_NO_MEMORY);
        assert_call(server, "PUBSUB CHANNELS", "*0\r\n");
        struct kevyrt_message message;
        assert_int_equal(kevyrt_subscriber_take(ear->subscriber, &message), KEVYRT_BLOCKED);
    }
    assert_call(server, "PUBLISH b x", ":1\r\n");
    ear_free(ear);
    kevyrt_bell_free(loop.bell);
}

static void test_memory(void **state) {
    (void)state;
    struct variant one = {"one shard", "epoll", "1", "auto", "0"};
    struct kevyrt_server *server = server_open(&one);
    refuse_memory(server);
    server_close(server);
}

/* ---- Threads ------------------------------------------------------------------------------------- */

struct crowd {
    struct kevyrt_server *server;
    atomic_int joined;
};

static void *publish_all(void *context) {
    struct crowd *crowd = context;
    struct bytes argv[] = {BYTES_LITERAL("PUBLISH"), BYTES_LITERAL("a"), BYTES_LITERAL("x")};
    for (int i = 0; i < MESSAGES; i++) {
        struct kevyrt_reply reply;
        assert_int_equal(kevyrt_call(crowd->server, NULL, 0, argv, 3, KEVYRT_WAIT, &reply),
                         KEVYRT_OK);
        kevyrt_reply_free(&reply);
    }
    return NULL;
}

/* Hears all that is published, in a loop. */
static void *hear_all(void *context) {
    struct crowd *crowd = context;
    struct loop loop;
    loop_open(&loop);
    struct ear *ear = ear_new(crowd->server, &loop);
    subscribe(ear, "a");
    atomic_fetch_add(&crowd->joined, 1);
    for (int i = 0; i < PUBLISHERS * MESSAGES + 1; i++) {
        struct kevyrt_message message;
        assert_int_equal(hear(ear, &message), KEVYRT_OK);
        kevyrt_message_free(&message);
    }
    ear_free(ear);
    kevyrt_bell_free(loop.bell);
    return NULL;
}

/* Comes and goes; sleeps without a loop, or arms and does not wait. */
static void *come_and_go(void *context) {
    struct crowd *crowd = context;
    struct loop loop;
    loop_open(&loop);
    for (int i = 0; i < JOINS; i++) {
        struct kevyrt_message message;
        struct ear *ear = ear_new(crowd->server, &loop);
        subscribe(ear, "a");
        while (kevyrt_subscriber_take(ear->subscriber, &message) == KEVYRT_OK)
            kevyrt_message_free(&message);
        if (i % 3 == 0) (void)kevyrt_subscriber_wait(ear->subscriber, kevyrt_now_ns() + 10000);
        if (i % 3 == 1) kevyrt_subscriber_arm(ear->subscriber);
        if (i % 2) {
            kevyrt_subscriber_disarm(ear->subscriber);
            (void)kevyrt_bell_take(loop.bell);
        }
        ear_free(ear);
    }
    kevyrt_bell_free(loop.bell);
    return NULL;
}

static void crowd(struct kevyrt_server *server) {
    pthread_t threads[PUBLISHERS + 3];
    struct crowd crowd = {.server = server};
    pthread_create(&threads[0], NULL, hear_all, &crowd);
    pthread_create(&threads[1], NULL, hear_all, &crowd);
    while (atomic_load(&crowd.joined) < 2) usleep(100);
    pthread_create(&threads[2], NULL, come_and_go, &crowd);
    for (int i = 3; i < PUBLISHERS + 3; i++) pthread_create(&threads[i], NULL, publish_all, &crowd);
    for (int i = 0; i < PUBLISHERS + 3; i++) pthread_join(threads[i], NULL);
    assert_call(server, "PUBSUB CHANNELS", "*0\r\n");
}

static void test_crowd(void **state) {
    (void)state;
    for_each_variant(crowd);
}

static void *hear_the_stop(void *context) {
    struct crowd *crowd = context;
    struct loop loop;
    struct kevyrt_message message;
    loop_open(&loop);
    struct ear *ear = ear_new(crowd->server, &loop);
    subscribe(ear, "a");
    assert_int_equal(hear(ear, &message), KEVYRT_OK);
    kevyrt_message_free(&message);
    atomic_fetch_add(&crowd->joined, 1);
    assert_int_equal(hear(ear, &message), KEVYRT_STOPPED);
    ear_free(ear);
    kevyrt_bell_free(loop.bell);
    return NULL;
}

static void stop_meanwhile(const struct variant *variant) {
    pthread_t threads[3];
    struct crowd crowd = {.server = server_open(variant)};
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, hear_the_stop, &crowd);
    while (atomic_load(&crowd.joined) < 3) usleep(100);
    kevyrt_server_stop(crowd.server);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    server_start(crowd.server);
    assert_call(crowd.server, "PUBLISH a x", ":0\r\n");
    server_close(crowd.server);
}

static void test_stop(void **state) {
    (void)state;
    for_each_setting(stop_meanwhile);
}

/* ---- Waiting in a loop ------------------------------------------------------------------------------ */

struct pop {
    struct kevyrt_mark mark; /* first */
    struct kevyrt_waiting *waiting;
};

static void *push_all(void *context) {
    struct bytes argv[] = {BYTES_LITERAL("RPUSH"), BYTES_LITERAL("q"), BYTES_LITERAL("x")};
    for (int i = 0; i < CANCELS; i++) {
        struct kevyrt_reply reply;
        assert_int_equal(kevyrt_call(context, NULL, 0, argv, 3, KEVYRT_WAIT, &reply), KEVYRT_OK);
        kevyrt_reply_free(&reply);
    }
    return NULL;
}

/* True: it has got one. A cancel that is too late is followed by the ring. */
static bool pop_or_cancel(struct kevyrt_server *server, struct loop *loop) {
    struct bytes argv[] = {BYTES_LITERAL("BLPOP"), BYTES_LITERAL("q"), BYTES_LITERAL("0")};
    struct kevyrt_reply reply;
    enum kevyrt_status status = kevyrt_call(server, NULL, 0, argv, 3, KEVYRT_WAIT, &reply);
    if (status == KEVYRT_OK) {
        kevyrt_reply_free(&reply);
        return true;
    }
    assert_int_equal(status, KEVYRT_BLOCKED);
    struct pop pop = {{NULL, loop->bell}, reply.waiting};
    kevyrt_waiting_call_back(pop.waiting, kevyrt_bell_ring, &pop);
    status = kevyrt_waiting_try_cancel(pop.waiting, &reply);
    if (status == KEVYRT_BLOCKED) {
        (void)loop_next(loop);
        do status = kevyrt_waiting_wait(pop.waiting, kevyrt_now_ns() + 1000000000, &reply);
        while (status == KEVYRT_BLOCKED || status == KEVYRT_TIMEOUT);
        assert_int_equal(status, KEVYRT_OK);
    }
    if (status == KEVYRT_OK) kevyrt_reply_free(&reply);
    else assert_int_equal(status, KEVYRT_CANCELLED);
    kevyrt_waiting_put(pop.waiting);
    (void)kevyrt_bell_take(loop->bell);
    return status == KEVYRT_OK;
}

static void cancel_all(struct kevyrt_server *server) {
    pthread_t thread;
    struct loop loop;
    char reply[REPLY_MAX], expected[32];
    int popped = 0;
    loop_open(&loop);
    pthread_create(&thread, NULL, push_all, server);
    for (int i = 0; i < CANCELS / 2; i++) popped += pop_or_cancel(server, &loop);
    pthread_join(thread, NULL);
    assert_int_equal(call(server, "LLEN q", reply), KEVYRT_OK);
    (void)snprintf(expected, sizeof expected, ":%d\r\n", CANCELS - popped);
    assert_string_equal(reply, expected);
    kevyrt_bell_free(loop.bell);
}

static void test_cancels(void **state) {
    (void)state;
    for_each_variant(cancel_all);
}

/* ---- The log ---------------------------------------------------------------------------------------- */

static struct kevyrt_waiting *set_unsafely(struct kevyrt_server *server, int i) {
    char key[16];
    uint64_t ticket;
    struct kevyrt_waiting *waiting = NULL;
    (void)snprintf(key, sizeof key, "k%d", i);
    enum kevyrt_status status = kevyrt_set(server, 0, bytes_of(key, strlen(key)), bytes_of("v", 1),
                                           KEVYRT_WAIT_BATONS, &ticket);
    if (status == KEVYRT_UNSAFE) status = kevyrt_settle_later(server, ticket, &waiting);
    assert_true(status == KEVYRT_OK || status == KEVYRT_BLOCKED);
    return waiting;
}

/* Some are waited for, some given up, some armed and given up. */
static void settle_all(struct kevyrt_server *server, struct loop *loop) {
    struct pop pops[SETS];
    for (int i = 0; i < SETS; i++) {
        pops[i] = (struct pop){{NULL, loop->bell}, set_unsafely(server, i)};
        if (pops[i].waiting && i % 3)
            kevyrt_waiting_call_back(pops[i].waiting, kevyrt_bell_ring, &pops[i]);
    }
    for (int i = 0; i < SETS; i++) {
        struct kevyrt_reply reply;
        enum kevyrt_status status = KEVYRT_BLOCKED;
        if (!pops[i].waiting) continue;
        while (i % 3 != 2 && (status == KEVYRT_BLOCKED || status == KEVYRT_TIMEOUT))
            status = kevyrt_waiting_wait(pops[i].waiting, kevyrt_now_ns() + 1000000000, &reply);
        if (i % 3 != 2) {
            assert_int_equal(status, KEVYRT_OK);
            assert_int_equal(reply.len, 0);
            kevyrt_reply_free(&reply);
        }
        kevyrt_waiting_put(pops[i].waiting);
    }
    (void)kevyrt_bell_take(loop->bell);
}

static void test_log(void **state) {
    (void)state;
    char folder[] = "/tmp/krt-aio-XXXXXX", command[64];
    assert_non_null(mkdtemp(folder));
    struct kevyrt_setting settings[] = {{"port", "0"},
                                        {"appendonly", "yes"},
                                        {"appendfsync", "always"},
                                        {"dir", folder},
                                        {"save", ""}};
    struct kevyrt_server *server;
    struct loop loop;
    loop_open(&loop);
    assert_int_equal(kevyrt_server_new(settings, 5, &server, NULL), KEVYRT_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kevyrt_server_start(server, NULL), KEVYRT_OK);
        settle_all(server, &loop);
        struct kevyrt_waiting *last = set_unsafely(server, 0);
        kevyrt_server_stop(server);
        if (last) {
            struct kevyrt_reply reply;
            assert_int_equal(kevyrt_waiting_wait(last, UINT64_MAX, &reply), KEVYRT_OK);
            kevyrt_waiting_put(last);
        }
    }
    kevyrt_server_put(server);
    kevyrt_bell_free(loop.bell);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_in_order), cmocka_unit_test(test_ways),
        cmocka_unit_test(test_shared),    cmocka_unit_test(test_memory),
        cmocka_unit_test(test_crowd),     cmocka_unit_test(test_stop),
        cmocka_unit_test(test_cancels),   cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
