/* LZF: the compression of strings in Redis's dump format.
 *
 * What is compressed is a sequence of: a byte below 32, and that many bytes and one more as they are; or a
 * repetition of 3 to 264 bytes that lie up to 8 KiB back. So what two pieces become, one behind the other, is what the two
 * of them together may become.
 * Threads: any. Pure.
 * Bounds: a piece is at most LZF_PIECE_MAX bytes.
 */
#pragma once

#include <stddef.h>

enum { LZF_PIECE_MAX = 1 << 16 };

/* The most that `len` bytes become. */
static inline size_t lzf_bound(size_t len) {
    return len + len / 32 + 1;
}

/* Into room for lzf_bound(len) bytes; returns how many it took. */
size_t lzf_compress(const char *from, size_t len, char *to);
