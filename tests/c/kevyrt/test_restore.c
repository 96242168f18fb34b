/* Snapshots in memory, and restores of them in place: whole for whoever looks, and nothing at all where memory was refused. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kevyrt/servers.h"
#include "plat/clock.h"

enum { RESTORES = 40, READERS = 2, ATTEMPTS_MAX = 3000 };

#define SECONDS_20 UINT64_C(20000000000)

static enum kevyrt_status finish(struct kevyrt_job *job) {
    struct kevyrt_error error;
    enum kevyrt_status status;
    do status = kevyrt_job_wait(job, clock_monotonic_ns() + SECONDS_20, &error);
    while (status == KEVYRT_BLOCKED);
    assert_int_not_equal(status, KEVYRT_TIMEOUT);
    return status;
}

/* NULL: no memory. */
static struct kevyrt_snapshot *take(struct kevyrt_server *server) {
    struct kevyrt_job *job;
    struct kevyrt_error error;
    struct kevyrt_snapshot *snapshot = NULL;
    enum kevyrt_status status = kevyrt_snapshot_take(server, &job, &error);
    if (status == KEVYRT_OK) {
        status = finish(job);
        if (status == KEVYRT_OK) snapshot = kevyrt_job_snapshot(job);
        kevyrt_job_put(job);
    }
    assert_true(status == KEVYRT_OK || status == KEVYRT_NO_MEMORY);
    return snapshot;
}

static enum kevyrt_status restore(struct kevyrt_server *server,
                                  const struct kevyrt_snapshot *snapshot) {
    struct kevyrt_source source = {.snapshot = snapshot};
    struct kevyrt_job *job;
    struct kevyrt_error error;
    enum kevyrt_status status = kevyrt_restore(server, &source, &job, &error);
    if (status != KEVYRT_OK) return status;
    status = finish(job);
    kevyrt_job_put(job);
    return status;
}

static void fill(struct kevyrt_server *server, const char *value) {
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    char line[64];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(line, sizeof line, "SET %s %s", keys[i], value);
        assert_call(server, line, "+OK\r\n");
    }
    assert_call(server, "DEL list set hash zset stream", ":0\r\n");
    assert_call(server, "RPUSH list 1 2 3", ":3\r\n");
    assert_call(server, "SADD set x y z", ":3\r\n");
    assert_call(server, "HSET hash f 1 g 2", ":2\r\n");
    assert_call(server, "ZADD zset 1 x 2 y", ":2\r\n");
    assert_call(server, "XADD stream 1-1 f v", "$3\r\n1-1\r\n");
    assert_call(server, "EXPIRE a 1000", ":1\r\n");
}

static void test_there_and_back(struct kevyrt_server *server) {
    fill(server, "before");
    struct kevyrt_snapshot *snapshot = take(server);
    assert_non_null(snapshot);
    assert_call(server, "FLUSHALL", "+OK\r\n");
    assert_call(server, "SET later 1", "+OK\r\n");
    assert_int_equal(restore(server, snapshot), KEVYRT_OK);
    assert_call(server, "GET h", "$6\r\nbefore\r\n");
    assert_call(server, "EXISTS later", ":0\r\n");
    assert_call(server, "DBSIZE", ":13\r\n");
    assert_call(server, "TTL a", ":1000\r\n");
    kevyrt_snapshot_put(snapshot);
}

/* Whatever is refused, the data is one or the other. */
static void test_refused_memory(struct kevyrt_server *server) {
    fill(server, "before");
    struct kevyrt_snapshot *snapshot = take(server);
    assert_non_null(snapshot);
    assert_call(server, "FLUSHALL", "+OK\r\n");
    assert_call(server, "SET later 1", "+OK\r\n");
    for (long n = 1;; n++) {
        assert_true(n < ATTEMPTS_MAX);
        mem_fail_after(n);
        struct kevyrt_snapshot *other = take(server);
        mem_fail_after(0);
        kevyrt_snapshot_put(other);
        if (other) break;
        assert_call(server, "DBSIZE", ":1\r\n");
    }
    for (long n = 1;; n++) {
        assert_true(n < ATTEMPTS_MAX);
        mem_fail_after(n);
        enum kevyrt_status status = restore(server, snapshot);
        mem_fail_after(0);
        if (status == KEVYRT_OK) break;
        assert_true(status == KEVYRT_NO_MEMORY || status == KEVYRT_SYSTEM);
        assert_call(server, "GET later", "$1\r\n1\r\n");
        assert_call(server, "DBSIZE", ":1\r\n");
    }
    assert_call(server, "DBSIZE", ":13\r\n");
    assert_call(server, "GET h", "$6\r\nbefore\r\n");
    kevyrt_snapshot_put(snapshot);
}

/* ---- Others meanwhile ------------------------------------------------------------------------------- */

struct reader {
    struct kevyrt_server *server;
    pthread_t thread;
    bool stop, mixed;
};

static void *read_pairs(void *argument) {
    struct reader *reader = argument;
    char out[REPLY_MAX];
    while (!__atomic_load_n(&reader->stop, __ATOMIC_RELAXED)) {
        if (call(reader->server, "MGET a h c", out) != KEVYRT_OK) break;
        bool old = strcmp(out, "*3\r\n$3\r\none\r\n$3\r\none\r\n$3\r\none\r\n") == 0;
        bool new = strcmp(out, "*3\r\n$3\r\ntwo\r\n$3\r\ntwo\r\n$3\r\ntwo\r\n") == 0;
        if (!old && !new) reader->mixed = true;
    }
    return NULL;
}

static void test_nobody_sees_a_half(struct kevyrt_server *server) {
    struct reader readers[READERS] = {0};
    struct kevyrt_snapshot *snapshots[2];
    fill(server, "one");
    snapshots[0] = take(server);
    assert_call(server, "FLUSHALL", "+OK\r\n");
    fill(server, "two");
    snapshots[1] = take(server);
    for (int i = 0; i < READERS; i++) {
        readers[i].server = server;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_pairs, &readers[i]), 0);
    }
    for (int i = 0; i < RESTORES; i++)
        assert_int_equal(restore(server, snapshots[i % 2]), KEVYRT_OK);
    for (int i = 0; i < READERS; i++) {
        __atomic_store_n(&readers[i].stop, true, __ATOMIC_RELAXED);
        pthread_join(readers[i].thread, NULL);
        assert_false(readers[i].mixed);
    }
    kevyrt_snapshot_put(snapshots[0]);
    kevyrt_snapshot_put(snapshots[1]);
}

/* ---- With a log ------------------------------------------------------------------------------------- */

static void rewrite(struct kevyrt_server *server) {
    struct kevyrt_job *job;
    struct kevyrt_error error;
    assert_int_equal(kevyrt_rewrite(server, true, &job, &error), KEVYRT_OK);
    assert_int_equal(finish(job), KEVYRT_OK);
    kevyrt_job_put(job);
}

static struct kevyrt_server *server_with_log(const char *folder) {
    struct kevyrt_setting settings[] = {
        {"port", "0"},         {"threads", "3"}, {"appendonly", "yes"},
        {"appendfsync", "no"}, {"dir", folder},
    };
    struct kevyrt_error error = {0};
    struct kevyrt_server *server = NULL;
    if (kevyrt_server_new(settings, sizeof settings / sizeof *settings, &server, &error) !=
        KEVYRT_OK)
        fail_msg("%s", error.text);
    server_start(server);
    return server;
}

/* Readers, restores and rewrites; what the log has afterwards is what was served. */
static void test_with_a_log(void **state) {
    (void)state;
    char folder[] = "/tmp/krtrestoreXXXXXX", command[64], value[REPLY_MAX];
    assert_non_null(mkdtemp(folder));
    struct kevyrt_server *server = server_with_log(folder);
    struct reader reader = {.server = server};
    fill(server, "one");
    struct kevyrt_snapshot *snapshot = take(server);
    assert_int_equal(pthread_create(&reader.thread, NULL, read_pairs, &reader), 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(restore(server, snapshot), KEVYRT_OK);
        assert_call(server, "INCR count", ":1\r\n");
        if (i % 2) rewrite(server);
    }
    __atomic_store_n(&reader.stop, true, __ATOMIC_RELAXED);
    pthread_join(reader.thread, NULL);
    assert_false(reader.mixed);
    assert_call(server, "SET later 1", "+OK\r\n");
    assert_int_equal(call(server, "HGETALL hash", value), KEVYRT_OK);
    server_close(server);
    server = server_with_log(folder);
    assert_call(server, "DBSIZE", ":15\r\n");
    assert_call(server, "MGET a h later", "*3\r\n$3\r\none\r\n$3\r\none\r\n$1\r\n1\r\n");
    assert_call(server, "HGETALL hash", value);
    kevyrt_snapshot_put(snapshot);
    server_close(server);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* A stop ends what is under way, and a snapshot outlives it. */
static void test_stopped(const struct variant *variant) {
    struct kevyrt_server *server = server_open(variant);
    struct kevyrt_job *jobs[2];
    struct kevyrt_error error;
    fill(server, "before");
    struct kevyrt_snapshot *snapshot = take(server);
    struct kevyrt_source source = {.snapshot = snapshot};
    assert_int_equal(kevyrt_restore(server, &source, &jobs[0], &error), KEVYRT_OK);
    assert_int_equal(kevyrt_snapshot_take(server, &jobs[1], &error), KEVYRT_OK);
    kevyrt_server_stop(server);
    for (int i = 0; i < 2; i++) {
        enum kevyrt_status status = finish(jobs[i]);
        assert_true(status == KEVYRT_OK || status == KEVYRT_STOPPED);
        kevyrt_job_put(jobs[i]);
    }
    assert_int_equal(kevyrt_restore(server, &source, &jobs[0], &error), KEVYRT_STOPPED);
    kevyrt_server_load(server, &source);
    server_start(server);
    assert_call(server, "GET h", "$6\r\nbefore\r\n");
    assert_int_equal(kevyrt_restore(server, &source, &jobs[0], &error), KEVYRT_OK);
    kevyrt_job_cancel(jobs[0]);
    enum kevyrt_status status = finish(jobs[0]);
    assert_true(status == KEVYRT_OK || status == KEVYRT_CANCELLED);
    kevyrt_job_put(jobs[0]);
    assert_call(server, "DBSIZE", ":13\r\n");
    kevyrt_snapshot_put(snapshot);
    server_close(server);
}

static void run_there_and_back(void **state) {
    (void)state;
    for_each_variant(test_there_and_back);
}

static void run_refused_memory(void **state) {
    (void)state;
    for_each_variant(test_refused_memory);
}

static void run_nobody_sees_a_half(void **state) {
    (void)state;
    for_each_variant(test_nobody_sees_a_half);
}

static void run_stopped(void **state) {
    (void)state;
    for_each_setting(test_stopped);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_there_and_back),
        cmocka_unit_test(run_refused_memory),
        cmocka_unit_test(run_nobody_sees_a_half),
        cmocka_unit_test(test_with_a_log),
        cmocka_unit_test(run_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
