/* What a parser made of some bytes, as text, and a second opinion on what it should have been.
 *
 * A request is `[arg|arg]`, a protocol error `!text`. `transcript_reference` reads a whole input the plain
 * way, one byte run after the other, with nothing of the parser's machinery: both must agree however
 * the input is cut. Shared by the unit tests and the fuzzer, hence a header.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resp/parser.h"

struct transcript {
    char *text;
    size_t len, capacity;
};

static inline void transcript_add(struct transcript *out, const char *at, size_t len) {
    if (out->len + len + 1 > out->capacity) {
        out->capacity = (out->len + len + 1) * 2;
        out->text = realloc(out->text, out->capacity);
        if (out->text == NULL) {
            abort();
        }
    }
    if (len > 0) {
        memcpy(out->text + out->len, at, len);
    }
    out->len += len;
    out->text[out->len] = '\0';
}

static inline void transcript_add_request(struct transcript *out, const struct bytes *argv,
                                          uint32_t argc) {
    for (uint32_t i = 0; i < argc; i++) {
        transcript_add(out, i == 0 ? "[" : "|", 1);
        transcript_add(out, argv[i].at, argv[i].len);
    }
    transcript_add(out, "]", 1);
}

static inline void transcript_add_error(struct transcript *out, const char *error) {
    transcript_add(out, "!", 1);
    transcript_add(out, error, strlen(error));
}

static inline void transcript_free(struct transcript *out) {
    free(out->text);
    *out = (struct transcript){0};
}

/* ---- The reference --------------------------------------------------------------------------- */

enum reference_outcome { REFERENCE_OK, REFERENCE_MORE, REFERENCE_ERROR };

struct reference {
    const struct parser_limits *limits;
    const char *at, *end;
    struct transcript *out;
};

static inline enum reference_outcome reference_error(struct reference *r, const char *text) {
    transcript_add_error(r->out, text);
    return REFERENCE_ERROR;
}

/* Redis uses strchr: a NUL hides what is behind it. */
static inline enum reference_outcome reference_line(struct reference *r, char mark,
                                                    const char *too_big, const char **found) {
    size_t len = (size_t)(r->end - r->at), limit = r->limits->max_inline_bytes;
    for (size_t i = 0; i < len && i <= limit && r->at[i] != '\0'; i++) {
        if (r->at[i] == mark) {
            *found = r->at + i;
            return REFERENCE_OK;
        }
    }
    return len > limit ? reference_error(r, too_big) : REFERENCE_MORE;
}

/* The number behind the marker, by way of the C library; false for what is not in canonical form. */
static inline bool reference_number(const char *at, const char *end, long long *out) {
    char text[32], again[32];
    size_t len = (size_t)(end - at);
    if (len == 0 || len >= sizeof text || memchr(at, '\0', len) != NULL) {
        return false;
    }
    memcpy(text, at, len);
    text[len] = '\0';
    *out = strtoll(text, NULL, 10);
    (void)snprintf(again, sizeof again, "%lld", *out);
    return strcmp(text, again) == 0;
}

static inline enum reference_outcome reference_bulk(struct reference *r, struct bytes *arg) {
    const char *found;
    enum reference_outcome outcome =
        reference_line(r, '\r', "Protocol error: too big bulk count string", &found);
    if (outcome != REFERENCE_OK || r->end - found < 2) {
        return outcome == REFERENCE_OK ? REFERENCE_MORE : outcome;
    }
    if (*r->at != '$') {
        char text[64];
        (void)snprintf(text, sizeof text, "Protocol error: expected '$', got '%c'", *r->at);
        return reference_error(r, text);
    }
    long long len;
    if (!reference_number(r->at + 1, found, &len) || len < 0 || len > r->limits->max_bulk_bytes) {
        return reference_error(r, "Protocol error: invalid bulk length");
    }
    if (r->limits->unauthenticated && len > 16384) {
        return reference_error(r, "Protocol error: unauthenticated bulk length");
    }
    r->at = found + 2;
    if (r->end - r->at < len + 2) {
        return REFERENCE_MORE;
    }
    *arg = bytes_of(r->at, (size_t)len);
    r->at += len + 2;
    return REFERENCE_OK;
}

static inline enum reference_outcome reference_multibulk(struct reference *r) {
    const char *found;
    enum reference_outcome outcome =
        reference_line(r, '\r', "Protocol error: too big mbulk count string", &found);
    if (outcome != REFERENCE_OK || r->end - found < 2) {
        return outcome == REFERENCE_OK ? REFERENCE_MORE : outcome;
    }
    long long count;
    if (!reference_number(r->at + 1, found, &count) || count > r->limits->max_args) {
        return reference_error(r, "Protocol error: invalid multibulk length");
    }
    if (r->limits->unauthenticated && count > 10) {
        return reference_error(r, "Protocol error: unauthenticated multibulk length");
    }
    r->at = found + 2;
    struct bytes *argv = NULL;
    long long done = 0;
    for (; done < count && outcome == REFERENCE_OK; done++) {
        argv = realloc(argv, (size_t)(done + 1) * sizeof *argv);
        outcome = argv != NULL ? reference_bulk(r, argv + done) : REFERENCE_ERROR;
    }
    if (outcome == REFERENCE_OK && count > 0) {
        transcript_add_request(r->out, argv, (uint32_t)count);
    }
    free(argv);
    return outcome;
}

/* One character of a quoted text; moves *at behind it. */
static inline char reference_unquote(const char **at, char quote) {
    const char *p = *at;
    unsigned byte;
    char hex[3] = {0};
    if (p[0] != '\\' || p[1] == '\0' || (quote == '\'' && p[1] != '\'')) {
        *at += 1;
        return p[0];
    }
    if (quote == '"' && p[1] == 'x' && p[2] != '\0') {
        memcpy(hex, p + 2, 2);
        if (strspn(hex, "0123456789abcdefABCDEF") == 2 && sscanf(hex, "%x", &byte) == 1) {
            *at += 4;
            return (char)byte;
        }
    }
    *at += 2;
    const char *known = quote == '"' ? strchr("nrtba", p[1]) : NULL;
    return known != NULL ? "\n\r\t\b\a"[known - "nrtba"] : p[1];
}

/* One word of a terminated line into `out`; false: unbalanced quotes. */
static inline bool reference_word(const char **at, struct transcript *out) {
    static const char blanks[] = " \t\n\v\f\r";
    while (**at != '\0' && strchr(" \n\r\t", **at) == NULL) {
        char quote = **at;
        if (quote != '"' && quote != '\'') {
            transcript_add(out, (*at)++, 1);
            continue;
        }
        for ((*at)++; **at != quote;) {
            if (**at == '\0') {
                return false;
            }
            char c = reference_unquote(at, quote);
            transcript_add(out, &c, 1);
        }
        (*at)++;
        return **at == '\0' || strchr(blanks, **at) != NULL;
    }
    return true;
}

static inline bool reference_words(const char *line, struct transcript *request) {
    const char *open = "[";
    for (line += strspn(line, " \t\n\v\f\r"); *line != '\0'; line += strspn(line, " \t\n\v\f\r")) {
        transcript_add(request, open, 1);
        open = "|";
        if (!reference_word(&line, request)) {
            return false;
        }
    }
    if (request->len > 0) {
        transcript_add(request, "]", 1);
    }
    return true;
}

static inline enum reference_outcome reference_inline(struct reference *r) {
    const char *found;
    enum reference_outcome outcome =
        reference_line(r, '\n', "Protocol error: too big inline request", &found);
    if (outcome != REFERENCE_OK) {
        return outcome;
    }
    size_t len = (size_t)(found - r->at);
    char *line = strndup(r->at, len > 0 && found[-1] == '\r' ? len - 1 : len);
    struct transcript request = {0};
    if (reference_words(line, &request)) {
        transcript_add(r->out, request.text, request.len);
    } else {
        outcome = reference_error(r, "Protocol error: unbalanced quotes in request");
    }
    transcript_free(&request);
    free(line);
    r->at = found + 1;
    return outcome;
}

static inline void transcript_reference(struct transcript *out, const struct parser_limits *limits,
                                        const char *at, size_t len) {
    struct reference r = {limits, at, at + len, out};
    enum reference_outcome outcome = REFERENCE_OK;
    while (outcome == REFERENCE_OK && r.at < r.end) {
        outcome = *r.at == '*' ? reference_multibulk(&r) : reference_inline(&r);
    }
}
