/* Who is evicted: of the entries that were asked for longest ago or least often, or that expire first. */
#include "store/eviction.h"
#include "store_fixture.h"

#include <stdlib.h>

enum { KEYS = 20000, VICTIMS = 4000, SAMPLES = 5, START_S = 1000000 };

struct evicting {
    struct fixture fixture;
    struct access_clock access;
    uint32_t count_of[KEYS]; /* how often a key was a victim */
};

static struct evicting *evicting_new(enum eviction_policy policy, uint32_t databases) {
    struct evicting *evicting = calloc(1, sizeof *evicting);
    fixture_init(&evicting->fixture, databases);
    evicting->access = (struct access_clock){
        .seconds = START_S, .kind = eviction_access_kind(policy), .decay_minutes = 1};
    evicting->fixture.keyspace.access = &evicting->access;
    return evicting;
}

static void evicting_free(struct evicting *evicting) {
    keyspace_check(&evicting->fixture.keyspace);
    fixture_deinit(&evicting->fixture);
    free(evicting);
}

static struct entry *put(struct evicting *evicting, uint32_t db, uint64_t number,
                         int64_t deadline_ms) {
    struct number_key key;
    struct entry *entry =
        set(&evicting->fixture, db, key_of(&key, number), BYTES_LITERAL("v"), deadline_ms);
    assert_non_null(entry);
    return entry;
}

static struct entry *get(struct evicting *evicting, uint64_t number) {
    struct number_key key;
    struct entry *entry = find(&evicting->fixture, 0, key_of(&key, number));
    assert_non_null(entry);
    access_touch(&evicting->access, &evicting->fixture.random, entry);
    return entry;
}

/* The number of the victim, which is gone afterwards; -1: there was no candidate. */
static int64_t evict(struct evicting *evicting, enum eviction_policy policy, uint32_t samples) {
    uint32_t db = UINT32_MAX;
    struct keyspace *keyspace = &evicting->fixture.keyspace;
    struct entry *victim = keyspace_victim(keyspace, policy, samples, &db);
    if (victim == NULL) {
        return -1;
    }
    struct bytes key = entry_key(victim);
    uint64_t number = number_of(key);
    assert_ptr_equal(find(&evicting->fixture, db, key), victim);
    keyspace_delete(keyspace, db, hash_of(&evicting->fixture, key), victim);
    return (int64_t)number;
}

/* ---- The choice -------------------------------------------------------------------------------- */

/* Keys are made worthy of staying in the order of their numbers; a fifth of them goes. Chosen at random, a
 * victim's number would be KEYS/2 in the mean; the best choice would be VICTIMS/2. */
static void assert_low_numbers_go(struct evicting *evicting, enum eviction_policy policy) {
    uint64_t sum = 0, beyond = 0;
    for (int i = 0; i < VICTIMS; i++) {
        int64_t number = evict(evicting, policy, SAMPLES);
        assert_true(number >= 0);
        sum += (uint64_t)number;
        beyond += number >= 2 * VICTIMS;
    }
    assert_in_range(sum / VICTIMS, VICTIMS / 2, VICTIMS * 3 / 4);
    assert_true(beyond < VICTIMS / 50);
}

static void test_least_recently_used(void **state) {
    (void)state;
    struct evicting *evicting = evicting_new(EVICT_ALLKEYS_LRU, 1);
    for (uint64_t i = 0; i < KEYS; i++) {
        put(evicting, 0, i, 0);
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        atomic_store_relaxed(&evicting->access.seconds, (uint32_t)(START_S + i));
        get(evicting, i);
    }
    assert_low_numbers_go(evicting, EVICT_ALLKEYS_LRU);
    evicting_free(evicting);
}

static void test_least_frequently_used(void **state) {
    (void)state;
    struct evicting *evicting = evicting_new(EVICT_ALLKEYS_LFU, 1);
    for (uint64_t i = 0; i < KEYS; i++) {
        put(evicting, 0, i, 0);
        for (uint64_t n = 0; n < i / 100; n++) {
            get(evicting, i);
        }
    }
    assert_low_numbers_go(evicting, EVICT_ALLKEYS_LFU);
    evicting_free(evicting);
}

static void test_first_to_expire(void **state) {
    (void)state;
    struct evicting *evicting = evicting_new(EVICT_VOLATILE_TTL, 1);
    for (uint64_t i = 0; i < KEYS; i++) {
        put(evicting, 0, i, (int64_t)(1 + i) * 1000);
    }
    assert_low_numbers_go(evicting, EVICT_VOLATILE_TTL);
    evicting_free(evicting);
}

static void test_random_is_uniform(void **state) {
    enum { FEW = 64, DRAWS = 64000 };
    (void)state;
    struct evicting *evicting = evicting_new(EVICT_ALLKEYS_RANDOM, 3);
    for (uint64_t i = 0; i < FEW; i++) {
        put(evicting, i < 48 ? 0 : 2, i, 0);
    }
    for (int i = 0; i < DRAWS; i++) {
        int64_t number = evict(evicting, EVICT_ALLKEYS_RANDOM, SAMPLES);
        evicting->count_of[number]++;
        put(evicting, number < 48 ? 0 : 2, (uint64_t)number, 0);
    }
    double square = 0, expected = (double)DRAWS / FEW;
    for (int i = 0; i < FEW; i++) {
        double off = evicting->count_of[i] - expected;
        square += off * off / expected;
    }
    assert_true(square < 120); /* 63 degrees of freedom: one in 10^5 is above */
    evicting_free(evicting);
}

/* ---- Candidates -------------------------------------------------------------------------------- */

static void test_volatile_policies_leave_other_keys(void **state) {
    (void)state;
    for (enum eviction_policy policy = EVICT_VOLATILE_LRU; policy <= EVICT_VOLATILE_TTL; policy++) {
        struct evicting *evicting = evicting_new(policy, 2);
        for (uint64_t i = 0; i < 100; i++) {
            put(evicting, (uint32_t)(i / 2 % 2), i, i % 2 == 0 ? 5000 : 0);
        }
        assert_int_equal(keyspace_candidates(&evicting->fixture.keyspace, policy), 50);
        for (int i = 0; i < 50; i++) {
            assert_int_equal(evict(evicting, policy, SAMPLES) % 2, 0);
        }
        assert_int_equal(evict(evicting, policy, SAMPLES), -1);
        assert_int_equal(keyspace_candidates(&evicting->fixture.keyspace, policy), 0);
        assert_int_equal(keyspace_count_all(&evicting->fixture.keyspace), 50);
        evicting_free(evicting);
    }
}

static void test_no_candidates(void **state) {
    (void)state;
    struct evicting *evicting = evicting_new(EVICT_NOTHING, 2);
    assert_int_equal(evict(evicting, EVICT_ALLKEYS_LRU, SAMPLES), -1);
    put(evicting, 1, 1, 0);
    assert_int_equal(evict(evicting, EVICT_NOTHING, SAMPLES), -1);
    assert_int_equal(evict(evicting, EVICT_VOLATILE_RANDOM, SAMPLES), -1);
    assert_int_equal(evict(evicting, EVICT_ALLKEYS_LFU, SAMPLES), 1);
    assert_int_equal(evict(evicting, EVICT_ALLKEYS_LFU, SAMPLES), -1);
    evicting_free(evicting);
}

/* What was noted as a candidate and asked for afterwards has deserved to stay. */
static void test_candidates_that_are_used_stay(void **state) {
    (void)state;
    enum { FEW = 16 };
    struct evicting *evicting = evicting_new(EVICT_ALLKEYS_LRU, 1);
    for (uint64_t i = 0; i < FEW; i++) {
        atomic_store_relaxed(&evicting->access.seconds, (uint32_t)(START_S + i));
        put(evicting, 0, i, 0);
    }
    assert_int_equal(evict(evicting, EVICT_ALLKEYS_LRU, 50 * FEW), 0); /* notes all the others */
    get(evicting, 1);
    get(evicting, 2);
    assert_int_equal(evict(evicting, EVICT_ALLKEYS_LRU, 1), 3);
    assert_int_equal(evict(evicting, EVICT_ALLKEYS_LRU, 1), 4);
    evicting_free(evicting);
}

/* Entries come and go, cells are used again and databases change places while candidates are noted. */
static void test_the_pool_survives_any_change(void **state) {
    (void)state;
    enum { DATABASES = 3, FEW = 300, STEPS = 60000 };
    struct evicting *evicting = evicting_new(EVICT_ALLKEYS_LRU, DATABASES);
    struct random_state *random = &evicting->fixture.random;
    struct keyspace *keyspace = &evicting->fixture.keyspace;
    for (int i = 0; i < STEPS; i++) {
        enum eviction_policy policy = (enum eviction_policy)(random_below(random, 2000) / 250);
        uint32_t db = (uint32_t)random_below(random, DATABASES);
        atomic_store_relaxed(&evicting->access.seconds, (uint32_t)(START_S + i / 10));
        put(evicting, db, random_below(random, FEW), random_below(random, 2) == 0 ? 0 : i + 1);
        if (random_below(random, 2) == 0) {
            struct number_key key;
            (void)delete (&evicting->fixture, db, key_of(&key, random_below(random, FEW)));
        }
        if (random_below(random, 3) == 0) {
            (void)evict(evicting, policy, SAMPLES);
        }
        if (random_below(random, 500) == 0) {
            keyspace_swap(keyspace, db, (uint32_t)random_below(random, DATABASES));
        }
        if (random_below(random, 1000) == 0) {
            garbage_give(NULL, keyspace_detach(keyspace, db));
        }
    }
    evicting_free(evicting);
}

/* ---- The access field -------------------------------------------------------------------------- */

static void test_time_wraps(void **state) {
    (void)state;
    struct evicting *evicting = evicting_new(EVICT_ALLKEYS_LRU, 1);
    atomic_store_relaxed(&evicting->access.seconds, ACCESS_MASK - 1);
    struct entry *entry = put(evicting, 0, 1, 0);
    assert_int_equal(access_idle_seconds(&evicting->access, entry), 0);
    atomic_store_relaxed(&evicting->access.seconds, (uint32_t)ACCESS_MASK + 9);
    assert_int_equal(access_idle_seconds(&evicting->access, entry), 10);
    evicting_free(evicting);
}

/* The figures of Redis's documentation for a factor of 10: 100 hits give about 10, 1,000 about 18, 100,000
 * about 142, a million 255. */
static void test_counts_grow_by_the_logarithm(void **state) {
    static const struct {
        uint32_t hits, least, most;
    } table[] = {{100, 9, 12}, {1000, 16, 20}, {100000, 136, 148}, {1000000, 255, 255}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct evicting *evicting = evicting_new(EVICT_ALLKEYS_LFU, 1);
        evicting->access.log_factor = 10;
        uint32_t sum = 0, rounds = table[i].hits > 100000 ? 2 : 20;
        for (uint32_t n = 0; n < rounds; n++) {
            struct entry *entry = put(evicting, 0, n, 0);
            for (uint32_t hit = 0; hit < table[i].hits; hit++) {
                access_touch(&evicting->access, &evicting->fixture.random, entry);
            }
            sum += access_frequency(&evicting->access, entry);
        }
        assert_in_range(sum / rounds, table[i].least, table[i].most);
        evicting_free(evicting);
    }
}

static void test_counts_fall_with_the_minutes(void **state) {
    (void)state;
    struct evicting *evicting = evicting_new(EVICT_ALLKEYS_LFU, 1);
    struct entry *entry = put(evicting, 0, 1, 0);
    for (int i = 0; i < 10; i++) {
        get(evicting, 1);
    }
    assert_int_equal(access_frequency(&evicting->access, entry), ACCESS_COUNT_FIRST + 10);
    atomic_store_relaxed(&evicting->access.seconds, START_S + 6 * 60);
    assert_int_equal(access_frequency(&evicting->access, entry), ACCESS_COUNT_FIRST + 4);
    evicting->access.decay_minutes = 3;
    assert_int_equal(access_frequency(&evicting->access, entry), ACCESS_COUNT_FIRST + 8);
    evicting->access.decay_minutes = 0;
    assert_int_equal(access_frequency(&evicting->access, entry), ACCESS_COUNT_FIRST + 10);
    evicting->access.decay_minutes = 1;
    atomic_store_relaxed(&evicting->access.seconds, START_S + 3600);
    assert_int_equal(access_frequency(&evicting->access, entry), 0);
    evicting_free(evicting);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_recently_used),
        cmocka_unit_test(test_least_frequently_used),
        cmocka_unit_test(test_first_to_expire),
        cmocka_unit_test(test_random_is_uniform),
        cmocka_unit_test(test_volatile_policies_leave_other_keys),
        cmocka_unit_test(test_no_candidates),
        cmocka_unit_test(test_candidates_that_are_used_stay),
        cmocka_unit_test(test_the_pool_survives_any_change),
        cmocka_unit_test(test_time_wraps),
        cmocka_unit_test(test_counts_grow_by_the_logarithm),
        cmocka_unit_test(test_counts_fall_with_the_minutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
