/* Settings as text, gathered from a configuration file, standard input and the command line, in
 * this order.
 *
 * Role: what redis-server calls directives ends as a list of settings, which kevyrt_server_new
 * takes. Later ones win; `save` and `client-output-buffer-limit` add to what they said before, and
 * `save ""` forgets it.
 * Threads: any, one at a time; reads files, so never with a baton held.
 * Ownership: the list belongs to kevyrt_options_free; directives borrow their words.
 * Errors: KEVYRT_BAD_CONFIG says in one line what is wrong and in which line of which file;
 * KEVYRT_SYSTEM: a file cannot be read; KEVYRT_NO_MEMORY. The list is then what was read so far.
 * Bounds: the enum below; a setting's value, CONFIG_VALUE_MAX.
 */
#pragma once

#include "base/bytes.h"
#include "server/kevyrt.h"

enum {
    DIRECTIVE_WORDS_MAX = 130,
    OPTIONS_FILE_BYTES = 1 << 20,
    OPTIONS_FILES_MAX = 256, /* in all */
    OPTIONS_DEPTH_MAX = 16,  /* of includes */
};

struct options {
    struct kevyrt_setting *settings;
    size_t count, capacity;
    uint32_t files, depth; /* read so far; open now */
    struct kevyrt_error *error;
};

/* One line: a name and its values. */
struct directive {
    const char *file; /* NULL: the command line */
    uint32_t line;
    struct bytes text; /* the line as it stands there */
    uint32_t count;
    const char *words[DIRECTIVE_WORDS_MAX];
};

/* Cuts a line into the directive's words, unquoted into `room` (2 bytes more than the line). NULL,
 * or what is wrong with it. */
const char *directive_split(struct directive *directive, struct bytes line, char *room);

/* ---- options.c ------------------------------------------------------------------------------- */
/* Fails with a text that says where the directive stands. */
enum kevyrt_status options_fail(struct options *options, const struct directive *directive,
                                enum kevyrt_status status, int number, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Adds the setting, or reads what is included. */
enum kevyrt_status options_apply(struct options *options, const struct directive *directive);

/* ---- config_file.c --------------------------------------------------------------------------- */
enum kevyrt_status options_read_text(struct options *options, const char *file, struct bytes text);
/* `from` is the directive that asks for it. A pattern stands for every file that it names, which
 * may be none. */
enum kevyrt_status options_read_files(struct options *options, const struct directive *from,
                                      const char *pattern);
