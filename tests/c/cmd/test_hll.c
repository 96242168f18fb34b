/* HyperLogLogs as bytes: facts of a running redis-server, random changes against an array of registers, and
 * values that somebody has written into. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "cmd/hll.h"

enum { SPARSE_BYTES = 3000, NO_LIMIT = 1 << 20, DAMAGED_ROUNDS = 4000 };

static struct bytes bytes_of_value(const struct hll_value *value) {
    return bytes_of(value->at, value->len);
}

static bool is_sparse(const struct hll_value *value) {
    return hll_encoding_of(bytes_of_value(value)) == HLL_SPARSE;
}

static struct hll_element draw_element(struct random_state *random) {
    uint64_t word = random_next(random);
    return hll_element_of(bytes_of((const char *)&word, sizeof word));
}

/* ---- Facts -------------------------------------------------------------------------------------- */

static void test_elements_hash_as_in_redis(void **state) {
    static const struct {
        const char *text;
        struct hll_element element;
    } facts[] = {
        {"", {5938, 2}},          {"a", {12711, 2}},    {"b", {15780, 1}},
        {"c", {8436, 1}},         {"hello", {9216, 1}}, {"hello world, this is long", {796, 1}},
        {"12345678", {10579, 3}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        struct hll_element element = hll_element_of(bytes_of(facts[i].text, strlen(facts[i].text)));
        assert_int_equal(element.index, facts[i].element.index);
        assert_int_equal(element.rank, facts[i].element.rank);
    }
}

static void test_estimates_are_those_of_redis(void **state) {
    static const struct {
        uint32_t count, estimate;
    } facts[] = {{1, 1},        {10, 10},        {100, 100},        {1000, 1001},
                 {10000, 9987}, {100000, 99565}, {1000000, 1009972}};
    static struct hll_value value;
    (void)state;
    hll_init(&value);
    for (uint32_t i = 0, fact = 0; fact < sizeof facts / sizeof *facts; fact++) {
        uint64_t estimate;
        for (; i < facts[fact].count; i++) {
            char text[16];
            int len = snprintf(text, sizeof text, "%u", i);
            hll_add(&value, hll_element_of(bytes_of(text, (size_t)len)), SPARSE_BYTES);
        }
        assert_true(hll_estimate(bytes_of_value(&value), &estimate));
        assert_int_equal(estimate, facts[fact].estimate);
    }
}

/* Registers that no elements give, up to where the estimate fits no number. */
static void test_estimates_of_equal_registers(void **state) {
    static const struct {
        uint8_t rank;
        uint64_t estimate;
    } facts[] = {{0, 0},
                 {1, 23637},
                 {50, (uint64_t)1 << 63},
                 {51, (uint64_t)1 << 63},
                 {52, (uint64_t)1 << 63},
                 {63, (uint64_t)1 << 63}};
    static struct hll_value value;
    static struct hll_registers registers;
    (void)state;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        uint64_t estimate;
        memset(&registers, facts[i].rank, sizeof registers);
        hll_init(&value);
        hll_become_dense(&value, &registers);
        assert_true(hll_estimate(bytes_of_value(&value), &estimate));
        assert_int_equal(estimate, facts[i].estimate);
        assert_int_equal(hll_estimate_registers(&registers), facts[i].estimate);
    }
}

static void test_the_empty_value(void **state) {
    static struct hll_value value;
    uint64_t estimate;
    (void)state;
    hll_init(&value);
    assert_int_equal(value.len, 18);
    assert_memory_equal(value.at, "HYLL\1\0\0\0\0\0\0\0\0\0\0\0\x7f\xff", 18);
    assert_true(hll_is_valid(bytes_of_value(&value)));
    assert_true(hll_cached(bytes_of_value(&value), &estimate));
    assert_int_equal(estimate, 0);
    hll_forget(value.at);
    assert_false(hll_cached(bytes_of_value(&value), &estimate));
    hll_cache(value.at, 77);
    assert_true(hll_cached(bytes_of_value(&value), &estimate));
    assert_int_equal(estimate, 77);
}

/* ---- Both encodings ----------------------------------------------------------------------------- */

/* The registers are these, in the bytes of the value and nowhere behind them. */
static void check_registers(const struct hll_value *value, const struct hll_registers *expected) {
    static struct hll_registers registers;
    uint64_t estimate, same;
    char *exact = malloc(value->len);
    assert_non_null(exact);
    memcpy(exact, value->at, value->len);
    struct bytes bytes = bytes_of(exact, value->len);
    memset(&registers, 0, sizeof registers);
    assert_true(hll_is_valid(bytes));
    assert_true(hll_collect(bytes, &registers));
    assert_memory_equal(&registers, expected, sizeof registers);
    assert_true(hll_estimate(bytes, &estimate));
    same = hll_estimate_registers(expected);
    assert_int_equal(estimate, same);
    free(exact);
}

static enum hll_change raise_in(struct hll_registers *registers, struct hll_element element) {
    if (registers->at[element.index] >= element.rank) return HLL_SAME;
    registers->at[element.index] = (uint8_t)element.rank;
    return HLL_CHANGED;
}

static void add_many(struct random_state *random, uint64_t limit_bytes, uint32_t count) {
    static struct hll_value value;
    static struct hll_registers registers;
    bool was_sparse = true;
    memset(&registers, 0, sizeof registers);
    hll_init(&value);
    for (uint32_t i = 0; i < count; i++) {
        struct hll_element element = draw_element(random);
        if (random_below(random, 4) == 0) element.rank = 1; /* more equal neighbours */
        enum hll_change expected = raise_in(&registers, element);
        assert_int_equal(hll_add(&value, element, limit_bytes), expected);
        assert_true(was_sparse || !is_sparse(&value));
        assert_true(!is_sparse(&value) || value.len <= limit_bytes || value.len <= 18);
        was_sparse = is_sparse(&value);
        if (i % (count / 16 + 1) == 0) check_registers(&value, &registers);
    }
    check_registers(&value, &registers);
}

static void test_sparse_and_dense_have_the_same_registers(void **state) {
    static const uint64_t limits[] = {0, 19, 100, 1000, SPARSE_BYTES, NO_LIMIT};
    struct random_state random;
    (void)state;
    random_seed(&random, 1);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        add_many(&random, limits[i], 50);
        add_many(&random, limits[i], 2000);
        add_many(&random, limits[i], 20000);
    }
    add_many(&random, NO_LIMIT, 200000);
}

/* Full of registers that differ, and of such as are equal. */
static void test_every_register(void **state) {
    static struct hll_value value;
    static struct hll_registers registers;
    (void)state;
    for (uint32_t ranks = 1; ranks <= HLL_SPARSE_RANK_MAX; ranks += 31) {
        memset(&registers, 0, sizeof registers);
        hll_init(&value);
        for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
            struct hll_element element = {i * 7919 % HLL_REGISTERS, i % ranks + 1};
            raise_in(&registers, element);
            assert_int_equal(hll_add(&value, element, NO_LIMIT), HLL_CHANGED);
        }
        assert_true(is_sparse(&value));
        assert_true(value.len <= HLL_HEADER_BYTES + HLL_REGISTERS);
        check_registers(&value, &registers);
        assert_true(hll_make_dense(&value));
        assert_int_equal(value.len, HLL_DENSE_BYTES);
        check_registers(&value, &registers);
    }
}

static void test_a_high_rank_makes_dense(void **state) {
    static struct hll_value value;
    (void)state;
    hll_init(&value);
    assert_int_equal(hll_add(&value, (struct hll_element){5, 32}, NO_LIMIT), HLL_CHANGED);
    assert_true(is_sparse(&value));
    assert_int_equal(hll_add(&value, (struct hll_element){16383, 33}, NO_LIMIT), HLL_CHANGED);
    assert_false(is_sparse(&value));
    assert_int_equal(hll_dense_get(value.at, 5), 32);
    assert_int_equal(hll_dense_get(value.at, 16383), 33);
}

static void test_dense_registers_one_by_one(void **state) {
    static struct hll_registers registers;
    char *value = calloc(1, HLL_DENSE_BYTES);
    struct random_state random;
    (void)state;
    random_seed(&random, 2);
    assert_non_null(value);
    for (uint32_t i = 0; i < 4 * HLL_REGISTERS; i++) {
        uint32_t index = (uint32_t)random_below(&random, HLL_REGISTERS);
        registers.at[index] = (uint8_t)random_below(&random, HLL_RANKS);
        hll_dense_set(value, index, registers.at[index]);
    }
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        assert_int_equal(hll_dense_get(value, i), registers.at[i]);
    char *written = calloc(1, HLL_DENSE_BYTES);
    hll_dense_write(written, &registers);
    assert_memory_equal(written, value, HLL_DENSE_BYTES);
    free(written);
    free(value);
}

/* ---- Many registers at once --------------------------------------------------------------------- */

static void draw_value(struct random_state *random, struct hll_value *value, uint32_t count) {
    hll_init(value);
    for (uint32_t i = 0; i < count; i++) {
        struct hll_element element = draw_element(random);
        hll_add(value, element, NO_LIMIT);
    }
}

/* Short runs of low ranks side by side, also such as changes would have joined. */
static void draw_runs(struct random_state *random, struct hll_value *value, uint32_t count) {
    uint32_t registers = 0;
    hll_init(value);
    value->len = HLL_HEADER_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        bool zero = random_below(random, 4) == 0;
        uint64_t opcode = zero ? random_below(random, 4) : 0x80 | random_below(random, 8);
        value->at[value->len] = (char)opcode;
        registers += hll_run_at(value->at, value->len + 1, value->len).registers;
        value->len++;
    }
    uint32_t rest = HLL_REGISTERS - registers - 1;
    value->at[value->len++] = (char)(0x40 | rest >> 8);
    value->at[value->len++] = (char)rest;
}

/* What raising one after the other gives, to the last byte. */
static void check_raise(struct random_state *random, uint64_t limit_bytes) {
    static struct hll_value value, other, slow;
    static struct hll_registers registers;
    void (*draw)(struct random_state *, struct hll_value *, uint32_t) =
        random_below(random, 2) ? draw_runs : draw_value;
    draw(random, &value, (uint32_t)random_below(random, 400));
    draw(random, &other, (uint32_t)random_below(random, 400));
    memset(&registers, 0, sizeof registers);
    assert_true(hll_collect(bytes_of_value(&value), &registers));
    assert_true(hll_collect(bytes_of_value(&other), &registers));
    slow = value;
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        if (registers.at[i]) hll_add(&slow, (struct hll_element){i, registers.at[i]}, limit_bytes);
    hll_raise(&value, &registers, limit_bytes);
    hll_forget(value.at);
    hll_forget(slow.at);
    assert_int_equal(value.len, slow.len);
    assert_memory_equal(value.at, slow.at, slow.len);
    check_registers(&value, &registers);
}

static void test_raising_all_is_raising_each(void **state) {
    struct random_state random;
    (void)state;
    random_seed(&random, 3);
    for (int i = 0; i < 1000; i++) {
        check_raise(&random, NO_LIMIT);
        check_raise(&random, random_below(&random, 1200));
    }
}

/* ---- Damage ------------------------------------------------------------------------------------- */

static bool registers_add_up(struct bytes value) {
    uint64_t all = 0;
    for (uint32_t at = HLL_HEADER_BYTES; at < value.len;) {
        struct hll_run run = hll_run_at(value.at, value.len, at);
        all += run.registers;
        at += run.bytes;
    }
    return all == HLL_REGISTERS;
}

/* Everything that a command does to a value with a good header, in memory that ends where it ends. */
static bool use(struct random_state *random, struct bytes value, uint64_t limit_bytes) {
    static struct hll_value copy;
    static struct hll_registers registers;
    uint64_t estimate;
    bool whole = hll_encoding_of(value) == HLL_DENSE || registers_add_up(value);
    memset(&registers, 0, sizeof registers);
    assert_int_equal(hll_collect(value, &registers), whole);
    assert_int_equal(hll_estimate(value, &estimate), whole);
    if (!hll_load(&copy, value)) {
        assert_false(whole);
        return whole;
    }
    for (int i = 0; i < 40; i++) {
        uint32_t before = copy.len;
        struct hll_element element = draw_element(random);
        enum hll_change change = hll_add(&copy, element, limit_bytes);
        assert_true(change != HLL_FULL && (!whole || change != HLL_DAMAGED));
        assert_true(change == HLL_CHANGED || copy.len == before);
        assert_true(hll_is_valid(bytes_of_value(&copy)));
    }
    assert_true(!whole || hll_collect(bytes_of_value(&copy), &registers));
    assert_true(hll_make_dense(&copy) || !whole);
    return whole;
}

static bool use_exact(struct random_state *random, const struct hll_value *value) {
    char *exact = malloc(value->len);
    assert_non_null(exact);
    memcpy(exact, value->at, value->len);
    struct bytes bytes = bytes_of(exact, value->len);
    bool used =
        hll_is_valid(bytes) && use(random, bytes, random_below(random, 2) ? NO_LIMIT : value->len);
    free(exact);
    return used;
}

static void test_random_runs(void **state) {
    static struct hll_value value;
    struct random_state random;
    (void)state;
    random_seed(&random, 4);
    for (int i = 0; i < DAMAGED_ROUNDS; i++) {
        uint32_t kind = (uint32_t)random_below(&random, 4);
        hll_init(&value);
        value.len = HLL_HEADER_BYTES + (uint32_t)random_below(&random, i % 50 ? 600 : 32000);
        for (uint32_t at = HLL_HEADER_BYTES; at < value.len; at++) {
            uint8_t byte = (uint8_t)random_next(&random);
            value.at[at] = (char)(kind == 0 ? byte : kind == 1 ? byte | 0x80 : byte & 0x3f);
        }
        use_exact(&random, &value);
    }
}

static void test_bytes_written_into_values(void **state) {
    static struct hll_value value;
    struct random_state random;
    uint32_t whole = 0, damaged = 0;
    (void)state;
    random_seed(&random, 5);
    for (int i = 0; i < DAMAGED_ROUNDS; i++) {
        draw_value(&random, &value, (uint32_t)random_below(&random, 300));
        if (random_below(&random, 8) == 0) assert_true(hll_make_dense(&value));
        for (uint64_t writes = random_below(&random, 4); writes > 0; writes--)
            value.at[random_below(&random, value.len)] = (char)random_next(&random);
        value.len -= (uint32_t)random_below(&random, 2);
        if (use_exact(&random, &value)) whole++;
        else damaged++;
    }
    assert_true(whole > DAMAGED_ROUNDS / 20 && damaged > DAMAGED_ROUNDS / 20);
}

/* Runs of one register in two bytes: nothing whole is longer. */
static void test_the_longest_value(void **state) {
    static struct hll_value value;
    struct random_state random;
    (void)state;
    random_seed(&random, 6);
    hll_init(&value);
    for (value.len = HLL_HEADER_BYTES; value.len < HLL_BYTES_MAX; value.len += 2)
        memcpy(value.at + value.len, "\x40\x00", 2);
    assert_true(use_exact(&random, &value));
    memcpy(value.at + HLL_BYTES_MAX - 2, "\x41\x00", 2);
    assert_false(use_exact(&random, &value));
    char *longer = calloc(1, HLL_BYTES_MAX + 1);
    memcpy(longer, value.at, value.len);
    assert_false(hll_load(&value, bytes_of(longer, HLL_BYTES_MAX + 1)));
    free(longer);
}

/* As Redis reads it: with the zero that ends every string there. */
static void test_an_opcode_cut_in_half(void **state) {
    static struct hll_value value;
    struct random_state random;
    (void)state;
    random_seed(&random, 7);
    hll_init(&value);
    memcpy(value.at + HLL_HEADER_BYTES, "\x40\xfe\x7f", 3); /* 255 and 16129 */
    value.len = HLL_HEADER_BYTES + 3;
    assert_true(use_exact(&random, &value));
    assert_int_equal(hll_add(&value, (struct hll_element){16383, 1}, NO_LIMIT), HLL_CHANGED);
    assert_int_equal(value.len, HLL_HEADER_BYTES + 5);
    assert_true(use_exact(&random, &value));
}

static void test_headers(void **state) {
    static const struct {
        const char *bytes;
        uint32_t len;
        bool valid;
    } cases[] = {
        {"", 0, false},
        {"HYLL\1\0\0\0\0\0\0\0\0\0\0", 15, false},
        {"HYLL\1\0\0\0\0\0\0\0\0\0\0\0", 16,
         true}, /* without registers, which is found out later */
        {"HYLK\1\0\0\0\0\0\0\0\0\0\0\0\x7f\xff", 18, false},
        {"hYLL\1\0\0\0\0\0\0\0\0\0\0\0\x7f\xff", 18, false},
        {"HYLL\1\7\7\7\7\7\7\7\7\7\7\7\x7f\xff", 18, true},
        {"HYLL\2\0\0\0\0\0\0\0\0\0\0\0\x7f\xff", 18, false},
        {"HYLL\xff\0\0\0\0\0\0\0\0\0\0\0\x7f\xff", 18, false},
        {"HYLL\0\0\0\0\0\0\0\0\0\0\0\0\x7f\xff", 18, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(hll_is_valid(bytes_of(cases[i].bytes, cases[i].len)), cases[i].valid);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements_hash_as_in_redis),
        cmocka_unit_test(test_estimates_are_those_of_redis),
        cmocka_unit_test(test_estimates_of_equal_registers),
        cmocka_unit_test(test_the_empty_value),
        cmocka_unit_test(test_sparse_and_dense_have_the_same_registers),
        cmocka_unit_test(test_every_register),
        cmocka_unit_test(test_a_high_rank_makes_dense),
        cmocka_unit_test(test_dense_registers_one_by_one),
        cmocka_unit_test(test_raising_all_is_raising_each),
        cmocka_unit_test(test_random_runs),
        cmocka_unit_test(test_bytes_written_into_values),
        cmocka_unit_test(test_the_longest_value),
        cmocka_unit_test(test_an_opcode_cut_in_half),
        cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
