/* What counts as an access of a key, and what OBJECT IDLETIME and FREQ tell of it. */
#include "cmd/cmd_world.h"

static void assert_reply(struct world *world, const char *line, const char *expected) {
    world_run(world, line);
    assert_string_equal(world->reply.at, expected);
}

static struct world *world_with(enum access_kind kind) {
    struct world *world = world_new(3);
    world->domain.access.kind = kind;
    world->domain.access.decay_minutes = 1;
    world_run_all(world, "SET k v; SET other w");
    return world;
}

static void test_looking_is_no_access(void **state) {
    static const char *const lines[] = {
        "TTL k",
        "PTTL k",
        "EXPIRETIME k",
        "TYPE k",
        "EXISTS k",
        "OBJECT ENCODING k",
        "OBJECT IDLETIME k",
        "RANDOMKEY",
        "SCAN 0",
        "KEYS *",
        "MEMORY USAGE k",
    };
    (void)state;
    struct world *world = world_with(ACCESS_TIME);
    world_run_all(world, "~5000; GET other");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        world_run(world, lines[i]);
        assert_reply(world, "OBJECT IDLETIME k", ":5");
    }
    world_free(world);
}

static void test_using_is_an_access(void **state) {
    static const char *const lines[] = {
        "GET k",          "TOUCH k",          "MGET k other", "STRLEN k",        "EXPIRE k 1000",
        "PERSIST k",      "APPEND k x",       "SET k v",      "SET k v KEEPTTL", "GETRANGE k 0 1",
        "SETRANGE k 1 x", "MSET k v other w", "GETSET k v",   "COPY k third",    "MSET k %100",
        "SET k &20000",   "SET k &30000",     "APPEND k x",
    };
    (void)state;
    struct world *world = world_with(ACCESS_TIME);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        world_run(world, "~7000");
        assert_reply(world, "OBJECT IDLETIME k", ":7");
        world_run(world, lines[i]);
        assert_false(world->failed);
        assert_reply(world, "OBJECT IDLETIME k", ":0");
    }
    world_free(world);
}

static void test_missing_keys(void **state) {
    (void)state;
    struct world *world = world_with(ACCESS_TIME);
    assert_reply(world, "OBJECT IDLETIME nosuch", "$-1");
    assert_reply(world, "OBJECT FREQ nosuch", "$-1");
    world_run(world, "OBJECT FREQ k");
    assert_true(world->failed);
    world->domain.access.kind = ACCESS_FREQUENCY;
    world_run(world, "OBJECT IDLETIME k");
    assert_true(world->failed);
    world_free(world);
}

/* With a factor of 0 every access counts. */
static void test_frequency(void **state) {
    (void)state;
    struct world *world = world_with(ACCESS_FREQUENCY);
    assert_reply(world, "OBJECT FREQ k", ":5");
    world_run_all(world, "GET k; GET k; TTL k; TOUCH k");
    assert_reply(world, "OBJECT FREQ k", ":8");
    world_run_all(world, "SET k v; SET k %200; SET k &20000");
    assert_reply(world, "OBJECT FREQ k", ":11");
    world_run(world, "~240000");
    assert_reply(world, "OBJECT FREQ k", ":7");
    world_run_all(world, "RENAME k renamed");
    assert_reply(world, "OBJECT FREQ renamed", ":8");
    world_run_all(world, "COPY renamed copied");
    assert_reply(world, "OBJECT FREQ copied", ":5");
    world_free(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looking_is_no_access),
        cmocka_unit_test(test_using_is_an_access),
        cmocka_unit_test(test_missing_keys),
        cmocka_unit_test(test_frequency),
    };
    return cmocka_run_group_tests(tests, world_bind, NULL);
}
