/* Comparison and integer conversion of byte runs. */
#include "base/bytes.h"

static const char digit_pairs[] = "00010203040506070809"
                                  "10111213141516171819"
                                  "20212223242526272829"
                                  "30313233343536373839"
                                  "40414243444546474849"
                                  "50515253545556575859"
                                  "60616263646566676869"
                                  "70717273747576777879"
                                  "80818283848586878889"
                                  "90919293949596979899";

enum { INT64_TEXT_MAX = 20 }; /* "-9223372036854775808" */

bool bytes_is(struct bytes a, const char *lower) {
    for (uint32_t i = 0; i < a.len; i++) {
        char c = a.at[i];
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c + ('a' - 'A'));
        }
        if (c != lower[i] || c == '\0') {
            return false;
        }
    }
    return lower[a.len] == '\0';
}

/* Up to 19 digits cannot overflow 64 bits: the bound is checked once, at the end. */
static bool parse_magnitude(const char *at, uint32_t len, uint64_t *out) {
    if (len == 0 || len >= INT64_TEXT_MAX || at[0] < '1') {
        return false;
    }
    uint64_t value = 0;
    for (uint32_t i = 0; i < len; i++) {
        unsigned digit = (unsigned char)at[i] - (unsigned)'0';
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool bytes_to_int64(struct bytes text, int64_t *out) {
    if (text.len == 1 && text.at[0] == '0') {
        *out = 0;
        return true;
    }
    bool negative = text.len > 0 && text.at[0] == '-';
    uint64_t magnitude;
    if (!parse_magnitude(text.at + negative, text.len - negative, &magnitude)) {
        return false;
    }
    if (magnitude > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *out = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

static unsigned count_digits(uint64_t value) {
    unsigned count = 1;
    while (value >= 10000) {
        value /= 10000;
        count += 4;
    }
    return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

size_t bytes_from_uint64(char *out, uint64_t value) {
    unsigned count = count_digits(value);
    unsigned end = count;
    while (value >= 100) {
        end -= 2;
        memcpy(out + end, digit_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (end == 2) {
        memcpy(out, digit_pairs + value * 2, 2);
    } else {
        out[0] = (char)('0' + value);
    }
    return count;
}

size_t bytes_from_int64(char *out, int64_t value) {
    if (value >= 0) {
        return bytes_from_uint64(out, (uint64_t)value);
    }
    out[0] = '-';
    return 1 + bytes_from_uint64(out + 1, 0 - (uint64_t)value);
}
