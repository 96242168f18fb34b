/* What streams are like beside their entries: XINFO, XSETID. */
#include "cmd/families.h"
#include "cmd/stream_group.h"

enum { FULL_COUNT = 10 };

/* ---- XINFO STREAM ------------------------------------------------------------------------------- */

static void reply_named_integer(struct reply *reply, const char *name, uint64_t value) {
    reply_bulk_text(reply, name);
    reply_integer(reply, (int64_t)value);
}

static void reply_named_id(struct reply *reply, const char *name, struct stream_id id) {
    reply_bulk_text(reply, name);
    stream_reply_id(reply, id);
}

/* Of Redis's radix tree: a leaf and what leads to it alone for each key, and what they share. */
static uint64_t tree_nodes(uint64_t keys) {
    return keys == 0 ? 1 : keys == 1 ? 2 : 2 * keys + 1;
}

static void reply_counts(struct reply *reply, const struct collection *collection) {
    const struct stream *stream = stream_of(collection);
    uint64_t keys = stream_node_count(collection);
    reply_named_integer(reply, "length", stream_count(collection));
    reply_named_integer(reply, "radix-tree-keys", keys);
    reply_named_integer(reply, "radix-tree-nodes", tree_nodes(keys));
    reply_named_id(reply, "last-generated-id", stream->last_id);
    reply_named_id(reply, "max-deleted-entry-id", stream->max_deleted_id);
    reply_named_integer(reply, "entries-added", stream->entries_added);
    reply_named_id(reply, "recorded-first-entry-id", stream_first_id(collection));
}

static void reply_edge(struct reply *reply, const char *name, struct stream_walk *walk,
                       bool found) {
    reply_bulk_text(reply, name);
    if (found) stream_reply_entry(reply, walk);
    else reply_null(reply);
}

static void reply_summary(struct reply *reply, const struct collection *collection) {
    struct stream_walk walk;
    struct stream_view view = stream_view_of(collection);
    reply_map(reply, 10);
    reply_counts(reply, collection);
    reply_named_integer(reply, "groups", stream_of(collection)->groups.names.count);
    bool found = stream_seek_first(&walk, &view);
    reply_edge(reply, "first-entry", &walk, found);
    found = stream_seek_last(&walk, &view);
    reply_edge(reply, "last-entry", &walk, found);
}

static void reply_full(struct call *call, const struct collection *collection, uint64_t count) {
    struct reply *reply = call->reply;
    struct stream_view view = stream_view_of(collection);
    struct stream_range range = {.end = STREAM_ID_MAX, .count = count};
    reply_map(reply, 9);
    reply_counts(reply, collection);
    reply_bulk_text(reply, "entries");
    (void)stream_reply_range(reply, &view, &range);
    reply_bulk_text(reply, "groups");
    stream_reply_groups(call, collection, count);
}

/* [FULL [COUNT count]], from argv[3] on. */
static bool parse_full(struct call *call, bool *full, int64_t *count) {
    *full = call->argc > 3;
    *count = FULL_COUNT;
    if (!*full) return true;
    if ((call->argc != 4 && call->argc != 6) || !bytes_is(call->argv[3], "full") ||
        (call->argc == 6 && !bytes_is(call->argv[4], "count"))) {
        call_error_subcommand(call);
        return false;
    }
    if (call->argc == 6 && !call_integer(call, 5, count)) return false;
    if (*count < 0) *count = FULL_COUNT;
    return true;
}

static void stream_command(struct call *call) {
    bool full;
    int64_t count;
    const struct collection *collection;
    struct key_place place = keyspace_for(call, 2);
    if (!stream_read(call, &place, &collection)) return;
    if (!collection) call_error(call, "ERR no such key");
    else if (!parse_full(call, &full, &count)) return;
    else if (full) reply_full(call, collection, (uint64_t)count);
    else reply_summary(call->reply, collection);
}

/* ---- XINFO HELP --------------------------------------------------------------------------------- */

static void help_command(struct call *call) {
    static const char *const lines[] = {
        "CONSUMERS <key> <groupname>",
        "    Show consumers of <groupname>.",
        "GROUPS <key>",
        "    Show the stream consumer groups.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    Show information about the stream.",
        NULL,
    };
    call_reply_help(call, lines);
}

/* ---- XSETID ------------------------------------------------------------------------------------- */

struct new_state {
    struct stream_id last_id, max_deleted_id;
    int64_t entries_added; /* -1: as it is */
};

static bool parse_added(struct call *call, uint32_t index, struct new_state *state) {
    if (!call_integer(call, index, &state->entries_added)) return false;
    if (state->entries_added >= 0) return true;
    call_error(call, "ERR entries_added must be positive");
    return false;
}

static bool parse_max_deleted(struct call *call, uint32_t index, struct new_state *state) {
    if (!stream_parse_id(call, index, 0, &state->max_deleted_id)) return false;
    if (stream_id_compare(state->last_id, state->max_deleted_id) >= 0) return true;
    call_error(call, "ERR The ID specified in XSETID is smaller than the provided "
                     "max_deleted_entry_id");
    return false;
}

static bool parse_state(struct call *call, struct new_state *state) {
    *state = (struct new_state){.entries_added = -1};
    if (!stream_parse_id(call, 2, 0, &state->last_id)) return false;
    for (uint32_t i = 3; i < call->argc; i += 2) {
        bool followed = i + 1 < call->argc;
        if (followed && bytes_is(call->argv[i], "entriesadded")) {
            if (!parse_added(call, i + 1, state)) return false;
        } else if (followed && bytes_is(call->argv[i], "maxdeletedid")) {
            if (!parse_max_deleted(call, i + 1, state)) return false;
        } else {
            call_error_syntax(call);
            return false;
        }
    }
    return true;
}

/* An id that is not below the last one cannot be below an entry's. */
static bool is_below_entries(const struct collection *collection, struct stream_id id) {
    return stream_id_compare(id, stream_of(collection)->last_id) < 0 &&
           stream_id_compare(id, stream_last_entry_id(collection)) < 0;
}

static bool check_state(struct call *call, const struct collection *collection,
                        const struct new_state *state) {
    const char *error = NULL;
    uint64_t count = stream_count(collection);
    if (stream_id_compare(state->last_id, stream_of(collection)->max_deleted_id) < 0)
        error = "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
    else if (is_below_entries(collection, state->last_id))
        error = "ERR The ID specified in XSETID is smaller than the target stream top item";
    else if (state->entries_added >= 0 && count > (uint64_t)state->entries_added)
        error = "ERR The entries_added specified in XSETID is smaller than the target stream "
                "length";
    if (error) call_error(call, error);
    return !error;
}

static void xsetid_command(struct call *call) {
    struct entry *entry;
    struct new_state state;
    struct key_place place = keyspace_for(call, 1);
    if (!parse_state(call, &state) || !elements_find(call, &place, VALUE_STREAM, &entry)) return;
    if (!entry) {
        call_error(call, "ERR no such key");
        return;
    }
    struct stream *stream = stream_of(entry_collection(entry));
    if (!check_state(call, entry_collection(entry), &state)) return;
    keyspace_preserve(place.keyspace, place.db, entry);
    stream->last_id = state.last_id;
    if (state.entries_added >= 0) stream->entries_added = (uint64_t)state.entries_added;
    if (!stream_id_is_zero(state.max_deleted_id)) stream->max_deleted_id = state.max_deleted_id;
    effect_log_verbatim(call);
    effect_change(call, &place, NOTIFY_STREAM, "xsetid");
    reply_ok(call->reply);
}

void stream_info_bind(void) {
    command_bind("xinfo|stream", stream_command);
    command_bind("xinfo|help", help_command);
    command_bind("xsetid", xsetid_command);
}
