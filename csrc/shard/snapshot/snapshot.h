/* A snapshot: everything that the server holds at one instant, as an RDB file, without a second process and without a stall.
 *
 * Role: the cut is O(shards) under all batons. From then on each shard thread walks its part in slices; what is changed before the
 * walk comes to it is kept as it was, just before its first change (store/snapshot.h). A thread of the snapshots' own takes
 * what is kept, encodes it, large values from their frozen trees, and gives the bytes to the sink.
 * Threads: as said at each function. One snapshot at a time.
 * Ownership: the sink is its owner's memory until `done`.
 * Invariants: every key that was there at the cut is in it once, as it was then; nothing else is.
 * Errors: refused memory, or a sink that says no, end the snapshot, and never a command. The walk of one that has ended goes
 * on without output, since all entries must have the new mark before the next cut.
 * Bounds: the walk pauses while more than SNAPSHOT_QUEUE_BYTES wait to be encoded; what is kept before a change is not
 * bounded, and no part of used_memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

struct fabric;
struct shard;
struct snapshot;

enum { SNAPSHOT_QUEUE_BYTES = 8 << 20 };

enum snapshot_result { SNAPSHOT_DONE, SNAPSHOT_FAILED, SNAPSHOT_ABORTED };

struct snapshot_sink { /* all on the snapshots' thread, without batons */
    bool (*write)(struct snapshot_sink *sink, const void *at, size_t len); /* false: give up */
    /* Another snapshot may begin from here on, but for what comes of SNAPSHOT_ABORTED and SNAPSHOT_FAILED: its walk goes on for a
     * moment. */
    void (*done)(struct snapshot_sink *sink, enum snapshot_result result);
};

struct snapshot_options {
    bool is_base;     /* of an append-only log: says so in its head */
    bool as_commands; /* no dump but a log that makes the data anew */
    bool compress, checksum;
};

/* The cut. With all batons held, between two calls. 0, -EBUSY (one is being made), or another negative errno value; `done` comes
 * only after 0. */
int snapshot_begin(struct fabric *fabric, struct snapshot_sink *sink,
                   const struct snapshot_options *options);
/* Any thread. True also while the walk of one that has ended goes on. */
bool snapshot_is_running(const struct fabric *fabric);
/* Any thread; `done` comes with SNAPSHOT_ABORTED, soon, if one is running. */
void snapshot_abort(struct fabric *fabric);

/* How far the one that runs is, or the last one was. Any thread. */
struct snapshot_progress {
    uint64_t keys, keys_done, bytes_written;
};
void snapshot_progress_get(const struct fabric *fabric, struct snapshot_progress *out);

/* DEBUG KEVYRT-SNAPSHOT: so many entries in a slice (0: as many as there is time for), and so long between two. Any thread. */
void snapshot_set_pace(struct fabric *fabric, uint32_t entries, uint32_t pause_us);

/* ---- For the fabric and the loop ----------------------------------------------------------------- */
/* NULL: no memory. */
struct snapshot *snapshot_new(struct fabric *fabric);
void snapshot_free(struct snapshot *snapshot);
/* The shard threads have ended, batons are closed: aborts what runs and ends the thread. */
void snapshot_stop(struct fabric *fabric);
/* The shard thread, in a turn with its own baton alone, while the keyspace has a part: goes on with the walk. */
void snapshot_tend(struct shard *shard);
