/* Lists: both ends, and what is done by position. What goes from list to list is in list_moves.c. */
#include "cmd/list.h"

#include "cmd/families.h"
#include "store/listpack.h"

/* ---- Names -------------------------------------------------------------------------------------- */

/* Redis keeps a list in one listpack while that is small. */
enum { LIST_SAFE_BYTES = 8192 };

/* What it would take there. */
static uint64_t listpack_bytes(const struct collection_view *view) {
    struct walk walk;
    uint64_t bytes = LISTPACK_FRAME_BYTES;
    for (bool found = walk_seek(&walk, view, 0); found; found = walk_next(&walk))
        bytes += listpack_element_bytes(walk.record);
    return bytes;
}

static uint64_t byte_limit(int64_t size) {
    if (size >= 0) return LIST_SAFE_BYTES;
    return UINT64_C(4096) << (size < -5 ? 4 : -size - 1);
}

static bool too_many(int64_t size, uint64_t count) {
    return size >= 0 && count > (uint64_t)(size ? size : 1);
}

/* An element takes at most two bytes more in a listpack than in a tree, and at most twice what it takes in a
 * pack. */
static uint64_t listpack_bytes_at_most(const struct edit *edit) {
    if (!edit->collection) return LISTPACK_FRAME_BYTES + 2 * PACK_BYTES_MAX;
    return LISTPACK_FRAME_BYTES + edit->collection->trees[0].bytes + 2 * view_count(&edit->view);
}

void list_grows(const struct call *call, struct edit *edit, uint64_t elements, uint64_t bytes) {
    int64_t size = call->domain->small.list_size;
    if (edit->view.type & FORM_LARGE) return;
    bool large = too_many(size, view_count(&edit->view) + elements) ||
                 (listpack_bytes_at_most(edit) + bytes > byte_limit(size) &&
                  listpack_bytes(&edit->view) + bytes > byte_limit(size));
    if (large) edit->view.type |= FORM_LARGE;
}

/* Half of the limit, so that a list at the border does not go to and fro. */
void list_shrank(const struct call *call, struct edit *edit) {
    int64_t size = call->domain->small.list_size;
    if (!(edit->view.type & FORM_LARGE)) return;
    if (edit->collection && edit->collection->trees[0].height > 0) return;
    uint64_t count = view_count(&edit->view);
    bool small = size >= 0 ? count <= (uint64_t)size / 2
                           : listpack_bytes(&edit->view) <= byte_limit(size) / 2;
    if (small) edit->view.type &= (uint8_t)~FORM_LARGE;
}

/* ---- Ends --------------------------------------------------------------------------------------- */

bool list_end_parse(struct bytes word, enum list_end *end) {
    *end = bytes_is(word, "left") ? LIST_HEAD : LIST_TAIL;
    return *end == LIST_HEAD || bytes_is(word, "right");
}

static void insert_at(struct edit *edit, uint64_t rank, struct bytes element) {
    struct walk walk;
    struct record_key key = {0};
    struct bytes record = edit_record(edit, element);
    (void)walk_seek(&walk, &edit->view, rank);
    edit_insert(edit, &walk, &key, record);
}

void list_push(struct edit *edit, enum list_end end, struct bytes element) {
    insert_at(edit, end == LIST_HEAD ? 0 : view_count(&edit->view), element);
}

/* For argv[first] and all behind it. False after the error reply, with the edit closed. */
static bool reserve_pushes(struct call *call, struct edit *edit, uint32_t first) {
    uint64_t bytes;
    if (!elements_keep(call, edit, first, &bytes)) return false;
    list_grows(call, edit, call->argc - first, bytes);
    return elements_reserve(call, edit, call->argc - first, bytes);
}

static void push_generic(struct call *call, enum list_end end, bool only_existing) {
    struct edit edit;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_find(call, &place, VALUE_LIST, &entry)) return;
    if (!entry && only_existing) {
        reply_integer(call->reply, 0);
        return;
    }
    elements_open(&place, entry, VALUE_LIST, &edit);
    if (!reserve_pushes(call, &edit, 2)) return;
    for (uint32_t i = 2; i < call->argc; i++) list_push(&edit, end, call->argv[i]);
    if (!elements_store(call, &edit)) return;
    reply_integer(call->reply, (int64_t)view_count(&edit.view));
    effect_log_verbatim(call);
    elements_count_dirty(call, call->argc - 2);
    elements_declare(call, &place, &edit, NOTIFY_LIST, end == LIST_HEAD ? "lpush" : "rpush");
}

static void lpush_command(struct call *call) {
    push_generic(call, LIST_HEAD, false);
}

static void rpush_command(struct call *call) {
    push_generic(call, LIST_TAIL, false);
}

static void lpushx_command(struct call *call) {
    push_generic(call, LIST_HEAD, true);
}

static void rpushx_command(struct call *call) {
    push_generic(call, LIST_TAIL, true);
}

bool list_open_push(struct call *call, const struct key_place *place, struct entry *entry,
                    struct bytes element, struct edit *edit) {
    elements_open(place, entry, VALUE_LIST, edit);
    if (!edit_keep_copy(edit, element)) {
        edit_close(edit);
        call_error_memory(call);
        return false;
    }
    list_grows(call, edit, 1, element.len);
    return elements_reserve(call, edit, 1, element.len);
}

static void reply_from_end(struct call *call, const struct collection_view *view, enum list_end end,
                           uint64_t count) {
    struct walk walk;
    bool found = walk_seek(&walk, view, end == LIST_HEAD ? 0 : view_count(view) - 1);
    for (; count > 0 && found; count--) {
        reply_bulk(call->reply, walk.record);
        found = end == LIST_HEAD ? walk_next(&walk) : walk_prev(&walk);
    }
}

bool list_open_pop(struct call *call, const struct key_place *place, struct entry *entry,
                   uint64_t count, struct edit *edit) {
    elements_open(place, entry, VALUE_LIST, edit);
    return elements_reserve_erasures(call, edit, count);
}

void list_pop_replied(struct call *call, const struct key_place *place, struct edit *edit,
                      enum list_end end, uint64_t count) {
    uint64_t left = view_count(&edit->view) - count;
    reply_from_end(call, &edit->view, end, count);
    edit_erase_range(edit, end == LIST_HEAD ? 0 : left, count);
    list_shrank(call, edit);
    edit_commit_erasures(edit);
    elements_count_dirty(call, count);
    elements_declare(call, place, edit, NOTIFY_LIST, end == LIST_HEAD ? "lpop" : "rpop");
}

static void pop_generic(struct call *call, enum list_end end) {
    int64_t count = 1;
    struct edit edit;
    struct entry *entry;
    bool counted = call->argc == 3;
    struct key_place place = keyspace_for(call, 1);
    if (call->argc > 3) {
        call_error_arity(call);
        return;
    }
    if (counted && !call_count(call, 2, &count)) return;
    if (!elements_find(call, &place, VALUE_LIST, &entry)) return;
    if (!entry) {
        if (counted) reply_null_array(call->reply);
        else reply_null(call->reply);
        return;
    }
    struct collection_view view = view_of(entry);
    if ((uint64_t)count > view_count(&view)) count = (int64_t)view_count(&view);
    if (count == 0) {
        reply_array(call->reply, 0);
        return;
    }
    if (!list_open_pop(call, &place, entry, (uint64_t)count, &edit)) return;
    if (counted) reply_array(call->reply, (uint64_t)count);
    effect_log_verbatim(call);
    list_pop_replied(call, &place, &edit, end, (uint64_t)count);
}

static void lpop_command(struct call *call) {
    pop_generic(call, LIST_HEAD);
}

static void rpop_command(struct call *call) {
    pop_generic(call, LIST_TAIL);
}

/* ---- Reading by position ------------------------------------------------------------------------ */

static void llen_command(struct call *call) {
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (elements_read(call, &place, VALUE_LIST, &view))
        reply_integer(call->reply, (int64_t)view_count(&view));
}

/* False: there is no such element. Negative ones count from the end. */
static bool rank_of_index(const struct collection_view *view, int64_t index, uint64_t *rank) {
    int64_t count = (int64_t)view_count(view);
    if (index < 0) index += count;
    *rank = (uint64_t)index;
    return index >= 0 && index < count;
}

static void lindex_command(struct call *call) {
    int64_t index;
    uint64_t rank;
    struct walk walk;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_read(call, &place, VALUE_LIST, &view)) return;
    if (view_count(&view) == 0) {
        reply_null(call->reply);
        return;
    }
    if (!call_integer(call, 2, &index)) return;
    if (rank_of_index(&view, index, &rank) && walk_seek(&walk, &view, rank))
        reply_bulk(call->reply, walk.record);
    else reply_null(call->reply);
}

static void lrange_command(struct call *call) {
    struct walk walk;
    struct element_range range;
    struct collection_view view;
    int64_t start, stop;
    struct key_place place = keyspace_for(call, 1);
    if (!call_integer(call, 2, &start) || !call_integer(call, 3, &stop)) return;
    if (!elements_read(call, &place, VALUE_LIST, &view)) return;
    range = elements_range(start, stop, view_count(&view));
    reply_array(call->reply, range.count);
    bool found = range.count > 0 && walk_seek(&walk, &view, range.first);
    for (; found && range.count > 0; range.count--, found = walk_next(&walk))
        reply_bulk(call->reply, walk.record);
}

/* ---- Changing by position ----------------------------------------------------------------------- */

static void replace_at(struct edit *edit, uint64_t rank, struct bytes element) {
    struct walk walk;
    struct record_key key = {0};
    struct bytes record = edit_record(edit, element);
    bool found = walk_seek(&walk, &edit->view, rank);
    KRT_ASSERT(found);
    edit_replace(edit, &walk, &key, record);
}

static void lset_command(struct call *call) {
    int64_t index;
    uint64_t rank;
    struct edit edit;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_find(call, &place, VALUE_LIST, &entry)) return;
    if (!entry) {
        call_error(call, "ERR no such key");
        return;
    }
    if (!call_integer(call, 2, &index)) return;
    if (!list_open_push(call, &place, entry, call->argv[3], &edit)) return;
    if (!rank_of_index(&edit.view, index, &rank)) {
        edit_close(&edit);
        call_error(call, "ERR index out of range");
        return;
    }
    replace_at(&edit, rank, call->argv[3]);
    list_shrank(call, &edit);
    if (!elements_store(call, &edit)) return;
    effect_log_verbatim(call);
    elements_declare(call, &place, &edit, NOTIFY_LIST, "lset");
    reply_ok(call->reply);
}

static bool rank_of_element(const struct collection_view *view, struct bytes element,
                            uint64_t *rank) {
    struct walk walk;
    *rank = 0;
    for (bool found = walk_seek(&walk, view, 0); found; found = walk_next(&walk), ++*rank)
        if (bytes_equal(walk.record, element)) return true;
    return false;
}

static void linsert_command(struct call *call) {
    uint64_t rank;
    struct edit edit;
    struct entry *entry;
    bool after = bytes_is(call->argv[2], "after");
    struct key_place place = keyspace_for(call, 1);
    if (!after && !bytes_is(call->argv[2], "before")) {
        call_error_syntax(call);
        return;
    }
    if (!elements_find(call, &place, VALUE_LIST, &entry)) return;
    struct collection_view view = view_of(entry);
    if (!entry || !rank_of_element(&view, call->argv[3], &rank)) {
        reply_integer(call->reply, entry ? -1 : 0);
        return;
    }
    if (!list_open_push(call, &place, entry, call->argv[4], &edit)) return;
    insert_at(&edit, rank + after, call->argv[4]);
    if (!elements_store(call, &edit)) return;
    effect_log_verbatim(call);
    elements_declare(call, &place, &edit, NOTIFY_LIST, "linsert");
    reply_integer(call->reply, (int64_t)view_count(&edit.view));
}

static void ltrim_command(struct call *call) {
    struct edit edit;
    struct entry *entry;
    int64_t start, stop;
    struct key_place place = keyspace_for(call, 1);
    if (!call_integer(call, 2, &start) || !call_integer(call, 3, &stop)) return;
    if (!elements_find(call, &place, VALUE_LIST, &entry)) return;
    if (!entry) {
        reply_ok(call->reply);
        return;
    }
    elements_open(&place, entry, VALUE_LIST, &edit);
    uint64_t count = view_count(&edit.view);
    struct element_range kept = elements_range(start, stop, count);
    if (!elements_reserve_erasures(call, &edit, count - kept.count)) return;
    uint64_t behind = kept.first + kept.count;
    edit_erase_range(&edit, behind, count - behind);
    edit_erase_range(&edit, 0, kept.first);
    list_shrank(call, &edit);
    edit_commit_erasures(&edit);
    effect_log_verbatim(call);
    call->effects->dirty += count - kept.count;
    call->effects->dirty--; /* which the declaration counts */
    elements_declare(call, &place, &edit, NOTIFY_LIST, "ltrim");
    reply_ok(call->reply);
}

/* ---- LREM --------------------------------------------------------------------------------------- */

/* Up to `limit` elements that are equal, from one end on. */
static uint64_t remove_equal(struct edit *edit, struct bytes element, enum list_end end,
                             uint64_t limit) {
    struct walk walk;
    uint64_t removed = 0, rank = end == LIST_HEAD ? 0 : view_count(&edit->view) - 1;
    bool found = walk_seek(&walk, &edit->view, rank);
    while (found && removed < limit) {
        bool equal = bytes_equal(walk.record, element);
        if (equal) {
            edit_erase_range(edit, rank, 1);
            removed++;
        }
        if (end == LIST_TAIL && rank == 0) break;
        rank = end == LIST_TAIL ? rank - 1 : rank + !equal;
        if (equal) found = walk_seek(&walk, &edit->view, rank);
        else found = end == LIST_HEAD ? walk_next(&walk) : walk_prev(&walk);
    }
    return removed;
}

static void lrem_command(struct call *call) {
    int64_t count;
    struct edit edit;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!call_integer(call, 2, &count)) return;
    if (!elements_find(call, &place, VALUE_LIST, &entry)) return;
    if (!entry) {
        reply_integer(call->reply, 0);
        return;
    }
    elements_open(&place, entry, VALUE_LIST, &edit);
    if (!elements_reserve_erasures(call, &edit, view_count(&edit.view))) return;
    uint64_t limit = count == 0 ? UINT64_MAX : count < 0 ? -(uint64_t)count : (uint64_t)count;
    uint64_t removed = remove_equal(&edit, call->argv[3], count < 0 ? LIST_TAIL : LIST_HEAD, limit);
    if (removed > 0) list_shrank(call, &edit);
    edit_commit_erasures(&edit);
    if (removed > 0) {
        effect_log_verbatim(call);
        elements_count_dirty(call, removed);
        elements_declare(call, &place, &edit, NOTIFY_LIST, "lrem");
    }
    reply_integer(call->reply, (int64_t)removed);
}

void lists_bind(void) {
    command_bind("lpush", lpush_command);
    command_bind("rpush", rpush_command);
    command_bind("lpushx", lpushx_command);
    command_bind("rpushx", rpushx_command);
    command_bind("lpop", lpop_command);
    command_bind("rpop", rpop_command);
    command_bind("llen", llen_command);
    command_bind("lindex", lindex_command);
    command_bind("lrange", lrange_command);
    command_bind("lset", lset_command);
    command_bind("linsert", linsert_command);
    command_bind("ltrim", ltrim_command);
    command_bind("lrem", lrem_command);
}
