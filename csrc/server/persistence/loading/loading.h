/* Loading: what files have becomes the data, at the start and when DEBUG asks for it.
 *
 * Role: finds the files that the settings name, reads them in order, and says what is wrong with them. With `appendonly` that is
 * the log and nothing else, as in Redis; without it a dump.
 * Threads: one that may block, without a baton, while the shard threads serve behind GATE_LOADING; `progress` any.
 * Errors: enum kevyrt_status with the file, the offset and the reason. Nothing was changed on the disk then, and what is in
 * the shards is worth nothing. The end of a log that was torn by a crash is cut off when all of it is loaded.
 */
#pragma once

#include "aof/files.h"
#include "base/atomic.h"
#include "server/kevyrt.h"

/* How far it has come; who loads writes, any thread reads, relaxed. */
struct loading_progress {
    atomic_u32 active;
    atomic_u64 started_s, started_ns; /* wall time; monotonic */
    atomic_u64 total_bytes, loaded_bytes;
    atomic_u64 dump_used_bytes; /* where the dump was made, as it says */
};

/* What the last dump that was loaded had, for INFO; who loads writes, any thread reads, relaxed. */
struct loading_figures {
    atomic_u64 keys_expired, keys_loaded;
};

/* Into shards that are empty, with GATE_LOADING set. `files` are the log's, opened, for who goes on with it; nothing is in them without
 * one. They are the caller's only after KEVYRT_OK. */
enum kevyrt_status loading_run(struct kevyrt_server *server, struct aof_files *files,
                               struct kevyrt_error *error);
/* The same at run time, of the log or of the dump: nothing is cut. `replace`: keys that are there give way to those of a dump. */
enum kevyrt_status loading_again(struct kevyrt_server *server, bool of_log, bool replace,
                                 struct kevyrt_error *error);
/* It begins now. */
void loading_show(struct loading_progress *progress);
void loading_note(struct loading_figures *figures, uint64_t expired, uint64_t loaded);
/* Shuts everybody out who may not see what is not whole. False: the server stops. */
bool loading_begin(struct kevyrt_server *server);
/* Lets them in again. With `good`, the log that was opened goes on. */
void loading_end(struct kevyrt_server *server, bool good);
