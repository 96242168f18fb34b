/* A run of bytes as a string of bits, numbered as Redis does: bit 0 is the highest of the first byte.
 *
 * Threads: any. Pure. Bounds: no byte is read or written but those that hold the bits in question.
 */
#pragma once

#include "base/bytes.h"

/* How many bits from `first` on and before `end` are set. */
uint64_t bits_count(const char *at, uint64_t first, uint64_t end);
/* The first of them that is `bit`, or `end`. */
uint64_t bits_find(const char *at, uint64_t first, uint64_t end, bool bit);

/* Each bit of `to` becomes what the operation makes of it and of that of `from`. */
enum bits_operation { BITS_AND, BITS_OR, BITS_XOR };
void bits_combine(enum bits_operation operation, char *to, const char *from, size_t len);
/* Each bit of `to` becomes what that of `from` is not. Both may be the same run. */
void bits_invert(char *to, const char *from, size_t len);

/* A number of 1 to 64 bits, the highest first, that begins at any bit. */
uint64_t bits_read(const char *at, uint64_t first, uint32_t width);
/* Writes the lower `width` bits of the value. */
void bits_write(char *at, uint64_t first, uint32_t width, uint64_t value);
