/* Counted B+ trees of records: what every large value is made of.
 *
 * Role: records (byte strings) in an order, found by key or by rank, in nodes of at most 4 KiB without
 * parent or sibling pointers; whoever goes through a tree carries the path. What the records mean is
 * known to records.h and above; a tree knows how they compare.
 * Threads: holder of the baton of the heap's shard. A copy of a `struct tree` from before a freeze
 * (store/node.h) may be read by any thread until the thaw.
 * Ownership: a tree owns its nodes; a path is good until the tree changes.
 * Invariants
 *   R1  Records are in order; separators are between them (store/inner.h).
 *   R2  The counts of a row are those of the records below it, `count` is the sum of all.
 *   R3  All leaves are on level 0; only the root may be an empty leaf; only a leaf root has no rows.
 *   R4  Nodes of frozen epochs are not written.
 * Errors: tree_reserve false for no memory; what changes the tree cannot fail within its reserve.
 * Bounds: TREE_HEIGHT_MAX; UINT32_MAX records.
 */
#pragma once

#include "store/inner.h"

enum tree_order {
    TREE_BY_POSITION,  /* wherever it is put */
    TREE_BY_HASH,      /* by a hash of 32 bits, any order among equal ones */
    TREE_BY_HASH_WITH, /* the same, with eight bytes of the owner's beside the hash */
    TREE_BY_SCORE,     /* by tree_score_order, then by the record's bytes */
    TREE_BY_ID,        /* by two numbers that the record begins with (varint.h) */
};

enum { TREE_HEIGHT_MAX = 8 };

struct tree {
    struct node *root; /* NULL: nothing was ever in it */
    uint64_t count;    /* of records */
    uint64_t bytes;    /* of nodes and of what lies outside them */
    uint64_t outside;  /* of these, what lies outside */
    uint8_t order;     /* enum tree_order */
    uint8_t height;    /* level of the root */
};

struct tree_path { /* from the root down; the leaf is at [height] */
    struct node *node[TREE_HEIGHT_MAX + 1];
    uint16_t index[TREE_HEIGHT_MAX + 1];
    uint32_t height;
    bool stepped; /* the last step led from one leaf to the first record of the next */
};

struct tree_probe {
    struct record_key key; /* extra: of TREE_BY_ID */
    struct bytes member;   /* of TREE_BY_SCORE */
    bool after;            /* what is equal to the probe lies before it */
};

/* Scores in the order of doubles as that of integers; both zeros are one, but keep their sign. */
static inline uint64_t tree_score_order(double score) {
    uint64_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static inline double tree_score(uint64_t order) {
    double score;
    uint64_t bits = order >> 63 ? order & ~(UINT64_C(1) << 63) : ~order;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/* What compares: the sign of zero does not. */
static inline uint64_t tree_score_place(uint64_t order) {
    const uint64_t minus_zero = (UINT64_C(1) << 63) - 1;
    return order + (order == minus_zero);
}

static inline struct tree tree_empty(enum tree_order order) {
    return (struct tree){.order = (uint8_t)order};
}

/* Whoever holds it alone, any thread. */
void tree_free(struct tree *tree, struct mem_account *account);
/* Makes `copy` the same records in nodes of its own; what lies outside is shared. False: no memory, and the
 * copy is empty. */
bool tree_copy(const struct tree *tree, struct node_heap *heap, struct tree *copy);

/* Fetches what a search looks at first. */
void tree_prefetch(const struct tree *tree);
/* By hash: fetches what a search in the leaf of the hash looks at, and, once that is there, the record. */
const struct leaf *tree_prefetch_leaf(const struct tree *tree, uint32_t hash);
void tree_prefetch_record(const struct leaf *leaf, uint32_t hash);

/* ---- Finding: false if there is no such record; the path is then where it would be ------------ */
/* The first record that is not before the probe. */
bool tree_find(const struct tree *tree, const struct tree_probe *probe, struct tree_path *path);
/* By rank; `count` itself is behind the last one. */
bool tree_seek(const struct tree *tree, uint64_t rank, struct tree_path *path);
bool tree_next(struct tree_path *path);
bool tree_prev(struct tree_path *path);
uint64_t tree_rank(const struct tree_path *path);

static inline const struct leaf *tree_path_leaf(const struct tree_path *path) {
    return (const struct leaf *)path->node[path->height];
}

static inline struct bytes tree_record(const struct tree_path *path) {
    return leaf_record(tree_path_leaf(path), path->index[path->height]);
}

static inline struct record_key tree_key(const struct tree_path *path) {
    return leaf_key(tree_path_leaf(path), path->index[path->height]);
}

/* ---- Changing. The path is used up ------------------------------------------------------------ */
/* For so many changes (at least one), of which insertions and longer replacements bring so many bytes. By
 * position each insertion is where the one before was. */
uint64_t tree_nodes_needed(const struct tree *tree, const struct node_heap *heap, uint64_t changes,
                           uint64_t bytes);
bool tree_reserve(const struct tree *tree, struct node_heap *heap, uint64_t changes,
                  uint64_t bytes);
/* Before what is at the path, as tree_find or tree_seek left it. */
void tree_insert(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                 const struct record_key *key, struct bytes record);
/* What compares as before. */
void tree_replace(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                  const struct record_key *key, struct bytes record);
/* Up to `count` records from the path on: those of one leaf. Returns how many. */
uint32_t tree_erase(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                    uint64_t count);

/* Debug builds and tests: asserts R1 to R3 over everything. */
void tree_check(const struct tree *tree);
