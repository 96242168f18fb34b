/* What the parts of the parser share: header lines (lines.c) and requests that do not
 * lie complete in one place (gather.c). Included by csrc/resp/ alone.
 *
 * Every function that can meet a protocol error sets parser->error and returns STEP_ERROR.
 */
#pragma once

#include "base/assert.h"
#include "resp/parser.h"
#include "resp/words.h"

enum step {
    STEP_OK,
    STEP_MORE, /* undecided without more bytes */
    STEP_ERROR,
    STEP_NO_MEMORY,
};

/* ---- lines.c: what ends in a line break ------------------------------------------------------ */

/* A stretch of input while it is read. `scanned` bytes from `at` are known to hold no line end. */
struct cursor {
    const char *at, *end;
    uint32_t scanned;
};

/* `*<count>`: any count that is not positive stands for an empty request. */
enum step header_read_count(struct parser *parser, struct cursor *cursor, int64_t *count);
/* `$<length>`, within the limits. */
enum step header_read_length(struct parser *parser, struct cursor *cursor, int64_t *length);
/* The text of an inline request without its line end. */
enum step line_read(struct parser *parser, struct cursor *cursor, struct bytes *line);

/* ---- gather.c: partial requests -------------------------------------------------------------- */

/* Goes on with the request at `position`, drawing on query buffer and window. STEP_OK: it is
 * complete, or there is nothing in it (partial_argc is 0). */
enum step partial_advance(struct parser *parser);
uint32_t partial_argc(const struct parser *parser);
/* Where the request at `position` ends, once it is complete. */
size_t partial_end(const struct parser *parser);
/* Its arguments: in `room` if at most RUN_ARGS, else in memory of the partial. NULL: no memory. */
const struct bytes *partial_argv(struct parser *parser, struct bytes room[RUN_ARGS]);
size_t partial_start(const struct parser *parser);
void partial_shift(struct parser *parser, size_t removed_before);
size_t partial_held_bytes(const struct parser *parser);
void partial_drop(struct parser *parser);

/* ---- parser.c -------------------------------------------------------------------------------- */

/* Moves `len` bytes from the head of the window to the end of the query buffer. False: no memory.
 * */
bool query_pull(struct parser *parser, size_t len);
/* Gives back room that a burst took and that is not needed any more. */
void query_trim(struct parser *parser);
