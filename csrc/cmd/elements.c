/* What the families of values with many elements share. */
#include "cmd/elements.h"

#include "base/glob.h"
#include "cmd/scan.h"

/* ---- Finding ------------------------------------------------------------------------------------ */

bool elements_check(struct call *call, const struct entry *entry, enum value_type type) {
    if (!entry || KRT_LIKELY(entry_type(entry) == type)) return true;
    call_error_type(call);
    return false;
}

bool elements_read(struct call *call, const struct key_place *place, enum value_type type,
                   struct collection_view *view) {
    struct entry *entry = call_read(call, place);
    if (!elements_check(call, entry, type)) return false;
    *view = view_of(entry);
    return true;
}

bool elements_find(struct call *call, const struct key_place *place, enum value_type type,
                   struct entry **entry) {
    *entry = call_find(call, place);
    return elements_check(call, *entry, type);
}

/* ---- Storing ------------------------------------------------------------------------------------ */

static struct edit_place edit_place(const struct key_place *place) {
    return (struct edit_place){place->keyspace, place->db, place->hash, place->key};
}

void elements_open(const struct key_place *place, struct entry *entry, enum value_type type,
                   struct edit *edit) {
    struct edit_place where = edit_place(place);
    edit_open(edit, &where, entry, type);
}

void elements_open_anew(const struct key_place *place, struct entry *entry, enum value_type type,
                        struct edit *edit) {
    struct edit_place where = edit_place(place);
    edit_open_anew(edit, &where, entry, type);
}

bool elements_keep(struct call *call, struct edit *edit, uint32_t first, uint64_t *bytes) {
    *bytes = 0;
    for (uint32_t i = first; i < call->argc; i++) {
        *bytes += call->argv[i].len;
        if (KRT_LIKELY(edit_keep_copy(edit, call->argv[i]))) continue;
        edit_close(edit);
        call_error_memory(call);
        return false;
    }
    return true;
}

bool elements_reserve(struct call *call, struct edit *edit, uint64_t changes, uint64_t bytes) {
    if (KRT_LIKELY(edit_reserve(edit, changes, bytes))) return true;
    edit_close(edit);
    call_error_memory(call);
    return false;
}

bool elements_reserve_erasures(struct call *call, struct edit *edit, uint64_t changes) {
    if (KRT_LIKELY(edit_reserve_erasures(edit, changes))) return true;
    edit_close(edit);
    call_error_memory(call);
    return false;
}

bool elements_store(struct call *call, struct edit *edit) {
    if (KRT_LIKELY(edit_commit(edit))) return true;
    call_error_memory(call);
    return false;
}

static void delete_empty(struct call *call, const struct key_place *place, struct entry *entry) {
    keyspace_delete(place->keyspace, place->db, place->hash, entry);
    effect_notify(call, place, NOTIFY_GENERIC, "del");
}

void elements_declare(struct call *call, const struct key_place *place, struct edit *edit,
                      enum notify_class class, const char *event) {
    if (KRT_UNLIKELY(edit->created)) {
        effect_notify(call, place, NOTIFY_NEW, "new");
        effect_ready(call, place, view_type(&edit->view));
    }
    effect_change(call, place, class, event);
    if (KRT_UNLIKELY(view_count(&edit->view) == 0)) delete_empty(call, place, edit->entry);
}

static void store_nothing(struct call *call, const struct key_place *place, struct edit *edit) {
    struct entry *entry = edit->entry;
    edit_close(edit);
    if (entry) call_delete(call, place, entry, NOTIFY_GENERIC, "del");
    reply_integer(call->reply, 0);
}

void elements_store_result(struct call *call, const struct key_place *place, struct edit *edit,
                           enum notify_class class, const char *event) {
    uint64_t count = view_count(&edit->view);
    if (count == 0) {
        store_nothing(call, place, edit);
        return;
    }
    if (!edit_commit_with(edit, 0)) {
        call_error_memory(call);
        return;
    }
    effect_log_verbatim(call);
    effect_ready(call, place, view_type(&edit->view));
    if (edit->created) effect_notify(call, place, NOTIFY_NEW, "new");
    effect_change(call, place, class, event);
    reply_integer(call->reply, (int64_t)count);
}

/* ---- Ranges and counts -------------------------------------------------------------------------- */

struct element_range elements_range(int64_t start, int64_t stop, uint64_t count) {
    int64_t end = (int64_t)count;
    if (start < 0) start += end;
    if (stop < 0) stop += end;
    if (start < 0) start = 0;
    if (stop >= end) stop = end - 1;
    if (start > stop || start >= end) return (struct element_range){count, 0};
    return (struct element_range){(uint64_t)start, (uint64_t)(stop - start) + 1};
}

bool call_count(struct call *call, uint32_t index, int64_t *count) {
    if (bytes_to_int64(call->argv[index], count) && *count >= 0) return true;
    call_error(call, "ERR value is out of range, must be positive");
    return false;
}

bool elements_signed_count(struct call *call, uint32_t index, bool doubled, int64_t *count) {
    const int64_t most = INT64_MAX, half = INT64_MAX / 2;
    if (!call_integer(call, index, count)) return false;
    if (*count < -most) {
        call_error_format(call, "ERR value is out of range, value must between %lld and %lld",
                          -(long long)most, (long long)most);
        return false;
    }
    if (!doubled || (*count >= -half && *count <= half)) return true;
    call_error(call, "ERR value is out of range");
    return false;
}

bool call_pop_count(struct call *call, uint32_t first, int64_t *count) {
    *count = 1;
    if (call->argc == first) return true;
    if (call->argc < first + 2 || !bytes_is(call->argv[first], "count")) {
        call_error_syntax(call);
        return false;
    }
    if (!bytes_to_int64(call->argv[first + 1], count) || *count < 1) {
        call_error(call, "ERR count should be greater than 0");
        return false;
    }
    if (call->argc == first + 2) return true;
    call_error_syntax(call);
    return false;
}

/* ---- Scanning ----------------------------------------------------------------------------------- */

struct scanned {
    struct call *call;
    const struct scan_pattern *pattern;
    elements_show *show;
    uint64_t items;
    bool values;
};

static void show(void *context, const struct walk *walk) {
    struct scanned *scanned = context;
    struct bytes member = element_member(view_type(walk->view), walk->record);
    if (scan_pattern_takes(scanned->pattern, member))
        scanned->items += scanned->show(scanned->call, walk, scanned->values);
}

static void reply_empty(struct call *call) {
    reply_array(call->reply, 2);
    reply_bulk(call->reply, BYTES_LITERAL("0"));
    reply_array(call->reply, 0);
}

/* The cursor stands before what is found, and is as long as its number: what is found goes into a reply of its
 * own, which is appended. */
static void scan(struct call *call, const struct collection_view *view, uint64_t cursor,
                 const struct scan_options *options, elements_show *visit) {
    char number[24];
    struct reply items, *reply = call->reply;
    reply_init(&items, reply->pool, reply->proto);
    struct scanned scanned = {
        .call = call, .pattern = &options->pattern, .show = visit, .values = !options->no_values};
    call->reply = &items;
    uint64_t next = walk_scan(view, cursor, options->count, show, &scanned);
    call->reply = reply;
    reply_array(reply, 2);
    reply_bulk(reply, bytes_of(number, bytes_from_uint64(number, next)));
    reply_array(reply, scanned.items);
    reply_append(reply, &items);
    reply_clear(&items);
}

void elements_scan(struct call *call, enum value_type type, elements_show *visit) {
    uint64_t cursor;
    struct collection_view view;
    struct scan_options options = {.of = type};
    struct key_place place = keyspace_for(call, 1);
    if (!scan_cursor(call, 2, &cursor)) return;
    struct entry *entry = call_read(call, &place);
    if (!entry) {
        reply_empty(call);
        return;
    }
    if (!elements_check(call, entry, type) || !scan_options(call, 3, &options)) return;
    view = view_of(entry);
    scan(call, &view, cursor, &options, visit);
}

/* ---- Random elements ---------------------------------------------------------------------------- */

struct drawn {
    struct call *call;
    struct random_state *random;
    const struct collection_view *view;
    elements_reply_one *reply_one;
    bool pairs;
};

static void reply_rank(const struct drawn *drawn, uint64_t rank) {
    struct walk walk;
    bool found = walk_seek(&walk, drawn->view, rank);
    KRT_ASSERT(found);
    drawn->reply_one(drawn->call, &walk, drawn->pairs);
}

static void reply_head(const struct drawn *drawn, uint64_t count) {
    reply_array(drawn->call->reply,
                drawn->pairs && drawn->call->reply->proto == 2 ? 2 * count : count);
}

/* Going over all ranks, each is taken with the chance that it has: in one pass, without memory. */
static void draw_in_order(const struct drawn *drawn, uint64_t bound, uint64_t count) {
    for (uint64_t rank = 0; count > 0; rank++) {
        if (random_below(drawn->random, bound - rank) >= count) continue;
        reply_rank(drawn, rank);
        count--;
    }
}

/* Draws again what was drawn before, which a table of twice the size tells. */
static void draw_apart(const struct drawn *drawn, uint64_t bound, uint64_t count, uint64_t *seen,
                       uint64_t room) {
    while (count > 0) {
        uint64_t rank = random_below(drawn->random, bound), slot = rank & (room - 1);
        while (seen[slot] && seen[slot] != rank + 1) slot = (slot + 1) & (room - 1);
        if (seen[slot]) continue;
        seen[slot] = rank + 1;
        reply_rank(drawn, rank);
        count--;
    }
}

static void draw_few(const struct drawn *drawn, uint64_t bound, uint64_t count) {
    uint64_t room = 2;
    while (room < 2 * count) room *= 2;
    uint64_t *seen = mem_calloc(NULL, room * sizeof *seen);
    if (!seen) {
        call_error_memory(drawn->call);
        return;
    }
    reply_head(drawn, count);
    draw_apart(drawn, bound, count, seen, room);
    mem_free(NULL, seen);
}

static void draw_different(const struct drawn *drawn, uint64_t bound, uint64_t count) {
    if (count > bound) count = bound;
    if (count <= bound / 8) {
        draw_few(drawn, bound, count);
        return;
    }
    reply_head(drawn, count);
    draw_in_order(drawn, bound, count);
}

void elements_reply_random(struct call *call, struct random_state *random,
                           const struct collection_view *view, elements_reply_one *reply_one) {
    struct drawn drawn = {call, random, view, reply_one, false};
    uint64_t bound = view_count(view);
    if (bound == 0) reply_null(call->reply);
    else reply_rank(&drawn, random_below(random, bound));
}

void elements_reply_drawn(struct call *call, struct random_state *random,
                          const struct collection_view *view, int64_t count, bool pairs,
                          elements_reply_one *reply_one) {
    struct drawn drawn = {call, random, view, reply_one, pairs};
    uint64_t bound = view_count(view);
    if (bound == 0 || count == 0) {
        reply_array(call->reply, 0);
    } else if (count > 0) {
        draw_different(&drawn, bound, (uint64_t)count);
    } else {
        reply_head(&drawn, -(uint64_t)count);
        for (; count < 0; count++) reply_rank(&drawn, random_below(random, bound));
    }
}

bool elements_parse_drawing(struct call *call, const char *word, int64_t *count, bool *pairs) {
    *count = 0;
    *pairs = false;
    if (call->argc == 2) return true;
    if (!elements_signed_count(call, 2, call->argc > 3, count)) return false;
    *pairs = call->argc == 4 && bytes_is(call->argv[3], word);
    if (call->argc == 3 || *pairs) return true;
    call_error_syntax(call);
    return false;
}
