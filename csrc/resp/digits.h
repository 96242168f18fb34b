/* The digits of a double that read back as the same double.
 *
 * They are those that Redis prints: found with 64 bits of precision, they are nearly always the
 * fewest and nearest, and where 64 bits do not suffice they are a few more, in the same way.
 *
 * Threads: any; a pure function.
 * Bounds: at most DIGITS_MAX digits.
 */
#pragma once

enum { DIGITS_MAX = 18 };

/* value = 0.d1d2d3... * 10^point, or: `point` digits stand in front of the decimal point. */
struct digits {
    char at[DIGITS_MAX];
    int count, point;
};

/* Of a finite number above zero. The last digit may be a zero. */
struct digits digits_of_double(double value);
