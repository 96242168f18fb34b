/* Shortest digits by trial: a decimal of up to 15 digits reads back from its 15 digits, every
 * double from 17. Subnormal doubles have fewer bits, so there fewer digits are tried too. */
#include "resp/double.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { DIGITS_MIN = 15, DIGITS_MAX = 17, PLACES_TRIED = 6 };

#define EXACT_DIGITS_MAX 1e15

/* Up to here every integer is exact; Redis prints these as integers. */
#define EXACT_INTEGER_MAX 4503599627370496.0 /* 2 to the 52 */

/* value = 0.d1d2d3... * 10^point, or: `point` digits stand in front of the decimal point. */
struct decimal {
    char digits[20]; /* DIGITS_MAX of them; bytes_from_uint64 asks for so much room */
    int count, point;
};

/* The host's locale decides what stands between the digits: only digits and exponent are taken. */
static void read_scientific(const char *text, struct decimal *out) {
    out->count = 0;
    const char *at = text;
    for (; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9') {
            out->digits[out->count++] = *at;
        }
    }
    while (out->count > 1 && out->digits[out->count - 1] == '0') {
        out->count--;
    }
    out->point = atoi(at + 1) + 1;
}

/* Most doubles that somebody replies have few places. A whole number of 15 digits and a power of ten
 * are exact, so their quotient is what reading them gives; no shorter one gave it. */
static bool has_few_places(double value, struct decimal *out) {
    double power = 10;
    for (int places = 1; places <= PLACES_TRIED; places++, power *= 10) {
        double scaled = value * power + 0.5;
        if (scaled >= EXACT_DIGITS_MAX)
            return false;
        if ((double)(uint64_t)scaled / power == value) {
            out->count = (int)bytes_from_uint64(out->digits, (uint64_t)scaled);
            out->point = out->count - places;
            return true;
        }
    }
    return false;
}

static struct decimal shortest(double value) {
    char text[DOUBLE_TEXT_MAX];
    struct decimal decimal;
    if (has_few_places(value, &decimal))
        return decimal;
    for (int digits = value < DBL_MIN ? 1 : DIGITS_MIN; digits <= DIGITS_MAX; digits++) {
        (void)snprintf(text, sizeof text, "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    read_scientific(text, &decimal);
    return decimal;
}

static size_t put(char *out, const char *at, size_t len) {
    memcpy(out, at, len);
    return len;
}

static size_t put_zeros(char *out, int count) {
    memset(out, '0', (size_t)count);
    return (size_t)count;
}

static size_t format_integer(char *out, const struct decimal *d) {
    size_t len = put(out, d->digits, (size_t)d->count);
    return len + put_zeros(out + len, d->point - d->count);
}

static size_t format_fraction(char *out, const struct decimal *d) {
    if (d->point <= 0) {
        size_t len = put(out, "0.", 2);
        len += put_zeros(out + len, -d->point);
        return len + put(out + len, d->digits, (size_t)d->count);
    }
    size_t len = put(out, d->digits, (size_t)d->point);
    out[len++] = '.';
    return len + put(out + len, d->digits + d->point, (size_t)(d->count - d->point));
}

static size_t format_scientific(char *out, const struct decimal *d) {
    size_t len = put(out, d->digits, 1);
    if (d->count > 1) {
        out[len++] = '.';
        len += put(out + len, d->digits + 1, (size_t)d->count - 1);
    }
    int exponent = d->point - 1;
    out[len++] = 'e';
    out[len++] = exponent < 0 ? '-' : '+';
    return len + bytes_from_uint64(out + len, (uint64_t)abs(exponent));
}

/* Where Redis changes from digits to an exponent. */
static size_t format_decimal(char *out, const struct decimal *d) {
    int zeros = d->point - d->count; /* behind the last digit, if positive */
    int exponent = abs(d->point - 1);
    if (zeros >= 0 && exponent < d->count + 7) {
        return format_integer(out, d);
    }
    if (zeros < 0 && (zeros > -7 || exponent < 4)) {
        return format_fraction(out, d);
    }
    return format_scientific(out, d);
}

size_t double_format(char out[DOUBLE_TEXT_MAX], double value) {
    if (isnan(value)) {
        return put(out, "nan", 3);
    }
    size_t sign = signbit(value) ? put(out, "-", 1) : 0;
    double magnitude = fabs(value);
    if (isinf(value)) {
        return sign + put(out + sign, "inf", 3);
    }
    if (magnitude < EXACT_INTEGER_MAX && magnitude == (double)(uint64_t)magnitude) {
        return sign + bytes_from_uint64(out + sign, (uint64_t)magnitude);
    }
    struct decimal decimal = shortest(magnitude);
    return sign + format_decimal(out + sign, &decimal);
}
