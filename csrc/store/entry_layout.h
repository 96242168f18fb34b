/* The bytes of an entry, and how store/ makes, changes and frees one. Private to store/; entry.h
 * includes it so that reading an entry needs no call.
 *
 * Layout: 8-byte header | deadline (8, if ENTRY_DEADLINE) | pointer (8, if ENTRY_POINTER) | key
 * length (4, if the key is over 254 bytes) | key | inline value. Nothing is padded; the cell is
 * rounded to 8. A value is inline if the whole entry then fits a slab cell; else the pointer leads
 * to a blob, or to a collection (store/collection.h) if the type says so. An entry that does not fit a cell even so (a key of almost 500 bytes) is from
 * mem_alloc.
 */
#pragma once

#include "base/blob.h"
#include "base/bytes.h"
#include "store/slab.h"

enum entry_flags { /* the first two give the offset of the key: see entry_key_offset */
                   ENTRY_DEADLINE = 1,
                   ENTRY_POINTER = 2,
                   ENTRY_RAW = 4,     /* OBJECT ENCODING says raw, whatever the length */
                   ENTRY_OUTSIDE = 8, /* the entry is from mem_alloc, not from the slab */
                   ENTRY_TEXT = 16,   /* OBJECT ENCODING does not say int, though it reads as one */
                   ENTRY_FORM = ENTRY_RAW | ENTRY_TEXT,
                   ENTRY_MARK = 64,   /* of snapshots (store/snapshot.h); says nothing by itself */
                   ENTRY_CHECK = 128, /* the same of checkpoints (store/checkpoint.h) */
                   ENTRY_MARKS = ENTRY_MARK | ENTRY_CHECK,
};

enum entry_form { /* of a value, beside its type */
                  FORM_TYPE_MASK = 0x0f,
                  FORM_TREE = 0x10,     /* the pointer leads to a collection */
                  FORM_LARGE = 0x20,    /* OBJECT ENCODING has the name of large values */
                  FORM_EXPIRES = 0x40,  /* a hash of which some field has a deadline */
                  FORM_INTEGERS = 0x80, /* a set that was only ever given integers */
                  FORM_TIMED = 0x80, /* a hash whose fields were to have deadlines at some time */
};

enum { ENTRY_HEADER_BYTES = 8, ENTRY_KEY_LONG = 255 };

struct access_clock; /* store/access.h */
struct collection;   /* store/collection.h */
struct node_heap;    /* store/node.h */

struct entry {
    uint8_t type; /* enum value_type, and entry_form in the high bits */
    uint8_t flags;
    uint8_t key_len;    /* ENTRY_KEY_LONG: the length follows */
    uint8_t access[3];  /* clock or frequency, for eviction */
    uint16_t value_len; /* of an inline value */
    char tail[];
};
_Static_assert(sizeof(struct entry) == ENTRY_HEADER_BYTES, "an entry's header is 8 bytes");

/* Where the memory of a database's entries comes from. */
struct entry_store {
    struct slab_heap *heap;
    struct mem_account *account;
    struct node_heap *nodes;
    const struct access_clock *access; /* what new entries begin with, */
    const uint8_t *mark;               /* and the mark that they get: the keyspace's */
    uint64_t outside_count;            /* entries with something that the heap does not own */
    uint64_t outside_bytes; /* of those: blobs, shared ones too, and entries from mem_alloc */
};

static inline size_t entry_key_offset(const struct entry *entry) {
    unsigned flags = entry->flags;
    size_t offset = (flags & ENTRY_DEADLINE) * 8 + (flags & ENTRY_POINTER) * 4;
    return offset + (entry->key_len == ENTRY_KEY_LONG ? 4 : 0);
}

static inline uint32_t entry_key_len(const struct entry *entry) {
    if (entry->key_len != ENTRY_KEY_LONG) {
        return entry->key_len;
    }
    uint32_t len;
    memcpy(&len, entry->tail + entry_key_offset(entry) - sizeof len, sizeof len);
    return len;
}

static inline struct bytes entry_key_inline(const struct entry *entry) {
    return bytes_of(entry->tail + entry_key_offset(entry), entry_key_len(entry));
}

static inline int64_t entry_deadline_inline(const struct entry *entry) {
    int64_t deadline = 0;
    if (entry->flags & ENTRY_DEADLINE) {
        memcpy(&deadline, entry->tail, sizeof deadline);
    }
    return deadline;
}

static inline bool entry_has_deadline(const struct entry *entry) {
    return entry->flags & ENTRY_DEADLINE;
}

/* A hash of which some field has a deadline. */
static inline bool entry_is_expiring(const struct entry *entry) {
    return entry->type & FORM_EXPIRES;
}

static inline char *entry_pointer_field(const struct entry *entry) {
    return (char *)(uintptr_t)entry->tail + (entry->flags & ENTRY_DEADLINE) * 8;
}

static inline struct blob *entry_blob(const struct entry *entry) {
    struct blob *blob;
    memcpy(&blob, entry_pointer_field(entry), sizeof blob);
    return blob;
}

static inline bool entry_is_tree(const struct entry *entry) {
    return entry->type & FORM_TREE;
}

static inline struct collection *entry_collection(const struct entry *entry) {
    struct collection *collection;
    memcpy(&collection, entry_pointer_field(entry), sizeof collection);
    return collection;
}

/* ---- Life: entry.c --------------------------------------------------------------------------- */

/* A string entry with copies of key and value, or NULL. A value flagged BYTES_BLOB that does not
 * fit inline gains a reference instead of being copied. */
struct entry *entry_new_string(struct entry_store *store, struct bytes key, struct bytes value,
                               int64_t deadline_ms);
/* Puts a new value and deadline into the entry if the parts stay where they are: 1 done, 0 it does
 * not fit, -1 no memory. The value may be the entry's own. */
int entry_assign_string(struct entry *entry, struct entry_store *store, struct bytes value,
                        int64_t deadline_ms);
/* The same for a packed value, of the same type and with the deadline that is there. */
int entry_assign_pack(struct entry *entry, struct entry_store *store, uint8_t type,
                      struct bytes pack);
/* The same for one that is not longer, wherever its parts are and without memory; its cell may be larger than
 * it needs. */
void entry_shrink_pack(struct entry *entry, uint8_t type, struct bytes pack);
/* Would a value so long, of any type, lie where that of the entry lies, with no memory needed? */
bool entry_has_room(const struct entry *entry, uint32_t value_len, bool has_deadline);
/* Puts it there: a packed value or a string, whose forms are `forms`. */
void entry_rewrite(struct entry *entry, uint8_t type, uint8_t forms, struct bytes value,
                   int64_t deadline_ms);
/* A paged string becomes one blob. False: no memory. */
bool entry_join_string(struct entry *entry, struct entry_store *store);
/* Takes the collection over. NULL: no memory, the collection is the caller's. */
struct entry *entry_new_collection(struct entry_store *store, struct bytes key, uint8_t type,
                                   struct collection *collection, int64_t deadline_ms);
/* Makes the value `len` bytes long, not shorter than it is, what is new being zero, and the entry's own to be
 * written into, if the parts stay where they are: 1 done, 0 it does not fit, -1 no memory. */
int entry_grow_string(struct entry *entry, struct entry_store *store, uint32_t len);
/* A copy with another key or deadline (0: none), perhaps in another store, which takes the value
 * over; the old entry must then be given to entry_drop. NULL: no memory, nothing happened. */
struct entry *entry_copy_as(const struct entry *entry, struct entry_store *store, struct bytes key,
                            int64_t deadline_ms);
/* Undoes it: the original keeps its value. */
void entry_discard_copy(struct entry *copy, const struct entry *original,
                        struct entry_store *store);
/* A copy with a value of its own; blobs are shared, since nobody changes them. The nodes of a collection are
 * copied. NULL: no memory. */
struct entry *entry_duplicate(const struct entry *entry, struct entry_store *store,
                              struct bytes key, int64_t deadline_ms);
void entry_put_deadline(struct entry *entry, int64_t deadline_ms); /* which it has already */
void entry_free(struct entry *entry, struct entry_store *store);
void entry_drop(struct entry *entry, struct entry_store *store); /* not its value */
/* Puts what the heap does not own, the entry itself included. Returns whether there was any. */
bool entry_free_outside(struct entry *entry, struct entry_store *store);
/* What the heap does not own, a shared blob included. */
uint64_t entry_outside_bytes(const struct entry *entry);
