/* What is kept of a keyspace as it was at one instant, while it changes.
 *
 * Role: every entry has a mark, and the keyspace has the mark that new entries get. As a rule they are the same. The cut turns the
 * keyspace's: from then on an entry with the other mark is *unsaved*. It is kept before its first change (keyspace_preserve,
 * keyspace.h) or when the walk comes to it, whichever is first, and has the new mark from then on. So everything that was there
 * at the cut is kept once, as it was, and nothing else. When the walk is through, all marks are the same again.
 * What is kept is an item in a buffer, which goes to the taker when it is full: small values are copied, of a blob a
 * count is taken, a collection is frozen (store/collection.h). Marks do not go with the number of a database but with its tables: what
 * FLUSHALL, SWAPDB or a restore does to those changes nothing, and a detached database stays until the thaw.
 * Threads: the holder of the baton. A buffer is its taker's: any thread, until the thaw.
 * Ownership: the part is the memory of who makes the snapshot, from init to deinit; the keyspace borrows it from the cut to the thaw.
 * Invariants
 *   S1  Without a part, every entry of the keyspace has its mark.
 *   S2  Every change of an entry comes behind keyspace_preserve: functions of store/ call it themselves; who writes into
 *       a value directly (BITOP, the groups of a stream) calls it first.
 *   S3  The bytes of a blob that is kept are not written: who does that looks at its count (blob_is_own) behind keyspace_preserve.
 * Errors: without memory the part has `failed`; what is met from then on gets the new mark and is not kept. A command
 * never fails for it.
 * Bounds: a buffer is KEPT_BUFFER_BYTES, or one item.
 */
#pragma once

#include "store/collection.h"

enum { KEPT_BUFFER_BYTES = 64 << 10 };
enum { KEPT_NO_DB = UINT32_MAX };

enum kept_where { KEPT_HERE, KEPT_BLOB, KEPT_FROZEN };

struct kept_item {
    int64_t deadline_ms; /* 0: none */
    union {
        struct blob *blob;             /* KEPT_BLOB: counted */
        struct collection *collection; /* KEPT_FROZEN */
    };
    uint32_t db, key_len;
    uint32_t value_len; /* KEPT_HERE: behind the key */
    uint8_t type;       /* and forms, as in the entry */
    uint8_t where;      /* enum kept_where */
    char key[];
};

struct kept_buffer {
    struct kept_buffer *next; /* of the taker */
    size_t len, capacity;
    char at[];
};

/* Who gets the buffers. */
struct kept_taker {
    void (*take)(struct kept_taker *taker, struct kept_buffer *buffer); /* any holder of a baton */
    atomic_u32
        over; /* enum kept_over: nothing more is to be kept; any sets, holders of batons read, relaxed */
};

enum kept_over { KEPT_OVER_FAILED = 1, KEPT_OVER_ABORTED = 2 };

/* A database as it was at the cut, and how far the walk is in it. */
struct kept_database {
    struct database *database;
    uint64_t cursor;
};

struct snapshot_part {
    struct keyspace *keyspace;
    struct kept_taker *taker;
    struct kept_buffer *filling;
    struct kept_database *databases;
    uint32_t count, room, at; /* `at`: where the walk is; count: it is through */
    bool failed;
    bool walked;         /* its taker's */
    uint64_t keys, kept; /* at the cut, in databases that count; so far */
};

/* With the baton, before the cut and in the same holding. False: no memory, nothing is left. */
bool snapshot_part_init(struct snapshot_part *part, struct keyspace *keyspace,
                        struct kept_taker *taker);
void snapshot_part_deinit(struct snapshot_part *part);
/* O(databases). All keyspaces of a server at once: their node heaps are frozen. */
void keyspace_cut(struct keyspace *keyspace, struct snapshot_part *part);
/* Goes over about so many entries more. True: it is through, and the last buffer is the taker's. */
bool snapshot_part_walk(struct snapshot_part *part, uint32_t entries);
/* Behind the walk, all keyspaces at once, nobody reads frozen values. O(1). What waited for it is put in front of the list,
 * to be freed by anybody. */
void keyspace_thaw(struct keyspace *keyspace, struct garbage **waited);

/* ---- Taken buffers: any thread ------------------------------------------------------------------- */

static inline struct bytes kept_key(const struct kept_item *item) {
    return bytes_of(item->key, item->key_len);
}
/* The value, unless it is KEPT_FROZEN. */
struct bytes kept_value(const struct kept_item *item);
/* From 0 on; NULL: that was the last one. */
struct kept_item *kept_next(struct kept_buffer *buffer, size_t *offset);
/* Gives back what the item has a count of. Before the thaw. */
void kept_release(struct kept_item *item);
/* Frees a buffer whose items from `offset` on are not released yet. */
void kept_buffer_free(struct kept_buffer *buffer, size_t offset);
