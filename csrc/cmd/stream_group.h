/* A group of a stream, as the handlers of groups see it: finding, changing, declaring.
 *
 *   group_find, group_find_or_refuse
 *   group_begin
 *   group_consumer, stream_pending_reserve   what can fail
 *   the changes (store/stream_pending.h), group_log_* beside each
 *   group_end
 *
 * Threads, ownership: cmd/call.h, store/stream_groups.h.
 */
#pragma once

#include "cmd/stream.h"
#include "store/stream_pending.h"

struct group_at {
    struct key_place place;
    struct bytes name;
    struct entry *entry;        /* NULL: there is no such key */
    struct collection *stream;  /* the same */
    struct stream_group *group; /* NULL: there is no such group */
    uint64_t bytes_before;
};

/* The group of the name in argv[name] of the stream that the entry of argv[key] holds. False after the error
 * reply for another type. */
bool group_find(struct call *call, uint32_t key, uint32_t name, struct group_at *at);
/* The same; an error too if there is no such group. */
bool group_find_or_refuse(struct call *call, uint32_t key, uint32_t name, struct group_at *at);

/* The error reply of a group that a stream has not. */
void group_refuse_name(struct call *call, struct bytes name, struct bytes key);

static inline struct node_heap *group_heap(const struct group_at *at) {
    return &at->place.keyspace->nodes;
}

void group_begin(struct group_at *at);
/* Gives back what is left of the reserve. */
void group_end(const struct group_at *at);
/* The end of it for one of several groups that share a reserve. */
void group_count_bytes(const struct group_at *at);

/* A consumer, made if it is not there. NULL: no memory. */
struct stream_consumer *group_consumer(struct call *call, struct group_at *at, struct bytes name,
                                       bool *created);
/* The consumer asks. One that was made for that is counted, logged, notified. */
void group_see_consumer(struct call *call, const struct group_at *at,
                        struct stream_consumer *consumer, bool created);

/* ---- The log: what a group holds now, whatever it held before ----------------------------------- */

/* Of an entry that is pending, or was until now. */
void group_log_pending(struct call *call, const struct group_at *at,
                       const struct stream_pending *pending);
/* What the group was given and has read. */
void group_log_progress(struct call *call, const struct group_at *at);

/* ---- XINFO --------------------------------------------------------------------------------------- */

/* All groups with their consumers; of what is pending at most so many entries of each, or all if it is 0. */
void stream_reply_groups(struct call *call, const struct collection *stream, uint64_t limit);
