/* Plans: which shards a command line needs, before any baton is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/kevyrt.h"
#include "shard/shard.h"

enum { WORDS_MAX = 400 };

static struct fabric fabric;

static void fabric_with(uint32_t shards) {
    fabric = (struct fabric){.settings.shard_count = shards,
                             .domain = {.shard_count = shards, .hash_seed = {.a = 17, .b = 4}}};
}

static uint64_t bit_of(const char *key) {
    uint64_t hash = hash_bytes(&fabric.domain.hash_seed, key, strlen(key));
    return UINT64_C(1) << hash_shard(hash, fabric.settings.shard_count);
}

/* Keys as words. */
static uint64_t bits_of(const char *keys) {
    char text[4096], *rest;
    uint64_t mask = 0;
    (void)snprintf(text, sizeof text, "%s", keys);
    for (char *key = strtok_r(text, " ", &rest); key; key = strtok_r(NULL, " ", &rest))
        mask |= bit_of(key);
    return mask;
}

static struct plan plan_of(const char *line) {
    static char text[8192];
    struct bytes argv[WORDS_MAX];
    struct request request = {.argv = argv};
    struct plan plan;
    char *rest;
    assert_true(strlen(line) < sizeof text);
    strcpy(text, line);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(request.argc < WORDS_MAX);
        argv[request.argc++] = bytes_of(word, strlen(word));
    }
    plan_request(&fabric, &request, &(struct plan_hint){0}, &plan);
    return plan;
}

static void assert_needs(const char *line, const char *keys) {
    struct plan plan = plan_of(line);
    assert_non_null(plan.command);
    assert_true(plan.arity_ok);
    if (plan.mask != bits_of(keys)) print_message("%s\n", line);
    assert_int_equal(plan.mask, bits_of(keys));
}

static void test_single_keys(void **state) {
    (void)state;
    for (uint32_t shards = 2; shards <= 64; shards++) {
        fabric_with(shards);
        assert_needs("GET k", "k");
        assert_needs("set {a}b v EX 10", "{a}b");
        assert_needs("OBJECT ENCODING k", "k");
        assert_needs("EXPIRE k 10", "k");
    }
}

static void test_several_keys(void **state) {
    (void)state;
    fabric_with(64);
    assert_needs("MGET a b c d e f", "a b c d e f");
    assert_needs("MSET a 1 b 2 c 3", "a b c");
    assert_needs("MSET a 1 b", "a b"); /* the handler says what is wrong */
    assert_needs("DEL a b a", "a b");
    assert_needs("RENAME a b", "a b");
    assert_needs("BITOP AND d a b", "d a b");
    assert_needs("BLPOP a b 0", "a b");
}

static void test_keys_that_the_grammar_tells(void **state) {
    (void)state;
    fabric_with(61);
    assert_needs("EVAL script 2 a b c", "a b");
    assert_needs("EVAL script 0 a b c", "");
    assert_needs("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b");
    assert_needs("XREAD COUNT 2 STREAMS a b 0 0", "a b");
    assert_needs("SORT a BY w STORE d", "a d");
    assert_needs("GEORADIUS a 1 2 3 m STORE d", "a d");
    assert_needs("SINTERCARD 2 a b LIMIT 1", "a b");
}

/* Keys that patterns name are known only when the elements are. */
static void test_patterns_need_every_shard(void **state) {
    (void)state;
    fabric_with(61);
    assert_int_equal(plan_of("SORT a BY w*").mask, fabric_all(&fabric));
    assert_int_equal(plan_of("SORT_RO a GET # GET h*->f").mask, fabric_all(&fabric));
    assert_needs("SORT a* GET #", "a*");
    assert_needs("SORT a STORE a", "a");
}

static void test_without_keys(void **state) {
    (void)state;
    fabric_with(8);
    assert_needs("PING", "");
    assert_needs("CONFIG GET port", "");
    assert_int_equal(plan_of("PING").hash_index, 0);
}

/* More keys than fit the stack are found all the same, and without memory for them every shard is taken. */
static void test_many_keys(void **state) {
    char line[4096] = "SINTERCARD 150", keys[4096] = "";
    (void)state;
    fabric_with(64);
    for (int i = 0; i < 150; i++) {
        (void)snprintf(line + strlen(line), sizeof line - strlen(line), " key:%d", i);
        (void)snprintf(keys + strlen(keys), sizeof keys - strlen(keys), " key:%d", i);
    }
    assert_needs(line, keys);
    mem_fail_after(1);
    struct plan plan = plan_of(line);
    mem_fail_after(0);
    assert_int_equal(plan.mask, fabric_all(&fabric));
}

static void test_the_hash_is_of_the_first_key(void **state) {
    (void)state;
    fabric_with(4);
    struct plan plan = plan_of("MGET first second");
    assert_int_equal(plan.hash_index, 1);
    assert_int_equal(plan.hash, hash_bytes(&fabric.domain.hash_seed, "first", 5));
    plan = plan_of("OBJECT FREQ key");
    assert_int_equal(plan.hash_index, 2);
    assert_int_equal(plan.hash, hash_bytes(&fabric.domain.hash_seed, "key", 3));
}

/* One shard: its baton is held anyway, and nothing is hashed twice for it. */
static void test_one_shard(void **state) {
    (void)state;
    fabric_with(1);
    assert_int_equal(plan_of("MGET a b c").mask, 0);
    assert_int_equal(plan_of("SINTERCARD 2 a b").mask, 0);
    assert_int_equal(plan_of("MGET a b c").hash_index, 1);
    assert_int_equal(plan_of("FLUSHALL").mask, 1);
}

static void test_whole_server(void **state) {
    (void)state;
    for (uint32_t shards = 1; shards <= 64; shards++) {
        fabric_with(shards);
        assert_int_equal(__builtin_popcountll(fabric_all(&fabric)), shards);
        assert_int_equal(plan_of("FLUSHALL").mask, fabric_all(&fabric));
        assert_int_equal(plan_of("DBSIZE").mask, fabric_all(&fabric));
    }
}

static void test_what_cannot_run_needs_nothing(void **state) {
    (void)state;
    fabric_with(8);
    assert_null(plan_of("NOSUCH a b").command);
    assert_int_equal(plan_of("NOSUCH a b").mask, 0);
    assert_false(plan_of("GET").arity_ok);
    assert_int_equal(plan_of("GET").mask, 0);
    assert_false(plan_of("GET a b").arity_ok);
    assert_int_equal(plan_of("EVAL script 9 a").mask, 0); /* a count that is not there */
}

/* What a plan takes is what the handler's look-ups then use: bit and keyspace come from the same hash. */
static void test_every_shard_is_reached(void **state) {
    (void)state;
    for (uint32_t shards = 2; shards <= 64; shards += 31) {
        uint64_t seen = 0;
        fabric_with(shards);
        for (int i = 0; i < 4000; i++) {
            char line[32];
            (void)snprintf(line, sizeof line, "GET key:%d", i);
            uint64_t mask = plan_of(line).mask;
            assert_int_equal(__builtin_popcountll(mask), 1);
            seen |= mask;
        }
        assert_int_equal(seen, fabric_all(&fabric));
    }
}

static int bind(void **state) {
    struct kevyrt_server *server;
    struct kevyrt_error error;
    (void)state;
    enum kevyrt_status status = kevyrt_server_new(NULL, 0, &server, &error);
    if (status == KEVYRT_OK) kevyrt_server_put(server);
    return status == KEVYRT_OK ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_keys),
        cmocka_unit_test(test_several_keys),
        cmocka_unit_test(test_keys_that_the_grammar_tells),
        cmocka_unit_test(test_patterns_need_every_shard),
        cmocka_unit_test(test_without_keys),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_the_hash_is_of_the_first_key),
        cmocka_unit_test(test_one_shard),
        cmocka_unit_test(test_whole_server),
        cmocka_unit_test(test_what_cannot_run_needs_nothing),
        cmocka_unit_test(test_every_shard_is_reached),
    };
    return cmocka_run_group_tests(tests, bind, NULL);
}
