/* SHA-1 against its published values, in whatever parts the bytes come. */
#include "base/sha1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { LONG_BYTES = 1000000, PARTS_BYTES = 300 };

static void check(struct sha1 *sha1, const char *expected) {
    uint8_t digest[SHA1_BYTES];
    char text[SHA1_TEXT_BYTES + 1] = "";
    sha1_end(sha1, digest);
    sha1_text(digest, text);
    assert_string_equal(text, expected);
}

static void test_published_values(void **state) {
    static const char *const cases[][2] = {
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    };
    struct sha1 sha1;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sha1_init(&sha1);
        sha1_add(&sha1, cases[i][0], strlen(cases[i][0]));
        check(&sha1, cases[i][1]);
    }
    sha1_init(&sha1);
    for (int i = 0; i < LONG_BYTES; i++) sha1_add(&sha1, "a", 1);
    check(&sha1, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

/* Every length up to a few blocks, cut at every place. */
static void test_parts_make_no_difference(void **state) {
    uint8_t bytes[PARTS_BYTES], whole[SHA1_BYTES], parts[SHA1_BYTES];
    (void)state;
    for (int i = 0; i < PARTS_BYTES; i++) bytes[i] = (uint8_t)(i * 7);
    for (size_t len = 0; len <= PARTS_BYTES; len++) {
        sha1_of(bytes, len, whole);
        for (size_t cut = 0; cut <= len; cut += 1 + len / 9) {
            struct sha1 sha1;
            sha1_init(&sha1);
            sha1_add(&sha1, bytes, cut);
            sha1_add(&sha1, bytes + cut, len - cut);
            sha1_end(&sha1, parts);
            assert_memory_equal(parts, whole, SHA1_BYTES);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_values),
        cmocka_unit_test(test_parts_make_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
