/* SHA-1, as FIPS 180-4 describes it. */
#include "base/sha1.h"

#include <string.h>

enum { ROUNDS = 80, LENGTH_BYTES = 8 };

static uint32_t rotate(uint32_t value, unsigned bits) {
    return value << bits | value >> (32 - bits);
}

static uint32_t load_big(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void store_big(uint8_t *to, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) to[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static void schedule(uint32_t words[ROUNDS], const uint8_t *block) {
    for (unsigned i = 0; i < 16; i++) words[i] = load_big(block + 4 * i);
    for (unsigned i = 16; i < ROUNDS; i++)
        words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
}

/* `mixed` is of b, c and d; the constant is of the quarter that the round is in. */
static inline void turn(uint32_t s[5], uint32_t mixed, uint32_t constant, uint32_t word) {
    uint32_t next = rotate(s[0], 5) + mixed + s[4] + constant + word;
    s[4] = s[3];
    s[3] = s[2];
    s[2] = rotate(s[1], 30);
    s[1] = s[0];
    s[0] = next;
}

static void add_block(uint32_t state[5], const uint8_t *block) {
    uint32_t words[ROUNDS], s[5];
    schedule(words, block);
    memcpy(s, state, sizeof s);
    unsigned i = 0;
    for (; i < 20; i++) turn(s, (s[1] & s[2]) | (~s[1] & s[3]), 0x5a827999, words[i]);
    for (; i < 40; i++) turn(s, s[1] ^ s[2] ^ s[3], 0x6ed9eba1, words[i]);
    for (; i < 60; i++)
        turn(s, (s[1] & s[2]) | (s[1] & s[3]) | (s[2] & s[3]), 0x8f1bbcdc, words[i]);
    for (; i < ROUNDS; i++) turn(s, s[1] ^ s[2] ^ s[3], 0xca62c1d6, words[i]);
    for (i = 0; i < 5; i++) state[i] += s[i];
}

void sha1_init(struct sha1 *sha1) {
    *sha1 = (struct sha1){
        .state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0},
    };
}

void sha1_add(struct sha1 *sha1, const void *from, size_t len) {
    const uint8_t *at = from;
    size_t filled = sha1->len % SHA1_BLOCK_BYTES;
    sha1->len += len;
    while (len > 0) {
        if (filled == 0 && len >= SHA1_BLOCK_BYTES) {
            add_block(sha1->state, at);
            at += SHA1_BLOCK_BYTES;
            len -= SHA1_BLOCK_BYTES;
            continue;
        }
        size_t room = SHA1_BLOCK_BYTES - filled, part = len < room ? len : room;
        memcpy(sha1->block + filled, at, part);
        at += part;
        len -= part;
        filled += part;
        if (filled == SHA1_BLOCK_BYTES) {
            add_block(sha1->state, sha1->block);
            filled = 0;
        }
    }
}

void sha1_end(struct sha1 *sha1, uint8_t digest[SHA1_BYTES]) {
    uint8_t end[SHA1_BLOCK_BYTES + LENGTH_BYTES] = {0x80};
    size_t filled = sha1->len % SHA1_BLOCK_BYTES, whole = SHA1_BLOCK_BYTES - LENGTH_BYTES;
    size_t padding = (filled < whole ? whole : whole + SHA1_BLOCK_BYTES) - filled;
    store_big(end + padding, sha1->len * 8, LENGTH_BYTES);
    sha1_add(sha1, end, padding + LENGTH_BYTES);
    for (unsigned i = 0; i < 5; i++) store_big(digest + 4 * i, sha1->state[i], 4);
}

void sha1_of(const void *at, size_t len, uint8_t digest[SHA1_BYTES]) {
    struct sha1 sha1;
    sha1_init(&sha1);
    sha1_add(&sha1, at, len);
    sha1_end(&sha1, digest);
}

void sha1_text(const uint8_t digest[SHA1_BYTES], char text[SHA1_TEXT_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < SHA1_BYTES; i++) {
        text[2 * i] = digits[digest[i] >> 4];
        text[2 * i + 1] = digits[digest[i] & 15];
    }
}
