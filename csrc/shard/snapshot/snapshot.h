/* A snapshot: everything that the server holds at one instant, as an RDB file, without a second process and without a stall.
 *
 * Role: the cut is O(shards) under all batons. From then on each shard thread walks its part in slices; what is changed before the
 * walk comes to it is saved as it was, just before its first change (store/snapshot.h). A thread of the snapshot's own takes what
 * was encoded, encodes large values from their frozen trees, and gives the bytes to the sink.
 * Threads: as said at each function. One snapshot at a time.
 * Ownership: the sink is its owner's memory until `done`.
 * Invariants: every key that was there at the cut is in it once, as it was then; nothing else is.
 * Errors: refused memory, or a sink that says no, end the snapshot, and never a command. The walk of one that has ended goes
 * on without output, since all entries must have the new mark before the next cut.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fabric;

enum snapshot_result { SNAPSHOT_DONE, SNAPSHOT_FAILED, SNAPSHOT_ABORTED };

struct snapshot_sink { /* both on the snapshot's thread */
    bool (*write)(struct snapshot_sink *sink, const void *at, size_t len); /* false: give up */
    void (*done)(struct snapshot_sink *sink, enum snapshot_result result);
};

struct snapshot_options {
    bool is_base; /* of an append-only log: says so in its head */
    bool compress, checksum;
};

/* The cut. With all batons held, between two calls. 0, -EBUSY (one is being made), or another negative errno value; `done` comes
 * only after 0. */
int snapshot_begin(struct fabric *fabric, struct snapshot_sink *sink,
                   const struct snapshot_options *options);
bool snapshot_is_running(const struct fabric *fabric);
/* Any thread; `done` comes with SNAPSHOT_ABORTED, soon. */
void snapshot_abort(struct fabric *fabric);
