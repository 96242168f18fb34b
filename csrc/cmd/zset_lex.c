/* Ranges of sorted sets by member.
 *
 * They mean something where all scores are equal. What Redis finds elsewhere follows from how it searches: a
 * small value is gone through, a large one is searched as if its members were in order.
 */
#include "cmd/zset_range.h"

bool zset_lex_parse(struct bytes text, struct bound *bound) {
    char first = text.len > 0 ? text.at[0] : 0;
    *bound = (struct bound){.member = {.at = ""}};
    if (first == '-' || first == '+') {
        bound->end = first == '-' ? -1 : 1;
        return text.len == 1;
    }
    bound->excludes = first == '(';
    bound->member = bytes_of(text.at + 1, text.len - 1);
    return first == '(' || first == '[';
}

/* All members have the score of the first. */
static uint64_t rank_of_member(const struct collection_view *view, const struct bound *bound,
                               bool behind) {
    struct walk walk;
    if (bound->end != 0 || !walk_seek(&walk, view, 0)) return bound->end > 0 ? view_count(view) : 0;
    struct tree_probe probe = {
        .key = {walk.key.order, 0}, .member = bound->member, .after = bound->excludes != behind};
    return walk_find_score(&walk, view, &probe) ? walk_rank(&walk) : view_count(view);
}

static bool is_one_score(const struct collection_view *view) {
    struct walk first, last;
    return !walk_seek(&first, view, 0) || !walk_seek(&last, view, view_count(view) - 1) ||
           tree_score_place(first.key.order) == tree_score_place(last.key.order);
}

static bool is_below(struct bytes member, const struct bound *min) {
    if (min->end != 0) return min->end > 0;
    int order = bytes_compare(member, min->member);
    return order < 0 || (order == 0 && min->excludes);
}

static bool is_above(struct bytes member, const struct bound *max) {
    if (max->end != 0) return max->end < 0;
    int order = bytes_compare(member, max->member);
    return order > 0 || (order == 0 && max->excludes);
}

/* As if the members were in order. */
static uint64_t bisect_members(const struct collection_view *view, const struct bound *bound,
                               bool behind) {
    struct walk walk;
    uint64_t low = 0, high = view_count(view);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        (void)walk_seek(&walk, view, middle);
        if (behind ? !is_above(walk.record, bound) : is_below(walk.record, bound)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool is_apart(const struct collection_view *view, const struct range *range) {
    struct walk first, last;
    return !walk_seek(&first, view, 0) || !walk_seek(&last, view, view_count(view) - 1) ||
           is_above(first.record, &range->max) || is_below(last.record, &range->min);
}

/* A small one is gone through from where the range begins to where it first ends. */
static struct element_range scan_members(const struct collection_view *view,
                                         const struct range *range) {
    struct walk walk;
    struct element_range found = {0};
    if (is_apart(view, range)) return found;
    bool more = walk_seek(&walk, view, 0);
    for (; more && is_below(walk.record, &range->min); more = walk_next(&walk)) found.first++;
    for (; more && !is_above(walk.record, &range->max); more = walk_next(&walk)) found.count++;
    return found;
}

/* The same from the other end. */
static struct element_range scan_members_back(const struct collection_view *view,
                                              const struct range *range) {
    struct walk walk;
    struct element_range found = {0};
    uint64_t first = 0, index = 0;
    if (is_apart(view, range)) return found;
    for (bool more = walk_seek(&walk, view, 0); more; more = walk_next(&walk)) {
        index++;
        if (is_below(walk.record, &range->min)) first = index;
        if (!is_above(walk.record, &range->max))
            found = (struct element_range){first, index - first};
    }
    return found;
}

struct element_range zset_lex_locate(const struct collection_view *view,
                                     const struct range *range) {
    if (is_one_score(view))
        return zset_range_between(rank_of_member(view, &range->min, false),
                                  rank_of_member(view, &range->max, true));
    if (view->type & FORM_LARGE)
        return zset_range_between(bisect_members(view, &range->min, false),
                                  bisect_members(view, &range->max, true));
    return range->back ? scan_members_back(view, range) : scan_members(view, range);
}
