/* Write commands that run out of memory: an error, and everything as it was. Every allocation of a command
 * is refused in turn, general ones and cells of the slabs. */
#include "cmd/cmd_world.h"

#include <stdio.h>
#include <string.h>

enum { ATTEMPTS_MAX = 200 };

struct memory_case {
    const char *given, *line;
    bool allocates; /* must fail at least once, or the test would prove nothing */
};

/* Twenty keys in one MSET: enough to outgrow a bucket on the way. */
#define TWENTY \
    "a 1 b %300 c 1 d &5000 e 1 f 1 g 1 h 1 i 1 j 1 k 1 l 1 m 1 n %600 o 1 p 1 q 1 r 1 s 1 a 2"
#define FORTY \
    "a 1 b 1 c 1 d 1 e 1 f 1 g 1 h 1 i 1 j 1 k 1 l 1 m 1 n 1 o 1 p 1 q 1 r 1 s 1 t 1 " TWENTY

static const struct memory_case cases[] = {
    {"", "SET k v", true},
    {"", "SET k v PX 100", true},
    {"SET k v", "SET k %100", true},
    {"SET k v", "SET k %5000", true},
    {"SET k v", "SET k &5000", true},
    {"SET k %5000", "SET k %6000", true},
    {"SET k &5000", "SET k v", true},
    {"SET k &5000 PX 90", "SET k %6000 GET", true},
    {"SET k %100 PX 90", "SET k %200 GET KEEPTTL", true},
    {"SET k %100", "SET k v GET PX 100", true},
    {"SET k v", "SET k w PX 100", true},
    {"SET k v PX 100", "SET k w", true},
    {"SET k v PX 100", "SET k %100 KEEPTTL", true},
    {"", "SET %600 v", true},
    {"SET %600 v", "SET %600 w EX 1 XX GET", true},
    {"", "3> SET k v NX GET", true},
    {"", "INCR k", true},
    {"SET k 9", "INCR k", false},
    {"SET k 99999999 PX 100", "INCRBY k 1", false},
    {"SET k 1 PX 100", "INCRBY k 1234567890", true},
    {"", "MSET a 1 b 2 a 3", true},
    {"SET a 0", "MSET a 1 b 2", true},
    {"SET a %400 PX 90; SET d &7000; SET s 1", "MSET " TWENTY, true},
    {"SET a %400 PX 90; SET d &7000; SET s 1", "2> MSET " FORTY, true},
    {"", "DECRBY k 7", true},
    {"SET k 1", "DECR k", false},
    {"SET k 1", "INCRBYFLOAT k 1234567890.25", true},
    {"", "INCRBYFLOAT k 1", true},
    {"", "APPEND k v", true},
    {"SET k v", "APPEND k %100", true},
    {"SET k v PX 90", "APPEND k %5000", true},
    {"SET k %5000", "APPEND k %5000", true},
    {"SET k &5000", "APPEND k v", true},
    {"", "SETRANGE k 5 v", true},
    {"SET k v", "SETRANGE k 500 v", true},
    {"SET k %5000", "SETRANGE k 9000 v", true},
    {"", "SETNX k v", true},
    {"SET k v", "SETEX k 10 w", true},
    {"SET k v", "PSETEX k 10 %600", true},
    {"SET k &5000 PX 90", "GETSET k %6000", true},
    {"SET k %5000", "GETDEL k", false},
    {"SET k v", "GETEX k EX 10", true},
    {"SET k &5000 PX 90", "GETEX k PERSIST", true},
    {"", "MSETNX " TWENTY, true},
    {"SET k v", "EXPIRE k 10", true},
    {"SET k %5000", "PEXPIRE k 10", true},
    {"SET k %490", "PEXPIRE k 10", true},
    {"SET %600 &5000", "PEXPIRE %600 10", true},
    {"SET k v PX 10", "PEXPIRE k 100", false},
    {"SET k v", "EXPIRE k -1", false},
    {"SET k v", "EXPIREAT k 9999", true},
    {"SET k &5000", "PEXPIREAT k 9999999", true},
    {"SET k v PX 10", "PERSIST k", true},
    {"SET k &5000 PX 10", "PERSIST k", true},
    {"SET k v", "RENAME k j", true},
    {"SET k v PX 10", "RENAME k j", true},
    {"SET k &5000 PX 10", "RENAME k %600", true},
    {"SET %600 &5000", "RENAME %600 k", true},
    {"SET k %400 PX 10; SET j &5000", "RENAME k j", true},
    {"SET k &5000; SET j v PX 10", "RENAME k j", true},
    {"SET k %480", "RENAMENX k %100", true},
    {"3> SET k v", "3> RENAMENX k j", true},
    {"SET k v PX 10", "MOVE k 2", true},
    {"SET k &5000; 2> SET j 1", "MOVE k 2", true},
    {"SET k v", "COPY k j", true},
    {"SET k &5000 PX 10", "COPY k j", true},
    {"SET k %400 PX 10; SET j v", "COPY k j REPLACE", true},
    {"SET k v; 1> SET j &5000 PX 10", "COPY k j DB 1 REPLACE", true},
    {"SET k v; SET j &5000", "UNLINK k j", false},
    {"SET k v; 2> SET j &5000", "SWAPDB 0 2", false},
    {"SET k v; SET j &5000", "DEL k j", false},
    {"SET k v; 1> SET j &5000", "FLUSHALL", false},
    {"SET k v", "FLUSHDB", false},
};

/* Keys beside those of the case, so that it meets full buckets and tables about to grow. */
static void fill(struct world *world, int count) {
    char line[64];
    for (int i = 0; i < count; i++) {
        (void)snprintf(line, sizeof line, "SET filler:%d v%s", i, i % 3 ? "" : " EX 50");
        world_run(world, line);
        assert_false(world->failed);
    }
}

struct outcome {
    bool failed_once;
    uint64_t dirty;
};

/* A look that found nothing may be notified. */
static bool declares_a_change(const struct world *world) {
    return strstr(world->recorded.at, "log") || strstr(world->recorded.at, "touch");
}

/* Runs the line with ever more memory until it succeeds. */
static struct outcome run_until_it_succeeds(struct world *world, const char *line) {
    static struct world_text before, after;
    struct outcome outcome = {0};
    uint64_t dirty = world->effects.dirty;
    world_dump(world, &before);
    for (long attempt = 1; attempt < ATTEMPTS_MAX; attempt++) {
        world->fail_after = attempt;
        world_run(world, line);
        world->fail_after = 0;
        world_check(world);
        if (!world->failed) {
            outcome.dirty = world->effects.dirty - dirty;
            return outcome;
        }
        outcome.failed_once = true;
        world_dump(world, &after);
        assert_string_equal(world->reply.at, "-OOM out of memory: the command was not executed");
        assert_string_equal(before.at, after.at);
        assert_false(declares_a_change(world));
        assert_int_equal(world->effects.dirty, dirty);
    }
    fail_msg("%s never succeeds", line);
    return outcome;
}

static struct outcome check_case(const struct memory_case *c, int filler, bool slabs) {
    static struct world_text with_failures, without;
    struct world *world = world_new(2), *rich = world_new(2);
    fill(world, filler);
    fill(rich, filler);
    world_run_all(world, c->given);
    world_run_all(rich, c->given);
    uint64_t dirty = rich->effects.dirty;
    world->fail_slabs = slabs;
    struct outcome outcome = run_until_it_succeeds(world, c->line);
    world_run(rich, c->line);
    world_dump(world, &with_failures);
    world_dump(rich, &without);
    assert_string_equal(with_failures.at, without.at);
    if (!world->lost)
        assert_string_equal(world->reply.at, rich->reply.at);
    assert_int_equal(outcome.dirty, rich->effects.dirty - dirty);
    assert_string_equal(world->recorded.at, rich->recorded.at);
    world_free(world);
    world_free(rich);
    return outcome;
}

static void test_refused_memory_changes_nothing(void **state) {
    static const int fillers[] = {0, 9, 40, 160};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool failed = false;
        for (size_t f = 0; f < sizeof fillers / sizeof *fillers; f++) {
            failed |= check_case(&cases[i], fillers[f], false).failed_once;
            failed |= check_case(&cases[i], fillers[f], true).failed_once;
        }
        if (failed != cases[i].allocates)
            fail_msg("\"%s\", then \"%s\" %s", cases[i].given, cases[i].line,
                     failed ? "needs memory" : "was never refused any");
    }
}

/* A key whose time has come is gone even if what found it then fails: no effect of that is lost. */
static void test_an_expiry_is_kept_when_the_command_fails(void **state) {
    (void)state;
    struct world *world = world_new(1);
    world_run_all(world, "SET k v PX 10; ~10");
    world->fail_slabs = false;
    world->fail_after = 1;
    world_run(world, "SET k %5000");
    assert_true(world->failed);
    assert_string_equal(world->recorded.at, "log:DEL k; touch:k; x:expired k");
    assert_int_equal(world_count(world, 0), 0);
    world_free(world);
}

/* Active expiry that cannot remember a long key's name leaves the key for the next round. */
static void test_active_expiry_without_memory(void **state) {
    (void)state;
    struct world *world = world_new(1);
    world_run_all(world, "SET %200 v PX 10; SET %300 v PX 10; ~10");
    mem_fail_after(2);
    world_expire(world);
    mem_fail_after(0);
    assert_int_equal(world_count(world, 0), 1);
    assert_int_equal(world->keyspaces[0].stats.expired, 1);
    world_expire(world);
    assert_int_equal(world_count(world, 0), 0);
    assert_int_equal(world->keyspaces[0].stats.expired, 2);
    world_free(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_memory_changes_nothing),
        cmocka_unit_test(test_an_expiry_is_kept_when_the_command_fails),
        cmocka_unit_test(test_active_expiry_without_memory),
    };
    return cmocka_run_group_tests(tests, world_bind, NULL);
}
