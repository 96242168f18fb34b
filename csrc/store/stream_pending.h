/* Entries that consumers were given and have not acknowledged (store/stream_groups.h).
 *
 * Role: finds them in a group's tree or in a consumer's, changes both at once.
 * Threads: holder of the baton; walks over frozen trees on any thread.
 * Ownership: a walk is good until its tree changes.
 * Errors: stream_pending_needed tells what node_reserve has to be asked for; changes within it cannot fail.
 */
#pragma once

#include "store/stream_groups.h"

struct stream_pending {
    struct stream_id id;
    uint32_t consumer;    /* its number */
    int64_t delivered_ms; /* not negative */
    uint64_t deliveries;
};

/* ---- Finding --------------------------------------------------------------------------------- */

struct stream_pending_walk {
    struct tree_path path;
    struct stream_pending pending; /* in a consumer's tree the id alone */
};

/* The first one that is not before the id. False: there is none. */
bool stream_pending_seek(struct stream_pending_walk *walk, const struct tree *tree,
                         struct stream_id from);
bool stream_pending_next(struct stream_pending_walk *walk);
bool stream_pending_last(struct stream_pending_walk *walk, const struct tree *tree);
/* In a group's tree. */
bool stream_pending_find(const struct tree *tree, struct stream_id id,
                         struct stream_pending *pending);

/* ---- Changing -------------------------------------------------------------------------------- */

/* Nodes for so many changes, of which what puts is for `to`; NULL: nothing but erasures. */
uint64_t stream_pending_needed(const struct stream_group *group, const struct node_heap *heap,
                               const struct stream_consumer *to, uint64_t changes);
bool stream_pending_reserve(const struct stream_group *group, struct node_heap *heap,
                            const struct stream_consumer *to, uint64_t changes);
/* One more, or another record for one that is there, whoever had it. */
void stream_pending_put(struct stream_group *group, struct node_heap *heap,
                        const struct stream_pending *pending);
/* False: it is not pending. */
bool stream_pending_erase(struct stream_group *group, struct node_heap *heap, struct stream_id id);
/* All that a consumer has. */
void stream_pending_erase_all(struct stream_group *group, struct node_heap *heap,
                              struct stream_consumer *consumer);
