/* A server with a log on a disk whose syncs take as long as the test likes, or fail: what may leave, and when. */
#define _GNU_SOURCE
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "kevyrt/servers.h"
#include "plat/disk.h"
#include "server/server.h"

enum { PATIENCE_MS = 20000, SHORT_MS = 30 };

static void sleep_ms(long ms) {
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* ---- The disk ----------------------------------------------------------------------------------- */

enum { DISK_GOES, DISK_STANDS, DISK_FAILS, DISK_WRITES_NOTHING };

static atomic_u32 disk_mode;

static int slow_sync(const struct disk *disk, int fd) {
    while (atomic_load_seq_cst(&disk_mode) == DISK_STANDS) sleep_ms(1);
    if (atomic_load_seq_cst(&disk_mode) == DISK_FAILS) return -EIO;
    return disk_kernel.sync(disk, fd);
}

static int64_t slow_write(const struct disk *disk, int fd, const void *at, size_t len,
                          uint64_t offset) {
    while (atomic_load_seq_cst(&disk_mode) == DISK_WRITES_NOTHING) sleep_ms(1);
    return disk_kernel.write(disk, fd, at, len, offset);
}

static struct disk slow_disk;

static void set_disk(uint32_t mode) {
    atomic_store_seq_cst(&disk_mode, mode);
}

/* ---- Servers ------------------------------------------------------------------------------------ */

static char folder[] = "/tmp/krt-log-XXXXXX";

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk) {
    (void)stat, (void)kind, (void)walk;
    return remove(path);
}

static struct kevyrt_server *open_logged(const struct variant *variant, const char *sync) {
    struct kevyrt_setting settings[] = {
        {"port", "0"},
        {"io", variant->io},
        {"threads", variant->threads},
        {"debug-borrow", variant->borrow},
        {"debug-ring-entries", variant->ring_entries},
        {"appendonly", "yes"},
        {"appendfsync", sync},
        {"dir", folder},
    };
    struct kevyrt_server *server = NULL;
    struct kevyrt_error error = {0};
    (void)snprintf(folder, sizeof folder, "/tmp/krt-log-XXXXXX");
    assert_non_null(mkdtemp(folder));
    set_disk(DISK_GOES);
    if (kevyrt_server_new(settings, sizeof settings / sizeof *settings, &server, &error) !=
        KEVYRT_OK)
        fail_msg("%s", error.text);
    server_start(server);
    return server;
}

static void close_logged(struct kevyrt_server *server) {
    set_disk(DISK_GOES);
    server_close(server);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- Connections ---------------------------------------------------------------------------------- */

static void assert_silent(int fd) {
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&poller, 1, 0), 0);
}

static void assert_hears(int fd, const char *expected) {
    assert_answers(fd, "", expected);
}

static void assert_ended(int fd) {
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

/* ---- What is held ----------------------------------------------------------------------------------- */

static void held_replies(const struct variant *variant) {
    struct kevyrt_server *server = open_logged(variant, "always");
    int writer = wire_open(server), reader = wire_open(server), leaver = wire_open(server);
    int subscriber = wire_open(server), publisher = wire_open(server);
    assert_answers(subscriber, "SUBSCRIBE c\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    assert_answers(writer, "SET k 1\r\n", "+OK\r\n");
    set_disk(DISK_STANDS);
    wire_say(writer, "SET k 2\r\nGET k\r\n");
    wire_say(leaver, "SET left 1\r\nQUIT\r\n");
    sleep_ms(SHORT_MS);
    wire_say(reader, "GET k\r\n");
    wire_say(publisher, "GET k\r\nPUBLISH c seen\r\n");
    sleep_ms(SHORT_MS);
    int all[] = {writer, reader, leaver, subscriber, publisher};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) assert_silent(all[i]);
    set_disk(DISK_GOES);
    assert_hears(writer, "+OK\r\n$1\r\n2\r\n");
    assert_hears(reader, "$1\r\n2\r\n");
    assert_hears(leaver, "+OK\r\n+OK\r\n");
    assert_ended(leaver);
    assert_hears(publisher, "$1\r\n2\r\n:1\r\n");
    assert_hears(subscriber, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\nseen\r\n");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] != leaver) close(all[i]);
    close_logged(server);
}

static void test_held_replies(void **state) {
    (void)state;
    for_each_setting(held_replies);
}

/* What is told without being asked for, and who waited. */
static void held_pushes(const struct variant *variant) {
    struct kevyrt_server *server = open_logged(variant, "always");
    int monitor = wire_open(server), cacher = wire_open(server), waiter = wire_open(server);
    int pusher = wire_open(server);
    assert_answers(cacher, "HELLO 3 SETNAME x\r\n", "%7\r\n");
    (void)recv(cacher, (char[512]){0}, 512, 0);
    assert_answers(cacher, "CLIENT TRACKING ON\r\n", "+OK\r\n");
    assert_answers(cacher, "GET cached\r\n", "_\r\n");
    assert_answers(waiter, "PING\r\n", "+PONG\r\n");
    wire_say(waiter, "BLPOP q{1} q{2} 0\r\n");
    sleep_ms(SHORT_MS);
    assert_answers(monitor, "MONITOR\r\n", "+OK\r\n");
    set_disk(DISK_STANDS);
    wire_say(pusher, "RPUSH q{2} x\r\nSET cached 1\r\n");
    sleep_ms(SHORT_MS);
    int all[] = {monitor, cacher, waiter, pusher};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) assert_silent(all[i]);
    set_disk(DISK_GOES);
    assert_hears(waiter, "*2\r\n$4\r\nq{2}\r\n$1\r\nx\r\n");
    assert_hears(pusher, ":1\r\n+OK\r\n");
    assert_hears(cacher, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\ncached\r\n");
    assert_hears(monitor, "+");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) close(all[i]);
    close_logged(server);
}

static void test_held_pushes(void **state) {
    (void)state;
    for_each_setting(held_pushes);
}

static enum kevyrt_status try_call(struct kevyrt_server *server, const char *name, const char *key,
                                   const char *word, struct kevyrt_reply *reply) {
    struct bytes argv[] = {bytes_of(name, strlen(name)), bytes_of(key, strlen(key)),
                           bytes_of(word, strlen(word))};
    return kevyrt_call(server, NULL, 0, argv, *word ? 3 : 2, KEVYRT_WAIT_BATONS, reply);
}

static uint64_t soon(void) {
    return kevyrt_now_ns() + SHORT_MS * UINT64_C(1000000);
}

static void held_results(const struct variant *variant) {
    struct kevyrt_server *server = open_logged(variant, "always");
    struct kevyrt_reply set, get, pop, popped;
    struct kevyrt_value value;
    struct bytes key = BYTES_LITERAL("k");
    uint64_t ticket = 0;
    assert_int_equal(try_call(server, "BLPOP", "q", "0", &pop), KEVYRT_BLOCKED);
    set_disk(DISK_STANDS);
    assert_int_equal(try_call(server, "SET", "k", "1", &set), KEVYRT_UNSAFE);
    assert_int_equal(try_call(server, "GET", "k", "", &get), KEVYRT_UNSAFE);
    assert_int_equal(kevyrt_set(server, 0, key, BYTES_LITERAL("2"), KEVYRT_WAIT_BATONS, &ticket),
                     KEVYRT_UNSAFE);
    assert_int_equal(kevyrt_get(server, 0, key, KEVYRT_WAIT_BATONS, &value), KEVYRT_UNSAFE);
    struct kevyrt_reply push;
    assert_int_equal(try_call(server, "RPUSH", "q", "x", &push), KEVYRT_UNSAFE);
    assert_int_equal(kevyrt_waiting_wait(pop.waiting, soon(), &popped), KEVYRT_TIMEOUT);
    assert_int_equal(kevyrt_settle(server, ticket, soon()), KEVYRT_TIMEOUT);
    set_disk(DISK_GOES);
    assert_int_equal(kevyrt_settle(server, set.ticket, UINT64_MAX), KEVYRT_OK);
    assert_int_equal(kevyrt_settle(server, push.ticket, UINT64_MAX), KEVYRT_OK);
    assert_int_equal(kevyrt_settle(server, value.ticket, 0), KEVYRT_OK);
    assert_true(get.len == 7 && memcmp(get.at, "$1\r\n1\r\n", 7) == 0);
    assert_true(value.len == 1 && *value.at == '2');
    enum kevyrt_status status;
    do status = kevyrt_waiting_wait(pop.waiting, UINT64_MAX, &popped);
    while (status == KEVYRT_BLOCKED);
    assert_int_equal(status, KEVYRT_OK);
    kevyrt_reply_free(&popped);
    kevyrt_waiting_put(pop.waiting);
    kevyrt_value_put(&value);
    assert_call(server, "GET k", "$1\r\n2\r\n");
    close_logged(server);
}

static void test_held_results(void **state) {
    (void)state;
    for_each_setting(held_results);
}

/* ---- Stops --------------------------------------------------------------------------------------------- */

static void *stop(void *server) {
    kevyrt_server_stop(server);
    return NULL;
}

static void *set_stopped(void *server) {
    return (void *)(uintptr_t)kevyrt_set(server, 0, BYTES_LITERAL("own"), BYTES_LITERAL("1"),
                                         KEVYRT_WAIT, NULL);
}

/* Who waits for the log gets its answer when the last sync is done; nobody if it fails. */
static void stop_with(const struct variant *variant, uint32_t mode) {
    struct kevyrt_server *server = open_logged(variant, "always");
    pthread_t stopper, caller;
    void *result;
    int writer = wire_open(server);
    assert_answers(writer, "PING\r\n", "+PONG\r\n");
    set_disk(DISK_STANDS);
    wire_say(writer, "SET k 1\r\n");
    assert_int_equal(pthread_create(&caller, NULL, set_stopped, server), 0);
    while (!atomic_load_seq_cst(&server->waiters)) sleep_ms(1);
    sleep_ms(SHORT_MS);
    assert_int_equal(pthread_create(&stopper, NULL, stop, server), 0);
    sleep_ms(SHORT_MS);
    assert_silent(writer);
    set_disk(mode);
    if (mode == DISK_GOES) assert_hears(writer, "+OK\r\n");
    assert_ended(writer);
    (void)pthread_join(stopper, NULL);
    (void)pthread_join(caller, &result);
    assert_int_equal((uintptr_t)result, mode == DISK_GOES ? KEVYRT_OK : KEVYRT_STOPPED);
    close_logged(server);
}

static void stop_well(const struct variant *variant) {
    stop_with(variant, DISK_GOES);
}

static void stop_badly(const struct variant *variant) {
    stop_with(variant, DISK_FAILS);
}

static void test_stops(void **state) {
    (void)state;
    for_each_setting(stop_well);
    for_each_setting(stop_badly);
}

/* ---- A failing disk ------------------------------------------------------------------------------------ */

static void await_call(struct kevyrt_server *server, const char *line, const char *expected) {
    char reply[REPLY_MAX];
    for (int ms = 0;; ms++) {
        assert_int_equal(call(server, line, reply), KEVYRT_OK);
        if (strstr(reply, expected)) return;
        if (ms == PATIENCE_MS) fail_msg("%s: %s", line, reply);
        sleep_ms(1);
    }
}

static void failing_disk(const struct variant *variant) {
    struct kevyrt_server *server = open_logged(variant, "always");
    int writer = wire_open(server), other = wire_open(server);
    assert_answers(other, "SET k 1 PX 100000\r\n", "+OK\r\n");
    set_disk(DISK_FAILS);
    wire_say(writer, "SET k 2\r\n");
    await_call(server, "PING", "-MISCONF Errors writing to the AOF file: ");
    assert_silent(writer);
    assert_answers(other, "GET k\r\n", "$1\r\n2\r\n");
    assert_call(server, "GET k", "$1\r\n2\r\n");
    assert_answers(other, "MULTI\r\n", "+OK\r\n");
    assert_answers(other, "DEL k\r\n",
                   "-MISCONF Errors writing to the AOF file: Input/output error\r\n");
    assert_answers(other, "EXEC\r\n",
                   "-EXECABORT Transaction discarded because of previous errors.\r\n");
    set_disk(DISK_GOES);
    assert_hears(writer, "+OK\r\n");
    await_call(server, "SET k 3", "+OK");
    assert_answers(writer, "GET k\r\n", "$1\r\n3\r\n");
    close(writer);
    close(other);
    close_logged(server);
}

static void test_failing_disk(void **state) {
    (void)state;
    for_each_setting(failing_disk);
}

/* ---- WAITAOF ---------------------------------------------------------------------------------------------- */

static void waitaof(const struct variant *variant) {
    struct kevyrt_server *server = open_logged(variant, "everysec");
    int writer = wire_open(server), other = wire_open(server);
    set_disk(DISK_STANDS);
    assert_answers(other, "WAITAOF 1 0 0\r\n", "*2\r\n:1\r\n:0\r\n");
    assert_answers(writer, "SET k 1\r\n", "+OK\r\n");
    assert_answers(writer, "WAITAOF 1 0 20\r\n", "*2\r\n:0\r\n:0\r\n");
    assert_call(server, "WAITAOF 0 0 0", "*2\r\n:0\r\n:0\r\n");
    wire_say(writer, "WAITAOF 1 0 0\r\n");
    struct kevyrt_reply blocked, reply;
    struct bytes argv[] = {BYTES_LITERAL("WAITAOF"), BYTES_LITERAL("1"), BYTES_LITERAL("0"),
                           BYTES_LITERAL("0")};
    assert_int_equal(kevyrt_call(server, NULL, 0, argv, 4, KEVYRT_WAIT_BATONS, &blocked),
                     KEVYRT_BLOCKED);
    sleep_ms(SHORT_MS);
    assert_silent(writer);
    set_disk(DISK_GOES);
    assert_hears(writer, "*2\r\n:1\r\n:0\r\n");
    enum kevyrt_status status;
    do status = kevyrt_waiting_wait(blocked.waiting, UINT64_MAX, &reply);
    while (status == KEVYRT_BLOCKED);
    assert_int_equal(status, KEVYRT_OK);
    assert_true(reply.len == 12 && memcmp(reply.at, "*2\r\n:1\r\n:0\r\n", 12) == 0);
    kevyrt_reply_free(&reply);
    kevyrt_waiting_put(blocked.waiting);
    assert_answers(writer, "WAITAOF 0 1 5\r\n", "*2\r\n:1\r\n:0\r\n");
    assert_answers(writer, "WAITAOF 2 0 0\r\n",
                   "-ERR value is out of range, value must between 0 and 1\r\n");
    close(writer);
    close(other);
    close_logged(server);
}

static void test_waitaof(void **state) {
    (void)state;
    for_each_setting(waitaof);
}

/* ---- Back-pressure ------------------------------------------------------------------------------------------ */

enum { LARGE = 1 << 20, LARGE_COUNT = 128 };

static atomic_u32 sent_count;

static void *send_large(void *argument) {
    int fd = *(int *)argument;
    char *value = malloc(LARGE), head[64];
    memset(value, 'x', LARGE);
    for (int i = 0; i < LARGE_COUNT; i++) {
        wire_say(fd, "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n");
        (void)snprintf(head, sizeof head, "$%d\r\n", LARGE);
        wire_say(fd, head);
        wire_send(fd, value, LARGE);
        wire_say(fd, "\r\n");
        atomic_add_relaxed(&sent_count, 1);
    }
    free(value);
    return NULL;
}

/* The log's queue is full: clients wait, and not memory. */
static void back_pressure(const struct variant *variant) {
    if (strcmp(variant->name, "epoll-1") != 0 && strcmp(variant->name, "io_uring-4") != 0) return;
    struct kevyrt_server *server = open_logged(variant, "everysec");
    int writer = wire_open(server);
    pthread_t sender;
    atomic_store_relaxed(&sent_count, 0);
    assert_answers(writer, "PING\r\n", "+PONG\r\n");
    set_disk(DISK_WRITES_NOTHING);
    assert_int_equal(pthread_create(&sender, NULL, send_large, &writer), 0);
    uint32_t before, now = 0;
    do {
        before = now;
        sleep_ms(200);
        now = atomic_load_relaxed(&sent_count);
    } while (now != before || now == 0);
    assert_true(now >= 60 && now < 100);
    set_disk(DISK_GOES);
    for (int i = 0; i < LARGE_COUNT; i++) assert_hears(writer, "+OK\r\n");
    (void)pthread_join(sender, NULL);
    close(writer);
    close_logged(server);
}

static void test_back_pressure(void **state) {
    (void)state;
    for_each_setting(back_pressure);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_replies), cmocka_unit_test(test_held_pushes),
        cmocka_unit_test(test_held_results), cmocka_unit_test(test_stops),
        cmocka_unit_test(test_failing_disk), cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_waitaof),
    };
    slow_disk = disk_kernel;
    slow_disk.sync = slow_sync;
    slow_disk.write = slow_write;
    disk_default = &slow_disk;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
