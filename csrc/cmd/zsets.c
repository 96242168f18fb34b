/* Sorted sets: single members. Ranges are in zset_ranges.c, unions and their kin in zset_algebra.c. */
#include <math.h>

#include "base/decimal.h"
#include "cmd/families.h"
#include "cmd/zset_members.h"

/* ---- Names and text ----------------------------------------------------------------------------- */

static void name_for(const struct call *call, struct edit *edit, uint64_t more, uint32_t len) {
    const struct small_limits *small = &call->domain->small;
    if ((int64_t)(view_count(&edit->view) + more) > small->zset_entries || len > small->zset_value)
        edit->view.type |= FORM_LARGE;
}

/* A small value has one zero only, as in Redis, which writes its scores as integers where it can. */
static uint64_t order_for(const struct edit *edit, double score) {
    return tree_score_order(score == 0 && !(edit->view.type & FORM_LARGE) ? 0 : score);
}

void zset_add_named(const struct call *call, struct edit *edit, double score, struct bytes member,
                    struct bytes record) {
    name_for(call, edit, 1, member.len);
    zset_add(edit, order_for(edit, score), record);
}

bool zset_put_unseen(const struct call *call, struct edit *edit, double score,
                     struct bytes member) {
    uint64_t order;
    bool found = zset_score(&edit->view, &call->domain->hash_seed, member, &order);
    if (!found && !edit_keep_copy(edit, member)) return false;
    if (!edit_reserve(edit, ZSET_CHANGES, member.len)) return false;
    if (found) zset_move(edit, order, order_for(edit, score), member);
    else zset_add_named(call, edit, score, member, edit_record(edit, member));
    return true;
}

bool zset_score_of(const struct call *call, const struct collection_view *view, struct bytes member,
                   double *score) {
    uint64_t order;
    bool found = zset_score(view, &call->domain->hash_seed, member, &order);
    if (found) *score = tree_score(order);
    return found;
}

bool zset_read_score(struct call *call, uint32_t index, double *score) {
    if (decimal_to_double(call->argv[index], score)) return true;
    call_error(call, "ERR value is not a valid float");
    return false;
}

void zset_reply_head(struct call *call, uint64_t members, bool scores) {
    reply_array(call->reply, scores && call->reply->proto == 2 ? 2 * members : members);
}

void zset_reply_member(struct call *call, const struct walk *walk, bool scores) {
    if (scores && call->reply->proto > 2) reply_array(call->reply, 2);
    reply_bulk(call->reply, walk->record);
    if (scores) reply_double(call->reply, tree_score(walk->key.order));
}

/* ---- ZADD, ZINCRBY ------------------------------------------------------------------------------ */

unsigned zadd_flag(struct bytes word) {
    static const struct {
        const char *name;
        unsigned flag;
    } known[] = {{"nx", ZADD_NX}, {"xx", ZADD_XX}, {"gt", ZADD_GT},
                 {"lt", ZADD_LT}, {"ch", ZADD_CH}, {"incr", ZADD_INCR}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (bytes_is(word, known[i].name)) return known[i].flag;
    return 0;
}

static bool zadd_refuse(struct call *call, const char *text) {
    call_error(call, text);
    return false;
}

static bool zadd_parse(struct call *call, struct zadd *zadd) {
    unsigned flag;
    for (zadd->first = 2; zadd->first < call->argc; zadd->first++) {
        if ((flag = zadd_flag(call->argv[zadd->first])) == 0) break;
        zadd->flags |= flag;
    }
    uint32_t words = call->argc - zadd->first;
    unsigned flags = zadd->flags, one = flags & (ZADD_GT | ZADD_LT | ZADD_NX);
    if (words == 0 || words % 2) return zadd_refuse(call, "ERR syntax error");
    if ((flags & ZADD_NX) && (flags & ZADD_XX))
        return zadd_refuse(call, "ERR XX and NX options at the same time are not compatible");
    if (one & (one - 1))
        return zadd_refuse(call,
                           "ERR GT, LT, and/or NX options at the same time are not compatible");
    if ((flags & ZADD_INCR) && words > 2)
        return zadd_refuse(call, "ERR INCR option supports a single increment-element pair");
    return true;
}

/* A member that is there. */
static void zadd_update(struct edit *edit, struct zadd *zadd, uint64_t order, double score,
                        struct bytes member) {
    double old = tree_score(order);
    if (zadd->flags & ZADD_NX) return;
    if (zadd->flags & ZADD_INCR) score += old;
    if (isnan(score)) {
        zadd->is_nan = true;
        return;
    }
    if ((zadd->flags & ZADD_LT && score >= old) || (zadd->flags & ZADD_GT && score <= old)) return;
    zadd->last = score;
    zadd->seen++;
    if (score == old) return;
    zset_move(edit, order, order_for(edit, score), member);
    zadd->updated++;
}

static void zadd_one(struct call *call, struct edit *edit, struct zadd *zadd, double score,
                     struct bytes member) {
    uint64_t order;
    struct bytes record = edit_record(edit, member);
    if (zset_score(&edit->view, &call->domain->hash_seed, member, &order)) {
        zadd_update(edit, zadd, order, score, member);
    } else if (!(zadd->flags & ZADD_XX)) {
        zset_add_named(call, edit, score, member, record);
        zadd->last = score;
        zadd->seen++;
        zadd->added++;
    }
}

static uint64_t zadd_count(const struct call *call, const struct zadd *zadd) {
    return (call->argc - zadd->first) / zadd->step;
}

/* False after the error reply, with the edit closed. */
static bool zadd_reserve(struct call *call, struct edit *edit, const struct zadd *zadd) {
    uint64_t bytes = 0;
    for (uint32_t i = zadd->first + zadd->step - 1; i < call->argc; i += zadd->step) {
        bytes += call->argv[i].len;
        if (!edit_keep_copy(edit, call->argv[i])) {
            edit_close(edit);
            call_error_memory(call);
            return false;
        }
    }
    return elements_reserve(call, edit, ZSET_CHANGES * zadd_count(call, zadd), bytes);
}

static void zadd_reply(struct call *call, const struct zadd *zadd) {
    if (!(zadd->flags & ZADD_INCR))
        reply_integer(call->reply,
                      (int64_t)(zadd->added + (zadd->flags & ZADD_CH ? zadd->updated : 0)));
    else if (zadd->seen) reply_double(call->reply, zadd->last);
    else reply_null(call->reply);
}

static void zadd_apply(struct call *call, struct edit *edit, struct zadd *zadd) {
    uint32_t member = zadd->first + zadd->step - 1;
    for (uint32_t i = 0; member < call->argc; i++, member += zadd->step)
        zadd_one(call, edit, zadd, zadd->scores[i], call->argv[member]);
}

static void zadd_store(struct call *call, const struct key_place *place, struct edit *edit,
                       struct zadd *zadd) {
    zadd_apply(call, edit, zadd);
    uint64_t changed = zadd->added + zadd->updated;
    if (zadd->is_nan) {
        edit_close(edit);
        call_error(call, "ERR resulting score is not a number (NaN)");
        return;
    }
    if (changed == 0) {
        edit_close(edit);
    } else if (elements_store(call, edit)) {
        effect_log_verbatim(call);
        elements_count_dirty(call, changed);
        elements_declare(call, place, edit, NOTIFY_ZSET,
                         zadd->flags & ZADD_INCR ? "zincr" : "zadd");
    } else {
        return;
    }
    zadd_reply(call, zadd);
}

void zadd_all(struct call *call, struct zadd *zadd) {
    struct edit edit;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_find(call, &place, VALUE_ZSET, &entry)) return;
    if (!entry && zadd->flags & ZADD_XX) {
        zadd_reply(call, zadd);
        return;
    }
    elements_open(&place, entry, VALUE_ZSET, &edit);
    if (!entry)
        name_for(call, &edit, zadd_count(call, zadd), call->argv[zadd->first + zadd->step - 1].len);
    if (zadd_reserve(call, &edit, zadd)) zadd_store(call, &place, &edit, zadd);
}

void zadd_with_room(struct call *call, struct zadd *zadd,
                    void (*run)(struct call *call, struct zadd *zadd)) {
    enum { MEMBERS_FEW = 16 };
    double few[MEMBERS_FEW];
    uint64_t count = zadd_count(call, zadd);
    zadd->scores = count > MEMBERS_FEW ? mem_alloc(NULL, count * sizeof *zadd->scores) : few;
    if (zadd->scores) run(call, zadd);
    else call_error_memory(call);
    if (zadd->scores != few) mem_free(NULL, zadd->scores);
}

static void zadd_read(struct call *call, struct zadd *zadd) {
    uint32_t pair = 0;
    for (uint32_t i = zadd->first; i < call->argc; i += 2)
        if (!zset_read_score(call, i, &zadd->scores[pair++])) return;
    zadd_all(call, zadd);
}

static void zadd_command(struct call *call) {
    struct zadd zadd = {.step = 2};
    if (zadd_parse(call, &zadd)) zadd_with_room(call, &zadd, zadd_read);
}

static void zincrby_command(struct call *call) {
    struct zadd zadd = {.flags = ZADD_INCR, .first = 2, .step = 2};
    zadd_with_room(call, &zadd, zadd_read);
}

/* ---- ZREM --------------------------------------------------------------------------------------- */

static bool remove_one(struct call *call, struct edit *edit, struct bytes member) {
    uint64_t order;
    if (!zset_score(&edit->view, &call->domain->hash_seed, member, &order)) return false;
    zset_remove(edit, order, member);
    return true;
}

static void zrem_command(struct call *call) {
    uint64_t removed = 0;
    struct edit edit;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_find(call, &place, VALUE_ZSET, &entry)) return;
    if (!entry) {
        reply_integer(call->reply, 0);
        return;
    }
    elements_open(&place, entry, VALUE_ZSET, &edit);
    if (!elements_reserve_erasures(call, &edit, call->argc - 2)) return;
    for (uint32_t i = 2; i < call->argc; i++) removed += remove_one(call, &edit, call->argv[i]);
    edit_commit_erasures(&edit);
    if (removed > 0) {
        effect_log_verbatim(call);
        elements_count_dirty(call, removed);
        elements_declare(call, &place, &edit, NOTIFY_ZSET, "zrem");
    }
    reply_integer(call->reply, (int64_t)removed);
}

/* ---- Reading ------------------------------------------------------------------------------------ */

static void zcard_command(struct call *call) {
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (elements_read(call, &place, VALUE_ZSET, &view))
        reply_integer(call->reply, (int64_t)view_count(&view));
}

static void reply_score(struct call *call, const struct collection_view *view,
                        struct bytes member) {
    double score;
    if (zset_score_of(call, view, member, &score)) reply_double(call->reply, score);
    else reply_null(call->reply);
}

static void zscore_command(struct call *call) {
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (elements_read(call, &place, VALUE_ZSET, &view)) reply_score(call, &view, call->argv[2]);
}

static void zmscore_command(struct call *call) {
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_read(call, &place, VALUE_ZSET, &view)) return;
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) reply_score(call, &view, call->argv[i]);
}

static bool find_rank(struct call *call, const struct collection_view *view, struct bytes member,
                      uint64_t *rank, double *score) {
    struct walk walk;
    if (!zset_score_of(call, view, member, score)) return false;
    struct tree_probe probe = {.key = {tree_score_order(*score), 0}, .member = member};
    bool found = walk_find_score(&walk, view, &probe);
    KRT_ASSERT(found);
    *rank = walk_rank(&walk);
    return true;
}

static void rank_generic(struct call *call, bool back) {
    double score;
    uint64_t rank;
    struct collection_view view;
    bool with_score = call->argc == 4;
    struct key_place place = keyspace_for(call, 1);
    if (call->argc > 4) {
        call_error_arity(call);
        return;
    }
    if (with_score && !bytes_is(call->argv[3], "withscore")) {
        call_error_syntax(call);
        return;
    }
    if (!elements_read(call, &place, VALUE_ZSET, &view)) return;
    if (!find_rank(call, &view, call->argv[2], &rank, &score)) {
        if (with_score) reply_null_array(call->reply);
        else reply_null(call->reply);
        return;
    }
    if (with_score) reply_array(call->reply, 2);
    reply_integer(call->reply, (int64_t)(back ? view_count(&view) - 1 - rank : rank));
    if (with_score) reply_double(call->reply, score);
}

static void zrank_command(struct call *call) {
    rank_generic(call, false);
}

static void zrevrank_command(struct call *call) {
    rank_generic(call, true);
}

void zsets_bind(void) {
    command_bind("zadd", zadd_command);
    command_bind("zincrby", zincrby_command);
    command_bind("zrem", zrem_command);
    command_bind("zcard", zcard_command);
    command_bind("zscore", zscore_command);
    command_bind("zmscore", zmscore_command);
    command_bind("zrank", zrank_command);
    command_bind("zrevrank", zrevrank_command);
}
