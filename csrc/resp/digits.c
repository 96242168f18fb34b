/* The Grisu2 algorithm (Loitsch, "Printing floating-point numbers quickly and accurately with
 * integers", 2010). A double stands for all reals that are nearer to it than to its neighbours.
 * The ends of that interval, and the double between them, are multiplied by a power of ten, stored
 * to 64 bits, that brings them to where the integer part is a word and the fraction the rest of
 * another. Digits of the upper end are then taken from the left until what remains is less than
 * the interval is wide, and the last one is lowered while that comes nearer to the double.
 *
 * The products may be wrong in their last bit, so the ends are drawn in by one: what is found
 * always reads back, and is sometimes longer than need be. */
#include "resp/digits.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

enum {
    FRACTION_BITS = 52,
    EXPONENT_BIAS = 1023 + FRACTION_BITS,
    POWER_FIRST = -348,
    POWER_STEP = 8,
    POWERS = 87,
    /* Of the upper end, after the multiplication: its integer part has 4 to 32 bits. */
    EXPONENT_MIN = -60,
    EXPONENT_MAX = -32,
    INTEGER_DIGITS = 10,
};

#define HIDDEN_BIT (UINT64_C(1) << FRACTION_BITS)
#define LOG10_OF_2 0.30102999566398114

/* fraction * 2^exponent */
struct scaled {
    uint64_t fraction;
    int exponent;
};

/* The interval in which every number reads as `value`. */
struct interval {
    struct scaled low, value, high;
};

/* 10^-348, 10^-340, ... 10^340, each rounded to 64 bits of which the first is one. */
static const uint64_t powers_of_ten[POWERS] = {
    0xfa8fd5a0081c0288, 0xbaaee17fa23ebf76, 0x8b16fb203055ac76, 0xcf42894a5dce35ea,
    0x9a6bb0aa55653b2d, 0xe61acf033d1a45df, 0xab70fe17c79ac6ca, 0xff77b1fcbebcdc4f,
    0xbe5691ef416bd60c, 0x8dd01fad907ffc3c, 0xd3515c2831559a83, 0x9d71ac8fada6c9b5,
    0xea9c227723ee8bcb, 0xaecc49914078536d, 0x823c12795db6ce57, 0xc21094364dfb5637,
    0x9096ea6f3848984f, 0xd77485cb25823ac7, 0xa086cfcd97bf97f4, 0xef340a98172aace5,
    0xb23867fb2a35b28e, 0x84c8d4dfd2c63f3b, 0xc5dd44271ad3cdba, 0x936b9fcebb25c996,
    0xdbac6c247d62a584, 0xa3ab66580d5fdaf6, 0xf3e2f893dec3f126, 0xb5b5ada8aaff80b8,
    0x87625f056c7c4a8b, 0xc9bcff6034c13053, 0x964e858c91ba2655, 0xdff9772470297ebd,
    0xa6dfbd9fb8e5b88f, 0xf8a95fcf88747d94, 0xb94470938fa89bcf, 0x8a08f0f8bf0f156b,
    0xcdb02555653131b6, 0x993fe2c6d07b7fac, 0xe45c10c42a2b3b06, 0xaa242499697392d3,
    0xfd87b5f28300ca0e, 0xbce5086492111aeb, 0x8cbccc096f5088cc, 0xd1b71758e219652c,
    0x9c40000000000000, 0xe8d4a51000000000, 0xad78ebc5ac620000, 0x813f3978f8940984,
    0xc097ce7bc90715b3, 0x8f7e32ce7bea5c70, 0xd5d238a4abe98068, 0x9f4f2726179a2245,
    0xed63a231d4c4fb27, 0xb0de65388cc8ada8, 0x83c7088e1aab65db, 0xc45d1df942711d9a,
    0x924d692ca61be758, 0xda01ee641a708dea, 0xa26da3999aef774a, 0xf209787bb47d6b85,
    0xb454e4a179dd1877, 0x865b86925b9bc5c2, 0xc83553c5c8965d3d, 0x952ab45cfa97a0b3,
    0xde469fbd99a05fe3, 0xa59bc234db398c25, 0xf6c69a72a3989f5c, 0xb7dcbf5354e9bece,
    0x88fcf317f22241e2, 0xcc20ce9bd35c78a5, 0x98165af37b2153df, 0xe2a0b5dc971f303a,
    0xa8d9d1535ce3b396, 0xfb9b7cd9a4a7443c, 0xbb764c4ca7a44410, 0x8bab8eefb6409c1a,
    0xd01fef10a657842c, 0x9b10a4e5e9913129, 0xe7109bfba19c0c9d, 0xac2820d9623bf429,
    0x80444b5e7aa7cf85, 0xbf21e44003acdd2d, 0x8e679c2f5e44ff8f, 0xd433179d9c8cb841,
    0x9e19db92b4e31ba9, 0xeb96bf6ebadf77d9, 0xaf87023b9bf0ee6b,
};

static const uint64_t tens[] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
};

/* ---- The interval ---------------------------------------------------------------------------- */

static struct scaled scaled_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    int exponent = (int)(bits >> FRACTION_BITS);
    uint64_t fraction = bits & (HIDDEN_BIT - 1);
    if (exponent == 0) return (struct scaled){fraction, 1 - EXPONENT_BIAS};
    return (struct scaled){fraction | HIDDEN_BIT, exponent - EXPONENT_BIAS};
}

static struct scaled normalized(struct scaled number) {
    int shift = __builtin_clzll(number.fraction);
    return (struct scaled){number.fraction << shift, number.exponent - shift};
}

/* Below a power of two doubles lie twice as close as above it. */
static struct interval interval_of(double value) {
    struct scaled exact = scaled_of(value);
    int shift = exact.fraction == HIDDEN_BIT ? 2 : 1;
    struct scaled low = {(exact.fraction << shift) - 1, exact.exponent - shift};
    struct scaled high = normalized((struct scaled){(exact.fraction << 1) + 1, exact.exponent - 1});
    low.fraction <<= low.exponent - high.exponent;
    low.exponent = high.exponent;
    return (struct interval){low, normalized(exact), high};
}

static struct scaled power_at(int index) {
    int power = POWER_FIRST + index * POWER_STEP;
    /* 217706 / 2^16 is the logarithm of 10 to the base 2, near enough for these powers. */
    return (struct scaled){powers_of_ten[index], (power * 217706 >> 16) - 63};
}

/* A power that brings the exponent between its bounds; the guess is at most one off. */
static int index_of_power_for(int exponent) {
    int guess = (int)(-(exponent + POWERS) * LOG10_OF_2);
    int index = (guess - POWER_FIRST) / POWER_STEP;
    for (;;) {
        int product = exponent + power_at(index).exponent + 64;
        if (product >= EXPONENT_MIN && product <= EXPONENT_MAX) return index;
        index += product < EXPONENT_MIN ? 1 : -1;
        KRT_ASSERT(index >= 0 && index < POWERS);
    }
}

static struct scaled product_of(struct scaled a, struct scaled b) {
    unsigned __int128 product = (unsigned __int128)a.fraction * b.fraction;
    uint64_t fraction = (uint64_t)((product + (UINT64_C(1) << 63)) >> 64);
    return (struct scaled){fraction, a.exponent + b.exponent + 64};
}

static struct interval multiplied(struct interval interval, struct scaled power) {
    struct interval product = {.low = product_of(interval.low, power),
                               .value = product_of(interval.value, power),
                               .high = product_of(interval.high, power)};
    product.low.fraction++;
    product.high.fraction--;
    return product;
}

/* ---- The digits ------------------------------------------------------------------------------ */

/* Appends a digit, unless it would be a zero in front. */
static void append(struct digits *digits, unsigned digit) {
    if (digit == 0 && digits->count == 0) return;
    KRT_DCHECK(digit < 10 && digits->count < DIGITS_MAX);
    digits->at[digits->count++] = (char)('0' + digit);
}

/* Lowers the last digit, which is worth `unit`, while that comes nearer to the value, which lies
 * `below` under the upper end, and stays in the interval. */
static void come_nearer(struct digits *digits, uint64_t width, uint64_t rest, uint64_t unit,
                        uint64_t below) {
    while (rest < below && width - rest >= unit &&
           (rest + unit < below || below - rest > rest + unit - below)) {
        digits->at[digits->count - 1]--;
        rest += unit;
    }
}

/* How many digits of the integer part remain when the digits suffice, or -1 if they do not. */
static int take_integer_digits(struct digits *digits, const struct interval *interval) {
    int shift = -interval->high.exponent;
    uint64_t width = interval->high.fraction - interval->low.fraction;
    uint64_t rest = interval->high.fraction;
    for (int left = INTEGER_DIGITS - 1; left >= 0; left--) {
        uint64_t unit = tens[left] << shift, digit = (rest >> shift) / tens[left];
        append(digits, (unsigned)digit);
        rest -= digit * unit;
        if (rest <= width) {
            come_nearer(digits, width, rest, unit,
                        interval->high.fraction - interval->value.fraction);
            return left;
        }
    }
    return -1;
}

/* How many digits were taken behind the point, below zero. */
static int take_fraction_digits(struct digits *digits, const struct interval *interval) {
    int shift = -interval->high.exponent, place = 0;
    uint64_t one = UINT64_C(1) << shift;
    uint64_t width = interval->high.fraction - interval->low.fraction;
    uint64_t below = interval->high.fraction - interval->value.fraction;
    uint64_t rest = interval->high.fraction & (one - 1);
    do {
        rest *= 10;
        width *= 10;
        below *= 10;
        place--;
        append(digits, (unsigned)(rest >> shift));
        rest &= one - 1;
    } while (rest >= width);
    come_nearer(digits, width, rest, one, below);
    return place;
}

struct digits digits_of_double(double value) {
    struct digits digits = {.count = 0};
    KRT_ASSERT(value > 0 && isfinite(value));
    struct interval exact = interval_of(value);
    int index = index_of_power_for(exact.high.exponent);
    struct interval interval = multiplied(exact, power_at(index));
    int place = take_integer_digits(&digits, &interval);
    if (place < 0) place = take_fraction_digits(&digits, &interval);
    digits.point = digits.count + place - (POWER_FIRST + index * POWER_STEP);
    return digits;
}
