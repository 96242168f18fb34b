/* The life of collections. */
#include "store/collection.h"

#include <malloc.h>

#include "base/assert.h"
#include "store/hash_fields.h"

/* What is freed at once: some dozen nodes. */
enum { SMALL_BYTES = 64 * 1024 };

static const struct {
    uint8_t count, order[2];
} layouts[] = {
    [VALUE_STRING] = {1, {TREE_BY_HASH, 0}},
    [VALUE_LIST] = {1, {TREE_BY_POSITION, 0}},
    [VALUE_SET] = {1, {TREE_BY_HASH, 0}},
    [VALUE_ZSET] = {2, {TREE_BY_SCORE, TREE_BY_HASH_WITH}},
    [VALUE_HASH] = {2, {TREE_BY_HASH, TREE_BY_ID}},
    [VALUE_STREAM] = {2, {TREE_BY_ID, TREE_BY_ID}},
};

static struct collection *new_with(struct mem_account *account, uint32_t trees) {
    struct collection *collection =
        mem_alloc(account, sizeof *collection + trees * sizeof(struct tree));
    if (collection != NULL) {
        *collection = (struct collection){.account = account, .tree_count = trees};
    }
    return collection;
}

struct collection *collection_new(struct node_heap *heap, enum value_type type) {
    uint32_t trees = layouts[type].count;
    struct collection *collection = new_with(heap->account, trees);
    for (uint32_t i = 0; collection != NULL && i < trees; i++) {
        collection->trees[i] = tree_empty((enum tree_order)layouts[type].order[i]);
    }
    return collection;
}

uint64_t collection_bytes(const struct collection *collection) {
    uint64_t bytes = malloc_usable_size((void *)(uintptr_t)collection);
    for (uint32_t i = 0; i < collection->tree_count; i++) {
        bytes += collection->trees[i].bytes;
    }
    return bytes + (collection->more != NULL ? collection->more->bytes(collection->more) : 0);
}

void collection_free(struct collection *collection) {
    struct mem_account *account = collection->account;
    for (uint32_t i = 0; i < collection->tree_count; i++) {
        tree_free(&collection->trees[i], account);
    }
    if (collection->more != NULL) {
        collection->more->free(collection->more, account);
    }
    mem_free(account, collection);
}

void collection_prefetch(const struct collection *collection) {
    for (uint32_t i = 0; i < collection->tree_count; i++) {
        tree_prefetch(&collection->trees[i]);
    }
}

const struct tree *collection_tree_by_hash(const struct collection *collection) {
    const struct tree *tree = &collection->trees[collection->trees[0].order == TREE_BY_SCORE];
    bool by_hash = tree->order == TREE_BY_HASH || tree->order == TREE_BY_HASH_WITH;
    return by_hash && tree->root != NULL ? tree : NULL;
}

/* ---- Letting go ------------------------------------------------------------------------------ */

static void free_garbage(struct garbage *garbage) {
    struct collection *collection = (struct collection *)garbage;
    atomic_u64 *leaving = collection->leaving_bytes;
    uint64_t bytes = collection_bytes(collection);
    collection_free(collection);
    atomic_sub_relaxed(leaving, bytes);
}

void collection_let_go(struct collection *collection, struct node_heap *heap) {
    uint64_t bytes = collection_bytes(collection);
    if (bytes <= SMALL_BYTES && heap->frozen == 0) {
        collection_free(collection);
        return;
    }
    collection->leaving_bytes = heap->leaving_bytes;
    atomic_add_relaxed(collection->leaving_bytes, bytes);
    collection->garbage = (struct garbage){.free = free_garbage};
    node_heap_let_go(heap, &collection->garbage);
}

/* ---- Copying, moving ------------------------------------------------------------------------- */

static bool copy_parts(const struct collection *collection, struct node_heap *heap,
                       struct collection *copy) {
    for (uint32_t i = 0; i < collection->tree_count; i++) {
        copy->trees[i] = tree_empty((enum tree_order)collection->trees[i].order);
    }
    for (uint32_t i = 0; i < collection->tree_count; i++) {
        if (!tree_copy(&collection->trees[i], heap, &copy->trees[i])) {
            return false;
        }
    }
    if (collection->more != NULL) {
        copy->more = collection->more->copy(collection->more, heap);
        return copy->more != NULL;
    }
    return true;
}

struct collection *collection_copy(const struct collection *collection, struct node_heap *heap) {
    struct collection *copy = new_with(heap->account, collection->tree_count);
    if (copy != NULL && !copy_parts(collection, heap, copy)) {
        collection_free(copy);
        return NULL;
    }
    return copy;
}

void collection_recharge(struct collection *collection, struct node_heap *heap) {
    struct mem_account *from = collection->account, *to = heap->account;
    uint64_t bytes = malloc_usable_size(collection);
    for (uint32_t i = 0; i < collection->tree_count; i++) {
        bytes += collection->trees[i].bytes - collection->trees[i].outside;
    }
    mem_recharge_bytes(from, to, bytes);
    if (collection->more != NULL) {
        collection->more->recharge(collection->more, from, to);
    }
    collection->account = to;
}

void collection_check(const struct collection *collection) {
    for (uint32_t i = 0; i < collection->tree_count; i++) {
        tree_check(&collection->trees[i]);
    }
    if (collection->trees[0].order == TREE_BY_SCORE) {
        KRT_ASSERT(collection->trees[0].count == collection->trees[1].count);
    }
    if (collection->tree_count == 2 && collection->trees[0].order == TREE_BY_HASH) {
        bool expires = collection->trees[1].count > 0;
        fields_check(&(struct collection_view){.trees = collection->trees,
                                               .type = VALUE_HASH | FORM_TREE |
                                                       (expires ? FORM_EXPIRES : 0)});
    }
    if (collection->more != NULL) {
        collection->more->check(collection);
    }
}

void collection_changed(const struct collection *collection) {
#if KRT_DEBUG
    enum { LARGE_BYTES = 64 * 1024, SELDOM = 256 };
    static _Thread_local uint32_t turn;
    if (collection_bytes(collection) < LARGE_BYTES || turn++ % SELDOM == 0)
        collection_check(collection);
#else
    (void)collection;
#endif
}

/* ---- Frozen ---------------------------------------------------------------------------------- */

struct collection *collection_freeze(const struct collection *collection) {
    struct collection *frozen = new_with(NULL, collection->tree_count);
    if (frozen == NULL) {
        return NULL;
    }
    memcpy(frozen->trees, collection->trees, collection->tree_count * sizeof(struct tree));
    if (collection->more != NULL) {
        frozen->more = collection->more->freeze(collection->more);
        if (frozen->more == NULL) {
            mem_free(NULL, frozen);
            return NULL;
        }
    }
    return frozen;
}

void collection_unfreeze(struct collection *frozen) {
    if (frozen->more != NULL) {
        frozen->more->unfreeze(frozen->more);
    }
    mem_free(NULL, frozen);
}
