/* XINFO: what streams are like. */
#include "cmd/families.h"
#include "cmd/stream.h"

enum { FULL_COUNT = 10 };

/* ---- STREAM ------------------------------------------------------------------------------------- */

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
    if (found)
        stream_reply_entry(reply, walk);
    else
        reply_null(reply);
}

static void reply_summary(struct reply *reply, const struct collection *collection) {
    struct stream_walk walk;
    struct stream_view view = stream_view_of(collection);
    reply_map(reply, 10);
    reply_counts(reply, collection);
    reply_named_integer(reply, "groups", 0);
    bool found = stream_seek_first(&walk, &view);
    reply_edge(reply, "first-entry", &walk, found);
    found = stream_seek_last(&walk, &view);
    reply_edge(reply, "last-entry", &walk, found);
}

static void reply_full(struct reply *reply, const struct collection *collection, uint64_t count) {
    struct stream_view view = stream_view_of(collection);
    struct stream_range range = {.end = STREAM_ID_MAX, .count = count};
    reply_map(reply, 9);
    reply_counts(reply, collection);
    reply_bulk_text(reply, "entries");
    (void)stream_reply_range(reply, &view, &range);
    reply_bulk_text(reply, "groups");
    reply_array(reply, 0);
}

/* [FULL [COUNT count]], from argv[3] on. */
static bool parse_full(struct call *call, bool *full, int64_t *count) {
    *full = call->argc > 3;
    *count = FULL_COUNT;
    if (!*full)
        return true;
    if ((call->argc != 4 && call->argc != 6) || !bytes_is(call->argv[3], "full") ||
        (call->argc == 6 && !bytes_is(call->argv[4], "count"))) {
        call_error_subcommand(call);
        return false;
    }
    if (call->argc == 6 && !call_integer(call, 5, count))
        return false;
    if (*count < 0)
        *count = FULL_COUNT;
    return true;
}

static void stream_command(struct call *call) {
    bool full;
    int64_t count;
    const struct collection *collection;
    struct key_place place = keyspace_for(call, 2);
    if (!stream_read(call, &place, &collection))
        return;
    if (!collection)
        call_error(call, "ERR no such key");
    else if (!parse_full(call, &full, &count))
        return;
    else if (full)
        reply_full(call->reply, collection, (uint64_t)count);
    else
        reply_summary(call->reply, collection);
}

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

void stream_info_bind(void) {
    command_bind("xinfo|stream", stream_command);
    command_bind("xinfo|help", help_command);
}
