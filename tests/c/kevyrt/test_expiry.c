/* Active expiry in a running server: it wakes nobody while no key and no field has a deadline, and stops when
 * none has any more. */
#include <stdio.h>
#include <time.h>

#include "servers.h"

enum { QUIET_MS = 230, KEYS = 300 }; /* two periods of active expiry and some */

static void wait_ms(int ms) {
    struct timespec time = {.tv_nsec = ms * 1000000L};
    (void)nanosleep(&time, NULL);
}

static uint64_t total_loops(struct kevyrt_server *server) {
    struct kevyrt_stats stats;
    uint64_t loops = 0;
    assert_int_equal(kevyrt_stats(server, &stats), KEVYRT_OK);
    for (uint32_t i = 0; i < stats.shard_count; i++) loops += stats.shards[i].loops;
    return loops;
}

static uint64_t total_keys(struct kevyrt_server *server) {
    struct kevyrt_stats stats;
    uint64_t keys = 0;
    assert_int_equal(kevyrt_stats(server, &stats), KEVYRT_OK);
    for (uint32_t i = 0; i < stats.shard_count; i++) keys += stats.shards[i].keys;
    return keys;
}

static void assert_quiet(struct kevyrt_server *server) {
    wait_ms(20); /* what was under way */
    uint64_t before = total_loops(server);
    wait_ms(QUIET_MS);
    assert_int_equal(total_loops(server), before);
}

static void call_many(struct kevyrt_server *server, const char *format, const char *reply) {
    for (int i = 0; i < KEYS; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, format, i);
        assert_call(server, line, reply);
    }
}

static void set_keys(struct kevyrt_server *server, const char *format) {
    call_many(server, format, "+OK\r\n");
}

static void await_keys(struct kevyrt_server *server, uint64_t keys) {
    for (int tries = 0; total_keys(server) > keys; tries++) {
        assert_true(tries < 500);
        wait_ms(10);
    }
}

static void expire_and_be_quiet(struct kevyrt_server *server) {
    set_keys(server, "SET plain:%d v");
    assert_quiet(server);
    set_keys(server, "SET short:%d v PX 20");
    assert_call(server, "SET moved v PX 1000000", "+OK\r\n");
    assert_call(server, "RENAME moved again", "+OK\r\n");
    await_keys(server, KEYS + 1);
    assert_call(server, "PERSIST again", ":1\r\n");
    wait_ms(110); /* the round that finds nothing left */
    assert_quiet(server);
}

static void test_no_wake_ups_without_deadlines(void **state) {
    (void)state;
    for_each_variant(expire_and_be_quiet);
}

/* The first deadline of a field wakes a thread that sleeps, like that of a key. */
static void expire_fields_and_be_quiet(struct kevyrt_server *server) {
    call_many(server, "HSET hash:%d a 1 b 2", ":2\r\n");
    assert_quiet(server);
    call_many(server, "HPEXPIRE hash:%d 20 FIELDS 1 a", "*1\r\n:1\r\n");
    call_many(server, "HSET short:%d a 1", ":1\r\n");
    call_many(server, "HPEXPIRE short:%d 20 FIELDS 1 a", "*1\r\n:1\r\n");
    assert_call(server, "HPEXPIRE hash:0 1000000 FIELDS 1 b", "*1\r\n:1\r\n");
    await_keys(server, KEYS);
    assert_call(server, "HPERSIST hash:0 FIELDS 1 b", "*1\r\n:1\r\n");
    wait_ms(210);
    call_many(server, "HLEN hash:%d", ":1\r\n");
    assert_quiet(server);
}

static void test_no_wake_ups_without_deadlines_of_fields(void **state) {
    (void)state;
    for_each_variant(expire_fields_and_be_quiet);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_wake_ups_without_deadlines_of_fields),
        cmocka_unit_test(test_no_wake_ups_without_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
