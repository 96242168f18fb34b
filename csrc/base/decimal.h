/* Doubles and long doubles as text, as Redis reads them from values and writes them back (INCRBYFLOAT and its kin).
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

/* With 17 digits, as printf's %.17g; returns the length; no terminator. */
enum { DECIMAL_DOUBLE_MAX = 32 };
size_t decimal_from_double(char out[DECIMAL_DOUBLE_MAX], double value);

/* As strtod reads it, all of the text: what is out of range, not a number or has a blank in front is refused. False
 * leaves *out alone. */
bool decimal_to_double(struct bytes text, double *out);
/* The same for a bound of a range, which Redis reads more freely: nothing is 0, blanks may be in front, what is out of
 * range is infinite. */
bool decimal_to_bound(struct bytes text, double *out);
