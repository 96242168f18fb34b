/* Sparse HyperLogLogs: runs of registers.
 *
 * A register is raised by splitting its run in up to three; then neighbours that have become equal are put together,
 * from the run before on and over a few runs only. Since values are compared as strings, what is split and
 * what is joined is part of the format.
 *
 * Raising many registers in ascending order goes on from the run before the one that was changed last, which
 * is as far back as a change reaches. */
#include <string.h>

#include "base/assert.h"
#include "cmd/hll.h"

enum { ZERO_MAX = 64, VAL_MAX = 4, SPLIT_BYTES_MAX = 5, JOIN_SCANS = 5 };

/* ---- Eight bytes at once ------------------------------------------------------------------------ */

#define LOW_BITS ((uint64_t)0x0101010101010101)

/* Of bytes that begin with a run: without an XZERO they are eight. */
static inline bool has_xzero(uint64_t word) {
    return word & ~(word >> 1) & LOW_BITS << 6;
}

/* Of eight runs: a VAL has two bits of length, a ZERO six. */
static inline uint32_t registers_of(uint64_t word) {
    const uint64_t even = 0x00ff00ff00ff00ff;
    uint64_t vals = word >> 7 & LOW_BITS;
    uint64_t lengths = word & (LOW_BITS * 0x3f ^ vals * 0x3c);
    lengths = (lengths & even) + (lengths >> 8 & even);
    return 8 + (uint32_t)(lengths * 0x0001000100010001 >> 48);
}

/* ---- Finding a register ------------------------------------------------------------------------- */

/* Where a run begins: its offset in the value, its first register. */
struct start {
    uint32_t at, first;
};

static const struct start begin = {HLL_HEADER_BYTES, 0};

/* A run and the one before it; where there is none, itself. */
struct spot {
    struct start here, previous;
    struct hll_run run;
};

/* Behind the eight runs of a word without an XZERO, or behind one run. */
static inline struct start skip(const struct hll_value *value, struct start from) {
    uint64_t word = bytes_load8(value->at + from.at);
    if (!has_xzero(word)) return (struct start){from.at + 8, from.first + registers_of(word)};
    struct hll_run run = hll_run_at(value->at, value->len, from.at);
    return (struct start){from.at + run.bytes, from.first + run.registers};
}

/* Where to look for a register run by run: a run or more before its own, or where the search begins. */
static struct start skip_to(const struct hll_value *value, struct start from, uint32_t index) {
    struct start last = from, here = from;
    while (here.at + 8 <= value->len) {
        struct start next = skip(value, here);
        if (next.first > index) break;
        last = here;
        here = next;
    }
    return last;
}

/* The run that a register is in. False if all of them end before it. */
static bool find(const struct hll_value *value, struct start from, uint32_t index,
                 struct spot *spot) {
    struct start here = skip_to(value, from, index), previous = here;
    while (here.at < value->len) {
        struct hll_run run = hll_run_at(value->at, value->len, here.at);
        if (index - here.first < run.registers) {
            *spot = (struct spot){here, previous, run};
            return true;
        }
        previous = here;
        here.at += run.bytes;
        here.first += run.registers;
    }
    return false;
}

/* ---- Changing one ------------------------------------------------------------------------------- */

/* Writes a run, of no registers perhaps; returns its bytes. */
static uint32_t put_run(char *at, uint32_t registers, uint32_t rank) {
    if (registers == 0) return 0;
    KRT_DCHECK(registers <= (rank ? VAL_MAX : HLL_REGISTERS));
    uint32_t more = registers - 1;
    if (rank) {
        *at = (char)(0x80 | (rank - 1) << 2 | more);
    } else if (registers <= ZERO_MAX) {
        *at = (char)more;
    } else {
        at[0] = (char)(0x40 | more >> 8);
        at[1] = (char)more;
        return 2;
    }
    return 1;
}

/* Puts other bytes in the place of `old` bytes. */
static void replace(struct hll_value *value, uint32_t at, uint32_t old, const char *bytes,
                    uint32_t count) {
    memmove(value->at + at + count, value->at + at + old, value->len - at - old);
    memcpy(value->at + at, bytes, count);
    value->len += count - old;
}

/* Joins the run at an offset with the one behind it, if both are equal and it can hold them. */
static bool join(struct hll_value *value, uint32_t at, struct hll_run run) {
    char joined;
    if (at + 1 >= value->len) return false;
    struct hll_run next = hll_run_at(value->at, value->len, at + 1);
    if (next.rank != run.rank || run.registers + next.registers > VAL_MAX) return false;
    put_run(&joined, run.registers + next.registers, run.rank);
    replace(value, at, 2, &joined, 1);
    return true;
}

static void join_around(struct hll_value *value, uint32_t at) {
    for (int scans = JOIN_SCANS; scans > 0 && at < value->len; scans--) {
        struct hll_run run = hll_run_at(value->at, value->len, at);
        if (!run.rank || !join(value, at, run)) at += run.bytes;
    }
}

static enum hll_change set(struct hll_value *value, const struct spot *spot,
                           struct hll_element element, uint64_t limit_bytes) {
    char bytes[SPLIT_BYTES_MAX];
    struct hll_run run = spot->run;
    if (run.rank >= element.rank) return HLL_SAME;
    uint32_t left = element.index - spot->here.first;
    uint32_t count = put_run(bytes, left, run.rank);
    count += put_run(bytes + count, 1, element.rank);
    count += put_run(bytes + count, run.registers - left - 1, run.rank);
    uint64_t len = (uint64_t)value->len + count - run.bytes;
    if (count > run.bytes && (len > limit_bytes || len > sizeof value->at)) return HLL_FULL;
    replace(value, spot->here.at, run.bytes, bytes, count);
    join_around(value, spot->previous.at);
    hll_forget(value->at);
    return HLL_CHANGED;
}

enum hll_change hll_sparse_set(struct hll_value *value, struct hll_element element,
                               uint64_t limit_bytes) {
    struct spot spot;
    if (element.rank > HLL_SPARSE_RANK_MAX) return HLL_FULL;
    if (!find(value, begin, element.index, &spot)) return HLL_DAMAGED;
    return set(value, &spot, element, limit_bytes);
}

/* ---- All of them -------------------------------------------------------------------------------- */

/* If the register is in the very run that the search begins at, which a change has made longer, the one before that is
 * not known. */
static bool find_next(const struct hll_value *value, struct start from, uint32_t index,
                      struct spot *spot) {
    if (!find(value, from, index, spot)) return false;
    return spot->here.at != from.at || find(value, begin, index, spot);
}

/* The next register that is not 0, from `index` on. */
static uint32_t next_raised(const struct hll_registers *registers, uint32_t index) {
    while (index < HLL_REGISTERS) {
        uint32_t past = index % 8;
        uint64_t word = bytes_load8((const char *)registers->at + index - past) >> (8 * past);
        if (word != 0) return index + (uint32_t)__builtin_ctzll(word) / 8;
        index += 8 - past;
    }
    return index;
}

bool hll_sparse_raise(struct hll_value *value, const struct hll_registers *registers,
                      uint64_t limit_bytes) {
    struct start from = begin;
    for (uint32_t i = 0; (i = next_raised(registers, i)) < HLL_REGISTERS; i++) {
        struct spot spot;
        struct hll_element element = {i, registers->at[i]};
        if (element.rank > HLL_SPARSE_RANK_MAX || !find_next(value, from, i, &spot)) return false;
        if (set(value, &spot, element, limit_bytes) == HLL_FULL) return false;
        from = spot.previous;
    }
    return true;
}

bool hll_sparse_collect(struct bytes value, struct hll_registers *registers) {
    uint32_t at = HLL_HEADER_BYTES, index = 0;
    while (at < value.len) {
        struct hll_run run = hll_run_at(value.at, value.len, at);
        if (run.registers > HLL_REGISTERS - index) return false;
        for (uint32_t i = 0; run.rank && i < run.registers; i++) {
            uint8_t *raised = &registers->at[index + i];
            if (*raised < run.rank) *raised = (uint8_t)run.rank;
        }
        index += run.registers;
        at += run.bytes;
    }
    return index == HLL_REGISTERS;
}

bool hll_sparse_histogram(struct bytes value, uint32_t histogram[HLL_RANKS]) {
    uint32_t at = HLL_HEADER_BYTES, index = 0, raised = 0;
    while (at < value.len) {
        struct hll_run run = hll_run_at(value.at, value.len, at);
        if (run.registers > HLL_REGISTERS - index) return false;
        if (run.rank) {
            histogram[run.rank] += run.registers;
            raised += run.registers;
        }
        index += run.registers;
        at += run.bytes;
    }
    histogram[0] += HLL_REGISTERS - raised;
    return index == HLL_REGISTERS;
}
