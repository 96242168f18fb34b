/* The lines of our logs, and the checksum in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aof/header.h"
#include "plat/crc32c.h"

static void test_crc32c(void **state) {
    (void)state;
    char zeros[32] = {0};
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283); /* the known answer */
    assert_int_equal(crc32c(0, zeros, sizeof zeros), 0x8a9136aa);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    assert_int_equal(crc32c(7, "", 0), 7);
}

static void test_header(void **state) {
    (void)state;
    for (uint64_t offset = 0; offset < 200; offset++) {
        char line[AOF_HEADER_MAX];
        struct aof_header found,
            header = {.len = 1000 + offset, .synced = offset * 12345, .crc = 0xdeadbeef};
        header.header_len = aof_header_len(offset, header.len);
        assert_in_range(header.header_len, AOF_HEADER_MIN, AOF_HEADER_MAX);
        assert_int_equal((offset + header.header_len + header.len) % AOF_ALIGN, 0);
        aof_header_format(line, &header);
        assert_true(aof_header_parse(bytes_of(line, header.header_len), &found));
        assert_int_equal(found.len, header.len);
        assert_int_equal(found.synced, header.synced);
        assert_int_equal(found.crc, header.crc);
        assert_int_equal(found.header_len, header.header_len);
        for (uint32_t len = 0; len < header.header_len; len++)
            assert_false(aof_header_parse(bytes_of(line, len), &found));
        line[offset % header.header_len] ^= 0x40;
        assert_false(aof_header_parse(bytes_of(line, header.header_len), &found));
    }
}

static void test_written_ahead(void **state) {
    (void)state;
    char line[AOF_ALIGN];
    uint64_t end;
    aof_ahead_format(line, UINT64_C(0x123456789ab));
    assert_true(aof_ahead_parse(bytes_of(line, sizeof line), &end));
    assert_true(end == UINT64_C(0x123456789ab));
    assert_int_equal(memchr(line, '\n', sizeof line) == line + AOF_ALIGN - 1, 1);
    assert_false(aof_ahead_parse(bytes_of(line, AOF_ALIGN - 1), &end));
    line[40] = 'x';
    assert_false(aof_ahead_parse(bytes_of(line, sizeof line), &end));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_written_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
