/* Deadlines of the fields of a hash, below commands (store/edit.h, store/hash_field.h).
 *
 * Role: keeps the second tree of a large hash, which leads to the fields whose time has come without
 * looking at the others. A pack is short enough to be gone through. FORM_EXPIRES says that some field has
 * a deadline; hashes without it cost nothing here.
 * Threads, ownership: store/edit.h. Time is an argument: a field is due from its deadline on.
 * Invariants
 *   H1  A hash has FORM_EXPIRES exactly if one of its fields has a deadline.
 *   H2  The second tree has the record (deadline, hash of the name) exactly if a field with that hash has
 *       that deadline; it is there once, however many such fields there are.
 *   H3  The hashes with FORM_EXPIRES are in their database's table of them (store/keyspace.h, K5).
 * Bounds: a new deadline is FIELDS_CHANGES changes (edit_reserve) and FIELDS_RECORD_MAX bytes more than its
 * record; anything else is one change.
 */
#pragma once

#include "store/edit.h"
#include "store/hash_field.h"

enum { FIELDS_CHANGES = 2, FIELDS_RECORD_MAX = 2 * VARINT_BYTES_MAX };

static inline bool fields_have_deadlines(const struct collection_view *view) {
    return KRT_UNLIKELY(view->type & FORM_EXPIRES);
}

static inline bool field_is_due(const struct hash_field *field, int64_t now_ms) {
    return KRT_UNLIKELY(field->deadline_ms != 0) && field->deadline_ms <= now_ms;
}

/* For the second tree: the field at the walk (NULL: there is none yet) is about to get this deadline. The hash is
 * of its name, for a tree. */
void fields_move(struct edit *edit, const struct walk *walk, uint64_t hash, int64_t deadline_ms);

/* Puts a field in its place, with its deadline; the record is what hash_field_write makes of it, kept
 * (edit_kept) if it is long. True: the field is new. */
static inline bool fields_put(struct edit *edit, const struct hash_field *field,
                              struct bytes record) {
    struct walk walk;
    const struct hash_seed *seed = edit->place.keyspace->hash_seed;
    bool found = walk_find(&walk, &edit->view, seed, field->name);
    struct record_key key = {found ? walk.key.order : element_hash(seed, field->name), 0};
    if (fields_have_deadlines(&edit->view) || KRT_UNLIKELY(field->deadline_ms != 0)) {
        fields_move(edit, found ? &walk : NULL, key.order, field->deadline_ms);
    }
    if (found) {
        edit_replace(edit, &walk, &key, record);
    } else {
        edit_insert(edit, &walk, &key, record);
    }
    return !found;
}

/* False: there is no such field. */
bool fields_erase(struct edit *edit, struct bytes name);
/* The one at the walk, which is used up. */
void fields_erase_at(struct edit *edit, struct walk *walk);
/* The field that has been due for longest. False: none is. */
bool fields_first_due(const struct collection_view *view, int64_t now_ms, struct walk *walk);
uint64_t fields_count_due(const struct collection_view *view, int64_t now_ms);

/* ---- For edit.c and checks ------------------------------------------------------------------- */

/* A field of the first tree into the second, within what is reserved for both. */
void fields_index_add(struct node_heap *heap, struct collection *collection, uint32_t hash,
                      int64_t deadline_ms);
/* H1 of a view that has the flag, at the end of an edit. */
void fields_settle(struct collection_view *view);
/* Debug builds and tests: asserts H1 and H2. */
void fields_check(const struct collection_view *view);
