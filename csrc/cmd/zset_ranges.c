/* Sorted sets: ranges by rank, score and member, replied, counted, stored or removed. */
#include "base/decimal.h"
#include "cmd/families.h"
#include "cmd/zset_members.h"
#include "cmd/zset_range.h"

/* ---- Reading the bounds ------------------------------------------------------------------------- */

static bool parse_score_bound(struct bytes text, struct bound *bound) {
    bound->excludes = text.len > 0 && text.at[0] == '(';
    return decimal_to_bound(bytes_of(text.at + bound->excludes, text.len - bound->excludes),
                            &bound->score);
}

static bool parse_bounds(struct call *call, uint32_t min, uint32_t max, struct range *range) {
    bool lex = range->kind == RANGE_LEX;
    bool (*parse)(struct bytes, struct bound *) = lex ? zset_lex_parse : parse_score_bound;
    if (parse(call->argv[min], &range->min) && parse(call->argv[max], &range->max)) return true;
    call_error(call, lex ? "ERR min or max not valid string range item"
                         : "ERR min or max is not a float");
    return false;
}

/* From argv[first] on are two bounds; the larger one comes first if the range goes back. */
static bool parse_range(struct call *call, uint32_t first, struct range *range) {
    if (range->kind == RANGE_RANK)
        return call_integer(call, first, &range->start) &&
               call_integer(call, first + 1, &range->stop);
    return parse_bounds(call, first + range->back, first + !range->back, range);
}

/* ---- Where it lies ------------------------------------------------------------------------------ */

/* The rank of the first member that is not before the bound, or, with `behind`, not in the range that it
 * ends. */
static uint64_t rank_of_score(const struct collection_view *view, const struct bound *bound,
                              bool behind) {
    struct walk walk;
    uint64_t order = tree_score_place(tree_score_order(bound->score));
    struct tree_probe probe = {.key = {order + (bound->excludes != behind), 0},
                               .member = {.at = ""}};
    return walk_find_score(&walk, view, &probe) ? walk_rank(&walk) : view_count(view);
}

static struct element_range locate(const struct collection_view *view, const struct range *range) {
    if (range->kind == RANGE_RANK)
        return elements_range(range->start, range->stop, view_count(view));
    if (range->kind == RANGE_LEX) return zset_lex_locate(view, range);
    return zset_range_between(rank_of_score(view, &range->min, false),
                              rank_of_score(view, &range->max, true));
}

/* A negative offset counts from the end of the range where the value is large, and leaves nothing of small
 * ones: so it is in Redis 7.4. */
static uint64_t skipped(const struct collection_view *view, const struct range *range,
                        uint64_t count) {
    uint64_t offset = range->kind == RANGE_RANK ? 0 : (uint64_t)range->offset;
    if ((int64_t)offset < 0)
        return view->type & FORM_LARGE && -offset <= count ? count + offset : count;
    return offset < count ? offset : count;
}

/* What OFFSET and LIMIT leave, in the direction of the range. Ranks from the end count back. */
static struct element_range located(const struct collection_view *view, const struct range *range) {
    struct element_range found = locate(view, range);
    uint64_t count = view_count(view);
    if (range->back)
        found.first = range->kind == RANGE_RANK ? found.first : count - found.first - found.count;
    uint64_t skip = skipped(view, range, found.count);
    found.first += skip;
    found.count -= skip;
    if (range->limit >= 0 && (uint64_t)range->limit < found.count)
        found.count = (uint64_t)range->limit;
    return found;
}

static bool range_start(struct walk *walk, const struct collection_view *view,
                        const struct range *range, uint64_t first) {
    return walk_seek(walk, view, range->back ? view_count(view) - 1 - first : first);
}

static bool range_step(struct walk *walk, const struct range *range) {
    return range->back ? walk_prev(walk) : walk_next(walk);
}

/* ---- ZRANGE and its older forms ----------------------------------------------------------------- */

static bool parse_limit(struct call *call, uint32_t index, struct range *range) {
    return call_integer(call, index + 1, &range->offset) &&
           call_integer(call, index + 2, &range->limit);
}

/* Options from argv[first] on. What the command's name says already is not among them. */
static bool parse_options(struct call *call, uint32_t first, bool stores, bool any_direction,
                          struct range *range) {
    for (uint32_t i = first; i < call->argc; i++) {
        struct bytes word = call->argv[i];
        if (!stores && bytes_is(word, "withscores")) {
            range->scores = true;
        } else if (bytes_is(word, "limit") && i + 2 < call->argc) {
            if (!parse_limit(call, i, range)) return false;
            i += 2;
        } else if (any_direction && !range->back && bytes_is(word, "rev")) {
            range->back = true;
        } else if (range->kind == RANGE_ANY && bytes_is(word, "byscore")) {
            range->kind = RANGE_SCORE;
        } else if (range->kind == RANGE_ANY && bytes_is(word, "bylex")) {
            range->kind = RANGE_LEX;
        } else {
            call_error_syntax(call);
            return false;
        }
    }
    if (range->kind == RANGE_ANY) range->kind = RANGE_RANK;
    return true;
}

static bool check_options(struct call *call, const struct range *range) {
    if (range->limit != -1 && range->kind == RANGE_RANK) {
        call_error(call, "ERR syntax error, LIMIT is only supported in combination with either "
                         "BYSCORE or BYLEX");
        return false;
    }
    if (range->scores && range->kind == RANGE_LEX) {
        call_error(call, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    return true;
}

static void reply_range(struct call *call, const struct collection_view *view,
                        const struct range *range) {
    struct walk walk;
    struct element_range found = located(view, range);
    zset_reply_head(call, found.count, range->scores);
    bool more = found.count > 0 && range_start(&walk, view, range, found.first);
    for (; more && found.count > 0; found.count--, more = range_step(&walk, range))
        zset_reply_member(call, &walk, range->scores);
}

static void range_generic(struct call *call, enum range_kind kind, bool back, bool any_direction) {
    struct collection_view view;
    struct range range = {.kind = kind, .back = back, .limit = -1};
    struct key_place place = keyspace_for(call, 1);
    if (!parse_options(call, 4, false, any_direction, &range) || !check_options(call, &range) ||
        !parse_range(call, 2, &range))
        return;
    if (elements_read(call, &place, VALUE_ZSET, &view)) reply_range(call, &view, &range);
}

static void zrange_command(struct call *call) {
    range_generic(call, RANGE_ANY, false, true);
}

static void zrevrange_command(struct call *call) {
    range_generic(call, RANGE_RANK, true, false);
}

static void zrangebyscore_command(struct call *call) {
    range_generic(call, RANGE_SCORE, false, false);
}

static void zrevrangebyscore_command(struct call *call) {
    range_generic(call, RANGE_SCORE, true, false);
}

static void zrangebylex_command(struct call *call) {
    range_generic(call, RANGE_LEX, false, false);
}

static void zrevrangebylex_command(struct call *call) {
    range_generic(call, RANGE_LEX, true, false);
}

/* ---- ZRANGESTORE -------------------------------------------------------------------------------- */

static void store_range(struct call *call, const struct key_place *to, struct entry *target,
                        const struct collection_view *view, const struct range *range) {
    struct edit edit;
    struct walk walk;
    struct element_range found = located(view, range);
    elements_open_anew(to, target, VALUE_ZSET, &edit);
    bool more = found.count > 0 && range_start(&walk, view, range, found.first);
    for (; more && found.count > 0; found.count--, more = range_step(&walk, range)) {
        if (!zset_put_unseen(call, &edit, tree_score(walk.key.order), walk.record)) {
            edit_close(&edit);
            call_error_memory(call);
            return;
        }
    }
    elements_store_result(call, to, &edit, NOTIFY_ZSET, "zrangestore");
}

static void zrangestore_command(struct call *call) {
    struct collection_view view;
    struct range range = {.limit = -1};
    struct key_place to = keyspace_for(call, 1), from = keyspace_for(call, 2);
    if (!parse_options(call, 5, true, true, &range) || !check_options(call, &range) ||
        !parse_range(call, 3, &range))
        return;
    if (elements_read(call, &from, VALUE_ZSET, &view))
        store_range(call, &to, call_find(call, &to), &view, &range);
}

/* ---- Counting, removing ------------------------------------------------------------------------- */

static void count_generic(struct call *call, enum range_kind kind) {
    struct collection_view view;
    struct range range = {.kind = kind, .limit = -1};
    struct key_place place = keyspace_for(call, 1);
    if (!parse_range(call, 2, &range)) return;
    if (elements_read(call, &place, VALUE_ZSET, &view))
        reply_integer(call->reply, (int64_t)locate(&view, &range).count);
}

static void zcount_command(struct call *call) {
    count_generic(call, RANGE_SCORE);
}

static void zlexcount_command(struct call *call) {
    count_generic(call, RANGE_LEX);
}

static void remove_generic(struct call *call, enum range_kind kind, const char *event) {
    struct edit edit;
    struct entry *entry;
    struct range range = {.kind = kind, .limit = -1};
    struct key_place place = keyspace_for(call, 1);
    if (!parse_range(call, 2, &range)) return;
    if (!elements_find(call, &place, VALUE_ZSET, &entry)) return;
    if (!entry) {
        reply_integer(call->reply, 0);
        return;
    }
    elements_open(&place, entry, VALUE_ZSET, &edit);
    struct element_range found = locate(&edit.view, &range);
    if (!elements_reserve_erasures(call, &edit, found.count)) return;
    zset_remove_range(&edit, found.first, found.count);
    edit_commit_erasures(&edit);
    if (found.count > 0) {
        effect_log_verbatim(call);
        elements_count_dirty(call, found.count);
        elements_declare(call, &place, &edit, NOTIFY_ZSET, event);
    }
    reply_integer(call->reply, (int64_t)found.count);
}

static void zremrangebyrank_command(struct call *call) {
    remove_generic(call, RANGE_RANK, "zremrangebyrank");
}

static void zremrangebyscore_command(struct call *call) {
    remove_generic(call, RANGE_SCORE, "zremrangebyscore");
}

static void zremrangebylex_command(struct call *call) {
    remove_generic(call, RANGE_LEX, "zremrangebylex");
}

void zset_ranges_bind(void) {
    command_bind("zrange", zrange_command);
    command_bind("zrevrange", zrevrange_command);
    command_bind("zrangebyscore", zrangebyscore_command);
    command_bind("zrevrangebyscore", zrevrangebyscore_command);
    command_bind("zrangebylex", zrangebylex_command);
    command_bind("zrevrangebylex", zrevrangebylex_command);
    command_bind("zrangestore", zrangestore_command);
    command_bind("zcount", zcount_command);
    command_bind("zlexcount", zlexcount_command);
    command_bind("zremrangebyrank", zremrangebyrank_command);
    command_bind("zremrangebyscore", zremrangebyscore_command);
    command_bind("zremrangebylex", zremrangebylex_command);
}
