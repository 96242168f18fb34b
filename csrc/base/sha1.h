/* SHA-1: the names of scripts, and what DEBUG DIGEST says of data. Not for secrets.
 *
 * Threads: any. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SHA1_BYTES = 20, SHA1_BLOCK_BYTES = 64, SHA1_TEXT_BYTES = 2 * SHA1_BYTES };

struct sha1 {
    uint32_t state[5];
    uint64_t len;                    /* of what was added */
    uint8_t block[SHA1_BLOCK_BYTES]; /* what is no whole block yet */
};

void sha1_init(struct sha1 *sha1);
void sha1_add(struct sha1 *sha1, const void *at, size_t len);
/* It is used up. */
void sha1_end(struct sha1 *sha1, uint8_t digest[SHA1_BYTES]);
/* Of bytes that lie together. */
void sha1_of(const void *at, size_t len, uint8_t digest[SHA1_BYTES]);
/* In lower-case hexadecimal; no terminator. */
void sha1_text(const uint8_t digest[SHA1_BYTES], char text[SHA1_TEXT_BYTES]);
