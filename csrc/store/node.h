/* Nodes: the memory that large values are made of, at most 4 KiB at a time.
 *
 * Role: allocation with a reserve, and the epochs by which a value is frozen. A node is stamped with
 * the epoch it was made in. Freezing ends an epoch: nodes of frozen epochs are not written any more,
 * a writer copies what lies on its path and retires the old ones, and the roots as they were at the
 * freeze lead to what was there, for as long as it takes to read it. Retired nodes are freed when the
 * epoch is thawed.
 * A value may go from one shard to another meanwhile, so the heaps of a server are frozen together and thawed
 * together, under all batons: their epochs are the same.
 * Threads: holder of the shard's baton. Frozen nodes may be read by any thread, without a baton, but
 * for their link. node_free: any thread that owns the node.
 * Errors: node_reserve tells whether there is memory; node_new does not fail within what was
 * reserved.
 * Bounds: NODE_BYTES_MAX each; NODE_SPARES are kept for the next change.
 */
#pragma once

#include <stdbool.h>

#include "base/garbage.h"
#include "base/mem.h"

enum {
    NODE_BYTES_MAX = 4096 - 8, /* what the allocator keeps for itself */
    NODE_STEP_BYTES = 512,     /* leaves are as large as they need to be, in these steps */
    NODE_BYTES_MIN = NODE_STEP_BYTES - 8, /* of a leaf, by usable size */
    NODE_SPARES = 24, /* what a change of a sorted set needs, however large it is */
};

struct node {
    struct node *next; /* of the heap's spares, or of what is retired */
    uint32_t epoch;
    uint16_t bytes;    /* the whole of it, by usable size; at most NODE_BYTES_MAX */
    uint8_t level;     /* 0: a leaf */
    uint8_t key_bytes; /* of a leaf: what it keeps beside each record */
};

struct node_heap {
    struct mem_account *account;
    atomic_u64
        *leaving_bytes; /* of the account, of values that were let go of and are not freed yet */
    uint32_t epoch;     /* of nodes made now */
    uint32_t frozen;    /* nodes of this epoch and before are not written; 0: none */
    struct node *retired;
    struct garbage *retired_values,
        *last_retired;   /* whole ones, which were let go of since the freeze */
    struct node *spares; /* not charged to the account */
    uint32_t spare_count;
};

void node_heap_init(struct node_heap *heap, struct mem_account *account, atomic_u64 *leaving_bytes);
/* Nothing is frozen any more. */
void node_heap_deinit(struct node_heap *heap);

/* Makes sure that `count` nodes can be had. False: no memory. */
bool node_reserve(struct node_heap *heap, uint32_t count);
/* Gives back what a large reservation left over. */
void node_unreserve(struct node_heap *heap);

/* At least `bytes` long, stamped, the rest for the caller to fill. NULL only beyond the reserve. */
struct node *node_new(struct node_heap *heap, uint32_t bytes);
/* With what it has outside (a leaf's long records), but without what lies below it. */
void node_free(struct mem_account *account, struct node *node);
/* It is out of the tree: freed, or retired if it is frozen. */
void node_release(struct node_heap *heap, struct node *node);

static inline bool node_is_frozen(const struct node_heap *heap, const struct node *node) {
    return node->epoch <= heap->frozen;
}

/* ---- Epochs ---------------------------------------------------------------------------------- */

/* O(1): what is there now will not be written. One at a time. */
void node_heap_freeze(struct node_heap *heap);
/* Nobody reads frozen nodes any more: what was retired goes to the account's taker. */
void node_heap_thaw(struct node_heap *heap);
/* The same in O(1): it is put in front of the list, for the caller to free. */
void node_heap_thaw_into(struct node_heap *heap, struct garbage **waited);
/* A whole value is let go of: to the account's taker now, or at the thaw. */
void node_heap_let_go(struct node_heap *heap, struct garbage *value);
