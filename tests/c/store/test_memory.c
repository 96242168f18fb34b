/* Bytes per key, from what the kernel gave: unlike resident memory it is deterministic. */
#include "store_fixture.h"

#if KRT_DEBUG
#define KEYS 2000000 /* two doublings; a sanitizer build is slow */
#else
#define KEYS 4000000
#endif

enum {
    FROM = 500000,
    MILLION = 1000000,
    STEP = 10000,
    AT_A_MILLION = 104, /* one byte less than the goal for the whole server */
    WORST = 105,
};

static const char value[64];

static double bytes_per_key(const struct fixture *fixture, uint64_t count) {
    return (double)keyspace_held_bytes(&fixture->keyspace) / (double)count;
}

static void test_bytes_per_key_while_growing(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 16);
    double worst = 0, at_a_million = 0;
    for (uint64_t i = 1; i <= KEYS; i++) {
        struct number_key key;
        struct bytes name = key_of(&key, i);
        assert_non_null(keyspace_set_string(&fixture.keyspace, 0, hash_of(&fixture, name), name,
                                            bytes_of(value, sizeof value), 0, NULL));
        if (i < FROM || i % STEP != 0) {
            continue;
        }
        double each = bytes_per_key(&fixture, i);
        worst = each > worst ? each : worst;
        at_a_million = i == MILLION ? each : at_a_million;
    }
    print_message("a million: %.2f, worst from half a million on: %.2f\n", at_a_million, worst);
    assert_true(at_a_million > 88 && at_a_million <= AT_A_MILLION);
    assert_true(worst <= WORST);
    fixture_deinit(&fixture);
}

/* With every other key gone the table has shrunk too; with all gone next to nothing is held. */
static void test_bytes_after_deleting(void **state) {
    (void)state;
    enum { COUNT = 200000, LEFT_BYTES = 4 << 20 };
    struct fixture fixture;
    struct number_key key;
    fixture_init(&fixture, 1);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_non_null(set(&fixture, 0, key_of(&key, i), bytes_of(value, sizeof value), 0));
    }
    uint64_t used = keyspace_used_bytes(&fixture.keyspace);
    for (uint64_t i = 0; i < COUNT; i += 2) {
        assert_true(delete (&fixture, 0, key_of(&key, i)));
    }
    assert_true(keyspace_used_bytes(&fixture.keyspace) < used * 56 / 100);
    for (uint64_t i = 1; i < COUNT; i += 2) {
        assert_true(delete (&fixture, 0, key_of(&key, i)));
    }
    assert_true(keyspace_held_bytes(&fixture.keyspace) < LEFT_BYTES);
    assert_true(keyspace_used_bytes(&fixture.keyspace) < 8192);
    fixture_deinit(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_per_key_while_growing),
        cmocka_unit_test(test_bytes_after_deleting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
