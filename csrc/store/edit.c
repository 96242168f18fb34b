/* Changing values. */
#include "store/edit.h"

#include "base/assert.h"
#include "store/hash_fields.h"
#include "store/pack.h"
#include "store/zset.h"

static enum value_type type_of(const struct edit *edit) {
    return view_type(&edit->view);
}

static struct node_heap *heap_of(const struct edit *edit) {
    return &edit->place.keyspace->nodes;
}

static void open_draft(struct edit *edit, struct bytes pack) {
    KRT_DCHECK(pack.len <= PACK_BYTES_MAX);
    edit->view.pack = bytes_of(edit->draft, pack.len > 0 ? pack.len : PACK_HEADER_BYTES);
    if (pack.len > 0) {
        bytes_copy(edit->draft, pack.at, pack.len);
    } else {
        pack_set_count(edit->draft, 0);
    }
}

/* What changes of the collection's bytes. */
static uint64_t bytes_inside(const struct collection *collection) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < collection->tree_count; i++) {
        bytes += collection->trees[i].bytes;
    }
    return bytes + (collection->more != NULL ? collection->more->bytes(collection->more) : 0);
}

static void begin(struct edit *edit, const struct edit_place *place, struct entry *entry) {
    edit->place = *place;
    edit->entry = entry;
    edit->collection = NULL;
    edit->is_new = edit->created = edit->marked = false;
    edit->kept = NULL;
    edit->kept_count = edit->kept_next = 0;
}

void edit_open_anew(struct edit *edit, const struct edit_place *place, struct entry *entry,
                    enum value_type type) {
    begin(edit, place, entry);
    edit->view = (struct collection_view){.type = (uint8_t)type};
    open_draft(edit, (struct bytes){0});
}

void edit_open(struct edit *edit, const struct edit_place *place, struct entry *entry,
               enum value_type type) {
    if (entry == NULL) {
        edit_open_anew(edit, place, NULL, type);
        return;
    }
    KRT_ASSERT(entry_type(entry) == type);
    begin(edit, place, entry);
    edit->view = view_of(entry);
    if (entry_is_tree(entry)) { /* it is changed where it is */
        keyspace_preserve(place->keyspace, place->db, entry);
        edit->collection = entry_collection(entry);
        edit->bytes_before = bytes_inside(edit->collection);
    } else {
        open_draft(edit, edit->view.pack);
    }
}

/* ---- What can fail --------------------------------------------------------------------------- */

static struct record_key key_for_tree(const struct edit *edit, const struct walk *walk) {
    enum value_type type = type_of(edit);
    if (type == VALUE_ZSET) {
        return walk->key;
    }
    if (type == VALUE_LIST) {
        return (struct record_key){0};
    }
    struct bytes member = element_member(type, walk->record);
    return (struct record_key){element_hash(edit->place.keyspace->hash_seed, member), 0};
}

static void fill_deadline(struct edit *edit, struct collection *collection, uint32_t hash,
                          struct bytes record) {
    int64_t deadline_ms = hash_field_read(record).deadline_ms;
    if (deadline_ms != 0) {
        fields_index_add(heap_of(edit), collection, hash, deadline_ms);
    }
}

/* Puts every element of the draft into the new collection, which has room reserved. */
static void fill(struct edit *edit, struct collection *collection) {
    struct walk walk;
    struct tree *tree = &collection->trees[0];
    for (bool found = walk_seek(&walk, &edit->view, 0); found; found = walk_next(&walk)) {
        struct tree_path path;
        struct record_key key = key_for_tree(edit, &walk);
        if (tree->order == TREE_BY_HASH) {
            (void)tree_find(tree, &(struct tree_probe){.key = key}, &path);
        } else {
            (void)tree_seek(tree, tree->count, &path);
        }
        tree_insert(tree, heap_of(edit), &path, &key, walk.record);
        if (tree->order == TREE_BY_SCORE) {
            zset_index_add(heap_of(edit), edit->place.keyspace->hash_seed, collection, key.order,
                           walk.record);
        } else if (fields_have_deadlines(&edit->view)) {
            fill_deadline(edit, collection, (uint32_t)key.order, walk.record);
        }
    }
}

static bool reserve_all(const struct collection *collection, struct node_heap *heap,
                        uint64_t changes, uint64_t bytes) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < collection->tree_count; i++) {
        count += tree_nodes_needed(&collection->trees[i], heap, changes, bytes);
    }
    return count <= UINT32_MAX && node_reserve(heap, (uint32_t)count);
}

static bool leave_draft(struct edit *edit) {
    struct node_heap *heap = heap_of(edit);
    struct collection *collection = collection_new(heap, type_of(edit));
    if (collection == NULL) {
        return false;
    }
    if (!reserve_all(collection, heap, PACK_BYTES_MAX, 8 * PACK_BYTES_MAX)) {
        collection_free(collection);
        return false;
    }
    fill(edit, collection);
    edit->collection = collection;
    edit->is_new = true;
    edit->view.trees = collection->trees;
    edit->view.type |= FORM_TREE;
    edit->view.pack = (struct bytes){0};
    return true;
}

/* Two lengths and a score beside each record at most. */
static bool fits_draft(const struct edit *edit, uint64_t changes, uint64_t bytes) {
    uint64_t head = type_of(edit) == VALUE_ZSET ? 10 : 2;
    return edit->view.pack.len + bytes + changes * head <= PACK_BYTES_MAX;
}

bool edit_reserve(struct edit *edit, uint64_t changes, uint64_t bytes) {
    struct node_heap *heap = heap_of(edit);
    if (edit->collection == NULL) {
        if (fits_draft(edit, changes, bytes)) {
            return true;
        }
        if (!leave_draft(edit)) {
            return false;
        }
    }
    return reserve_all(edit->collection, heap, changes, bytes);
}

bool edit_reserve_erasures(struct edit *edit, uint64_t changes) {
    struct node_heap *heap = heap_of(edit);
    return edit->collection == NULL || heap->frozen == 0 ||
           reserve_all(edit->collection, heap, changes, 0);
}

static bool mark(const struct edit *edit, bool expires) {
    const struct edit_place *place = &edit->place;
    return keyspace_mark_expiring(place->keyspace, place->db, place->hash, edit->entry, expires);
}

bool edit_reserve_deadlines(struct edit *edit) {
    KRT_ASSERT(edit->entry != NULL);
    if (edit->entry->type & FORM_EXPIRES) {
        return true;
    }
    edit->marked = mark(edit, true);
    return edit->marked;
}

bool edit_keep(struct edit *edit, struct blob *blob) {
    if (blob == NULL) {
        return false;
    }
    if ((edit->kept_count & (edit->kept_count - 1)) == 0) { /* full: twice the room */
        size_t room = edit->kept_count == 0 ? 1 : 2 * (size_t)edit->kept_count;
        struct blob **kept = edit->kept == NULL
                                 ? mem_alloc(NULL, room * sizeof *kept)
                                 : mem_realloc(NULL, edit->kept, room * sizeof *kept);
        if (kept == NULL) {
            blob_put(blob);
            return false;
        }
        edit->kept = kept;
    }
    edit->kept[edit->kept_count++] = blob;
    return true;
}

bool edit_keep_copy(struct edit *edit, struct bytes record) {
    if (record.len <= LEAF_RECORD_MAX) {
        return true;
    }
    return edit_keep(edit, record.flags & BYTES_BLOB
                               ? blob_get(blob_of(record))
                               : blob_copy(&edit->place.keyspace->account, record));
}

struct bytes edit_kept(struct edit *edit) {
    KRT_ASSERT(edit->kept_next < edit->kept_count);
    return blob_bytes(edit->kept[edit->kept_next++]);
}

/* ---- Changes of a draft ---------------------------------------------------------------------- */

/* Puts an element in the place of `gone` bytes at the offset; NULL record: nothing. */
static void splice(struct edit *edit, uint32_t offset, uint32_t gone, const struct record_key *key,
                   const struct bytes *record) {
    enum value_type type = type_of(edit);
    uint32_t len = edit->view.pack.len;
    uint32_t fresh = record != NULL ? pack_element_bytes(type, *record) : 0;
    KRT_ASSERT(len - gone + fresh <= PACK_BYTES_MAX);
    char *at = edit->draft + offset;
    memmove(at + fresh, at + gone, len - offset - gone);
    if (record != NULL) {
        (void)pack_element_write(at, type, key, *record);
    }
    edit->view.pack.len = len - gone + fresh;
    uint32_t count = pack_count(edit->view.pack) + (fresh > 0) - (gone > 0);
    pack_set_count(edit->draft, count);
}

/* ---- Changes --------------------------------------------------------------------------------- */

void edit_insert(struct edit *edit, struct walk *walk, const struct record_key *key,
                 struct bytes record) {
    if (edit->collection == NULL) {
        splice(edit, walk->offset, 0, key, &record);
    } else {
        tree_insert(&edit->collection->trees[0], heap_of(edit), &walk->path, key, record);
    }
}

void edit_replace(struct edit *edit, struct walk *walk, const struct record_key *key,
                  struct bytes record) {
    if (edit->collection == NULL) {
        splice(edit, walk->offset, walk->bytes, key, &record);
    } else {
        tree_replace(&edit->collection->trees[0], heap_of(edit), &walk->path, key, record);
    }
}

void edit_erase(struct edit *edit, struct walk *walk) {
    if (edit->collection == NULL) {
        splice(edit, walk->offset, walk->bytes, NULL, NULL);
    } else {
        (void)tree_erase(&edit->collection->trees[0], heap_of(edit), &walk->path, 1);
    }
}

void edit_erase_range(struct edit *edit, uint64_t rank, uint64_t count) {
    struct walk walk;
    while (count > 0 && walk_seek(&walk, &edit->view, rank)) {
        if (edit->collection == NULL) {
            splice(edit, walk.offset, walk.bytes, NULL, NULL);
            count--;
        } else {
            count -= tree_erase(&edit->collection->trees[0], heap_of(edit), &walk.path, count);
        }
    }
}

/* ---- The end --------------------------------------------------------------------------------- */

static void end(struct edit *edit) {
    for (uint32_t i = 0; i < edit->kept_count; i++) {
        blob_put(edit->kept[i]);
    }
    mem_free(NULL, edit->kept);
    node_unreserve(heap_of(edit));
    if (edit->collection != NULL) {
        collection_changed(edit->collection);
    }
}

void edit_close(struct edit *edit) {
    if (KRT_UNLIKELY(edit->marked)) {
        (void)mark(edit, false);
        edit->marked = false;
    }
    if (edit->is_new) {
        collection_free(edit->collection);
        edit->collection = NULL;
        edit->is_new = false;
        edit->view.trees = NULL;
        edit->view.pack = (struct bytes){0};
    }
    end(edit);
}

static bool put(struct edit *edit, int64_t deadline_ms) {
    const struct edit_place *place = &edit->place;
    struct entry *entry;
    if (edit->collection == NULL) {
        entry = keyspace_set_pack(place->keyspace, place->db, place->hash, place->key,
                                  edit->view.type, edit->view.pack, deadline_ms, edit->entry);
    } else {
        entry =
            keyspace_set_collection(place->keyspace, place->db, place->hash, place->key,
                                    edit->view.type, edit->collection, deadline_ms, edit->entry);
        edit->is_new = entry == NULL;
    }
    edit->created = edit->entry == NULL && entry != NULL;
    edit->marked &= entry == NULL;
    edit->entry = entry != NULL ? entry : edit->entry;
    return entry != NULL;
}

/* A first deadline was reserved for, so that the entry is marked already. */
static void end_in_place(struct edit *edit) {
    if (KRT_UNLIKELY((edit->entry->type ^ edit->view.type) & FORM_EXPIRES)) {
        KRT_ASSERT(edit->entry->type & FORM_EXPIRES);
        (void)mark(edit, false);
    }
    edit->marked = false;
    edit->entry->type = edit->view.type;
    keyspace_count_outside(edit->place.keyspace, edit->place.db,
                           (int64_t)(bytes_inside(edit->collection) - edit->bytes_before));
}

bool edit_commit_with(struct edit *edit, int64_t deadline_ms) {
    bool in_place = edit->collection != NULL && !edit->is_new;
    if (fields_have_deadlines(&edit->view)) {
        fields_settle(&edit->view);
    }
    if (in_place) {
        end_in_place(edit);
    } else if (view_count(&edit->view) > 0 && !put(edit, deadline_ms)) {
        edit_close(edit);
        return false;
    }
    edit_close(edit);
    return true;
}

bool edit_commit(struct edit *edit) {
    return edit_commit_with(edit, edit->entry != NULL ? entry_deadline(edit->entry) : 0);
}

void edit_commit_erasures(struct edit *edit) {
    bool done = edit_commit(edit);
    KRT_ASSERT(done); /* a smaller value has room where it is */
}
