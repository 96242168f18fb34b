/* COMMAND COUNT: the table about itself. */
#include "cmd/families.h"

static void count_command(struct call *call) {
    int64_t count = 0;
    for (size_t i = 0; i < command_count(); i++)
        if (!command_at(i)->container) count++;
    reply_integer(call->reply, count);
}

void command_commands_bind(void) {
    command_bind("command|count", count_command);
}
