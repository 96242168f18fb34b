/* Long doubles as text, as Redis reads them from values and writes them back (INCRBYFLOAT and its kin).
 *
 * Threads: any. Independent of the host's locale. Pure.
 */
#pragma once

#include "base/bytes.h"

/* The largest long double has 4,933 digits, and 17 may follow its point. */
enum { DECIMAL_TEXT_MAX = 5120 };

/* All of the text must be one number as strtold reads it (decimal, hexadecimal, inf), without a blank in front;
 * not a number and what is out of range are refused. False leaves *out alone. */
bool decimal_to_long_double(struct bytes text, long double *out);

/* Up to 17 places, without zeros at the end; returns the length; no terminator. */
size_t decimal_from_long_double(char out[DECIMAL_TEXT_MAX], long double value);
