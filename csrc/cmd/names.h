/* What commands are called on one server: rename-command, over the table that all servers share.
 *
 * Threads: constant after the server is made.
 * Bounds: COMMAND_RENAMES_MAX of them; look-ups go over all, for only a server that renames has this.
 */
#pragma once

#include "cmd/table.h"

enum { COMMAND_RENAMES_MAX = 64 };

struct command_rename {
    const struct command *command;   /* a top-level one */
    char name[COMMAND_NAME_MAX + 1]; /* "": it has none here */
};

struct command_names {
    struct command_rename at[COMMAND_RENAMES_MAX];
    uint32_t count;
};

/* A command gets another name, or with "" none. False, and *why is Redis's text: there is no such command, or
 * somebody has that name. */
bool command_names_add(struct command_names *names, struct bytes command, struct bytes name,
                       const char **why);

/* As command_find_name, of "name" or "container|subcommand". */
const struct command *command_names_find_full(const struct command_names *names,
                                              struct bytes full_name);
/* How many top-level commands have a name. */
size_t command_names_count(const struct command_names *names);
/* As command_find, on a server with these names; NULL: with its own names. */
const struct command *command_names_find(const struct command_names *names,
                                         const struct bytes *argv, size_t argc);
