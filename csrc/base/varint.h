/* Numbers in as few bytes as they need: seven bits each, the lowest first, the highest bit of a byte says
 * that another follows (LEB128).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { VARINT_BYTES_MAX = 10 };

static inline size_t varint_write(char *to, uint64_t value) {
    size_t len = 0;
    for (; value >= 0x80; value >>= 7) to[len++] = (char)(value | 0x80);
    to[len++] = (char)value;
    return len;
}

/* Advances *at; the number is known to be whole. */
static inline uint64_t varint_read(const char **at) {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = (uint8_t) * (*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
}
