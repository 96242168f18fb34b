#include "base/decimal.h"

#include <ctype.h>
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

bool decimal_to_long_double(struct bytes text, long double *out) {
    char copy[DECIMAL_TEXT_MAX], *end;
    if (text.len == 0 || text.len >= sizeof copy) return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = 0;
    if (isspace((unsigned char)copy[0])) return false;
    locale_t before = enter_locale();
    long double value = strtold(copy, &end);
    bool whole = end == copy + text.len && !isnan(value) &&
                 !is_overflow(copy, value) && !is_underflow(copy, value);
    uselocale(before);
    if (whole) *out = value;
    return whole;
}

static size_t without_zeros(const char *text, size_t len) {
    if (!memchr(text, '.', len)) return len;
    while (text[len - 1] == '0') len--;
    return text[len - 1] == '.' ? len - 1 : len;
}

size_t decimal_from_long_double(char out[DECIMAL_TEXT_MAX], long double value) {
    locale_t before = enter_locale();
    int printed = snprintf(out, DECIMAL_TEXT_MAX, "%.17Lf", value);
    uselocale(before);
    size_t len = without_zeros(out, (size_t)printed);
    if (len == 2 && memcmp(out, "-0", 2) == 0) {
        out[0] = '0';
        return 1;
    }
    return len;
}
