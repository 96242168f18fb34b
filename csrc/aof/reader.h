/* One file of a log, read: ours, Redis's, or ours with what Redis has appended.
 *
 * Role: gives the commands of a file in order, in batches, with their offsets. What belongs together (MULTI to EXEC) is in one
 * batch and marked; MULTI and EXEC themselves are left out, and so are annotations. Of a chunk of ours nothing is given out
 * before all of it was read and its checksum is right. What was written ahead is passed over.
 * Ends: a file that ends inside of something ends there as if it had been cut (AOF_READ_TORN: `whole` is where), unless a
 * later chunk says that the file was synced beyond it: then something was lost that was promised (AOF_READ_DAMAGED). What
 * has no chunks around it follows Redis's rules: an end inside of a command is torn, a form that is none is damage.
 * Threads: one at a time. It blocks in `disk`: never with a baton held.
 * Ownership: a batch is its caller's, and what is in it stays until it is filled again.
 * Errors: enum aof_read, with `text`; nothing more can be read then.
 * Bounds: memory of a batch is that of a block, or of what belongs together if that is longer; lengths that the file
 * cannot hold are not believed.
 */
#pragma once

#include "base/bytes.h"
#include "plat/disk.h"

enum aof_read {
    AOF_READ_SOME, /* there is something in the batch */
    AOF_READ_END,
    AOF_READ_TORN,
    AOF_READ_DAMAGED,
    AOF_READ_UNTIL,  /* what comes next is later than `until` */
    AOF_READ_FAILED, /* the disk's error is in `number` */
    AOF_READ_NO_MEMORY,
};

struct aof_command {
    uint64_t offset;      /* in the file */
    uint32_t first, argc; /* its words are args[first] and those behind it */
    bool joined;          /* belongs with the one before it: nobody may see one without the other */
};

struct aof_batch {
    char *data;
    size_t len, data_capacity;
    struct bytes *args;
    struct aof_command *commands;
    uint32_t arg_count, arg_capacity, count, capacity;
};

struct aof_reader {
    const struct disk *disk;
    int fd;
    uint64_t size;             /* of the file, when it was opened */
    uint64_t whole;            /* up to here it is whole, and nothing was written ahead */
    int64_t until;             /* seconds: no annotation may be later; INT64_MAX: whatever */
    int64_t timestamp;         /* of the last annotation; 0: there was none */
    uint64_t chunks, commands; /* seen so far */
    uint64_t error_offset;     /* of what is torn, or damaged */
    int number;
    char text[160]; /* why */
    /* From here on the reader's own. */
    char *rest; /* read, and not yet given out */
    size_t rest_len, rest_capacity;
    uint64_t rest_offset;            /* where in the file it begins */
    uint64_t ahead_start, ahead_end; /* of what was written ahead; 0: nothing was */
    bool after_chunk;                /* what is next follows a chunk of ours */
};

/* From `offset` of the file on (behind an RDB preamble). 0 or a negative errno value. */
int aof_reader_open(struct aof_reader *reader, const struct disk *disk, const char *path,
                    uint64_t offset);
void aof_reader_close(struct aof_reader *reader);
enum aof_read aof_reader_next(struct aof_reader *reader, struct aof_batch *batch);
void aof_batch_deinit(struct aof_batch *batch);
