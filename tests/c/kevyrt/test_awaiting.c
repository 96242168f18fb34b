/* Commands that a thread of the server's answers (shard/blocking/await.h). A row that no server has (FAILOVER) stands for them. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/mem.h"
#include "kevyrt/servers.h"
#include "plat/clock.h"
#include "server/server.h"
#include "shard/shard.h"

/* By the handler, for the test, which may be ahead of it; NULL: not yet. */
static _Atomic(struct waiter *) told;
static _Atomic(const struct await_kind *) kind;
static _Atomic int64_t timeout_ms;

static void nothing(const struct waiter *waiter, struct reply *reply) {
    reply_integer(reply, (int64_t)waiter->number);
}

static const struct await_kind ending = {.nothing = nothing}, endless = {0};

static void handler(struct call *call) {
    if (!await_is_possible(call)) {
        call_error(call, "ERR not here");
        return;
    }
    atomic_store_release(
        &told, await_begin(call, atomic_load_acquire(&kind), atomic_load_acquire(&timeout_ms), 7));
}

/* What the next one begins with. */
static void expect(const struct await_kind *of, int64_t ms) {
    atomic_store_release(&kind, of);
    atomic_store_release(&timeout_ms, ms);
}

static void write_answer(struct reply *reply, void *context) {
    reply_simple(reply, context);
}

static void *teller(void *context) {
    struct waiter *waiter;
    while (!(waiter = atomic_swap_acquire(&told, NULL))) sched_yield();
    await_answer(waiter, write_answer, context);
    return NULL;
}

static void answer_elsewhere(const char *text) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, teller, (void *)(uintptr_t)text), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static enum kevyrt_status begin(struct kevyrt_server *server, struct kevyrt_reply *reply) {
    struct bytes argv[] = {BYTES_LITERAL("FAILOVER")};
    return kevyrt_call(server, NULL, 0, argv, 1, KEVYRT_WAIT, reply);
}

static uint64_t soon(void) {
    return clock_monotonic_ns() + UINT64_C(10000000000);
}

static void test_in_process(struct kevyrt_server *server) {
    struct kevyrt_reply reply;
    expect(&endless, 0);
    assert_int_equal(begin(server, &reply), KEVYRT_BLOCKED);
    struct kevyrt_waiting *waiting = reply.waiting;
    answer_elsewhere("done");
    assert_int_equal(kevyrt_waiting_wait(waiting, soon(), &reply), KEVYRT_OK);
    assert_memory_equal(reply.at, "+done\r\n", 7);
    kevyrt_reply_free(&reply);
    kevyrt_waiting_put(waiting);
    /* The time is over, then the answer comes; and one that is given up. */
    expect(&ending, 1);
    assert_int_equal(begin(server, &reply), KEVYRT_BLOCKED);
    waiting = reply.waiting;
    assert_int_equal(kevyrt_waiting_wait(waiting, soon(), &reply), KEVYRT_OK);
    assert_memory_equal(reply.at, ":7\r\n", 4);
    kevyrt_reply_free(&reply);
    kevyrt_waiting_put(waiting);
    answer_elsewhere("late");
    atomic_store_release(&timeout_ms, 0);
    assert_int_equal(begin(server, &reply), KEVYRT_BLOCKED);
    kevyrt_waiting_put(reply.waiting);
    answer_elsewhere("late");
    assert_int_equal(atomic_load_relaxed(&server->fabric.waiters), 0);
}

static void wait_until_it_waits(struct kevyrt_server *server) {
    while (atomic_load_relaxed(&server->fabric.waiters) == 0) sched_yield();
}

static void test_connection(struct kevyrt_server *server) {
    int fd = wire_open(server);
    expect(&endless, 0);
    wire_say(fd, "FAILOVER\r\nPING\r\n");
    wait_until_it_waits(server);
    char id[64];
    assert_call(server, "CLIENT UNBLOCK 1", ":0\r\n");
    answer_elsewhere("done");
    assert_true(wire_receive(fd, id, 14));
    assert_memory_equal(id, "+done\r\n+PONG\r\n", 14);
    assert_answers(fd, "MULTI\r\nFAILOVER\r\nEXEC\r\n",
                   "+OK\r\n+QUEUED\r\n*1\r\n-ERR not here\r\n");
    expect(&ending, 1);
    assert_answers(fd, "FAILOVER\r\n", ":7\r\n");
    answer_elsewhere("late");
    atomic_store_release(&timeout_ms, 0);
    wire_say(fd, "FAILOVER\r\n");
    wait_until_it_waits(server);
    close(fd); /* the client is gone before it is answered */
    while (atomic_load_relaxed(&server->fabric.waiters) != 0) sched_yield();
    answer_elsewhere("late");
}

/* The teller comes when everybody else has gone. */
static void test_stop(const struct variant *variant) {
    struct kevyrt_reply reply;
    struct kevyrt_server *server = server_open(variant);
    expect(&endless, 0);
    assert_int_equal(begin(server, &reply), KEVYRT_BLOCKED);
    kevyrt_server_stop(server);
    answer_elsewhere("late");
    assert_int_equal(kevyrt_waiting_wait(reply.waiting, soon(), &reply), KEVYRT_STOPPED);
    kevyrt_waiting_put(reply.waiting);
    server_close(server);
}

static void on_all_in_process(void **state) {
    (void)state;
    for_each_variant(test_in_process);
}

static void on_all_connection(void **state) {
    (void)state;
    for_each_variant(test_connection);
}

static void on_all_stop(void **state) {
    (void)state;
    for_each_setting(test_stop);
}

static int bind_row(void **state) {
    (void)state;
    struct kevyrt_server *server;
    struct kevyrt_error error;
    if (kevyrt_server_new(NULL, 0, &server, &error) != KEVYRT_OK) return -1; /* binds */
    kevyrt_server_put(server);
    struct command *row = (struct command *)(uintptr_t)command_find_name(BYTES_LITERAL("failover"));
    row->handler = handler;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_all_in_process),
        cmocka_unit_test(on_all_connection),
        cmocka_unit_test(on_all_stop),
    };
    return cmocka_run_group_tests(tests, bind_row, NULL);
}
