/* What the key commands promise over time and shards: SCAN's guarantee, RANDOMKEY's equal chances, and the
 * bound on keys whose time has come. */
#include "cmd/cmd_world.h"
#include "cmd/expire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- SCAN --------------------------------------------------------------------------------------- */

enum { STABLE = 300, VOLATILE = 4000, CALLS_MAX = 20000 };

struct seen {
    uint8_t stable[STABLE];
    uint32_t keys;
};

static void run(struct world *world, const char *format, int number) {
    char line[64];
    (void)snprintf(line, sizeof line, format, number);
    world_run(world, line);
    assert_false(world->failed);
}

/* Notes the keys of a reply and returns its cursor: "*2 $1 0 *1 $8 stable:7". */
static unsigned long long take_page(struct world *world, struct seen *seen) {
    unsigned long long cursor;
    assert_int_equal(sscanf(world->reply.at, "*2 $%*d %llu", &cursor), 1);
    for (const char *at = world->reply.at; (at = strstr(at, ":")) != NULL; at++) {
        seen->keys++;
        if (strncmp(at - 6, "stable", 6) == 0) seen->stable[atoi(at + 1)] = 1;
    }
    return cursor;
}

static void churn(struct world *world, struct random_state *random, int *top) {
    bool grows = random_below(random, 2) == 0;
    for (uint64_t i = random_below(random, random_below(random, 6) == 0 ? 700 : 20); i > 0; i--) {
        if (grows && *top < VOLATILE) run(world, "SET volatile:%d v", (*top)++);
        else if (!grows && *top > 0) run(world, "UNLINK volatile:%d", --*top);
    }
}

static void scan_while_it_changes(struct world *world, struct random_state *random, int count,
                                  int *top) {
    struct seen seen = {0};
    unsigned long long cursor = 0;
    char line[64];
    for (int calls = 0; calls == 0 || cursor != 0; calls++) {
        assert_true(calls < CALLS_MAX && cursor < UINT64_C(1) << 63);
        (void)snprintf(line, sizeof line, "SCAN %llu COUNT %d", cursor, count);
        world_run(world, line);
        cursor = take_page(world, &seen);
        churn(world, random, top);
    }
    for (int i = 0; i < STABLE; i++) assert_true(seen.stable[i]);
}

static void test_scan_sees_what_stays(void **state) {
    static const uint32_t shards[] = {1, 3, 4};
    (void)state;
    for (size_t i = 0; i < sizeof shards / sizeof *shards; i++) {
        struct world *world = world_new(shards[i]);
        struct random_state random;
        int top = 0;
        random_seed(&random, 3 + i);
        world->effects.sink = &effect_sink_none;
        for (int n = 0; n < STABLE; n++) run(world, "SET stable:%d v", n);
        for (int count = 1; count <= 64; count *= 4)
            scan_while_it_changes(world, &random, count, &top);
        world_free(world);
    }
}

/* A table at rest: each key once, and each call but the last of a shard as long as its count. */
static void test_scan_at_rest(void **state) {
    (void)state;
    struct world *world = world_new(3);
    struct seen seen = {0};
    unsigned long long cursor = 0;
    uint32_t calls = 0;
    for (int n = 0; n < STABLE; n++) run(world, "SET stable:%d v", n);
    do {
        char line[64];
        (void)snprintf(line, sizeof line, "SCAN %llu COUNT 10", cursor);
        world_run(world, line);
        cursor = take_page(world, &seen);
        calls++;
    } while (cursor != 0);
    assert_int_equal(seen.keys, STABLE);
    assert_in_range(calls, STABLE / 30, STABLE / 10 + 3);
    world_free(world);
}

/* ---- RANDOMKEY ---------------------------------------------------------------------------------- */

static double chi_square(struct world *world, uint32_t keys, uint32_t draws_per_key) {
    uint32_t *drawn = calloc(keys, sizeof *drawn);
    double sum = 0;
    assert_non_null(drawn);
    for (uint32_t i = 0; i < keys * draws_per_key; i++) {
        world_run(world, "RANDOMKEY");
        uint32_t number = (uint32_t)atoi(strchr(world->reply.at, ':') + 1);
        assert_true(number < keys);
        drawn[number]++;
    }
    for (uint32_t i = 0; i < keys; i++) {
        double off = (double)drawn[i] - draws_per_key;
        sum += off * off / draws_per_key;
    }
    free(drawn);
    return sum;
}

/* 120 keys have 119 degrees of freedom: mean 119, standard deviation 15.4. Shards with unequal shares: one
 * drawn without regard to its share gives several hundred. */
static void test_random_keys_have_equal_chances(void **state) {
    (void)state;
    for (uint32_t shards = 1; shards <= 4; shards += 3) {
        struct world *world = world_new(shards);
        for (int i = 0; i < 120; i++) run(world, "SET random:%d v", i);
        double sum = chi_square(world, 120, 250);
        assert_true(sum > 119 - 4 * 15.4 && sum < 119 + 4 * 15.4);
        world_free(world);
    }
}

/* ---- Active expiry ------------------------------------------------------------------------------ */

/* A cycle stops when a sample has few that are due, so luck leaves it a little more now and then. */
enum { TICK_MS = 100, EXPIRING = 20000, STALE_PERCENT = 10, STALE_PERCENT_MAX = 15, TICKS = 300 };

struct population {
    struct world *world;
    struct random_state random;
    int64_t deadlines[EXPIRING]; /* of the keys that were set last under each number */
};

static void population_set(struct population *population, int number, int64_t ttl_ms) {
    char key[24];
    struct call call = {.domain = &population->world->domain};
    int64_t deadline_ms = population->world->now_ms + ttl_ms;
    struct bytes name = bytes_of(key, (size_t)snprintf(key, sizeof key, "expiring:%d", number));
    struct key_place place = keyspace_for_bytes(&call, name, 0);
    struct entry *found = keyspace_find(place.keyspace, 0, place.hash, name);
    assert_non_null(keyspace_set_string(place.keyspace, 0, place.hash, name, BYTES_LITERAL("v"),
                                        deadline_ms, found));
    population->deadlines[number] = deadline_ms;
}

/* Keys that are there and should not be, in percent of all that are there. */
static double stale_percent(const struct population *population) {
    uint64_t present = world_count(population->world, 0), alive = 0;
    for (int i = 0; i < EXPIRING; i++)
        alive += population->deadlines[i] > population->world->now_ms;
    assert_true(present >= alive);
    return present ? 100.0 * (double)(present - alive) / (double)present : 0;
}

static struct population *population_new(int64_t ttl_max_ms) {
    struct population *population = calloc(1, sizeof *population);
    assert_non_null(population);
    population->world = world_new(2);
    population->world->effects.sink = &effect_sink_none;
    random_seed(&population->random, 9);
    for (int i = 0; i < EXPIRING; i++)
        population_set(population, i,
                       1 + (int64_t)random_below(&population->random, (uint64_t)ttl_max_ms));
    return population;
}

static void population_free(struct population *population) {
    world_free(population->world);
    free(population);
}

struct staleness {
    double worst; /* that was left after a cycle */
    int above;    /* cycles that left more than STALE_PERCENT */
};

static struct staleness staleness_of(struct population *population, int refills,
                                     int64_t ttl_max_ms) {
    struct staleness result = {0};
    for (int tick = 0; tick < TICKS; tick++) {
        population->world->now_ms += TICK_MS;
        world_expire(population->world);
        double stale = stale_percent(population);
        result.worst = stale > result.worst ? stale : result.worst;
        result.above += stale > STALE_PERCENT;
        for (int i = 0; i < refills; i++) { /* drawn apart: every compiler gets the same sequence */
            int number = (int)random_below(&population->random, EXPIRING);
            int64_t ttl_ms = 1 + (int64_t)random_below(&population->random, (uint64_t)ttl_max_ms);
            population_set(population, number, ttl_ms);
        }
    }
    return result;
}

/* Deadlines near and far, with and without new keys: nobody reads any, and the stale ones stay few. */
static void test_stale_keys_stay_few(void **state) {
    static const int64_t ttls_ms[] = {1000, 20000, 120000};
    (void)state;
    for (size_t i = 0; i < sizeof ttls_ms / sizeof *ttls_ms; i++)
        for (int refills = 0; refills <= 60; refills += 60) {
            struct population *population = population_new(ttls_ms[i]);
            struct staleness stale = staleness_of(population, refills, ttls_ms[i]);
            assert_true(stale.worst > 0 && stale.worst <= STALE_PERCENT_MAX);
            assert_true(stale.above <= TICKS / 100);
            population_free(population);
        }
}

/* A cycle that has no time left goes on where it stopped, and says that there is more to do. */
static void test_a_cycle_without_time_goes_on(void **state) {
    (void)state;
    struct population *population = population_new(1000);
    struct world *world = population->world;
    world->now_ms += 2000;
    uint32_t cycles = 0;
    while (expire_cycle(&world->domain, &world->keyspaces[0], &world->effects, 0))
        assert_true(++cycles < EXPIRING);
    assert_true(cycles >= EXPIRING / 2 / 100);
    assert_int_equal(keyspace_count(&world->keyspaces[0], 0), 0);
    assert_true(keyspace_count(&world->keyspaces[1], 0) > 0);
    population_free(population);
}

/* Databases take turns: what is due in a later one does not wait for all of an earlier one. */
static void test_no_database_is_forgotten(void **state) {
    (void)state;
    struct population *population = population_new(1000);
    struct world *world = population->world;
    world_run_all(world, "3> SET k v PX 10; 2> SET k v PX 10; ~2000");
    for (uint32_t cycle = 0; cycle < WORLD_DATABASES; cycle++)
        for (uint32_t shard = 0; shard < 2; shard++)
            (void)expire_cycle(&world->domain, &world->keyspaces[shard], &world->effects, 0);
    assert_int_equal(world_count(world, 2), 0);
    assert_int_equal(world_count(world, 3), 0);
    assert_true(world_count(world, 0) > EXPIRING / 2);
    population_free(population);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan_sees_what_stays),
        cmocka_unit_test(test_scan_at_rest),
        cmocka_unit_test(test_random_keys_have_equal_chances),
        cmocka_unit_test(test_stale_keys_stay_few),
        cmocka_unit_test(test_a_cycle_without_time_goes_on),
        cmocka_unit_test(test_no_database_is_forgotten),
    };
    return cmocka_run_group_tests(tests, world_bind, NULL);
}
