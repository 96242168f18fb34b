/* Changing trees.
 *
 * Every change first makes the path its own: what is frozen on it is copied from the root down. Then the
 * leaf is changed, and what that asks of the nodes above goes up the path: a row more, a row less.
 */
#include "base/assert.h"
#include "store/tree_order.h"

enum {
    LEAF_POOR_BYTES = NODE_BYTES_MAX / 4, /* below, it may join a sibling */
    LEAF_JOINED_BYTES = NODE_BYTES_MAX / 4 * 3,
    INNER_POOR_ROWS = INNER_ROWS / 4,
    INNER_JOINED_ROWS = INNER_ROWS / 4 * 3,
};

/* ---- Memory ---------------------------------------------------------------------------------- */

/* One insertion: a leaf for one half and the other, a split on each level above, a root; and some more. */
static uint64_t nodes_for_one(const struct tree *tree) {
    return tree->height + 5u;
}

/* What may have to grow, and what may come. By position what is inserted is so in one leaf after the other; what
 * is erased needs something only while there is something frozen. */
static uint64_t leaves_touched(const struct tree *tree, const struct node_heap *heap,
                               uint64_t changes, uint64_t bytes) {
    if (tree->order == TREE_BY_POSITION && heap->frozen == 0) {
        return (bytes + changes * sizeof(uint16_t)) / (NODE_BYTES_MAX / 4) + 1;
    }
    return tree->bytes / NODE_BYTES_MIN + bytes / (NODE_BYTES_MAX / 4) + 1;
}

uint64_t tree_nodes_needed(const struct tree *tree, const struct node_heap *heap, uint64_t changes,
                           uint64_t bytes) {
    if (changes <= 1 && heap->frozen == 0) {
        return nodes_for_one(tree);
    }
    uint64_t leaves = leaves_touched(tree, heap, changes, bytes);
    uint64_t more = changes == 0 ? 0 : changes - 1 < leaves ? changes - 1 : leaves;
    uint64_t need = nodes_for_one(tree) + more + more / INNER_POOR_ROWS;
    if (heap->frozen != 0) { /* a copy of each node on the path */
        need += (more + 1) * (tree->height + 1u);
    }
    return need;
}

bool tree_reserve(const struct tree *tree, struct node_heap *heap, uint64_t changes,
                  uint64_t bytes) {
    uint64_t need = tree_nodes_needed(tree, heap, changes, bytes);
    return need <= UINT32_MAX && node_reserve(heap, (uint32_t)need);
}

static void free_below(struct node *node, struct mem_account *account) {
    if (node->level > 0) {
        struct inner *inner = (struct inner *)node;
        for (uint32_t row = 0; row < inner->count; row++) {
            free_below(inner->child[row], account);
        }
    }
    node_free(account, node);
}

void tree_free(struct tree *tree, struct mem_account *account) {
    if (tree->root != NULL) {
        free_below(tree->root, account);
    }
    *tree = tree_empty((enum tree_order)tree->order);
}

/* ---- Copying --------------------------------------------------------------------------------- */

static struct node *copy_below(const struct node *node, struct node_heap *heap, struct tree *copy);

/* A child that could not be copied ends the rows: what is there can be freed. */
static bool copy_rows(const struct inner *inner, struct node_heap *heap, struct tree *copy,
                      struct inner *into) {
    for (uint32_t row = 0; row < inner->count; row++) {
        struct node *child = copy_below(inner->child[row], heap, copy);
        if (child == NULL) {
            return false;
        }
        inner_insert(into, row, child, inner->counts[row],
                     (struct record_key){inner->order[row], inner->extra[row]});
    }
    return true;
}

static struct node *copy_below(const struct node *node, struct node_heap *heap, struct tree *copy) {
    struct node *made;
    if (node->level > 0) {
        struct inner *into = inner_new(heap, node->level);
        made = into != NULL ? &into->node : NULL;
        if (made != NULL && !copy_rows((const struct inner *)node, heap, copy, into)) {
            free_below(made, heap->account);
            return NULL;
        }
    } else {
        const struct leaf *leaf = (const struct leaf *)node;
        struct leaf *into = leaf_new(heap, leaf->node.key_bytes, leaf_bytes(leaf));
        made = into != NULL ? &into->node : NULL;
        if (made != NULL) {
            leaf_append(into, leaf, 0, leaf->count);
            leaf_share_outside(into);
        }
    }
    copy->bytes += made != NULL ? made->bytes : 0;
    return made;
}

bool tree_copy(const struct tree *tree, struct node_heap *heap, struct tree *copy) {
    struct node_heap bare = {.account = heap->account, .epoch = heap->epoch};
    *copy = tree_empty((enum tree_order)tree->order);
    if (tree->root == NULL) {
        return true;
    }
    struct tree made = *tree;
    made.bytes = tree->outside;
    made.root = copy_below(tree->root, &bare, &made);
    if (made.root != NULL) {
        *copy = made;
    }
    return made.root != NULL;
}

/* ---- Nodes of a tree ------------------------------------------------------------------------- */

static struct leaf *new_leaf(struct tree *tree, struct node_heap *heap, uint32_t bytes) {
    struct leaf *leaf = leaf_new(heap, tree_order_key_bytes(tree->order), bytes);
    KRT_ASSERT(leaf != NULL); /* it was reserved */
    tree->bytes += leaf->node.bytes;
    return leaf;
}

static struct inner *new_inner(struct tree *tree, struct node_heap *heap, uint8_t level) {
    struct inner *inner = inner_new(heap, level);
    KRT_ASSERT(inner != NULL);
    tree->bytes += inner->node.bytes;
    return inner;
}

static void release(struct tree *tree, struct node_heap *heap, struct node *node) {
    tree->bytes -= node->bytes;
    node_release(heap, node);
}

/* What it held has gone elsewhere. */
static void free_shell(struct tree *tree, struct node_heap *heap, struct node *node) {
    KRT_DCHECK(!node_is_frozen(heap, node));
    tree->bytes -= node->bytes;
    mem_free(heap->account, node);
}

/* ---- The path -------------------------------------------------------------------------------- */

static struct inner *inner_at(const struct tree_path *path, uint32_t depth) {
    return (struct inner *)path->node[depth];
}

static struct leaf *leaf_at(const struct tree_path *path) {
    return (struct leaf *)path->node[path->height];
}

/* Another node takes the place of the one at this depth. */
static void put_node(struct tree *tree, struct tree_path *path, uint32_t depth, struct node *node) {
    path->node[depth] = node;
    if (depth == 0) {
        tree->root = node;
    } else {
        inner_at(path, depth - 1)->child[path->index[depth - 1]] = node;
    }
}

static struct node *copy_node(struct tree *tree, struct node_heap *heap, const struct node *node) {
    if (node->level > 0) {
        struct inner *copy = new_inner(tree, heap, node->level);
        inner_append(copy, (const struct inner *)node, 0);
        return &copy->node;
    }
    const struct leaf *leaf = (const struct leaf *)node;
    struct leaf *copy = new_leaf(tree, heap, leaf_bytes(leaf));
    leaf_append(copy, leaf, 0, leaf->count);
    leaf_share_outside(copy);
    return &copy->node;
}

static void own_path(struct tree *tree, struct node_heap *heap, struct tree_path *path) {
    if (KRT_LIKELY(heap->frozen == 0)) {
        return;
    }
    for (uint32_t depth = 0; depth <= path->height; depth++) {
        struct node *node = path->node[depth];
        if (node_is_frozen(heap, node)) {
            put_node(tree, path, depth, copy_node(tree, heap, node));
            release(tree, heap, node);
        }
    }
}

static void count_path(const struct tree_path *path, int64_t change) {
    for (uint32_t depth = 0; depth < path->height; depth++) {
        uint32_t *count = &inner_at(path, depth)->counts[path->index[depth]];
        *count = (uint32_t)(*count + change);
    }
}

/* ---- Rows above ------------------------------------------------------------------------------ */

static void add_root(struct tree *tree, struct node_heap *heap, struct tree_path *path) {
    struct node *old = tree->root;
    struct inner *root = new_inner(tree, heap, (uint8_t)(old->level + 1));
    KRT_ASSERT(path->height < TREE_HEIGHT_MAX);
    inner_insert(root, 0, old, node_records(old), (struct record_key){0});
    for (uint32_t depth = ++path->height; depth > 0; depth--) {
        path->node[depth] = path->node[depth - 1];
        path->index[depth] = path->index[depth - 1];
    }
    path->index[0] = 0;
    put_node(tree, path, 0, &root->node);
    tree->height++;
}

static void add_row(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                    uint32_t *depth, struct node *child, struct record_key separator);

/* Where rows or records come in order, what is behind is left full. */
static uint32_t split_row(const struct inner *inner, uint32_t row) {
    if (row + 1 == inner->count) {
        return row;
    }
    return row == 0 ? 1 : inner->count / 2;
}

/* Makes the node at this depth two; the path stays with the child that it leads to. Returns by how much
 * the path grew. */
static void split_inner(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                        uint32_t *depth) {
    struct inner *left = inner_at(path, *depth);
    uint32_t row = path->index[*depth], at = split_row(left, row);
    struct inner *right = new_inner(tree, heap, left->node.level);
    struct record_key separator = {left->order[at], left->extra[at]};
    inner_append(right, left, at);
    left->count = at;
    add_row(tree, heap, path, depth, &right->node, separator);
    if (row >= at) {
        path->index[*depth - 1]++;
        path->node[*depth] = &right->node;
        path->index[*depth] = (uint16_t)(row - at);
    }
}

/* A sibling behind the node at *depth, which has just given it some of what it had. *depth is where the
 * node is afterwards. */
static void add_row(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                    uint32_t *depth, struct node *child, struct record_key separator) {
    uint32_t above;
    if (*depth == 0) {
        add_root(tree, heap, path);
        *depth = 1;
    }
    above = *depth - 1;
    if (inner_at(path, above)->count == INNER_ROWS) {
        split_inner(tree, heap, path, &above);
        *depth = above + 1;
    }
    struct inner *inner = inner_at(path, above);
    uint32_t row = path->index[above];
    inner->counts[row] = node_records(path->node[*depth]);
    inner_insert(inner, row + 1, child, node_records(child), separator);
}

/* The node at this depth is out of the tree: its row goes, and what has no row left. */
static void drop_row(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                     uint32_t depth) {
    while (depth > 0) {
        struct inner *inner = inner_at(path, --depth);
        inner_erase(inner, path->index[depth]);
        if (inner->count > 0) {
            return;
        }
        release(tree, heap, &inner->node);
    }
    tree->root = NULL;
    tree->height = 0;
}

static void lower_root(struct tree *tree, struct node_heap *heap) {
    while (tree->height > 0 && ((struct inner *)tree->root)->count == 1) {
        struct node *root = tree->root;
        tree->root = ((struct inner *)root)->child[0];
        tree->height--;
        release(tree, heap, root);
    }
}

/* ---- Inserting ------------------------------------------------------------------------------- */

/* The same records in a leaf with room for `bytes` more. */
static struct leaf *resize_leaf(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                                uint32_t bytes) {
    struct leaf *old = leaf_at(path), *leaf = new_leaf(tree, heap, leaf_bytes(old) + bytes);
    leaf_append(leaf, old, 0, old->count);
    put_node(tree, path, path->height, &leaf->node);
    free_shell(tree, heap, &old->node);
    return leaf;
}

static struct leaf *copy_part(struct tree *tree, struct node_heap *heap, const struct leaf *leaf,
                              uint32_t from, uint32_t to, uint32_t room) {
    uint32_t bytes = leaf_record_end(leaf, to) - leaf_record_end(leaf, from);
    uint32_t slot = (uint32_t)sizeof(uint16_t) + leaf->node.key_bytes;
    struct leaf *part = new_leaf(tree, heap, LEAF_HEADER_BYTES + (to - from) * slot + bytes + room);
    leaf_append(part, leaf, from, to);
    return part;
}

/* The record in whose middle half of the leaf lies; there are records on both sides. */
static uint32_t middle(const struct leaf *leaf) {
    uint32_t slot = (uint32_t)sizeof(uint16_t) + leaf->node.key_bytes, at = 1;
    uint32_t half = leaf->spare + leaf_bytes(leaf) / 2;
    while (at + 1u < leaf->count && leaf_offset(leaf, at) + at * slot < half) {
        at++;
    }
    return at;
}

/* A new leaf behind the path's, or before it, for a record that comes there: what is full stays full. */
static void open_leaf(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                      uint32_t room, struct record_key separator) {
    uint32_t depth = path->height;
    struct leaf *leaf = leaf_at(path), *fresh = new_leaf(tree, heap, LEAF_HEADER_BYTES + room);
    if (path->index[depth] > 0) {
        add_row(tree, heap, path, &depth, &fresh->node, separator);
        path->index[depth - 1]++;
        path->node[depth] = &fresh->node;
        path->index[depth] = 0;
        return;
    }
    put_node(tree, path, depth, &fresh->node);
    add_row(tree, heap, path, &depth, &leaf->node, tree_order_separator_at(tree->order, leaf, 0));
}

/* What comes at the border is put on the left; what is there (`is_record`) is on the right. */
static void split_leaf(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                       uint32_t room, bool is_record) {
    uint32_t depth = path->height, index = path->index[depth];
    struct leaf *leaf = leaf_at(path);
    uint32_t at = middle(leaf);
    bool is_left = index < at || (index == at && !is_record);
    struct leaf *left = copy_part(tree, heap, leaf, 0, at, is_left ? room : 0);
    struct leaf *right = copy_part(tree, heap, leaf, at, leaf->count, is_left ? 0 : room);
    put_node(tree, path, depth, &left->node);
    free_shell(tree, heap, &leaf->node);
    add_row(tree, heap, path, &depth, &right->node, tree_order_separator_at(tree->order, right, 0));
    if (!is_left) {
        path->index[depth - 1]++;
        path->node[depth] = &right->node;
        path->index[depth] = (uint16_t)(index - at);
    }
}

static void make_room(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                      const struct record_key *key, struct bytes record) {
    uint32_t room = leaf_record_bytes(leaf_at(path)->node.key_bytes, record);
    struct leaf *leaf = leaf_at(path);
    uint32_t index = path->index[path->height];
    if (leaf_has_room(leaf, room)) {
        return;
    }
    if (leaf_bytes(leaf) + room <= NODE_BYTES_MAX) {
        (void)resize_leaf(tree, heap, path, room);
    } else if (index == 0 || index == leaf->count) {
        open_leaf(tree, heap, path, room, tree_order_separator(tree->order, key, record));
    } else {
        split_leaf(tree, heap, path, room, false);
    }
}

static uint64_t outside_bytes(struct bytes record) {
    return record.len > LEAF_RECORD_MAX ? sizeof(struct blob) + record.len : 0;
}

static void count_outside(struct tree *tree, int64_t change) {
    tree->bytes += (uint64_t)change;
    tree->outside += (uint64_t)change;
}

static void plant(struct tree *tree, struct node_heap *heap, struct tree_path *path) {
    *path = (struct tree_path){.height = 0};
    put_node(tree, path, 0, &new_leaf(tree, heap, LEAF_HEADER_BYTES)->node);
}

/* To the end of the leaf that the search came to: the separator behind it is not below the record. */
static void step_back(struct tree_path *path) {
    (void)tree_prev(path);
    path->index[path->height]++;
    path->stepped = false;
}

void tree_insert(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                 const struct record_key *key, struct bytes record) {
    if (tree->root == NULL) {
        plant(tree, heap, path);
    } else if (path->stepped) {
        step_back(path);
    }
    own_path(tree, heap, path);
    make_room(tree, heap, path, key, record);
    leaf_insert(leaf_at(path), path->index[path->height], key, record);
    count_path(path, 1);
    tree->count++;
    count_outside(tree, (int64_t)outside_bytes(record));
}

void tree_replace(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                  const struct record_key *key, struct bytes record) {
    own_path(tree, heap, path);
    uint32_t index = path->index[path->height], width = leaf_at(path)->node.key_bytes;
    struct bytes old = leaf_record(leaf_at(path), index);
    uint32_t before = leaf_record_bytes(width, old), after = leaf_record_bytes(width, record);
    count_outside(tree, (int64_t)(outside_bytes(record) - outside_bytes(old)));
    if (after > before && !leaf_has_room(leaf_at(path), after - before)) {
        if (leaf_bytes(leaf_at(path)) + after - before <= NODE_BYTES_MAX) {
            (void)resize_leaf(tree, heap, path, after - before);
        } else {
            split_leaf(tree, heap, path, after - before, true);
            index = path->index[path->height];
        }
    }
    leaf_replace(leaf_at(path), index, key, record);
}

/* ---- Erasing --------------------------------------------------------------------------------- */

/* Without touching the reserve: what a leaf could do without, it can do with. */
static struct leaf *try_leaf(struct tree *tree, struct node_heap *heap, uint32_t bytes) {
    struct node_heap bare = {.account = heap->account, .epoch = heap->epoch};
    struct leaf *leaf = leaf_new(&bare, tree_order_key_bytes(tree->order), bytes);
    tree->bytes += leaf != NULL ? leaf->node.bytes : 0;
    return leaf;
}

static bool joins(const struct node_heap *heap, const struct leaf *a, const struct leaf *b) {
    uint32_t together = leaf_bytes(a) + leaf_bytes(b) - LEAF_HEADER_BYTES;
    return together <= LEAF_JOINED_BYTES && !node_is_frozen(heap, &a->node) &&
           !node_is_frozen(heap, &b->node);
}

/* The leaves of two rows in one. */
static bool join_leaves(struct tree *tree, struct node_heap *heap, struct inner *inner,
                        uint32_t row) {
    struct leaf *left = (struct leaf *)inner->child[row];
    struct leaf *right = (struct leaf *)inner->child[row + 1];
    struct leaf *leaf;
    if (!joins(heap, left, right) ||
        (leaf = try_leaf(tree, heap, leaf_bytes(left) + leaf_bytes(right))) == NULL) {
        return false;
    }
    leaf_append(leaf, left, 0, left->count);
    leaf_append(leaf, right, 0, right->count);
    inner->child[row] = &leaf->node;
    inner->counts[row] += inner->counts[row + 1];
    inner_erase(inner, row + 1);
    free_shell(tree, heap, &left->node);
    free_shell(tree, heap, &right->node);
    return true;
}

static bool join_inners(struct tree *tree, struct node_heap *heap, struct inner *inner,
                        uint32_t row) {
    struct inner *left = (struct inner *)inner->child[row];
    struct inner *right = (struct inner *)inner->child[row + 1];
    if (left->count + right->count > INNER_JOINED_ROWS || node_is_frozen(heap, &left->node) ||
        node_is_frozen(heap, &right->node)) {
        return false;
    }
    right->order[0] = inner->order[row + 1]; /* which nobody has looked at */
    right->extra[0] = inner->extra[row + 1];
    inner_append(left, right, 0);
    inner->counts[row] += inner->counts[row + 1];
    inner_erase(inner, row + 1);
    free_shell(tree, heap, &right->node);
    return true;
}

static bool join_with_sibling(struct tree *tree, struct node_heap *heap,
                              const struct tree_path *path, uint32_t depth) {
    struct inner *above = inner_at(path, depth - 1);
    uint32_t row = path->index[depth - 1];
    bool (*join)(struct tree *, struct node_heap *, struct inner *, uint32_t) =
        depth == path->height ? join_leaves : join_inners;
    return (row + 1 < above->count && join(tree, heap, above, row)) ||
           (row > 0 && join(tree, heap, above, row - 1));
}

static void tidy_rows(struct tree *tree, struct node_heap *heap, const struct tree_path *path) {
    for (uint32_t depth = path->height; depth-- > 1;) {
        if (inner_at(path, depth)->count >= INNER_POOR_ROWS ||
            !join_with_sibling(tree, heap, path, depth)) {
            return;
        }
    }
}

static void shrink_leaf(struct tree *tree, struct node_heap *heap, struct tree_path *path) {
    struct leaf *old = leaf_at(path), *leaf;
    if (old->node.bytes <= 2 * leaf_bytes(old) + NODE_STEP_BYTES ||
        (leaf = try_leaf(tree, heap, leaf_bytes(old))) == NULL) {
        return;
    }
    leaf_append(leaf, old, 0, old->count);
    put_node(tree, path, path->height, &leaf->node);
    free_shell(tree, heap, &old->node);
}

static void tidy(struct tree *tree, struct node_heap *heap, struct tree_path *path) {
    struct leaf *leaf = leaf_at(path);
    if (leaf->count == 0) {
        release(tree, heap, &leaf->node);
        drop_row(tree, heap, path, path->height);
    } else if (path->height > 0 && leaf_bytes(leaf) < LEAF_POOR_BYTES &&
               join_with_sibling(tree, heap, path, path->height)) {
        tidy_rows(tree, heap, path);
    } else {
        shrink_leaf(tree, heap, path);
    }
    lower_root(tree, heap);
}

uint32_t tree_erase(struct tree *tree, struct node_heap *heap, struct tree_path *path,
                    uint64_t count) {
    uint32_t index = path->index[path->height], behind = leaf_at(path)->count - index;
    uint32_t erased = count < behind ? (uint32_t)count : behind;
    own_path(tree, heap, path);
    count_outside(tree, -(int64_t)leaf_outside_bytes(leaf_at(path), index, index + erased));
    leaf_erase(leaf_at(path), index, erased);
    count_path(path, -(int64_t)erased);
    tree->count -= erased;
    tidy(tree, heap, path);
    return erased;
}
