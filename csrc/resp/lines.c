/* Lines of the request protocol: counts, lengths and inline requests, with Redis's limits and
 * texts.
 *
 * Redis looks for a line's end with strchr in a terminated buffer: a NUL byte in front of it hides
 * it, the request waits for ever and is refused when the line is too long. It looks at nothing
 * before the line end is there and one byte behind it (whatever that byte is). Both are kept.
 */
#include <stdio.h>

#include "resp/parser_internal.h"

enum { UNAUTHENTICATED_ARGS = 10, UNAUTHENTICATED_BULK_BYTES = 16384 };

static enum step fail(struct parser *parser, const char *text) {
    parser->error = text;
    return STEP_ERROR;
}

/* Finds `mark` at an offset of at most max_inline_bytes, with no NUL in front. Bytes that were
 * scanned before are not looked at again: P1 holds for a line that comes byte by byte. */
static enum step find_line_end(struct parser *parser, struct cursor *cursor, char mark,
                               const char *too_big, const char **found) {
    size_t limit = parser->limits->max_inline_bytes;
    size_t room = (size_t)(cursor->end - cursor->at);
    size_t searched = room <= limit ? room : limit + 1;
    for (size_t i = cursor->scanned; i < searched; i++) {
        if (cursor->at[i] == mark) {
            *found = cursor->at + i;
            cursor->scanned = (uint32_t)i; /* its second byte may be missing: it is found again */
            return STEP_OK;
        }
        if (cursor->at[i] == '\0') {
            cursor->scanned = (uint32_t)i;
            return room > limit ? fail(parser, too_big) : STEP_MORE;
        }
    }
    cursor->scanned = (uint32_t)searched;
    return room > limit ? fail(parser, too_big) : STEP_MORE;
}

/* The line's text behind its first byte; the cursor moves behind the line. */
static enum step read_header(struct parser *parser, struct cursor *cursor, const char *too_big,
                             struct bytes *text) {
    const char *found;
    enum step step = find_line_end(parser, cursor, '\r', too_big, &found);
    if (step != STEP_OK) {
        return step;
    }
    if (cursor->end - found < 2) {
        return STEP_MORE;
    }
    /* An empty line, where a `$` is missing, has no byte to skip. */
    const char *start = found > cursor->at ? cursor->at + 1 : found;
    *text = bytes_of(start, (size_t)(found - start));
    cursor->at = found + 2;
    cursor->scanned = 0;
    return STEP_OK;
}

enum step header_read_count(struct parser *parser, struct cursor *cursor, int64_t *count) {
    struct bytes text;
    enum step step =
        read_header(parser, cursor, "Protocol error: too big mbulk count string", &text);
    if (step != STEP_OK) {
        return step;
    }
    const struct parser_limits *limits = parser->limits;
    if (!bytes_to_int64(text, count) || *count > (int64_t)limits->max_args) {
        return fail(parser, "Protocol error: invalid multibulk length");
    }
    if (limits->unauthenticated && *count > UNAUTHENTICATED_ARGS) {
        return fail(parser, "Protocol error: unauthenticated multibulk length");
    }
    return STEP_OK;
}

static enum step fail_expected(struct parser *parser, char got) {
    (void)snprintf(parser->error_text, sizeof parser->error_text,
                   "Protocol error: expected '$', got '%c'", got);
    return fail(parser, parser->error_text);
}

enum step header_read_length(struct parser *parser, struct cursor *cursor, int64_t *length) {
    struct bytes text;
    const char *line = cursor->at;
    enum step step =
        read_header(parser, cursor, "Protocol error: too big bulk count string", &text);
    if (step != STEP_OK) {
        return step;
    }
    if (line[0] != '$') {
        return fail_expected(parser, line[0]);
    }
    const struct parser_limits *limits = parser->limits;
    if (!bytes_to_int64(text, length) || *length < 0 || *length > (int64_t)limits->max_bulk_bytes) {
        return fail(parser, "Protocol error: invalid bulk length");
    }
    if (limits->unauthenticated && *length > UNAUTHENTICATED_BULK_BYTES) {
        return fail(parser, "Protocol error: unauthenticated bulk length");
    }
    return STEP_OK;
}

enum step line_read(struct parser *parser, struct cursor *cursor, struct bytes *line) {
    const char *found;
    enum step step =
        find_line_end(parser, cursor, '\n', "Protocol error: too big inline request", &found);
    if (step != STEP_OK) {
        return step;
    }
    size_t len = (size_t)(found - cursor->at);
    if (len > 0 && found[-1] == '\r') {
        len--;
    }
    *line = bytes_of(cursor->at, len);
    cursor->at = found + 1;
    cursor->scanned = 0;
    return STEP_OK;
}
