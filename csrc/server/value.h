/* The forms of values of settings: text to canonical text and number, in Redis's rules and words.
 *
 * Threads: any; pure. Ownership: the caller's `struct value`. Errors: false, with Redis's words in
 * `error`. Bounds: texts of at most CONFIG_VALUE_MAX bytes.
 */
#pragma once

#include "server/config.h"

struct value {
    char text[CONFIG_VALUE_MAX + 1];
    int64_t number;
    char error[256];
};

bool value_parse(const struct setting *setting, const char *given, struct value *out);
struct command_names;
/* rename-command; false: *why in Redis's words. */
bool value_renames(const char *text, struct command_names *names, const char **why);
/* A number of bytes with Redis's units: 1k is 1000, 1kb is 1024; also m, mb, g, gb. */
bool value_parse_memory(struct bytes text, int64_t *out);
