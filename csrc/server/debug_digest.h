/* DEBUG DIGEST and DIGEST-VALUE: what data is, in 20 bytes, as redis-server sums it up, so that two servers can be
 * compared whatever each of them is made of.
 *
 * Threads: they hold all batons. Calls have the number of arguments that debug_commands.c says.
 */
#pragma once

struct call;

void debug_digest(struct call *call);
void debug_digest_value(struct call *call);
