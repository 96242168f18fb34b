/* The processor's instruction where it has one, else a table: the log's writer and reader sum up every byte. */
#include "plat/crc32c.h"

#include "base/bytes.h"

/* Entry i of the table is the sum of what each bit of i adds to it. */
#define PART(i, bit, value) ((i) & (1 << (bit)) ? (value) : 0)
#define ENTRY(i)                                                                   \
    (PART(i, 0, 0xf26b8303u) ^ PART(i, 1, 0xe13b70f7u) ^ PART(i, 2, 0xc79a971fu) ^ \
     PART(i, 3, 0x8ad958cfu) ^ PART(i, 4, 0x105ec76fu) ^ PART(i, 5, 0x20bd8edeu) ^ \
     PART(i, 6, 0x417b1dbcu) ^ PART(i, 7, 0x82f63b78u))
#define FOUR(i) ENTRY(i), ENTRY((i) + 1), ENTRY((i) + 2), ENTRY((i) + 3)
#define SIXTEEN(i) FOUR(i), FOUR((i) + 4), FOUR((i) + 8), FOUR((i) + 12)
#define SIXTY_FOUR(i) SIXTEEN(i), SIXTEEN((i) + 16), SIXTEEN((i) + 32), SIXTEEN((i) + 48)

static const uint32_t table[256] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128),
                                    SIXTY_FOUR(192)};

static uint32_t sum_by_table(uint32_t crc, const char *at, size_t len) {
    for (size_t i = 0; i < len; i++) crc = table[(crc ^ (uint8_t)at[i]) & 0xff] ^ (crc >> 8);
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2,crc32"))) static uint32_t sum_by_words(uint32_t crc, const char *at,
                                                                     size_t len) {
    uint64_t sum = crc;
    for (; len >= 8; at += 8, len -= 8) sum = __builtin_ia32_crc32di(sum, bytes_load8(at));
    for (; len; at++, len--) sum = __builtin_ia32_crc32qi((uint32_t)sum, (uint8_t)*at);
    return (uint32_t)sum;
}

static uint32_t sum(uint32_t crc, const char *at, size_t len) {
    if (__builtin_cpu_supports("sse4.2")) return sum_by_words(crc, at, len);
    return sum_by_table(crc, at, len);
}
#else
static uint32_t sum(uint32_t crc, const char *at, size_t len) {
    return sum_by_table(crc, at, len);
}
#endif

uint32_t crc32c(uint32_t crc, const void *at, size_t len) {
    return ~sum(~crc, at, len);
}
