#include "base/bits.h"

#include "base/assert.h"

enum { WORD = 8, GROUP = 4 * WORD, ROUND = 16 * WORD };

/* ---- Counting ------------------------------------------------------------------------------------ */

/* Bits of a word, then of two, four and eight next to each other are added at once. */
static inline uint64_t count_word(uint64_t word) {
    word -= word >> 1 & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return word * UINT64_C(0x0101010101010101) >> 56;
}

/* A number in each of the 64 columns, a bit of it in each word, so that sixteen words are added at the price of
 * one count (Harley and Seal). */
struct columns {
    uint64_t ones, twos, fours, eights;
};

/* Adds two words to one digit of all columns. Returns what is carried to the next. */
static inline uint64_t add(uint64_t *digit, uint64_t a, uint64_t b) {
    uint64_t half = *digit ^ a, carry = (*digit & a) | (half & b);
    *digit = half ^ b;
    return carry;
}

static inline uint64_t add_two(struct columns *columns, const char *at) {
    return add(&columns->ones, bytes_load8(at), bytes_load8(at + WORD));
}

static inline uint64_t add_four(struct columns *columns, const char *at) {
    uint64_t carry = add_two(columns, at);
    return add(&columns->twos, carry, add_two(columns, at + ROUND / 8));
}

static inline uint64_t add_eight(struct columns *columns, const char *at) {
    uint64_t carry = add_four(columns, at);
    return add(&columns->fours, carry, add_four(columns, at + ROUND / 4));
}

static inline uint64_t add_sixteen(struct columns *columns, const char *at) {
    uint64_t carry = add_eight(columns, at);
    return add(&columns->eights, carry, add_eight(columns, at + ROUND / 2));
}

static uint64_t count_rounds(const char *at, size_t rounds) {
    struct columns columns = {0};
    uint64_t sixteens = 0;
    for (; rounds > 0; rounds--, at += ROUND) sixteens += count_word(add_sixteen(&columns, at));
    return 16 * sixteens + 8 * count_word(columns.eights) + 4 * count_word(columns.fours) +
           2 * count_word(columns.twos) + count_word(columns.ones);
}

static uint64_t count_bytes(const char *at, size_t len) {
    uint64_t last = 0, count = len < ROUND ? 0 : count_rounds(at, len / ROUND);
    size_t i = len - len % ROUND;
    for (; i + WORD <= len; i += WORD) count += count_word(bytes_load8(at + i));
    if (i < len) memcpy(&last, at + i, len - i);
    return count + count_word(last);
}

static inline uint8_t byte_at(const char *at, uint64_t index) {
    return (uint8_t)at[index];
}

/* What bytes at both ends have beside the bits in question is taken off again. */
uint64_t bits_count(const char *at, uint64_t first, uint64_t end) {
    if (first >= end) return 0;
    uint64_t from = first / 8, to = (end + 7) / 8;
    uint64_t count = count_bytes(at + from, to - from);
    if (first % 8) count -= count_word(byte_at(at, from) >> (8 - first % 8));
    if (end % 8) count -= count_word(byte_at(at, to - 1) & 0xff >> end % 8);
    return count;
}

/* ---- Finding ------------------------------------------------------------------------------------- */

static inline uint64_t differs(const char *at, uint64_t word) {
    return bytes_load8(at) ^ word;
}

/* How many bytes in front are `word`, of which all bytes are alike. */
static size_t skip_bytes(const char *at, size_t len, uint64_t word) {
    size_t i = 0;
    for (; i + GROUP <= len; i += GROUP) {
        const char *group = at + i;
        if (differs(group, word) | differs(group + WORD, word) | differs(group + 2 * WORD, word) |
            differs(group + 3 * WORD, word))
            break;
    }
    while (i + WORD <= len && !differs(at + i, word)) i += WORD;
    while (i < len && byte_at(at, i) == (uint8_t)word) i++;
    return i;
}

/* The highest bit of a byte that is not 0. */
static inline uint64_t first_of(uint8_t byte) {
    return (uint64_t)__builtin_clz(byte) - 24;
}

uint64_t bits_find(const char *at, uint64_t first, uint64_t end, bool bit) {
    if (first >= end) return end;
    uint64_t other = bit ? 0 : UINT64_MAX, byte = first / 8, bytes = (end + 7) / 8;
    uint8_t wanted = (uint8_t)((byte_at(at, byte) ^ other) & 0xff >> first % 8);
    if (!wanted) {
        byte++;
        byte += skip_bytes(at + byte, bytes - byte, other);
        if (byte == bytes) return end;
        wanted = (uint8_t)(byte_at(at, byte) ^ other);
    }
    uint64_t found = byte * 8 + first_of(wanted);
    return found < end ? found : end;
}

/* ---- Combining ----------------------------------------------------------------------------------- */

static inline uint64_t apply(enum bits_operation operation, uint64_t a, uint64_t b) {
    if (operation == BITS_AND) return a & b;
    return operation == BITS_OR ? a | b : a ^ b;
}

static inline uint64_t apply_at(enum bits_operation operation, const char *a, const char *b) {
    return apply(operation, bytes_load8(a), bytes_load8(b));
}

/* Four words are read before they are written, so that a compiler may take them at once. */
static inline void combine(enum bits_operation operation, char *to, const char *from, size_t len) {
    size_t i = 0;
    uint64_t words[4];
    for (; i + GROUP <= len; i += GROUP) {
        for (size_t k = 0; k < 4; k++)
            words[k] = apply_at(operation, to + i + k * WORD, from + i + k * WORD);
        memcpy(to + i, words, sizeof words);
    }
    for (; i < len; i++) to[i] = (char)apply(operation, byte_at(to, i), byte_at(from, i));
}

/* A loop for each operation: none asks which one it is. */
void bits_combine(enum bits_operation operation, char *to, const char *from, size_t len) {
    if (operation == BITS_AND) combine(BITS_AND, to, from, len);
    else if (operation == BITS_OR) combine(BITS_OR, to, from, len);
    else combine(BITS_XOR, to, from, len);
}

void bits_invert(char *to, const char *from, size_t len) {
    size_t i = 0;
    uint64_t words[4];
    for (; i + GROUP <= len; i += GROUP) {
        for (size_t k = 0; k < 4; k++) words[k] = ~bytes_load8(from + i + k * WORD);
        memcpy(to + i, words, sizeof words);
    }
    for (; i < len; i++) to[i] = (char)~from[i];
}

/* ---- Numbers ------------------------------------------------------------------------------------- */

/* From byte to byte; what is left of the width is how much of the last one belongs to it. */
uint64_t bits_read(const char *at, uint64_t first, uint32_t width) {
    KRT_DCHECK(width >= 1 && width <= 64);
    uint64_t index = first / 8, value = byte_at(at, index) & 0xff >> first % 8;
    uint32_t has = 8 - first % 8;
    if (width <= has) return value >> (has - width);
    for (width -= has; width >= 8; width -= 8) value = value << 8 | byte_at(at, ++index);
    return width ? value << width | byte_at(at, index + 1) >> (8 - width) : value;
}

/* Bits of a byte that `mask` has become those of the value. */
static inline void put(char *at, uint64_t value, uint32_t mask) {
    *at = (char)(((uint8_t)*at & ~mask) | (value & mask));
}

void bits_write(char *at, uint64_t first, uint32_t width, uint64_t value) {
    KRT_DCHECK(width >= 1 && width <= 64);
    uint32_t has = 8 - first % 8, mask = 0xff >> first % 8;
    at += first / 8;
    if (width <= has) {
        put(at, value << (has - width), mask & 0xff << (has - width));
        return;
    }
    width -= has;
    put(at, value >> width, mask);
    for (at++; width >= 8; at++) {
        width -= 8;
        *at = (char)(value >> width);
    }
    if (width) put(at, value << (8 - width), 0xff & 0xff << (8 - width));
}
