/* Secrets: the arguments of commands that nobody else is shown, neither by MONITOR nor by SLOWLOG.
 *
 * Threads: any; pure functions of a command line.
 */
#pragma once

#include "cmd/table.h"

/* What is shown in the place of a secret. */
#define SECRET_TEXT "(redacted)"

/* Does argv[index] hold a password, or what is to be treated like one? */
bool secret_at(const struct command *command, const struct bytes *argv, uint32_t argc,
               uint32_t index);
/* The argument as it may be shown. */
static inline struct bytes secret_shown(const struct command *command, const struct bytes *argv,
                                        uint32_t argc, uint32_t index) {
    return secret_at(command, argv, argc, index) ? BYTES_LITERAL(SECRET_TEXT) : argv[index];
}
