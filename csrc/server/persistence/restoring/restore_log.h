/* The append-only log during a restore: what is restored becomes its base (aof_replace_begin).
 *
 * Role: copies what is read into a base, and makes that the log at the instant of the restore. Without a log it does nothing.
 * Threads: that of the restore, without batons but where said. While it is open the log is not closed.
 * Errors: enum kevyrt_status; restore_log_end comes behind restore_log_begin whatever that has said.
 */
#pragma once

#include "aof/aof.h"
#include "server/persistence/restoring/dump_source.h"

struct restore_log {
    struct kevyrt_server *server;
    struct aof *aof; /* NULL: there is none */
    bool locked, begun, committed;
    struct aof_rewrite replace;
};

/* Once the source is open. Waits for the end of a rewrite. */
enum kevyrt_status restore_log_begin(struct restore_log *log, struct kevyrt_server *server,
                                     struct dump_source *source, struct kevyrt_error *error);
/* All of the source was read: the copy is on the disk. */
enum kevyrt_status restore_log_prepare(struct restore_log *log, struct kevyrt_error *error);
/* With all batons: is the log still the one, or still none? */
bool restore_log_is_same(const struct restore_log *log);
/* With all batons, before the data changes. */
void restore_log_commit(struct restore_log *log);
/* Waits until the log is there, if it was committed, and lets go of it. */
enum kevyrt_status restore_log_end(struct restore_log *log, struct kevyrt_error *error);
