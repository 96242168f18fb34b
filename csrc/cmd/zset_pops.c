/* Sorted sets: members taken from an end (ZPOPMIN, ZPOPMAX, ZMPOP, and BZPOPMIN, BZPOPMAX, BZMPOP that wait), drawn (ZRANDMEMBER), scanned (ZSCAN). */

#include "base/decimal.h"
#include "cmd/families.h"
#include "cmd/zset_members.h"
#include "resp/double.h"

/* ---- Popping ------------------------------------------------------------------------------------ */

struct zpop {
    bool max;
    bool pairs; /* each member and its score in an array of its own */
    bool named; /* the reply says of which key they are */
    uint64_t count;
};

static void reply_popped(struct call *call, const struct zpop *pop, const struct walk *walk) {
    if (pop->pairs) reply_array(call->reply, 2);
    reply_bulk(call->reply, walk->record);
    reply_double(call->reply, tree_score(walk->key.order));
}

/* Named pairs stand in an array of their own, what is named and flat beside the name. */
static void reply_heads(struct call *call, const struct zpop *pop, struct bytes key) {
    uint64_t items = pop->pairs ? pop->count : 2 * pop->count;
    if (pop->named) {
        reply_array(call->reply, pop->pairs ? 2 : 1 + items);
        reply_bulk(call->reply, key);
    }
    if (pop->pairs || !pop->named) reply_array(call->reply, items);
}

static void log_popped(struct call *call, const struct zpop *pop, const struct key_place *place) {
    char number[24];
    struct bytes log[] = {pop->max ? BYTES_LITERAL("ZPOPMAX") : BYTES_LITERAL("ZPOPMIN"),
                          place->key, bytes_of(number, bytes_from_uint64(number, pop->count))};
    effect_log(call, place->db, log, 3);
}

/* The value has as many members. False after the error reply. */
static bool pop_members(struct call *call, const struct zpop *pop, const struct key_place *place,
                        struct entry *entry) {
    struct edit edit;
    struct walk walk;
    elements_open(place, entry, VALUE_ZSET, &edit);
    if (!elements_reserve_erasures(call, &edit, pop->count)) return false;
    uint64_t count = view_count(&edit.view);
    reply_heads(call, pop, place->key);
    bool found = walk_seek(&walk, &edit.view, pop->max ? count - 1 : 0);
    for (uint64_t i = 0; i < pop->count && found; i++) {
        reply_popped(call, pop, &walk);
        found = pop->max ? walk_prev(&walk) : walk_next(&walk);
    }
    zset_remove_range(&edit, pop->max ? count - pop->count : 0, pop->count);
    edit_commit_erasures(&edit);
    log_popped(call, pop, place);
    elements_count_dirty(call, pop->count);
    elements_declare(call, place, &edit, NOTIFY_ZSET, pop->max ? "zpopmax" : "zpopmin");
    return true;
}

static uint64_t at_most(uint64_t count, const struct entry *entry) {
    struct collection_view view = view_of(entry);
    uint64_t members = view_count(&view);
    return count < members ? count : members;
}

static void pop_generic(struct call *call, bool max) {
    int64_t count = 1;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    struct zpop pop = {.max = max, .pairs = call->argc == 3 && call->reply->proto > 2};
    if (call->argc > 3) {
        call_error_syntax(call);
        return;
    }
    if (call->argc == 3 && !call_count(call, 2, &count)) return;
    if (!elements_find(call, &place, VALUE_ZSET, &entry)) return;
    pop.count = at_most((uint64_t)count, entry);
    if (pop.count == 0) reply_array(call->reply, 0);
    else (void)pop_members(call, &pop, &place, entry);
}

static void zpopmin_command(struct call *call) {
    pop_generic(call, false);
}

static void zpopmax_command(struct call *call) {
    pop_generic(call, true);
}

/* From the first of these keys that holds any. */
static void pop_first(struct call *call, struct zpop *pop, uint64_t count, uint32_t first,
                      uint32_t keys, const struct call_wait *wait) {
    struct entry *entry;
    for (uint32_t i = first; i < first + keys; i++) {
        struct key_place place = keyspace_for(call, i);
        if (!elements_find(call, &place, VALUE_ZSET, &entry)) return;
        if (!entry) continue;
        pop->count = at_most(count, entry);
        (void)pop_members(call, pop, &place, entry);
        return;
    }
    if (!wait || !call_wait(call, wait)) reply_null_array(call->reply);
}

static void bzpop_generic(struct call *call, bool max) {
    struct zpop pop = {.max = max, .named = true};
    struct call_wait wait = {.first = 1, .count = call->argc - 2, .type = VALUE_ZSET};
    if (call_timeout(call, call->argc - 1, &wait.timeout_ms))
        pop_first(call, &pop, 1, wait.first, wait.count, &wait);
}

static void bzpopmin_command(struct call *call) {
    bzpop_generic(call, false);
}

static void bzpopmax_command(struct call *call) {
    bzpop_generic(call, true);
}

/* From the number of keys in argv[at] on. */
static bool parse_zmpop(struct call *call, uint32_t at, uint32_t *keys, bool *max, int64_t *count) {
    int64_t number;
    if (!bytes_to_int64(call->argv[at], &number) || number < 1) {
        call_error(call, "ERR numkeys should be greater than 0");
        return false;
    }
    if (number >= call->argc - at - 1 || (!(*max = bytes_is(call->argv[at + 1 + number], "max")) &&
                                          !bytes_is(call->argv[at + 1 + number], "min"))) {
        call_error_syntax(call);
        return false;
    }
    *keys = (uint32_t)number;
    return call_pop_count(call, at + 2 + *keys, count);
}

static void zmpop_command(struct call *call) {
    uint32_t keys;
    int64_t count;
    struct zpop pop = {.pairs = true, .named = true};
    if (parse_zmpop(call, 1, &keys, &pop.max, &count))
        pop_first(call, &pop, (uint64_t)count, 2, keys, NULL);
}

static void bzmpop_command(struct call *call) {
    int64_t count;
    struct zpop pop = {.pairs = true, .named = true};
    struct call_wait wait = {.first = 3, .type = VALUE_ZSET};
    if (parse_zmpop(call, 2, &wait.count, &pop.max, &count) &&
        call_timeout(call, 1, &wait.timeout_ms))
        pop_first(call, &pop, (uint64_t)count, wait.first, wait.count, &wait);
}

/* ---- ZRANDMEMBER -------------------------------------------------------------------------------- */

static void zrandmember_command(struct call *call) {
    bool scores;
    int64_t count;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    struct random_state *random = &place.keyspace->random;
    if (!elements_parse_drawing(call, "withscores", &count, &scores)) return;
    if (!elements_read(call, &place, VALUE_ZSET, &view)) return;
    if (call->argc == 2) elements_reply_random(call, random, &view, zset_reply_member);
    else elements_reply_drawn(call, random, &view, count, scores, zset_reply_member);
}

/* ---- ZSCAN -------------------------------------------------------------------------------------- */

/* Redis writes the scores of a small value as everywhere, those of a large one with 17 digits. */
static uint32_t show_scored(struct call *call, const struct walk *walk, bool values) {
    char text[64];
    double score = tree_score(walk->key.order);
    (void)values;
    size_t len = walk->view->type & FORM_LARGE ? decimal_from_double(text, score)
                                               : double_format(text, score);
    reply_bulk(call->reply, walk->record);
    reply_bulk(call->reply, bytes_of(text, len));
    return 2;
}

static void zscan_command(struct call *call) {
    elements_scan(call, VALUE_ZSET, show_scored);
}

void zset_pops_bind(void) {
    command_bind("zpopmin", zpopmin_command);
    command_bind("zpopmax", zpopmax_command);
    command_bind("zmpop", zmpop_command);
    command_bind_local("bzpopmin", bzpopmin_command);
    command_bind_local("bzpopmax", bzpopmax_command);
    command_bind_local("bzmpop", bzmpop_command);
    command_bind("zrandmember", zrandmember_command);
    command_bind("zscan", zscan_command);
}
