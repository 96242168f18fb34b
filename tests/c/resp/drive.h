/* Feeds a parser in pieces and writes down what comes out, as the loop of a server would use it: run,
 * execute some, perhaps take the rest back, keep. Shared by the unit tests and the fuzzer.
 *
 * Each piece is a heap block of its exact size that is gone after parser_keep, so that a sanitizer sees
 * every look beyond it and behind its time.
 */
#pragma once

#include "base/assert.h"
#include "base/hash.h"
#include "resp/transcript.h"

struct drive {
    struct parser parser;
    struct request_run run;
    struct transcript out;
    struct random_state *rewinds; /* NULL: everything is executed at once */
    bool is_over;                 /* a protocol error came */
};

static inline void drive_init(struct drive *drive, const struct parser_limits *limits,
                              struct mem_account *account, struct random_state *rewinds) {
    drive->out = (struct transcript){0};
    drive->rewinds = rewinds;
    drive->is_over = false;
    parser_init(&drive->parser, limits, account);
}

static inline void drive_deinit(struct drive *drive) {
    parser_deinit(&drive->parser);
    transcript_free(&drive->out);
}

static inline void drive_check_run(const struct request_run *run, enum parse_result result) {
    KRT_ASSERT(result != PARSE_NO_MEMORY);
    KRT_ASSERT(result != PARSE_FULL || run->count > 0);
    KRT_ASSERT(run->count <= RUN_REQUESTS);
    KRT_ASSERT(run->arg_count <= RUN_ARGS || run->count == 1);
    uint32_t args = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        KRT_ASSERT(run->requests[i].argc > 0);
        args += run->requests[i].argc;
    }
    KRT_ASSERT(args == run->arg_count);
}

/* Executes one run, or a part of it. False: nothing more comes for now. */
static inline bool drive_run(struct drive *drive) {
    struct request_run *run = &drive->run;
    enum parse_result result = parser_run(&drive->parser, run);
    drive_check_run(run, result);
    uint32_t executed =
        drive->rewinds ? (uint32_t)random_below(drive->rewinds, run->count + 1) : run->count;
    for (uint32_t i = 0; i < executed; i++) {
        transcript_add_request(&drive->out, run->requests[i].argv, run->requests[i].argc);
    }
    parser_rewind(&drive->parser, run, executed);
    if (executed < run->count) {
        KRT_ASSERT(parser_has_input(&drive->parser));
        return random_next(drive->rewinds) & 1; /* or the rest waits in the query buffer */
    }
    if (result == PARSE_ERROR) {
        transcript_add_error(&drive->out, drive->parser.error);
        drive->is_over = true;
    }
    return result == PARSE_FULL;
}

static inline void drive_feed(struct drive *drive, const char *at, size_t len) {
    if (drive->is_over) {
        return;
    }
    char *piece = malloc(len + !len);
    KRT_ASSERT(piece != NULL);
    memcpy(piece, at, len);
    KRT_ASSERT(parser_feed(&drive->parser, piece, len));
    /* Several pieces may come before anybody asks for a run. */
    bool is_asked = drive->rewinds == NULL || random_below(drive->rewinds, 4) > 0;
    while (is_asked && drive_run(drive)) {
    }
    KRT_ASSERT(parser_keep(&drive->parser));
    free(piece);
}

/* Executes what waits. */
static inline void drive_finish(struct drive *drive) {
    drive->rewinds = NULL;
    drive_feed(drive, "", 0);
    KRT_ASSERT(drive->is_over || !parser_has_input(&drive->parser) ||
               parser_held_bytes(&drive->parser) > 0);
}
