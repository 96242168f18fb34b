/* The subcommands of DEBUG that look at keys, or make some.
 *
 * Threads: they hold all batons. Calls have the number of arguments that debug_commands.c says.
 */
#pragma once

struct call;

void debug_object(struct call *call);
void debug_listpack(struct call *call);
void debug_quicklist(struct call *call);
void debug_populate(struct call *call);
/* The only one that does not: it takes the places of keys as it comes to them. */
void debug_kevyrt_reach(struct call *call);
