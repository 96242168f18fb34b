/* The request parser: bytes in, runs of requests out. Pure: no I/O, no clock.
 *
 * Role: each connection owns one `struct parser`. The loop feeds it the bytes of one receive, asks
 * for runs of complete requests, executes them, and at the end lets the parser keep what is left.
 * Complete requests inside the fed bytes are parsed in place: their arguments point into the
 * receive buffer. An incomplete tail moves into a private query buffer, once per feed; a bulk
 * string of at least PARSER_BIG_BULK bytes that is incomplete is gathered straight into a blob,
 * which the handler may keep (its argument carries BYTES_BLOB).
 *
 * Threads: owner only (the shard thread). Ownership: arguments of a run are valid until the next
 * parser_run, parser_feed or parser_keep on the same parser.
 *
 * Invariants
 *   P1  No byte is looked at more than a bounded number of times, however the input is split.
 *   P2  A run never mixes requests behind a protocol error with those before it.
 *   P3  Memory held for a request is proportional to the bytes that really arrived, not to
 *       announced lengths: a header `*1000000` or `$500000000` alone allocates nothing large.
 *   P4  The unparsed input is the query buffer followed by the window; `position` indexes that
 *       concatenation, and a partial request is the one that begins at `position` (or the one just
 *       delivered, until the next call).
 *   P5  The requests do not depend on how the input is split.
 *
 * Errors: PARSE_ERROR with Redis's text ("Protocol error: invalid multibulk length" ...), after
 * which the parser yields nothing more. PARSE_NO_MEMORY leaves the parser to be freed only.
 * Bounds: struct parser_limits; the query buffer holds at most PARSER_QUERY_MAX bytes (more is
 * PARSE_NO_MEMORY) and is freed when it is empty. A single feed is at most PARSER_FEED_MAX bytes.
 */
#pragma once

#include "base/blob.h"
#include "base/bytes.h"

enum {
    RUN_REQUESTS = 64,
    RUN_ARGS = 512,
    PARSER_BIG_BULK = 32768,
    PARSER_QUERY_MAX = 1 << 30,
    PARSER_FEED_MAX = 1 << 30,
};

enum parse_result {
    PARSE_MORE,      /* everything complete is in the run; the rest waits for more bytes */
    PARSE_FULL,      /* the run is not empty and ends early; ask again after executing it */
    PARSE_ERROR,     /* the run's requests are good; behind them comes parser->error */
    PARSE_NO_MEMORY, /* the run is empty */
};

struct request {
    const struct bytes
        *argv; /* argc >= 1: empty requests (`*0`, blank lines) are skipped as in Redis */
    uint32_t argc;
    uint32_t position; /* where it began, for parser_rewind */
};

struct request_run {
    uint32_t count, arg_count; /* arg_count > RUN_ARGS: one large request, nothing in args */
    struct request requests[RUN_REQUESTS];
    struct bytes
        args[RUN_ARGS]; /* a request with more arguments stands alone, its argv in the parser */
};

struct parser_limits {
    uint32_t max_bulk_bytes;   /* proto-max-bulk-len, 512 MiB; at least 99, read unchecked */
    uint32_t max_inline_bytes; /* of an inline request and of a header line: 64 KiB */
    uint32_t max_args;         /* INT32_MAX, as in Redis: P3 makes it harmless; at least 99 */
    bool unauthenticated; /* at most 10 arguments of 16384 bytes, with Redis's texts; a run is one
                                * request, because it may lift the limits of the next (AUTH) */
};

struct parser {
    const struct parser_limits *limits; /* may be exchanged between runs */
    struct mem_account *account;
    const char
        *error; /* text after PARSE_ERROR, without the leading "-ERR "; lives with the parser */
    const char *window;
    size_t window_len, position;
    char *query;
    size_t query_len, query_capacity;
    struct parser_partial *partial; /* state of an incomplete or many-argument request, or NULL */
    char error_text[40];            /* where an error that quotes a byte is spelled */
};

void parser_init(struct parser *parser, const struct parser_limits *limits,
                 struct mem_account *account);
void parser_deinit(struct parser *parser);

/* Hands over the bytes of one receive; they must stay until parser_keep. What an earlier feed left
 * unparsed is kept first. False: no memory. */
bool parser_feed(struct parser *parser, const char *at, size_t len);

/* Fills `run` with complete requests from where the last run ended. */
enum parse_result parser_run(struct parser *parser, struct request_run *run);

/* The requests from run->requests[index] on come again at the next parser_run (the loop could not
 * execute them yet), and so does an error behind them. Only for the latest run, before the next
 * call on this parser. Holds also for a big request, whose blobs stay. */
void parser_rewind(struct parser *parser, const struct request_run *run, uint32_t index);

/* The fed bytes go away: what is unparsed moves into the query buffer. False: no memory. */
bool parser_keep(struct parser *parser);

/* Are there bytes that parser_run has not consumed (complete requests or a tail)? Not after an
 * error. */
bool parser_has_input(const struct parser *parser);
/* Bytes held privately, for limits and CLIENT LIST (qbuf). */
size_t parser_held_bytes(const struct parser *parser);
/* Of that, what is input and not spare room. */
size_t parser_kept_bytes(const struct parser *parser);
