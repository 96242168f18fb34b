/* MIGRATE in process, to a target of the test's own, and with memory refused at every place: a key is here, or it has arrived
 * there. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/mem.h"
#include "kevyrt/servers.h"
#include "plat/clock.h"
#include "plat/dial.h"
#include "plat/socket.h"

enum { ATTEMPTS_MAX = 200, PART_BYTES = 4096 };

/* Takes connections one after the other, and says OK to whatever is restored. */
struct target {
    int listener, stop;
    uint16_t port;
    atomic_u32 restored; /* the target's thread and the test, acquire-release */
    pthread_t thread;
};

/* Values are short: a word is never cut in two by the end of a part. */
static void serve(struct target *target, int fd) {
    static const char word[] = "RESTORE";
    char part[PART_BYTES];
    for (ssize_t got; (got = dial_receive(fd, part, sizeof part, target->stop, UINT64_MAX)) > 0;) {
        char *end = part + got;
        for (char *at = part; (at = memmem(at, (size_t)(end - at), word, 7)); at += 7) {
            atomic_add_acq_rel(&target->restored, 1);
            (void)dial_send(fd, "+OK\r\n", 5, target->stop, UINT64_MAX);
        }
    }
}

static void *run_target(void *argument) {
    struct target *target = argument;
    for (;;) {
        int fd = socket_accept(target->listener);
        if (fd >= 0) {
            serve(target, fd);
            socket_close(fd);
        } else if (fd != -EAGAIN) {
            return NULL;
        } else {
            usleep(200);
        }
    }
}

static void target_open(struct target *target) {
    *target = (struct target){.stop = event_open()};
    target->listener = socket_listen_tcp("127.0.0.1", 0, 16, &target->port);
    assert_true(target->listener >= 0 && target->stop >= 0);
    assert_int_equal(pthread_create(&target->thread, NULL, run_target, target), 0);
}

static void target_close(struct target *target) {
    socket_shutdown(target->listener);
    event_signal(target->stop);
    assert_int_equal(pthread_join(target->thread, NULL), 0);
    socket_close(target->listener);
    socket_close(target->stop);
}

/* The reply as text, "" if there is none for want of memory. */
static void migrate(struct kevyrt_server *server, const struct target *target, long fail_after,
                    char out[REPLY_MAX]) {
    char port[8];
    struct kevyrt_reply reply;
    int len = snprintf(port, sizeof port, "%u", target->port);
    struct bytes argv[] = {BYTES_LITERAL("MIGRATE"),    BYTES_LITERAL("127.0.0.1"),
                           bytes_of(port, (size_t)len), BYTES_LITERAL("k"),
                           BYTES_LITERAL("-1"),         BYTES_LITERAL("5000")};
    out[0] = '\0';
    mem_fail_after(fail_after);
    enum kevyrt_status status = kevyrt_call(server, NULL, 0, argv, 6, KEVYRT_WAIT, &reply);
    if (status == KEVYRT_BLOCKED) {
        struct kevyrt_waiting *waiting = reply.waiting;
        uint64_t deadline_ns = clock_monotonic_ns() + UINT64_C(20000000000);
        status = kevyrt_waiting_wait(waiting, deadline_ns, &reply);
        kevyrt_waiting_put(waiting);
    }
    mem_fail_after(0);
    assert_true(status == KEVYRT_OK || status == KEVYRT_NO_MEMORY);
    if (status != KEVYRT_OK) return;
    assert_true(reply.len < REPLY_MAX);
    memcpy(out, reply.at, reply.len);
    out[reply.len] = '\0';
    kevyrt_reply_free(&reply);
}

static void test_in_process(struct kevyrt_server *server) {
    struct target target;
    char out[REPLY_MAX];
    target_open(&target);
    migrate(server, &target, 0, out);
    assert_string_equal(out, "+NOKEY\r\n");
    assert_call(server, "SET k v", "+OK\r\n");
    migrate(server, &target, 0, out);
    assert_string_equal(out, "+OK\r\n");
    assert_call(server, "EXISTS k", ":0\r\n");
    assert_int_equal(atomic_load_acquire(&target.restored), 1);
    target_close(&target);
}

static void test_refused(struct kevyrt_server *server) {
    struct target target;
    char out[REPLY_MAX] = "", exists[REPLY_MAX];
    uint32_t refused = 0;
    target_open(&target);
    for (long fail_after = 1; strcmp(out, "+OK\r\n") != 0; fail_after++) {
        assert_true(fail_after < ATTEMPTS_MAX);
        assert_call(server, "SET k v", "+OK\r\n");
        uint32_t restored = atomic_load_acquire(&target.restored);
        migrate(server, &target, fail_after, out);
        assert_int_equal(call(server, "EXISTS k", exists), KEVYRT_OK);
        bool arrived = atomic_load_acquire(&target.restored) > restored;
        assert_true(arrived || strcmp(exists, ":1\r\n") == 0);
        assert_true(strcmp(out, "+OK\r\n") != 0 || strcmp(exists, ":0\r\n") == 0);
        refused += strcmp(exists, ":1\r\n") == 0;
    }
    assert_true(refused > 3);
    target_close(&target);
}

static void on_all_in_process(void **state) {
    (void)state;
    for_each_variant(test_in_process);
}

static void on_all_refused(void **state) {
    (void)state;
    for_each_variant(test_refused);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_all_in_process),
        cmocka_unit_test(on_all_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
