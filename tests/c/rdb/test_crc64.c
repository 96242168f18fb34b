/* The checksum against its published value, and eight bytes at a time against one bit at a time. */
#include "rdb/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { BYTES = 300 };

static const uint64_t polynomial = UINT64_C(0x95ac9329ac4bc9b5); /* 0xad93d23594c935a9, reflected */

static uint64_t by_bits(uint64_t crc, const uint8_t *at, size_t len) {
    for (size_t i = 0; i < len; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
    }
    return crc;
}

static void test_check_value(void **state) {
    (void)state;
    assert_true(rdb_crc64(0, "123456789", 9) == UINT64_C(0xe9c6d914c4b8d9ca));
    assert_true(rdb_crc64(0, "", 0) == 0);
}

static void test_all_lengths_and_parts(void **state) {
    uint8_t bytes[BYTES];
    (void)state;
    for (int i = 0; i < BYTES; i++) bytes[i] = (uint8_t)(i * i + 3 * i);
    for (size_t len = 0; len <= BYTES; len++) {
        uint64_t expected = by_bits(0, bytes, len);
        assert_true(rdb_crc64(0, bytes, len) == expected);
        for (size_t cut = 0; cut < len; cut += 1 + len / 7)
            assert_true(rdb_crc64(rdb_crc64(0, bytes, cut), bytes + cut, len - cut) == expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_value),
        cmocka_unit_test(test_all_lengths_and_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
