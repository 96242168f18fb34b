/* HRANDFIELD. */
#include "cmd/families.h"
#include "cmd/hash.h"

struct drawn {
    struct call *call;
    const struct collection_view *view;
    uint64_t head; /* how many there will be, before the first one; 0: the head is there */
    bool values;
};

static void reply_head(struct call *call, uint64_t fields, bool values) {
    reply_array(call->reply, values && call->reply->proto == 2 ? 2 * fields : fields);
}

static void show_rank(void *context, uint64_t rank) {
    struct walk walk;
    struct drawn *drawn = context;
    struct reply *reply = drawn->call->reply;
    bool found = walk_seek(&walk, drawn->view, rank);
    KRT_ASSERT(found);
    struct hash_field field = hash_field_read(walk.record);
    if (drawn->head > 0) reply_head(drawn->call, drawn->head, drawn->values);
    drawn->head = 0;
    if (drawn->values && reply->proto > 2) reply_array(reply, 2);
    reply_bulk(reply, field.name);
    if (drawn->values) reply_bulk(reply, field.value);
}

static void show_drawn(struct call *call, struct random_state *random, int64_t count,
                       struct drawn *drawn) {
    uint64_t fields = view_count(drawn->view);
    if (fields == 0 || count == 0) {
        reply_array(call->reply, 0);
    } else if (count > 0) {
        drawn->head = (uint64_t)count < fields ? (uint64_t)count : fields;
        if (!elements_draw(random, fields, drawn->head, show_rank, drawn)) call_error_memory(call);
    } else {
        drawn->head = -(uint64_t)count;
        for (; count < 0; count++) show_rank(drawn, random_below(random, fields));
    }
}

static bool parse_drawing(struct call *call, int64_t *count, bool *values) {
    if (!elements_signed_count(call, 2, call->argc > 3, count)) return false;
    *values = call->argc == 4 && bytes_is(call->argv[3], "withvalues");
    if (call->argc == 3 || *values) return true;
    call_error_syntax(call);
    return false;
}

static void hrandfield_command(struct call *call) {
    int64_t count = 0;
    struct collection_view view;
    struct drawn drawn = {.call = call, .view = &view};
    struct key_place place = keyspace_for(call, 1);
    struct random_state *random = &place.keyspace->random;
    if (call->argc > 2 && !parse_drawing(call, &count, &drawn.values)) return;
    if (!elements_read(call, &place, VALUE_HASH, &view)) return;
    if (call->argc > 2) show_drawn(call, random, count, &drawn);
    else if (view_count(&view) == 0) reply_null(call->reply);
    else show_rank(&drawn, random_below(random, view_count(&view)));
}

void hash_random_bind(void) {
    command_bind("hrandfield", hrandfield_command);
}
