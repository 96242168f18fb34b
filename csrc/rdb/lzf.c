/* LZF, written: greedy, with the last place of each hash of three bytes. */
#include "rdb/lzf.h"

#include <stdint.h>
#include <string.h>

#include "base/assert.h"

enum {
    LITERALS_MAX = 32,
    MATCH_MIN = 3,
    MATCH_MAX = 264,
    DISTANCE_MAX = 1 << 13,
    LONG_MATCH =
        7, /* the length does not fit beside the distance: it goes on in a byte of its own */
    TABLE_BITS_MIN = 6,
    TABLE_BITS_MAX = 12,
    IMPATIENCE = 5, /* what does not repeat is gone through faster and faster */
};

static uint32_t hash_at(const uint8_t *at, unsigned bits) {
    uint32_t three = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
    return three * UINT32_C(2654435761) >> (32 - bits);
}

static unsigned bits_for(size_t len) {
    unsigned bits = TABLE_BITS_MIN;
    while (bits < TABLE_BITS_MAX && len >> bits > 0) bits++;
    return bits;
}

static uint8_t *write_literals(uint8_t *to, const uint8_t *from, size_t len) {
    while (len > 0) {
        size_t part = len < LITERALS_MAX ? len : LITERALS_MAX;
        *to++ = (uint8_t)(part - 1);
        memcpy(to, from, part);
        to += part;
        from += part;
        len -= part;
    }
    return to;
}

static uint8_t *write_match(uint8_t *to, size_t distance, size_t len) {
    size_t above = distance - 1, count = len - 2;
    if (count < LONG_MATCH) {
        *to++ = (uint8_t)(count << 5 | above >> 8);
    } else {
        *to++ = (uint8_t)(LONG_MATCH << 5 | above >> 8);
        *to++ = (uint8_t)(count - LONG_MATCH);
    }
    *to++ = (uint8_t)above;
    return to;
}

static size_t match_len(const uint8_t *a, const uint8_t *b, size_t room) {
    size_t len = MATCH_MIN;
    room = room < MATCH_MAX ? room : MATCH_MAX;
    while (len < room && a[len] == b[len]) len++;
    return len;
}

size_t lzf_compress(const char *source, size_t len, char *target) {
    uint16_t last[1 << TABLE_BITS_MAX];
    const uint8_t *from = (const uint8_t *)source;
    uint8_t *to = (uint8_t *)target;
    unsigned bits = bits_for(len);
    KRT_ASSERT(len <= LZF_PIECE_MAX);
    memset(last, 0, sizeof *last << bits);
    size_t at = 0, written = 0;
    while (at + MATCH_MIN <= len) {
        uint32_t hash = hash_at(from + at, bits);
        size_t before = last[hash];
        last[hash] = (uint16_t)at;
        if (before >= at || at - before > DISTANCE_MAX ||
            memcmp(from + before, from + at, MATCH_MIN) != 0) {
            at += 1 + ((at - written) >> IMPATIENCE);
            continue;
        }
        size_t match = match_len(from + before, from + at, len - at);
        to = write_literals(to, from + written, at - written);
        to = write_match(to, at - before, match);
        at += match;
        written = at;
    }
    to = write_literals(to, from + written, len - written);
    return (size_t)(to - (uint8_t *)target);
}
