/* A keyed hash by folded 64x64 -> 128 bit multiplication, and xoroshiro128+.
 *
 * Sixteen input bytes are masked by the seed and multiplied into 128 bits; both halves are masked
 * by other constants and multiplied again, and the halves of that are folded. Two multiplications
 * suffice for every key of up to 16 bytes, three for up to 32; longer keys run two independent
 * lanes of 16 bytes. Words are read overlapping, so no length takes a byte loop. The length enters
 * the second multiplication: strings that read as the same words still differ.
 *
 * Not a cryptographic hash: the seed keeps clients from aiming at buckets blindly, no more.
 */
#include "base/hash.h"

#include <string.h>

#include "base/assert.h"

/* Odd, with balanced bits: digits of the fractional parts of square roots of 2, 3, 5 and 7. */
#define MASK_A UINT64_C(0x6a09e667f3bcc909)
#define MASK_B UINT64_C(0xbb67ae8584caa73b)
#define MASK_C UINT64_C(0x3c6ef372fe94f82b)
#define MASK_D UINT64_C(0xa54ff53a5f1d36f1)

__extension__ typedef unsigned __int128 wide;

static inline uint64_t fold(uint64_t a, uint64_t b) {
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t read_64(const unsigned char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint64_t read_32(const unsigned char *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint64_t finish(uint64_t a, uint64_t b, size_t len) {
    wide product = (wide)a * b;
    return fold((uint64_t)product ^ MASK_A ^ len, (uint64_t)(product >> 64) ^ MASK_B);
}

static uint64_t hash_under_8(const struct hash_seed *seed, const unsigned char *at, size_t len) {
    uint64_t a = 0, b = 0;
    if (len >= 4) {
        a = read_32(at);
        b = read_32(at + len - 4);
    } else if (len > 0) {
        a = (uint64_t)at[0] << 16 | (uint64_t)at[len / 2] << 8 | at[len - 1];
    }
    return finish(a ^ seed->a ^ MASK_C, b ^ seed->b, len);
}

static uint64_t hash_over_32(const struct hash_seed *seed, const unsigned char *at, size_t len) {
    const unsigned char *end = at + len;
    uint64_t x = seed->a, y = seed->b;
    do {
        x = fold(read_64(at) ^ MASK_C, read_64(at + 8) ^ x);
        y = fold(read_64(at + 16) ^ MASK_D, read_64(at + 24) ^ y);
        at += 32;
    } while (end - at > 32);
    x ^= fold(read_64(end - 32) ^ MASK_C, read_64(end - 24) ^ y);
    return finish(read_64(end - 16) ^ x, read_64(end - 8) ^ y, len);
}

uint64_t hash_bytes(const struct hash_seed *seed, const void *start, size_t len) {
    const unsigned char *at = start;
    if (KRT_UNLIKELY(len < 8)) {
        return hash_under_8(seed, at, len);
    }
    if (KRT_LIKELY(len <= 16)) {
        return finish(read_64(at) ^ seed->a ^ MASK_C, read_64(at + len - 8) ^ seed->b, len);
    }
    if (KRT_LIKELY(len <= 32)) {
        uint64_t x = fold(read_64(at) ^ MASK_D, read_64(at + 8) ^ seed->a);
        return finish(read_64(at + len - 16) ^ x ^ MASK_C, read_64(at + len - 8) ^ seed->b, len);
    }
    return hash_over_32(seed, at, len);
}

/* Spreads one word over the state, so that near seeds give unrelated sequences and none is zero. */
void random_seed(struct random_state *state, uint64_t seed) {
    state->s[0] = fold(seed ^ MASK_A, MASK_B) | 1;
    state->s[1] = fold(seed ^ MASK_C, MASK_D);
}

static inline uint64_t rotate_left(uint64_t word, unsigned bits) {
    return word << bits | word >> (64 - bits);
}

uint64_t random_next(struct random_state *state) {
    uint64_t s0 = state->s[0], s1 = state->s[1];
    uint64_t result = s0 + s1;
    s1 ^= s0;
    state->s[0] = rotate_left(s0, 24) ^ s1 ^ (s1 << 16);
    state->s[1] = rotate_left(s1, 37);
    return result;
}

/* The high half of a product is uniform once the few low halves that would repeat are rejected. */
uint64_t random_below(struct random_state *state, uint64_t bound) {
    KRT_DCHECK(bound > 0);
    wide product = (wide)random_next(state) * bound;
    if (KRT_UNLIKELY((uint64_t)product < bound)) {
        uint64_t rejected = (0 - bound) % bound;
        while ((uint64_t)product < rejected) {
            product = (wide)random_next(state) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}
