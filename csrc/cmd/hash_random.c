/* HRANDFIELD. */
#include "cmd/families.h"
#include "cmd/hash.h"

static void reply_field(struct call *call, const struct walk *walk, bool values) {
    struct hash_field field = hash_field_read(walk->record);
    if (values && call->reply->proto > 2) reply_array(call->reply, 2);
    reply_bulk(call->reply, field.name);
    if (values) reply_bulk(call->reply, field.value);
}

/* ---- Without what is due ------------------------------------------------------------------------ */

/* Fields deleted at a time: some tenths of a millisecond. */
enum { EXPIRED_AT_ONCE = 256 };

/* Deletes what is due, as Redis does before it draws. False: it goes on when others had their turn. What may not
 * be deleted now, or for want of memory, is left in the view. */
static bool expire_all(struct call *call, const struct key_place *place,
                       struct collection_view *view) {
    while (fields_have_deadlines(view)) {
        struct entry *entry = keyspace_find(place->keyspace, place->db, place->hash, place->key);
        uint32_t expired = hash_expire_some(call, place, entry, EXPIRED_AT_ONCE);
        if (expired == 0) return true;
        *view = view_of(keyspace_find(place->keyspace, place->db, place->hash, place->key));
        if (expired < EXPIRED_AT_ONCE) return true;
        call->unfinished = call_may_pause(call);
        if (call->unfinished) return false;
    }
    return true;
}

/* ---- Beside what is due and stays --------------------------------------------------------------- */

enum { TRIES_MAX = 100 };

static bool is_live(struct call *call, const struct walk *walk) {
    struct hash_field field = hash_field_read(walk->record);
    return !field_is_due(&field, call_due(call));
}

/* One of those that are not due, of which there are some: any that is hit, or the next one behind a place. */
static void seek_live(struct call *call, struct random_state *random,
                      const struct collection_view *view, struct walk *walk) {
    uint64_t bound = view_count(view);
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        (void)walk_seek(walk, view, random_below(random, bound));
        if (is_live(call, walk)) return;
    }
    while (!is_live(call, walk))
        if (!walk_next(walk)) (void)walk_seek(walk, view, 0);
}

static void reply_any(struct call *call, struct random_state *random,
                      const struct collection_view *view, uint64_t count, bool values) {
    struct walk walk;
    for (; count > 0; count--) {
        seek_live(call, random, view, &walk);
        reply_field(call, &walk, values);
    }
}

/* Each with the chance that it has of being among the rest. */
static void reply_different(struct call *call, struct random_state *random,
                            const struct collection_view *view, uint64_t live, uint64_t count,
                            bool values) {
    struct walk walk;
    for (bool found = walk_seek(&walk, view, 0); found && count > 0; found = walk_next(&walk)) {
        if (!is_live(call, &walk) || random_below(random, live--) >= count) continue;
        reply_field(call, &walk, values);
        count--;
    }
}

static void reply_live(struct call *call, struct random_state *random,
                       const struct collection_view *view, uint64_t live, int64_t count,
                       bool values) {
    uint64_t different = (uint64_t)count < live ? (uint64_t)count : live;
    uint64_t shown = live == 0 ? 0 : count < 0 ? -(uint64_t)count : different;
    reply_array(call->reply, values && call->reply->proto == 2 ? 2 * shown : shown);
    if (count < 0) reply_any(call, random, view, shown, values);
    else reply_different(call, random, view, live, shown, values);
}

/* ---- The command -------------------------------------------------------------------------------- */

static void draw(struct call *call, struct random_state *random, const struct collection_view *view,
                 int64_t count, bool values) {
    uint64_t due = fields_have_deadlines(view) ? fields_count_due(view, call_due(call)) : 0;
    uint64_t live = view_count(view) - due;
    if (due > 0 && call->argc > 2) reply_live(call, random, view, live, count, values);
    else if (due > 0 && live > 0) reply_any(call, random, view, 1, false);
    else if (due > 0) reply_null(call->reply);
    else if (call->argc == 2) elements_reply_random(call, random, view, reply_field);
    else elements_reply_drawn(call, random, view, count, values, reply_field);
}

static void hrandfield_command(struct call *call) {
    bool values;
    int64_t count;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_parse_drawing(call, "withvalues", &count, &values)) return;
    if (!elements_read(call, &place, VALUE_HASH, &view)) return;
    if (expire_all(call, &place, &view)) draw(call, &place.keyspace->random, &view, count, values);
}

void hash_random_bind(void) {
    command_bind("hrandfield", hrandfield_command);
}
