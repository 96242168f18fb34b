/* A start with data that is given to the server, and not found in its folder (kevyrt_server_load).
 *
 * Role: reads the source into the shards, which serve behind GATE_LOADING; with a log, what was read becomes its first base.
 * Threads: who starts the server, without batons.
 * Errors: enum kevyrt_status; nothing was changed on the disk then. KEVYRT_BAD_CONFIG: there is a log already.
 */
#pragma once

#include "aof/files.h"
#include "server/kevyrt.h"

struct kevyrt_server;

/* Is that how it is to start? With a log only once: from then on the log has the data. */
bool initial_is_wanted(const struct kevyrt_server *server);
/* As loading_run. */
enum kevyrt_status initial_run(struct kevyrt_server *server, struct aof_files *files,
                               struct kevyrt_error *error);
