/* What the parts of ranges of sorted sets share (zset_ranges.c, zset_lex.c). */
#pragma once

#include "cmd/elements.h"

enum range_kind { RANGE_ANY, RANGE_RANK, RANGE_SCORE, RANGE_LEX };

struct bound {
    double score;
    struct bytes member;
    bool excludes;
    int end; /* of members: -1 before all, 1 behind all */
};

struct range {
    enum range_kind kind;
    bool back;
    int64_t start, stop; /* RANGE_RANK */
    struct bound min, max;
    int64_t offset, limit; /* limit negative: all */
    bool scores;
};

static inline struct element_range zset_range_between(uint64_t first, uint64_t behind) {
    return (struct element_range){first, behind > first ? behind - first : 0};
}

/* False: the text is no bound. */
bool zset_lex_parse(struct bytes text, struct bound *bound);
/* Where the members between the bounds are, ascending, whichever way the range goes. */
struct element_range zset_lex_locate(const struct collection_view *view, const struct range *range);
