/* Redis's dump files and payloads, read.
 *
 * Role: reads bytes that anybody may have made, and puts what they say into keyspaces. A damaged or hostile input is an error
 * that names its offset, and nothing else.
 * Threads: any. rdb_load decodes without a baton and enters a shard through `target` for a short piece of work at a
 * time, however large a value is; rdb_restore runs with the baton of the key's shard.
 * Errors: enum rdb_status, with `text` and `offset` of the input.
 */
#pragma once

#include "rdb/rdb.h"
#include "store/edit.h"
#include "store/small.h"

enum rdb_status {
    RDB_OK,
    RDB_TRUNCATED, /* it ends too soon */
    RDB_DAMAGED,   /* it cannot be, or the checksum is another one */
    RDB_UNKNOWN,   /* a newer version, a module's value */
    RDB_DUPLICATE, /* a key twice */
    RDB_NO_MEMORY,
    RDB_STOPPED, /* `enter` or `refill` said so */
};

struct rdb_input {
    const char *at, *end;
    /* The input is used up: puts more at `at` (what is between `at` and `end` stays in front). 0 at the end of it, 1, or a
     * negative errno value. NULL: all of it is there. */
    int (*refill)(struct rdb_input *input);
    void *context;
    uint64_t offset;    /* of `at` */
    bool skip_checksum; /* rdbchecksum no */
    char text[160];     /* of an error */
};

struct rdb_target {
    void *context;
    const struct hash_seed *hash_seed;
    struct small_limits small;         /* by which OBJECT ENCODING names what is read */
    uint32_t database_count, first_db; /* database n of the file is first_db + n */
    uint32_t shard_count;              /* keys of equal hash_shard are in one keyspace */
    /* The keyspace in which keys of the hash live, with its baton. NULL: give up. Without such a function everything is read
     * and nothing kept. */
    struct keyspace *(*enter)(void *context, uint64_t hash);
    void (*leave)(void *context, struct keyspace *keyspace);
    bool replace;           /* a key that is there already gives way; else it is an error */
    int64_t drop_before_ms; /* keys whose deadline is before it are left out; 0: none are */
    /* A library of functions; NULL: they are left out. */
    bool (*function)(void *context, struct bytes code);
    void (*aux)(void *context, struct bytes name, struct bytes value); /* may be NULL */
    uint64_t keys, dropped;                                            /* counted */
};

/* A whole file, from "REDIS" to the checksum; `input` is behind it then (an append-only log may follow). */
enum rdb_status rdb_load(struct rdb_input *input, struct rdb_target *target);

/* RESTORE: checks version and checksum of a payload, and puts its value in the place of `found` (NULL: there is none).
 * out NULL: it is only looked at. */
bool rdb_dump_is_valid(struct bytes payload);
enum rdb_status rdb_restore(struct bytes payload, const struct small_limits *small,
                            const struct edit_place *place, int64_t deadline_ms,
                            struct entry *found, struct entry **out);
