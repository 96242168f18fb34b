/* What the changes of streams share: private to store/stream_*.c. */
#pragma once

#include "store/stream.h"

static inline struct node_heap *stream_edit_heap(const struct stream_edit *edit) {
    return edit->heap;
}

static inline bool stream_has_tail(const struct stream *stream) {
    return !stream_id_is_zero(stream->tail.first);
}

struct stream_change { /* how many of each */
    uint64_t appended, bytes, erased;
    uint64_t nodes_added, nodes_changed; /* records of trees[1]; changed: also erased */
};

/* Without anything frozen, what is erased or changed needs no memory. */
bool stream_change_reserve(const struct stream_edit *edit, const struct stream_change *change);

/* What a trim takes from the stream. */
struct stream_cut {
    uint64_t entries; /* all */
    uint64_t nodes;   /* of trees[1] */
    uint64_t part;    /* entries of the first node that stays */
    bool tail;        /* the last node goes too */
};

/* Before an append: at most so much, once one more has come. */
struct stream_cut stream_change_plan_trim(const struct stream_edit *edit,
                                          const struct stream_trim *trim, bool before_append);
