/* ZUNION, ZINTER, ZDIFF and what stores or counts their results. Their operands are sorted sets and sets, of which
 * each member has the score 1.
 */
#include <math.h>

#include "base/decimal.h"
#include "cmd/families.h"
#include "cmd/set.h"
#include "cmd/zset_members.h"

enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };
enum { OPERANDS_FEW = 8 };

struct operand {
    struct collection_view view;
    double weight;
};

struct operands {
    struct call *call;
    uint32_t count;
    enum aggregate aggregate;
    bool scores;
    uint64_t limit;      /* of ZINTERCARD; 0: none */
    struct operand *all; /* few, or from mem_alloc */
    struct operand few[OPERANDS_FEW];
};

enum algebra { ALGEBRA_UNION, ALGEBRA_INTER, ALGEBRA_DIFF, ALGEBRA_CARD };

/* ---- Operands ----------------------------------------------------------------------------------- */

static bool read_operand(struct call *call, uint32_t index, struct operand *operand) {
    struct key_place place = keyspace_for(call, index);
    struct entry *entry = call_read(call, &place);
    operand->weight = 1;
    if (entry && entry_type(entry) != VALUE_SET && !elements_check(call, entry, VALUE_ZSET))
        return false;
    operand->view = view_of(entry);
    return true;
}

static bool parse_weights(struct call *call, struct operands *operands, uint32_t first) {
    for (uint32_t i = 0; i < operands->count; i++) {
        if (!decimal_to_double(call->argv[first + i], &operands->all[i].weight)) {
            call_error(call, "ERR weight value is not a float");
            return false;
        }
    }
    return true;
}

static bool parse_aggregate(struct call *call, struct bytes word, enum aggregate *aggregate) {
    static const char *const names[] = {"sum", "min", "max"};
    for (uint32_t i = 0; i < 3; i++) {
        *aggregate = (enum aggregate)i;
        if (bytes_is(word, names[i])) return true;
    }
    call_error_syntax(call);
    return false;
}

static bool parse_count_limit(struct call *call, uint32_t index, uint64_t *limit) {
    int64_t number;
    if (!bytes_to_int64(call->argv[index], &number) || number < 0) {
        call_error(call, "ERR LIMIT can't be negative");
        return false;
    }
    *limit = (uint64_t)number;
    return true;
}

/* The option at argv[i]. Returns how many words it has; 0 after the error reply. */
static uint32_t parse_option(struct call *call, struct operands *operands, enum algebra algebra,
                             bool stores, uint32_t i) {
    struct bytes word = call->argv[i];
    uint32_t left = call->argc - i - 1;
    bool weighs = algebra == ALGEBRA_UNION || algebra == ALGEBRA_INTER;
    if (weighs && left >= operands->count && bytes_is(word, "weights"))
        return parse_weights(call, operands, i + 1) ? 1 + operands->count : 0;
    if (weighs && left >= 1 && bytes_is(word, "aggregate"))
        return parse_aggregate(call, call->argv[i + 1], &operands->aggregate) ? 2 : 0;
    if (algebra == ALGEBRA_CARD && left >= 1 && bytes_is(word, "limit"))
        return parse_count_limit(call, i + 1, &operands->limit) ? 2 : 0;
    if (algebra != ALGEBRA_CARD && !stores && bytes_is(word, "withscores")) {
        operands->scores = true;
        return 1;
    }
    call_error_syntax(call);
    return 0;
}

static void operands_close(struct operands *operands) {
    if (operands->all != operands->few) mem_free(NULL, operands->all);
}

static bool read_operands(struct operands *operands, struct call *call, uint32_t index,
                          enum algebra algebra, bool stores) {
    uint32_t first = index + 1;
    for (uint32_t i = 0; i < operands->count; i++)
        if (!read_operand(call, first + i, &operands->all[i])) return false;
    for (uint32_t i = first + operands->count, words; i < call->argc; i += words)
        if ((words = parse_option(call, operands, algebra, stores, i)) == 0) return false;
    return true;
}

/* The number of keys is in argv[index]; keys and options follow. False after the error reply. */
static bool operands_open(struct operands *operands, struct call *call, uint32_t index,
                          enum algebra algebra, bool stores) {
    int64_t keys;
    *operands = (struct operands){.call = call, .all = operands->few};
    if (!call_integer(call, index, &keys)) return false;
    if (keys < 1) {
        call_error_format(call, "ERR at least 1 input key is needed for '%s' command",
                          call->command->full_name);
        return false;
    }
    if (keys > (int64_t)(call->argc - index - 1)) {
        call_error_syntax(call);
        return false;
    }
    operands->count = (uint32_t)keys;
    if (operands->count > OPERANDS_FEW)
        operands->all = mem_alloc(NULL, operands->count * sizeof *operands->all);
    if (!operands->all) {
        call_error_memory(call);
        return false;
    }
    if (read_operands(operands, call, index, algebra, stores)) return true;
    operands_close(operands);
    return false;
}

/* The smallest first, as Redis goes through them: sums of doubles depend on the order. */
static void sort_operands(struct operands *operands) {
    for (uint32_t i = 1; i < operands->count; i++) {
        struct operand operand = operands->all[i];
        uint32_t at = i;
        for (; at > 0 && view_count(&operands->all[at - 1].view) > view_count(&operand.view); at--)
            operands->all[at] = operands->all[at - 1];
        operands->all[at] = operand;
    }
}

/* ---- Scores ------------------------------------------------------------------------------------- */

static double weighed(const struct operand *operand, double score) {
    score *= operand->weight;
    return isnan(score) ? 0 : score;
}

static double score_at(const struct operand *operand, const struct walk *walk) {
    return view_type(&operand->view) == VALUE_SET ? 1 : tree_score(walk->key.order);
}

static bool find_score(const struct call *call, const struct operand *operand, struct bytes member,
                       double *score) {
    *score = 1;
    if (view_type(&operand->view) == VALUE_SET) return set_has(call, &operand->view, member);
    return zset_score_of(call, &operand->view, member, score);
}

static double aggregated(enum aggregate aggregate, double a, double b) {
    if (aggregate == AGGREGATE_MIN) return b < a ? b : a;
    if (aggregate == AGGREGATE_MAX) return b > a ? b : a;
    double sum = a + b;
    return isnan(sum) ? 0 : sum; /* of both infinities */
}

/* ---- The three operations: into a value that nobody sees. False: no memory ------------------------ */

static bool unite(const struct operands *operands, struct edit *edit) {
    struct walk walk;
    for (uint32_t i = 0; i < operands->count; i++) {
        const struct operand *operand = &operands->all[i];
        for (bool found = walk_seek(&walk, &operand->view, 0); found; found = walk_next(&walk)) {
            double before, score = weighed(operand, score_at(operand, &walk));
            if (zset_score_of(operands->call, &edit->view, walk.record, &before))
                score = aggregated(operands->aggregate, before, score);
            if (!zset_put_unseen(operands->call, edit, score, walk.record)) return false;
        }
    }
    return true;
}

/* Is the member in all operands from the second on? Its scores are added up. */
static bool in_others(const struct operands *operands, struct bytes member, double *score) {
    for (uint32_t i = 1; i < operands->count; i++) {
        double other;
        if (!find_score(operands->call, &operands->all[i], member, &other)) return false;
        *score = aggregated(operands->aggregate, *score, weighed(&operands->all[i], other));
    }
    return true;
}

static bool in_any_other(const struct operands *operands, struct bytes member) {
    double score;
    for (uint32_t i = 1; i < operands->count; i++)
        if (find_score(operands->call, &operands->all[i], member, &score)) return true;
    return false;
}

static bool intersect(const struct operands *operands, struct edit *edit) {
    struct walk walk;
    const struct operand *first = &operands->all[0];
    for (bool found = walk_seek(&walk, &first->view, 0); found; found = walk_next(&walk)) {
        double score = weighed(first, score_at(first, &walk));
        if (in_others(operands, walk.record, &score) &&
            !zset_put_unseen(operands->call, edit, score, walk.record))
            return false;
    }
    return true;
}

static bool subtract(const struct operands *operands, struct edit *edit) {
    struct walk walk;
    const struct operand *first = &operands->all[0];
    for (bool found = walk_seek(&walk, &first->view, 0); found; found = walk_next(&walk))
        if (!in_any_other(operands, walk.record) &&
            !zset_put_unseen(operands->call, edit, score_at(first, &walk), walk.record))
            return false;
    return true;
}

/* The edit is open on the target, or on nothing. Closed after the error reply. */
static bool run(struct operands *operands, enum algebra algebra, struct edit *edit) {
    static bool (*const operations[])(const struct operands *, struct edit *) = {
        [ALGEBRA_UNION] = unite, [ALGEBRA_INTER] = intersect, [ALGEBRA_DIFF] = subtract};
    edit->view.type |= FORM_LARGE;
    if (algebra != ALGEBRA_DIFF) sort_operands(operands);
    if (operations[algebra](operands, edit)) return true;
    edit_close(edit);
    call_error_memory(operands->call);
    return false;
}

static bool is_small(const struct call *call, const struct collection_view *view) {
    struct walk walk;
    const struct small_limits *small = &call->domain->small;
    if ((int64_t)view_count(view) > small->zset_entries) return false;
    for (bool found = walk_seek(&walk, view, 0); found; found = walk_next(&walk))
        if (walk.record.len > small->zset_value) return false;
    return true;
}

/* A small value has one zero only. False: no memory. */
static bool unsign_zeros(const struct call *call, struct edit *edit) {
    struct walk walk;
    const uint64_t minus = tree_score_order(-0.0);
    for (bool found = walk_seek(&walk, &edit->view, 0); found; found = walk_next(&walk)) {
        if (walk.key.order != minus) continue;
        struct blob *name = blob_copy(NULL, walk.record);
        bool put = name && zset_put_unseen(call, edit, 0, bytes_of(name->data, name->len));
        if (name) blob_put(name);
        if (!put) return false;
        found = walk_seek(&walk, &edit->view, 0);
    }
    return true;
}

bool zset_name_result(struct call *call, struct edit *edit) {
    if (!is_small(call, &edit->view)) return true;
    edit->view.type &= (uint8_t)~FORM_LARGE;
    if (unsign_zeros(call, edit)) return true;
    edit_close(edit);
    call_error_memory(call);
    return false;
}

/* ---- Commands ----------------------------------------------------------------------------------- */

/* Without a key of its own, the result is made in the first operand's shard. */
static void reply_generic(struct call *call, enum algebra algebra) {
    struct edit edit;
    struct walk walk;
    struct operands operands;
    if (!operands_open(&operands, call, 1, algebra, false)) return;
    struct key_place place = keyspace_for(call, 2);
    elements_open_anew(&place, NULL, VALUE_ZSET, &edit);
    if (run(&operands, algebra, &edit)) {
        zset_reply_head(call, view_count(&edit.view), operands.scores);
        for (bool found = walk_seek(&walk, &edit.view, 0); found; found = walk_next(&walk))
            zset_reply_member(call, &walk, operands.scores);
        edit_close(&edit);
    }
    operands_close(&operands);
}

static void store_generic(struct call *call, enum algebra algebra, const char *event) {
    struct edit edit;
    struct operands operands;
    struct key_place place = keyspace_for(call, 1);
    if (!operands_open(&operands, call, 2, algebra, true)) return;
    elements_open_anew(&place, call_find(call, &place), VALUE_ZSET, &edit);
    if (run(&operands, algebra, &edit)) {
        if (zset_name_result(call, &edit))
            elements_store_result(call, &place, &edit, NOTIFY_ZSET, event);
    }
    operands_close(&operands);
}

static void zunion_command(struct call *call) {
    reply_generic(call, ALGEBRA_UNION);
}

static void zinter_command(struct call *call) {
    reply_generic(call, ALGEBRA_INTER);
}

static void zdiff_command(struct call *call) {
    reply_generic(call, ALGEBRA_DIFF);
}

static void zunionstore_command(struct call *call) {
    store_generic(call, ALGEBRA_UNION, "zunionstore");
}

static void zinterstore_command(struct call *call) {
    store_generic(call, ALGEBRA_INTER, "zinterstore");
}

static void zdiffstore_command(struct call *call) {
    store_generic(call, ALGEBRA_DIFF, "zdiffstore");
}

static void zintercard_command(struct call *call) {
    struct walk walk;
    uint64_t count = 0;
    struct operands operands;
    if (!operands_open(&operands, call, 1, ALGEBRA_CARD, false)) return;
    sort_operands(&operands);
    const struct operand *first = &operands.all[0];
    for (bool found = walk_seek(&walk, &first->view, 0); found; found = walk_next(&walk)) {
        double score = 0;
        count += in_others(&operands, walk.record, &score);
        if (count > 0 && count == operands.limit) break;
    }
    operands_close(&operands);
    reply_integer(call->reply, (int64_t)count);
}

void zset_algebra_bind(void) {
    command_bind("zunion", zunion_command);
    command_bind("zinter", zinter_command);
    command_bind("zdiff", zdiff_command);
    command_bind("zintercard", zintercard_command);
    command_bind("zunionstore", zunionstore_command);
    command_bind("zinterstore", zinterstore_command);
    command_bind("zdiffstore", zdiffstore_command);
}
