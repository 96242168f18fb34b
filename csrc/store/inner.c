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

/* The first of [low, high) that is not below the word. A step is arithmetic and no branch, which would be
 * foretold wrong every other time. */
static uint32_t lower_bound(const uint64_t *words, uint32_t low, uint32_t high, uint64_t word) {
    for (uint32_t count = high - low; count > 0;) {
        uint32_t half = (count + 1) / 2;
        low += half & (0u - (words[low + half - 1] < word));
        count -= half;
    }
    return low;
}

uint32_t inner_rows_below(const struct inner *inner, struct record_key key) {
    uint32_t count = inner->count, low = lower_bound(inner->order, 1, count, key.order);
    if (low == count || inner->order[low] != key.order || key.extra == 0) {
        return low - 1;
    }
    uint32_t equal =
        key.order == UINT64_MAX ? count : lower_bound(inner->order, low, count, key.order + 1);
    return lower_bound(inner->extra, low, equal, key.extra) - 1;
}

static uint64_t sum_of_four(const uint32_t *counts) {
    return ((uint64_t)counts[0] + counts[1]) + ((uint64_t)counts[2] + counts[3]);
}

static uint32_t row_from_start(const struct inner *inner, uint64_t *rank) {
    uint64_t left = *rank, four;
    uint32_t row = 0;
    while (row + 4 < inner->count && left >= (four = sum_of_four(&inner->counts[row]))) {
        left -= four;
        row += 4;
    }
    for (; row + 1 < inner->count && left >= inner->counts[row]; row++) {
        left -= inner->counts[row];
    }
    *rank = left;
    return row;
}

static uint32_t row_from_end(const struct inner *inner, uint64_t records, uint64_t *rank) {
    uint64_t before = records, four;
    uint32_t row = inner->count;
    while (row > 4 && before - (four = sum_of_four(&inner->counts[row - 4])) > *rank) {
        before -= four;
        row -= 4;
    }
    do {
        before -= inner->counts[--row];
    } while (before > *rank);
    *rank -= before;
    return row;
}

uint32_t inner_row_of_rank(const struct inner *inner, uint64_t records, uint64_t *rank) {
    return *rank < records / 2 ? row_from_start(inner, rank) : row_from_end(inner, records, rank);
}

uint64_t inner_records_before(const struct inner *inner, uint32_t row) {
    uint64_t sum = 0;
    uint32_t i = 0;
    for (; i + 4 <= row; i += 4) {
        sum += sum_of_four(&inner->counts[i]);
    }
    for (; i < row; i++) {
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
