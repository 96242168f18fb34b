/* What the command table says to people. */
#include "cmd/families.h"
#include "server/kevyrt.h"

bool kevyrt_describe(struct bytes full_name, struct kevyrt_description *out) {
    const struct command *command = command_find_name(full_name);
    if (!command) return false;
    struct docs_texts texts = docs_of(command);
    *out = (struct kevyrt_description){texts.summary, command->since,
                                       command_group_name((enum command_group)command->group),
                                       texts.complexity};
    return true;
}
