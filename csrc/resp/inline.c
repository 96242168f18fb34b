/* The words of a line: see words.h.
 *
 * Between words any blank of the C locale is skipped, but only ` `, tab, LF and CR end a word
 * outside quotes. "..." knows the escapes \xHH \n \r \t \b \a and \c for any other c; '...' knows
 * \'. A quote may open inside a word; a closing one must be followed by a blank or the end.
 */
#include "resp/words.h"

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool ends_plain(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void skip(struct bytes *line, uint32_t count) {
    line->at += count;
    line->len -= count;
}

static void skip_blanks(struct bytes *line) {
    while (line->len > 0 && is_blank(line->at[0])) {
        skip(line, 1);
    }
}

bool words_are_quoted(struct bytes line) {
    for (uint32_t i = 0; i < line.len; i++) {
        if (line.at[i] == '"' || line.at[i] == '\'') {
            return true;
        }
    }
    return false;
}

bool words_next_plain(struct bytes *line, struct bytes *word) {
    skip_blanks(line);
    uint32_t len = 0;
    while (len < line->len && !ends_plain(line->at[len])) {
        len++;
    }
    *word = bytes_of(line->at, len);
    skip(line, len);
    return len > 0;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char escaped(char c) {
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

/* One character of a "..." text; returns how many bytes it took. */
static uint32_t read_escape(struct bytes line, char *out) {
    const char *at = line.at;
    if (at[0] != '\\' || line.len < 2) {
        *out = at[0];
        return 1;
    }
    if (at[1] == 'x' && line.len >= 4 && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
        *out = (char)(hex_digit(at[2]) << 4 | hex_digit(at[3]));
        return 4;
    }
    *out = escaped(at[1]);
    return 2;
}

static uint32_t read_single(struct bytes line, char *out) {
    bool is_escape = line.len >= 2 && line.at[0] == '\\' && line.at[1] == '\'';
    *out = is_escape ? '\'' : line.at[0];
    return is_escape ? 2 : 1;
}

/* Behind an opening quote: copies up to the closing one and skips it. False: unbalanced. */
static bool read_quoted(struct bytes *line, char quote, char **out) {
    while (line->len > 0 && line->at[0] != quote) {
        skip(line, quote == '"' ? read_escape(*line, *out) : read_single(*line, *out));
        (*out)++;
    }
    if (line->len == 0) {
        return false;
    }
    skip(line, 1);
    return line->len == 0 || is_blank(line->at[0]);
}

int words_next_quoted(struct bytes *line, char *out, uint32_t *word_len) {
    skip_blanks(line);
    if (line->len == 0) {
        return 0;
    }
    char *start = out;
    while (line->len > 0 && !ends_plain(line->at[0])) {
        char c = line->at[0];
        skip(line, 1);
        if (c != '"' && c != '\'') {
            *out++ = c;
            continue;
        }
        if (!read_quoted(line, c, &out)) {
            return -1;
        }
        break; /* a closing quote ends the word */
    }
    *word_len = (uint32_t)(out - start);
    return 1;
}
