/* Fields whose time has come: active expiry in steps, and what a pause of writes leaves in place. */
#include "cmd/cmd_world.h"
#include "cmd/expire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plat/clock.h"

/* ---- Active expiry ------------------------------------------------------------------------------- */

static void test_active_expiry_of_fields(void **state) {
    (void)state;
    struct world *world = world_new(1);
    world_run_all(world, "HSET k a 1 b 2; HPEXPIRE k 50 FIELDS 1 a; HPEXPIRE k 40 FIELDS 1 b; "
                         "2> HSET j a %2000 c %300; 2> HPEXPIRE j 60 FIELDS 1 a; HSET h a 1; "
                         "HPEXPIRE h 1 FIELDS 1 a; HPERSIST h FIELDS 1 a");
    world_expire(world);
    assert_string_equal(world->recorded.at, "");
    assert_int_equal(world->keyspaces[0].expiring_count, 2);
    world_run_all(world, "~40");
    world_expire(world);
    assert_string_equal(world->recorded.at, "log:HDEL k b; touch:k; h:hexpired k");
    world_run_all(world, "~10");
    world_expire(world);
    assert_string_equal(world->recorded.at, "log:HDEL k a; touch:k; h:hexpired k; g:del k");
    world_run_all(world, "~10");
    world_expire(world);
    assert_string_equal(world->recorded.at, "log/2:HDEL j a; touch:j in 2; h:hexpired j in 2");
    assert_int_equal(world_count(world, 0), 1);
    assert_int_equal(world_count(world, 2), 1);
    assert_int_equal(world->keyspaces[0].stats.expired_fields, 3);
    assert_int_equal(world->keyspaces[0].stats.expired, 0);
    assert_false(keyspace_has_deadlines(&world->keyspaces[0]));
    world_check(world);
    world_free(world);
}

/* A key and its fields may be due at once, whichever table is first. */
static void test_keys_and_fields_at_once(void **state) {
    (void)state;
    struct world *world = world_new(1);
    for (int round = 0; round < 2; round++) {
        world_run_all(world, "HSET k a 1 b %2000; HPEXPIRE k 5 FIELDS 2 a b; PEXPIRE k 5; "
                             "SET s v PX 5; ~5");
        world_expire(world);
        assert_int_equal(world_count(world, 0), 0);
        assert_false(keyspace_has_deadlines(&world->keyspaces[0]));
        world_check(world);
    }
    world_free(world);
}

static void test_a_long_key(void **state) {
    (void)state;
    struct world *world = world_new(1);
    world_run_all(world, "HSET %600 a 1 b 2; HPEXPIRE %600 5 FIELDS 1 a; ~5");
    mem_fail_after(1);
    world_expire(world);
    mem_fail_after(0);
    assert_string_equal(world->recorded.at, "");
    world_expire(world);
    assert_string_equal(world->recorded.at, "log:HDEL %600 a; touch:%600; h:hexpired %600");
    world_free(world);
}

enum { MANY = 20000, HASHES = 300 };

static void run(struct world *world, const char *format, int number) {
    char line[128];
    (void)snprintf(line, sizeof line, format, number, number, number);
    world_run(world, line);
    assert_false(world->failed);
}

/* No cycle is longer than its budget and one step; each goes on where the last one ended. */
static void test_many_fields_go_in_steps(void **state) {
    enum { BUDGET_NS = 100000 };
    (void)state;
    struct world *world = world_new(1);
    struct keyspace *keyspace = &world->keyspaces[0];
    world->effects.sink = &effect_sink_none;
    for (int i = 0; i < MANY; i++) run(world, "HSET large f%d v", i);
    for (int i = 0; i < MANY; i++) run(world, "HPEXPIRE large 50 FIELDS 1 f%d", i);
    for (int i = 0; i < HASHES; i++) run(world, "HSET small:%d a 1 b 2", i);
    for (int i = 0; i < HASHES; i++) run(world, "HPEXPIRE small:%d 50 FIELDS 1 a", i);
    world_run(world, "~50");
    uint64_t cycles = 0, before = 0;
    while (expire_cycle(&world->domain, keyspace, &world->effects, BUDGET_NS)) {
        assert_true(keyspace->stats.expired_fields > before);
        before = keyspace->stats.expired_fields;
        assert_true(++cycles < MANY);
    }
    assert_true(cycles > 5);
    assert_int_equal(keyspace->stats.expired_fields, MANY + HASHES);
    assert_int_equal(keyspace->expiring_count, 0);
    assert_int_equal(world_count(world, 0), HASHES);
    world_check(world);
    world_free(world);
}

/* ---- A pause of writes --------------------------------------------------------------------------- */

static bool shows(struct world *world, const char *line, const char *reply) {
    world_run(world, line);
    assert_string_equal(world->recorded.at, "");
    return strcmp(world->reply.at, reply) == 0;
}

static void check_pause(struct world *world) {
    assert_true(shows(world, "HGET k a", "$-1"));
    assert_true(shows(world, "HMGET k a b c", "*3 $-1 $1 2 $-1"));
    assert_true(shows(world, "HEXISTS k a", ":0"));
    assert_true(shows(world, "HSTRLEN k c", ":0"));
    assert_true(shows(world, "HLEN k", ":4"));
    for (int i = 0; i < 50; i++) {
        assert_true(shows(world, "HRANDFIELD k", "$1 b") || strcmp(world->reply.at, "$1 d") == 0);
        assert_true(shows(world, "HRANDFIELD k 1", "*1 $1 b") ||
                    strcmp(world->reply.at, "*1 $1 d") == 0);
    }
    assert_true(shows(world, "HRANDFIELD k 9", "*2 $1 b $1 d") ||
                strcmp(world->reply.at, "*2 $1 d $1 b") == 0);
    world_run(world, "HRANDFIELD k -7 WITHVALUES");
    assert_memory_equal(world->reply.at, "*14 ", 4);
    assert_null(strstr(world->reply.at, "$1 a"));
    assert_null(strstr(world->reply.at, "$1 c"));
    assert_true(shows(world, "HRANDFIELD g", "$-1"));
    assert_true(shows(world, "HRANDFIELD g 5", "*0"));
    assert_true(shows(world, "HRANDFIELD g -5", "*0"));
}

static void test_nothing_is_deleted_while_writes_pause(void **state) {
    static const char *const values[] = {"", "HSET k d %2000; HSET g a %2000; "};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char lines[256];
        struct world *world = world_new(2);
        (void)snprintf(lines, sizeof lines,
                       "HSET k a 1 b 2 c 3 d 4; HSET g a 1; %sHPEXPIRE k 5 FIELDS 2 a c; "
                       "HPEXPIRE g 5 FIELDS 1 a; ~5",
                       values[i]);
        world_run_all(world, lines);
        world->call_flags = CALL_PAUSED;
        check_pause(world);
        world->call_flags = 0;
        world_run(world, "HLEN k");
        assert_string_equal(world->reply.at, ":4");
        world_run(world, "HRANDFIELD k 9");
        world_run(world, "HLEN k");
        assert_string_equal(world->reply.at, ":2");
        world_check(world);
        world_free(world);
    }
}

/* A draw from a hash with many fields that are due goes on in several parts, if it may. */
static void test_a_draw_may_pause(void **state) {
    (void)state;
    struct world *world = world_new(1);
    int parts = 1;
    for (int i = 0; i < 2000; i++) run(world, "HSET k f%d v", i);
    for (int i = 1; i < 2000; i++) run(world, "HPEXPIRE k 5 FIELDS 1 f%d", i);
    world_run_all(world, "~5");
    world->call_flags = CALL_MAY_PAUSE;
    world->effects.sink = &effect_sink_none;
    for (world_run(world, "HRANDFIELD k"); world->unfinished; parts++) {
        assert_string_equal(world->reply.at, "");
        world_run(world, "HRANDFIELD k");
    }
    assert_true(parts > 4);
    assert_string_equal(world->reply.at, "$2 f0");
    assert_int_equal(world->keyspaces[0].stats.expired_fields, 1999);
    world_free(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_active_expiry_of_fields),
        cmocka_unit_test(test_keys_and_fields_at_once),
        cmocka_unit_test(test_a_long_key),
        cmocka_unit_test(test_many_fields_go_in_steps),
        cmocka_unit_test(test_nothing_is_deleted_while_writes_pause),
        cmocka_unit_test(test_a_draw_may_pause),
    };
    return cmocka_run_group_tests(tests, world_bind, NULL);
}
