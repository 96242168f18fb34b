/* What the files of the log's thread share.
 *
 * Role: `struct aof`. queue.c has what any thread does; aof.c the thread and its life; layout.c chunks as they come to stand in
 * the file; writer.c writing, syncing, and a disk that fails; rewrite.c marks.
 * Threads: fields say whose they are; those of `struct aof_log` are the log thread's alone.
 * Invariants of struct aof_log:
 * I1 `kept` are the bytes of the file from `cut` to `end`, in whole chunks; what is before `cut` is on the disk as far as the
 *    setting asks for that.
 * I2 cut <= written <= end; they and every chunk's end are multiples of AOF_ALIGN, and `cut` is the end of a chunk or of the file as it was.
 * I3 after a failure nothing more is written to that file, and it is not synced.
 */
#pragma once

#include <pthread.h>

#include "aof/aof.h"

enum {
    AOF_SEGMENT_BYTES = 1 << 20,
    AOF_SEGMENT_POOL = 4,
    AOF_SELECT_CHUNK_MAX = 192,
    AOF_KEPT_MAX = 64 << 20, /* of bytes since the last sync: then it is time */
};

struct aof_log {
    struct aof_files files;
    int fd;
    bool failed;     /* the file: what is kept waits for a new one */
    bool broken;     /* there is a gap: chunks are dropped until a rewrite begins */
    bool frozen;     /* there was a gap: nothing more is safe until a rewrite is done */
    bool detached;   /* no manifest names the file yet */
    bool unsafe_cut; /* what is before `cut` was not synced, as the setting did not ask for it */
    int error;
    uint32_t db, cut_db; /* in force at `end` and at `cut` */
    uint64_t cut, written, end;
    uint64_t synced;  /* the header says it; 0 in a new file */
    uint64_t clean;   /* the same, or where this process began to write */
    uint64_t ahead;   /* the end of the lines that are written ahead, or less than `written` */
    bool never_ahead; /* it was refused, in this file */
    struct aof_chunk *kept, *last;
    struct aof_chunk *sealed;  /* the last one that a sync under way covers, or NULL */
    struct aof_chunk *writing; /* the first one that is not written to its end, or NULL */
    size_t writing_at;
    struct aof_chunk *free; /* segments */
    uint32_t free_count;
    uint64_t position, written_position, synced_position; /* in chunks */
    uint64_t last_sync_ns;                                /* when it began; monotonic */
    uint64_t retry_ns, retry_after_ns;
    uint32_t stamp; /* the second of the last #TS */
    struct aof_rewrite *rewrite;
    bool rewrite_spoiled;
    bool gap_now; /* the batch at hand may have a gap anywhere */
    bool told_failed;
    uint64_t unwritten;   /* bytes of chunks that are laid out, of those in the backlog */
    uint64_t other_bytes; /* of all files but the current one */
    struct aof_settings settings;
    struct aof_status status; /* published under the lock */
};

enum aof_syncer_state { SYNCER_IDLE, SYNCER_BUSY, SYNCER_DONE, SYNCER_END };

struct aof_syncer {
    pthread_t thread;
    atomic_u32
        state; /* futex, enum aof_syncer_state: the log's thread and the syncer's; seq_cst; it hands over the rest */
    bool started;
    int fd, result;
    uint64_t began_ns, took_ns;
    uint64_t offset, position; /* what it covers; the log's thread */
    uint32_t db;
};

struct aof {
    KRT_CACHE_ALIGNED atomic_ptr
        head;           /* struct aof_chunk: pushed by any, taken whole by the thread; seq_cst */
    atomic_u64 started; /* chunks that were, or are about to be, pushed; any; seq_cst */
    atomic_u64 gaps;    /* of them, those that there was no memory for; any; seq_cst */
    atomic_u64 backlog; /* bytes that wait to be written; any adds, the thread subtracts; relaxed */
    KRT_CACHE_ALIGNED atomic_u32 parked; /* futex: the thread sleeps; seq_cst */
    KRT_CACHE_ALIGNED atomic_u64 safe;   /* the thread; seq_cst, with `sleepers` */
    atomic_u64 synced;                   /* the same */
    atomic_u32 told;                     /* futex: counts what who waits is told; seq_cst */
    atomic_u32 called;                   /* counts aof_wake; seq_cst */
    atomic_u32 sleepers;                 /* who waits; seq_cst */
    atomic_u32 closing;                  /* who closes writes, the thread reads; seq_cst */
    atomic_u32 changed;                  /* aof_set has changed `wanted`; seq_cst */
    pthread_mutex_t lock;                /* a leaf: `wanted`, `status` */
    struct aof_settings wanted;
    struct aof_status status;
    struct aof_owner owner;
    pthread_t thread;
    struct aof_log log;
    struct aof_syncer syncer;
};

/* ---- queue.c ------------------------------------------------------------------------------------ */
void aof_queue_ring(struct aof *aof);
/* All that is queued, in its order; the gaps that may be before its end. */
struct aof_chunk *aof_queue_take(struct aof *aof, uint64_t *gaps);
/* Sleeps until something is queued or rung, or until the deadline. */
void aof_queue_park(struct aof *aof, uint64_t deadline_ns);
void aof_tell(struct aof *aof, uint64_t safe, uint64_t synced);

/* ---- layout.c ----------------------------------------------------------------------------------- */
/* The chunk comes to stand behind the others. It is the log's from here on. Needs no memory. */
void aof_layout_add(struct aof_log *log, struct aof_chunk *chunk);
/* All kept is on the disk, or need not be. */
void aof_layout_release(struct aof_log *log);
/* The same of what is sealed, up to an offset of the file, where that database is in force. */
void aof_layout_release_sealed(struct aof_log *log, uint64_t offset, uint32_t db);
/* The kept chunks become the beginning of another file; `select` receives what stands in front of them. */
size_t aof_layout_move(struct aof_log *log, char select[AOF_SELECT_CHUNK_MAX], uint64_t *end);
/* Nothing is kept; the next chunk is the first of a file, at `end` of it. */
void aof_layout_begin(struct aof_log *log, uint64_t end);
/* I1 and I2, in debug builds. */
void aof_layout_check(const struct aof_log *log);
void aof_layout_deinit(struct aof_log *log);

/* ---- writer.c ----------------------------------------------------------------------------------- */
/* Writes what is laid out, syncs if the setting asks for it now. Errors become states. */
void aof_write(struct aof *aof);
void aof_sync_if_due(struct aof *aof, uint64_t now);
/* When it has to look at the clock again: a sync or another attempt. */
uint64_t aof_next_look(const struct aof *aof);
/* Everything to the disk, whatever the setting. 0 or why not. */
int aof_sync_now(struct aof *aof);
/* Another attempt with a disk that failed. */
void aof_recover_if_due(struct aof *aof, uint64_t now);
int aof_recover(struct aof *aof);
/* There is a gap. */
void aof_break(struct aof *aof, int error);
/* A call failed; a sync, with which all since the last one may be lost, or a write. */
void aof_fail(struct aof *aof, int error, bool of_sync);
/* The file is done with: without what was written ahead, on the disk, closed. */
int aof_end_file(struct aof *aof);
/* Another file, empty or aligned, in place of the one before, which is closed. */
void aof_begin_file(struct aof *aof, int fd, uint64_t end);
void aof_tell_owner(struct aof *aof);
/* What is laid out is no part of the backlog any more. */
void aof_forget_unwritten(struct aof *aof);

void aof_note_sync(struct aof_log *log, uint64_t began_ns, uint64_t took_ns);

/* ---- syncer.c ----------------------------------------------------------------------------------- */
bool aof_syncer_is_idle(const struct aof *aof);
/* Syncs what is written. It must be idle. False: there is no thread for that. */
bool aof_syncer_ask(struct aof *aof);
/* If it is done, what came of it. */
void aof_syncer_collect(struct aof *aof);
/* Until it is idle. */
void aof_syncer_settle(struct aof *aof);
void aof_syncer_stop(struct aof *aof);

/* ---- rewrite.c ---------------------------------------------------------------------------------- */
/* At start: what is not named any more goes. */
void aof_clear_history(struct aof *aof);
/* How long all files are. */
void aof_measure(struct aof *aof);
