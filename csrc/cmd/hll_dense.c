/* Dense HyperLogLogs: 6 bits for each register. Eight registers are six bytes, which are spread to
 * a word of eight bytes and put together again without a loop. */
#include <string.h>

#include "base/assert.h"
#include "cmd/hll.h"

enum { GROUP = 8, GROUP_BYTES = 6, GROUPS = HLL_REGISTERS / GROUP };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are loaded as they lie");

/* ---- Single registers --------------------------------------------------------------------------- */

/* A register lies in one byte or two; the last one ends with the value. */
uint32_t hll_dense_get(const char *value, uint32_t index) {
    const uint8_t *byte = (const uint8_t *)value + HLL_HEADER_BYTES + index * 6 / 8;
    uint32_t shift = index * 6 % 8;
    uint32_t bits = (uint32_t)byte[0] >> shift;
    if (shift > 2) bits |= (uint32_t)byte[1] << (8 - shift);
    return bits & 63;
}

void hll_dense_set(char *value, uint32_t index, uint32_t rank) {
    uint8_t *byte = (uint8_t *)value + HLL_HEADER_BYTES + index * 6 / 8;
    uint32_t shift = index * 6 % 8;
    KRT_DCHECK(index < HLL_REGISTERS && rank < HLL_RANKS);
    byte[0] = (uint8_t)((byte[0] & ~(63u << shift)) | rank << shift);
    if (shift > 2) byte[1] = (uint8_t)((byte[1] & ~(63u >> (8 - shift))) | rank >> (8 - shift));
}

/* ---- Eight at a time ---------------------------------------------------------------------------- */

static inline uint64_t spread(uint64_t bits) {
    bits = (bits & 0xffffff) | (bits & 0xffffff000000) << 8;
    bits = (bits & 0x00000fff00000fff) | (bits & 0x00fff00000fff000) << 4;
    return (bits & 0x003f003f003f003f) | (bits & 0x0fc00fc00fc00fc0) << 2;
}

static inline uint64_t join_pairs(uint64_t bytes) {
    return (bytes & 0x003f003f003f003f) | (bytes & 0x3f003f003f003f00) >> 2;
}

static inline uint64_t gather(uint64_t bytes) {
    bytes = join_pairs(bytes);
    bytes = (bytes & 0x00000fff00000fff) | (bytes & 0x0fff00000fff0000) >> 4;
    return (bytes & 0xffffff) | (bytes & 0x00ffffff00000000) >> 8;
}

/* The last group's six bytes are read with the two before them instead of the two behind. */
static inline uint64_t load_bits(const char *value, uint32_t group) {
    const char *at = value + HLL_HEADER_BYTES + group * GROUP_BYTES;
    return group + 1 < GROUPS ? bytes_load8(at) : bytes_load8(at - 2) >> 16;
}

/* In each byte the greater of two that are under 64. */
static inline uint64_t greater(uint64_t a, uint64_t b) {
    const uint64_t high = 0x8080808080808080;
    uint64_t not_less = ((a | high) - b) & high;
    uint64_t mask = (not_less - (not_less >> 7)) | not_less;
    return (a & mask) | (b & ~mask);
}

void hll_dense_collect(const char *value, struct hll_registers *registers) {
    for (uint32_t group = 0; group < GROUPS; group++) {
        char *at = (char *)registers->at + group * GROUP;
        uint64_t raised = greater(bytes_load8(at), spread(load_bits(value, group)));
        memcpy(at, &raised, sizeof raised);
    }
}

/* Each group but the last is stored with two bytes more, which the next one overwrites. */
void hll_dense_write(char *value, const struct hll_registers *registers) {
    char *at = value + HLL_HEADER_BYTES;
    for (uint32_t group = 0; group < GROUPS; group++, at += GROUP_BYTES) {
        uint64_t bits = gather(bytes_load8((const char *)registers->at + group * GROUP));
        memcpy(at, &bits, group + 1 < GROUPS ? sizeof bits : GROUP_BYTES);
    }
}

/* ---- Histograms --------------------------------------------------------------------------------- */

/* Of pairs of registers, 12 bits each: half as many counters to raise, and equal neighbours wait less for each
 * other's. */
enum { PAIRS = HLL_RANKS * HLL_RANKS };

struct pairs {
    uint64_t seen; /* bits of any of them */
    uint16_t of[PAIRS];
};

/* Four pairs, one every `shift` bits. */
static inline void count(struct pairs *pairs, uint64_t bits, int shift) {
    pairs->seen |= bits;
    for (int i = 0; i < GROUP / 2; i++) pairs->of[bits >> (shift * i) & (PAIRS - 1)]++;
}

/* No rank is higher. */
static int highest(const struct pairs *pairs, int shift) {
    uint64_t seen = 0;
    for (int i = 0; i < GROUP / 2; i++) seen |= pairs->seen >> (shift * i) & (PAIRS - 1);
    return (int)((seen | seen >> 6) & (HLL_RANKS - 1));
}

static void sum(const struct pairs *pairs, int shift, uint32_t histogram[HLL_RANKS]) {
    uint16_t low[HLL_RANKS] = {0};
    int last = highest(pairs, shift);
    for (int high = 0; high <= last; high++) {
        const uint16_t *of = pairs->of + high * HLL_RANKS;
        uint16_t total = 0;
        for (int rank = 0; rank < HLL_RANKS; rank++) low[rank] += of[rank];
        for (int rank = 0; rank < HLL_RANKS; rank++) total += of[rank];
        histogram[high] += total;
    }
    for (int rank = 0; rank < HLL_RANKS; rank++) histogram[rank] += low[rank];
}

void hll_dense_histogram(const char *value, uint32_t histogram[HLL_RANKS]) {
    struct pairs pairs = {0};
    for (uint32_t group = 0; group < GROUPS; group++) count(&pairs, load_bits(value, group), 12);
    sum(&pairs, 12, histogram);
}

/* Of few elements almost all registers are 0: they are passed over, many at once. */
void hll_registers_histogram(const struct hll_registers *registers, uint32_t histogram[HLL_RANKS]) {
    struct pairs pairs = {0};
    uint32_t zeros = 0;
    for (uint32_t i = 0; i < HLL_REGISTERS / GROUP; i += 4) {
        uint64_t words[4];
        memcpy(words, registers->at + i * GROUP, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3]) == 0) {
            zeros += 4 * GROUP;
            continue;
        }
        for (int k = 0; k < 4; k++) {
            if (words[k] == 0) zeros += GROUP;
            else count(&pairs, join_pairs(words[k]), 16);
        }
    }
    sum(&pairs, 16, histogram);
    histogram[0] += zeros;
}
