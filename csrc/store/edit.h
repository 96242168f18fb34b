/* Changing a value of many elements.
 *
 * Role: an edit is opened on what a key holds, changes it, and is committed or given up. A packed value is
 * changed in a draft, which the commit puts in its place; a collection is changed where it is. What can
 * fail comes first: edit_reserve (and edit_keep for long records) before the first change. Nothing can
 * fail from then on but the commit of a draft, which leaves the key as it was.
 *
 *   edit_open, edit_reserve, find and change as often as was reserved, edit_commit or edit_close
 *
 * Threads: holder of the shard's baton.
 * Ownership: the edit is its owner's memory; edit_commit and edit_close end it. Walks over edit->view are
 * good until the next change.
 */
#pragma once

#include "store/collection.h"

struct edit_place {
    struct keyspace *keyspace;
    uint32_t db;
    uint64_t hash;
    struct bytes key;
};

struct edit {
    struct edit_place place;
    struct entry *entry; /* NULL: the key is not there */
    struct collection_view view;
    struct collection *collection; /* NULL: in the draft */
    bool created;                  /* the commit made the key, which was not there */
    bool is_new;                   /* the collection is not the entry's yet */
    bool marked;                   /* the entry is an expiring hash for the sake of this edit */
    uint64_t bytes_before;         /* of what is in the entry's collection */
    struct blob **kept;
    uint32_t kept_count, kept_next;
    char draft[PACK_BYTES_MAX];
};

/* `entry` holds a value of the type, or is NULL: then the value is made. */
void edit_open(struct edit *edit, const struct edit_place *place, struct entry *entry,
               enum value_type type);
/* As if the key was not there: the value is made anew, and the commit puts it in the place of `entry`, of
 * whatever type that is. */
void edit_open_anew(struct edit *edit, const struct edit_place *place, struct entry *entry,
                    enum value_type type);
/* For so many changes, of which insertions and replacements bring so many bytes. False: no memory. */
bool edit_reserve(struct edit *edit, uint64_t changes, uint64_t bytes);
/* The same for changes that only erase. */
bool edit_reserve_erasures(struct edit *edit, uint64_t changes);
/* For a first deadline of a field, in a hash whose key is there: comes last of what can fail. False: no
 * memory. */
bool edit_reserve_deadlines(struct edit *edit);
/* Keeps a blob for a record of over LEAF_RECORD_MAX bytes, and takes over a count of it; NULL (no memory
 * for the blob) is false too. edit_kept gives them out in the same order. */
bool edit_keep(struct edit *edit, struct blob *blob);
struct bytes edit_kept(struct edit *edit);
/* A copy of a long record to keep; a short one needs nothing. */
bool edit_keep_copy(struct edit *edit, struct bytes record);
static inline struct bytes edit_record(struct edit *edit, struct bytes record) {
    return record.len > LEAF_RECORD_MAX ? edit_kept(edit) : record;
}

/* Before the element at the walk; in a set, hash or sorted set where walk_find or walk_find_score left it.
 * key: as in a walk. The walk is used up by each of these. */
void edit_insert(struct edit *edit, struct walk *walk, const struct record_key *key,
                 struct bytes record);
void edit_replace(struct edit *edit, struct walk *walk, const struct record_key *key,
                  struct bytes record);
void edit_erase(struct edit *edit, struct walk *walk);
/* Elements [rank, rank + count), of a list. */
void edit_erase_range(struct edit *edit, uint64_t rank, uint64_t count);

/* Puts the value in its place, with this deadline. An empty value is for the caller to delete. False: no
 * memory, the key is as it was. */
bool edit_commit_with(struct edit *edit, int64_t deadline_ms);
/* With the deadline that it has. */
bool edit_commit(struct edit *edit);
/* After edit_reserve_erasures: cannot fail. */
void edit_commit_erasures(struct edit *edit);
/* Gives up what is not in its place yet: for an edit that changed nothing, or whose reserve failed. */
void edit_close(struct edit *edit);
