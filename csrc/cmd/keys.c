/* Keys of any type, by name: whether they are there, what they are, and how they go elsewhere. */
#include "cmd/families.h"
#include "store/transfer.h"

/* ---- DEL, UNLINK ------------------------------------------------------------------------------ */

static bool del_one(struct call *call, const struct key_place *place) {
    struct entry *entry = call_find(call, place);
    if (!entry) return false;
    keyspace_delete(place->keyspace, place->db, place->hash, entry);
    effect_change(call, place, NOTIFY_GENERIC, "del");
    return true;
}

/* UNLINK too: what is small is freed sooner than it is handed over, what is large goes to the keeper
 * whatever deletes it. */
static void del_command(struct call *call) {
    struct key_place places[KEY_GROUP];
    int64_t deleted = 0;
    for (uint32_t i = 1, count; i < call->argc; i += count) {
        count = keyspace_for_group(call, i, 1, places);
        for (uint32_t k = 0; k < count; k++) deleted += del_one(call, &places[k]);
    }
    if (deleted) effect_log_verbatim(call);
    reply_integer(call->reply, deleted);
}

/* ---- EXISTS, TOUCH, TYPE ---------------------------------------------------------------------- */

static bool is_there(struct call *call, const struct key_place *place) {
    return call_look(call, place);
}

/* Also for a client that otherwise touches nothing. */
static bool touch_one(struct call *call, const struct key_place *place) {
    struct entry *entry = call_look(call, place);
    if (entry) access_touch(&call->domain->access, &place->keyspace->random, entry);
    return entry;
}

static void count_keys(struct call *call,
                       bool (*visit)(struct call *call, const struct key_place *place)) {
    struct key_place places[KEY_GROUP];
    int64_t found = 0;
    if (KRT_LIKELY(call->argc == 2)) { /* whose memory is fetched already */
        places[0] = keyspace_for(call, 1);
        reply_integer(call->reply, visit(call, &places[0]));
        return;
    }
    for (uint32_t i = 1, count; i < call->argc; i += count) {
        count = keyspace_for_group(call, i, 1, places);
        for (uint32_t k = 0; k < count; k++) found += visit(call, &places[k]);
    }
    reply_integer(call->reply, found);
}

static void exists_command(struct call *call) {
    count_keys(call, is_there);
}

static void touch_command(struct call *call) {
    count_keys(call, touch_one);
}

static void type_command(struct call *call) {
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = call_look(call, &place);
    reply_simple(call->reply, entry ? value_type_name(entry_type(entry)) : "none");
}

/* ---- Going elsewhere -------------------------------------------------------------------------- */

static struct entry_place entry_place(const struct key_place *place) {
    return (struct entry_place){place->keyspace, place->db, place->hash, place->key};
}

/* A key that is there now and was not before, or held something else. */
static void declare_arrival(struct call *call, const struct key_place *place,
                            enum value_type type) {
    effect_ready(call, place, type);
    effect_notify(call, place, NOTIFY_NEW, "new");
}

struct transfer {
    struct key_place from, to;
    struct entry *entry, *found; /* at `to`; NULL: nothing is there */
};

/* Moves and declares it, with Redis's two events. False: no memory, which has been replied. */
static bool transfer_move(struct call *call, struct transfer *transfer, const char *event_from,
                          const char *event_to) {
    struct entry_place from = entry_place(&transfer->from), to = entry_place(&transfer->to);
    enum value_type type = entry_type(transfer->entry);
    if (!keyspace_move_entry(&from, transfer->entry, &to, transfer->found)) {
        call_error_memory(call);
        return false;
    }
    effect_log_verbatim(call);
    declare_arrival(call, &transfer->to, type);
    effect_touch(call, &transfer->from);
    effect_notify(call, &transfer->from, NOTIFY_GENERIC, event_from);
    effect_change(call, &transfer->to, NOTIFY_GENERIC, event_to);
    return true;
}

/* The number of a database in argv[index]. */
static bool database_number(struct call *call, uint32_t index, uint32_t *db) {
    int64_t number;
    if (!call_int(call, index, NULL, &number)) return false;
    if (number < 0 || number >= call->domain->database_count) {
        call_error(call, "ERR DB index is out of range");
        return false;
    }
    *db = (uint32_t)number;
    return true;
}

static void error_same(struct call *call) {
    call_error(call, "ERR source and destination objects are the same");
}

/* ---- RENAME, RENAMENX, MOVE ------------------------------------------------------------------- */

static void reply_renamed(struct call *call, bool nx, bool renamed) {
    if (nx) reply_integer(call->reply, renamed);
    else reply_ok(call->reply);
}

static void rename_generic(struct call *call, bool nx) {
    struct transfer transfer = {.from = keyspace_for(call, 1), .to = keyspace_for(call, 2)};
    transfer.entry = call_find(call, &transfer.from);
    if (!transfer.entry) {
        call_error(call, "ERR no such key");
        return;
    }
    if (bytes_equal(call->argv[1], call->argv[2])) {
        reply_renamed(call, nx, false);
        return;
    }
    transfer.found = call_find(call, &transfer.to);
    if (nx && transfer.found) reply_integer(call->reply, 0);
    else if (transfer_move(call, &transfer, "rename_from", "rename_to"))
        reply_renamed(call, nx, true);
}

static void rename_command(struct call *call) {
    rename_generic(call, false);
}

static void renamenx_command(struct call *call) {
    rename_generic(call, true);
}

static void move_command(struct call *call) {
    uint32_t db;
    if (!database_number(call, 2, &db)) return;
    if (db == call->db) {
        error_same(call);
        return;
    }
    struct transfer transfer = {.from = keyspace_for(call, 1), .to = keyspace_for(call, 1)};
    transfer.to.db = db;
    transfer.entry = call_find(call, &transfer.from);
    if (!transfer.entry || call_find(call, &transfer.to)) reply_integer(call->reply, 0);
    else if (transfer_move(call, &transfer, "move_from", "move_to")) reply_integer(call->reply, 1);
}

/* ---- COPY ------------------------------------------------------------------------------------- */

struct copy_options {
    uint32_t db;
    bool replace;
};

static bool copy_parse(struct call *call, struct copy_options *options) {
    for (uint32_t i = 3; i < call->argc; i++) {
        if (bytes_is(call->argv[i], "replace")) {
            options->replace = true;
        } else if (bytes_is(call->argv[i], "db") && i + 1 < call->argc) {
            if (!database_number(call, ++i, &options->db)) return false;
        } else {
            call_error_syntax(call);
            return false;
        }
    }
    return true;
}

static void copy_to(struct call *call, const struct transfer *transfer) {
    struct entry_place to = entry_place(&transfer->to);
    if (!keyspace_copy_entry(transfer->entry, &to, transfer->found)) {
        call_error_memory(call);
        return;
    }
    effect_log_verbatim(call);
    declare_arrival(call, &transfer->to, entry_type(transfer->entry));
    effect_change(call, &transfer->to, NOTIFY_GENERIC, "copy_to");
    reply_integer(call->reply, 1);
}

static void copy_command(struct call *call) {
    struct copy_options options = {.db = call->db};
    if (!copy_parse(call, &options)) return;
    if (options.db == call->db && bytes_equal(call->argv[1], call->argv[2])) {
        error_same(call);
        return;
    }
    struct transfer transfer = {.from = keyspace_for(call, 1), .to = keyspace_for(call, 2)};
    transfer.to.db = options.db;
    transfer.entry = call_read(call, &transfer.from);
    if (transfer.entry) transfer.found = call_find(call, &transfer.to);
    if (!transfer.entry || (transfer.found && !options.replace)) reply_integer(call->reply, 0);
    else copy_to(call, &transfer);
}

void keys_bind(void) {
    command_bind("del", del_command);
    command_bind("unlink", del_command);
    command_bind("exists", exists_command);
    command_bind("touch", touch_command);
    command_bind("type", type_command);
    command_bind("rename", rename_command);
    command_bind("renamenx", renamenx_command);
    command_bind("move", move_command);
    command_bind("copy", copy_command);
}
