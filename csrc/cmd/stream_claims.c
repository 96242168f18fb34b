/* XCLAIM, XAUTOCLAIM: entries that a consumer was given become another's. XPENDING is in stream_pending.c. */
#include "cmd/families.h"
#include "cmd/stream_group.h"

/* ---- Claiming one entry ------------------------------------------------------------------------- */

struct claim {
    struct group_at at;
    struct stream_view view;
    struct stream_consumer *consumer;
    int64_t min_idle_ms;
    int64_t delivered_ms;
    int64_t retry_count; /* -1: one more than before */
    bool force, just_id;
    struct stream_id last_id;
    bool progressed; /* last_id moved the group, which no line of the log says yet */
};

static bool parse_min_idle(struct call *call, const char *error, int64_t *min_idle_ms) {
    if (!bytes_to_int64(call->argv[4], min_idle_ms)) {
        call_error(call, error);
        return false;
    }
    if (*min_idle_ms < 0) *min_idle_ms = 0;
    return true;
}

static bool is_idle(struct call *call, const struct claim *claim,
                    const struct stream_pending *pending) {
    return claim->min_idle_ms == 0 || call_now(call) - pending->delivered_ms >= claim->min_idle_ms;
}

static void declare_pending(struct call *call, struct claim *claim,
                            const struct stream_pending *pending) {
    group_log_pending(call, &claim->at, pending);
    claim->progressed = false; /* what was logged says it */
    call->effects->dirty++;
}

/* The entry is gone: nobody can claim it, and nobody has it. */
static void forget(struct call *call, struct claim *claim, const struct stream_pending *pending) {
    declare_pending(call, claim, pending);
    (void)stream_pending_erase(claim->at.group, group_heap(&claim->at), pending->id);
}

static void take_over(struct call *call, struct claim *claim, struct stream_pending *pending) {
    pending->consumer = claim->consumer->number;
    pending->delivered_ms = claim->delivered_ms;
    if (claim->retry_count >= 0) pending->deliveries = (uint64_t)claim->retry_count;
    else if (!claim->just_id) pending->deliveries++;
    stream_pending_put(claim->at.group, group_heap(&claim->at), pending);
    claim->consumer->active_ms = call_now(call);
    declare_pending(call, claim, pending);
}

static void reply_claimed(struct reply *reply, const struct claim *claim,
                          struct stream_walk *entry) {
    if (claim->just_id) stream_reply_id(reply, entry->id);
    else stream_reply_entry(reply, entry);
}

/* ---- XCLAIM ------------------------------------------------------------------------------------- */

/* An option with a number, at argv[i]. */
static bool parse_number(struct call *call, uint32_t i, const char *name, int64_t *number) {
    if (bytes_to_int64(call->argv[i + 1], number)) return true;
    call_error_format(call, "ERR Invalid %s option argument for XCLAIM", name);
    return false;
}

/* The option at argv[i]. Returns how many words it has; 0 after the error reply. */
static uint32_t parse_option(struct call *call, uint32_t i, struct claim *claim) {
    struct bytes word = call->argv[i];
    bool more = i + 1 < call->argc;
    if (bytes_is(word, "force")) {
        claim->force = true;
        return 1;
    }
    if (bytes_is(word, "justid")) {
        claim->just_id = true;
        return 1;
    }
    if (more && bytes_is(word, "idle")) {
        int64_t idle_ms;
        if (!parse_number(call, i, "IDLE", &idle_ms)) return 0;
        claim->delivered_ms = (int64_t)((uint64_t)call_now(call) - (uint64_t)idle_ms);
        return 2;
    }
    if (more && bytes_is(word, "time"))
        return parse_number(call, i, "TIME", &claim->delivered_ms) ? 2 : 0;
    if (more && bytes_is(word, "retrycount"))
        return parse_number(call, i, "RETRYCOUNT", &claim->retry_count) ? 2 : 0;
    if (more && bytes_is(word, "lastid"))
        return stream_parse_id(call, i + 1, 0, &claim->last_id) ? 2 : 0;
    call_error_format(call, "ERR Unrecognized XCLAIM option '%.*s'", (int)word.len, word.at);
    return 0;
}

/* How many ids there are from argv[5] on: what is none begins the options. */
static uint32_t count_ids(const struct call *call) {
    struct stream_id id;
    uint32_t count = 0;
    while (5 + count < call->argc && stream_id_read(call->argv[5 + count], 0, &id, NULL)) count++;
    return count;
}

static bool parse_options(struct call *call, uint32_t first, struct claim *claim) {
    claim->delivered_ms = claim->retry_count = -1;
    for (uint32_t i = first, words; i < call->argc; i += words)
        if ((words = parse_option(call, i, claim)) == 0) return false;
    if (claim->delivered_ms < 0 || claim->delivered_ms > call_now(call))
        claim->delivered_ms = call_now(call);
    return true;
}

/* Returns whether it was claimed and replied. */
static bool claim_one(struct call *call, struct claim *claim, struct stream_id id) {
    struct stream_walk entry;
    struct stream_pending pending = {.id = id};
    bool is_pending = stream_pending_find(&claim->at.group->pending, id, &pending);
    if (!stream_find(&entry, &claim->view, id)) {
        if (is_pending) forget(call, claim, &pending);
        return false;
    }
    if (is_pending ? !is_idle(call, claim, &pending) : !claim->force) return false;
    if (!is_pending) pending = (struct stream_pending){.id = id, .deliveries = 1};
    take_over(call, claim, &pending);
    reply_claimed(call->reply, claim, &entry);
    return true;
}

/* Of so many entries at most. False after the error reply; nothing has changed. */
static bool begin_claims(struct call *call, struct claim *claim, uint64_t changes) {
    bool created;
    struct group_at *at = &claim->at;
    group_begin(at);
    claim->consumer = group_consumer(call, at, call->argv[3], &created);
    if (claim->consumer &&
        stream_pending_reserve(at->group, group_heap(at), claim->consumer, changes)) {
        claim->view = stream_view_of(at->stream);
        group_see_consumer(call, at, claim->consumer, created);
        return true;
    }
    if (claim->consumer && created)
        stream_consumer_delete(at->group, group_heap(at), claim->consumer);
    group_end(at);
    call_error_memory(call);
    return false;
}

static void xclaim_command(struct call *call) {
    struct claim claim = {0};
    uint32_t ids = count_ids(call);
    if (!group_find_or_refuse(call, 1, 2, &claim.at) ||
        !parse_min_idle(call, "ERR Invalid min-idle-time argument for XCLAIM",
                        &claim.min_idle_ms) ||
        !parse_options(call, 5 + ids, &claim) || !begin_claims(call, &claim, ids))
        return;
    if (stream_id_compare(claim.last_id, claim.at.group->last_id) > 0) {
        claim.at.group->last_id = claim.last_id;
        claim.progressed = true;
    }
    uint64_t claimed = 0;
    struct reply_mark mark = reply_defer_begin(call->reply);
    for (uint32_t i = 0; i < ids; i++) {
        struct stream_id id;
        (void)stream_id_read(call->argv[5 + i], 0, &id, NULL);
        claimed += claim_one(call, &claim, id);
    }
    if (claim.progressed) {
        group_log_progress(call, &claim.at);
        call->effects->dirty++;
    }
    reply_defer_array(call->reply, mark, claimed);
    group_end(&claim.at);
}

/* ---- XAUTOCLAIM --------------------------------------------------------------------------------- */

enum { LOOKS_PER_CLAIM = 10, COUNT_DEFAULT = 100, COUNT_MAX_SHARE = 16 };

struct search {
    struct claim claim;
    struct stream_id from;
    int64_t count;
    uint64_t claimed, deleted;
    struct reply entries, gone; /* two parts of the reply behind the cursor, which is known last */
};

static bool parse_search_options(struct call *call, struct search *search) {
    search->count = COUNT_DEFAULT;
    for (uint32_t i = 6; i < call->argc; i++) {
        struct bytes word = call->argv[i];
        if (i + 1 < call->argc && bytes_is(word, "count")) {
            if (!bytes_to_int64(call->argv[++i], &search->count) || search->count < 1 ||
                search->count > INT64_MAX / COUNT_MAX_SHARE) {
                call_error(call, "ERR COUNT must be > 0");
                return false;
            }
        } else if (bytes_is(word, "justid")) {
            search->claim.just_id = true;
        } else {
            call_error_syntax(call);
            return false;
        }
    }
    return true;
}

/* Returns whether it counts: it was claimed, or is gone. */
static bool look_at(struct call *call, struct search *search, struct stream_pending *pending) {
    struct stream_walk entry;
    struct claim *claim = &search->claim;
    if (!stream_find(&entry, &claim->view, pending->id)) {
        forget(call, claim, pending);
        stream_reply_id(&search->gone, pending->id);
        search->deleted++;
        return true;
    }
    if (!is_idle(call, claim, pending)) return false;
    take_over(call, claim, pending);
    reply_claimed(&search->entries, claim, &entry);
    search->claimed++;
    return true;
}

/* Returns where to go on; 0-0 at the end. What was claimed or forgotten has moved what the walk goes over. */
static struct stream_id search_pending(struct call *call, struct search *search) {
    struct stream_pending_walk walk;
    const struct tree *tree = &search->claim.at.group->pending;
    int64_t looks = search->count * LOOKS_PER_CLAIM, left = search->count;
    bool found = stream_pending_seek(&walk, tree, search->from);
    while (found && looks-- > 0 && left > 0) {
        struct stream_id id = walk.pending.id;
        if (look_at(call, search, &walk.pending)) {
            left--;
            found = stream_id_increase(&id) && stream_pending_seek(&walk, tree, id);
        } else {
            found = stream_pending_next(&walk);
        }
    }
    return found ? walk.pending.id : (struct stream_id){0};
}

static void reply_search(struct call *call, struct search *search, struct stream_id next) {
    reply_array(call->reply, 3);
    stream_reply_id(call->reply, next);
    reply_array(call->reply, search->claimed);
    reply_append(call->reply, &search->entries);
    reply_array(call->reply, search->deleted);
    reply_append(call->reply, &search->gone);
}

static uint64_t most_changes(const struct search *search) {
    uint64_t pending = search->claim.at.group->pending.count;
    return (uint64_t)search->count < pending ? (uint64_t)search->count : pending;
}

static void xautoclaim_command(struct call *call) {
    struct search search = {.claim.retry_count = -1};
    if (!parse_min_idle(call, "ERR Invalid min-idle-time argument for XAUTOCLAIM",
                        &search.claim.min_idle_ms) ||
        !stream_parse_start(call, 5, &search.from) || !parse_search_options(call, &search) ||
        !group_find_or_refuse(call, 1, 2, &search.claim.at) ||
        !begin_claims(call, &search.claim, most_changes(&search)))
        return;
    search.claim.delivered_ms = call_now(call);
    reply_init(&search.entries, call->reply->pool, call->reply->proto);
    reply_init(&search.gone, call->reply->pool, call->reply->proto);
    struct stream_id next = search_pending(call, &search);
    group_end(&search.claim.at);
    reply_search(call, &search, next);
}

void stream_claims_bind(void) {
    command_bind("xclaim", xclaim_command);
    command_bind("xautoclaim", xautoclaim_command);
}
