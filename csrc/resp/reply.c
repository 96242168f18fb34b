/* Reply types in RESP2 and RESP3. Each hot append is one room check and a copy; a value that does
 * not fit goes the long way through reply_raw, which splits it over chunks. */
#include "resp/reply.h"

#include <stdio.h>

#include "resp/double.h"
#include "resp/reply_internal.h"

enum { ERROR_TEXT_BYTES = 256 }; /* formatted without allocation */

/* ---- Headers --------------------------------------------------------------------------------- */

static inline char *put_line_end(char *at) {
    memcpy(at, "\r\n", 2);
    return at + 2;
}

/* `$64\r\n`, `*3\r\n`, ...: one and two digits are most of all. */
static inline char *put_header(char *at, char marker, uint64_t number) {
    *at++ = marker;
    if (number < 10) {
        *at++ = (char)('0' + number);
    } else if (number < 100) {
        *at++ = (char)('0' + number / 10);
        *at++ = (char)('0' + number % 10);
    } else {
        at += bytes_from_uint64(at, number);
    }
    return put_line_end(at);
}

static inline void write_header(struct reply *reply, char marker, uint64_t number) {
    char *at = reply_room(reply, REPLY_HEADER_MAX);
    if (KRT_LIKELY(at != NULL)) {
        reply->at = put_header(at, marker, number);
    }
}

/* A short literal, in one piece. */
#define WRITE_LITERAL(reply, text) write_short((reply), (text), sizeof(text) - 1)

static inline void write_short(struct reply *reply, const char *text, size_t len) {
    char *at = reply_room(reply, len);
    if (KRT_LIKELY(at != NULL)) {
        memcpy(at, text, len);
        reply->at = at + len;
    }
}

/* ---- Scalars --------------------------------------------------------------------------------- */

void reply_ok(struct reply *reply) {
    WRITE_LITERAL(reply, "+OK\r\n");
}

static void write_line(struct reply *reply, char marker, const char *at, size_t len) {
    reply_raw(reply, &marker, 1);
    reply_raw(reply, at, len);
    reply_raw(reply, "\r\n", 2);
}

void reply_simple(struct reply *reply, const char *text) {
    write_line(reply, '+', text, strlen(text));
}

void reply_integer(struct reply *reply, int64_t value) {
    char *at = reply_room(reply, REPLY_HEADER_MAX);
    if (KRT_UNLIKELY(at == NULL)) {
        return;
    }
    if (KRT_LIKELY(value >= 0)) {
        reply->at = put_header(at, ':', (uint64_t)value);
    } else {
        *at = ':';
        at += 1 + bytes_from_int64(at + 1, value);
        reply->at = put_line_end(at);
    }
}

void reply_null(struct reply *reply) {
    if (reply->proto == 2) {
        WRITE_LITERAL(reply, "$-1\r\n");
    } else {
        WRITE_LITERAL(reply, "_\r\n");
    }
}

void reply_null_array(struct reply *reply) {
    if (reply->proto == 2) {
        WRITE_LITERAL(reply, "*-1\r\n");
    } else {
        WRITE_LITERAL(reply, "_\r\n");
    }
}

void reply_bool(struct reply *reply, bool value) {
    if (reply->proto == 2) {
        reply_integer(reply, value);
    } else {
        write_short(reply, value ? "#t\r\n" : "#f\r\n", 4);
    }
}

void reply_double(struct reply *reply, double value) {
    char text[DOUBLE_TEXT_MAX];
    size_t len = double_format(text, value);
    if (reply->proto == 2) {
        reply_bulk(reply, bytes_of(text, len));
    } else {
        write_line(reply, ',', text, len);
    }
}

void reply_big_number(struct reply *reply, struct bytes digits) {
    if (reply->proto == 2) {
        reply_bulk(reply, digits);
    } else {
        write_line(reply, '(', digits.at, digits.len);
    }
}

/* ---- Strings --------------------------------------------------------------------------------- */

/* The bytes of a string and its line end. */
static void write_string(struct reply *reply, struct bytes value) {
    if ((value.flags & BYTES_BLOB) && value.len >= REPLY_REFERENCE_MIN) {
        KRT_DCHECK(blob_of(value)->len == value.len);
        reply_reference(reply, blob_of(value), 0, value.len);
    } else {
        reply_raw(reply, value.at, value.len);
    }
    reply_raw(reply, "\r\n", 2);
}

static __attribute__((noinline)) void write_long_bulk(struct reply *reply, struct bytes value) {
    write_header(reply, '$', value.len);
    write_string(reply, value);
}

void reply_bulk(struct reply *reply, struct bytes value) {
    if (KRT_UNLIKELY(value.len >= REPLY_REFERENCE_MIN ||
                     !reply_fits(reply, value.len + REPLY_HEADER_MAX))) {
        write_long_bulk(reply, value);
        return;
    }
    char *at = put_header(reply->at, '$', value.len);
    bytes_copy(at, value.at, value.len);
    reply->at = put_line_end(at + value.len);
}

void reply_bulk_text(struct reply *reply, const char *text) {
    reply_bulk(reply, bytes_of(text, strlen(text)));
}

void reply_verbatim(struct reply *reply, const char format[3], struct bytes text) {
    if (reply->proto == 2) {
        reply_bulk(reply, text);
        return;
    }
    write_header(reply, '=', (uint64_t)text.len + 4);
    reply_raw(reply, format, 3);
    reply_raw(reply, ":", 1);
    write_string(reply, text);
}

/* ---- Aggregates ------------------------------------------------------------------------------ */

static void write_aggregate(struct reply *reply, char resp3_marker, uint64_t count) {
    write_header(reply, reply->proto == 2 ? '*' : resp3_marker, count);
}

void reply_array(struct reply *reply, uint64_t count) {
    write_header(reply, '*', count);
}

void reply_map(struct reply *reply, uint64_t pairs) {
    write_aggregate(reply, '%', reply->proto == 2 ? pairs * 2 : pairs);
}

void reply_set(struct reply *reply, uint64_t count) {
    write_aggregate(reply, '~', count);
}

void reply_push(struct reply *reply, uint64_t count) {
    write_aggregate(reply, '>', count);
}

/* The protocols differ in the marker alone. */
void reply_encoded_push(struct reply *reply, struct bytes text, struct blob *body, uint8_t proto) {
    KRT_DCHECK(text.len > 0 && text.at[0] == '*');
    if (KRT_LIKELY(reply_fits(reply, text.len))) {
        bytes_copy(reply->at, text.at, text.len);
        if (proto != 2) *reply->at = '>';
        reply->at += text.len;
    } else {
        reply_raw(reply, proto == 2 ? "*" : ">", 1);
        reply_raw(reply, text.at + 1, text.len - 1);
    }
    if (KRT_LIKELY(!body)) return;
    reply_reference(reply, body, 0, body->len);
    reply_raw(reply, "\r\n", 2);
}

void reply_attribute(struct reply *reply, uint64_t pairs) {
    KRT_ASSERT(reply->proto == 3);
    write_header(reply, '|', pairs);
}

/* A gap for the longest header, closed when the count is known: what follows in the chunk moves up.
 * */
struct reply_mark reply_defer_begin(struct reply *reply) {
    char *at = reply_room(reply, REPLY_HEADER_MAX);
    if (at == NULL) {
        return (struct reply_mark){.chunk = NULL};
    }
    reply->at = at + REPLY_HEADER_MAX;
    return (struct reply_mark){reply->tail, (uint32_t)(at - reply->tail->data)};
}

static void close_gap(struct reply *reply, struct reply_mark mark, const char *header, size_t len) {
    struct reply_chunk *chunk = mark.chunk;
    bool is_tail = chunk == reply->tail;
    char *gap = chunk->data + mark.offset, *behind = gap + REPLY_HEADER_MAX;
    char *end = is_tail ? reply->at : chunk->data + chunk->end;
    memcpy(gap, header, len);
    memmove(gap + len, behind, (size_t)(end - behind));
    uint32_t saved = (uint32_t)(REPLY_HEADER_MAX - len);
    if (is_tail) {
        reply->at -= saved;
    } else {
        chunk->end -= saved;
        reply->sealed_bytes -= saved;
    }
}

static void defer_end(struct reply *reply, struct reply_mark mark, char marker, uint64_t count) {
    if (reply->failed) {
        return;
    }
    char header[REPLY_HEADER_MAX];
    close_gap(reply, mark, header, (size_t)(put_header(header, marker, count) - header));
}

void reply_defer_array(struct reply *reply, struct reply_mark mark, uint64_t count) {
    defer_end(reply, mark, '*', count);
}

void reply_defer_set(struct reply *reply, struct reply_mark mark, uint64_t count) {
    defer_end(reply, mark, reply->proto == 2 ? '*' : '~', count);
}

void reply_defer_map(struct reply *reply, struct reply_mark mark, uint64_t pairs) {
    bool is_array = reply->proto == 2;
    defer_end(reply, mark, is_array ? '*' : '%', is_array ? pairs * 2 : pairs);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static bool is_line_break(char c) {
    return c == '\r' || c == '\n';
}

static void note_error(struct reply *reply, const char *text, size_t len) {
    size_t code = 0;
    while (code < len && code < REPLY_CODE_MAX && text[code] != ' ' && !is_line_break(text[code])) {
        code++;
    }
    memcpy(reply->error_code, text, code);
    reply->error_code[code] = 0;
    reply->errors++;
}

/* An error is one line: breaks inside become blanks, those at the end go. */
static void write_error(struct reply *reply, const char *text, size_t len) {
    while (len > 0 && is_line_break(text[len - 1])) {
        len--;
    }
    note_error(reply, text, len);
    reply_raw(reply, "-", 1);
    for (size_t done = 0; done < len;) {
        size_t run = 0;
        while (done + run < len && !is_line_break(text[done + run])) {
            run++;
        }
        reply_raw(reply, text + done, run);
        done += run;
        if (done < len) {
            reply_raw(reply, " ", 1);
            done++;
        }
    }
    reply_raw(reply, "\r\n", 2);
}

void reply_error(struct reply *reply, const char *text) {
    write_error(reply, text, strlen(text));
}

/* For what does not fit on the stack: client input may be quoted at length. */
static void write_long_error(struct reply *reply, size_t len, const char *format, va_list args) {
    char *text = mem_alloc(reply->pool->account, len + 1);
    if (text == NULL) {
        reply_fail(reply);
        return;
    }
    (void)vsnprintf(text, len + 1, format, args);
    write_error(reply, text, len);
    mem_free(reply->pool->account, text);
}

void reply_error_format(struct reply *reply, const char *format, ...) {
    char text[ERROR_TEXT_BYTES];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(text, sizeof text, format, args);
    if (len < 0) {
        reply_fail(reply); /* over INT_MAX bytes */
    } else if ((size_t)len < sizeof text) {
        write_error(reply, text, (size_t)len);
    } else {
        write_long_error(reply, (size_t)len, format, again);
    }
    va_end(again);
    va_end(args);
}
