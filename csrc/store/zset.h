/* Members and scores of a sorted set under edit (store/edit.h).
 *
 * Role: keeps the two trees of a large one the same, of which each member is in both: by score, and by
 * hash. A long member is one blob in both.
 * Threads, ownership, errors: store/edit.h. What one function below does is ZSET_CHANGES changes at most.
 */
#pragma once

#include "store/edit.h"

enum { ZSET_CHANGES = 2 };

/* False: it is no member. */
bool zset_score(const struct collection_view *view, const struct hash_seed *seed,
                struct bytes member, uint64_t *order);
/* A member that is not there yet. */
void zset_add(struct edit *edit, uint64_t order, struct bytes member);
/* One that is there gets another score. */
void zset_move(struct edit *edit, uint64_t from, uint64_t to, struct bytes member);
void zset_remove(struct edit *edit, uint64_t order, struct bytes member);
/* Members of ranks [rank, rank + count). */
void zset_remove_range(struct edit *edit, uint64_t rank, uint64_t count);

/* For edit.c: a member of the first tree into the second. */
void zset_index_add(struct node_heap *heap, const struct hash_seed *seed,
                    struct collection *collection, uint64_t order, struct bytes member);
