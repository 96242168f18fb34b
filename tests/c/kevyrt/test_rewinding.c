/* Checkpoints of whole servers: all types come back, whatever memory is refused, while others write, and until the server stops. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "kevyrt/servers.h"

enum { ATTEMPTS_MAX = 3000, REWINDS = 200, WRITERS = 2, NAMES = 8 };

static struct kevyrt_checkpoint *take(struct kevyrt_server *server) {
    struct kevyrt_checkpoint *checkpoint;
    struct kevyrt_error error;
    assert_int_equal(kevyrt_checkpoint_take(server, &checkpoint, &error), KEVYRT_OK);
    return checkpoint;
}

static enum kevyrt_status rewind_to(struct kevyrt_checkpoint *checkpoint) {
    struct kevyrt_error error;
    return kevyrt_checkpoint_rewind(checkpoint, &error);
}

static void digest(struct kevyrt_server *server, char out[REPLY_MAX]) {
    assert_int_equal(call(server, "DEBUG DIGEST", out), KEVYRT_OK);
    assert_int_equal(out[0], '+');
}

static void fill_long(struct kevyrt_server *server, const char *format) {
    char line[128], reply[REPLY_MAX];
    for (int i = 0; i < 300; i++) {
        snprintf(line, sizeof line, format, i);
        assert_int_equal(call(server, line, reply), KEVYRT_OK);
    }
}

/* Keys so long that their entries need memory of their own. */
static void do_long_keys(struct kevyrt_server *server, const char *command, const char *rest) {
    char line[800], reply[REPLY_MAX], name[561] = "";
    memset(name, 'k', sizeof name - 1);
    for (char at = 'a'; at < 'e'; at++) {
        name[0] = at;
        snprintf(line, sizeof line, "%s %s %s", command, name, rest);
        assert_int_equal(call(server, line, reply), KEVYRT_OK);
        assert_int_not_equal(reply[0], '-');
    }
}

/* A key of every type, packed and in trees. */
static void fill(struct kevyrt_server *server) {
    char reply[REPLY_MAX];
    assert_call(server, "MSET a 1 b 2 c text", "+OK\r\n");
    assert_call(server, "SETRANGE page 1100000 x", ":1100001\r\n");
    assert_call(server, "RPUSH list 1 2 3", ":3\r\n");
    assert_call(server, "SADD set x y z", ":3\r\n");
    assert_call(server, "HSET hash f 1 g 2", ":2\r\n");
    assert_call(server, "HEXPIRE hash 1000 FIELDS 1 f", "*1\r\n:1\r\n");
    assert_call(server, "ZADD zset 1 x 2 y", ":2\r\n");
    assert_call(server, "XADD stream 1-1 f v", "$3\r\n1-1\r\n");
    assert_call(server, "XGROUP CREATE stream group 0", "+OK\r\n");
    do_long_keys(server, "SET", "value");
    fill_long(server, "RPUSH long-list %d");
    fill_long(server, "SADD long-set %d-member");
    fill_long(server, "ZADD long-zset %1$d member-%1$d");
    fill_long(server, "HSET long-hash f%d value");
    assert_int_equal(call(server, "PEXPIREAT a 9999999999999", reply), KEVYRT_OK);
}

static void change(struct kevyrt_server *server) {
    static const char *const lines[] = {
        "APPEND a 0",
        "PERSIST a",
        "DEL b",
        "SET b other",
        "EXPIRE c 1000",
        "SETRANGE page 5 y",
        "LPOP list",
        "SREM set x y z",
        "SADD set 1",
        "HDEL hash f",
        "ZINCRBY zset 5 x",
        "XADD stream 2-1 f v",
        "XREADGROUP GROUP group me STREAMS stream >",
        "LPUSH long-list 1",
        "SPOP long-set",
        "ZPOPMIN long-zset",
        "HEXPIRE long-hash 100 FIELDS 1 f1",
        "RENAME list other-list",
        "SET new 1",
        "COPY long-hash new-hash",
    };
    char reply[REPLY_MAX];
    do_long_keys(server, "UNLINK", "other");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(call(server, lines[i], reply), KEVYRT_OK);
        if (reply[0] == '-') fail_msg("%s: %s", lines[i], reply);
    }
}

static void test_there_and_back(struct kevyrt_server *server) {
    static const char *const wholes[] = {"FLUSHALL", "SWAPDB 0 3", "FLUSHDB", "PING"};
    char before[REPLY_MAX], after[REPLY_MAX], reply[REPLY_MAX];
    fill(server);
    struct kevyrt_checkpoint *checkpoint = take(server);
    digest(server, before);
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        change(server);
        assert_int_equal(call(server, wholes[i], reply), KEVYRT_OK);
        assert_int_equal(call(server, "SET later 1", reply), KEVYRT_OK);
        digest(server, after);
        assert_string_not_equal(before, after);
        assert_int_equal(rewind_to(checkpoint), KEVYRT_OK);
        digest(server, after);
        assert_string_equal(before, after);
        assert_call(server, "XPENDING stream group", "*4\r\n:0\r\n_\r\n_\r\n_\r\n");
    }
    kevyrt_checkpoint_put(checkpoint);
    digest(server, after);
    assert_string_equal(before, after);
}

/* The data is that of before the call, or of the checkpoint. */
static void test_refused_memory(struct kevyrt_server *server) {
    char before[REPLY_MAX], after[REPLY_MAX], now[REPLY_MAX];
    fill(server);
    digest(server, before);
    struct kevyrt_checkpoint *checkpoint = NULL;
    struct kevyrt_error error;
    for (long n = 1; !checkpoint; n++) {
        assert_true(n < ATTEMPTS_MAX);
        mem_fail_after(n);
        enum kevyrt_status status = kevyrt_checkpoint_take(server, &checkpoint, &error);
        mem_fail_after(0);
        assert_true(status == KEVYRT_OK || status == KEVYRT_NO_MEMORY);
    }
    change(server);
    assert_call(server, "FLUSHDB", "+OK\r\n");
    assert_call(server, "SET later 1", "+OK\r\n");
    digest(server, after);
    long n = 1;
    for (;; n++) {
        assert_true(n < ATTEMPTS_MAX);
        mem_fail_after(n);
        enum kevyrt_status status = rewind_to(checkpoint);
        mem_fail_after(0);
        digest(server, now);
        if (status == KEVYRT_OK) break;
        assert_int_equal(status, KEVYRT_NO_MEMORY);
        assert_string_equal(now, after);
    }
    assert_true(n > 1);
    assert_string_equal(now, before);
    kevyrt_checkpoint_put(checkpoint);
}

/* A value that cannot be kept is changed all the same, and then there is no way back. */
static void test_refused_keeping(struct kevyrt_server *server) {
    char reply[REPLY_MAX];
    fill(server);
    for (long n = 1;; n++) {
        struct kevyrt_checkpoint *checkpoint = take(server);
        assert_true(n < ATTEMPTS_MAX);
        mem_fail_after(n);
        enum kevyrt_status called = call(server, "HSET long-hash f1 other", reply);
        mem_fail_after(0);
        assert_true(called == KEVYRT_OK || called == KEVYRT_NO_MEMORY);
        enum kevyrt_status status = rewind_to(checkpoint);
        kevyrt_checkpoint_put(checkpoint);
        if (status == KEVYRT_OK) assert_call(server, "HGET long-hash f1", "$5\r\nvalue\r\n");
        else assert_int_equal(status, KEVYRT_NO_MEMORY);
        assert_call(server, "HSET long-hash f1 value", ":0\r\n");
        if (status == KEVYRT_OK && called == KEVYRT_OK && reply[0] == ':') break;
    }
}

/* ---- Others meanwhile ------------------------------------------------------------------------------- */

struct writer {
    struct kevyrt_server *server;
    pthread_t thread;
    int number;
    bool stop, mixed;
};

/* MSET is one instant, and so is going back: names are all as of one writer, or all as of the checkpoint. */
static void *write_all(void *argument) {
    struct writer *writer = argument;
    char line[128], reply[REPLY_MAX];
    int n = writer->number;
    snprintf(line, sizeof line, "MSET n0 %d n1 %d n2 %d n3 %d n4 %d n5 %d n6 %d n7 %d", n, n, n, n,
             n, n, n, n);
    while (!__atomic_load_n(&writer->stop, __ATOMIC_RELAXED)) {
        if (call(writer->server, line, reply) != KEVYRT_OK) break;
        if (call(writer->server, "MGET n0 n1 n2 n3 n4 n5 n6 n7", reply) != KEVYRT_OK) break;
        const char *at = strstr(reply, "\r\n") + 2;
        for (int i = 1; i < NAMES; i++)
            if (strncmp(at, at + (size_t)i * 7, 7) != 0) writer->mixed = true;
    }
    return NULL;
}

static void test_writers_meanwhile(struct kevyrt_server *server) {
    struct writer writers[WRITERS];
    assert_call(server, "MSET n0 0 n1 0 n2 0 n3 0 n4 0 n5 0 n6 0 n7 0", "+OK\r\n");
    struct kevyrt_checkpoint *checkpoint = take(server);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.server = server, .number = i + 1};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
    }
    for (int i = 0; i < REWINDS; i++) assert_int_equal(rewind_to(checkpoint), KEVYRT_OK);
    for (int i = 0; i < WRITERS; i++) {
        __atomic_store_n(&writers[i].stop, true, __ATOMIC_RELAXED);
        pthread_join(writers[i].thread, NULL);
        assert_false(writers[i].mixed);
    }
    assert_int_equal(rewind_to(checkpoint), KEVYRT_OK);
    assert_call(server, "MGET n0 n7", "*2\r\n$1\r\n0\r\n$1\r\n0\r\n");
    kevyrt_checkpoint_put(checkpoint);
}

/* ---- Its end ----------------------------------------------------------------------------------------- */

static void test_one_at_a_time(struct kevyrt_server *server) {
    struct kevyrt_checkpoint *first = take(server), *second;
    struct kevyrt_error error;
    assert_int_equal(kevyrt_checkpoint_take(server, &second, &error), KEVYRT_REFUSED);
    assert_string_equal(error.text, "there is a checkpoint already");
    kevyrt_checkpoint_put(first);
    second = take(server);
    kevyrt_server_stop(server);
    assert_int_equal(rewind_to(second), KEVYRT_STOPPED);
    server_start(server);
    assert_int_equal(kevyrt_checkpoint_renew(second, &error), KEVYRT_REFUSED);
    first = take(server);
    assert_int_equal(kevyrt_checkpoint_rewind(second, &error), KEVYRT_REFUSED);
    kevyrt_checkpoint_put(second);
    assert_int_equal(rewind_to(first), KEVYRT_OK);
    assert_call(server, "SET key 1", "+OK\r\n");
    assert_int_equal(kevyrt_checkpoint_renew(first, &error), KEVYRT_OK);
    assert_int_equal(rewind_to(first), KEVYRT_OK);
    assert_call(server, "GET key", "$1\r\n1\r\n");
    kevyrt_server_stop(server);
    kevyrt_checkpoint_put(first);
}

#define TEST(name)                         \
    static void run_##name(void **state) { \
        (void)state;                       \
        for_each_variant(test_##name);     \
    }

TEST(there_and_back)
TEST(refused_memory)
TEST(refused_keeping)
TEST(writers_meanwhile)
TEST(one_at_a_time)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_there_and_back),  cmocka_unit_test(run_refused_memory),
        cmocka_unit_test(run_refused_keeping), cmocka_unit_test(run_writers_meanwhile),
        cmocka_unit_test(run_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
