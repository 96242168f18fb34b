/* XGROUP: groups of a stream and their consumers. */
#include "cmd/families.h"
#include "cmd/stream_group.h"

/* ---- What the subcommands share ----------------------------------------------------------------- */

struct group_options {
    bool make_stream;
    int64_t entries_read;
};

/* ENTRIESREAD count, at argv[i]. */
static bool parse_entries_read(struct call *call, uint32_t i, int64_t *entries_read) {
    if (!call_integer(call, i + 1, entries_read)) return false;
    if (*entries_read >= 0 || *entries_read == STREAM_READ_UNKNOWN) return true;
    call_error(call, "ERR value for ENTRIESREAD must be positive or -1");
    return false;
}

/* From argv[5] on; MKSTREAM is for those who may make a stream. */
static bool parse_options(struct call *call, bool may_make, struct group_options *options) {
    *options = (struct group_options){.entries_read = STREAM_READ_UNKNOWN};
    for (uint32_t i = 5; i < call->argc; i++) {
        struct bytes word = call->argv[i];
        if (may_make && bytes_is(word, "mkstream")) {
            options->make_stream = true;
        } else if (bytes_is(word, "entriesread") && i + 1 < call->argc) {
            if (!parse_entries_read(call, i++, &options->entries_read)) return false;
        } else {
            call_error_subcommand(call);
            return false;
        }
    }
    return true;
}

/* The stream of argv[2] and the group of argv[3], for writing: neither needs to be there. */
static bool find(struct call *call, struct group_at *at, struct entry **entry) {
    *at = (struct group_at){.place = keyspace_for(call, 2), .name = call->argv[3]};
    if (!elements_find(call, &at->place, VALUE_STREAM, entry)) return false;
    if (*entry) {
        at->entry = *entry;
        at->stream = entry_collection(*entry);
        at->group = stream_group_find(&stream_of(at->stream)->groups, at->name);
    }
    return true;
}

static void refuse_key(struct call *call) {
    call_error(call, "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE "
                     "you may want to use the MKSTREAM option to create an empty stream "
                     "automatically.");
}

/* The same; the stream has to be there. */
static bool find_stream(struct call *call, struct group_at *at) {
    struct entry *entry;
    if (!find(call, at, &entry)) return false;
    if (!entry) refuse_key(call);
    return entry;
}

/* The same; the group has to be there too. */
static bool find_group(struct call *call, struct group_at *at) {
    if (!find_stream(call, at)) return false;
    if (!at->group) group_refuse_name(call, at->name, at->place.key);
    return at->group;
}

/* A stream is not touched by what becomes of its groups, says Redis. */
static void count(struct call *call, const struct group_at *at, const char *event) {
    call->effects->dirty++;
    effect_notify(call, &at->place, NOTIFY_STREAM, event);
}

static void declare(struct call *call, const struct group_at *at, const char *event) {
    effect_log_verbatim(call);
    count(call, at, event);
}

/* ---- CREATE ------------------------------------------------------------------------------------- */

/* Of argv[4]. */
static bool parse_last_id(struct call *call, const struct group_at *at, struct stream_id *id) {
    if (!bytes_equal(call->argv[4], BYTES_LITERAL("$"))) return stream_parse_id(call, 4, 0, id);
    *id = at->stream ? stream_of(at->stream)->last_id : (struct stream_id){0};
    return true;
}

/* False: no memory. */
static bool add_group(struct group_at *at, struct stream_edit *edit) {
    at->stream = edit->collection;
    at->group = stream_group_add(&edit->stream->groups, group_heap(at), at->name);
    return at->group && (!edit->is_new || stream_edit_store(edit));
}

static bool create(struct call *call, struct group_at *at, struct entry *entry) {
    struct stream_edit edit;
    struct edit_place place = {at->place.keyspace, at->place.db, at->place.hash, at->place.key};
    bool opened = stream_edit_open(&edit, &place, entry), done = opened && add_group(at, &edit);
    if (opened) stream_edit_close(&edit);
    if (!done) call_error_memory(call);
    return done;
}

static void declare_stream(struct call *call, const struct key_place *place) {
    effect_notify(call, place, NOTIFY_NEW, "new");
    effect_ready(call, place, VALUE_STREAM);
    effect_touch(call, place);
}

static void create_command(struct call *call) {
    struct group_at at;
    struct entry *entry;
    struct stream_id id;
    struct group_options options;
    if (!parse_options(call, true, &options) || !find(call, &at, &entry)) return;
    if (!entry && !options.make_stream) {
        refuse_key(call);
    } else if (call->argc > 8) {
        call_error_subcommand(call);
    } else if (!parse_last_id(call, &at, &id)) {
        return;
    } else if (at.group) {
        call_error(call, "BUSYGROUP Consumer Group name already exists");
    } else if (create(call, &at, entry)) {
        at.group->last_id = id;
        at.group->entries_read = options.entries_read;
        effect_log_verbatim(call);
        if (!entry) declare_stream(call, &at.place);
        count(call, &at, "xgroup-create");
        reply_ok(call->reply);
    }
}

/* ---- SETID, DESTROY ----------------------------------------------------------------------------- */

/* SETID takes the ends of all ids too. */
static bool parse_any_id(struct call *call, const struct group_at *at, struct stream_id *id) {
    bool first = bytes_equal(call->argv[4], BYTES_LITERAL("-"));
    if (!first && !bytes_equal(call->argv[4], BYTES_LITERAL("+")))
        return parse_last_id(call, at, id);
    *id = first ? (struct stream_id){0} : STREAM_ID_MAX;
    return true;
}

static void setid_command(struct call *call) {
    struct group_at at;
    struct stream_id id;
    struct group_options options;
    if (!parse_options(call, false, &options) || !find_group(call, &at)) return;
    if (call->argc > 7) {
        call_error_subcommand(call);
    } else if (parse_any_id(call, &at, &id)) {
        keyspace_preserve(at.place.keyspace, at.place.db, at.entry);
        at.group->last_id = id;
        at.group->entries_read = options.entries_read;
        declare(call, &at, "xgroup-setid");
        reply_ok(call->reply);
    }
}

static void destroy_command(struct call *call) {
    struct group_at at;
    if (!find_stream(call, &at)) return;
    if (at.group) {
        group_begin(&at);
        stream_group_delete(at.group, group_heap(&at));
        group_end(&at);
        declare(call, &at, "xgroup-destroy");
        effect_ready(call, &at.place, VALUE_STREAM); /* who waits for the group learns of it */
    }
    reply_integer(call->reply, at.group != NULL);
}

/* ---- Consumers ---------------------------------------------------------------------------------- */

static void createconsumer_command(struct call *call) {
    struct group_at at;
    if (!find_group(call, &at)) return;
    if (stream_consumer_find(at.group, call->argv[4])) {
        reply_integer(call->reply, 0);
        return;
    }
    group_begin(&at);
    struct stream_consumer *consumer =
        stream_consumer_add(at.group, group_heap(&at), call->argv[4], call_now(call));
    group_end(&at);
    if (!consumer) {
        call_error_memory(call);
        return;
    }
    declare(call, &at, "xgroup-createconsumer");
    reply_integer(call->reply, 1);
}

/* False: no memory. */
static bool delete_consumer(struct group_at *at, struct stream_consumer *consumer) {
    group_begin(at);
    bool reserved =
        stream_pending_reserve(at->group, group_heap(at), NULL, consumer->pending.count);
    if (reserved) {
        stream_pending_erase_all(at->group, group_heap(at), consumer);
        stream_consumer_delete(at->group, group_heap(at), consumer);
    }
    group_end(at);
    return reserved;
}

static void delconsumer_command(struct call *call) {
    struct group_at at;
    if (!find_group(call, &at)) return;
    struct stream_consumer *consumer = stream_consumer_find(at.group, call->argv[4]);
    if (!consumer) {
        reply_integer(call->reply, 0);
        return;
    }
    int64_t pending = (int64_t)consumer->pending.count;
    if (!delete_consumer(&at, consumer)) {
        call_error_memory(call);
        return;
    }
    declare(call, &at, "xgroup-delconsumer");
    reply_integer(call->reply, pending);
}

/* ---- HELP --------------------------------------------------------------------------------------- */

static void help_command(struct call *call) {
    static const char *const lines[] = {
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
        NULL,
    };
    call_reply_help(call, lines);
}

void stream_groups_bind(void) {
    command_bind("xgroup|create", create_command);
    command_bind("xgroup|setid", setid_command);
    command_bind("xgroup|destroy", destroy_command);
    command_bind("xgroup|createconsumer", createconsumer_command);
    command_bind("xgroup|delconsumer", delconsumer_command);
    command_bind("xgroup|help", help_command);
}
