/* The append-only log of a server: a queue, a thread, and files in Redis's layout.
 *
 * Role: the thread writes what is queued, in order, and syncs for everybody at once. Files: a folder with a manifest, one base (an RDB
 * file or a log), and incremental logs behind it, as Redis 7 has them. Nobody but the thread touches the files.
 * Positions: every chunk counts 1. A ticket is a count; when so many chunks are safe, so is everything that was queued before
 * the ticket was taken. What leaves the server (replies of writes and of reads, messages, results in process) first waits until
 * the ticket of the shards that it is from is safe: synced with appendfsync always, else written, which a kill of the process
 * cannot undo.
 * Threads: aof_push, any holder of batons, without blocking; aof_safe, any; the rest as said.
 * Failing disk: after an error of a write or a sync that file is never synced again, since the kernel may have dropped what it
 * could not write. The chunks since the last sync are kept in memory: the file is cut at the last sync, they go to a new
 * incremental file, that is synced, and the manifest changes to it. Until that is done `failed` is set, which the owner makes
 * known (GATE_DISK). After a gap (AOF broken) only a rewrite into fresh files helps.
 * Bounds: aof_backlog tells how many bytes are queued; who writes in process waits, after the drop, while it is over
 * AOF_BACKLOG_MAX; shard threads stop to read requests.
 */
#pragma once

#include "aof/chunk.h"
#include "base/atomic.h"
#include "plat/disk.h"

enum aof_sync { AOF_SYNC_EVERYSEC, AOF_SYNC_ALWAYS, AOF_SYNC_NO }; /* as in settings.def */
enum { AOF_BACKLOG_MAX = 64 << 20 };

struct aof_settings { /* may change while it runs (aof_set) */
    enum aof_sync sync;
    bool timestamps;         /* aof-timestamp-enabled */
    bool no_sync_on_rewrite; /* no-appendfsync-on-rewrite */
    bool keep_history;       /* aof-disable-auto-gc */
};

struct aof_owner { /* who is told; on the log's thread */
    void *context;
    void (*safe)(void *context); /* the safe ticket has grown: what waits may go */
    void (*failed)(void *context, bool failed, const char *why);
};

struct aof;

/* Something for the thread to do in the place of a chunk: everything queued before is in the old file, everything behind in
 * the new one. In the memory of who queues it, until `done`. */
struct aof_mark {
    struct aof_chunk chunk; /* with chunk.mark set to this */
    int (*act)(struct aof *aof,
               struct aof_mark *mark); /* with the files; 0 or a negative errno value */
    void (*done)(struct aof_mark *mark, int result);
};

/* Queues the tail's chunk, if there is one, and returns a ticket that covers it. Without blocking; with the shard's baton. */
uint64_t aof_push(struct aof *aof, struct aof_tail *tail);
void aof_push_mark(struct aof *aof, struct aof_mark *mark);
/* What is safe, as the setting understands it. */
uint64_t aof_safe(const struct aof *aof);
/* What is synced, whatever the setting (WAITAOF). */
uint64_t aof_synced(const struct aof *aof);
/* A ticket of everything that has been queued. */
uint64_t aof_ticket(const struct aof *aof);
/* Sleeps until a ticket is safe (or `synced`), or until the absolute monotonic deadline. False: not yet. Nothing held. */
bool aof_wait(struct aof *aof, uint64_t ticket, bool synced, uint64_t deadline_ns);
