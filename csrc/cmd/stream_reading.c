/* XREADGROUP, XACK: what a group's consumer is given, and what it says that it is done with.
 *
 * XREADGROUP may read several streams, on several shards. First everything is looked up and checked, then
 * the consumers are made and memory is reserved for all of them together; then nothing can fail.
 */
#include "cmd/families.h"
#include "cmd/stream_group.h"
#include "store/stream_progress.h"

enum { STREAMS_FEW = 8 };

struct group_read {
    struct group_at at;
    struct stream_id from; /* STREAM_ID_MAX: what nobody of the group was given yet */
    struct stream_consumer *consumer;
    bool created;
};

struct group_reading {
    struct stream_reading words;
    struct group_read *all; /* few, or from mem_alloc */
    struct group_read few[STREAMS_FEW];
};

static bool is_for_new(const struct group_read *read) {
    return stream_id_compare(read->from, STREAM_ID_MAX) == 0;
}

/* ---- What can fail ------------------------------------------------------------------------------ */

static bool refuse_marker(struct call *call, char marker) {
    call_error_format(call,
                      "ERR The %c ID is meaningless in the context of XREADGROUP: you want to read "
                      "the history of this consumer by specifying a proper ID, or use the > ID to "
                      "get new messages. The %c ID would just return an empty result set.",
                      marker, marker);
    return false;
}

static bool parse_from(struct call *call, uint32_t index, struct stream_id *from) {
    struct bytes text = call->argv[index];
    if (bytes_equal(text, BYTES_LITERAL("$")) || bytes_equal(text, BYTES_LITERAL("+")))
        return refuse_marker(call, *text.at);
    *from = STREAM_ID_MAX;
    return bytes_equal(text, BYTES_LITERAL(">")) || stream_parse_id(call, index, 0, from);
}

/* The stream of argv[key] and from where on it is read, which stands as many words behind. */
static bool look_up(struct call *call, const struct group_reading *reading, uint32_t key,
                    struct group_read *read) {
    *read = (struct group_read){0};
    if (!group_find(call, key, reading->words.group, &read->at)) return false;
    if (!read->at.group) {
        call_error_format(
            call,
            "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with GROUP option",
            (int)read->at.place.key.len, read->at.place.key.at, (int)read->at.name.len,
            read->at.name.at);
        return false;
    }
    return parse_from(call, key + reading->words.keys, &read->from);
}

static bool look_up_all(struct call *call, struct group_reading *reading) {
    for (uint32_t i = 0; i < reading->words.keys; i++)
        if (!look_up(call, reading, reading->words.first + i, &reading->all[i])) return false;
    return true;
}

static bool make_consumer(struct call *call, const struct group_reading *reading,
                          struct group_read *read) {
    group_begin(&read->at);
    read->consumer =
        group_consumer(call, &read->at, call->argv[reading->words.group + 1], &read->created);
    group_count_bytes(&read->at);
    return read->consumer;
}

/* Those that were made for nothing. */
static void unmake_consumers(struct group_reading *reading) {
    for (uint32_t i = 0; i < reading->words.keys; i++) {
        struct group_read *read = &reading->all[i];
        if (!read->created || !read->consumer) continue;
        group_begin(&read->at);
        stream_consumer_delete(read->at.group, group_heap(&read->at), read->consumer);
        group_count_bytes(&read->at);
    }
}

static bool make_consumers(struct call *call, struct group_reading *reading) {
    for (uint32_t i = 0; i < reading->words.keys; i++)
        if (!make_consumer(call, reading, &reading->all[i])) return false;
    return true;
}

static uint64_t at_most(const struct group_reading *reading, uint64_t count) {
    uint64_t limit = reading->words.count;
    return limit != 0 && limit < count ? limit : count;
}

/* The first entry that the group was not given yet. */
static bool find_new(const struct group_read *read, const struct stream_view *view,
                     struct stream_walk *walk) {
    struct stream_id id = read->at.group->last_id;
    return stream_id_increase(&id) && stream_seek_from(walk, view, id);
}

/* Changes of what is pending. */
static uint64_t count_changes(const struct group_reading *reading, const struct group_read *read) {
    struct stream_walk walk;
    struct stream_view view = stream_view_of(read->at.stream);
    if (!is_for_new(read)) return at_most(reading, read->consumer->pending.count);
    if (reading->words.no_ack || !find_new(read, &view, &walk)) return 0;
    return at_most(reading, stream_count(read->at.stream) - stream_rank(&walk));
}

/* Each heap gets what all of its streams need. History changes records that are there, also those that are put
 * for the same stream before it is read. */
static bool reserve(struct call *call, const struct group_reading *reading) {
    for (uint32_t shard = 0; shard < call->domain->shard_count; shard++) {
        uint64_t nodes = 0;
        struct node_heap *heap = &call->domain->keyspaces[shard]->nodes;
        for (uint32_t i = 0; i < reading->words.keys; i++) {
            const struct group_read *read = &reading->all[i];
            if (group_heap(&read->at) == heap)
                nodes += stream_pending_needed(read->at.group, heap, read->consumer,
                                               count_changes(reading, read));
        }
        if (nodes > UINT32_MAX || (nodes > 0 && !node_reserve(heap, (uint32_t)nodes))) return false;
    }
    return true;
}

/* ---- What cannot -------------------------------------------------------------------------------- */

static void give(struct call *call, struct group_read *read, struct stream_id id) {
    struct stream_pending pending = {id, read->consumer->number, call_now(call), 1};
    stream_pending_put(read->at.group, group_heap(&read->at), &pending);
    read->consumer->active_ms = call_now(call);
    group_log_pending(call, &read->at, &pending);
}

/* What is new, from the walk on. */
static void serve_new(struct call *call, const struct group_reading *reading,
                      struct group_read *read, struct stream_walk *walk) {
    uint64_t given = 0, limit = at_most(reading, UINT64_MAX);
    struct reply_mark mark = reply_defer_begin(call->reply);
    for (bool found = true; found && given < limit; found = stream_next(walk), given++) {
        stream_group_advance(read->at.stream, read->at.group, walk->id);
        stream_reply_entry(call->reply, walk);
        if (!reading->words.no_ack) give(call, read, walk->id);
    }
    group_log_progress(call, &read->at);
    call->effects->dirty++;
    reply_defer_array(call->reply, mark, given);
}

/* An entry of the consumer's again; one that is gone is shown without fields. Redis says nothing of it to its log
 * and counts no change: there the number of deliveries is lost with the process. */
static void serve_again(struct call *call, struct group_read *read, const struct stream_view *view,
                        struct stream_id id) {
    struct stream_walk entry;
    struct stream_pending pending;
    if (!stream_find(&entry, view, id)) {
        reply_array(call->reply, 2);
        stream_reply_id(call->reply, id);
        reply_null_array(call->reply);
        return;
    }
    stream_reply_entry(call->reply, &entry);
    (void)stream_pending_find(&read->at.group->pending, id, &pending);
    pending.delivered_ms = call_now(call);
    pending.deliveries++;
    stream_pending_put(read->at.group, group_heap(&read->at), &pending);
    group_log_pending(call, &read->at, &pending);
}

/* What the consumer was given before. The tree of its ids does not change by that. */
static void serve_history(struct call *call, const struct group_reading *reading,
                          struct group_read *read, const struct stream_view *view) {
    struct stream_pending_walk walk;
    struct stream_id id = read->from;
    uint64_t given = 0, limit = at_most(reading, UINT64_MAX);
    struct reply_mark mark = reply_defer_begin(call->reply);
    bool found =
        stream_id_increase(&id) && stream_pending_seek(&walk, &read->consumer->pending, id);
    for (; found && given < limit; found = stream_pending_next(&walk), given++)
        serve_again(call, read, view, walk.pending.id);
    reply_defer_array(call->reply, mark, given);
}

/* The names of streams that are replied, and how many. */
struct group_replies {
    struct reply_mark mark;
    uint64_t count;
};

static void reply_key(struct call *call, struct group_replies *replies, struct bytes key) {
    if (replies->count++ == 0) replies->mark = reply_defer_begin(call->reply);
    if (call->reply->proto == 2) reply_array(call->reply, 2);
    reply_bulk(call->reply, key);
}

/* History is replied even if there is none. */
static void serve(struct call *call, const struct group_reading *reading, struct group_read *read,
                  struct group_replies *replies) {
    struct stream_walk walk;
    struct stream_view view = stream_view_of(read->at.stream);
    group_see_consumer(call, &read->at, read->consumer, read->created);
    if (!is_for_new(read)) {
        reply_key(call, replies, read->at.place.key);
        serve_history(call, reading, read, &view);
    } else if (find_new(read, &view, &walk)) {
        reply_key(call, replies, read->at.place.key);
        serve_new(call, reading, read, &walk);
    }
}

static void serve_all(struct call *call, const struct group_reading *reading) {
    struct group_replies replies = {0};
    for (uint32_t i = 0; i < reading->words.keys; i++) {
        struct group_read *read = &reading->all[i];
        group_begin(&read->at);
        serve(call, reading, read, &replies);
        group_count_bytes(&read->at);
    }
    if (replies.count == 0) stream_wait_or_reply_nothing(call, &reading->words, NULL);
    else if (call->reply->proto == 2) reply_defer_array(call->reply, replies.mark, replies.count);
    else reply_defer_map(call->reply, replies.mark, replies.count);
}

static void end(struct group_reading *reading) {
    for (uint32_t i = 0; i < reading->words.keys; i++) {
        group_begin(&reading->all[i].at);
        group_end(&reading->all[i].at);
    }
}

static void read_groups(struct call *call, struct group_reading *reading) {
    if (!look_up_all(call, reading)) return;
    if (make_consumers(call, reading) && reserve(call, reading)) {
        serve_all(call, reading);
    } else {
        unmake_consumers(reading);
        call_error_memory(call);
    }
    end(reading);
}

static void xreadgroup_command(struct call *call) {
    struct group_reading reading;
    if (!stream_parse_reading(call, true, &reading.words)) return;
    reading.all = reading.few;
    if (reading.words.keys > STREAMS_FEW)
        reading.all = mem_alloc(NULL, reading.words.keys * sizeof *reading.all);
    if (!reading.all) {
        call_error_memory(call);
        return;
    }
    read_groups(call, &reading);
    if (reading.all != reading.few) mem_free(NULL, reading.all);
}

/* ---- XACK --------------------------------------------------------------------------------------- */

static void acknowledge(struct call *call, struct group_at *at, const struct stream_id *ids,
                        uint32_t count) {
    uint64_t acknowledged = 0;
    if (!stream_pending_reserve(at->group, group_heap(at), NULL, count)) {
        call_error_memory(call);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        acknowledged += stream_pending_erase(at->group, group_heap(at), ids[i]);
    if (acknowledged > 0) effect_log_verbatim(call);
    call->effects->dirty += acknowledged;
    reply_integer(call->reply, (int64_t)acknowledged);
}

static void xack_command(struct call *call) {
    struct group_at at;
    struct stream_id few[STREAM_IDS_FEW], *ids;
    if (!group_find(call, 1, 2, &at)) return;
    if (!at.group) {
        reply_integer(call->reply, 0);
        return;
    }
    if (!(ids = stream_parse_ids(call, 3, few))) return;
    group_begin(&at);
    acknowledge(call, &at, ids, call->argc - 3);
    group_end(&at);
    stream_ids_free(ids, few);
}

void stream_reading_bind(void) {
    command_bind_local_if("xreadgroup", xreadgroup_command, stream_may_wait);
    command_bind("xack", xack_command);
}
