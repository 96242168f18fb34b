/* Fields with deadlines. */
#include "store/hash_fields.h"

#include "base/assert.h"

/* ---- The second tree ------------------------------------------------------------------------- */

static struct record_key pair_at(const struct tree_path *path) {
    const char *at = tree_record(path).at;
    uint64_t deadline_ms = varint_read(&at);
    return (struct record_key){deadline_ms, varint_read(&at)};
}

/* Where the pair is, or would be. */
static bool find_pair(const struct tree *tree, int64_t deadline_ms, uint32_t hash,
                      struct tree_path *path) {
    struct tree_probe probe = {.key = {(uint64_t)deadline_ms, hash}};
    if (!tree_find(tree, &probe, path)) {
        return false;
    }
    struct record_key pair = pair_at(path);
    return pair.order == probe.key.order && pair.extra == probe.key.extra;
}

void fields_index_add(struct node_heap *heap, struct collection *collection, uint32_t hash,
                      int64_t deadline_ms) {
    char pair[FIELDS_RECORD_MAX];
    struct tree_path path;
    size_t len = varint_write(pair, (uint64_t)deadline_ms);
    len += varint_write(pair + len, hash);
    if (!find_pair(&collection->trees[1], deadline_ms, hash, &path)) {
        tree_insert(&collection->trees[1], heap, &path, &(struct record_key){0},
                    bytes_of(pair, len));
    }
}

/* The first field with this hash and deadline from the walk on, which is at a field with the hash. */
static bool find_alike(struct walk *walk, uint64_t hash, int64_t deadline_ms) {
    do {
        if (hash_field_read(walk->record).deadline_ms == deadline_ms) {
            return true;
        }
    } while (walk_next(walk) && walk->key.order == hash);
    return false;
}

static bool find_first_alike(const struct collection_view *view, uint64_t hash, int64_t deadline_ms,
                             struct walk *walk) {
    return walk_find_hash(walk, view, (uint32_t)hash) && find_alike(walk, hash, deadline_ms);
}

/* Of a field that is still in the first tree: the pair stays while another one has it. */
static void index_remove(struct edit *edit, uint32_t hash, int64_t deadline_ms) {
    struct walk walk;
    struct tree_path path;
    bool found = find_first_alike(&edit->view, hash, deadline_ms, &walk);
    KRT_ASSERT(found);
    if (walk_next(&walk) && walk.key.order == hash && find_alike(&walk, hash, deadline_ms)) {
        return;
    }
    found = find_pair(&edit->collection->trees[1], deadline_ms, hash, &path);
    KRT_ASSERT(found); /* H2 */
    (void)tree_erase(&edit->collection->trees[1], &edit->place.keyspace->nodes, &path, 1);
}

void fields_move(struct edit *edit, const struct walk *walk, uint64_t hash, int64_t deadline_ms) {
    int64_t before_ms = walk != NULL ? hash_field_read(walk->record).deadline_ms : 0;
    edit->view.type |= deadline_ms != 0 ? FORM_EXPIRES : 0;
    if (edit->collection == NULL || before_ms == deadline_ms) {
        return;
    }
    if (before_ms != 0) {
        index_remove(edit, (uint32_t)hash, before_ms);
    }
    if (deadline_ms != 0) {
        fields_index_add(&edit->place.keyspace->nodes, edit->collection, (uint32_t)hash,
                         deadline_ms);
    }
}

/* ---- Changes --------------------------------------------------------------------------------- */

void fields_erase_at(struct edit *edit, struct walk *walk) {
    if (fields_have_deadlines(&edit->view)) {
        fields_move(edit, walk, walk->key.order, 0);
    }
    edit_erase(edit, walk);
}

bool fields_erase(struct edit *edit, struct bytes name) {
    struct walk walk;
    bool found = walk_find(&walk, &edit->view, edit->place.keyspace->hash_seed, name);
    if (found) {
        fields_erase_at(edit, &walk);
    }
    return found;
}

/* ---- What is due ----------------------------------------------------------------------------- */

static bool first_due_of_tree(const struct collection_view *view, int64_t now_ms,
                              struct walk *walk) {
    struct tree_path path;
    if (!tree_seek(&view->trees[1], 0, &path)) {
        return false;
    }
    struct record_key pair = pair_at(&path);
    if ((int64_t)pair.order > now_ms) {
        return false;
    }
    bool found = find_first_alike(view, pair.extra, (int64_t)pair.order, walk);
    KRT_ASSERT(found); /* H2 */
    return true;
}

static bool first_due_of_pack(const struct collection_view *view, int64_t now_ms,
                              struct walk *walk) {
    struct walk at;
    int64_t first_ms = INT64_MAX;
    for (bool found = walk_seek(&at, view, 0); found; found = walk_next(&at)) {
        struct hash_field field = hash_field_read(at.record);
        if (field_is_due(&field, now_ms) && field.deadline_ms < first_ms) {
            first_ms = field.deadline_ms;
            *walk = at;
        }
    }
    return first_ms != INT64_MAX;
}

bool fields_first_due(const struct collection_view *view, int64_t now_ms, struct walk *walk) {
    if (!fields_have_deadlines(view)) {
        return false;
    }
    return view->trees != NULL ? first_due_of_tree(view, now_ms, walk)
                               : first_due_of_pack(view, now_ms, walk);
}

/* Nothing is counted where nothing is due, which is as good as always. */
uint64_t fields_count_due(const struct collection_view *view, int64_t now_ms) {
    struct walk walk;
    uint64_t count = 0;
    if (!fields_first_due(view, now_ms, &walk)) {
        return 0;
    }
    for (bool found = walk_seek(&walk, view, 0); found; found = walk_next(&walk)) {
        struct hash_field field = hash_field_read(walk.record);
        count += field_is_due(&field, now_ms);
    }
    return count;
}

/* ---- The flag -------------------------------------------------------------------------------- */

static bool any_has_deadline(const struct collection_view *view) {
    struct walk walk;
    if (view->trees != NULL) {
        return view->trees[1].count > 0;
    }
    for (bool found = walk_seek(&walk, view, 0); found; found = walk_next(&walk)) {
        if (hash_field_read(walk.record).deadline_ms != 0) {
            return true;
        }
    }
    return false;
}

void fields_settle(struct collection_view *view) {
    if (!any_has_deadline(view)) {
        view->type &= (uint8_t)~FORM_EXPIRES;
    }
}

void fields_check(const struct collection_view *view) {
    struct walk walk;
    struct tree_path path;
    KRT_ASSERT(fields_have_deadlines(view) == any_has_deadline(view)); /* H1 */
    if (view->trees == NULL) {
        return;
    }
    for (bool found = walk_seek(&walk, view, 0); found; found = walk_next(&walk)) {
        int64_t deadline_ms = hash_field_read(walk.record).deadline_ms;
        KRT_ASSERT(deadline_ms == 0 || find_pair(&view->trees[1], deadline_ms,
                                                 (uint32_t)walk.key.order, &path)); /* H2 */
    }
    for (bool found = tree_seek(&view->trees[1], 0, &path); found; found = tree_next(&path)) {
        struct record_key pair = pair_at(&path);
        KRT_ASSERT(find_first_alike(view, pair.extra, (int64_t)pair.order, &walk));
    }
}
