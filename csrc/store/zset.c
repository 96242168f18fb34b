/* The two orders of a sorted set. */
#include "store/zset.h"

#include "base/assert.h"

static const struct hash_seed *seed_of(const struct edit *edit) {
    return edit->place.keyspace->hash_seed;
}

static struct tree_probe probe_of(uint64_t order, struct bytes member) {
    return (struct tree_probe){.key = {order, 0}, .member = member};
}

bool zset_score(const struct collection_view *view, const struct hash_seed *seed,
                struct bytes member, uint64_t *order) {
    struct walk walk;
    bool found = walk_find(&walk, view, seed, member);
    *order = found ? walk.key.order : 0;
    return found;
}

void zset_index_add(struct node_heap *heap, const struct hash_seed *seed,
                    struct collection *collection, uint64_t order, struct bytes member) {
    struct tree_path path;
    struct record_key key = {element_hash(seed, member), order};
    struct tree_probe probe = {.key = {key.order, 0}};
    (void)tree_find(&collection->trees[1], &probe, &path);
    tree_insert(&collection->trees[1], heap, &path, &key, member);
}

static void index_find(struct edit *edit, struct walk *walk, struct bytes member) {
    bool found = walk_find(walk, &edit->view, seed_of(edit), member);
    KRT_ASSERT(found);
}

/* By score alone, in either form. */
static void put(struct edit *edit, uint64_t order, struct bytes member) {
    struct walk walk;
    struct record_key key = {order, 0};
    struct tree_probe probe = probe_of(order, member);
    (void)walk_find_score(&walk, &edit->view, &probe);
    edit_insert(edit, &walk, &key, member);
}

static void take(struct edit *edit, uint64_t order, struct bytes member) {
    struct walk walk;
    struct tree_probe probe = probe_of(order, member);
    bool found = walk_find_score(&walk, &edit->view, &probe);
    KRT_ASSERT(found && bytes_equal(walk.record, member));
    edit_erase(edit, &walk);
}

void zset_add(struct edit *edit, uint64_t order, struct bytes member) {
    put(edit, order, member);
    if (edit->collection != NULL) {
        zset_index_add(&edit->place.keyspace->nodes, seed_of(edit), edit->collection, order,
                       member);
    }
}

/* A long member goes on as the blob that it is. */
void zset_move(struct edit *edit, uint64_t from, uint64_t to, struct bytes member) {
    struct walk walk;
    if (edit->collection == NULL) {
        take(edit, from, member);
        put(edit, to, member);
        return;
    }
    index_find(edit, &walk, member);
    struct record_key key = {element_hash(seed_of(edit), member), to};
    struct bytes kept = walk.record;
    struct blob *blob = kept.flags & BYTES_BLOB ? blob_get(blob_of(kept)) : NULL;
    kept = blob != NULL ? kept : member;
    take(edit, from, member);
    put(edit, to, kept);
    tree_replace(&edit->collection->trees[1], &edit->place.keyspace->nodes, &walk.path, &key, kept);
    if (blob != NULL) {
        blob_put(blob);
    }
}

void zset_remove(struct edit *edit, uint64_t order, struct bytes member) {
    struct walk walk;
    if (edit->collection != NULL) {
        index_find(edit, &walk, member);
        (void)tree_erase(&edit->collection->trees[1], &edit->place.keyspace->nodes, &walk.path, 1);
    }
    take(edit, order, member);
}

/* Each out of the second tree while it is still in the first, then all out of that at once. */
void zset_remove_range(struct edit *edit, uint64_t rank, uint64_t count) {
    struct walk walk, other;
    if (edit->collection != NULL) {
        bool found = walk_seek(&walk, &edit->view, rank);
        for (uint64_t i = 0; i < count && found; i++, found = walk_next(&walk)) {
            index_find(edit, &other, walk.record);
            (void)tree_erase(&edit->collection->trees[1], &edit->place.keyspace->nodes, &other.path,
                             1);
        }
    }
    edit_erase_range(edit, rank, count);
}
