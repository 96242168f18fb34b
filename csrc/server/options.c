/* The command line in redis-server's form: `--name value [value ...]`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/server.h"

enum { OPTION_VALUE_MAX = 4096 };

static char *copy_text(const char *text) {
    size_t len = strlen(text) + 1;
    char *copy = mem_alloc(NULL, len);
    if (copy) memcpy(copy, text, len);
    return copy;
}

static bool is_name(const char *word) {
    return word[0] == '-' && word[1] == '-' && word[2];
}

/* Joins the words up to the next name. Returns how many were taken, or -1 if they are too long. */
static int join_value(int argc, const char *const *argv, char *out) {
    size_t len = 0;
    int taken = 0;
    out[0] = 0;
    for (; taken < argc && !is_name(argv[taken]); taken++) {
        int n = snprintf(out + len, OPTION_VALUE_MAX - len, "%s%s", taken ? " " : "", argv[taken]);
        if (n < 0 || (size_t)n >= OPTION_VALUE_MAX - len) return -1;
        len += (size_t)n;
    }
    return taken;
}

void kevyrt_options_free(struct kevyrt_setting *settings, size_t count) {
    for (size_t i = 0; settings && i < count; i++) {
        mem_free(NULL, (char *)(uintptr_t)settings[i].name);
        mem_free(NULL, (char *)(uintptr_t)settings[i].value);
    }
    mem_free(NULL, settings);
}

static enum kevyrt_status parse_one(int argc, const char *const *argv, int *used,
                                    struct kevyrt_setting *out, struct kevyrt_error *error) {
    char value[OPTION_VALUE_MAX];
    if (!is_name(argv[0]))
        return server_fail(error, KEVYRT_BAD_CONFIG, 0, "'%s' is not an option: configuration "
                           "files are not read yet, use --name value", argv[0]);
    int taken = join_value(argc - 1, argv + 1, value);
    if (taken <= 0)
        return server_fail(error, KEVYRT_BAD_CONFIG, 0, "option %s needs a value", argv[0]);
    *used = taken + 1;
    out->name = copy_text(argv[0] + 2);
    out->value = copy_text(value);
    return out->name && out->value ? KEVYRT_OK
                                   : server_fail(error, KEVYRT_NO_MEMORY, 0, "out of memory");
}

enum kevyrt_status kevyrt_options_parse(int argc, const char *const *argv,
                                        const char *standard_input, struct kevyrt_setting **out,
                                        size_t *count, struct kevyrt_error *error) {
    (void)standard_input;
    *count = 0;
    *out = mem_calloc(NULL, ((size_t)argc + 1) * sizeof **out);
    if (!*out) return server_fail(error, KEVYRT_NO_MEMORY, 0, "out of memory");
    for (int i = 0, used = 0; i < argc; i += used) {
        enum kevyrt_status status = parse_one(argc - i, argv + i, &used, &(*out)[*count], error);
        if (status != KEVYRT_OK) {
            kevyrt_options_free(*out, *count + 1);
            return status;
        }
        (*count)++;
    }
    return KEVYRT_OK;
}
