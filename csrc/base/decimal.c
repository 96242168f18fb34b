#include "base/decimal.h"

#include <ctype.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* The host may have set any locale, and other threads may set another: ours is a thread's for the moment. */
static locale_t plain_locale;

static void make_locale(void) {
    plain_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static locale_t enter_locale(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_locale);
    return uselocale(plain_locale);
}

/* Infinity that the text does not name. */
static bool is_overflow(const char *text, long double value) {
    return isinf(value) && !strpbrk(text, "nN");
}

/* Zero, although there is another digit in front of the exponent. */
static bool is_underflow(const char *text, long double value) {
    bool hexadecimal = strpbrk(text, "xX");
    size_t digits = strcspn(text, hexadecimal ? "pP" : "eE");
    return value == 0 && strcspn(text, "123456789abcdfABCDF") < digits;
}

/* Digits with a point among them, as most numbers are: a whole number and a power of ten are exact in a long
 * double, so their quotient is rounded once, as the C library rounds. */
enum { PLAIN_DIGITS_MAX = 18 };

static const long double powers_of_ten[PLAIN_DIGITS_MAX + 1] = {
    1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,
    1e10L, 1e11L, 1e12L, 1e13L, 1e14L, 1e15L, 1e16L, 1e17L, 1e18L,
};

static bool read_plain(struct bytes text, long double *out) {
    uint32_t at = text.len > 0 && text.at[0] == '-', first = at, decimals = 0;
    uint64_t digits = 0;
    bool has_point = false;
    if (text.len - at > PLAIN_DIGITS_MAX) return false;
    for (; at < text.len; at++) {
        if (text.at[at] == '.' && !has_point && at > first && at + 1 < text.len) {
            has_point = true;
        } else if (text.at[at] >= '0' && text.at[at] <= '9') {
            digits = digits * 10 + (uint64_t)(text.at[at] - '0');
            decimals += has_point;
        } else {
            return false;
        }
    }
    if (at == first) return false;
    long double value = (long double)digits / powers_of_ten[decimals];
    *out = first ? -value : value;
    return true;
}

bool decimal_to_long_double(struct bytes text, long double *out) {
    if (read_plain(text, out)) return true;
    char copy[DECIMAL_TEXT_MAX], *end;
    if (text.len == 0 || text.len >= sizeof copy) return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = 0;
    if (isspace((unsigned char)copy[0])) return false;
    locale_t before = enter_locale();
    long double value = strtold(copy, &end);
    bool whole = end == copy + text.len && !isnan(value) && !is_overflow(copy, value) &&
                 !is_underflow(copy, value);
    uselocale(before);
    if (whole) *out = value;
    return whole;
}

static size_t without_zeros(const char *text, size_t len) {
    if (!memchr(text, '.', len)) return len;
    while (text[len - 1] == '0') len--;
    return text[len - 1] == '.' ? len - 1 : len;
}

#define DECIMALS 17
#define TEN_TO_17 UINT64_C(100000000000000000)

/* What `%.17Lf` prints, by whole numbers: the value is significand / 2^shift, and 17 decimals of what is behind
 * the point fit 128 bits. 0 where that does not go. Halves go to the even digit, as there. */
static size_t print_plain(char *out, long double value) {
    int exponent;
    if (LDBL_MANT_DIG > 64 || !isfinite(value)) return 0;
    long double part = frexpl(fabsl(value), &exponent);
    int shift = 64 - exponent;
    if (shift < 1 || shift > 120) return 0;
    uint64_t significand = (uint64_t)ldexpl(part, 64);
    uint64_t whole = shift < 64 ? significand >> shift : 0;
    uint64_t rest = shift < 64 ? significand & ((UINT64_C(1) << shift) - 1) : significand;
    unsigned __int128 scaled = (unsigned __int128)rest * TEN_TO_17;
    uint64_t decimals = (uint64_t)(scaled >> shift);
    unsigned __int128 left = scaled - ((unsigned __int128)decimals << shift);
    unsigned __int128 half = (unsigned __int128)1 << (shift - 1);
    decimals += left > half || (left == half && decimals % 2);
    whole += decimals == TEN_TO_17;
    decimals %= TEN_TO_17;
    size_t len = signbit(value) ? 1 : 0;
    out[0] = '-';
    len += bytes_from_uint64(out + len, whole);
    out[len++] = '.';
    for (int i = DECIMALS - 1; i >= 0; i--, decimals /= 10)
        out[len + (size_t)i] = (char)('0' + decimals % 10);
    return len + DECIMALS;
}

static size_t print_any(char out[DECIMAL_TEXT_MAX], long double value) {
    locale_t before = enter_locale();
    int printed = snprintf(out, DECIMAL_TEXT_MAX, "%.17Lf", value);
    uselocale(before);
    return (size_t)printed;
}

size_t decimal_from_long_double(char out[DECIMAL_TEXT_MAX], long double value) {
    size_t printed = print_plain(out, value);
    if (printed == 0) printed = print_any(out, value);
    size_t len = without_zeros(out, printed);
    if (len == 2 && memcmp(out, "-0", 2) == 0) {
        out[0] = '0';
        return 1;
    }
    return len;
}

/* ---- Doubles ---------------------------------------------------------------------------------- */

enum {
    EXACT_DIGITS_MAX = 15
}; /* as many are exact in a double, and so are powers of ten beyond that */

static bool read_plain_double(struct bytes text, double *out) {
    long double value;
    if (text.len > EXACT_DIGITS_MAX + 2 || !read_plain(text, &value)) return false;
    uint32_t digits = 0, decimals = 0;
    bool behind = false;
    int64_t whole = 0;
    for (uint32_t i = text.at[0] == '-'; i < text.len; i++) {
        behind |= text.at[i] == '.';
        if (text.at[i] == '.') continue;
        whole = whole * 10 + (text.at[i] - '0');
        digits++;
        decimals += behind;
    }
    if (digits > EXACT_DIGITS_MAX) return false;
    double magnitude = (double)whole / (double)powers_of_ten[decimals];
    *out = text.at[0] == '-' ? -magnitude : magnitude;
    return true;
}

static bool read_double(struct bytes text, bool freely, double *out) {
    char copy[DECIMAL_TEXT_MAX], *end;
    if (read_plain_double(text, out)) return true;
    if (text.len >= sizeof copy || (text.len == 0 && !freely)) return false;
    if (text.len > 0) memcpy(copy, text.at, text.len);
    copy[text.len] = 0;
    if (!freely && isspace((unsigned char)copy[0])) return false;
    locale_t before = enter_locale();
    double value = strtod(copy, &end);
    uselocale(before);
    bool good = end == copy + text.len && !isnan(value);
    if (good && !freely) good = !is_overflow(copy, value) && !is_underflow(copy, value);
    if (good) *out = value;
    return good;
}

bool decimal_to_double(struct bytes text, double *out) {
    return read_double(text, false, out);
}

bool decimal_to_bound(struct bytes text, double *out) {
    return read_double(text, true, out);
}

size_t decimal_from_double(char out[DECIMAL_DOUBLE_MAX], double value) {
    locale_t before = enter_locale();
    int len = snprintf(out, DECIMAL_DOUBLE_MAX, "%.17g", value);
    uselocale(before);
    return (size_t)len;
}
