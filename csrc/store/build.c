/* Making values: a pack while it is small, then trees. */
#include "store/build.h"

#include "base/assert.h"
#include "store/hash_fields.h"
#include "store/pack.h"
#include "store/zset.h"

static enum value_type type_of(const struct build *build) {
    return (enum value_type)(build->type & FORM_TYPE_MASK);
}

static struct collection_view view_of_build(const struct build *build) {
    return (struct collection_view){
        .trees = build->collection != NULL ? build->collection->trees : NULL,
        .pack = bytes_of(build->pack, build->pack_len),
        .type = build->type,
    };
}

void build_begin(struct build *build, struct node_heap *heap, const struct hash_seed *seed,
                 enum value_type type) {
    build->heap = heap;
    build->seed = seed;
    build->collection = NULL;
    build->end = (struct tree_path){0};
    build->filter = 0;
    build->pack_len = PACK_HEADER_BYTES;
    build->type = (uint8_t)type;
    pack_set_count(build->pack, 0);
}

void build_drop(struct build *build) {
    if (build->collection != NULL) {
        collection_free(build->collection);
        build->collection = NULL;
    }
}

uint64_t build_count(const struct build *build) {
    struct collection_view view = view_of_build(build);
    return view_count(&view);
}

/* ---- In trees -------------------------------------------------------------------------------- */

static bool reserve(const struct build *build) {
    const struct collection *collection = build->collection;
    uint64_t need = 0;
    for (uint32_t i = 0; i < collection->tree_count; i++) {
        need += tree_nodes_needed(&collection->trees[i], build->heap, 1, 0);
    }
    return node_reserve(build->heap, (uint32_t)need);
}

/* The path stays with the last element, so that nothing is searched for. */
static void append_to_tree(struct build *build, struct bytes record) {
    struct tree *tree = &build->collection->trees[0];
    struct record_key key = {0};
    if (tree->count == 0) {
        (void)tree_seek(tree, 0, &build->end);
    } else {
        build->end.index[build->end.height]++;
    }
    tree_insert(tree, build->heap, &build->end, &key, record);
}

static enum build_result put_by_hash(struct build *build, struct bytes member,
                                     struct bytes record) {
    struct walk walk;
    struct collection_view view = view_of_build(build);
    struct record_key key = {element_hash(build->seed, member), 0};
    if (walk_find(&walk, &view, build->seed, member)) {
        return BUILD_TWICE;
    }
    tree_insert(&build->collection->trees[0], build->heap, &walk.path, &key, record);
    return BUILD_DONE;
}

static enum build_result put_by_score(struct build *build, uint64_t order, struct bytes member) {
    struct walk walk;
    struct tree_path path;
    struct collection_view view = view_of_build(build);
    struct tree *trees = build->collection->trees;
    struct record_key by_hash = {element_hash(build->seed, member), order};
    struct record_key by_score = {order, 0};
    struct tree_probe probe = {.key = by_score, .member = member};
    if (walk_find(&walk, &view, build->seed, member)) {
        return BUILD_TWICE;
    }
    tree_insert(&trees[1], build->heap, &walk.path, &by_hash, member);
    (void)tree_find(&trees[0], &probe, &path);
    tree_insert(&trees[0], build->heap, &path, &by_score, member);
    return BUILD_DONE;
}

static enum build_result put_in_trees(struct build *build, const struct record_key *key,
                                      struct bytes record) {
    enum value_type type = type_of(build);
    if (!reserve(build)) {
        return BUILD_NO_MEMORY;
    }
    if (type == VALUE_LIST) {
        append_to_tree(build, record);
        return BUILD_DONE;
    }
    if (type == VALUE_ZSET) {
        return put_by_score(build, key->order, record);
    }
    struct bytes member = element_member(type, record);
    enum build_result result = put_by_hash(build, member, record);
    int64_t deadline_ms = type == VALUE_HASH ? hash_field_read(record).deadline_ms : 0;
    if (result == BUILD_DONE && deadline_ms != 0) {
        fields_index_add(build->heap, build->collection, element_hash(build->seed, member),
                         deadline_ms);
    }
    return result;
}

/* The collection is empty or has all of them; what is left of the pack is not looked at any more. */
static bool leave_pack(struct build *build) {
    struct collection_view pack = view_of_build(build);
    struct walk walk;
    build->collection = collection_new(build->heap, type_of(build));
    bool more = build->collection != NULL && walk_seek(&walk, &pack, 0);
    for (; more; more = walk_next(&walk)) {
        if (put_in_trees(build, &walk.key, walk.record) != BUILD_DONE) {
            return false;
        }
    }
    return build->collection != NULL;
}

static enum build_result put_long(struct build *build, const struct record_key *key,
                                  struct bytes record) {
    struct blob *blob = blob_copy(build->heap->account, record);
    if (blob == NULL) {
        return BUILD_NO_MEMORY;
    }
    enum build_result result = put_in_trees(build, key, blob_bytes(blob));
    blob_put(blob); /* the tree has a count of its own */
    return result;
}

/* ---- In a pack ------------------------------------------------------------------------------- */

static uint64_t filter_bit(struct bytes member) {
    uint32_t mix = member.len;
    if (member.len > 0) {
        mix += (uint8_t)member.at[0] * 31u + (uint8_t)member.at[member.len - 1] * 7u;
    }
    return UINT64_C(1) << (mix & 63);
}

/* Most members are told from those before by a bit. */
static bool is_in_pack(struct build *build, struct bytes member) {
    struct walk walk;
    struct collection_view view = view_of_build(build);
    uint64_t bit = filter_bit(member);
    if (!(build->filter & bit)) {
        build->filter |= bit;
        return false;
    }
    return walk_find(&walk, &view, build->seed, member);
}

static uint32_t offset_of_score(const struct build *build, const struct record_key *key,
                                struct bytes member) {
    struct walk walk;
    struct collection_view view = view_of_build(build);
    struct tree_probe probe = {.key = *key, .member = member};
    (void)walk_find_score(&walk, &view, &probe);
    return walk.offset;
}

static enum build_result put_in_pack(struct build *build, const struct record_key *key,
                                     struct bytes record, uint32_t bytes) {
    enum value_type type = type_of(build);
    uint32_t offset = build->pack_len;
    if (type != VALUE_LIST && is_in_pack(build, element_member(type, record))) {
        return BUILD_TWICE;
    }
    if (type == VALUE_ZSET) {
        offset = offset_of_score(build, key, record);
        memmove(build->pack + offset + bytes, build->pack + offset, build->pack_len - offset);
    }
    (void)pack_element_write(build->pack + offset, type, key, record);
    build->pack_len += bytes;
    pack_set_count(build->pack, pack_count(bytes_of(build->pack, build->pack_len)) + 1);
    return BUILD_DONE;
}

/* ---- Either ---------------------------------------------------------------------------------- */

static enum build_result put(struct build *build, const struct record_key *key,
                             struct bytes record) {
    if (build->collection == NULL) {
        uint32_t bytes = record.len <= PACK_BYTES_MAX ? pack_element_bytes(type_of(build), record)
                                                      : PACK_BYTES_MAX;
        if (build->pack_len + bytes <= PACK_BYTES_MAX) {
            return put_in_pack(build, key, record, bytes);
        }
        if (!leave_pack(build)) {
            return BUILD_NO_MEMORY;
        }
    }
    return record.len > LEAF_RECORD_MAX ? put_long(build, key, record)
                                        : put_in_trees(build, key, record);
}

enum build_result build_element(struct build *build, struct bytes element) {
    return put(build, &(struct record_key){0}, element);
}

enum build_result build_member(struct build *build, struct bytes member) {
    return put(build, &(struct record_key){0}, member);
}

enum build_result build_scored(struct build *build, uint64_t order, struct bytes member) {
    return put(build, &(struct record_key){order, 0}, member);
}

static enum build_result put_long_field(struct build *build, const struct hash_field *field,
                                        size_t bytes) {
    struct blob *blob =
        bytes <= UINT32_MAX ? blob_new(build->heap->account, (uint32_t)bytes) : NULL;
    if (blob == NULL || (build->collection == NULL && !leave_pack(build))) {
        if (blob != NULL) {
            blob_put(blob);
        }
        return BUILD_NO_MEMORY;
    }
    hash_field_write(blob->data, field);
    enum build_result result = put_in_trees(build, &(struct record_key){0}, blob_bytes(blob));
    blob_put(blob);
    return result;
}

enum build_result build_field(struct build *build, const struct hash_field *field) {
    char record[LEAF_RECORD_MAX];
    size_t bytes = (size_t)field->name.len + field->value.len + 2 * VARINT_BYTES_MAX;
    build->type |= field->deadline_ms != 0 ? FORM_EXPIRES : 0;
    if (bytes > LEAF_RECORD_MAX && (bytes = hash_field_bytes(field)) > LEAF_RECORD_MAX) {
        return put_long_field(build, field, bytes);
    }
    bytes = hash_field_bytes(field);
    hash_field_write(record, field);
    return put(build, &(struct record_key){0}, bytes_of(record, bytes));
}

/* ---- Zeros ----------------------------------------------------------------------------------- */

/* A score has its place in both orders, whichever of the zeros it is. */
static void unsign_packed(struct build *build, struct walk *walk) {
    const uint64_t plus = tree_score_order(0);
    char *score = build->pack + (walk->record.at - 8 - build->pack);
    memcpy(score, &plus, sizeof plus);
}

static void unsign_in_trees(struct build *build, struct walk *walk) {
    struct walk other;
    struct collection_view view = view_of_build(build);
    struct tree *trees = build->collection->trees;
    struct record_key by_score = {tree_score_order(0), 0};
    bool found = walk_find(&other, &view, build->seed, walk->record);
    KRT_ASSERT(found);
    struct record_key by_hash = {element_hash(build->seed, walk->record), by_score.order};
    tree_replace(&trees[1], build->heap, &other.path, &by_hash, other.record);
    tree_replace(&trees[0], build->heap, &walk->path, &by_score, walk->record);
}

bool build_unsign_zeros(struct build *build) {
    struct walk walk;
    const uint64_t minus = tree_score_order(-0.0);
    struct collection_view view = view_of_build(build);
    for (bool found = walk_seek(&walk, &view, 0); found; found = walk_next(&walk)) {
        if (walk.key.order != minus) {
            continue;
        }
        if (build->collection == NULL) {
            unsign_packed(build, &walk);
        } else if (reserve(build)) {
            unsign_in_trees(build, &walk);
        } else {
            return false;
        }
    }
    return true;
}

/* ---- The end --------------------------------------------------------------------------------- */

struct built build_end(struct build *build) {
    struct built built = {.type = build->type, .collection = build->collection};
    if (built.collection != NULL) {
        collection_changed(built.collection);
        built.type |= FORM_TREE;
        build->collection = NULL;
    } else {
        built.bytes = bytes_of(build->pack, build->pack_len);
    }
    return built;
}

struct entry *built_store(struct built *built, const struct edit_place *place, int64_t deadline_ms,
                          struct entry *found) {
    struct keyspace *keyspace = place->keyspace;
    if (built->type == VALUE_STRING) {
        return keyspace_set_string(keyspace, place->db, place->hash, place->key, built->bytes,
                                   deadline_ms, found);
    }
    if (built->collection == NULL) {
        return keyspace_set_pack(keyspace, place->db, place->hash, place->key, built->type,
                                 built->bytes, deadline_ms, found);
    }
    struct entry *entry =
        keyspace_set_collection(keyspace, place->db, place->hash, place->key, built->type,
                                built->collection, deadline_ms, found);
    if (entry != NULL) {
        built->collection = NULL;
    }
    return entry;
}

void built_drop(struct built *built) {
    if (built->collection != NULL) {
        collection_free(built->collection);
        built->collection = NULL;
    } else if (built->bytes.flags & BYTES_BLOB) {
        blob_put(blob_of(built->bytes));
        built->bytes = (struct bytes){0};
    }
}
