/* What a checkpoint has kept: items one behind the other. Private to store/checkpoint.c and store/rewind.c.
 *
 * Threads and ownership: as store/checkpoint.h says.
 */
#pragma once

#include "store/checkpoint.h"
#include "store/database.h"

enum { CHECKPOINT_BUFFER_BYTES = 64 << 10, CHECKPOINT_AHEAD = 16 };

enum checkpoint_where {
    CHECKPOINT_CREATED, /* the key was not there */
    CHECKPOINT_HERE,    /* value_len bytes behind the key: a string, or a pack */
    CHECKPOINT_BLOB,    /* counted */
    CHECKPOINT_TREE,    /* a copy of the collection */
    CHECKPOINT_EMPTY,   /* it was put back */
};

struct checkpoint_item {
    uint64_t hash;
    struct database *database;
    int64_t deadline_ms; /* 0: none */
    union {
        struct blob *blob;
        struct collection *collection;
    };
    uint64_t outside_bytes; /* of that, taken off what is used */
    /* Between prepare and commit: what is there now, and what takes its place. NULL: it is put into `found`. */
    struct entry *found, *entry;
    uint32_t key_len, value_len, access;
    uint8_t type, forms; /* as in the entry: forms of ENTRY_FORM */
    uint8_t where;       /* enum checkpoint_where */
    char key[];
};

struct checkpoint_buffer {
    struct checkpoint_buffer *next;
    size_t len, capacity;
    char at[];
};

struct checkpoint_part {
    struct keyspace *keyspace;
    struct checkpoint_buffer *first, *last;
    struct database **databases; /* by number, as they were; NULL: empty */
    uint64_t kept, created;      /* items */
    bool failed, walks;          /* checkpoint.h */
};

static inline struct bytes item_key(const struct checkpoint_item *item) {
    return bytes_of(item->key, item->key_len);
}

static inline struct bytes item_value(const struct checkpoint_item *item) {
    return item->where == CHECKPOINT_BLOB ? blob_bytes(item->blob)
                                          : bytes_of(item->key + item->key_len, item->value_len);
}

/* Is the entry what it was at the checkpoint? Of a database of the checkpoint. */
static inline bool is_unchanged(const struct keyspace *keyspace, const struct entry *entry) {
    return (entry->flags ^ keyspace->mark) & ENTRY_CHECK;
}

/* Items in the order in which they were kept. */
struct checkpoint_walk {
    struct checkpoint_buffer *buffer;
    size_t offset;
};
struct checkpoint_item *checkpoint_next(struct checkpoint_walk *walk);
/* Up to CHECKPOINT_AHEAD of them, with the memory of what they lead to fetched. */
uint32_t checkpoint_next_group(struct checkpoint_walk *walk,
                               struct checkpoint_item *items[CHECKPOINT_AHEAD]);
