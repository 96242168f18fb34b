/* XPENDING: what the consumers of a group were given and have not acknowledged. */
#include "cmd/families.h"
#include "cmd/stream_group.h"

/* ---- All of it in short ------------------------------------------------------------------------- */

static void reply_owners(struct call *call, const struct stream_group *group) {
    uint64_t owners = 0;
    struct reply_mark mark = reply_defer_begin(call->reply);
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        char text[20];
        const struct stream_consumer *consumer = stream_consumer_at(group, i);
        if (consumer->pending.count == 0) continue;
        reply_array(call->reply, 2);
        reply_bulk(call->reply, consumer->named.name);
        reply_bulk(call->reply, bytes_of(text, bytes_from_uint64(text, consumer->pending.count)));
        owners++;
    }
    reply_defer_array(call->reply, mark, owners);
}

static void reply_summary(struct call *call, const struct stream_group *group) {
    struct stream_pending_walk walk;
    reply_array(call->reply, 4);
    reply_integer(call->reply, (int64_t)group->pending.count);
    if (group->pending.count == 0) {
        reply_null(call->reply);
        reply_null(call->reply);
        reply_null_array(call->reply);
        return;
    }
    (void)stream_pending_seek(&walk, &group->pending, (struct stream_id){0});
    stream_reply_id(call->reply, walk.pending.id);
    (void)stream_pending_last(&walk, &group->pending);
    stream_reply_id(call->reply, walk.pending.id);
    reply_owners(call, group);
}

/* ---- One by one --------------------------------------------------------------------------------- */

struct query {
    struct stream_id first, last;
    int64_t count, min_idle_ms;
    uint32_t consumer; /* its argument; 0: any */
};

/* [IDLE min-idle-time] start end count [consumer], from argv[3] on; count is looked at before the ids. */
static bool parse_query(struct call *call, struct query *query) {
    uint32_t first = 3;
    if (bytes_is(call->argv[3], "idle")) {
        if (!call_integer(call, 4, &query->min_idle_ms)) return false;
        if (call->argc < 8) {
            call_error_syntax(call);
            return false;
        }
        first = 5;
    }
    if (!call_integer(call, first + 2, &query->count) ||
        !stream_parse_interval(call, first, first + 1, &query->first, &query->last))
        return false;
    query->consumer = first + 3 < call->argc ? first + 3 : 0;
    return true;
}

static void reply_one(struct call *call, const struct stream_group *group,
                      const struct stream_pending *pending, int64_t idle_ms) {
    reply_array(call->reply, 4);
    stream_reply_id(call->reply, pending->id);
    reply_bulk(call->reply, group->numbered[pending->consumer]->named.name);
    reply_integer(call->reply, idle_ms < 0 ? 0 : idle_ms);
    reply_integer(call->reply, (int64_t)pending->deliveries);
}

/* A consumer's tree has ids alone; the rest is in the group's. */
static void reply_range(struct call *call, const struct stream_group *group,
                        const struct tree *tree, const struct query *query) {
    uint64_t shown = 0;
    struct stream_pending_walk walk;
    struct reply_mark mark = reply_defer_begin(call->reply);
    int64_t left = query->count > 0 ? query->count : 0;
    bool found = stream_pending_seek(&walk, tree, query->first);
    while (left > 0 && found && stream_id_compare(walk.pending.id, query->last) <= 0) {
        struct stream_pending pending = walk.pending;
        if (tree != &group->pending)
            (void)stream_pending_find(&group->pending, walk.pending.id, &pending);
        int64_t idle_ms = call_now(call) - pending.delivered_ms;
        if (query->min_idle_ms == 0 || idle_ms >= query->min_idle_ms) {
            reply_one(call, group, &pending, idle_ms);
            shown++;
            left--;
        }
        found = stream_pending_next(&walk);
    }
    reply_defer_array(call->reply, mark, shown);
}

static void xpending_command(struct call *call) {
    struct group_at at;
    struct query query = {0};
    if (call->argc != 3 && (call->argc < 6 || call->argc > 9)) {
        call_error_syntax(call);
        return;
    }
    if ((call->argc > 3 && !parse_query(call, &query)) || !group_find_or_refuse(call, 1, 2, &at))
        return;
    if (call->argc == 3) {
        reply_summary(call, at.group);
        return;
    }
    const struct stream_consumer *consumer =
        query.consumer ? stream_consumer_find(at.group, call->argv[query.consumer]) : NULL;
    if (query.consumer && !consumer) reply_array(call->reply, 0);
    else reply_range(call, at.group, consumer ? &consumer->pending : &at.group->pending, &query);
}

void stream_pending_bind(void) {
    command_bind("xpending", xpending_command);
}
