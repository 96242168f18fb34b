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

enum zadd_flags {
    ZADD_NX = 1,
    ZADD_XX = 2,
    ZADD_GT = 4,
    ZADD_LT = 8,
    ZADD_CH = 16,
    ZADD_INCR = 32,
};

/* What ZADD is asked for, by whatever command. */
struct zadd {
    unsigned flags;
    uint32_t first, step; /* the arguments of one member, which itself is the last of them */
    double *scores;       /* of each */
    uint64_t added, updated, seen;
    double last; /* score of the last member that was seen to */
    bool is_nan;
};

/* Does it to the key in argv[1], declares it and replies. The scores have been read. */
void zadd_all(struct call *call, struct zadd *zadd);
/* Calls `run` with room for a score of each member. */
void zadd_with_room(struct call *call, struct zadd *zadd,
                    void (*run)(struct call *call, struct zadd *zadd));
/* Once `zadd->flags` has them: NX, XX or CH. 0: the word is none of the options. */
unsigned zadd_flag(struct bytes word);

/* Names a result by its size alone, however it came about: it was made as a large value. False after the error
 * reply, with the edit closed. */
bool zset_name_result(struct call *call, struct edit *edit);

/* Replies the error and returns false for what is no score. */
bool zset_read_score(struct call *call, uint32_t index, double *score);
/* Member and, if they are wanted, score: a pair of its own in RESP3. */
void zset_reply_member(struct call *call, const struct walk *walk, bool scores);
/* The head of an array of so many of them. */
void zset_reply_head(struct call *call, uint64_t members, bool scores);
