/* Reading streams: XRANGE, XREVRANGE, XREAD. */
#include "cmd/families.h"
#include "cmd/stream.h"

/* ---- Replies ------------------------------------------------------------------------------------ */

struct bytes stream_id_text(struct stream_id id, char text[STREAM_ID_TEXT_MAX]) {
    size_t len = bytes_from_uint64(text, id.ms);
    text[len++] = '-';
    return bytes_of(text, len + bytes_from_uint64(text + len, id.seq));
}

void stream_reply_id(struct reply *reply, struct stream_id id) {
    char text[STREAM_ID_TEXT_MAX];
    reply_bulk(reply, stream_id_text(id, text));
}

void stream_reply_entry(struct reply *reply, struct stream_walk *walk) {
    struct stream_field field;
    reply_array(reply, 2);
    stream_reply_id(reply, walk->id);
    reply_array(reply, 2 * (uint64_t)walk->field_count);
    while (stream_next_field(walk, &field)) {
        reply_bulk(reply, field.name);
        reply_bulk(reply, field.value);
    }
}

/* From the entry that the walk is at, if it is at one. */
static uint64_t reply_from(struct reply *reply, struct stream_walk *walk, bool found,
                           const struct stream_range *range) {
    uint64_t count = 0;
    struct reply_mark mark = reply_defer_begin(reply);
    while (found && stream_id_compare(walk->id, range->start) >= 0 &&
           stream_id_compare(walk->id, range->end) <= 0) {
        stream_reply_entry(reply, walk);
        if (++count == range->count) break;
        found = range->reverse ? stream_prev(walk) : stream_next(walk);
    }
    reply_defer_array(reply, mark, count);
    return count;
}

uint64_t stream_reply_range(struct reply *reply, const struct stream_view *view,
                            const struct stream_range *range) {
    struct stream_walk walk;
    bool found = range->reverse ? stream_seek_back(&walk, view, range->end)
                                : stream_seek_from(&walk, view, range->start);
    return reply_from(reply, &walk, found, range);
}

bool stream_read(struct call *call, const struct key_place *place,
                 const struct collection **collection) {
    struct entry *entry = call_read(call, place);
    *collection = NULL;
    if (!elements_check(call, entry, VALUE_STREAM)) return false;
    if (entry) *collection = entry_collection(entry);
    return true;
}

/* ---- XRANGE, XREVRANGE -------------------------------------------------------------------------- */

/* [COUNT count], as often as it is given; -1 if it is not, and never less than 0 if it is. */
static bool parse_count(struct call *call, int64_t *count) {
    *count = -1;
    for (uint32_t i = 4; i < call->argc; i += 2) {
        if (!bytes_is(call->argv[i], "count") || i + 1 == call->argc) {
            call_error_syntax(call);
            return false;
        }
        if (!call_integer(call, i + 1, count)) return false;
        if (*count < 0) *count = 0;
    }
    return true;
}

static void reply_stream_range(struct call *call, bool reverse) {
    int64_t count;
    struct stream_range range = {.reverse = reverse};
    const struct collection *collection;
    struct key_place place = keyspace_for(call, 1);
    if (!stream_parse_interval(call, reverse ? 3 : 2, reverse ? 2 : 3, &range.start, &range.end) ||
        !parse_count(call, &count) || !stream_read(call, &place, &collection))
        return;
    if (!collection) {
        reply_array(call->reply, 0);
    } else if (count == 0) {
        reply_null_array(call->reply);
    } else {
        struct stream_view view = stream_view_of(collection);
        range.count = count > 0 ? (uint64_t)count : 0;
        (void)stream_reply_range(call->reply, &view, &range);
    }
}

static void xrange_command(struct call *call) {
    reply_stream_range(call, false);
}

static void xrevrange_command(struct call *call) {
    reply_stream_range(call, true);
}

/* ---- XREAD -------------------------------------------------------------------------------------- */

/* What the id in argv[index] says of this stream: entries are read from behind it. */
static bool parse_position(struct call *call, uint32_t index, const struct collection *collection,
                           struct stream_id *id) {
    struct bytes word = call->argv[index];
    bool last = word.len == 1 && *word.at == '+';
    if (word.len == 1 && *word.at == '>') {
        call_error(call, "ERR The > ID can be specified only when calling XREADGROUP using the "
                         "GROUP <group> <consumer> option.");
        return false;
    }
    if (!last && !(word.len == 1 && *word.at == '$')) return stream_parse_id(call, index, 0, id);
    *id = collection ? stream_of(collection)->last_id : (struct stream_id){0, 0};
    if (!last || !collection || stream_id_decrease(id)) return true;
    call_error(call, "ERR the stream last element ID is 0-0");
    return false;
}

static bool parse_positions(struct call *call, const struct stream_reading *reading,
                            struct stream_id *ids) {
    for (uint32_t i = 0; i < reading->keys; i++) {
        const struct collection *collection;
        struct key_place place = keyspace_for(call, reading->first + i);
        if (!stream_read(call, &place, &collection) ||
            !parse_position(call, reading->first + reading->keys + i, collection, &ids[i]))
            return false;
    }
    return true;
}

/* The streams that have something behind their positions; returns how many. */
static uint64_t reply_streams(struct call *call, const struct stream_reading *reading,
                              const struct stream_id *ids) {
    uint64_t served = 0;
    struct reply *reply = call->reply;
    struct reply_mark mark = {0};
    for (uint32_t i = 0; i < reading->keys; i++) {
        struct stream_range range = {ids[i], STREAM_ID_MAX, reading->count, false};
        struct key_place place = keyspace_for(call, reading->first + i);
        struct entry *entry = call_read(call, &place);
        if (!entry || !stream_id_increase(&range.start)) continue;
        struct stream_walk walk;
        struct stream_view view = stream_view_of(entry_collection(entry));
        if (!stream_seek_from(&walk, &view, range.start)) continue;
        if (served++ == 0) mark = reply_defer_begin(reply);
        if (reply->proto == 2) reply_array(reply, 2);
        reply_bulk(reply, place.key);
        (void)reply_from(reply, &walk, true, &range);
    }
    if (served > 0 && reply->proto == 2) reply_defer_array(reply, mark, served);
    else if (served > 0) reply_defer_map(reply, mark, served);
    return served;
}

static void xread_command(struct call *call) {
    struct stream_reading reading;
    struct stream_id few[STREAM_IDS_FEW], *ids = few;
    if (!stream_parse_reading(call, false, &reading)) return;
    if (reading.keys > STREAM_IDS_FEW) ids = mem_alloc(NULL, reading.keys * sizeof *ids);
    if (!ids) {
        call_error_memory(call);
        return;
    }
    if (parse_positions(call, &reading, ids) && reply_streams(call, &reading, ids) == 0)
        stream_wait_or_reply_nothing(call, &reading, ids);
    stream_ids_free(ids, few);
}

void stream_ranges_bind(void) {
    command_bind("xrange", xrange_command);
    command_bind("xrevrange", xrevrange_command);
    command_bind_local_if("xread", xread_command, stream_may_wait);
}
