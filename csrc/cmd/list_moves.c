/* Lists: from one to another (LMOVE, RPOPLPUSH), from the first that has any (LMPOP), both also for who waits (BLMOVE,
 * BRPOPLPUSH, BLMPOP), and where something is (LPOS). */
#include "cmd/families.h"
#include "cmd/list.h"

/* ---- LMOVE, RPOPLPUSH --------------------------------------------------------------------------- */

struct list_move {
    struct key_place from, to;
    enum list_end take, put;
};

static const char *push_event(enum list_end end) {
    return end == LIST_HEAD ? "lpush" : "rpush";
}

static const char *pop_event(enum list_end end) {
    return end == LIST_HEAD ? "lpop" : "rpop";
}

/* What waited, or had leave to, is replayed as what does not. */
static void log_move(struct call *call, const struct list_move *move) {
    bool of_ends = call->argc > 4;
    struct bytes log[5] = {of_ends ? BYTES_LITERAL("LMOVE") : BYTES_LITERAL("RPOPLPUSH"),
                           move->from.key, move->to.key};
    if (of_ends) log[3] = call->argv[3], log[4] = call->argv[4];
    effect_log(call, move->from.db, log, of_ends ? 5 : 3);
}

static bool seek_end(const struct collection_view *view, enum list_end end, struct walk *walk) {
    return walk_seek(walk, view, end == LIST_HEAD ? 0 : view_count(view) - 1);
}

/* Within one list: the element is taken before it is put back. It outlives that as a blob or in a buffer. */
static void rotate(struct call *call, const struct list_move *move, struct entry *entry) {
    struct edit edit;
    struct walk walk;
    char small[LEAF_RECORD_MAX];
    struct collection_view view = view_of(entry);
    (void)seek_end(&view, move->take, &walk);
    struct bytes element = walk.record;
    if (element.len <= LEAF_RECORD_MAX) {
        bytes_copy(small, element.at, element.len);
        element = bytes_of(small, element.len);
    }
    elements_open(&move->to, entry, VALUE_LIST, &edit);
    if (!edit_keep_copy(&edit, element) || !edit_reserve(&edit, 2, element.len)) {
        edit_close(&edit);
        call_error_memory(call);
        return;
    }
    edit_erase_range(&edit, move->take == LIST_HEAD ? 0 : view_count(&edit.view) - 1, 1);
    struct blob *blob = element.flags & BYTES_BLOB ? blob_get(blob_of(element)) : NULL;
    list_push(&edit, move->put, element);
    if (elements_store(call, &edit)) {
        reply_bulk(call->reply, element);
        log_move(call, move);
        elements_declare(call, &move->to, &edit, NOTIFY_LIST, push_event(move->put));
        effect_notify(call, &move->from, NOTIFY_LIST, pop_event(move->take));
    }
    if (blob) blob_put(blob);
}

/* The target is stored first, which may need memory; then the source only loses something. */
static void move_between(struct call *call, const struct list_move *move, struct entry *source,
                         struct entry *target) {
    struct walk walk;
    struct edit taken, given;
    elements_open(&move->from, source, VALUE_LIST, &taken);
    if (!elements_reserve_erasures(call, &taken, 1)) return;
    (void)seek_end(&taken.view, move->take, &walk);
    if (!list_open_push(call, &move->to, target, walk.record, &given)) {
        edit_close(&taken);
        return;
    }
    list_push(&given, move->put, walk.record);
    if (!elements_store(call, &given)) {
        edit_close(&taken);
        return;
    }
    reply_bulk(call->reply, walk.record);
    edit_erase_range(&taken, move->take == LIST_HEAD ? 0 : view_count(&taken.view) - 1, 1);
    list_shrank(call, &taken);
    edit_commit_erasures(&taken);
    log_move(call, move);
    elements_declare(call, &move->to, &given, NOTIFY_LIST, push_event(move->put));
    elements_declare(call, &move->from, &taken, NOTIFY_LIST, pop_event(move->take));
}

/* With `wait`, who finds nothing waits for the source. */
static void move_generic(struct call *call, enum list_end take, enum list_end put,
                         const struct call_wait *wait) {
    struct entry *source, *target;
    struct list_move move = {keyspace_for(call, 1), keyspace_for(call, 2), take, put};
    if (!elements_find(call, &move.from, VALUE_LIST, &source)) return;
    if (!source) {
        if (!wait || !call_wait(call, wait)) reply_null(call->reply);
        return;
    }
    if (!elements_find(call, &move.to, VALUE_LIST, &target)) return;
    if (source == target) rotate(call, &move, source);
    else move_between(call, &move, source, target);
}

static void rpoplpush_command(struct call *call) {
    move_generic(call, LIST_TAIL, LIST_HEAD, NULL);
}

static void brpoplpush_command(struct call *call) {
    struct call_wait wait = {.first = 1, .count = 1, .type = VALUE_LIST};
    if (call_timeout(call, 3, &wait.timeout_ms)) move_generic(call, LIST_TAIL, LIST_HEAD, &wait);
}

static bool parse_ends(struct call *call, enum list_end *take, enum list_end *put) {
    if (list_end_parse(call->argv[3], take) && list_end_parse(call->argv[4], put)) return true;
    call_error_syntax(call);
    return false;
}

static void lmove_command(struct call *call) {
    enum list_end take, put;
    if (parse_ends(call, &take, &put)) move_generic(call, take, put, NULL);
}

static void blmove_command(struct call *call) {
    enum list_end take, put;
    struct call_wait wait = {.first = 1, .count = 1, .type = VALUE_LIST};
    if (parse_ends(call, &take, &put) && call_timeout(call, 5, &wait.timeout_ms))
        move_generic(call, take, put, &wait);
}

/* ---- LMPOP, BLMPOP ------------------------------------------------------------------------------ */

struct multi_pop {
    uint32_t first, keys;
    enum list_end end;
    int64_t count;
};

/* From the number of keys in argv[at] on. */
static bool parse_multi_pop(struct call *call, uint32_t at, struct multi_pop *pop) {
    int64_t keys;
    if (!bytes_to_int64(call->argv[at], &keys) || keys < 1) {
        call_error(call, "ERR numkeys should be greater than 0");
        return false;
    }
    pop->count = 0;
    pop->first = at + 1;
    if (keys >= call->argc - pop->first ||
        !list_end_parse(call->argv[pop->first + keys], &pop->end)) {
        call_error_syntax(call);
        return false;
    }
    pop->keys = (uint32_t)keys;
    return call_pop_count(call, pop->first + pop->keys + 1, &pop->count);
}

static void pop_from(struct call *call, const struct multi_pop *pop, const struct key_place *place,
                     struct entry *entry) {
    char number[24];
    struct edit edit;
    struct collection_view view = view_of(entry);
    uint64_t count = view_count(&view);
    if ((uint64_t)pop->count < count) count = (uint64_t)pop->count;
    if (!list_open_pop(call, place, entry, count, &edit)) return;
    reply_array(call->reply, 2);
    reply_bulk(call->reply, place->key);
    reply_array(call->reply, count);
    struct bytes log[] = {pop->end == LIST_HEAD ? BYTES_LITERAL("LPOP") : BYTES_LITERAL("RPOP"),
                          place->key, bytes_of(number, bytes_from_uint64(number, count))};
    effect_log(call, place->db, log, 3);
    list_pop_replied(call, place, &edit, pop->end, count);
}

static void pop_first(struct call *call, const struct multi_pop *pop,
                      const struct call_wait *wait) {
    struct entry *entry;
    for (uint32_t i = pop->first; i < pop->first + pop->keys; i++) {
        struct key_place place = keyspace_for(call, i);
        if (!elements_find(call, &place, VALUE_LIST, &entry)) return;
        if (entry) {
            pop_from(call, pop, &place, entry);
            return;
        }
    }
    if (!wait || !call_wait(call, wait)) reply_null_array(call->reply);
}

static void lmpop_command(struct call *call) {
    struct multi_pop pop;
    if (parse_multi_pop(call, 1, &pop)) pop_first(call, &pop, NULL);
}

static void blmpop_command(struct call *call) {
    struct multi_pop pop;
    struct call_wait wait = {.type = VALUE_LIST};
    if (!parse_multi_pop(call, 2, &pop) || !call_timeout(call, 1, &wait.timeout_ms)) return;
    wait.first = pop.first;
    wait.count = pop.keys;
    pop_first(call, &pop, &wait);
}

/* ---- LPOS --------------------------------------------------------------------------------------- */

struct lpos {
    int64_t rank, count,
        longest; /* count: -1 if it is not given; longest: elements to look at, 0: all */
};

static bool read_not_negative(struct call *call, uint32_t index, const char *text, int64_t *out) {
    if (bytes_to_int64(call->argv[index], out) && *out >= 0) return true;
    call_error(call, text);
    return false;
}

static bool read_rank(struct call *call, uint32_t index, int64_t *rank) {
    if (!call_integer(call, index, rank)) return false;
    if (*rank == INT64_MIN) {
        call_error_format(call, "ERR value is out of range, value must between %lld and %lld",
                          -(long long)INT64_MAX, (long long)INT64_MAX);
        return false;
    }
    if (*rank != 0) return true;
    call_error(call,
               "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second "
               "... or use negative to start from the end of the list");
    return false;
}

static bool parse_lpos(struct call *call, struct lpos *lpos) {
    *lpos = (struct lpos){.rank = 1, .count = -1};
    for (uint32_t i = 3; i < call->argc; i += 2) {
        bool more = i + 1 < call->argc, good = false;
        struct bytes word = call->argv[i];
        if (bytes_is(word, "rank") && more) good = read_rank(call, i + 1, &lpos->rank);
        else if (bytes_is(word, "count") && more)
            good = read_not_negative(call, i + 1, "ERR COUNT can't be negative", &lpos->count);
        else if (bytes_is(word, "maxlen") && more)
            good = read_not_negative(call, i + 1, "ERR MAXLEN can't be negative", &lpos->longest);
        else call_error_syntax(call);
        if (!good) return false;
    }
    return true;
}

/* Replies positions of equal elements; returns how many. */
static uint64_t reply_positions(struct call *call, const struct lpos *lpos,
                                const struct collection_view *view) {
    struct walk walk;
    bool back = lpos->rank < 0;
    uint64_t count = view_count(view), limit = lpos->count < 0 ? 1 : (uint64_t)lpos->count;
    uint64_t skip = (back ? -(uint64_t)lpos->rank : (uint64_t)lpos->rank) - 1, shown = 0;
    bool found = count > 0 && seek_end(view, back ? LIST_TAIL : LIST_HEAD, &walk);
    for (uint64_t seen = 0; found && (!lpos->longest || seen < (uint64_t)lpos->longest); seen++) {
        if (bytes_equal(walk.record, call->argv[2]) && skip-- == 0) {
            skip = 0;
            reply_integer(call->reply, (int64_t)(back ? count - seen - 1 : seen));
            if (++shown == limit) break;
        }
        found = back ? walk_prev(&walk) : walk_next(&walk);
    }
    return shown;
}

static void lpos_command(struct call *call) {
    struct lpos lpos;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!parse_lpos(call, &lpos)) return;
    if (!elements_read(call, &place, VALUE_LIST, &view)) return;
    if (lpos.count < 0) {
        if (reply_positions(call, &lpos, &view) == 0) reply_null(call->reply);
        return;
    }
    struct reply_mark mark = reply_defer_begin(call->reply);
    reply_defer_array(call->reply, mark, reply_positions(call, &lpos, &view));
}

void list_moves_bind(void) {
    command_bind("lmove", lmove_command);
    command_bind("rpoplpush", rpoplpush_command);
    command_bind("lmpop", lmpop_command);
    command_bind_local("blmove", blmove_command);
    command_bind_local("brpoplpush", brpoplpush_command);
    command_bind_local("blmpop", blmpop_command);
    command_bind("lpos", lpos_command);
}
