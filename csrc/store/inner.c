/* Rows of inner nodes. */
#include "store/inner.h"

#include "base/assert.h"

struct inner *inner_new(struct node_heap *heap, uint8_t level) {
    struct inner *inner = (struct inner *)node_new(heap, NODE_BYTES_MAX);
    if (inner != NULL) {
        inner->node.level = level;
        inner->count = 0;
    }
    return inner;
}

static void move_rows(struct inner *inner, uint32_t to, uint32_t from) {
    uint32_t rows = inner->count - from;
    memmove(&inner->counts[to], &inner->counts[from], rows * sizeof inner->counts[0]);
    memmove(&inner->order[to], &inner->order[from], rows * sizeof inner->order[0]);
    memmove(&inner->extra[to], &inner->extra[from], rows * sizeof inner->extra[0]);
    memmove(&inner->child[to], &inner->child[from], rows * sizeof inner->child[0]);
}

void inner_insert(struct inner *inner, uint32_t row, struct node *child, uint32_t records,
                  struct record_key separator) {
    KRT_DCHECK(inner->count < INNER_ROWS && row <= inner->count);
    move_rows(inner, row + 1, row);
    inner->counts[row] = records;
    inner->order[row] = separator.order;
    inner->extra[row] = separator.extra;
    inner->child[row] = child;
    inner->count++;
}

void inner_erase(struct inner *inner, uint32_t row) {
    KRT_DCHECK(row < inner->count);
    move_rows(inner, row, row + 1);
    inner->count--;
}

void inner_append(struct inner *inner, const struct inner *source, uint32_t from) {
    uint32_t rows = source->count - from, to = inner->count;
    KRT_DCHECK(to + rows <= INNER_ROWS);
    memcpy(&inner->counts[to], &source->counts[from], rows * sizeof inner->counts[0]);
    memcpy(&inner->order[to], &source->order[from], rows * sizeof inner->order[0]);
    memcpy(&inner->extra[to], &source->extra[from], rows * sizeof inner->extra[0]);
    memcpy(&inner->child[to], &source->child[from], rows * sizeof inner->child[0]);
    inner->count += rows;
}

static bool is_below(const struct inner *inner, uint32_t row, struct record_key key) {
    uint64_t order = inner->order[row];
    return order < key.order || (order == key.order && inner->extra[row] < key.extra);
}

uint32_t inner_rows_below(const struct inner *inner, struct record_key key) {
    uint32_t low = 1, count = inner->count - 1;
    while (count > 0) {
        uint32_t half = count / 2;
        if (is_below(inner, low + half, key)) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low - 1;
}

uint32_t inner_row_of_rank(const struct inner *inner, uint64_t *rank) {
    uint32_t row = 0;
    for (; row + 1 < inner->count && *rank >= inner->counts[row]; row++) {
        *rank -= inner->counts[row];
    }
    return row;
}

uint64_t inner_records_before(const struct inner *inner, uint32_t row) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < row; i++) {
        sum += inner->counts[i];
    }
    return sum;
}

uint32_t node_records(const struct node *node) {
    if (node->level == 0) {
        return ((const struct leaf *)node)->count;
    }
    const struct inner *inner = (const struct inner *)node;
    return (uint32_t)inner_records_before(inner, inner->count);
}
