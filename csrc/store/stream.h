/* Streams: entries of fields by id, always a collection.
 *
 * Role: trees[0] has a record per entry, by id; trees[1] one per node of Redis's (store/stream_node.h) but
 * the last; `more` is the beginning of a struct stream. A record of an entry:
 *
 *   ms - base_ms, seq, shape + 1 or 0 | if 0: the names | the values, each with its length but the last
 *
 * with numbers as varints: counted from the first entry on, the time of an entry takes few bytes. The names of fields are the same in most entries of a stream, so lists of
 * names are kept once as *shapes*: blobs in a table that only grows. Names that it has no room for lie in
 * the record. Names are written as their number, then each with its length.
 *
 * A change goes in steps of which the first can fail and the others cannot:
 *
 *   append       stream_edit_open, stream_edit_prepare, stream_edit_append (and stream_edit_trim)
 *   erase        stream_edit_open, stream_edit_reserve_erasures, stream_edit_erase
 *   trim         stream_edit_open, stream_edit_reserve_trim, stream_edit_trim
 *   all of them  stream_edit_close, which also gives up what did not come to be
 *
 * A stream that has no entries stays, unlike other values.
 *
 * Threads: holder of the shard's baton. A frozen stream (collection_freeze) is read like any other, by any
 * thread; its shapes are its own counts.
 * Ownership: the collection owns its struct stream, that its shapes. Walks borrow from the stream until it changes.
 * Invariants, which collection_check asserts
 *   S1  Ids of entries grow, and none is over last_id. base_ms changes only while there is none.
 *   S2  The nodes are in order and apart; every entry lies in one, and `valid` counts its entries.
 *   S3  `tail` is the last node; tail.first is 0-0 if there is none, and then trees[1] is empty.
 *   S4  A shape that a record or a node names is in the table.
 * Errors: false for no memory, and nothing has changed.
 * Bounds: STREAM_SHAPES_MAX shapes of STREAM_SHAPES_BYTES_MAX together; fields of an entry
 * STREAM_ENTRY_BYTES_MAX together.
 */
#pragma once

#include "base/varint.h"
#include "store/collection.h"
#include "store/edit.h"
#include "store/stream_groups.h"
#include "store/stream_node.h"

enum {
    STREAM_SHAPES_MAX = 64,
    STREAM_SHAPES_BYTES_MAX = 32 * 1024,
    STREAM_ENTRY_BYTES_MAX = STREAM_LISTPACK_BYTES_MAX, /* names and values */
};

struct stream {
    struct collection_more more;
    struct stream_id last_id;        /* of what was added, even if it is gone */
    struct stream_id max_deleted_id; /* 0-0: nothing was */
    uint64_t entries_added;
    uint64_t base_ms; /* of the id of the entry that was the first */
    struct stream_node tail;
    struct blob **shapes;
    uint16_t shape_count, shape_room;
    uint16_t last_shape;  /* that was added to */
    uint32_t shape_bytes; /* of their names */
    uint64_t held_bytes;  /* of this, the table and the shapes, by usable size */
    struct stream_groups groups;
};

static inline struct stream *stream_of(const struct collection *collection) {
    return (struct stream *)collection->more;
}

static inline uint64_t stream_count(const struct collection *collection) {
    return collection->trees[0].count;
}

/* How many nodes Redis would have. */
static inline uint64_t stream_node_count(const struct collection *collection) {
    return collection->trees[1].count + !stream_id_is_zero(stream_of(collection)->tail.first);
}

/* Empty, of no key. NULL: no memory. */
struct collection *stream_new(struct node_heap *heap);

/* ---- Reading --------------------------------------------------------------------------------- */

struct stream_view {
    const struct tree *entries;
    struct blob *const *shapes;
    uint64_t base_ms;
};

static inline struct stream_view stream_view_of(const struct collection *collection) {
    const struct stream *stream = stream_of(collection);
    return (struct stream_view){&collection->trees[0], stream->shapes, stream->base_ms};
}

struct stream_field {
    struct bytes name, value;
};

/* An entry, and how far its fields are read. */
struct stream_walk {
    const struct stream_view *view;
    struct tree_path path;
    struct stream_id id;
    uint32_t shape;       /* index + 1; 0: the names are the record's own */
    uint32_t field_count; /* of the entry */
    uint32_t fields_left;
    const char *names, *values, *end; /* where to read on */
};

/* The first entry that is not before the id, and the last one that is not behind it. False: there is none. */
bool stream_seek_from(struct stream_walk *walk, const struct stream_view *view,
                      struct stream_id id);
bool stream_seek_back(struct stream_walk *walk, const struct stream_view *view,
                      struct stream_id id);
static inline bool stream_seek_first(struct stream_walk *walk, const struct stream_view *view) {
    return stream_seek_from(walk, view, (struct stream_id){0, 0});
}
static inline bool stream_seek_last(struct stream_walk *walk, const struct stream_view *view) {
    return stream_seek_back(walk, view, STREAM_ID_MAX);
}
/* The entry with this id. */
bool stream_find(struct stream_walk *walk, const struct stream_view *view, struct stream_id id);
bool stream_next(struct stream_walk *walk);
bool stream_prev(struct stream_walk *walk);
/* How many entries are before it. */
uint64_t stream_rank(const struct stream_walk *walk);
/* The fields of the entry one by one, as they lie there. False: it was the last. */
static inline bool stream_next_field(struct stream_walk *walk, struct stream_field *field) {
    if (walk->fields_left == 0) {
        return false;
    }
    uint64_t len = varint_read(&walk->names);
    field->name = bytes_of(walk->names, len);
    walk->names += len;
    len =
        --walk->fields_left > 0 ? varint_read(&walk->values) : (uint64_t)(walk->end - walk->values);
    field->value = bytes_of(walk->values, len);
    walk->values += len;
    return true;
}
/* Ids of the first and the last entry; 0-0 if there is none. */
struct stream_id stream_first_id(const struct collection *collection);
struct stream_id stream_last_entry_id(const struct collection *collection);

/* ---- Changing -------------------------------------------------------------------------------- */

enum stream_trim_by { STREAM_TRIM_NONE, STREAM_TRIM_BY_LENGTH, STREAM_TRIM_BY_ID };

struct stream_trim {
    uint8_t by;              /* enum stream_trim_by */
    bool approximate;        /* whole nodes only */
    uint64_t length;         /* this many entries stay */
    struct stream_id min_id; /* what is before it goes */
    uint64_t limit;          /* no node that makes it more than so many entries; 0: no limit */
};

struct stream_edit {
    struct edit_place place;
    struct entry *entry; /* NULL: the key is not there */
    struct node_heap *heap;
    struct collection *collection;
    struct stream *stream; /* of the collection */
    bool is_new;           /* the collection is not the entry's yet */
    bool created;          /* the edit made the key, which was not there */
    uint64_t bytes_before; /* of the entry's collection */
    /* What is to be appended. */
    struct stream_id id;
    struct stream_sizes sizes;
    uint32_t shape;      /* index + 1, or 0 */
    struct blob *names;  /* a shape that is not in the table yet */
    struct blob *blob;   /* a long record */
    uint32_t record_len; /* of a short one */
    bool same;           /* the node begins with these names */
    bool begins;         /* it begins a node */
    char record[LEAF_RECORD_MAX];
};

/* `entry` holds a stream, or is NULL: then one is made. False: no memory, and there is nothing to close. */
bool stream_edit_open(struct stream_edit *edit, const struct edit_place *place,
                      struct entry *entry);
/* Makes ready for one entry with this id, which is over last_id, and for a trim behind it (or NULL); `fields`
 * are `count` names, each followed by its value, of at most STREAM_ENTRY_BYTES_MAX together. A new stream is in its
 * place afterwards. False: no memory. */
bool stream_edit_prepare(struct stream_edit *edit, struct stream_id id, const struct bytes *fields,
                         uint64_t count, const struct stream_limits *limits,
                         const struct stream_trim *trim);
void stream_edit_append(struct stream_edit *edit);
/* Puts a new stream in its place, without an entry. False: no memory. */
bool stream_edit_store(struct stream_edit *edit);

/* For so many calls of stream_edit_erase. */
bool stream_edit_reserve_erasures(struct stream_edit *edit, uint64_t count);
/* Says whether there was such an entry. */
bool stream_edit_erase(struct stream_edit *edit, struct stream_id id);

bool stream_edit_reserve_trim(struct stream_edit *edit, const struct stream_trim *trim);
/* Returns how many entries went. */
uint64_t stream_edit_trim(struct stream_edit *edit, const struct stream_trim *trim);

void stream_edit_close(struct stream_edit *edit);

/* ---- Making one from what Redis has of it ------------------------------------------------------- */

/* An edit on a stream of nobody, which is empty: of any heap (store/build.h). What follows is done for one node of
 * Redis's after the other: the names that it begins with, its entries, and then the node. stream_edit_give ends it. False: no
 * memory, and there is nothing to give up. */
bool stream_edit_make(struct stream_edit *edit, struct node_heap *heap);
/* `fields` as for stream_edit_prepare. The names' shape is their number in the table plus 1, or 0. */
bool stream_edit_add_shape(struct stream_edit *edit, const struct bytes *fields, uint64_t count,
                           uint32_t *shape);
/* Behind all that are there, and over last_id, which it becomes. */
bool stream_edit_add_entry(struct stream_edit *edit, struct stream_id id,
                           const struct bytes *fields, uint64_t count);
/* Has all entries since the node before. */
bool stream_edit_add_node(struct stream_edit *edit, const struct stream_node *node);
/* The stream, or NULL if it is to be given up. */
struct collection *stream_edit_give(struct stream_edit *edit, bool whole);
