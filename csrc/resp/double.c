/* Redis prints a double that is a whole number as one, and of all others the digits that
 * resp/digits.h finds. */
#include "resp/double.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "resp/digits.h"

/* Up to here whole numbers are printed as such. */
#define INTEGER_MAX 0x1p62

static size_t put(char *out, const char *at, size_t len) {
    memcpy(out, at, len);
    return len;
}

static size_t put_zeros(char *out, int count) {
    memset(out, '0', (size_t)count);
    return (size_t)count;
}

static size_t format_integer(char *out, const struct digits *d) {
    size_t len = put(out, d->at, (size_t)d->count);
    return len + put_zeros(out + len, d->point - d->count);
}

static size_t format_fraction(char *out, const struct digits *d) {
    if (d->point <= 0) {
        size_t len = put(out, "0.", 2);
        len += put_zeros(out + len, -d->point);
        return len + put(out + len, d->at, (size_t)d->count);
    }
    size_t len = put(out, d->at, (size_t)d->point);
    out[len++] = '.';
    return len + put(out + len, d->at + d->point, (size_t)(d->count - d->point));
}

static size_t format_scientific(char *out, const struct digits *d) {
    size_t len = put(out, d->at, 1);
    if (d->count > 1) {
        out[len++] = '.';
        len += put(out + len, d->at + 1, (size_t)d->count - 1);
    }
    int exponent = d->point - 1;
    out[len++] = 'e';
    out[len++] = exponent < 0 ? '-' : '+';
    return len + bytes_from_uint64(out + len, (uint64_t)abs(exponent));
}

/* Where Redis changes from digits to an exponent. */
static size_t format_decimal(char *out, const struct digits *d) {
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
    if (magnitude <= INTEGER_MAX && magnitude == (double)(uint64_t)magnitude) {
        return sign + bytes_from_uint64(out + sign, (uint64_t)magnitude);
    }
    struct digits digits = digits_of_double(magnitude);
    return sign + format_decimal(out + sign, &digits);
}
