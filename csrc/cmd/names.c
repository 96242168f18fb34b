#include "cmd/names.h"

#include "base/assert.h"

static const struct command_rename *rename_of(const struct command_names *names,
                                              const struct command *command) {
    for (uint32_t i = 0; i < names->count; i++)
        if (names->at[i].command == command) return &names->at[i];
    return NULL;
}

static const struct command_rename *rename_to(const struct command_names *names,
                                              struct bytes name) {
    for (uint32_t i = 0; i < names->count; i++)
        if (*names->at[i].name && bytes_is(name, names->at[i].name)) return &names->at[i];
    return NULL;
}

const struct command *command_names_find(const struct command_names *names,
                                         const struct bytes *argv, size_t argc) {
    if (KRT_LIKELY(!names)) return command_find(argv, argc);
    const struct command_rename *renamed = argc ? rename_to(names, argv[0]) : NULL;
    if (renamed) {
        struct bytes words[2] = {
            bytes_of(renamed->command->full_name, strlen(renamed->command->full_name))};
        if (argc > 1) words[1] = argv[1];
        return command_find(words, argc > 1 ? 2 : 1);
    }
    const struct command *own = command_find(argv, argc ? 1 : 0);
    return own && !rename_of(names, own) ? command_find(argv, argc) : NULL;
}

const struct command *command_names_find_full(const struct command_names *names,
                                              struct bytes full_name) {
    const char *bar = full_name.len ? memchr(full_name.at, '|', full_name.len) : NULL;
    if (!bar) return command_names_find(names, &full_name, 1);
    uint32_t prefix = (uint32_t)(bar - full_name.at);
    struct bytes words[2] = {bytes_of(full_name.at, prefix),
                             bytes_of(bar + 1, full_name.len - prefix - 1)};
    const struct command *command = command_names_find(names, words, 2);
    return command && command->container ? command : NULL;
}

size_t command_names_count(const struct command_names *names) {
    size_t count = command_count_top_level();
    for (uint32_t i = 0; names && i < names->count; i++) count -= !*names->at[i].name;
    return count;
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool command_names_add(struct command_names *names, struct bytes command, struct bytes name,
                       const char **why) {
    const struct command *found = command_names_find(names, &command, 1);
    *why = "No such command in rename-command";
    if (!found || names->count == COMMAND_RENAMES_MAX) return false;
    *why = "Target command name already exists";
    if (name.len > COMMAND_NAME_MAX || command_names_find(names, &name, 1)) return false;
    struct command_rename *rename = (struct command_rename *)(uintptr_t)rename_of(names, found);
    if (!rename) rename = &names->at[names->count++];
    rename->command = found;
    for (uint32_t i = 0; i < name.len; i++) rename->name[i] = lower(name.at[i]);
    rename->name[name.len] = 0;
    return true;
}
