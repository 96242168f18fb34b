/* Another data set in the place of the one that is served, while it is served.
 *
 * Role: reads an RDB file into databases that nobody sees (keyspace.h, aside), then puts all of them into the place of the others at
 * one instant, with all batons held. Nobody sees a part of it, before or behind.
 * Threads: a thread that may block, with no baton held; one restore of a server at a time.
 * Errors: up to that instant an error, a stop or a cancellation leaves everything as it was.
 */
#pragma once

#include "server/persistence/restoring/dump_source.h"

enum kevyrt_status restore_run(struct kevyrt_server *server, const struct kevyrt_source *from,
                               const atomic_u32 *cancelled, struct kevyrt_error *error);
