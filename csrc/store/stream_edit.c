/* Changing streams: opening, erasing, trimming. */
#include "base/assert.h"
#include "store/stream_change.h"

/* ---- Opening, closing ------------------------------------------------------------------------ */

bool stream_edit_open(struct stream_edit *edit, const struct edit_place *place,
                      struct entry *entry) {
    edit->place = *place;
    edit->heap = &place->keyspace->nodes;
    edit->entry = entry;
    edit->created = false;
    edit->names = edit->blob = NULL;
    edit->is_new = entry == NULL;
    if (entry != NULL) {
        keyspace_preserve(place->keyspace, place->db, entry);
    }
    edit->collection = entry != NULL ? entry_collection(entry) : stream_new(stream_edit_heap(edit));
    if (edit->collection == NULL) {
        return false;
    }
    edit->stream = stream_of(edit->collection);
    edit->bytes_before = collection_bytes(edit->collection);
    return true;
}

void stream_edit_close(struct stream_edit *edit) {
    const struct edit_place *place = &edit->place;
    collection_changed(edit->collection);
    if (edit->names != NULL) {
        blob_put(edit->names);
    }
    if (edit->blob != NULL) {
        blob_put(edit->blob);
    }
    if (edit->is_new) {
        collection_free(edit->collection);
    } else {
        keyspace_count_outside(place->keyspace, place->db,
                               (int64_t)(collection_bytes(edit->collection) - edit->bytes_before));
    }
    node_unreserve(stream_edit_heap(edit));
}

bool stream_edit_store(struct stream_edit *edit) {
    const struct edit_place *place = &edit->place;
    if (!edit->is_new) {
        return true;
    }
    struct entry *entry =
        keyspace_set_collection(place->keyspace, place->db, place->hash, place->key,
                                VALUE_STREAM | FORM_TREE, edit->collection, 0, NULL);
    if (entry == NULL) {
        return false;
    }
    edit->entry = entry;
    edit->is_new = false;
    edit->created = true;
    edit->bytes_before = collection_bytes(edit->collection);
    return true;
}

/* ---- Erasing --------------------------------------------------------------------------------- */

bool stream_change_reserve(const struct stream_edit *edit, const struct stream_change *change) {
    struct node_heap *heap = stream_edit_heap(edit);
    const struct tree *entries = &edit->collection->trees[0], *nodes = &edit->collection->trees[1];
    uint64_t changes = change->appended + (heap->frozen != 0 ? change->erased : 0), need = 0;
    uint64_t node_changes = change->nodes_added + (heap->frozen != 0 ? change->nodes_changed : 0);
    if (changes > 0) {
        need += tree_nodes_needed(entries, heap, changes, change->bytes);
    }
    if (node_changes > 0) {
        need += tree_nodes_needed(nodes, heap, node_changes,
                                  change->nodes_added * STREAM_NODE_BYTES_MAX);
    }
    return need <= UINT32_MAX && node_reserve(heap, (uint32_t)need);
}

/* Each may change its node's record, and let the last one out of the tree. */
bool stream_edit_reserve_erasures(struct stream_edit *edit, uint64_t count) {
    struct stream_change change = {.erased = count, .nodes_changed = 2 * count};
    return stream_change_reserve(edit, &change);
}

/* The last node is gone: the one before it is open again. */
static void reopen_tail(struct stream_edit *edit) {
    struct tree *nodes = &edit->collection->trees[1];
    struct tree_path path;
    if (nodes->count == 0) {
        edit->stream->tail = (struct stream_node){.first = {0, 0}};
        return;
    }
    (void)tree_seek(nodes, nodes->count - 1, &path);
    edit->stream->tail = stream_node_read(tree_record(&path));
    (void)tree_erase(nodes, stream_edit_heap(edit), &path, 1);
}

/* The path of the node that has this id among its own; none of an id that is in no node. */
static void find_node(const struct tree *nodes, struct stream_id id, struct tree_path *path) {
    struct tree_probe probe = {.key = {id.ms, id.seq}, .after = true};
    (void)tree_find(nodes, &probe, path);
    bool found = tree_prev(path);
    KRT_ASSERT(found);
}

static void put_node(struct stream_edit *edit, struct tree_path *path,
                     const struct stream_node *node) {
    char record[STREAM_NODE_BYTES_MAX];
    size_t len = stream_node_write(record, node);
    tree_replace(&edit->collection->trees[1], stream_edit_heap(edit), path, &(struct record_key){0},
                 bytes_of(record, len));
}

static void erase_of_node(struct stream_edit *edit, struct stream_id id) {
    struct stream *stream = edit->stream;
    struct tree *nodes = &edit->collection->trees[1];
    struct tree_path path;
    if (stream_id_compare(id, stream->tail.first) >= 0) {
        stream->tail.deleted++;
        if (--stream->tail.valid == 0) {
            reopen_tail(edit);
        }
        return;
    }
    find_node(nodes, id, &path);
    struct stream_node node = stream_node_read(tree_record(&path));
    node.deleted++;
    if (--node.valid == 0) {
        (void)tree_erase(nodes, stream_edit_heap(edit), &path, 1);
    } else {
        put_node(edit, &path, &node);
    }
}

bool stream_edit_erase(struct stream_edit *edit, struct stream_id id) {
    struct stream *stream = edit->stream;
    struct stream_walk walk;
    struct stream_view view = stream_view_of(edit->collection);
    if (!stream_find(&walk, &view, id)) {
        return false;
    }
    (void)tree_erase(&edit->collection->trees[0], stream_edit_heap(edit), &walk.path, 1);
    erase_of_node(edit, id);
    if (stream_id_compare(id, stream->max_deleted_id) > 0) {
        stream->max_deleted_id = id;
    }
    return true;
}

/* ---- Trimming -------------------------------------------------------------------------------- */

/* Goes over the nodes as Redis does, from the first on. */
struct trim_state {
    const struct stream_edit *edit;
    const struct stream_trim *trim;
    uint64_t count; /* entries that are left */
    struct stream_cut *cut;
};

static uint64_t rank_of(const struct stream_edit *edit, struct stream_id id) {
    struct stream_walk walk;
    struct stream_view view = stream_view_of(edit->collection);
    return stream_seek_from(&walk, &view, id) ? stream_rank(&walk) : stream_count(edit->collection);
}

/* False: the node stays, or a part of it. */
static bool cut_node(struct trim_state *state, const struct stream_node *node) {
    const struct stream_trim *trim = state->trim;
    struct stream_cut *cut = state->cut;
    bool by_length = trim->by == STREAM_TRIM_BY_LENGTH;
    if ((by_length && state->count <= trim->length) ||
        (trim->limit > 0 && cut->entries + node->valid > trim->limit)) {
        return false;
    }
    if (by_length ? state->count - node->valid >= trim->length
                  : stream_id_compare(node->last, trim->min_id) < 0) {
        state->count -= node->valid;
        cut->entries += node->valid;
        return true;
    }
    if (!trim->approximate) {
        cut->part = by_length ? state->count - trim->length
                              : rank_of(state->edit, trim->min_id) - cut->entries;
        cut->entries += cut->part;
    }
    return false;
}

struct stream_cut stream_change_plan_trim(const struct stream_edit *edit,
                                          const struct stream_trim *trim, bool before_append) {
    struct stream_cut cut = {0};
    struct trim_state state = {edit, trim, stream_count(edit->collection) + before_append, &cut};
    const struct stream *stream = edit->stream;
    struct tree_path path;
    bool goes = true, more = tree_seek(&edit->collection->trees[1], 0, &path);
    for (; more && goes; more = tree_next(&path)) {
        struct stream_node node = stream_node_read(tree_record(&path));
        goes = cut_node(&state, &node);
        cut.nodes += goes;
    }
    if (goes && before_append) {
        cut.entries = stream_count(edit->collection) + 1;
        cut.nodes++;
    } else if (goes && stream_has_tail(stream)) {
        cut.tail = cut_node(&state, &stream->tail);
    }
    return cut;
}

static bool reserve_cut(const struct stream_edit *edit, const struct stream_cut *cut) {
    struct stream_change change = {.erased = cut->entries, .nodes_changed = cut->nodes + 1};
    return stream_change_reserve(edit, &change);
}

bool stream_edit_reserve_trim(struct stream_edit *edit, const struct stream_trim *trim) {
    struct stream_cut cut = stream_change_plan_trim(edit, trim, false);
    return reserve_cut(edit, &cut);
}

/* The first records of a tree. */
static void erase_first(struct tree *tree, struct node_heap *heap, uint64_t count) {
    struct tree_path path;
    while (count > 0) {
        (void)tree_seek(tree, 0, &path);
        count -= tree_erase(tree, heap, &path, count);
    }
}

/* So many entries of the first node that stays are gone. */
static void shorten_first(struct stream_edit *edit, uint64_t part) {
    struct tree *nodes = &edit->collection->trees[1];
    struct tree_path path;
    struct stream_node node;
    bool closed = tree_seek(nodes, 0, &path);
    node = closed ? stream_node_read(tree_record(&path)) : edit->stream->tail;
    node.valid -= part;
    node.deleted += part;
    if (closed) {
        put_node(edit, &path, &node);
    } else {
        edit->stream->tail = node;
    }
}

uint64_t stream_edit_trim(struct stream_edit *edit, const struct stream_trim *trim) {
    struct collection *collection = edit->collection;
    struct stream_cut cut = stream_change_plan_trim(edit, trim, false);
    erase_first(&collection->trees[0], stream_edit_heap(edit), cut.entries);
    erase_first(&collection->trees[1], stream_edit_heap(edit), cut.nodes);
    if (cut.tail) {
        edit->stream->tail = (struct stream_node){.first = {0, 0}};
    } else if (cut.part > 0) {
        shorten_first(edit, cut.part);
    }
    return cut.entries;
}
