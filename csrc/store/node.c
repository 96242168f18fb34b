/* Allocation and epochs of nodes. */
#include "store/node.h"

#include <malloc.h>

#include "base/assert.h"
#include "store/leaf.h"

void node_heap_init(struct node_heap *heap, struct mem_account *account,
                    atomic_u64 *leaving_bytes) {
    *heap = (struct node_heap){.account = account, .leaving_bytes = leaving_bytes, .epoch = 1};
}

static struct node *pop_spare(struct node_heap *heap) {
    struct node *node = heap->spares;
    if (node != NULL) {
        heap->spares = node->next;
        heap->spare_count--;
    }
    return node;
}

static void drop_spares(struct node_heap *heap, uint32_t keep) {
    while (heap->spare_count > keep) {
        mem_free(NULL, pop_spare(heap));
    }
}

void node_heap_deinit(struct node_heap *heap) {
    KRT_ASSERT(heap->frozen == 0 && heap->retired == NULL && heap->retired_values == NULL);
    drop_spares(heap, 0);
}

bool node_reserve(struct node_heap *heap, uint32_t count) {
    while (heap->spare_count < count) {
        struct node *node = mem_alloc(NULL, NODE_BYTES_MAX);
        if (node == NULL) {
            return false;
        }
        node->next = heap->spares;
        heap->spares = node;
        heap->spare_count++;
    }
    return true;
}

void node_unreserve(struct node_heap *heap) {
    drop_spares(heap, NODE_SPARES);
}

struct node *node_new(struct node_heap *heap, uint32_t bytes) {
    KRT_DCHECK(bytes <= NODE_BYTES_MAX);
    struct node *node = mem_alloc(heap->account, bytes);
    if (KRT_UNLIKELY(node == NULL)) {
        node = pop_spare(heap);
        if (node == NULL) {
            return NULL;
        }
        mem_recharge(NULL, heap->account, node);
    }
    /* The allocator may give a little more, which a copy of the node could not be sure of. */
    size_t usable = malloc_usable_size(node);
    uint32_t whole = usable < NODE_BYTES_MAX ? (uint32_t)usable : NODE_BYTES_MAX;
    *node = (struct node){.epoch = heap->epoch, .bytes = (uint16_t)whole};
    return node;
}

void node_free(struct mem_account *account, struct node *node) {
    if (node->level == 0) {
        leaf_put_outside((struct leaf *)node);
    }
    mem_free(account, node);
}

void node_release(struct node_heap *heap, struct node *node) {
    if (KRT_LIKELY(!node_is_frozen(heap, node))) {
        node_free(heap->account, node);
        return;
    }
    node->next = heap->retired;
    heap->retired = node;
}

/* ---- Epochs ---------------------------------------------------------------------------------- */

void node_heap_freeze(struct node_heap *heap) {
    KRT_ASSERT(heap->frozen == 0 && heap->epoch < UINT32_MAX);
    heap->frozen = heap->epoch++;
}

/* Retired nodes on their way to who frees them, in the memory of the first of them. */
struct retired {
    struct garbage garbage;
    struct mem_account *account;
    struct node *rest;
};

static void free_retired(struct garbage *garbage) {
    struct retired *retired = (struct retired *)garbage;
    for (struct node *node = retired->rest, *next; node != NULL; node = next) {
        next = node->next;
        node_free(retired->account, node);
    }
    mem_free(retired->account, retired);
}

static struct garbage *take_retired(struct node_heap *heap) {
    struct node *first = heap->retired;
    if (first == NULL) {
        return NULL;
    }
    heap->retired = NULL;
    if (first->level == 0) {
        leaf_put_outside((struct leaf *)first);
    }
    struct node *rest = first->next;
    struct retired *retired = (struct retired *)(void *)first;
    *retired = (struct retired){{.free = free_retired}, heap->account, rest};
    return &retired->garbage;
}

void node_heap_thaw_into(struct node_heap *heap, struct garbage **waited) {
    struct garbage *nodes = take_retired(heap);
    if (nodes != NULL) {
        nodes->next = *waited;
        *waited = nodes;
    }
    if (heap->retired_values != NULL) {
        heap->last_retired->next = *waited;
        *waited = heap->retired_values;
    }
    heap->frozen = 0;
    heap->retired_values = heap->last_retired = NULL;
}

void node_heap_thaw(struct node_heap *heap) {
    struct garbage *value = NULL;
    node_heap_thaw_into(heap, &value);
    for (struct garbage *next; value != NULL; value = next) {
        next = value->next;
        garbage_give(heap->account->taker, value);
    }
}

void node_heap_let_go(struct node_heap *heap, struct garbage *value) {
    if (heap->frozen == 0) {
        garbage_give(heap->account->taker, value);
        return;
    }
    value->next = heap->retired_values;
    if (value->next == NULL) {
        heap->last_retired = value;
    }
    heap->retired_values = value;
}
