/* The request parser against libFuzzer: whatever the bytes and however they are cut, the requests and the
 * error are those of the plain reference (tests/c/resp/transcript.h), nothing is looked at beyond its end or
 * its time, and nothing is left behind; also when memory runs out at any point.
 *
 * An input is two bytes of settings, then what a client sends. There 0x01 with a following byte n stands for
 * n times RUN_BYTES bytes, so that small inputs reach what only large bulk strings reach.
 */
#include "resp/drive.h"

enum {
    SETTINGS_BYTES = 2,
    RUN_MARK = 1,
    RUN_BYTES = 512,
    EXPANDED_MAX = 1 << 18,
    SINGLE_BYTES_MAX = 2048
};

enum { /* bits of the first byte */
       FUZZ_UNAUTHENTICATED = 1,
       FUZZ_SMALL_LIMITS = 2,
       FUZZ_REWINDS = 4,
       FUZZ_SINGLE_BYTES = 8,
       FUZZ_NO_MEMORY = 16,
};

struct input {
    uint8_t flags, seed;
    char *at;
    size_t len;
};

static void input_expand(struct input *input, const uint8_t *data, size_t size) {
    size_t capacity = 2 * size + 1;
    for (size_t i = 0; i + 1 < size; i++)
        capacity += data[i] == RUN_MARK ? data[i + 1] * (size_t)RUN_BYTES : 0;
    input->len = 0;
    input->at = malloc(capacity);
    KRT_ASSERT(input->at != NULL);
    for (size_t i = 0; i < size; i++) {
        bool is_run = data[i] == RUN_MARK && i + 1 < size;
        size_t len = is_run ? data[i + 1] * (size_t)RUN_BYTES : 1;
        if (input->len + len > EXPANDED_MAX) break;
        memset(input->at + input->len, is_run ? 'x' : data[i], len);
        input->len += len;
        i += is_run;
    }
}

static struct parser_limits limits_of(const struct input *input) {
    bool is_small = input->flags & FUZZ_SMALL_LIMITS;
    return (struct parser_limits){
        .max_bulk_bytes = is_small ? 40000 : 512u << 20,
        .max_inline_bytes = is_small ? 64 : 65536,
        .max_args = is_small ? 99 : INT32_MAX,
        .unauthenticated = input->flags & FUZZ_UNAUTHENTICATED,
    };
}

static size_t piece_of(const struct input *input, struct random_state *random, size_t left) {
    bool is_single = input->flags & FUZZ_SINGLE_BYTES && input->len <= SINGLE_BYTES_MAX;
    size_t bound = is_single ? 1 : 1u << random_below(random, 17);
    size_t len = 1 + random_below(random, bound);
    return len < left ? len : left;
}

/* ---- Against the reference ---------------------------------------------------------------------- */

static void compare(const struct transcript *found, const struct transcript *expected) {
    bool same = found->len == expected->len &&
                (found->len == 0 || memcmp(found->text, expected->text, found->len) == 0);
    if (same) return;
    fprintf(stderr, "parser:    %.*s\nreference: %.*s\n", (int)found->len, found->text,
            (int)expected->len, expected->text);
    abort();
}

static void drive_in_pieces(const struct input *input, const struct transcript *expected,
                            bool whole) {
    struct parser_limits limits = limits_of(input);
    struct mem_account account = {0};
    struct random_state random, rewinds;
    struct drive *drive = malloc(sizeof *drive);
    KRT_ASSERT(drive != NULL);
    random_seed(&random, input->seed);
    random_seed(&rewinds, input->seed + 1u);
    drive_init(drive, &limits, &account, !whole && input->flags & FUZZ_REWINDS ? &rewinds : NULL);
    for (size_t at = 0; at < input->len;) {
        size_t len = whole ? input->len : piece_of(input, &random, input->len - at);
        drive_feed(drive, input->at + at, len);
        at += len;
    }
    drive_finish(drive);
    compare(&drive->out, expected);
    drive_deinit(drive);
    free(drive);
    KRT_ASSERT(account.used_bytes == 0);
}

static void check_against_reference(const struct input *input) {
    struct parser_limits limits = limits_of(input);
    struct transcript expected = {0};
    transcript_reference(&expected, &limits, input->at, input->len);
    drive_in_pieces(input, &expected, true);
    drive_in_pieces(input, &expected, false);
    transcript_free(&expected);
}

/* ---- Without memory ----------------------------------------------------------------------------- */

/* False: no more memory, or a protocol error. */
static bool feed_and_run(struct parser *parser, struct request_run *run, const char *at,
                         size_t len) {
    enum parse_result result;
    if (!parser_feed(parser, at, len)) return false;
    do result = parser_run(parser, run);
    while (result == PARSE_FULL);
    return result == PARSE_MORE && parser_keep(parser);
}

static void check_without_memory(const struct input *input) {
    static struct request_run run;
    struct parser_limits limits = limits_of(input);
    struct mem_account account = {0};
    struct random_state random;
    struct parser parser;
    size_t len;
    random_seed(&random, input->seed);
    parser_init(&parser, &limits, &account);
    mem_fail_after(1 + input->seed % 16);
    for (size_t at = 0; at < input->len; at += len) {
        len = piece_of(input, &random, input->len - at);
        if (!feed_and_run(&parser, &run, input->at + at, len)) break;
    }
    mem_fail_after(0);
    parser_deinit(&parser);
    KRT_ASSERT(account.used_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input;
    if (size < SETTINGS_BYTES) return 0;
    input = (struct input){.flags = data[0], .seed = data[1]};
    input_expand(&input, data + SETTINGS_BYTES, size - SETTINGS_BYTES);
    if (input.flags & FUZZ_NO_MEMORY) check_without_memory(&input);
    else check_against_reference(&input);
    free(input.at);
    return 0;
}
