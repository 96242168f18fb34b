/* Members of a sorted set under edit, with the names that Redis's thresholds give it; scores as text. */
#pragma once

#include "cmd/elements.h"
#include "store/zset.h"

/* A member that is not there. What it needs has been reserved, and kept if it is long: `record` is that. */
void zset_add_named(const struct call *call, struct edit *edit, double score, struct bytes member,
                    struct bytes record);
/* Adds a member to a value that nobody sees yet, or gives it another score; memory is asked for as it goes.
 * False: no memory. */
bool zset_put_unseen(const struct call *call, struct edit *edit, double score, struct bytes member);
bool zset_score_of(const struct call *call, const struct collection_view *view, struct bytes member,
                   double *score);

/* Replies the error and returns false for what is no score. */
bool zset_read_score(struct call *call, uint32_t index, double *score);
/* Member and, if they are wanted, score: a pair of its own in RESP3. */
void zset_reply_member(struct call *call, const struct walk *walk, bool scores);
/* The head of an array of so many of them. */
void zset_reply_head(struct call *call, uint64_t members, bool scores);
