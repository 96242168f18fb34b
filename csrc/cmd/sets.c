/* Sets: members, and what is done to one set. Their algebra is in set_algebra.c. */
#include "cmd/families.h"
#include "cmd/set.h"

/* ---- Names -------------------------------------------------------------------------------------- */

static bool is_integer(struct bytes member) {
    int64_t value;
    return bytes_to_int64(member, &value);
}

void set_begin(const struct call *call, struct edit *edit, struct bytes first, uint64_t expected) {
    const struct small_limits *small = &call->domain->small;
    if (is_integer(first) && (int64_t)expected <= small->set_integers)
        edit->view.type |= FORM_INTEGERS;
    else if ((int64_t)expected > small->set_entries) edit->view.type |= FORM_LARGE;
}

/* Of integers only, it stays so while it is not too large; otherwise it is small while its members are few and
 * short. Before the member is added. */
static void rename_form(const struct call *call, struct edit *edit, struct bytes member) {
    const struct small_limits *small = &call->domain->small;
    int64_t count = (int64_t)view_count(&edit->view);
    if (edit->view.type & FORM_LARGE) return;
    if (edit->view.type & FORM_INTEGERS) {
        if (is_integer(member)) {
            if (count + 1 > small->set_integers)
                edit->view.type = (uint8_t)((edit->view.type & ~FORM_INTEGERS) | FORM_LARGE);
            return;
        }
        edit->view.type &= (uint8_t)~FORM_INTEGERS;
    }
    if (count + 1 > small->set_entries || member.len > small->set_value)
        edit->view.type |= FORM_LARGE;
}

/* ---- Members ------------------------------------------------------------------------------------ */

bool set_has(const struct call *call, const struct collection_view *view, struct bytes member) {
    struct walk walk;
    return walk_find(&walk, view, &call->domain->hash_seed, member);
}

bool set_add(const struct call *call, struct edit *edit, struct bytes member) {
    struct walk walk;
    struct bytes record = edit_record(edit, member);
    if (walk_find(&walk, &edit->view, &call->domain->hash_seed, member)) return false;
    rename_form(call, edit, member);
    struct record_key key = {element_hash(&call->domain->hash_seed, member), 0};
    edit_insert(edit, &walk, &key, record);
    return true;
}

bool set_remove(struct edit *edit, struct bytes member) {
    struct walk walk;
    if (!walk_find(&walk, &edit->view, edit->place.keyspace->hash_seed, member)) return false;
    edit_erase(edit, &walk);
    return true;
}

/* ---- SADD, SREM --------------------------------------------------------------------------------- */

/* False after the error reply, with the edit closed. */
static bool reserve_members(struct call *call, struct edit *edit, uint32_t first) {
    uint64_t bytes;
    if (!elements_keep(call, edit, first, &bytes)) return false;
    return elements_reserve(call, edit, call->argc - first, bytes);
}

static void sadd_command(struct call *call) {
    struct edit edit;
    struct entry *entry;
    int64_t added = 0;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_find(call, &place, VALUE_SET, &entry)) return;
    elements_open(&place, entry, VALUE_SET, &edit);
    if (!entry) set_begin(call, &edit, call->argv[2], call->argc - 2);
    if (!reserve_members(call, &edit, 2)) return;
    for (uint32_t i = 2; i < call->argc; i++) added += set_add(call, &edit, call->argv[i]);
    if (added == 0) {
        edit_close(&edit);
    } else if (elements_store(call, &edit)) {
        effect_log_verbatim(call);
        elements_count_dirty(call, (uint64_t)added);
        elements_declare(call, &place, &edit, NOTIFY_SET, "sadd");
    }
    if (!call->failed) reply_integer(call->reply, added);
}

static void srem_command(struct call *call) {
    struct edit edit;
    struct entry *entry;
    int64_t removed = 0;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_find(call, &place, VALUE_SET, &entry)) return;
    if (!entry) {
        reply_integer(call->reply, 0);
        return;
    }
    elements_open(&place, entry, VALUE_SET, &edit);
    if (!elements_reserve_erasures(call, &edit, call->argc - 2)) return;
    for (uint32_t i = 2; i < call->argc; i++) removed += set_remove(&edit, call->argv[i]);
    edit_commit_erasures(&edit);
    if (removed > 0) {
        effect_log_verbatim(call);
        elements_count_dirty(call, (uint64_t)removed);
        elements_declare(call, &place, &edit, NOTIFY_SET, "srem");
    }
    reply_integer(call->reply, removed);
}

/* ---- SMOVE -------------------------------------------------------------------------------------- */

/* What can fail is done for both before either is changed: the target, if it is new or small, is stored first,
 * and the source only loses something. */
static void move_member(struct call *call, const struct key_place *from, struct entry *source,
                        const struct key_place *to, struct entry *target) {
    struct edit taken, given;
    struct bytes member = call->argv[3];
    elements_open(from, source, VALUE_SET, &taken);
    elements_open(to, target, VALUE_SET, &given);
    if (!target) set_begin(call, &given, member, 1);
    if (!edit_keep_copy(&given, member) || !edit_reserve(&given, 1, member.len) ||
        !edit_reserve_erasures(&taken, 1)) {
        edit_close(&given);
        edit_close(&taken);
        call_error_memory(call);
        return;
    }
    bool added = set_add(call, &given, member);
    if (!added) edit_close(&given);
    else if (!elements_store(call, &given)) {
        edit_close(&taken);
        return;
    }
    (void)set_remove(&taken, member);
    edit_commit_erasures(&taken);
    effect_log_verbatim(call);
    elements_declare(call, from, &taken, NOTIFY_SET, "srem");
    if (added) elements_declare(call, to, &given, NOTIFY_SET, "sadd");
    reply_integer(call->reply, 1);
}

static void smove_command(struct call *call) {
    struct entry *source, *target;
    struct key_place from = keyspace_for(call, 1), to = keyspace_for(call, 2);
    source = call_find(call, &from);
    target = call_find(call, &to);
    if (!source) {
        reply_integer(call->reply, 0);
        return;
    }
    if (!elements_check(call, source, VALUE_SET) || !elements_check(call, target, VALUE_SET))
        return;
    struct collection_view view = view_of(source);
    bool has = set_has(call, &view, call->argv[3]);
    if (source == target || !has) reply_integer(call->reply, has);
    else move_member(call, &from, source, &to, target);
}

/* ---- SISMEMBER, SMISMEMBER, SCARD --------------------------------------------------------------- */

static void sismember_command(struct call *call) {
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (elements_read(call, &place, VALUE_SET, &view))
        reply_integer(call->reply, set_has(call, &view, call->argv[2]));
}

static void smismember_command(struct call *call) {
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_read(call, &place, VALUE_SET, &view)) return;
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++)
        reply_integer(call->reply, set_has(call, &view, call->argv[i]));
}

static void scard_command(struct call *call) {
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (elements_read(call, &place, VALUE_SET, &view))
        reply_integer(call->reply, (int64_t)view_count(&view));
}

/* ---- SPOP --------------------------------------------------------------------------------------- */

/* The effect names what left. */
static void log_removed(struct call *call, const struct key_place *place, struct bytes member) {
    struct bytes log[] = {BYTES_LITERAL("SREM"), place->key, member};
    effect_log(call, place->db, log, 3);
}

static void pop_one(struct call *call, struct edit *edit) {
    struct walk walk;
    struct key_place place = keyspace_for(call, 1);
    uint64_t rank = random_below(&place.keyspace->random, view_count(&edit->view));
    bool found = walk_seek(&walk, &edit->view, rank);
    KRT_ASSERT(found);
    reply_bulk(call->reply, walk.record);
    log_removed(call, &place, walk.record);
    edit_erase(edit, &walk);
}

static void spop_some(struct call *call, const struct key_place *place, struct entry *entry,
                      uint64_t count) {
    struct edit edit;
    elements_open(place, entry, VALUE_SET, &edit);
    if (!elements_reserve_erasures(call, &edit, count)) return;
    if (call->argc == 3) reply_set(call->reply, count);
    for (uint64_t i = 0; i < count; i++) pop_one(call, &edit);
    edit_commit_erasures(&edit);
    elements_count_dirty(call, count);
    elements_declare(call, place, &edit, NOTIFY_SET, "spop");
}

static void spop_all(struct call *call, const struct key_place *place, struct entry *entry) {
    struct walk walk;
    struct collection_view view = view_of(entry);
    uint64_t count = view_count(&view);
    reply_set(call->reply, count);
    for (bool found = walk_seek(&walk, &view, 0); found; found = walk_next(&walk))
        reply_bulk(call->reply, walk.record);
    elements_count_dirty(call, count);
    effect_notify(call, place, NOTIFY_SET, "spop");
    call_delete(call, place, entry, NOTIFY_GENERIC, "del");
}

static void spop_command(struct call *call) {
    struct entry *entry;
    int64_t count = 1;
    struct key_place place = keyspace_for(call, 1);
    if (call->argc > 3) {
        call_error_syntax(call);
        return;
    }
    if (call->argc == 3 && !call_count(call, 2, &count)) return;
    if (!elements_find(call, &place, VALUE_SET, &entry)) return;
    struct collection_view view = view_of(entry);
    if (!entry || count == 0) {
        if (call->argc == 3) reply_set(call->reply, 0);
        else reply_null(call->reply);
    } else if (call->argc == 3 && (uint64_t)count >= view_count(&view)) {
        spop_all(call, &place, entry);
    } else {
        spop_some(call, &place, entry, (uint64_t)count);
    }
}

/* ---- SRANDMEMBER -------------------------------------------------------------------------------- */

static void reply_member(struct call *call, const struct walk *walk, bool pairs) {
    (void)pairs;
    reply_bulk(call->reply, walk->record);
}

static void srandmember_command(struct call *call) {
    int64_t count = 0;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    struct random_state *random = &place.keyspace->random;
    if (call->argc > 3) {
        call_error_syntax(call);
        return;
    }
    if (call->argc == 3 && !elements_signed_count(call, 2, false, &count)) return;
    if (!elements_read(call, &place, VALUE_SET, &view)) return;
    if (call->argc == 2) elements_reply_random(call, random, &view, reply_member);
    else elements_reply_drawn(call, random, &view, count, false, reply_member);
}

/* ---- SSCAN -------------------------------------------------------------------------------------- */

static uint32_t show_member(struct call *call, const struct walk *walk, bool values) {
    (void)values;
    reply_bulk(call->reply, walk->record);
    return 1;
}

static void sscan_command(struct call *call) {
    elements_scan(call, VALUE_SET, show_member);
}

void sets_bind(void) {
    command_bind("sadd", sadd_command);
    command_bind("srem", srem_command);
    command_bind("smove", smove_command);
    command_bind("sismember", sismember_command);
    command_bind("smismember", smismember_command);
    command_bind("scard", scard_command);
    command_bind("spop", spop_command);
    command_bind("srandmember", srandmember_command);
    command_bind("sscan", sscan_command);
}
