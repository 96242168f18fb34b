/* Consumer groups of a stream: what each has read, and what its consumers were given and have not
 * acknowledged.
 *
 * Role: groups in the order of their names, in each its consumers in the order of theirs. A pending entry
 * is a record of the group's tree: id, the consumer's number, when it was delivered, how often. Its id alone
 * is in the consumer's tree, so that a consumer's entries are found without those of the others.
 * store/stream_pending.h reads and changes both.
 * Threads: holder of the baton; frozen ones (stream_groups_freeze) are read by any thread.
 * Ownership: part of a stream, and stays where it is as long as there is a group. A group that is deleted
 * is freed off the shard threads if it is large, and not before what is frozen of it is thawed.
 * Invariants
 *   G1  A number stands for one consumer of its group, which keeps it.
 *   G2  An entry is pending in a group exactly if it is in the tree of the consumer that its record names.
 *   G3  `bytes` is what all of it occupies, by usable size.
 * Errors: NULL or false for no memory; everything is then as it was.
 * Bounds: UINT32_MAX groups, consumers of a group and pending entries of a group.
 */
#pragma once

#include "store/stream_id.h"
#include "store/stream_names.h"
#include "store/tree.h"

enum { STREAM_READ_UNKNOWN = -1 };

struct stream_consumer {
    struct stream_named named;
    uint32_t number;     /* in the records of its group */
    int64_t seen_ms;     /* when it asked last */
    int64_t active_ms;   /* when it was given something last; -1: never */
    struct tree pending; /* ids */
    char name[];
};

struct stream_group {
    struct stream_named named;
    struct stream_groups *groups;
    struct stream_id last_id; /* delivered */
    int64_t entries_read;     /* or STREAM_READ_UNKNOWN */
    struct tree pending;
    struct stream_names consumers;
    struct stream_consumer **numbered; /* NULL: the number is free */
    uint32_t numbers, free_from;       /* no number below this is free */
    struct garbage garbage;            /* once it is let go of */
    struct mem_account *account;
    atomic_u64 *leaving_bytes;
    char name[];
};

struct stream_groups {
    struct stream_names names;
    uint64_t bytes;
};

/* ---- Life, as store/collection.h asks of what belongs to a collection -------------------------- */

void stream_groups_init(struct stream_groups *groups);
void stream_groups_free(struct stream_groups *groups, struct mem_account *account);
/* False: no memory, and the copy is empty. */
bool stream_groups_copy(const struct stream_groups *groups, struct node_heap *heap,
                        struct stream_groups *copy);
/* The same with all that is small copied and the nodes shared, O(groups, consumers and their names): to be taken of
 * a heap that is frozen (store/node.h), before what was there at the freeze changes. Any thread reads it, and
 * ends it with stream_groups_unfreeze; its trees are good until the thaw. */
bool stream_groups_freeze(const struct stream_groups *groups, struct stream_groups *frozen);
void stream_groups_unfreeze(struct stream_groups *frozen);
void stream_groups_recharge(const struct stream_groups *groups, struct mem_account *from,
                            struct mem_account *to);
static inline uint64_t stream_groups_bytes(const struct stream_groups *groups) {
    return groups->bytes;
}
/* Asserts G1 to G3. */
void stream_groups_check(const struct stream_groups *groups);

/* ---- Groups and consumers ----------------------------------------------------------------------- */

static inline struct stream_group *stream_group_at(const struct stream_groups *groups,
                                                   uint32_t index) {
    return (struct stream_group *)groups->names.at[index];
}

static inline struct stream_consumer *stream_consumer_at(const struct stream_group *group,
                                                         uint32_t index) {
    return (struct stream_consumer *)group->consumers.at[index];
}

/* NULL: there is none. */
struct stream_group *stream_group_find(const struct stream_groups *groups, struct bytes name);
struct stream_consumer *stream_consumer_find(const struct stream_group *group, struct bytes name);
/* With a name that is not there yet; nothing read, nothing pending. */
struct stream_group *stream_group_add(struct stream_groups *groups, struct node_heap *heap,
                                      struct bytes name);
struct stream_consumer *stream_consumer_add(struct stream_group *group, struct node_heap *heap,
                                            struct bytes name, int64_t now_ms);
void stream_group_delete(struct stream_group *group, struct node_heap *heap);
/* Of which nothing is pending (stream_pending_erase_all). */
void stream_consumer_delete(struct stream_group *group, struct node_heap *heap,
                            struct stream_consumer *consumer);
