/* HyperLogLogs from inside: PFDEBUG, PFSELFTEST. */
#include <math.h>

#include "cmd/families.h"
#include "cmd/hyperloglog.h"

/* ---- PFDEBUG ------------------------------------------------------------------------------------ */

/* The change is logged, but nobody is told: the elements are the same. */
static bool make_dense(struct call *call, const struct key_place *place, struct entry *entry) {
    struct hll_value value;
    if (!hll_load(&value, entry_string(entry)) || !hll_make_dense(&value)) {
        hyperloglog_error_damaged(call);
        return false;
    }
    if (!hyperloglog_store(call, place, entry, &value)) return false;
    effect_log_verbatim(call);
    call->effects->dirty++;
    return true;
}

static bool is_sparse(const struct entry *entry) {
    return hll_encoding_of(entry_string(entry)) == HLL_SPARSE;
}

static void reply_registers(struct call *call, const struct key_place *place, struct entry *entry) {
    struct hll_registers registers = {0};
    if (is_sparse(entry) && !make_dense(call, place, entry)) return;
    entry = keyspace_find(place->keyspace, place->db, place->hash, place->key);
    hll_dense_collect(entry_string(entry).at, &registers);
    reply_array(call->reply, HLL_REGISTERS);
    for (uint32_t i = 0; i < HLL_REGISTERS; i++) reply_integer(call->reply, registers.at[i]);
}

static void reply_dense(struct call *call, const struct key_place *place, struct entry *entry) {
    bool converts = is_sparse(entry);
    if (!converts || make_dense(call, place, entry)) reply_integer(call->reply, converts);
}

static void reply_encoding(struct call *call, const struct key_place *place, struct entry *entry) {
    (void)place;
    reply_simple(call->reply, is_sparse(entry) ? "sparse" : "dense");
}

enum { RUN_TEXT_MAX = 8 }; /* "v:32,4 " or "Z:16384 " */

static size_t write_run(char *out, char opcode, struct hll_run run) {
    size_t len = 2;
    out[0] = opcode;
    out[1] = ':';
    if (run.rank) {
        len += bytes_from_uint64(out + len, run.rank);
        out[len++] = ',';
    }
    len += bytes_from_uint64(out + len, run.registers);
    out[len] = ' ';
    return len + 1;
}

static size_t write_runs(char *out, struct bytes value) {
    size_t len = 0;
    for (uint32_t at = HLL_HEADER_BYTES; at < value.len;) {
        struct hll_run run = hll_run_at(value.at, value.len, at);
        bool is_long = !run.rank && value.at[at] & 0x40;
        len += write_run(out + len, run.rank ? 'v' : is_long ? 'Z' : 'z', run);
        at += run.bytes;
    }
    return len > 0 ? len - 1 : 0; /* without the last blank */
}

static void reply_runs(struct call *call, const struct key_place *place, struct entry *entry) {
    struct bytes value = entry_string(entry);
    (void)place;
    if (!is_sparse(entry)) {
        call_error(call, "ERR HLL encoding is not sparse");
        return;
    }
    if (value.len > HLL_BYTES_MAX) {
        hyperloglog_error_damaged(call);
        return;
    }
    char *text = mem_alloc(NULL, (size_t)value.len * RUN_TEXT_MAX + 24);
    if (text) reply_bulk(call->reply, bytes_of(text, write_runs(text, value)));
    else call_error_memory(call);
    mem_free(NULL, text);
}

struct debug_word {
    const char *word;
    void (*run)(struct call *call, const struct key_place *place, struct entry *entry);
};

static const struct debug_word debug_words[] = {
    {"getreg", reply_registers},
    {"decode", reply_runs},
    {"encoding", reply_encoding},
    {"todense", reply_dense},
};

static void pfdebug_command(struct call *call) {
    struct entry *entry;
    struct bytes word = call->argv[1];
    struct key_place place = keyspace_for(call, 2);
    if (!hyperloglog_find(call, &place, &entry)) return;
    if (!entry) {
        call_error(call, "ERR The specified key does not exist");
        return;
    }
    for (size_t i = 0; i < sizeof debug_words / sizeof *debug_words; i++)
        if (bytes_is(word, debug_words[i].word)) {
            debug_words[i].run(call, &place, entry);
            return;
        }
    call_error_format(call, "ERR Unknown PFDEBUG subcommand '%.*s'", (int)word.len, word.at);
}

/* ---- PFSELFTEST --------------------------------------------------------------------------------- */

enum { TEST_ROUNDS = 100, TEST_ELEMENTS = 100000, ERROR_FACTOR = 6 };

/* Every register takes every rank and leaves its neighbours alone. */
static bool test_registers(struct call *call, struct random_state *random,
                           struct hll_value *value) {
    struct hll_registers registers;
    for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
        registers.at[i] = (uint8_t)random_below(random, HLL_RANKS);
        hll_dense_set(value->at, i, registers.at[i]);
    }
    for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
        uint32_t rank = hll_dense_get(value->at, i);
        if (rank == registers.at[i]) continue;
        call_error_format(call, "ERR TESTFAILED Register %u should be %u but is %u", i,
                          registers.at[i], rank);
        return false;
    }
    return true;
}

/* Six times the standard error is met in a lifetime at most, but for ten elements, where two may share a register. */
static bool test_estimate(struct call *call, uint64_t count, const struct hll_value *dense,
                          const struct hll_value *other) {
    uint64_t estimate = 0, same = 0;
    bool whole = hll_estimate(bytes_of(dense->at, dense->len), &estimate) &&
                 hll_estimate(bytes_of(other->at, other->len), &same);
    if (!whole || estimate != same) {
        call_error(call, "ERR TESTFAILED dense/sparse disagree");
        return false;
    }
    double allowed = ceil(1.04 / sqrt(HLL_REGISTERS) * ERROR_FACTOR * (double)count);
    uint64_t error = estimate > count ? estimate - count : count - estimate;
    if ((double)error <= (count == 10 ? 1 : allowed)) return true;
    call_error_format(call, "ERR TESTFAILED Too big error. card:%llu abserr:%llu",
                      (unsigned long long)count, (unsigned long long)error);
    return false;
}

static bool test_estimates(struct call *call, uint64_t seed, struct hll_value *dense) {
    struct hll_value other;
    uint64_t limit = call->domain->hll_sparse_bytes, checkpoint = 1;
    static const struct hll_registers none;
    hll_init(&other);
    hll_become_dense(dense, &none);
    for (uint64_t count = 1; count <= TEST_ELEMENTS; count++) {
        uint64_t word = count ^ seed;
        struct hll_element element = hll_element_of(bytes_of((const char *)&word, sizeof word));
        hll_add(dense, element, limit);
        hll_add(&other, element, limit);
        if (count != checkpoint) continue;
        bool small = count < limit / 2;
        if (small && hll_encoding_of(bytes_of(other.at, other.len)) != HLL_SPARSE) {
            call_error(call, "ERR TESTFAILED sparse encoding not used");
            return false;
        }
        if (!test_estimate(call, count, dense, &other)) return false;
        checkpoint *= 10;
    }
    return true;
}

/* Of a size that holds up a shard for a few milliseconds. */
static void pfselftest_command(struct call *call) {
    struct hll_value value;
    struct random_state random;
    static const struct hll_registers none;
    random_seed(&random, (uint64_t)call_now(call));
    hll_init(&value);
    hll_become_dense(&value, &none);
    for (int round = 0; round < TEST_ROUNDS; round++)
        if (!test_registers(call, &random, &value)) return;
    if (test_estimates(call, random_next(&random), &value)) reply_ok(call->reply);
}

void hyperloglog_debug_bind(void) {
    command_bind("pfdebug", pfdebug_command);
    command_bind("pfselftest", pfselftest_command);
}
