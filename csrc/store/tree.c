/* Finding in trees. */
#include "store/tree.h"

#include "base/assert.h"
#include "base/varint.h"
#include "store/tree_order.h"

/* ---- How records compare --------------------------------------------------------------------- */

uint32_t tree_order_key_bytes(uint8_t order) {
    static const uint8_t bytes[] = {
        [TREE_BY_HASH] = 4, [TREE_BY_HASH_WITH] = 12, [TREE_BY_SCORE] = 8, [TREE_BY_ID] = 0};
    return bytes[order];
}

static uint64_t first_bytes(struct bytes member) {
    uint64_t word = 0;
    if (member.len > 0) {
        memcpy(&word, member.at, member.len < sizeof word ? member.len : sizeof word);
    }
    return __builtin_bswap64(word);
}

struct record_key tree_order_separator(uint8_t order, const struct record_key *key,
                                       struct bytes record) {
    if (order == TREE_BY_SCORE) {
        return (struct record_key){tree_score_place(key->order), first_bytes(record)};
    }
    if (order == TREE_BY_ID) {
        const char *at = record.at;
        uint64_t first = varint_read(&at);
        return (struct record_key){first, varint_read(&at)};
    }
    return (struct record_key){order == TREE_BY_POSITION ? 0 : key->order, 0};
}

struct record_key tree_order_separator_at(uint8_t order, const struct leaf *leaf, uint32_t index) {
    struct record_key key = leaf_key(leaf, index);
    return tree_order_separator(order, &key, leaf_record(leaf, index));
}

static struct record_key probe_separator(uint8_t order, const struct tree_probe *probe) {
    return order == TREE_BY_SCORE
               ? (struct record_key){tree_score_place(probe->key.order), first_bytes(probe->member)}
               : probe->key;
}

static bool is_before(uint64_t a, uint64_t b, int then) {
    return a != b ? a < b : then < 0;
}

bool tree_order_is_before(uint8_t order, const struct leaf *leaf, uint32_t index,
                          const struct tree_probe *probe) {
    if (order == TREE_BY_ID) {
        struct record_key id = tree_order_separator(order, NULL, leaf_record(leaf, index));
        int then = id.extra != probe->key.extra ? (id.extra < probe->key.extra ? -1 : 1)
                                                : -(int)probe->after;
        return is_before(id.order, probe->key.order, then);
    }
    uint64_t key = leaf_key(leaf, index).order;
    if (order != TREE_BY_SCORE) {
        return key < probe->key.order;
    }
    uint64_t place = tree_score_place(key), other = tree_score_place(probe->key.order);
    if (place != other) {
        return place < other;
    }
    int difference = bytes_compare(leaf_record(leaf, index), probe->member);
    return difference < 0 || (difference == 0 && probe->after);
}

/* ---- Down by key ----------------------------------------------------------------------------- */

/* A step is arithmetic and no branch, which would be foretold wrong every other time. */
static uint32_t leaf_lower_bound_hash(const struct leaf *leaf, uint32_t hash) {
    uint32_t low = 0, width = leaf->node.key_bytes;
    const char *keys = leaf_key_at(leaf, 0);
    for (uint32_t count = leaf->count; count > 0;) {
        uint32_t half = (count + 1) / 2, key;
        memcpy(&key, keys + (size_t)(low + half - 1) * width, sizeof key);
        low += half & (0u - (key < hash));
        count -= half;
    }
    return low;
}

/* The first from `low` on with this place or above: records are looked at among equal scores only. */
static uint32_t leaf_lower_bound_place(const struct leaf *leaf, uint32_t low, uint64_t place) {
    const char *keys = leaf_key_at(leaf, 0);
    for (uint32_t count = leaf->count - low; count > 0;) {
        uint32_t half = count / 2;
        uint64_t key;
        memcpy(&key, keys + (size_t)(low + half) * sizeof key, sizeof key);
        if (tree_score_place(key) < place) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

static uint32_t leaf_lower_bound(const struct tree *tree, const struct leaf *leaf,
                                 const struct tree_probe *probe) {
    uint32_t low = 0, count = leaf->count;
    if (tree->order == TREE_BY_HASH || tree->order == TREE_BY_HASH_WITH) {
        return leaf_lower_bound_hash(leaf, (uint32_t)probe->key.order);
    }
    if (tree->order == TREE_BY_SCORE) {
        uint64_t place = tree_score_place(probe->key.order);
        low = leaf_lower_bound_place(leaf, 0, place);
        count = leaf_lower_bound_place(leaf, low, place + 1) - low;
    }
    while (count > 0) {
        uint32_t half = count / 2;
        if (tree_order_is_before(tree->order, leaf, low + half, probe)) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

static const struct leaf *leftmost_leaf(const struct node *node) {
    while (node->level > 0) {
        node = ((const struct inner *)node)->child[0];
    }
    return (const struct leaf *)node;
}

/* Of the children whose separators are equal to the probe's, the last that begins before the probe: what
 * separators leave out (members of one score that begin alike) is compared with the records themselves. */
static uint32_t among_equals(const struct tree *tree, const struct inner *inner, uint32_t row,
                             struct record_key separator, const struct tree_probe *probe) {
    struct record_key next = {separator.order + (separator.extra == UINT64_MAX),
                              separator.extra + 1};
    uint32_t low = row + 1, count = inner_rows_below(inner, next) + 1 - low;
    while (count > 0) {
        uint32_t half = count / 2;
        const struct leaf *leaf = leftmost_leaf(inner->child[low + half]);
        if (tree_order_is_before(tree->order, leaf, 0, probe)) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low - 1;
}

/* The last child that can hold what is before the probe. */
static uint32_t inner_child_for(const struct tree *tree, const struct inner *inner,
                                struct record_key separator, const struct tree_probe *probe) {
    uint32_t row = inner_rows_below(inner, separator);
    if (tree->order == TREE_BY_SCORE && row + 1 < inner->count &&
        inner->order[row + 1] == separator.order) {
        return among_equals(tree, inner, row, separator, probe);
    }
    return row;
}

/* What a search in a leaf looks at lies in front: the lines come at once and not one after the other. */
static void fetch_front(const struct node *leaf) {
    enum { LINE_BYTES = 64, FRONT_BYTES = 512 };
    for (uint32_t at = 0; at < FRONT_BYTES; at += LINE_BYTES) {
        __builtin_prefetch((const char *)leaf + at);
    }
}

void tree_prefetch(const struct tree *tree) {
    const struct inner *root = (const struct inner *)tree->root;
    if (tree->root == NULL) {
        return;
    }
    if (tree->height == 0) {
        fetch_front(tree->root);
        return;
    }
    __builtin_prefetch(&root->count);
    __builtin_prefetch(tree->order == TREE_BY_POSITION ? (const void *)root->counts : root->order);
    __builtin_prefetch(root->child);
}

const struct leaf *tree_prefetch_leaf(const struct tree *tree, uint32_t hash) {
    const struct node *node = tree->root;
    for (uint32_t depth = 0; depth < tree->height; depth++) {
        const struct inner *inner = (const struct inner *)node;
        node = inner->child[inner_rows_below(inner, (struct record_key){hash, 0})];
    }
    fetch_front(node);
    return (const struct leaf *)node;
}

void tree_prefetch_record(const struct leaf *leaf, uint32_t hash) {
    uint32_t index = leaf_lower_bound_hash(leaf, hash);
    if (index < leaf->count) {
        __builtin_prefetch((const char *)leaf + leaf->node.bytes - leaf_offset(leaf, index));
    }
}

static void go_to_start(struct tree_path *path, uint32_t depth, struct node *node) {
    for (;;) {
        path->node[++depth] = node;
        path->index[depth] = 0;
        if (depth == path->height) {
            return;
        }
        node = ((struct inner *)node)->child[0];
    }
}

/* A position behind the last record of a leaf is the first one of the next leaf, if there is one. */
static bool settle(struct tree_path *path) {
    uint32_t depth = path->height;
    if (path->index[depth] < tree_path_leaf(path)->count) {
        return true;
    }
    while (depth > 0) {
        depth--;
        const struct inner *inner = (const struct inner *)path->node[depth];
        if (path->index[depth] + 1u < inner->count) {
            go_to_start(path, depth, inner->child[++path->index[depth]]);
            path->stepped = true;
            return true;
        }
    }
    return false;
}

/* Separators lead to the child before a record that is equal to its leaf's separator: of a tree by id, it is
 * the first one of the next leaf then, and not behind the probe. */
static bool step_behind(const struct tree *tree, const struct tree_probe *probe,
                        struct tree_path *path) {
    const struct leaf *leaf = tree_path_leaf(path);
    if (tree->order != TREE_BY_ID || !tree_order_is_before(tree->order, leaf, 0, probe)) {
        return true;
    }
    path->stepped = false;
    return tree_next(path);
}

bool tree_find(const struct tree *tree, const struct tree_probe *probe, struct tree_path *path) {
    struct record_key separator = probe_separator(tree->order, probe);
    struct node *node = tree->root;
    path->height = tree->height;
    path->stepped = false;
    if (node == NULL) {
        return false;
    }
    for (uint32_t depth = 0; depth < tree->height; depth++) {
        const struct inner *inner = (const struct inner *)node;
        uint32_t row = inner_child_for(tree, inner, separator, probe);
        path->node[depth] = node;
        path->index[depth] = (uint16_t)row;
        node = inner->child[row];
    }
    fetch_front(node);
    path->node[tree->height] = node;
    path->index[tree->height] = (uint16_t)leaf_lower_bound(tree, (const struct leaf *)node, probe);
    return settle(path) && (!path->stepped || !probe->after || step_behind(tree, probe, path));
}

/* ---- By rank --------------------------------------------------------------------------------- */

bool tree_seek(const struct tree *tree, uint64_t rank, struct tree_path *path) {
    struct node *node = tree->root;
    uint64_t records = tree->count;
    bool found = rank < tree->count;
    path->height = tree->height;
    path->stepped = false;
    if (node == NULL) {
        return false;
    }
    for (uint32_t depth = 0; depth < tree->height; depth++) {
        const struct inner *inner = (const struct inner *)node;
        uint32_t row = inner_row_of_rank(inner, records, &rank);
        path->node[depth] = node;
        path->index[depth] = (uint16_t)row;
        node = inner->child[row];
        records = inner->counts[row];
    }
    path->node[tree->height] = node;
    path->index[tree->height] = (uint16_t)rank;
    KRT_DCHECK(rank <= ((const struct leaf *)node)->count);
    return found;
}

uint64_t tree_rank(const struct tree_path *path) {
    uint64_t rank = path->index[path->height];
    for (uint32_t depth = 0; depth < path->height; depth++) {
        rank += inner_records_before((const struct inner *)path->node[depth], path->index[depth]);
    }
    return rank;
}

bool tree_next(struct tree_path *path) {
    path->index[path->height]++;
    return settle(path);
}

static void go_to_end(struct tree_path *path, uint32_t depth) {
    for (; depth < path->height; depth++) {
        struct inner *inner = (struct inner *)path->node[depth];
        path->node[depth + 1] = inner->child[path->index[depth]];
        path->index[depth + 1] =
            (uint16_t)(depth + 1 < path->height ? ((struct inner *)path->node[depth + 1])->count
                                                : tree_path_leaf(path)->count);
        path->index[depth + 1]--;
    }
}

bool tree_prev(struct tree_path *path) {
    for (uint32_t depth = path->height + 1; depth-- > 0;) {
        if (path->index[depth] > 0) {
            path->index[depth]--;
            go_to_end(path, depth);
            return true;
        }
    }
    return false;
}
