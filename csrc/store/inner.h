/* An inner node: rows of a child, how many records lie below it, and a separator.
 *
 * The columns lie apart, so that a search reads separators only and a rank counts only. The separator of a
 * child is at least what every record before the child compares as, and at most what every record below
 * the child does; the first child's is not looked at.
 */
#pragma once

#include "store/leaf.h"

enum { INNER_ROWS = 145 };

struct inner {
    struct node node;
    uint32_t count;
    uint32_t counts[INNER_ROWS]; /* of records below the child */
    uint64_t order[INNER_ROWS], extra[INNER_ROWS];
    struct node *child[INNER_ROWS];
};
_Static_assert(sizeof(struct inner) <= NODE_BYTES_MAX, "an inner node is a node");

struct inner *inner_new(struct node_heap *heap, uint8_t level);
void inner_insert(struct inner *inner, uint32_t row, struct node *child, uint32_t records,
                  struct record_key separator);
void inner_erase(struct inner *inner, uint32_t row);
/* Rows [from, count) of another node, behind what is there. */
void inner_append(struct inner *inner, const struct inner *source, uint32_t from);
/* How many rows from the second on have a separator below the key. */
uint32_t inner_rows_below(const struct inner *inner, struct record_key key);
/* The row that has the record of this rank, which becomes its rank below that child. A rank behind
 * all of them is in the last row. `records` are below the node: counts are summed from the nearer end. */
uint32_t inner_row_of_rank(const struct inner *inner, uint64_t records, uint64_t *rank);
uint64_t inner_records_before(const struct inner *inner, uint32_t row);
/* Of a leaf too: its records. */
uint32_t node_records(const struct node *node);
