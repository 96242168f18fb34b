/* The command families of cmd/: each binds its handlers with the table at start.
 *
 * Threads: before the first shard thread starts; binding again is harmless.
 */
#pragma once

#include "cmd/call.h"

void strings_bind(void);
void keys_bind(void);
void command_commands_bind(void);
