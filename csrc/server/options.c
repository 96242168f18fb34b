/* The list of settings, and the command line: `[file] [--name value ...] [-]`. */
#include "server/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/server.h"

/* ---- Errors ---------------------------------------------------------------------------------- */

enum kevyrt_status options_fail(struct options *options, const struct directive *directive,
                                enum kevyrt_status status, int number, const char *format, ...) {
    char why[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    if (!directive || !directive->file)
        return server_fail(options->error, status, number, "%s", why);
    struct bytes text = directive->text;
    return server_fail(options->error, status, number, "%.80s, line %u, '%.*s': %s",
                       directive->file, directive->line, (int)(text.len < 60 ? text.len : 60),
                       text.at, why);
}

static enum kevyrt_status no_memory(struct options *options) {
    return options_fail(options, NULL, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
}

/* ---- The list -------------------------------------------------------------------------------- */

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = mem_alloc(NULL, size);
    if (copy) memcpy(copy, text, size);
    return copy;
}

static void free_setting(struct kevyrt_setting *setting) {
    mem_free(NULL, (char *)(uintptr_t)setting->name);
    mem_free(NULL, (char *)(uintptr_t)setting->value);
}

void kevyrt_options_free(struct kevyrt_setting *settings, size_t count) {
    for (size_t i = 0; i < count; i++) free_setting(&settings[i]);
    mem_free(NULL, settings);
}

static struct kevyrt_setting *find(struct options *options, const char *name) {
    for (size_t i = 0; i < options->count; i++)
        if (strcmp(options->settings[i].name, name) == 0) return &options->settings[i];
    return NULL;
}

static bool reserve(struct options *options) {
    if (options->count < options->capacity) return true;
    size_t capacity = options->capacity ? options->capacity * 2 : 16;
    struct kevyrt_setting *grown = mem_realloc(NULL, options->settings, capacity * sizeof *grown);
    if (!grown) return false;
    options->settings = grown;
    options->capacity = capacity;
    return true;
}

/* One entry per setting, so the list is as short as the table. */
static bool put(struct options *options, const char *name, const char *value) {
    struct kevyrt_setting *old = find(options, name);
    struct kevyrt_setting entry = {copy_text(name), copy_text(value)};
    if (!entry.name || !entry.value || (!old && !reserve(options))) {
        free_setting(&entry);
        return false;
    }
    if (old) free_setting(old);
    *(old ? old : &options->settings[options->count++]) = entry;
    return true;
}

/* ---- Directives ------------------------------------------------------------------------------ */

struct text {
    char at[CONFIG_VALUE_MAX + 1];
    size_t len;
};

static bool append(struct text *text, const char *word) {
    size_t room = sizeof text->at - text->len;
    int n = snprintf(text->at + text->len, room, "%s%s", text->len ? " " : "", word);
    text->len += (size_t)n;
    return (size_t)n < room;
}

/* What an earlier line said stands, and this one adds to it. */
static const char *said_before(struct options *options, enum setting_id id,
                               const struct directive *directive) {
    bool adds = id == SETTING_SAVE || id == SETTING_CLIENT_OUTPUT_BUFFER_LIMIT ||
                id == SETTING_RENAME_COMMAND;
    bool forgets = directive->count == 2 && !*directive->words[1];
    struct kevyrt_setting *old = adds && !forgets ? find(options, config_setting(id)->name) : NULL;
    return old ? old->value : "";
}

/* A command that gets no name: an empty word would be lost among blanks. */
static bool is_no_name(enum setting_id id, const char *word) {
    return id == SETTING_RENAME_COMMAND && !*word;
}

static enum kevyrt_status add_setting(struct options *options, const struct directive *directive) {
    struct kevyrt_error why;
    struct text value = {.len = 0};
    enum setting_id id = config_find(directive->words[0]);
    bool fits = true;
    if (id == SETTING_COUNT) {
        enum kevyrt_status status = config_check(directive->words[0], "", &why);
        return options_fail(options, directive, status, 0, "%s", why.text);
    }
    const char *name = config_setting(id)->name;
    if (config_takes_words(id) ? directive->count < 2 : directive->count != 2)
        return options_fail(options, directive, KEVYRT_BAD_CONFIG, 0,
                            "'%s': wrong number of arguments", name);
    value.at[0] = 0;
    const char *before = said_before(options, id, directive);
    if (*before) fits = append(&value, before);
    for (uint32_t i = 1; fits && i < directive->count; i++)
        fits = append(&value, is_no_name(id, directive->words[i]) ? "\"\"" : directive->words[i]);
    if (!fits)
        return options_fail(options, directive, KEVYRT_BAD_CONFIG, 0, "'%s': the value is too long",
                            name);
    enum kevyrt_status status = config_check(name, value.at, &why);
    if (status != KEVYRT_OK) return options_fail(options, directive, status, 0, "%s", why.text);
    return put(options, name, value.at) ? KEVYRT_OK : no_memory(options);
}

enum kevyrt_status options_apply(struct options *options, const struct directive *directive) {
    if (directive->count == 0) return KEVYRT_OK;
    struct bytes name = bytes_of(directive->words[0], strlen(directive->words[0]));
    if (!bytes_is(name, "include")) return add_setting(options, directive);
    if (directive->count != 2)
        return options_fail(options, directive, KEVYRT_BAD_CONFIG, 0,
                            "'include': wrong number of arguments");
    return options_read_files(options, directive, directive->words[1]);
}

/* ---- The command line ------------------------------------------------------------------------ */

static bool is_option(const char *word) {
    return word[0] == '-' && word[1] == '-';
}

static bool is_standard_input(const char *word) {
    return strcmp(word, "-") == 0;
}

/* The first word directly behind a name is a value even if it looks like a name. `save` alone is
 * `save ""`, and `--name value` may be one word. Returns how many words were taken; *wrong is NULL
 * or what is wrong. */
static int take_option(int argc, const char *const *argv, struct directive *directive, char *room,
                       const char **wrong) {
    struct bytes first = bytes_of(argv[0] + 2, strlen(argv[0] + 2));
    bool has_value, last = argc == 1;
    int taken = 1;
    *wrong = directive_split(directive, first, room);
    if (*wrong) return taken;
    if (bytes_is(first, "save") && (last || is_option(argv[1])))
        directive->words[directive->count++] = "";
    has_value = directive->count > 1;
    for (; taken < argc && !(has_value && is_option(argv[taken])); taken++) {
        if (directive->count == DIRECTIVE_WORDS_MAX) {
            *wrong = "too many words";
            return taken;
        }
        directive->words[directive->count++] = argv[taken];
        has_value = true;
    }
    return taken;
}

static enum kevyrt_status parse_option(struct options *options, int argc, const char *const *argv,
                                       int *taken) {
    struct directive directive = {.file = NULL};
    const char *wrong;
    if (!is_option(argv[0]))
        return options_fail(options, NULL, KEVYRT_BAD_CONFIG, 0,
                            "'%.100s' is not an option: options are --name value", argv[0]);
    char *room = mem_alloc(NULL, strlen(argv[0]) + 2);
    if (!room) return no_memory(options);
    *taken = take_option(argc, argv, &directive, room, &wrong);
    enum kevyrt_status status;
    if (wrong || directive.count == 0)
        status = options_fail(options, NULL, KEVYRT_BAD_CONFIG, 0, "'%.100s': %s", argv[0],
                              wrong ? wrong : "an option needs a name");
    else status = options_apply(options, &directive);
    mem_free(NULL, room);
    return status;
}

static enum kevyrt_status read_input(struct options *options, const char *text) {
    size_t len = text ? strlen(text) : 0;
    if (!text) return options_fail(options, NULL, KEVYRT_BAD_CONFIG, 0, "no standard input");
    if (len > OPTIONS_FILE_BYTES)
        return options_fail(options, NULL, KEVYRT_BAD_CONFIG, 0, "standard input is too long");
    return options_read_text(options, "standard input", bytes_of(text, len));
}

/* A single file is what CONFIG REWRITE writes later, wherever the process is then. */
static enum kevyrt_status read_named(struct options *options, const char *name) {
    enum kevyrt_status status = options_read_files(options, NULL, name);
    if (status != KEVYRT_OK || strpbrk(name, "*?[")) return status;
    char *path = realpath(name, NULL);
    bool kept = path && put(options, "config-file", path);
    free(path);
    return kept ? KEVYRT_OK : no_memory(options);
}

/* Standard input is asked for by the first word or by the last. */
static enum kevyrt_status parse(struct options *options, int argc, const char *const *argv,
                                const char *standard_input) {
    enum kevyrt_status status = KEVYRT_OK;
    int at = 0, taken = 0;
    bool asks = false;
    if (argc > 0 && argv[0][0] != '-') status = read_named(options, argv[at++]);
    if (argc > 0 && is_standard_input(argv[0])) {
        asks = true;
        at++;
    } else if (argc > at && is_standard_input(argv[argc - 1])) {
        asks = true;
        argc--;
    }
    if (status == KEVYRT_OK && asks) status = read_input(options, standard_input);
    for (; at < argc && status == KEVYRT_OK; at += taken)
        status = parse_option(options, argc - at, argv + at, &taken);
    return status;
}

enum kevyrt_status kevyrt_options_parse(int argc, const char *const *argv,
                                        const char *standard_input, struct kevyrt_setting **out,
                                        size_t *count, struct kevyrt_error *error) {
    struct options options = {.error = error};
    enum kevyrt_status status = parse(&options, argc, argv, standard_input);
    if (status != KEVYRT_OK) {
        kevyrt_options_free(options.settings, options.count);
        options = (struct options){0};
    }
    *out = options.settings;
    *count = options.count;
    return status;
}
