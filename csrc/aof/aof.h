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
 * could not write. The chunks since the last sync are kept in memory: they go to a new incremental file, that is synced, the
 * manifest changes to it and says where the old file ends, which is cut there. Until that is done `failed` is set, which the owner
 * makes known (GATE_DISK). After a gap (a tail was `broken`, status.needs_rewrite) only a rewrite helps; until then nothing more is safe.
 * Bounds: aof_is_full tells when more than AOF_BACKLOG_MAX bytes wait to be written; who writes in process waits, after the drop, as
 * long as it is; shard threads stop to read requests. `safe` tells as well when it is over.
 */
#pragma once

#include "aof/chunk.h"
#include "aof/files.h"
#include "base/atomic.h"
#include "plat/disk.h"

enum aof_sync { AOF_SYNC_EVERYSEC, AOF_SYNC_ALWAYS, AOF_SYNC_NO }; /* as in settings.def */
enum { AOF_BACKLOG_MAX = 64 << 20 };

struct aof_settings { /* may change while it runs (aof_set) */
    enum aof_sync sync;
    uint64_t sync_every_ns;  /* of everysec; 0: a second, as it says. Tests are in a hurry */
    bool timestamps;         /* aof-timestamp-enabled */
    bool no_sync_on_rewrite; /* no-appendfsync-on-rewrite */
    bool keep_history;       /* aof-disable-auto-gc */
    bool base_is_dump;       /* aof-use-rdb-preamble: of the empty base of a new log */
};

struct aof_owner { /* who is told; on the log's thread */
    void *context;
    void (*safe)(
        void
            *context); /* what is safe, or synced, has grown, or there is room: what waits may go */
    void (*failed)(void *context, bool failed, const char *why);
};

struct aof;

/* ---- Life: one thread, which may block -------------------------------------------------------- */

enum aof_begin {
    AOF_CONTINUE, /* behind what the files have, which has been loaded */
    AOF_FRESH, /* the data is not what the files have: they stay as they are until a rewrite is done, which the owner begins */
};

/* Takes the files over, also if it fails: 0, or a negative errno value with nothing left to close. */
int aof_start(struct aof **out, struct aof_files *files, const struct aof_settings *settings,
              const struct aof_owner *owner, enum aof_begin begin);
/* Writes and syncs what is queued, cuts off the tail, closes, frees. Nobody pushes or waits any more, no rewrite runs.
 * 0: everything is on the disk; or a negative errno value. */
int aof_close(struct aof *aof);
/* Any thread; takes effect with the next chunk. */
void aof_set(struct aof *aof, const struct aof_settings *settings);

/* ---- Queue ------------------------------------------------------------------------------------ */

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
/* Sleeps until a ticket is safe (or `synced`), or until the absolute monotonic deadline. False: not yet, or woken for another
 * reason (aof_wake). Nothing held. */
bool aof_wait(struct aof *aof, uint64_t ticket, bool synced, uint64_t deadline_ns);
/* All who wait look around: a signal, the end of the server. */
void aof_wake(struct aof *aof);
/* Too much waits to be written. Any thread. */
bool aof_is_full(const struct aof *aof);

/* ---- Rewrite (BGREWRITEAOF): a new base and a new incremental file ------------------------------ */

struct
    aof_rewrite { /* in the memory of who rewrites, from begin to finish; its fields are the log's */
    struct aof_mark mark;
    struct aof *aof;
    int fd;           /* of the new base; -1 */
    int result;       /* of the mark */
    atomic_u32 state; /* futex: writer the log's thread, reader who rewrites; seq_cst */
    bool as_dump, step_syncs, keep_history;
    uint64_t len, synced, first_incr;
    struct aof_manifest history; /* what is to be removed */
};

/* At the cut, under all batons, all tails pushed: what is queued from here on is behind the new base. Without blocking.
 * `step_syncs`: aof-rewrite-incremental-fsync. */
void aof_rewrite_begin(struct aof *aof, struct aof_rewrite *rewrite, bool as_dump, bool step_syncs);
/* The next bytes of the base. One thread at a time, which may block; in pieces that are not small. 0 or a negative errno value. */
int aof_rewrite_write(struct aof_rewrite *rewrite, const void *at, size_t len);
/* The base is complete: syncs it and installs it, or with `good` false drops it; blocks until that is done. 0, or why it is not the base
 * now. All that was logged is kept in every case. */
int aof_rewrite_finish(struct aof_rewrite *rewrite, bool good);

/* ---- Replacing (a restore): another base, and nothing of what was --------------------------------- */

/* Nobody rewrites from here on, and the base may be written (aof_rewrite_write), before anything else happens. Blocks until the log's
 * thread has come to it. -EBUSY: somebody rewrites; else a negative errno value; nothing is to be ended then. */
int aof_replace_begin(struct aof *aof, struct aof_rewrite *rewrite, bool as_dump, bool step_syncs);
/* The base is complete: syncs it. 0 or a negative errno value: aof_replace_abandon is left to be done. */
int aof_replace_prepare(struct aof_rewrite *rewrite);
/* At the instant, under all batons, all tails pushed: what is queued from here on is behind the new base, and safe no sooner than that
 * is the base of the log, on the disk. Without blocking. */
void aof_replace_commit(struct aof_rewrite *rewrite);
/* Blocks until that is so. 0, or why it is not: then the data is not what the files have, and nothing is safe until a rewrite is done. */
int aof_replace_finish(struct aof_rewrite *rewrite);
/* Instead of the two. Blocks. */
void aof_replace_abandon(struct aof_rewrite *rewrite);

/* ---- Figures ------------------------------------------------------------------------------------ */

struct aof_status {
    bool failed;                           /* a disk, or memory: see `error` */
    bool needs_rewrite;                    /* only a rewrite ends that */
    int error;                             /* the negative errno value of the last failure */
    uint64_t queued_bytes, unsynced_bytes; /* waiting to be written; written and not synced */
    uint64_t current_bytes,
        base_bytes;      /* of the log: all files; when it was last rewritten or begun */
    uint64_t incr_bytes; /* of the last file, without its tail */
    uint64_t chunks, written_bytes, writes;
    uint64_t syncs, last_sync_ns, max_sync_ns;
    uint64_t delayed_syncs; /* everysec: writing had to wait for one */
    uint64_t rewrites, failed_rewrites, recoveries;
    uint64_t last_rewrite_bytes;
};
/* Any thread. */
void aof_status_get(struct aof *aof, struct aof_status *out);
