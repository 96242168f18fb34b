/* HyperLogLogs as bytes: Redis's representation, bit for bit, without keys.
 *
 * A value estimates how many different elements it was given. An element's hash names one of 16384 registers and a
 * rank, the position of the first bit that is set in the rest of the hash; a register keeps the highest rank of its
 * elements.
 *
 * Format
 *     "HYLL" | encoding, 1 byte | 3 bytes, kept | estimate, 8 bytes, little-endian | registers
 * The estimate is the one made last; the highest bit of its last byte says that registers have changed since.
 *   dense   12288 bytes: 6 bits for each register, the first one in the low bits of the first byte.
 *   sparse  runs of equal registers, which together are all of them:
 *             ZERO   00llllll           l + 1 registers of 0
 *             XZERO  01hhhhhh llllllll  hl + 1 registers of 0
 *             VAL    1rrrrrll           l + 1 registers of rank r + 1
 * A value begins sparse; it becomes dense for good when a rank is over 32 or when it would outgrow a limit. Which runs
 * a sparse value has depends on the order of its changes, and is Redis's.
 *
 * Threads: any; functions of their arguments.
 * Damage: values come from clients, who write into them with SETRANGE. hll_is_valid says whether the other functions
 * may see one. Runs that do not make up 16384 registers are noticed where they are read to their end, as in
 * Redis; nothing outside the value is read or written, whatever is in it.
 */
#pragma once

#include "base/bytes.h"

enum {
    HLL_REGISTERS = 1 << 14,
    HLL_RANKS = 64, /* that fit a register; a hash gives none over 51 */
    HLL_HEADER_BYTES = 16,
    HLL_DENSE_BYTES = HLL_HEADER_BYTES + HLL_REGISTERS * 6 / 8,
    HLL_SPARSE_RANK_MAX = 32,
    /* No sparse value that is whole is longer: each run has a register or more, and two bytes or fewer. */
    HLL_BYTES_MAX = HLL_HEADER_BYTES + 2 * HLL_REGISTERS,
};

enum hll_encoding { HLL_DENSE, HLL_SPARSE };

enum hll_change {
    HLL_SAME,
    HLL_CHANGED,
    HLL_DAMAGED, /* the runs end before the register; nothing was changed */
    HLL_FULL,    /* of sparse values alone: only a dense one can take it; nothing was changed */
};

struct hll_element {
    uint32_t index; /* of its register */
    uint32_t rank;
};

/* A value that is being changed, apart from where it is kept. */
struct hll_value {
    uint32_t len;
    char at[HLL_BYTES_MAX];
};

/* All registers, one a byte. */
struct hll_registers {
    uint8_t at[HLL_REGISTERS];
};

struct hll_element hll_element_of(struct bytes element);

/* ---- Values of both encodings ------------------------------------------------------------------- */

/* Is it a header that the length agrees with? */
bool hll_is_valid(struct bytes value);

static inline enum hll_encoding hll_encoding_of(struct bytes value) {
    return value.at[4] ? HLL_SPARSE : HLL_DENSE;
}

void hll_init(struct hll_value *value); /* sparse, all registers 0 */
/* A copy; false for a sparse value that is too long to be whole. */
bool hll_load(struct hll_value *value, struct bytes bytes);
/* Raises a register. A sparse value that cannot take it within `limit_bytes` becomes dense. */
enum hll_change hll_add(struct hll_value *value, struct hll_element element, uint64_t limit_bytes);
/* Raises all registers, in ascending order, to what is given: none of that is lower than what the value has. */
void hll_raise(struct hll_value *value, const struct hll_registers *registers,
               uint64_t limit_bytes);
/* Dense, with these registers; the rest of the header stays. */
void hll_become_dense(struct hll_value *value, const struct hll_registers *registers);
/* Dense, with the registers that it has. False if the runs are damaged; the value stays as it is. */
bool hll_make_dense(struct hll_value *value);
/* Raises `registers` to what the value has. False if its runs are damaged. */
bool hll_collect(struct bytes value, struct hll_registers *registers);

/* The estimate that was made last; false if it no longer holds. */
bool hll_cached(struct bytes value, uint64_t *estimate);
void hll_cache(char *value, uint64_t estimate);
void hll_forget(char *value); /* that estimate */
/* A new one. False if the runs are damaged. */
bool hll_estimate(struct bytes value, uint64_t *estimate);
uint64_t hll_estimate_registers(const struct hll_registers *registers);

/* ---- Dense values ------------------------------------------------------------------------------- */

uint32_t hll_dense_get(const char *value, uint32_t index);
void hll_dense_set(char *value, uint32_t index, uint32_t rank);
void hll_dense_collect(const char *value, struct hll_registers *registers);
void hll_dense_write(char *value, const struct hll_registers *registers);
void hll_dense_histogram(const char *value, uint32_t histogram[HLL_RANKS]);
void hll_registers_histogram(const struct hll_registers *registers, uint32_t histogram[HLL_RANKS]);

/* ---- Sparse values ------------------------------------------------------------------------------ */

struct hll_run {
    uint32_t registers; /* how many */
    uint32_t rank;      /* 0 in ZERO and XZERO */
    uint32_t bytes;     /* of the opcode */
};

/* The run that begins at an offset. The second byte of an XZERO that is the last byte of a value counts as 0, which is
 * what stands behind a string in Redis. */
static inline struct hll_run hll_run_at(const char *value, uint32_t len, uint32_t at) {
    uint32_t first = (uint8_t)value[at];
    if (first & 0x80) return (struct hll_run){(first & 3) + 1, (first >> 2 & 31) + 1, 1};
    if (!(first & 0x40)) return (struct hll_run){first + 1, 0, 1};
    bool cut = at + 1 == len;
    uint32_t low = cut ? 0 : (uint8_t)value[at + 1];
    return (struct hll_run){((first & 0x3f) << 8 | low) + 1, 0, cut ? 1 : 2};
}

enum hll_change hll_sparse_set(struct hll_value *value, struct hll_element element,
                               uint64_t limit_bytes);
/* As hll_raise; false leaves some registers raised, for the value has to become dense. */
bool hll_sparse_raise(struct hll_value *value, const struct hll_registers *registers,
                      uint64_t limit_bytes);
bool hll_sparse_collect(struct bytes value, struct hll_registers *registers);
bool hll_sparse_histogram(struct bytes value, uint32_t histogram[HLL_RANKS]);
