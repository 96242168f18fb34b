/* XINFO GROUPS, XINFO CONSUMERS, and what XINFO STREAM FULL tells of groups. */
#include "cmd/families.h"
#include "cmd/stream_group.h"
#include "store/stream_progress.h"

static void reply_read(struct call *call, const struct stream_group *group) {
    reply_bulk_text(call->reply, "entries-read");
    if (group->entries_read == STREAM_READ_UNKNOWN) reply_null(call->reply);
    else reply_integer(call->reply, group->entries_read);
}

static void reply_lag(struct call *call, const struct collection *stream,
                      const struct stream_group *group) {
    int64_t lag;
    reply_bulk_text(call->reply, "lag");
    if (stream_group_lag(stream, group, &lag)) reply_integer(call->reply, lag);
    else reply_null(call->reply);
}

static void reply_number(struct call *call, const char *name, int64_t number) {
    reply_bulk_text(call->reply, name);
    reply_integer(call->reply, number);
}

static void reply_name(struct call *call, struct bytes name) {
    reply_bulk_text(call->reply, "name");
    reply_bulk(call->reply, name);
}

static void reply_last_id(struct call *call, const struct stream_group *group) {
    reply_bulk_text(call->reply, "last-delivered-id");
    stream_reply_id(call->reply, group->last_id);
}

/* ---- GROUPS, CONSUMERS -------------------------------------------------------------------------- */

/* NULL after the error reply. */
static const struct collection *find_stream(struct call *call) {
    const struct collection *stream;
    struct key_place place = keyspace_for(call, 2);
    if (!stream_read(call, &place, &stream)) return NULL;
    if (!stream) call_error(call, "ERR no such key");
    return stream;
}

static void reply_group(struct call *call, const struct collection *stream,
                        const struct stream_group *group) {
    reply_map(call->reply, 6);
    reply_name(call, group->named.name);
    reply_number(call, "consumers", group->consumers.count);
    reply_number(call, "pending", (int64_t)group->pending.count);
    reply_last_id(call, group);
    reply_read(call, group);
    reply_lag(call, stream, group);
}

static void groups_command(struct call *call) {
    const struct collection *stream = find_stream(call);
    if (!stream) return;
    const struct stream_groups *groups = &stream_of(stream)->groups;
    reply_array(call->reply, groups->names.count);
    for (uint32_t i = 0; i < groups->names.count; i++)
        reply_group(call, stream, stream_group_at(groups, i));
}

static void reply_consumer(struct call *call, const struct stream_consumer *consumer) {
    int64_t idle_ms = call_now(call) - consumer->seen_ms;
    bool was_active = consumer->active_ms != -1;
    reply_map(call->reply, 4);
    reply_name(call, consumer->named.name);
    reply_number(call, "pending", (int64_t)consumer->pending.count);
    reply_number(call, "idle", idle_ms < 0 ? 0 : idle_ms);
    reply_number(call, "inactive", was_active ? call_now(call) - consumer->active_ms : -1);
}

static void consumers_command(struct call *call) {
    const struct collection *stream = find_stream(call);
    if (!stream) return;
    const struct stream_group *group = stream_group_find(&stream_of(stream)->groups, call->argv[3]);
    if (!group) {
        group_refuse_name(call, call->argv[3], call->argv[2]);
        return;
    }
    reply_array(call->reply, group->consumers.count);
    for (uint32_t i = 0; i < group->consumers.count; i++)
        reply_consumer(call, stream_consumer_at(group, i));
}

/* ---- STREAM FULL -------------------------------------------------------------------------------- */

static uint64_t shown_of(uint64_t count, uint64_t limit) {
    return limit != 0 && limit < count ? limit : count;
}

/* The first ones of a group's tree or of a consumer's. */
static void reply_pending(struct call *call, const struct stream_group *group,
                          const struct tree *tree, uint64_t limit) {
    struct stream_pending_walk walk;
    bool is_groups = tree == &group->pending;
    uint64_t left = shown_of(tree->count, limit);
    reply_bulk_text(call->reply, "pending");
    reply_array(call->reply, left);
    bool found = stream_pending_seek(&walk, tree, (struct stream_id){0});
    for (; found && left > 0; found = stream_pending_next(&walk), left--) {
        struct stream_pending pending = walk.pending;
        reply_array(call->reply, is_groups ? 4 : 3);
        stream_reply_id(call->reply, pending.id);
        if (is_groups) reply_bulk(call->reply, group->numbered[pending.consumer]->named.name);
        else (void)stream_pending_find(&group->pending, pending.id, &pending);
        reply_integer(call->reply, pending.delivered_ms);
        reply_integer(call->reply, (int64_t)pending.deliveries);
    }
}

static void reply_full_consumer(struct call *call, const struct stream_group *group,
                                const struct stream_consumer *consumer, uint64_t limit) {
    reply_map(call->reply, 5);
    reply_name(call, consumer->named.name);
    reply_number(call, "seen-time", consumer->seen_ms);
    reply_number(call, "active-time", consumer->active_ms);
    reply_number(call, "pel-count", (int64_t)consumer->pending.count);
    reply_pending(call, group, &consumer->pending, limit);
}

static void reply_full_group(struct call *call, const struct collection *stream,
                             const struct stream_group *group, uint64_t limit) {
    reply_map(call->reply, 7);
    reply_name(call, group->named.name);
    reply_last_id(call, group);
    reply_read(call, group);
    reply_lag(call, stream, group);
    reply_number(call, "pel-count", (int64_t)group->pending.count);
    reply_pending(call, group, &group->pending, limit);
    reply_bulk_text(call->reply, "consumers");
    reply_array(call->reply, group->consumers.count);
    for (uint32_t i = 0; i < group->consumers.count; i++)
        reply_full_consumer(call, group, stream_consumer_at(group, i), limit);
}

void stream_reply_groups(struct call *call, const struct collection *stream, uint64_t limit) {
    const struct stream_groups *groups = &stream_of(stream)->groups;
    reply_array(call->reply, groups->names.count);
    for (uint32_t i = 0; i < groups->names.count; i++)
        reply_full_group(call, stream, stream_group_at(groups, i), limit);
}

void stream_group_info_bind(void) {
    command_bind("xinfo|groups", groups_command);
    command_bind("xinfo|consumers", consumers_command);
}
