/* The reply writer: every type in both protocols, chunk borders, moves between replies, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <float.h>
#include <locale.h>
#include <math.h>

#include "base/hash.h"
#include "resp/double.h"
#include "resp/reply.h"

enum { POOL_LIMIT = 4 };

static struct mem_account account;
static struct reply_pool pool;

static int open_pool(void **state) {
    (void)state;
    reply_pool_init(&pool, &account, POOL_LIMIT);
    return 0;
}

static int close_pool(void **state) {
    (void)state;
    mem_fail_after(0);
    reply_pool_deinit(&pool);
    return atomic_load_relaxed(&account.used_bytes) == 0 ? 0 : -1;
}

/* ---- Reading replies ------------------------------------------------------------------------- */

/* All pending bytes in one block; the caller frees it. */
static char *collect(struct reply *reply, size_t *len) {
    *len = (size_t)reply_pending_bytes(reply);
    char *text = malloc(*len + 1);
    struct iovec iov[512];
    int count = reply_iovecs(reply, iov, 512);
    size_t done = 0;
    for (int i = 0; i < count; i++) {
        assert_true(iov[i].iov_len > 0 && done + iov[i].iov_len <= *len);
        memcpy(text + done, iov[i].iov_base, iov[i].iov_len);
        done += iov[i].iov_len;
    }
    assert_int_equal(done, *len);
    text[*len] = '\0';
    return text;
}

/* Compares and clears. */
static void expect(struct reply *reply, const char *expected) {
    size_t len;
    char *text = collect(reply, &len);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
    assert_false(reply->failed);
    free(text);
    reply_clear(reply);
}

static struct reply reply_of(uint8_t proto) {
    struct reply reply;
    reply_init(&reply, &pool, proto);
    return reply;
}

#define EXPECT_BOTH(write, resp2, resp3)         \
    do {                                         \
        struct reply r_ = reply_of(2), *r = &r_; \
        write;                                   \
        expect(r, resp2);                        \
        r_ = reply_of(3);                        \
        write;                                   \
        expect(r, resp3);                        \
    } while (0)

/* ---- Types ----------------------------------------------------------------------------------- */

static void scalars(void **state) {
    (void)state;
    EXPECT_BOTH(reply_ok(r), "+OK\r\n", "+OK\r\n");
    EXPECT_BOTH(reply_simple(r, "PONG"), "+PONG\r\n", "+PONG\r\n");
    EXPECT_BOTH(reply_null(r), "$-1\r\n", "_\r\n");
    EXPECT_BOTH(reply_null_array(r), "*-1\r\n", "_\r\n");
    EXPECT_BOTH(reply_bool(r, true), ":1\r\n", "#t\r\n");
    EXPECT_BOTH(reply_bool(r, false), ":0\r\n", "#f\r\n");
    EXPECT_BOTH(reply_big_number(r, BYTES_LITERAL("123456789012345678901234567890")),
                "$30\r\n123456789012345678901234567890\r\n", "(123456789012345678901234567890\r\n");
}

static void integers(void **state) {
    (void)state;
    static const int64_t values[] = {0,    1,    9,     10,    99,        100,       101,
                                     -1,   -10,  12345, -9999, INT32_MAX, INT64_MAX, INT64_MIN,
                                     1000, 9999, 10000, 99999, 100000};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char expected[32];
        (void)snprintf(expected, sizeof expected, ":%lld\r\n", (long long)values[i]);
        EXPECT_BOTH(reply_integer(r, values[i]), expected, expected);
    }
}

static void strings(void **state) {
    (void)state;
    EXPECT_BOTH(reply_bulk(r, BYTES_LITERAL("")), "$0\r\n\r\n", "$0\r\n\r\n");
    EXPECT_BOTH(reply_bulk(r, BYTES_LITERAL("value")), "$5\r\nvalue\r\n", "$5\r\nvalue\r\n");
    EXPECT_BOTH(reply_bulk_text(r, "0123456789"), "$10\r\n0123456789\r\n", "$10\r\n0123456789\r\n");
    EXPECT_BOTH(reply_verbatim(r, "txt", BYTES_LITERAL("a\r\nb")), "$4\r\na\r\nb\r\n",
                "=8\r\ntxt:a\r\nb\r\n");
}

static void aggregates(void **state) {
    (void)state;
    EXPECT_BOTH(reply_array(r, 0), "*0\r\n", "*0\r\n");
    EXPECT_BOTH(reply_array(r, 1000000), "*1000000\r\n", "*1000000\r\n");
    EXPECT_BOTH(reply_map(r, 7), "*14\r\n", "%7\r\n");
    EXPECT_BOTH(reply_set(r, 3), "*3\r\n", "~3\r\n");
    EXPECT_BOTH(reply_push(r, 2), "*2\r\n", ">2\r\n");
    struct reply reply = reply_of(3);
    reply_attribute(&reply, 1);
    expect(&reply, "|1\r\n");
}

static void errors(void **state) {
    (void)state;
    EXPECT_BOTH(reply_error(r, "ERR syntax error"), "-ERR syntax error\r\n",
                "-ERR syntax error\r\n");
    EXPECT_BOTH(reply_error(r, "ERR a\r\nb\n\r\n"), "-ERR a  b\r\n", "-ERR a  b\r\n");
    EXPECT_BOTH(reply_error_format(r, "ERR expected '$', got '%c'", '\n'),
                "-ERR expected '$', got ' '\r\n", "-ERR expected '$', got ' '\r\n");
}

static void a_long_error_is_whole(void **state) {
    (void)state;
    char text[2000], expected[2010];
    for (size_t len = 240; len < sizeof text; len += len < 270 ? 1 : 433) {
        memset(text, 'x', len);
        text[len] = '\0';
        (void)snprintf(expected, sizeof expected, "-ERR %s\r\n", text);
        EXPECT_BOTH(reply_error_format(r, "ERR %s", text), expected, expected);
    }
}

/* ---- Doubles --------------------------------------------------------------------------------- */

struct double_case {
    double value;
    const char *text;
};

static const struct double_case double_cases[] = {
    {0, "0"},
    {-0.0, "-0"},
    {1, "1"},
    {-3, "-3"},
    {3.14, "3.14"},
    {-3.14, "-3.14"},
    {0.1, "0.1"},
    {0.1 + 0.2, "0.30000000000000004"},
    {10.0 / 3, "3.3333333333333335"},
    {1.5e-3, "0.0015"},
    {1e-5, "0.00001"},
    {1e-7, "1e-7"},
    {1.5e-7, "1.5e-7"},
    {1.25e-10, "1.25e-10"},
    {123456.789, "123456.789"},
    {4503599627370495.5, "4503599627370495.5"},
    {4503599627370495.0, "4503599627370495"},
    {9007199254740993.0, "9007199254740992"},
    {1e15, "1000000000000000"},
    {1e17, "100000000000000000"},
    {1e20, "1e+20"},
    {632037119552555264, "632037119552555264"},
    {4611686018427387904, "4611686018427387904"},
    {-4611686018427387904, "-4611686018427387904"},
    {4611686018427388928, "4611686018427389000"},
    {9223372036854774784, "9223372036854775000"},
    {123456.7890123, "1.234567890123e+5"},
    {27.24817, "27.248169999999998"},
    {822.37106, "822.3710600000001"},
    {-365850.30785456276, "-3.6585030785456277e+5"},
    {1e23, "99999999999999990000000"},
    {7.4841e+20, "748409999999999900000"},
    {9.516e21, "9516000000000001000000"},
    {1.2e21, "1.2e+21"},
    {1e100, "1e+100"},
    {DBL_MAX, "1.7976931348623157e+308"},
    {5e-324, "5e-324"},
    {2.2250738585072014e-308, "2.2250738585072014e-308"},
    {INFINITY, "inf"},
    {-INFINITY, "-inf"},
    {NAN, "nan"},
    {-NAN, "nan"},
};

static void check_doubles(void) {
    for (size_t i = 0; i < sizeof double_cases / sizeof double_cases[0]; i++) {
        char resp2[80], resp3[80];
        const char *text = double_cases[i].text;
        (void)snprintf(resp2, sizeof resp2, "$%zu\r\n%s\r\n", strlen(text), text);
        (void)snprintf(resp3, sizeof resp3, ",%s\r\n", text);
        EXPECT_BOTH(reply_double(r, double_cases[i].value), resp2, resp3);
    }
}

static void doubles(void **state) {
    (void)state;
    check_doubles();
}

static void doubles_ignore_the_locale(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ps_AF"};
    const char *found = NULL;
    for (size_t i = 0; i < 4 && found == NULL; i++) {
        found = setlocale(LC_NUMERIC, names[i]);
    }
    if (found == NULL) {
        skip(); /* no locale with another decimal point is installed */
    }
    check_doubles();
    (void)setlocale(LC_NUMERIC, "C");
}

static void doubles_read_back_the_same(void **state) {
    (void)state;
    struct random_state random;
    random_seed(&random, 17);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = random_next(&random);
        double value, again;
        memcpy(&value, &bits, sizeof value);
        if (isnan(value)) {
            continue;
        }
        char text[DOUBLE_TEXT_MAX + 1];
        text[double_format(text, value)] = '\0';
        again = strtod(text, NULL);
        assert_memory_equal(&again, &value, sizeof value);
    }
}

/* ---- Chunks ---------------------------------------------------------------------------------- */

static const char *filler(void) {
    static char text[4 * REPLY_CHUNK_BYTES];
    if (text[0] == '\0') {
        for (size_t i = 0; i < sizeof text; i++) {
            text[i] = (char)('a' + i % 23);
        }
    }
    return text;
}

/* A bulk string behind `before` bytes: every place relative to the chunk's end. */
static void values_cross_chunk_borders(void **state) {
    (void)state;
    static const uint32_t lengths[] = {0, 1, 5, 64, 100, 1000, 4095, 20000, REPLY_CHUNK_BYTES};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (size_t left = 0; left < 140; left++) {
            struct reply reply = reply_of(2);
            size_t before = REPLY_CHUNK_BYTES - left, len;
            reply_raw(&reply, filler(), before);
            reply_bulk(&reply, bytes_of(filler(), lengths[i]));
            reply_integer(&reply, -7);
            char header[32], *text = collect(&reply, &len);
            size_t header_len =
                (size_t)snprintf(header, sizeof header, "$%u\r\n", (unsigned)lengths[i]);
            assert_int_equal(len, before + header_len + lengths[i] + 2 + 5);
            assert_memory_equal(text + before, header, header_len);
            assert_memory_equal(text + before + header_len, filler(), lengths[i]);
            assert_memory_equal(text + len - 7, "\r\n:-7\r\n", 7);
            free(text);
            reply_clear(&reply);
        }
    }
}

static void a_value_that_ends_a_chunk_needs_no_second(void **state) {
    (void)state;
    struct reply reply = reply_of(2);
    reply_raw(&reply, filler(), REPLY_CHUNK_BYTES);
    struct iovec iov[4];
    assert_int_equal(reply_iovecs(&reply, iov, 4), 1);
    assert_int_equal(iov[0].iov_len, REPLY_CHUNK_BYTES);
    reply_ok(&reply);
    assert_int_equal(reply_iovecs(&reply, iov, 4), 2);
    assert_int_equal(reply_iovecs(&reply, iov, 1), 1);
    reply_consume(&reply, REPLY_CHUNK_BYTES);
    expect(&reply, "+OK\r\n");
}

/* A send in flight holds the iovecs: what is appended meanwhile may not move them. */
static void appends_leave_handed_out_bytes_in_place(void **state) {
    (void)state;
    struct reply reply = reply_of(2);
    reply_bulk_text(&reply, "first");
    struct iovec before[2], after[2];
    assert_int_equal(reply_iovecs(&reply, before, 2), 1);
    struct reply_mark mark = reply_defer_begin(&reply);
    reply_ok(&reply);
    reply_defer_array(&reply, mark, 1);
    assert_int_equal(reply_iovecs(&reply, after, 2), 1);
    assert_ptr_equal(before[0].iov_base, after[0].iov_base);
    assert_memory_equal(before[0].iov_base, "$5\r\nfirst\r\n", before[0].iov_len);
    reply_consume(&reply, before[0].iov_len);
    expect(&reply, "*1\r\n+OK\r\n");
}

static void consuming_in_steps_yields_every_byte_once(void **state) {
    (void)state;
    struct reply reply = reply_of(2);
    struct blob *blob = blob_copy(&account, bytes_of(filler(), 10000));
    reply_raw(&reply, filler(), 20000);
    reply_bulk(&reply, blob_bytes(blob));
    reply_raw(&reply, filler(), 20000);
    size_t total, done = 0;
    char *text = collect(&reply, &total);
    for (size_t step = 1; done < total; step = step * 7 % 5003 + 1) {
        struct iovec iov;
        assert_int_equal(reply_iovecs(&reply, &iov, 1), 1);
        size_t compared = iov.iov_len < step ? iov.iov_len : step;
        assert_memory_equal(iov.iov_base, text + done, compared);
        step = step < total - done ? step : total - done;
        reply_consume(&reply, step);
        done += step;
        assert_int_equal(reply_pending_bytes(&reply), total - done);
    }
    assert_true(reply_is_empty(&reply));
    assert_int_equal(atomic_load_relaxed(&blob->references), 1);
    blob_put(blob);
    free(text);
}

static void a_large_value_is_sent_from_where_it_lies(void **state) {
    (void)state;
    struct blob *blob = blob_copy(&account, bytes_of(filler(), REPLY_REFERENCE_MIN));
    struct reply reply = reply_of(2);
    reply_bulk(&reply, blob_bytes(blob));
    struct iovec iov[4];
    assert_int_equal(reply_iovecs(&reply, iov, 4), 3);
    assert_ptr_equal(iov[1].iov_base, blob->data);
    assert_int_equal(atomic_load_relaxed(&blob->references), 2);
    reply_clear(&reply);
    assert_int_equal(atomic_load_relaxed(&blob->references), 1);
    blob->len = REPLY_REFERENCE_MIN - 1; /* a smaller one is copied */
    reply_bulk(&reply, blob_bytes(blob));
    assert_int_equal(atomic_load_relaxed(&blob->references), 1);
    reply_clear(&reply);
    blob_put(blob);
}

static void a_pipeline_of_large_values_takes_little_room(void **state) {
    (void)state;
    struct blob *blob = blob_copy(&account, bytes_of(filler(), 60000));
    struct reply reply = reply_of(2);
    for (int i = 0; i < 512; i++) {
        reply_bulk(&reply, blob_bytes(blob));
    }
    assert_int_equal(reply_pending_bytes(&reply), 512 * (60000 + 8 + 2));
    assert_true(atomic_load_relaxed(&account.used_bytes) < 512 * 1000 + 100000);
    reply_clear(&reply);
    blob_put(blob);
}

static void a_pool_keeps_its_limit(void **state) {
    (void)state;
    struct reply reply = reply_of(2);
    for (int i = 0; i < 10; i++) {
        reply_raw(&reply, filler(), REPLY_CHUNK_BYTES);
    }
    reply_consume(&reply, reply_pending_bytes(&reply));
    assert_true(reply_is_empty(&reply));
    assert_int_equal(pool.count, POOL_LIMIT);
    uint64_t used = atomic_load_relaxed(&account.used_bytes);
    reply_ok(&reply);
    assert_int_equal(pool.count, POOL_LIMIT - 1);
    assert_int_equal(atomic_load_relaxed(&account.used_bytes), used);
    reply_clear(&reply);
}

/* ---- Deferred counts ------------------------------------------------------------------------- */

static void deferred_counts(void **state) {
    (void)state;
    struct reply reply = reply_of(3);
    struct reply_mark outer = reply_defer_begin(&reply);
    reply_ok(&reply);
    struct reply_mark inner = reply_defer_begin(&reply);
    reply_defer_map(&reply, inner, 0);
    inner = reply_defer_begin(&reply);
    reply_integer(&reply, 1);
    reply_integer(&reply, 2);
    reply_defer_map(&reply, inner, 1);
    reply_defer_array(&reply, outer, 1234567);
    reply_null(&reply);
    expect(&reply, "*1234567\r\n+OK\r\n%0\r\n%1\r\n:1\r\n:2\r\n_\r\n");
    reply = reply_of(2);
    struct reply_mark mark = reply_defer_begin(&reply);
    reply_defer_map(&reply, mark, 5);
    expect(&reply, "*10\r\n");
}

static void a_deferred_count_over_several_chunks(void **state) {
    (void)state;
    for (size_t left = 0; left < 60; left++) {
        struct reply reply = reply_of(2);
        size_t before = REPLY_CHUNK_BYTES - left, body = 2 * REPLY_CHUNK_BYTES + 11, len;
        reply_raw(&reply, filler(), before);
        struct reply_mark mark = reply_defer_begin(&reply);
        reply_raw(&reply, filler(), body);
        reply_defer_array(&reply, mark, 42);
        char *text = collect(&reply, &len);
        assert_int_equal(len, before + 5 + body);
        assert_memory_equal(text + before, "*42\r\n", 5);
        assert_memory_equal(text + before + 5, filler(), body);
        reply_consume(&reply, len);
        assert_true(reply_is_empty(&reply));
        free(text);
    }
}

/* ---- Moving ---------------------------------------------------------------------------------- */

/* Small and large runs, references included; returns the whole text. */
static char *fill(struct reply *reply, struct blob *blob, size_t *len) {
    for (int i = 0; i < 3; i++) {
        reply_integer(reply, 1000 + i);
        reply_bulk(reply, blob_bytes(blob));
        reply_raw(reply, filler() + i, REPLY_CHUNK_BYTES - 100);
        reply_ok(reply);
    }
    return collect(reply, len);
}

static void transfers_cut_anywhere(void **state) {
    (void)state;
    struct blob *blob = blob_copy(&account, bytes_of(filler(), 9000));
    struct reply probe = reply_of(2);
    size_t len, got_len;
    char *text = fill(&probe, blob, &len);
    reply_clear(&probe);
    for (size_t cut = 0; cut <= len; cut += cut % 1000 < 20 ? 1 : 313) {
        struct reply to = reply_of(2), from = reply_of(2);
        free(fill(&from, blob, &got_len));
        reply_ok(&to);
        reply_transfer(&to, &from, cut);
        assert_int_equal(reply_pending_bytes(&to), 5 + cut);
        assert_int_equal(reply_pending_bytes(&from), len - cut);
        reply_transfer(&to, &from, len - cut);
        assert_true(reply_is_empty(&from));
        reply_null(&to);
        char *got = collect(&to, &got_len);
        assert_int_equal(got_len, 5 + len + 5);
        assert_memory_equal(got + 5, text, len);
        free(got);
        reply_clear(&to);
    }
    assert_int_equal(atomic_load_relaxed(&blob->references), 1);
    blob_put(blob);
    free(text);
}

static void small_replies_are_copied_large_ones_relinked(void **state) {
    (void)state;
    struct reply to = reply_of(2), from = reply_of(2);
    reply_append(&to, &from);
    assert_true(reply_is_empty(&to));
    reply_ok(&to);
    reply_integer(&from, 3);
    reply_append(&to, &from);
    struct iovec iov[2];
    assert_int_equal(reply_iovecs(&to, iov, 2), 1);
    reply_raw(&from, filler(), 5000);
    assert_int_equal(reply_iovecs(&from, iov, 2), 1);
    reply_append(&to, &from);
    assert_true(reply_is_empty(&from));
    assert_ptr_equal(iov[0].iov_base, to.tail->data);
    reply_ok(&to);
    assert_int_equal(reply_pending_bytes(&to), 5 + 4 + 5000 + 5);
    reply_integer(&from, 9);
    expect(&from, ":9\r\n");
    reply_clear(&to);
}

/* ---- Refused memory -------------------------------------------------------------------------- */

static void a_refusal_is_remembered_and_drops_the_rest(void **state) {
    (void)state;
    struct reply reply = reply_of(2), other = reply_of(2);
    reply_raw(&reply, filler(), REPLY_CHUNK_BYTES - 10);
    mem_fail_after(1);
    reply_bulk_text(&reply, "a value that does not fit");
    mem_fail_after(0);
    assert_true(reply.failed);
    uint64_t pending = reply_pending_bytes(&reply);
    assert_true(pending < REPLY_CHUNK_BYTES);
    struct reply_mark mark = reply_defer_begin(&reply);
    reply_ok(&reply);
    reply_bulk(&reply, bytes_of(filler(), 20000));
    reply_defer_array(&reply, mark, 1);
    assert_int_equal(reply_pending_bytes(&reply), pending);
    reply_append(&other, &reply);
    assert_true(other.failed);
    reply_clear(&other);
    reply_ok(&other);
    expect(&other, "+OK\r\n");
}

/* Everything, with each allocation failing in turn. */
static bool write_everything(struct blob *blob) {
    struct reply to = reply_of(2), from = reply_of(2);
    size_t len;
    free(fill(&from, blob, &len));
    struct reply_mark mark = reply_defer_begin(&from);
    reply_raw(&from, filler(), 40000);
    reply_defer_array(&from, mark, 7);
    reply_error_format(&from, "ERR %.*s", 3000, filler());
    reply_transfer(&to, &from, reply_pending_bytes(&from) / 3);
    reply_append(&to, &from);
    bool is_whole = !to.failed && !from.failed;
    reply_clear(&to);
    reply_clear(&from);
    reply_pool_deinit(&pool);
    return is_whole;
}

static void refusals_leak_nothing(void **state) {
    (void)state;
    struct blob *blob = blob_copy(&account, bytes_of(filler(), 9000));
    uint64_t used = atomic_load_relaxed(&account.used_bytes);
    long allowed = 1;
    for (bool is_whole = false; !is_whole; allowed++) {
        mem_fail_after(allowed);
        is_whole = write_everything(blob);
        mem_fail_after(0);
        assert_int_equal(atomic_load_relaxed(&account.used_bytes), used);
        assert_int_equal(atomic_load_relaxed(&blob->references), 1);
        assert_true(allowed < 1000);
    }
    assert_true(allowed > 10);
    blob_put(blob);
}

/* ---- Lent room --------------------------------------------------------------------------------- */

enum { ROOM_BYTES = 256 };

/* A line of `len` bytes in all. */
static void add_line(struct reply *reply, size_t len) {
    char text[2 * ROOM_BYTES];
    memset(text, 'x', len);
    reply_raw(reply, text, len);
}

static void lent_room(void **state) {
    (void)state;
    _Alignas(8) char room[ROOM_BYTES];
    for (size_t len = 1; len < 2 * ROOM_BYTES; len++) {
        struct reply reply, other;
        size_t count;
        reply_init(&reply, &pool, 3);
        reply_lend(&reply, room, sizeof room);
        reply_init(&other, &pool, 3);
        assert_int_equal(reply_pending_bytes(&reply), 0);
        add_line(&reply, len);
        char *piece = reply_piece(&reply);
        bool fits = len <= sizeof room - offsetof(struct reply_chunk, data);
        assert_true(fits == (piece >= room && piece < room + sizeof room));
        add_line(&other, len % 7);
        reply_append(&other, &reply); /* what it moves outlives the room */
        memset(room, '!', sizeof room);
        assert_int_equal(reply_pending_bytes(&reply), 0);
        char *text = collect(&other, &count);
        assert_int_equal(count, len % 7 + len);
        assert_int_equal(strspn(text, "x"), count);
        free(text);
        reply_clear(&other);
        reply_clear(&reply);
    }
}

static void lent_room_is_taken_out(void **state) {
    (void)state;
    _Alignas(8) char room[ROOM_BYTES];
    for (size_t len = 1; len < 2 * ROOM_BYTES; len += 5) {
        struct reply reply, other;
        reply_init(&reply, &pool, 3);
        reply_lend(&reply, room, sizeof room);
        reply_init(&other, &pool, 3);
        add_line(&reply, len);
        reply_transfer(&other, &reply, len / 2);
        assert_int_equal(reply_pending_bytes(&other), len / 2);
        reply_consume(&reply, len - len / 2);
        assert_int_equal(reply_pending_bytes(&reply), 0);
        reply_ok(&reply); /* goes on without it */
        expect(&reply, "+OK\r\n");
        reply_clear(&other);
    }
}

#define REPLY_TEST(test) cmocka_unit_test_setup_teardown(test, open_pool, close_pool)

int main(void) {
    const struct CMUnitTest tests[] = {
        REPLY_TEST(scalars),
        REPLY_TEST(integers),
        REPLY_TEST(strings),
        REPLY_TEST(aggregates),
        REPLY_TEST(errors),
        REPLY_TEST(a_long_error_is_whole),
        REPLY_TEST(doubles),
        REPLY_TEST(doubles_ignore_the_locale),
        REPLY_TEST(doubles_read_back_the_same),
        REPLY_TEST(values_cross_chunk_borders),
        REPLY_TEST(a_value_that_ends_a_chunk_needs_no_second),
        REPLY_TEST(appends_leave_handed_out_bytes_in_place),
        REPLY_TEST(consuming_in_steps_yields_every_byte_once),
        REPLY_TEST(a_large_value_is_sent_from_where_it_lies),
        REPLY_TEST(a_pipeline_of_large_values_takes_little_room),
        REPLY_TEST(a_pool_keeps_its_limit),
        REPLY_TEST(deferred_counts),
        REPLY_TEST(a_deferred_count_over_several_chunks),
        REPLY_TEST(transfers_cut_anywhere),
        REPLY_TEST(small_replies_are_copied_large_ones_relinked),
        REPLY_TEST(a_refusal_is_remembered_and_drops_the_rest),
        REPLY_TEST(refusals_leak_nothing),
        REPLY_TEST(lent_room),
        REPLY_TEST(lent_room_is_taken_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
