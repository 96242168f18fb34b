/* Going through values, packed or in trees. */
#include "base/assert.h"
#include "store/hash_field.h"
#include "store/pack.h"

struct collection_view view_of(const struct entry *entry) {
    if (entry == NULL) {
        return (struct collection_view){0};
    }
    if (entry_is_tree(entry)) {
        return (struct collection_view){.trees = entry_collection(entry)->trees,
                                        .type = entry->type};
    }
    return (struct collection_view){.pack = entry_string(entry), .type = entry->type};
}

uint64_t view_count(const struct collection_view *view) {
    return view->trees != NULL ? view->trees[0].count : pack_count(view->pack);
}

struct bytes element_member(enum value_type type, struct bytes record) {
    return type == VALUE_HASH ? hash_field_read(record).name : record;
}

/* ---- Packs ----------------------------------------------------------------------------------- */

/* Reads the element at walk->offset, if there is one. */
static bool load_packed(struct walk *walk) {
    struct bytes pack = walk->view->pack;
    if (walk->offset >= pack.len) {
        walk->bytes = 0;
        return false;
    }
    const char *at = pack.at + walk->offset;
    walk->record.len = (uint32_t)varint_read(&at);
    walk->record.at = at;
    walk->record.flags = 0;
    walk->bytes = (uint32_t)(at + walk->record.len - pack.at) - walk->offset;
    if (view_type(walk->view) == VALUE_ZSET) {
        memcpy(&walk->key.order, at, 8);
        walk->record = bytes_of(at + 8, walk->record.len - 8);
    }
    return true;
}

static bool next_packed(struct walk *walk) {
    walk->index++;
    walk->offset += walk->bytes;
    return load_packed(walk);
}

/* Behind the last element there is nothing to go along for. */
static bool seek_packed(struct walk *walk, uint64_t rank) {
    struct bytes pack = walk->view->pack;
    if (rank >= pack_count(pack)) {
        walk->index = pack_count(pack);
        walk->offset = pack.len > 0 ? pack.len : PACK_HEADER_BYTES;
        walk->bytes = 0;
        return false;
    }
    walk->index = 0;
    walk->offset = PACK_HEADER_BYTES;
    bool found = load_packed(walk);
    while (found && walk->index < rank) {
        found = next_packed(walk);
    }
    return found;
}

static bool find_packed(struct walk *walk, struct bytes member) {
    enum value_type type = view_type(walk->view);
    for (bool found = seek_packed(walk, 0); found; found = next_packed(walk)) {
        if (bytes_equal(element_member(type, walk->record), member)) {
            return true;
        }
    }
    return false;
}

/* ---- Trees ----------------------------------------------------------------------------------- */

static bool load(struct walk *walk, bool found) {
    if (found) {
        walk->key = tree_key(&walk->path);
        walk->record = tree_record(&walk->path);
    }
    return found;
}

/* Among records of equal hash. Where there is none, the path is where the search came to. */
static bool find_hashed(struct walk *walk, const struct tree *tree, uint32_t hash,
                        enum value_type type, struct bytes member) {
    struct tree_probe probe = {.key = {hash, 0}};
    bool found = load(walk, tree_find(tree, &probe, &walk->path));
    if (!found || walk->key.order != hash) {
        return false;
    }
    struct tree_path first = walk->path;
    for (; found && walk->key.order == hash; found = load(walk, tree_next(&walk->path))) {
        if (bytes_equal(element_member(type, walk->record), member)) {
            return true;
        }
    }
    walk->path = first;
    return false;
}

/* ---- Either ---------------------------------------------------------------------------------- */

bool walk_seek(struct walk *walk, const struct collection_view *view, uint64_t rank) {
    walk->view = view;
    return view->trees != NULL ? load(walk, tree_seek(&view->trees[0], rank, &walk->path))
                               : seek_packed(walk, rank);
}

bool walk_next(struct walk *walk) {
    return walk->view->trees != NULL ? load(walk, tree_next(&walk->path)) : next_packed(walk);
}

/* A pack has no way back: it is gone along again, which is short. */
bool walk_prev(struct walk *walk) {
    if (walk->view->trees != NULL) {
        return load(walk, tree_prev(&walk->path));
    }
    return walk->index > 0 && seek_packed(walk, walk->index - 1);
}

uint64_t walk_rank(const struct walk *walk) {
    return walk->view->trees != NULL ? tree_rank(&walk->path) : walk->index;
}

bool walk_find(struct walk *walk, const struct collection_view *view, const struct hash_seed *seed,
               struct bytes member) {
    walk->view = view;
    if (view->trees == NULL) {
        return find_packed(walk, member);
    }
    enum value_type type = view_type(view);
    const struct tree *tree = &view->trees[type == VALUE_ZSET ? 1 : 0];
    bool found = find_hashed(walk, tree, element_hash(seed, member), type, member);
    if (type == VALUE_ZSET) {
        walk->key.order = walk->key.extra;
    }
    return found;
}

bool walk_find_hash(struct walk *walk, const struct collection_view *view, uint32_t hash) {
    struct tree_probe probe = {.key = {hash, 0}};
    walk->view = view;
    return load(walk, tree_find(&view->trees[0], &probe, &walk->path)) && walk->key.order == hash;
}

static bool is_packed_before(const struct walk *walk, const struct tree_probe *probe) {
    uint64_t place = tree_score_place(walk->key.order);
    uint64_t other = tree_score_place(probe->key.order);
    if (place != other) {
        return place < other;
    }
    int difference = bytes_compare(walk->record, probe->member);
    return difference < 0 || (difference == 0 && probe->after);
}

bool walk_find_score(struct walk *walk, const struct collection_view *view,
                     const struct tree_probe *probe) {
    walk->view = view;
    if (view->trees != NULL) {
        return load(walk, tree_find(&view->trees[0], probe, &walk->path));
    }
    bool found = seek_packed(walk, 0);
    while (found && is_packed_before(walk, probe)) {
        found = next_packed(walk);
    }
    return found;
}

/* ---- Scanning -------------------------------------------------------------------------------- */

static uint64_t scan_packed(const struct collection_view *view, walk_visit *visit, void *context) {
    struct walk walk;
    for (bool found = walk_seek(&walk, view, 0); found; found = walk_next(&walk)) {
        visit(context, &walk);
    }
    return 0;
}

uint64_t walk_scan(const struct collection_view *view, uint64_t cursor, uint64_t count,
                   walk_visit *visit, void *context) {
    if (view->trees == NULL) {
        return scan_packed(view, visit, context);
    }
    bool is_zset = view_type(view) == VALUE_ZSET;
    struct walk walk = {.view = view};
    struct tree_probe probe = {.key = {cursor, 0}};
    bool found = cursor <= UINT32_MAX &&
                 load(&walk, tree_find(&view->trees[is_zset ? 1 : 0], &probe, &walk.path));
    uint64_t last = 0;
    for (uint64_t visited = 0; found; visited++) {
        if (visited >= count && walk.key.order != last) {
            return walk.key.order;
        }
        last = walk.key.order;
        walk.key.order = is_zset ? walk.key.extra : last;
        visit(context, &walk);
        found = load(&walk, tree_next(&walk.path));
    }
    return 0;
}
