/* Configuration files: lines of directives, comments, includes. */
#include <errno.h>

#include "base/mem.h"
#include "plat/errors.h"
#include "plat/file.h"
#include "resp/words.h"
#include "server/options.h"

/* ---- Lines ----------------------------------------------------------------------------------- */

const char *directive_split(struct directive *directive, struct bytes line, char *room) {
    uint32_t len;
    int found;
    directive->count = 0;
    while ((found = words_next_quoted(&line, room, &len)) > 0) {
        if (directive->count == DIRECTIVE_WORDS_MAX) return "too many words";
        if (memchr(room, 0, len)) return "a zero byte cannot be part of a value";
        directive->words[directive->count++] = room;
        room[len] = 0;
        room += len + 1;
    }
    return found < 0 ? "Unbalanced quotes in configuration line" : NULL;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct bytes trim(struct bytes line) {
    while (line.len > 0 && is_space(line.at[0])) line = bytes_of(line.at + 1, line.len - 1);
    while (line.len > 0 && is_space(line.at[line.len - 1])) line.len--;
    return line;
}

static enum kevyrt_status read_line(struct options *options, struct directive *directive,
                                    char *room) {
    struct bytes line = directive->text;
    if (line.len == 0 || line.at[0] == '#') return KEVYRT_OK;
    const char *wrong = directive_split(directive, line, room);
    if (wrong) return options_fail(options, directive, KEVYRT_BAD_CONFIG, 0, "%s", wrong);
    return options_apply(options, directive);
}

static struct bytes next_line(struct bytes *text) {
    const char *end = memchr(text->at, '\n', text->len);
    struct bytes line = bytes_of(text->at, end ? (size_t)(end - text->at) : text->len);
    uint32_t used = line.len + (end != NULL);
    *text = bytes_of(text->at + used, text->len - used);
    return line;
}

enum kevyrt_status options_read_text(struct options *options, const char *file, struct bytes text) {
    struct directive directive = {.file = file};
    enum kevyrt_status status = KEVYRT_OK;
    char *room = mem_alloc(NULL, text.len + 2);
    if (!room) return options_fail(options, NULL, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
    while (text.len > 0 && status == KEVYRT_OK) {
        directive.line++;
        directive.text = trim(next_line(&text));
        status = read_line(options, &directive, room);
    }
    mem_free(NULL, room);
    return status;
}

/* ---- Files ----------------------------------------------------------------------------------- */

struct reading {
    struct options *options;
    const struct directive *from;
};

static int read_file(void *context, const char *path) {
    struct reading *reading = context;
    struct options *options = reading->options;
    char *text;
    size_t len;
    if (options->files++ == OPTIONS_FILES_MAX)
        return (int)options_fail(options, reading->from, KEVYRT_BAD_CONFIG, 0,
                                 "more than %d files are included", OPTIONS_FILES_MAX);
    int result = file_read(path, OPTIONS_FILE_BYTES, &text, &len);
    if (result < 0)
        return (int)options_fail(options, reading->from, KEVYRT_SYSTEM, result,
                                 "cannot read the configuration file %.100s: %s", path,
                                 system_error_text(result));
    enum kevyrt_status status = options_read_text(options, path, bytes_of(text, len));
    mem_free(NULL, text);
    return (int)status;
}

enum kevyrt_status options_read_files(struct options *options, const struct directive *from,
                                      const char *pattern) {
    struct reading reading = {.options = options, .from = from};
    if (options->depth == OPTIONS_DEPTH_MAX)
        return options_fail(options, from, KEVYRT_BAD_CONFIG, 0, "files are included %d deep",
                            OPTIONS_DEPTH_MAX);
    options->depth++;
    int result = file_for_each(pattern, read_file, &reading);
    options->depth--;
    if (result >= 0) return (enum kevyrt_status)result; /* a status of read_file */
    return options_fail(options, from, KEVYRT_SYSTEM, result, "cannot look for %.100s: %s", pattern,
                        system_error_text(result));
}
