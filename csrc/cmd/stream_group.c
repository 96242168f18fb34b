/* What the handlers of groups share. */
#include "cmd/stream_group.h"

/* ---- Finding ------------------------------------------------------------------------------------ */

bool group_find(struct call *call, uint32_t key, uint32_t name, struct group_at *at) {
    *at = (struct group_at){.place = keyspace_for(call, key), .name = call->argv[name]};
    struct entry *entry = call_read(call, &at->place);
    if (!elements_check(call, entry, VALUE_STREAM)) return false;
    if (entry) {
        at->entry = entry;
        at->stream = entry_collection(entry);
        at->group = stream_group_find(&stream_of(at->stream)->groups, at->name);
    }
    return true;
}

bool group_find_or_refuse(struct call *call, uint32_t key, uint32_t name, struct group_at *at) {
    if (!group_find(call, key, name, at)) return false;
    if (at->group) return true;
    call_error_format(call, "NOGROUP No such key '%.*s' or consumer group '%.*s'",
                      (int)at->place.key.len, at->place.key.at, (int)at->name.len, at->name.at);
    return false;
}

void group_refuse_name(struct call *call, struct bytes name, struct bytes key) {
    call_error_format(call, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                      (int)name.len, name.at, (int)key.len, key.at);
}

/* ---- Changing ----------------------------------------------------------------------------------- */

void group_begin(struct group_at *at) {
    keyspace_preserve(at->place.keyspace, at->place.db, at->entry);
    at->bytes_before = collection_bytes(at->stream);
}

void group_count_bytes(const struct group_at *at) {
    keyspace_count_outside(at->place.keyspace, at->place.db,
                           (int64_t)(collection_bytes(at->stream) - at->bytes_before));
}

void group_end(const struct group_at *at) {
    group_count_bytes(at);
    node_unreserve(group_heap(at));
    collection_changed(at->stream);
}

struct stream_consumer *group_consumer(struct call *call, struct group_at *at, struct bytes name,
                                       bool *created) {
    struct stream_consumer *consumer = stream_consumer_find(at->group, name);
    *created = !consumer;
    if (!consumer) consumer = stream_consumer_add(at->group, group_heap(at), name, call_now(call));
    return consumer;
}

void group_see_consumer(struct call *call, const struct group_at *at,
                        struct stream_consumer *consumer, bool created) {
    consumer->seen_ms = call_now(call);
    if (!created) return;
    struct bytes log[] = {BYTES_LITERAL("XGROUP"), BYTES_LITERAL("CREATECONSUMER"), at->place.key,
                          at->name, consumer->named.name};
    effect_log(call, call->db, log, 5);
    call->effects->dirty++;
    effect_notify(call, &at->place, NOTIFY_STREAM, "xgroup-createconsumer");
}

/* ---- The log ------------------------------------------------------------------------------------ */

static struct bytes number_text(char text[20], int64_t number) {
    return bytes_of(text, bytes_from_int64(text, number));
}

void group_log_pending(struct call *call, const struct group_at *at,
                       const struct stream_pending *pending) {
    char id[STREAM_ID_TEXT_MAX], last[STREAM_ID_TEXT_MAX], time[20], count[20];
    if (KRT_LIKELY(!effects_want(call->effects, EFFECT_LOG))) return;
    struct bytes log[] = {
        BYTES_LITERAL("XCLAIM"),
        at->place.key,
        at->name,
        at->group->numbered[pending->consumer]->named.name,
        BYTES_LITERAL("0"),
        stream_id_text(pending->id, id),
        BYTES_LITERAL("TIME"),
        number_text(time, pending->delivered_ms),
        BYTES_LITERAL("RETRYCOUNT"),
        number_text(count, (int64_t)pending->deliveries),
        BYTES_LITERAL("FORCE"),
        BYTES_LITERAL("JUSTID"),
        BYTES_LITERAL("LASTID"),
        stream_id_text(at->group->last_id, last),
    };
    effect_log(call, call->db, log, sizeof log / sizeof *log);
}

void group_log_progress(struct call *call, const struct group_at *at) {
    char last[STREAM_ID_TEXT_MAX], read[20];
    if (KRT_LIKELY(!effects_want(call->effects, EFFECT_LOG))) return;
    struct bytes log[] = {
        BYTES_LITERAL("XGROUP"),
        BYTES_LITERAL("SETID"),
        at->place.key,
        at->name,
        stream_id_text(at->group->last_id, last),
        BYTES_LITERAL("ENTRIESREAD"),
        number_text(read, at->group->entries_read),
    };
    effect_log(call, call->db, log, sizeof log / sizeof *log);
}
