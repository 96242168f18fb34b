/* HyperLogLogs of both encodings: elements, headers, estimates.
 *
 * The estimate is that of Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches"
 * (arXiv:1702.01284), from the histogram of the registers. */
#include "cmd/hll.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"

enum { INDEX_BITS = 14, HASH_RANKS = 64 - INDEX_BITS, ENCODING_AT = 4, ESTIMATE_AT = 8 };
enum { XZERO_ALL_FIRST = 0x7f, XZERO_ALL_SECOND = 0xff };

#define ALPHA 0.721347520444481703680 /* 1 / (2 ln 2) */
#define STALE ((uint64_t)1 << 63)     /* of an estimate */

/* ---- Elements ----------------------------------------------------------------------------------- */

/* MurmurHash64A, as Austin Appleby published it. */
#define MURMUR_FACTOR 0xc6a4a7935bd1e995
#define MURMUR_SEED 0xadc83b19
enum { MURMUR_SHIFT = 47 };

static uint64_t murmur_mix(uint64_t word) {
    word *= MURMUR_FACTOR;
    word ^= word >> MURMUR_SHIFT;
    return word * MURMUR_FACTOR;
}

static uint64_t murmur(struct bytes bytes) {
    uint64_t hash = MURMUR_SEED ^ bytes.len * MURMUR_FACTOR;
    uint32_t words = bytes.len / 8, rest = bytes.len % 8;
    for (uint32_t i = 0; i < words; i++)
        hash = (hash ^ murmur_mix(bytes_load8(bytes.at + i * 8))) * MURMUR_FACTOR;
    if (rest) {
        uint64_t last = 0;
        for (uint32_t i = rest; i > 0; i--) last = last << 8 | (uint8_t)bytes.at[words * 8 + i - 1];
        hash = (hash ^ last) * MURMUR_FACTOR;
    }
    hash = (hash ^ hash >> MURMUR_SHIFT) * MURMUR_FACTOR;
    return hash ^ hash >> MURMUR_SHIFT;
}

struct hll_element hll_element_of(struct bytes element) {
    uint64_t hash = murmur(element);
    uint64_t rest = hash >> INDEX_BITS | (uint64_t)1 << HASH_RANKS;
    return (struct hll_element){(uint32_t)hash % HLL_REGISTERS,
                                (uint32_t)__builtin_ctzll(rest) + 1};
}

/* ---- Headers ------------------------------------------------------------------------------------ */

bool hll_is_valid(struct bytes value) {
    if (value.len < HLL_HEADER_BYTES || memcmp(value.at, "HYLL", ENCODING_AT) != 0) return false;
    if (value.at[ENCODING_AT] == HLL_DENSE) return value.len == HLL_DENSE_BYTES;
    return value.at[ENCODING_AT] == HLL_SPARSE;
}

static struct bytes bytes_of_value(const struct hll_value *value) {
    return bytes_of(value->at, value->len);
}

void hll_init(struct hll_value *value) {
    static const char all[HLL_HEADER_BYTES + 2] = {'H',
                                                   'Y',
                                                   'L',
                                                   'L',
                                                   HLL_SPARSE,
                                                   [HLL_HEADER_BYTES] = XZERO_ALL_FIRST,
                                                   (char)XZERO_ALL_SECOND};
    memcpy(value->at, all, sizeof all);
    value->len = sizeof all;
}

bool hll_load(struct hll_value *value, struct bytes bytes) {
    if (bytes.len > sizeof value->at) return false;
    memcpy(value->at, bytes.at, bytes.len);
    value->len = bytes.len;
    return true;
}

bool hll_cached(struct bytes value, uint64_t *estimate) {
    *estimate = bytes_load8(value.at + ESTIMATE_AT);
    return !(*estimate & STALE);
}

void hll_cache(char *value, uint64_t estimate) {
    memcpy(value + ESTIMATE_AT, &estimate, sizeof estimate);
}

void hll_forget(char *value) {
    hll_cache(value, bytes_load8(value + ESTIMATE_AT) | STALE);
}

/* ---- Changing ----------------------------------------------------------------------------------- */

void hll_become_dense(struct hll_value *value, const struct hll_registers *registers) {
    value->at[ENCODING_AT] = HLL_DENSE;
    value->len = HLL_DENSE_BYTES;
    hll_dense_write(value->at, registers);
}

bool hll_make_dense(struct hll_value *value) {
    struct hll_registers registers = {0};
    if (!hll_collect(bytes_of_value(value), &registers)) return false;
    hll_become_dense(value, &registers);
    return true;
}

static enum hll_change add_dense(struct hll_value *value, struct hll_element element) {
    if (hll_dense_get(value->at, element.index) >= element.rank) return HLL_SAME;
    hll_dense_set(value->at, element.index, element.rank);
    hll_forget(value->at);
    return HLL_CHANGED;
}

enum hll_change hll_add(struct hll_value *value, struct hll_element element, uint64_t limit_bytes) {
    if (hll_encoding_of(bytes_of_value(value)) == HLL_SPARSE) {
        enum hll_change change = hll_sparse_set(value, element, limit_bytes);
        if (change != HLL_FULL) return change;
        if (!hll_make_dense(value)) return HLL_DAMAGED;
    }
    return add_dense(value, element);
}

void hll_raise(struct hll_value *value, const struct hll_registers *registers,
               uint64_t limit_bytes) {
    bool sparse = hll_encoding_of(bytes_of_value(value)) == HLL_SPARSE;
    if (!sparse || !hll_sparse_raise(value, registers, limit_bytes))
        hll_become_dense(value, registers);
}

bool hll_collect(struct bytes value, struct hll_registers *registers) {
    if (hll_encoding_of(value) == HLL_SPARSE) return hll_sparse_collect(value, registers);
    hll_dense_collect(value.at, registers);
    return true;
}

/* ---- Estimates ---------------------------------------------------------------------------------- */

/* x + sum of x^(2^k) 2^(k-1) over k > 0. */
static double sigma(double x) {
    if (x == 1) return INFINITY;
    double power = 1, sum = x, before;
    do {
        x *= x;
        before = sum;
        sum += x * power;
        power += power;
    } while (sum != before);
    return sum;
}

/* (1 - x - sum of (1 - x^(2^-k))^2 2^-k over k > 0) / 3. */
static double tau(double x) {
    if (x == 0 || x == 1) return 0;
    double power = 1, sum = 1 - x, before;
    do {
        x = sqrt(x);
        before = sum;
        power *= 0.5;
        sum -= (1 - x) * (1 - x) * power;
    } while (sum != before);
    return sum / 3;
}

/* Registers of ranks that no hash gives can make up any number, also none that fits. */
static uint64_t rounded(double estimate) {
    return estimate < 0x1p63 ? (uint64_t)llround(estimate) : STALE;
}

static uint64_t estimate_of(const uint32_t histogram[HLL_RANKS]) {
    const double all = HLL_REGISTERS;
    double sum = all * tau((all - histogram[HASH_RANKS + 1]) / all);
    for (int rank = HASH_RANKS; rank > 0; rank--) sum = (sum + histogram[rank]) * 0.5;
    sum += all * sigma(histogram[0] / all);
    return rounded(ALPHA * all * all / sum);
}

bool hll_estimate(struct bytes value, uint64_t *estimate) {
    uint32_t histogram[HLL_RANKS] = {0};
    if (hll_encoding_of(value) == HLL_DENSE) hll_dense_histogram(value.at, histogram);
    else if (!hll_sparse_histogram(value, histogram)) return false;
    *estimate = estimate_of(histogram);
    return true;
}

uint64_t hll_estimate_registers(const struct hll_registers *registers) {
    uint32_t histogram[HLL_RANKS] = {0};
    hll_registers_histogram(registers, histogram);
    return estimate_of(histogram);
}
