/* The invariants of a tree, for debug builds and tests. */
#include "base/assert.h"
#include "store/tree_order.h"

struct check {
    const struct tree *tree;
    const struct leaf *last_leaf; /* of the record before */
    uint64_t bytes, outside;
};

static bool is_at_most(struct record_key a, struct record_key b) {
    return a.order < b.order || (a.order == b.order && a.extra <= b.extra);
}

/* Is the last record so far before, or equal to, the first one of this leaf? */
static void check_neighbours(const struct check *check, const struct leaf *leaf, uint32_t index) {
    const struct leaf *last = index > 0 ? leaf : check->last_leaf;
    uint32_t before = index > 0 ? index - 1 : last != NULL ? last->count - 1u : 0;
    uint8_t order = check->tree->order;
    if (last == NULL || order == TREE_BY_POSITION) {
        return;
    }
    struct tree_probe probe = {.key = leaf_key(leaf, index), .member = leaf_record(leaf, index)};
    if (order == TREE_BY_ID) {
        probe.key = tree_order_separator_at(order, leaf, index);
    }
    if (order == TREE_BY_SCORE || order == TREE_BY_ID) {
        KRT_ASSERT(tree_order_is_before(order, last, before, &probe)); /* R1 */
    } else {
        KRT_ASSERT(leaf_key(last, before).order <= probe.key.order);
    }
}

static void check_leaf(struct check *check, const struct leaf *leaf) {
    leaf_check(leaf);
    KRT_ASSERT(leaf->node.key_bytes == tree_order_key_bytes(check->tree->order));
    for (uint32_t i = 0; i < leaf->count; i++) {
        check_neighbours(check, leaf, i);
    }
    check->outside += leaf_outside_bytes(leaf, 0, leaf->count);
    check->last_leaf = leaf->count > 0 ? leaf : check->last_leaf;
}

static uint32_t check_node(struct check *check, const struct node *node);

static void check_row(struct check *check, const struct inner *inner, uint32_t row) {
    struct record_key separator = {inner->order[row], inner->extra[row]};
    const struct leaf *last = check->last_leaf;
    uint8_t order = check->tree->order;
    KRT_ASSERT(inner->child[row]->level == inner->node.level - 1);          /* R3 */
    KRT_ASSERT(inner->counts[row] == check_node(check, inner->child[row])); /* R2 */
    KRT_ASSERT(inner->counts[row] > 0);
    if (row > 0 && last != NULL && order != TREE_BY_POSITION) {
        KRT_ASSERT(is_at_most(tree_order_separator_at(order, last, last->count - 1u), separator));
        const struct node *node = inner->child[row];
        while (node->level > 0) {
            node = ((const struct inner *)node)->child[0];
        }
        KRT_ASSERT(is_at_most(
            separator, tree_order_separator_at(order, (const struct leaf *)node, 0))); /* R1 */
    }
}

static uint32_t check_node(struct check *check, const struct node *node) {
    check->bytes += node->bytes;
    if (node->level == 0) {
        check_leaf(check, (const struct leaf *)node);
        return ((const struct leaf *)node)->count;
    }
    const struct inner *inner = (const struct inner *)node;
    KRT_ASSERT(inner->count > 0 && inner->count <= INNER_ROWS);
    for (uint32_t row = 0; row < inner->count; row++) {
        check_row(check, inner, row);
    }
    return node_records(node);
}

void tree_check(const struct tree *tree) {
    struct check check = {.tree = tree};
    if (tree->root == NULL) {
        KRT_ASSERT(tree->count == 0 && tree->height == 0 && tree->bytes == 0 && tree->outside == 0);
        return;
    }
    KRT_ASSERT(tree->root->level == tree->height);
    KRT_ASSERT(check_node(&check, tree->root) == tree->count); /* R2 */
    KRT_ASSERT(check.bytes + check.outside == tree->bytes && check.outside == tree->outside);
}
