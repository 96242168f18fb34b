/* An RDB file to be read: a path, bytes, or a snapshot that was taken in memory.
 *
 * Role: gives rdb_load its input (rdb/reader.h), in pieces where it comes from a file, and says whether it may go on.
 * Threads: one at a time, without a baton; `cancelled` is looked at, and `progress` written, from there.
 * Ownership: bytes, path and snapshot are borrowed until dump_source_close.
 * Errors: negative errno values.
 */
#pragma once

#include "plat/disk.h"
#include "rdb/reader.h"
#include "server/kevyrt.h"

struct dump_source {
    struct rdb_input input;
    const struct disk *disk;
    const char *path; /* NULL: bytes, or a snapshot */
    const struct kevyrt_snapshot *snapshot;
    int fd, error;   /* of the last read */
    uint64_t total;  /* bytes, as of the opening */
    uint64_t offset; /* of what is read next */
    char *buffer;
    size_t capacity;
    const atomic_u32 *cancelled; /* not 0: whoever reads is told to stop; any thread, relaxed */
    /* What is read, for who keeps a copy: 0 or a negative errno value, which ends the reading. NULL: nobody does. */
    int (*copy)(void *context, const void *at, size_t len);
    void *copy_context;
    bool copy_failed;     /* `error` is its */
    atomic_u64 *progress; /* bytes read so far; may be NULL; whoever shows it, relaxed */
};

/* 0 or a negative errno value, with nothing to close. */
int dump_source_open(struct dump_source *source, const struct disk *disk,
                     const struct kevyrt_source *from, const atomic_u32 *cancelled);
/* Of bytes, all of them are copied by this. Behind it, and before rdb_load. */
int dump_source_begin(struct dump_source *source);
void dump_source_close(struct dump_source *source);
/* Nothing comes behind what was read. Reads on to find out. */
bool dump_source_is_at_end(struct dump_source *source);
/* Fills `error` with what rdb_load said, and returns the status for it. */
enum kevyrt_status dump_source_fail(const struct dump_source *source, enum rdb_status status,
                                    struct kevyrt_error *error);
