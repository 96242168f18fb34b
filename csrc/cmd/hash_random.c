/* HRANDFIELD. */
#include "cmd/families.h"
#include "cmd/hash.h"

static void reply_field(struct call *call, const struct walk *walk, bool values) {
    struct hash_field field = hash_field_read(walk->record);
    if (values && call->reply->proto > 2) reply_array(call->reply, 2);
    reply_bulk(call->reply, field.name);
    if (values) reply_bulk(call->reply, field.value);
}

static void hrandfield_command(struct call *call) {
    bool values;
    int64_t count;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    struct random_state *random = &place.keyspace->random;
    if (!elements_parse_drawing(call, "withvalues", &count, &values)) return;
    if (!elements_read(call, &place, VALUE_HASH, &view)) return;
    if (call->argc == 2) elements_reply_random(call, random, &view, reply_field);
    else elements_reply_drawn(call, random, &view, count, values, reply_field);
}

void hash_random_bind(void) {
    command_bind("hrandfield", hrandfield_command);
}
