/* The request parser: Redis's reading of every input, whole and cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "resp/drive.h"

static const struct parser_limits redis_limits = {
    .max_bulk_bytes = 512u << 20, .max_inline_bytes = 65536, .max_args = INT32_MAX};
static const struct parser_limits short_limits = {
    .max_bulk_bytes = 200000, .max_inline_bytes = 100, .max_args = 2000};
static const struct parser_limits guest_limits = {.max_bulk_bytes = 512u << 20,
                                                  .max_inline_bytes = 65536,
                                                  .max_args = INT32_MAX,
                                                  .unauthenticated = true};

static struct mem_account account;

/* Every test gives back all memory. */
static int check_account(void **state) {
    (void)state;
    mem_fail_after(0);
    return atomic_load_relaxed(&account.used_bytes) == 0 ? 0 : -1;
}

/* ---- Inputs ---------------------------------------------------------------------------------- */

struct reading {
    const char *input;
    size_t len;
    const char *expected;
};

#define READING(input, expected) \
    { (input), sizeof(input) - 1, (expected) }

/* What redis-server 7 makes of these (ECHO and PING answered as the brackets say). */
static const struct reading readings[] = {
    READING("*1\r\n$4\r\nPING\r\n", "[PING]"),
    READING("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            "[SET|k|][GET|k]"),
    READING("*2\r\n$4\r\nECHO\r\n$12\r\nhello, world\r\n", "[ECHO|hello, world]"),
    READING("*0\r\n*-1\r\n*-5\r\n\r\n\n  \r\n*1\r\n$4\r\nPING\r\n", "[PING]"),
    READING("*10\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n"
            "$1\r\nh\r\n$1\r\ni\r\n$1\r\nj\r\n",
            "[a|b|c|d|e|f|g|h|i|j]"),
    READING("*1\r\n$4\rxPINGyy", "[PING]"),
    READING("*1\r\n$4\r\nPI", ""),
    READING("*1\r\n$4\r\nPING\r", ""),
    READING("*2147483647\r\n", ""),
    READING("PING\r\n", "[PING]"),
    READING("PING\nECHO a\n", "[PING][ECHO|a]"),
    READING("  SET\tk   v  \r\n", "[SET|k|v]"),
    READING("\x0bPING\n", "[PING]"),
    READING("ECHO a\x0b"
            "b\n",
            "[ECHO|a\x0b"
            "b]"),
    READING("ECHO \"a\\x41\\n\\r\\t\\b\\a\\\\\\q\"\n", "[ECHO|aA\n\r\t\b\a\\q]"),
    READING("ECHO 'a\\'b' 'c\\n'\n", "[ECHO|a'b|c\\n]"),
    READING("ECHO \"\" ''\n", "[ECHO||]"),
    READING("ECHO a\"b c\"\n", "[ECHO|ab c]"),
    READING("ECHO \"a\\x4\" \"\\xzz\"\n", "[ECHO|ax4|xzz]"),
    READING("ECHO a\\nb\n", "[ECHO|a\\nb]"),
    READING("'PING'\r\r\n", "[PING]"),
    READING("ECHO \"\\xff\\x00\"\nPI\0NG\r\n", NULL),
    READING("PING\r\nECHO \"a\"b\n", "[PING]!Protocol error: unbalanced quotes in request"),
    READING("ECHO 'a'b\n", "!Protocol error: unbalanced quotes in request"),
    READING("ECHO \"a\n", "!Protocol error: unbalanced quotes in request"),
    READING("ECHO \"a\\\r\n", "!Protocol error: unbalanced quotes in request"),
    READING("*a\r\n", "!Protocol error: invalid multibulk length"),
    READING("*\r\n", "!Protocol error: invalid multibulk length"),
    READING("*01\r\n", "!Protocol error: invalid multibulk length"),
    READING("*+1\r\n", "!Protocol error: invalid multibulk length"),
    READING("*-0\r\n", "!Protocol error: invalid multibulk length"),
    READING("*2147483648\r\n", "!Protocol error: invalid multibulk length"),
    READING("*99999999999999999999\r\n", "!Protocol error: invalid multibulk length"),
    READING("PING\r\n*1\r\n$-1\r\n", "[PING]!Protocol error: invalid bulk length"),
    READING("*1\r\n$x\r\n", "!Protocol error: invalid bulk length"),
    READING("*1\r\n$\r\n", "!Protocol error: invalid bulk length"),
    READING("*1\r\n$01\r\n", "!Protocol error: invalid bulk length"),
    READING("*1\r\n$1\n\r\n", "!Protocol error: invalid bulk length"),
    READING("*1\r\n$536870913\r\n", "!Protocol error: invalid bulk length"),
    READING("*1\r\n$4294967296\r\n", "!Protocol error: invalid bulk length"),
    READING("*1\r\nPING\r\n", "!Protocol error: expected '$', got 'P'"),
    READING("*1\r\n\xff\r\n", "!Protocol error: expected '$', got '\xff'"),
    READING("*1\r\n\r\nx", "!Protocol error: expected '$', got '\r'"),
    READING("*1\r\n\nfoo\r\n", "!Protocol error: expected '$', got '\n'"),
    READING("*2\r\n$4\r\nPING\r\n:1\r\nPING\r\n", "!Protocol error: expected '$', got ':'"),
    READING("*1\r\n\0a\r\n", ""),
    READING("*\0001\r\n", ""),
    READING("PI\0NG\r\n", ""),
};
enum { READINGS = sizeof readings / sizeof readings[0] };

/* Longer inputs that reach the bounds, made once. */
enum { LONG_INPUTS = 12 };
static struct transcript long_inputs[LONG_INPUTS];

static void add_bulk(struct transcript *out, char fill, size_t len) {
    char header[32];
    transcript_add(out, header, (size_t)snprintf(header, sizeof header, "$%zu\r\n", len));
    for (size_t i = 0; i < len; i++) {
        transcript_add(out, &fill, 1);
    }
    transcript_add(out, "\r\n", 2);
}

static void add_multibulk(struct transcript *out, size_t argc, size_t len) {
    char header[32];
    transcript_add(out, header, (size_t)snprintf(header, sizeof header, "*%zu\r\n", argc));
    for (size_t i = 0; i < argc; i++) {
        add_bulk(out, (char)('a' + i % 26), len);
    }
}

static void add_repeated(struct transcript *out, const char *text, size_t count) {
    for (size_t i = 0; i < count; i++) {
        transcript_add(out, text, strlen(text));
    }
}

static int make_long_inputs(void **state) {
    (void)state;
    struct transcript *next = long_inputs;
    add_repeated(next++, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 150);
    add_repeated(next++, "PING\r\n", 150);
    add_multibulk(next, RUN_ARGS, 1);
    add_multibulk(next++, 1, 1);
    add_multibulk(next, 2, 3);
    add_multibulk(next, RUN_ARGS + 1, 1);
    add_multibulk(next++, 2, 3);
    add_multibulk(next++, 2001, 0); /* over short_limits */
    add_multibulk(next, 1, 1);
    add_multibulk(next, 3, PARSER_BIG_BULK);
    add_multibulk(next++, 1, 1);
    add_multibulk(next++, 2, 3 * PARSER_BIG_BULK + 7);
    add_multibulk(next++, 1, 200001); /* over short_limits */
    add_repeated(next++, "a ", 700);  /* over short_limits; no line end */
    add_repeated(next, "a ", 700);
    transcript_add(next, "\n", 1);
    add_repeated(next++, "\"a\" ", 20);
    transcript_add(next, "*1\r\n$", 5);
    add_repeated(next++, "1", 101);
    transcript_add(next, "*", 1);
    add_repeated(next++, "1", 101);
    assert_int_equal(next - long_inputs, LONG_INPUTS);
    return 0;
}

static int free_long_inputs(void **state) {
    (void)state;
    for (int i = 0; i < LONG_INPUTS; i++) {
        transcript_free(&long_inputs[i]);
    }
    return 0;
}

/* ---- Agreement with the reference ------------------------------------------------------------ */

static void assert_transcript(const struct transcript *actual, const struct transcript *expected) {
    assert_int_equal(actual->len, expected->len);
    if (expected->len > 0) {
        assert_memory_equal(actual->text, expected->text, expected->len);
    }
}

/* Reads `input` in pieces of `piece` bytes, the first one of `first`. */
static void check_cut(const struct parser_limits *limits, const char *input, size_t len,
                      size_t first, size_t piece, const struct transcript *expected,
                      struct random_state *rewinds) {
    struct drive *drive = malloc(sizeof *drive);
    drive_init(drive, limits, &account, rewinds);
    for (size_t at = 0, step = first; at < len; at += step, step = piece) {
        step = step < len - at ? step : len - at;
        drive_feed(drive, input + at, step);
    }
    drive_finish(drive);
    assert_transcript(&drive->out, expected);
    drive_deinit(drive);
    free(drive);
    assert_int_equal(atomic_load_relaxed(&account.used_bytes), 0);
}

static void check_input(const struct parser_limits *limits, const char *input, size_t len,
                        size_t stride) {
    struct transcript expected = {0};
    struct random_state random;
    random_seed(&random, len);
    transcript_reference(&expected, limits, input, len);
    for (size_t cut = 1; cut <= len; cut += stride) {
        check_cut(limits, input, len, cut, len, &expected, NULL);
        check_cut(limits, input, len, cut, len, &expected, &random);
    }
    for (size_t piece = 1; piece < 2 * len; piece = piece * 3 + stride / 64) {
        check_cut(limits, input, len, piece, piece, &expected, NULL);
        check_cut(limits, input, len, piece, piece, &expected, &random);
    }
    transcript_free(&expected);
}

static void reference_reads_as_redis(void **state) {
    (void)state;
    for (int i = 0; i < READINGS; i++) {
        struct transcript actual = {0};
        transcript_reference(&actual, &redis_limits, readings[i].input, readings[i].len);
        if (readings[i].expected != NULL) {
            assert_string_equal(actual.text != NULL ? actual.text : "", readings[i].expected);
        }
        transcript_free(&actual);
    }
}

static void every_cut_of_short_inputs_reads_the_same(void **state) {
    (void)state;
    for (int i = 0; i < READINGS; i++) {
        check_input(&redis_limits, readings[i].input, readings[i].len, 1);
        check_input(&guest_limits, readings[i].input, readings[i].len, 1);
    }
}

static void cuts_of_long_inputs_read_the_same(void **state) {
    (void)state;
    for (int i = 0; i < LONG_INPUTS; i++) {
        const struct transcript *input = &long_inputs[i];
        size_t stride = input->len / 40 + 1;
        check_input(&redis_limits, input->text, input->len, stride);
        check_input(&short_limits, input->text, input->len, stride);
        check_input(&guest_limits, input->text, input->len, stride);
    }
}

/* A line without an end is an error as soon as it is over the limit, and not before. */
static void endless_lines_are_errors(void **state) {
    static const struct {
        const char *start, *error;
    } lines[] = {
        {"", "!Protocol error: too big inline request"},
        {"*", "!Protocol error: too big mbulk count string"},
        {"*1\r\n$", "!Protocol error: too big bulk count string"},
        {"*2\r\n$1\r\na\r\n", "!Protocol error: too big bulk count string"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct drive *drive = malloc(sizeof *drive);
        const char *header = strrchr(lines[i].start, '\n');
        size_t used = strlen(header != NULL ? header + 1 : lines[i].start);
        drive_init(drive, &short_limits, &account, NULL);
        drive_feed(drive, lines[i].start, strlen(lines[i].start));
        for (; used < short_limits.max_inline_bytes; used++) {
            drive_feed(drive, "1", 1);
        }
        assert_false(drive->is_over);
        assert_null(drive->out.text);
        drive_feed(drive, "1", 1);
        assert_true(drive->is_over);
        assert_string_equal(drive->out.text, lines[i].error);
        drive_deinit(drive);
        free(drive);
    }
}

/* All inputs that are not errors behind each other: every kind follows every other. */
static void a_mixed_pipeline_reads_the_same(void **state) {
    (void)state;
    struct transcript input = {0};
    for (int i = 0; i < READINGS; i++) {
        const char *expected = readings[i].expected;
        if (expected != NULL && expected[0] == '[' && strchr(expected, '!') == NULL) {
            transcript_add(&input, readings[i].input, readings[i].len);
            transcript_add(&input, long_inputs[i % 4].text, long_inputs[i % 4].len);
        }
    }
    check_input(&redis_limits, input.text, input.len, input.len / 60);
    transcript_free(&input);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

struct fixture {
    struct parser parser;
    struct request_run run;
};

static struct fixture *fixture_new(const struct parser_limits *limits) {
    struct fixture *f = malloc(sizeof *f);
    parser_init(&f->parser, limits, &account);
    return f;
}

static void fixture_free(struct fixture *f) {
    parser_deinit(&f->parser);
    free(f);
}

static void feed(struct fixture *f, const struct transcript *input) {
    assert_true(parser_feed(&f->parser, input->text, input->len));
}

static void assert_arg(const struct request_run *run, uint32_t request, uint32_t arg,
                       const char *text) {
    struct bytes actual = run->requests[request].argv[arg];
    assert_int_equal(actual.len, strlen(text));
    assert_memory_equal(actual.at, text, actual.len);
}

static void a_run_is_full_at_its_bound_of_requests(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&redis_limits);
    feed(f, &long_inputs[0]); /* 150 requests */
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_FULL);
    assert_int_equal(f->run.count, RUN_REQUESTS);
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_FULL);
    assert_int_equal(f->run.count, RUN_REQUESTS);
    assert_true(parser_has_input(&f->parser));
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    assert_int_equal(f->run.count, 150 - 2 * RUN_REQUESTS);
    assert_false(parser_has_input(&f->parser));
    fixture_free(f);
}

static void a_run_is_full_at_its_bound_of_arguments(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&redis_limits);
    feed(f, &long_inputs[2]); /* 512 arguments, then one */
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_FULL);
    assert_int_equal(f->run.count, 1);
    assert_int_equal(f->run.arg_count, RUN_ARGS);
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    assert_int_equal(f->run.count, 1);
    fixture_free(f);
}

static void a_request_of_many_arguments_stands_alone(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&redis_limits);
    feed(f, &long_inputs[3]); /* 2, 513 and 2 arguments */
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_FULL);
    assert_int_equal(f->run.requests[0].argc, 2);
    for (int again = 0; again < 3; again++) {
        assert_int_equal(parser_run(&f->parser, &f->run), PARSE_FULL);
        assert_int_equal(f->run.count, 1);
        assert_int_equal(f->run.requests[0].argc, RUN_ARGS + 1);
        assert_arg(&f->run, 0, RUN_ARGS, "s");
        parser_rewind(&f->parser, &f->run, again < 2 ? 0 : 1);
    }
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    assert_int_equal(f->run.requests[0].argc, 2);
    fixture_free(f);
}

static void arguments_point_into_the_receive_buffer(void **state) {
    (void)state;
    static const char input[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*1\r\n$4\r\nPI";
    struct fixture *f = fixture_new(&redis_limits);
    assert_true(parser_feed(&f->parser, input, sizeof input - 1));
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    assert_int_equal(f->run.count, 2);
    assert_ptr_equal(f->run.requests[0].argv[0].at, input + 8);
    assert_ptr_equal(f->run.requests[1].argv[0].at, strstr(input, "PING"));
    assert_int_equal(parser_held_bytes(&f->parser), 0);
    assert_true(parser_keep(&f->parser));
    assert_true(parser_held_bytes(&f->parser) > 0);
    fixture_free(f);
}

static void a_completed_tail_shares_a_run_with_what_follows(void **state) {
    (void)state;
    static const char rest[] = "NG\r\n*1\r\n$4\r\nQUIT\r\n";
    struct fixture *f = fixture_new(&redis_limits);
    assert_true(parser_feed(&f->parser, "*1\r\n$4\r\nPI", 10));
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    assert_true(parser_keep(&f->parser));
    assert_true(parser_feed(&f->parser, rest, sizeof rest - 1));
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    assert_int_equal(f->run.count, 2);
    assert_arg(&f->run, 0, 0, "PING");
    assert_ptr_equal(f->run.requests[1].argv[0].at, strstr(rest, "QUIT"));
    assert_true(parser_keep(&f->parser));
    assert_int_equal(parser_held_bytes(&f->parser), 0);
    assert_int_equal(atomic_load_relaxed(&account.used_bytes), 0);
    fixture_free(f);
}

static void an_unauthenticated_run_is_one_request(void **state) {
    (void)state;
    static const char input[] = "*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n*11\r\n$1\r\na\r\n";
    struct fixture *f = fixture_new(&guest_limits);
    assert_true(parser_feed(&f->parser, input, sizeof input - 1));
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_FULL);
    assert_int_equal(f->run.count, 1);
    f->parser.limits = &redis_limits;
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    fixture_free(f);
}

static void unauthenticated_requests_are_bounded(void **state) {
    (void)state;
    static const struct reading cases[] = {
        READING("*11\r\n", "!Protocol error: unauthenticated multibulk length"),
        READING("*1\r\n$16385\r\n", "!Protocol error: unauthenticated bulk length"),
        READING("*10\r\n$16384\r\n", ""),
    };
    for (int i = 0; i < 3; i++) {
        struct transcript expected = {0};
        transcript_add(&expected, cases[i].expected, strlen(cases[i].expected));
        check_cut(&guest_limits, cases[i].input, cases[i].len, 1, 1, &expected, NULL);
        check_cut(&guest_limits, cases[i].input, cases[i].len, 99, 99, &expected, NULL);
        transcript_free(&expected);
    }
}

/* ---- Rewinding ------------------------------------------------------------------------------- */

static void rewound_requests_and_their_error_come_again(void **state) {
    (void)state;
    static const char input[] = "PING\r\nECHO a\r\n*x\r\n";
    struct fixture *f = fixture_new(&redis_limits);
    assert_true(parser_feed(&f->parser, input, sizeof input - 1));
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_ERROR);
    assert_int_equal(f->run.count, 2);
    parser_rewind(&f->parser, &f->run, 1);
    assert_true(parser_keep(&f->parser));
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_ERROR);
    assert_int_equal(f->run.count, 1);
    assert_arg(&f->run, 0, 1, "a");
    assert_string_equal(f->parser.error, "Protocol error: invalid multibulk length");
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_ERROR);
    assert_int_equal(f->run.count, 0);
    assert_true(parser_keep(&f->parser));
    assert_int_equal(parser_held_bytes(&f->parser), 0);
    fixture_free(f);
}

static void a_backlog_grows_while_nothing_is_executed(void **state) {
    (void)state;
    struct fixture *f = fixture_new(&redis_limits);
    for (int i = 0; i < 200; i++) {
        char text[64];
        size_t len = (size_t)snprintf(text, sizeof text, "ECHO %d\r\n*2\r\n$4\r\nECHO\r\n$1", i);
        assert_true(parser_feed(&f->parser, text, len));
        if (i < 50) {
            (void)parser_run(&f->parser, &f->run);
            parser_rewind(&f->parser, &f->run, 0);
        }
        assert_true(parser_keep(&f->parser));
        assert_true(parser_feed(&f->parser, "\r\nb\r\n", 5));
        assert_true(parser_keep(&f->parser));
    }
    uint32_t seen = 0;
    enum parse_result result;
    do {
        result = parser_run(&f->parser, &f->run);
        seen += f->run.count;
    } while (result == PARSE_FULL);
    assert_int_equal(result, PARSE_MORE);
    assert_int_equal(seen, 400);
    fixture_free(f);
}

/* ---- Large values ---------------------------------------------------------------------------- */

static void a_large_bulk_is_whole_when_pieces_come_before_a_run(void **state) {
    (void)state;
    struct transcript input = {0};
    add_multibulk(&input, 2, 300000);
    struct fixture *f = fixture_new(&redis_limits);
    for (size_t at = 0, piece = 0; at < input.len; at += 16384, piece++) {
        size_t step = input.len - at < 16384 ? input.len - at : 16384;
        assert_true(parser_feed(&f->parser, input.text + at, step));
        if (piece % 3 == 0 || at + step == input.len) {
            assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
        }
    }
    assert_int_equal(f->run.count, 1);
    struct bytes value = f->run.requests[0].argv[1];
    assert_int_equal(value.len, 300000);
    assert_memory_equal(value.at, input.text + input.len - 2 - value.len, value.len);
    transcript_free(&input);
    fixture_free(f);
}

static void a_large_bulk_in_pieces_becomes_a_blob_that_stays(void **state) {
    (void)state;
    struct transcript input = {0};
    add_multibulk(&input, 2, 100000);
    struct fixture *f = fixture_new(&redis_limits);
    for (size_t at = 0; at < input.len; at += 16384) {
        size_t step = input.len - at < 16384 ? input.len - at : 16384;
        assert_true(parser_feed(&f->parser, input.text + at, step));
        assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
        if (at + step < input.len) {
            assert_true(parser_keep(&f->parser));
        }
    }
    assert_int_equal(f->run.count, 1);
    struct bytes value = f->run.requests[0].argv[1];
    assert_int_equal(value.flags, BYTES_BLOB);
    assert_int_equal(blob_of(value)->len, 100000);
    parser_rewind(&f->parser, &f->run, 0);
    assert_true(parser_keep(&f->parser));
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    assert_ptr_equal(f->run.requests[0].argv[1].at, value.at);
    struct blob *kept = blob_get(blob_of(value));
    fixture_free(f);
    assert_int_equal(kept->data[99999], 'b');
    blob_put(kept);
    transcript_free(&input);
}

/* P3: what is in the blob is not held twice, however it came. */
static void a_burst_that_went_into_a_blob_leaves_no_room_behind(void **state) {
    (void)state;
    enum { BULK = 1 << 20, BURST = BULK / 2, PIECE = 16384 };
    struct transcript input = {0};
    add_multibulk(&input, 1, BULK);
    struct fixture *f = fixture_new(&redis_limits);
    for (size_t at = 0; at < BURST; at += PIECE) {
        assert_true(parser_feed(&f->parser, input.text + at, PIECE));
    }
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    assert_true(atomic_load_relaxed(&account.used_bytes) < BURST + 2 * PARSER_BIG_BULK);
    assert_true(parser_feed(&f->parser, input.text + BURST, input.len - BURST));
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    assert_int_equal(f->run.count, 1);
    assert_int_equal(f->run.requests[0].argv[0].len, BULK);
    fixture_free(f);
    transcript_free(&input);
}

static void a_large_bulk_in_one_piece_is_borrowed(void **state) {
    (void)state;
    struct transcript input = {0};
    add_multibulk(&input, 1, 100000);
    struct fixture *f = fixture_new(&redis_limits);
    feed(f, &input);
    assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
    assert_int_equal(f->run.requests[0].argv[0].flags, 0);
    assert_ptr_equal(f->run.requests[0].argv[0].at, strchr(input.text, 'a'));
    assert_int_equal(atomic_load_relaxed(&account.used_bytes), 0);
    fixture_free(f);
    transcript_free(&input);
}

/* P3 */
static void announced_lengths_allocate_nothing_large(void **state) {
    (void)state;
    static const char *const inputs[] = {"*2147483647\r\n", "*1\r\n$536870912\r\n",
                                         "*1\r\n$536870912\r\nx", "*2147483647\r\n$536870912\r\nx"};
    for (size_t i = 0; i < 4; i++) {
        struct fixture *f = fixture_new(&redis_limits);
        assert_true(parser_feed(&f->parser, inputs[i], strlen(inputs[i])));
        assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
        assert_true(parser_keep(&f->parser));
        assert_int_equal(parser_run(&f->parser, &f->run), PARSE_MORE);
        assert_true(atomic_load_relaxed(&account.used_bytes) < 100000);
        assert_true(parser_held_bytes(&f->parser) < 100000);
        fixture_free(f);
    }
}

/* ---- P1: time is linear ---------------------------------------------------------------------- */

enum { LINEAR_SECONDS = 20 }; /* what takes under one; with rescans, minutes */

static void check_linear(const struct transcript *input, size_t piece, uint32_t argc) {
    struct fixture *f = fixture_new(&redis_limits);
    clock_t start = clock();
    for (size_t at = 0; at < input->len; at += piece) {
        size_t step = input->len - at < piece ? input->len - at : piece;
        assert_true(parser_feed(&f->parser, input->text + at, step));
        enum parse_result result = parser_run(&f->parser, &f->run);
        if (at + step < input->len) {
            assert_int_equal(result, PARSE_MORE);
            assert_int_equal(f->run.count, 0);
            assert_true(parser_keep(&f->parser));
        }
    }
    assert_int_equal(f->run.count, argc > 0);
    assert_int_equal(argc > 0 ? f->run.requests[0].argc : 0, argc);
    assert_true(clock() - start < LINEAR_SECONDS * CLOCKS_PER_SEC);
    fixture_free(f);
}

static void a_million_arguments_take_linear_time(void **state) {
    (void)state;
    struct transcript input = {0};
    add_multibulk(&input, 1000000, 1);
    check_linear(&input, 16384, 1000000);
    transcript_free(&input);
    add_multibulk(&input, 100000, 1);
    check_linear(&input, 1, 100000);
    transcript_free(&input);
}

static void a_large_bulk_byte_by_byte_takes_linear_time(void **state) {
    (void)state;
    struct transcript input = {0};
    add_multibulk(&input, 1, 1000000);
    check_linear(&input, 1, 1);
    transcript_free(&input);
}

static void long_lines_byte_by_byte_take_linear_time(void **state) {
    (void)state;
    static const char *const openings[] = {"x", "*", "*1\r\n$", "\"x"};
    for (size_t i = 0; i < 4; i++) {
        struct transcript input = {0};
        transcript_add(&input, openings[i], strlen(openings[i]));
        add_repeated(&input, "1", 65530);
        check_linear(&input, 1, 0);
        transcript_free(&input);
    }
}

/* ---- Memory refused -------------------------------------------------------------------------- */

/* True when the whole input was read before the allocation that fails. */
static bool read_with_failure(const struct transcript *input, size_t piece) {
    struct fixture *f = fixture_new(&redis_limits);
    bool is_whole = true;
    for (size_t at = 0; at < input->len && is_whole; at += piece) {
        size_t step = input->len - at < piece ? input->len - at : piece;
        is_whole = parser_feed(&f->parser, input->text + at, step);
        enum parse_result result = is_whole ? parser_run(&f->parser, &f->run) : PARSE_NO_MEMORY;
        while (result == PARSE_FULL) {
            result = parser_run(&f->parser, &f->run);
        }
        assert_int_not_equal(result, PARSE_ERROR);
        is_whole = is_whole && result == PARSE_MORE && parser_keep(&f->parser);
    }
    fixture_free(f);
    assert_int_equal(atomic_load_relaxed(&account.used_bytes), 0);
    return is_whole;
}

static void refused_memory_leaks_nothing(void **state) {
    (void)state;
    struct transcript input = {0};
    add_multibulk(&input, 600, 3);
    add_multibulk(&input, 2, 200000);
    add_repeated(&input, "ECHO \"a b\"\r\n", 3);
    long allowed = 1;
    for (bool is_whole = false; !is_whole; allowed++) {
        mem_fail_after(allowed);
        is_whole = read_with_failure(&input, 5000);
        mem_fail_after(0);
        assert_true(allowed < 10000);
    }
    assert_true(allowed > 10); /* many different allocations have failed */
    transcript_free(&input);
}

#define PARSER_TEST(test) cmocka_unit_test_teardown(test, check_account)

int main(void) {
    const struct CMUnitTest tests[] = {
        PARSER_TEST(reference_reads_as_redis),
        PARSER_TEST(every_cut_of_short_inputs_reads_the_same),
        PARSER_TEST(cuts_of_long_inputs_read_the_same),
        PARSER_TEST(endless_lines_are_errors),
        PARSER_TEST(a_mixed_pipeline_reads_the_same),
        PARSER_TEST(a_run_is_full_at_its_bound_of_requests),
        PARSER_TEST(a_run_is_full_at_its_bound_of_arguments),
        PARSER_TEST(a_request_of_many_arguments_stands_alone),
        PARSER_TEST(arguments_point_into_the_receive_buffer),
        PARSER_TEST(a_completed_tail_shares_a_run_with_what_follows),
        PARSER_TEST(an_unauthenticated_run_is_one_request),
        PARSER_TEST(unauthenticated_requests_are_bounded),
        PARSER_TEST(rewound_requests_and_their_error_come_again),
        PARSER_TEST(a_backlog_grows_while_nothing_is_executed),
        PARSER_TEST(a_large_bulk_is_whole_when_pieces_come_before_a_run),
        PARSER_TEST(a_large_bulk_in_pieces_becomes_a_blob_that_stays),
        PARSER_TEST(a_burst_that_went_into_a_blob_leaves_no_room_behind),
        PARSER_TEST(a_large_bulk_in_one_piece_is_borrowed),
        PARSER_TEST(announced_lengths_allocate_nothing_large),
        PARSER_TEST(a_million_arguments_take_linear_time),
        PARSER_TEST(a_large_bulk_byte_by_byte_takes_linear_time),
        PARSER_TEST(long_lines_byte_by_byte_take_linear_time),
        PARSER_TEST(refused_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, make_long_inputs, free_long_inputs);
}
