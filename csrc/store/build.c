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

struct build_element {
    struct bytes record;
    uint64_t score_order;
};

static void batch_free(struct build_batch *batch) {
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->at[i].record.flags & BYTES_BLOB) {
            blob_put(blob_of(batch->at[i].record));
        }
    }
    mem_free(NULL, batch->at);
    mem_free(NULL, batch->order);
    mem_free(NULL, batch->other);
    arena_deinit(&batch->records);
    *batch = (struct build_batch){0};
}

void build_begin(struct build *build, struct node_heap *heap, const struct hash_seed *seed,
                 enum value_type type) {
    build->heap = heap;
    build->seed = seed;
    build->collection = NULL;
    build->batch = (struct build_batch){0};
    build->end = (struct tree_path){0};
    memset(build->filter, 0, sizeof build->filter);
    build->pack_len = build->pack_last = PACK_HEADER_BYTES;
    build->type = (uint8_t)type;
    pack_set_count(build->pack, 0);
}

void build_drop(struct build *build) {
    batch_free(&build->batch);
    if (build->collection != NULL) {
        collection_free(build->collection);
        build->collection = NULL;
    }
}

uint64_t build_count(const struct build *build) {
    struct collection_view view = view_of_build(build);
    uint64_t batched = type_of(build) == VALUE_ZSET ? 0 : build->batch.count;
    return view_count(&view) + batched;
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

/* The path stays with the last record, so that nothing is searched for. */
static void append(struct build *build, struct tree *tree, struct tree_path *end,
                   const struct record_key *key, struct bytes record) {
    if (tree->count == 0) {
        (void)tree_seek(tree, 0, end);
    } else {
        end->index[end->height]++;
    }
    tree_insert(tree, build->heap, end, key, record);
}

static void put_by_score(struct build *build, uint64_t order, struct bytes member) {
    struct tree_path path;
    struct tree *tree = &build->collection->trees[0];
    struct record_key key = {order, 0};
    struct tree_probe probe = {.key = key, .member = member};
    (void)tree_find(tree, &probe, &path);
    tree_insert(tree, build->heap, &path, &key, member);
}

/* ---- Batches --------------------------------------------------------------------------------- */

static void *grow(void *at, size_t bytes) {
    return at == NULL ? mem_alloc(NULL, bytes) : mem_realloc(NULL, at, bytes);
}

static bool batch_reserve(struct build_batch *batch) {
    uint32_t room = batch->room == 0 ? 128 : 2 * batch->room;
    if (KRT_LIKELY(batch->count < batch->room)) {
        return true;
    }
    struct build_element *at = grow(batch->at, room * sizeof *at);
    batch->at = at != NULL ? at : batch->at;
    uint64_t *order = at != NULL ? grow(batch->order, room * sizeof *order) : NULL;
    batch->order = order != NULL ? order : batch->order;
    uint64_t *other = order != NULL ? grow(batch->other, room * sizeof *other) : NULL;
    batch->other = other != NULL ? other : batch->other;
    batch->room = other != NULL ? room : batch->room;
    return other != NULL;
}

/* A blob's count is the batch's then. */
static bool batch_keep(struct build_batch *batch, struct bytes *record) {
    batch->bytes += record->len;
    if (record->flags & BYTES_BLOB) {
        (void)blob_get(blob_of(*record));
        return true;
    }
    char *at = arena_alloc(&batch->records, record->len);
    if (at != NULL) {
        bytes_copy(at, record->at, record->len);
        *record = bytes_of(at, record->len);
    }
    return at != NULL;
}

/* By the hash, which is in the high half: a byte at a time, the lowest first. */
static void batch_sort(struct build_batch *batch) {
    uint32_t starts[4][256] = {{0}};
    for (uint32_t i = 0; i < batch->count; i++) {
        for (unsigned digit = 0; digit < 4; digit++) {
            starts[digit][batch->order[i] >> (32 + 8 * digit) & 0xff]++;
        }
    }
    for (unsigned digit = 0; digit < 4; digit++) {
        uint32_t sum = 0;
        for (unsigned value = 0; value < 256; value++) {
            uint32_t count = starts[digit][value];
            starts[digit][value] = sum;
            sum += count;
        }
        for (uint32_t i = 0; i < batch->count; i++) {
            uint64_t one = batch->order[i];
            batch->other[starts[digit][one >> (32 + 8 * digit) & 0xff]++] = one;
        }
        uint64_t *sorted = batch->other;
        batch->other = batch->order;
        batch->order = sorted;
    }
}

static const struct build_element *batch_element(const struct build_batch *batch, uint32_t i) {
    return &batch->at[(uint32_t)batch->order[i]];
}

/* Is it one of those before it, which have the same hash? */
static bool is_twice(const struct build *build, uint32_t i) {
    const struct build_batch *batch = &build->batch;
    enum value_type type = type_of(build);
    struct bytes member = element_member(type, batch_element(batch, i)->record);
    for (uint32_t j = i; j-- > 0 && batch->order[j] >> 32 == batch->order[i] >> 32;) {
        if (bytes_equal(element_member(type, batch_element(batch, j)->record), member)) {
            return true;
        }
    }
    return false;
}

/* Where the record belongs. False: it is there. */
static bool find_place(const struct build *build, const struct tree *tree, uint64_t hash,
                       struct bytes record, struct tree_path *place) {
    enum value_type type = type_of(build);
    struct tree_probe probe = {.key = {hash, 0}};
    bool found = tree_find(tree, &probe, place);
    struct tree_path path = *place;
    for (; found && tree_key(&path).order == hash; found = tree_next(&path)) {
        if (bytes_equal(element_member(type, tree_record(&path)), element_member(type, record))) {
            return false;
        }
    }
    return true;
}

/* Behind the one before it, if the tree was empty; else where it belongs. False: it is there. */
static bool put_sorted(struct build *build, struct tree *tree, struct tree_path *end,
                       bool was_empty, uint32_t i) {
    struct tree_path place;
    const struct build_element *element = batch_element(&build->batch, i);
    struct record_key key = {build->batch.order[i] >> 32, element->score_order};
    if (was_empty) {
        append(build, tree, end, &key, element->record);
        return true;
    }
    if (!find_place(build, tree, key.order, element->record, &place)) {
        return false;
    }
    tree_insert(tree, build->heap, &place, &key, element->record);
    return true;
}

/* They lie in the order in which they came. */
static void prefetch_ahead(const struct build_batch *batch, uint32_t i) {
    enum { ELEMENTS = 16, RECORDS = 8 };
    if (i + ELEMENTS < batch->count) {
        __builtin_prefetch(batch_element(batch, i + ELEMENTS));
        __builtin_prefetch(batch_element(batch, i + RECORDS)->record.at);
    }
}

static void index_deadline(struct build *build, uint32_t i) {
    int64_t deadline_ms = hash_field_read(batch_element(&build->batch, i)->record).deadline_ms;
    if (deadline_ms != 0) {
        fields_index_add(build->heap, build->collection, (uint32_t)(build->batch.order[i] >> 32),
                         deadline_ms);
    }
}

static enum build_result batch_put(struct build *build) {
    struct tree_path end;
    bool timed = build->type & FORM_EXPIRES && type_of(build) == VALUE_HASH;
    struct tree *tree = &build->collection->trees[type_of(build) == VALUE_ZSET];
    bool was_empty = tree->count == 0;
    for (uint32_t i = 0; i < build->batch.count; i++) {
        prefetch_ahead(&build->batch, i);
        if (!reserve(build)) {
            return BUILD_NO_MEMORY;
        }
        if (is_twice(build, i) || !put_sorted(build, tree, &end, was_empty, i)) {
            return BUILD_TWICE;
        }
        if (timed) {
            index_deadline(build, i);
        }
    }
    return BUILD_DONE;
}

enum build_result build_settle(struct build *build) {
    if (build->batch.count == 0) {
        return BUILD_DONE;
    }
    batch_sort(&build->batch);
    enum build_result result = batch_put(build);
    batch_free(&build->batch);
    return result;
}

static enum build_result batch_add(struct build *build, uint64_t score_order, struct bytes record) {
    struct build_batch *batch = &build->batch;
    struct bytes member = element_member(type_of(build), record);
    if (batch->count == BUILD_BATCH || batch->bytes > BUILD_BATCH_BYTES) {
        enum build_result result = build_settle(build);
        if (result != BUILD_DONE) {
            return result;
        }
    }
    uint64_t hash = element_hash(build->seed, member);
    if (!batch_reserve(batch) || !batch_keep(batch, &record)) {
        return BUILD_NO_MEMORY;
    }
    batch->at[batch->count] = (struct build_element){record, score_order};
    batch->order[batch->count] = hash << 32 | batch->count;
    batch->count++;
    return BUILD_DONE;
}

/* ---- Into what it has become ----------------------------------------------------------------- */

static enum build_result put_in_trees(struct build *build, const struct record_key *key,
                                      struct bytes record) {
    enum value_type type = type_of(build);
    if (type != VALUE_SET && type != VALUE_HASH && !reserve(build)) {
        return BUILD_NO_MEMORY;
    }
    if (type == VALUE_LIST) {
        append(build, &build->collection->trees[0], &build->end, &(struct record_key){0}, record);
        return BUILD_DONE;
    }
    if (type == VALUE_ZSET) {
        put_by_score(build, key->order, record);
    }
    return batch_add(build, key->order, record);
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

static uint32_t filter_bit(struct bytes member) {
    uint64_t mix = member.len;
    if (member.len >= 8) {
        mix += bytes_load8(member.at) ^ bytes_load8(member.at + member.len - 8) << 1;
    } else {
        for (uint32_t i = 0; i < member.len; i++) {
            mix = mix << 8 | (uint8_t)member.at[i];
        }
    }
    return (uint32_t)(mix * UINT64_C(0x9e3779b97f4a7c15) >> 55);
}

/* Most members are told from those before by a bit. */
static bool is_in_pack(struct build *build, struct bytes member) {
    struct walk walk;
    uint32_t number = filter_bit(member);
    uint64_t bit = UINT64_C(1) << number % 64, *word = &build->filter[number / 64];
    if (!(*word & bit)) {
        *word |= bit;
        return false;
    }
    struct collection_view view = view_of_build(build);
    return walk_find(&walk, &view, build->seed, member);
}

/* Those that come in order are found to be behind the last one. */
static uint32_t offset_of_score(const struct build *build, const struct record_key *key,
                                struct bytes member) {
    struct collection_view view = view_of_build(build);
    struct tree_probe probe = {.key = *key, .member = member};
    struct walk walk;
    if (build->pack_len > build->pack_last) {
        const char *at = build->pack + build->pack_last;
        struct bytes last = {.len = (uint32_t)varint_read(&at) - 8};
        uint64_t order;
        memcpy(&order, at, sizeof order);
        last.at = at + sizeof order;
        uint64_t place = tree_score_place(order), other = tree_score_place(key->order);
        if (place < other || (place == other && bytes_compare(last, member) < 0)) {
            return build->pack_len;
        }
    }
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
    build->pack_last = offset == build->pack_len ? offset : build->pack_last + bytes;
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
    KRT_ASSERT(build->batch.count == 0);
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
