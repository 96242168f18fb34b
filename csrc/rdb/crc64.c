/* CRC-64, eight bytes at a time.
 *
 * A table has what a byte does to the sum when k bytes follow it. That is linear: an entry is the sum of what the bits of its
 * number do, so that eight constants make a table, at compile time.
 */
#include "rdb/writer.h"

#define BIT(i, n, value) ((i) >> (n)&1 ? (value) : 0)
#define ENTRY(i, a, b, c, d, e, f, g, h)                                                       \
    (BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^ BIT(i, 5, f) ^ \
     BIT(i, 6, g) ^ BIT(i, 7, h))
#define ENTRIES_4(i, ...)                                                        \
    ENTRY(i, __VA_ARGS__), ENTRY(i + 1, __VA_ARGS__), ENTRY(i + 2, __VA_ARGS__), \
        ENTRY(i + 3, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                   \
    ENTRIES_4(i, __VA_ARGS__), ENTRIES_4(i + 4, __VA_ARGS__), ENTRIES_4(i + 8, __VA_ARGS__), \
        ENTRIES_4(i + 12, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                        \
    ENTRIES_16(i, __VA_ARGS__), ENTRIES_16(i + 16, __VA_ARGS__), ENTRIES_16(i + 32, __VA_ARGS__), \
        ENTRIES_16(i + 48, __VA_ARGS__)
#define TABLE(...)                                                                             \
    {                                                                                          \
        ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__), ENTRIES_64(128, __VA_ARGS__), \
            ENTRIES_64(192, __VA_ARGS__)                                                       \
    }

enum { TABLES = 8 };

static const uint64_t tables[TABLES][256] = {
    TABLE(UINT64_C(0x7ad870c830358979), UINT64_C(0xf5b0e190606b12f2), UINT64_C(0xc038e5739841b68f),
          UINT64_C(0xab28ecb46814fe75), UINT64_C(0x7d08ff3b88be6f81), UINT64_C(0xfa11fe77117cdf02),
          UINT64_C(0xdf7adabd7a6e2d6f), UINT64_C(0x95ac9329ac4bc9b5)),
    TABLE(UINT64_C(0x89e99ffd73bddf69), UINT64_C(0x388a19a9bfec2db9), UINT64_C(0x711433537fd85b72),
          UINT64_C(0xe22866a6ffb0b6e4), UINT64_C(0xef09eb1ea7f6fea3), UINT64_C(0xf54af06e177a6e2d),
          UINT64_C(0xc1ccc68f76634f31), UINT64_C(0xa8c0ab4db4510d09)),
    TABLE(UINT64_C(0xf4125129ce4038be), UINT64_C(0xc37d8400c417e217), UINT64_C(0xada22e52d0b85745),
          UINT64_C(0x701d7af6f9e73de1), UINT64_C(0xe03af5edf3ce7bc2), UINT64_C(0xeb2ccd88bf0b64ef),
          UINT64_C(0xfd00bd4226815ab5), UINT64_C(0xd1585cd715952601)),
    TABLE(UINT64_C(0x8ce168638c796306), UINT64_C(0x329bf69440655567), UINT64_C(0x6537ed2880caaace),
          UINT64_C(0xca6fda510195559c), UINT64_C(0xbf8692f15bbd3853), UINT64_C(0x545403b1efede3cd),
          UINT64_C(0xa8a80763dfdbc79a), UINT64_C(0x7a092894e7201c5f)),
    TABLE(UINT64_C(0x3504e58b9ba6dd1e), UINT64_C(0x6a09cb17374dba3c), UINT64_C(0xd413962e6e9b7478),
          UINT64_C(0x837e0a0f85a17b9b), UINT64_C(0x2da5324c53d5645d), UINT64_C(0x5b4a6498a7aac8ba),
          UINT64_C(0xb694c9314f559174), UINT64_C(0x4670b431c63cb183)),
    TABLE(UINT64_C(0xe39d1389931b9354), UINT64_C(0xec6301407ea0b5c3), UINT64_C(0xf39f24d3a5d6f8ed),
          UINT64_C(0xcc676ff4133a62b1), UINT64_C(0xb397f9bb7ee35609), UINT64_C(0x4c76d525a5513f79),
          UINT64_C(0x98edaa4b4aa27ef2), UINT64_C(0x1a8272c5cdd36e8f)),
    TABLE(UINT64_C(0x62a95de6e302eff2), UINT64_C(0xc552bbcdc605dfe4), UINT64_C(0xa1fc51c8d49c2ca3),
          UINT64_C(0x68a185c2f1afca2d), UINT64_C(0xd1430b85e35f945a), UINT64_C(0x89df31589e28bbdf),
          UINT64_C(0x38e744e264c6e4d5), UINT64_C(0x71ce89c4c98dc9aa)),
    TABLE(UINT64_C(0x381d0015c96f4444), UINT64_C(0x703a002b92de8888), UINT64_C(0xe074005725bd1110),
          UINT64_C(0xebb126fd13edb14b), UINT64_C(0xfc3b6ba97f4cf1fd), UINT64_C(0xd32ff101a60e7091),
          UINT64_C(0x8d06c450148b7249), UINT64_C(0x3154aef3718177f9)),
};

#define BYTE(at, i) ((uint64_t)(uint8_t)(at)[i] << 8 * (i))

/* One load where that is the order of bytes. */
static uint64_t load_little(const char *at) {
    return BYTE(at, 0) | BYTE(at, 1) | BYTE(at, 2) | BYTE(at, 3) | BYTE(at, 4) | BYTE(at, 5) |
           BYTE(at, 6) | BYTE(at, 7);
}

static uint64_t fold(uint64_t word) {
    return tables[7][word & 0xff] ^ tables[6][word >> 8 & 0xff] ^ tables[5][word >> 16 & 0xff] ^
           tables[4][word >> 24 & 0xff] ^ tables[3][word >> 32 & 0xff] ^
           tables[2][word >> 40 & 0xff] ^ tables[1][word >> 48 & 0xff] ^ tables[0][word >> 56];
}

uint64_t rdb_crc64(uint64_t crc, const void *from, size_t len) {
    const char *at = from;
    for (; len >= TABLES; len -= TABLES, at += TABLES) crc = fold(crc ^ load_little(at));
    for (; len > 0; len--) crc = tables[0][(crc ^ (uint8_t)*at++) & 0xff] ^ crc >> 8;
    return crc;
}
