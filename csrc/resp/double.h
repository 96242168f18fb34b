/* Doubles as text, as Redis 7.2 and later print them in replies and store them. Pure.
 *
 * The digits of resp/digits.h, which read back as the same double; whole numbers up to 2^62 without
 * a fraction and in full, small exponents written out, others as `1.5e+20`; `inf`, `-inf`, `nan`,
 * `-0`. Independent of the host's locale.
 */
#pragma once

#include <stddef.h>

enum { DOUBLE_TEXT_MAX = 40 };

/* Returns the length; no terminator. */
size_t double_format(char out[DOUBLE_TEXT_MAX], double value);
