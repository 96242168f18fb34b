/* Pipelines of callers.
 *
 * One that is not atomic is cut into slices: commands that need nothing but the shards of their keys are planned, the batons of
 * all of them taken at once, their memory fetched ahead, and each is run as a connection's are. What needs more is run by itself, as
 * caller_run does it: what is about transactions, what has an open set, what would serve somebody who needs more shards, and
 * what a pause postpones. Between slices nothing is held.
 *
 *   slice ──▶ slice ──▶ ... ──▶ done
 *     ▲  │
 *     │  ▼ it needs more
 *    alone
 *
 * An atomic one is what a connection sends as MULTI, the commands, EXEC. What is queued is lent to the transaction, not
 * copied: the words stay until the end.
 *
 *   BEGIN ──MULTI──▶ QUEUE ──▶ EXEC ──▶ ENDED
 *     └── refused ────────────────────────▲
 *
 * Whatever may not wait stops where it is, and goes on from there in the next call. Commands that wait for data find nobody who can: they
 * answer as they do inside of MULTI.
 */
#include "shard/caller_pipeline.h"

#include "plat/clock.h"
#include "shard/calling.h"
#include "shard/transactions/transaction.h"

#define LATE_SLICE_NS UINT64_C(1000000000)

/* Commands that are planned and taken together. */
struct slice {
    uint32_t count;
    uint64_t mask;
    struct request requests[SLICE_COMMANDS];
    struct plan plans[SLICE_COMMANDS];
};

void caller_pipeline_init(struct caller_pipeline *pipeline) {
    pipeline->next = pipeline->words;
    pipeline->refused = pipeline->count;
}

static struct request next_request(const struct caller_pipeline *pipeline) {
    return (struct request){.argv = pipeline->next, .argc = pipeline->lines[pipeline->done].length};
}

static void advance(struct caller_pipeline *pipeline) {
    pipeline->next += pipeline->lines[pipeline->done++].length;
}

static struct origin origin_of(struct caller_pipeline *pipeline, struct reply *reply,
                               int64_t *now_ms) {
    struct client *client = pipeline->client;
    return (struct origin){
        .client = client,
        .db = client ? client->db : pipeline->db,
        .flags = client ? client->call_flags : 0,
        .reply = reply,
        .now_ms = now_ms,
        .late_us = &pipeline->late_us,
    };
}

/* What a drop says of the log. */
static void note_position(struct caller_pipeline *pipeline, uint64_t ticket, bool writes) {
    struct client *client = pipeline->client;
    if (KRT_LIKELY(ticket == 0)) return;
    if (client && client->has_logged) {
        client->has_logged = false;
        client->log_ticket = ticket;
        writes = true;
    }
    if (ticket > pipeline->ticket) pipeline->ticket = ticket;
    pipeline->wrote |= writes;
}

static bool does_write(const struct plan *plan) {
    return plan->command && plan->command->flags & CMD_WRITE;
}

/* ---- One by itself ----------------------------------------------------------------------------- */

static enum caller_result run_request(struct caller_pipeline *pipeline,
                                      const struct request *request, struct reply *reply,
                                      enum caller_patience patience) {
    struct plan plan;
    int64_t now_ms = 0;
    uint64_t ticket = 0;
    struct origin origin = origin_of(pipeline, reply, &now_ms);
    plan_request(pipeline->fabric, request, &(struct plan_hint){0}, &plan);
    if (!pipeline->client && execute_refused(NULL, reply, request, &plan)) return CALLER_DONE;
    enum caller_result result =
        calling_run(pipeline->fabric, &origin, request, &plan, patience, &ticket);
    note_position(pipeline, ticket, does_write(&plan));
    return result;
}

static enum caller_result run_alone(struct caller_pipeline *pipeline,
                                    enum caller_patience patience) {
    struct request request = next_request(pipeline);
    enum caller_result result = run_request(pipeline, &request, pipeline->reply, patience);
    if (result != CALLER_DONE) return result;
    pipeline->alone = false;
    advance(pipeline);
    return CALLER_DONE;
}

static enum caller_result run_word(struct caller_pipeline *pipeline, struct bytes word,
                                   struct reply *reply, enum caller_patience patience) {
    struct request request = {.argv = &word, .argc = 1};
    return run_request(pipeline, &request, reply, patience);
}

/* ---- Slices ------------------------------------------------------------------------------------ */

static bool needs_more(const struct caller_pipeline *pipeline, const struct plan *plan) {
    const struct command *command = plan->command;
    if (pipeline->client && client_queues(pipeline->client)) return true;
    return command && (command->open || command->at_once || command->group == GROUP_TRANSACTIONS);
}

/* Up to a command that needs more. */
static void plan_slice(struct caller_pipeline *pipeline, struct slice *slice) {
    const struct bytes *at = pipeline->next;
    uint32_t left = pipeline->count - pipeline->done, i = 0;
    slice->mask = 0;
    for (; i < left && i < SLICE_COMMANDS; i++) {
        const struct caller_line *line = &pipeline->lines[pipeline->done + i];
        slice->requests[i] = (struct request){.argv = at, .argc = line->length};
        pipeline->hint.known = line->command;
        plan_request(pipeline->fabric, &slice->requests[i], &pipeline->hint, &slice->plans[i]);
        if (needs_more(pipeline, &slice->plans[i])) break;
        slice->mask |= slice->plans[i].mask;
        at += slice->requests[i].argc;
    }
    slice->count = i;
}

/* Does it serve somebody who needs shards that are not held? */
static bool is_held_up(const struct caller_pipeline *pipeline, const struct slice *slice,
                       uint32_t i, uint64_t held) {
    struct fabric *fabric = pipeline->fabric;
    if (KRT_LIKELY(!waiting_reaches(&fabric->domain))) return false;
    return transaction_reach(fabric, pipeline->client, &slice->requests[i], &slice->plans[i],
                             held) &
           ~held;
}

/* The origin is the same for all, but for what a command may change of its client. */
static enum execute_result run_held(struct caller_pipeline *pipeline, struct shard *home,
                                    const struct request *request, const struct plan *plan,
                                    struct origin *origin) {
    struct client *client = pipeline->client;
    if (client && (origin->db != client->db || origin->flags != client->call_flags)) {
        origin->db = client->db;
        origin->flags = client->call_flags;
    }
    if (KRT_LIKELY(!execute_refused(client, origin->reply, request, plan)))
        return execute_command(home, origin, request, plan);
    if (client) execute_count_refused(home, origin->reply, plan);
    return EXECUTE_DONE;
}

static bool is_wanted(const struct fabric *fabric, uint64_t held, uint64_t since_ns) {
    bool wanted = false;
    for (; held && !wanted; held &= held - 1)
        wanted = baton_wanted(&fabric->batons[__builtin_ctzll(held)]);
    return KRT_UNLIKELY(wanted) && clock_monotonic_ns() - since_ns >= SLICE_NS;
}

static uint32_t group_end(uint32_t from, uint32_t count) {
    return count - from > RUN_GROUP ? from + RUN_GROUP : count;
}

/* Fetches ahead of command i, if a group begins there. */
static void fetch_ahead(const struct fetch *fetch, uint32_t i, uint32_t count) {
    if (i % RUN_GROUP != 0 || count == 1) return;
    uint32_t end = group_end(i, count);
    if (i == 0) {
        run_fetch_buckets(fetch, 0, count);
        run_fetch_entries(fetch, 0, end);
    }
    run_fetch_values(fetch, i, end);
    run_fetch_entries(fetch, end, group_end(end, count));
}

/* With the batons of `held`. Returns whether one of those that ran writes. */
static bool run_all_held(struct caller_pipeline *pipeline, const struct slice *slice,
                         uint64_t held) {
    struct shard *home = calling_home(pipeline->fabric, held);
    uint64_t since_ns = clock_monotonic_ns();
    int64_t now_ms = 0;
    struct origin origin = origin_of(pipeline, pipeline->reply, &now_ms);
    struct fetch fetch = {pipeline->fabric, held, origin.db, slice->requests, slice->plans};
    bool wrote = false;
    domain_keep_time(&pipeline->fabric->domain);
    for (uint32_t i = 0; i < slice->count; i++) {
        const struct plan *plan = &slice->plans[i];
        fetch_ahead(&fetch, i, slice->count);
        pipeline->alone =
            is_held_up(pipeline, slice, i, held) ||
            run_held(pipeline, home, &slice->requests[i], plan, &origin) == EXECUTE_POSTPONED;
        if (KRT_UNLIKELY(pipeline->alone)) break;
        wrote |= does_write(plan);
        advance(pipeline);
        if (KRT_UNLIKELY(pipeline->reply->failed)) break;
        if (KRT_UNLIKELY(is_wanted(pipeline->fabric, held, since_ns))) break;
    }
    return wrote;
}

static enum caller_result run_slice(struct caller_pipeline *pipeline,
                                    enum caller_patience patience) {
    struct fabric *fabric = pipeline->fabric;
    struct slice slice;
    plan_slice(pipeline, &slice);
    if (slice.count == 0) return run_alone(pipeline, patience);
    enum caller_result result = slice.mask ? calling_take(fabric, slice.mask, patience)
                                           : calling_take_any(fabric, &slice.mask, patience);
    if (result != CALLER_DONE) return result;
    bool wrote = run_all_held(pipeline, &slice, slice.mask);
    uint64_t ticket = calling_drop(calling_home(fabric, slice.mask), slice.mask);
    note_position(pipeline, ticket, wrote);
    return pipeline->reply->failed ? CALLER_NO_MEMORY : CALLER_DONE;
}

static enum caller_result run_plainly(struct caller_pipeline *pipeline,
                                      enum caller_patience patience) {
    enum caller_result result = CALLER_DONE;
    while (result == CALLER_DONE && pipeline->done < pipeline->count)
        result = pipeline->alone ? run_alone(pipeline, patience) : run_slice(pipeline, patience);
    return result;
}

/* ---- MULTI, EXEC ------------------------------------------------------------------------------- */

static enum caller_result begin(struct caller_pipeline *pipeline, enum caller_patience patience) {
    struct client *client = pipeline->client;
    bool queued = client_queues(client);
    enum caller_result result =
        run_word(pipeline, BYTES_LITERAL("MULTI"), pipeline->reply, patience);
    if (result != CALLER_DONE) return result;
    pipeline->stage = STAGE_ENDED;
    if (queued || !client_queues(client)) return CALLER_DONE;
    reply_clear(pipeline->reply);
    client->transaction->lent = true;
    pipeline->stage = STAGE_QUEUE;
    return CALLER_DONE;
}

static void reject(struct caller_pipeline *pipeline, struct reply *reply) {
    reply_error(reply, "ERR Command not allowed inside a transaction");
    transaction_spoil(pipeline->client);
}

/* With some baton. False: postponed. */
static bool queue_one(struct caller_pipeline *pipeline, struct shard *home, struct reply *reply) {
    struct request request = next_request(pipeline);
    struct plan plan;
    int64_t now_ms = 0;
    struct origin origin = origin_of(pipeline, reply, &now_ms);
    pipeline->hint.known = pipeline->lines[pipeline->done].command;
    plan_request(pipeline->fabric, &request, &pipeline->hint, &plan);
    if (execute_refused(pipeline->client, reply, &request, &plan))
        execute_count_refused(home, reply, &plan);
    else if (plan.command->at_once) reject(pipeline, reply);
    else if (KRT_LIKELY(pipeline->fabric->domain.gates == 0))
        transaction_queue(pipeline->client, reply, &request, &plan);
    else return execute_command(home, &origin, &request, &plan) != EXECUTE_POSTPONED;
    return true;
}

/* The first error is what the caller is told. */
static void note_refusal(struct caller_pipeline *pipeline, struct reply *reply, uint64_t before) {
    if (pipeline->refused != pipeline->count) return;
    pipeline->refused = pipeline->done;
    reply_consume(reply, before);
    reply_append(pipeline->reply, reply);
}

/* False: postponed. */
static bool queue_all_held(struct caller_pipeline *pipeline, struct shard *home, uint64_t held,
                           struct reply *reply) {
    uint64_t since_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < SLICE_COMMANDS && pipeline->done < pipeline->count; i++) {
        uint32_t errors = reply->errors;
        uint64_t before = reply_pending_bytes(reply);
        if (!queue_one(pipeline, home, reply)) return false;
        if (KRT_UNLIKELY(reply->errors != errors)) note_refusal(pipeline, reply, before);
        advance(pipeline);
        if (KRT_UNLIKELY(is_wanted(pipeline->fabric, held, since_ns))) break;
    }
    return true;
}

/* What is queued passes the gates when it is: that needs the baton of some shard. */
static enum caller_result queue(struct caller_pipeline *pipeline, enum caller_patience patience) {
    struct fabric *fabric = pipeline->fabric;
    struct reply reply;
    uint64_t mask = 0;
    uint32_t bell = atomic_load_seq_cst(&fabric->pause_bell);
    enum caller_result result = calling_take_any(fabric, &mask, patience);
    if (result != CALLER_DONE) return result;
    reply_init(&reply, pipeline->reply->pool, pipeline->reply->proto);
    bool queued = queue_all_held(pipeline, calling_home(fabric, mask), mask, &reply);
    (void)calling_drop(calling_home(fabric, mask), mask);
    bool failed = reply.failed;
    reply_clear(&reply);
    if (failed) return CALLER_NO_MEMORY;
    if (!queued) return calling_pause(fabric, bell, patience);
    if (pipeline->done == pipeline->count) pipeline->stage = STAGE_EXEC;
    return CALLER_DONE;
}

static enum caller_result exec(struct caller_pipeline *pipeline, enum caller_patience patience) {
    struct reply unheard;
    bool heard = pipeline->refused == pipeline->count;
    reply_init(&unheard, pipeline->reply->pool, pipeline->reply->proto);
    enum caller_result result =
        run_word(pipeline, BYTES_LITERAL("EXEC"), heard ? pipeline->reply : &unheard, patience);
    reply_clear(&unheard);
    if (result == CALLER_DONE) pipeline->stage = STAGE_ENDED;
    return result;
}

static enum caller_result run_atomically(struct caller_pipeline *pipeline,
                                         enum caller_patience patience) {
    enum caller_result result = CALLER_DONE;
    while (result == CALLER_DONE && pipeline->stage != STAGE_ENDED) {
        if (pipeline->stage == STAGE_BEGIN) result = begin(pipeline, patience);
        else if (pipeline->stage == STAGE_QUEUE) result = queue(pipeline, patience);
        else result = exec(pipeline, patience);
    }
    return result;
}

/* ---- Whole pipelines --------------------------------------------------------------------------- */

/* All of it is answered, but late. A change of the clock rings the bell as well. */
static enum caller_result be_late(struct caller_pipeline *pipeline, enum caller_patience patience) {
    struct fabric *fabric = pipeline->fabric;
    const struct virtual_clock *clock = &fabric->domain.clock;
    uint32_t bell = atomic_load_seq_cst(&fabric->pause_bell);
    pthread_mutex_lock(&fabric->alarms.lock);
    if (!pipeline->late_until_us)
        pipeline->late_until_us = virtual_clock_after(clock, pipeline->late_us);
    bool over = virtual_clock_waiting_us(clock) >= pipeline->late_until_us;
    pthread_mutex_unlock(&fabric->alarms.lock);
    if (over) return CALLER_DONE;
    if (patience == CALLER_TRIES) return CALLER_WOULD_WAIT;
    if (patience == CALLER_WAITS_BRIEFLY) return CALLER_PAUSED;
    pause_sleep_until(fabric, bell, pipeline->late_until_us, clock_monotonic_ns() + LATE_SLICE_NS);
    return CALLER_PAUSED;
}

enum caller_result caller_pipeline_run(struct caller_pipeline *pipeline,
                                       enum caller_patience patience) {
    enum caller_result result =
        pipeline->atomic ? run_atomically(pipeline, patience) : run_plainly(pipeline, patience);
    if (result == CALLER_DONE && pipeline->ticket && !pipeline->wrote)
        pipeline->ticket |= JOURNAL_OF_READ;
    if (KRT_UNLIKELY(pipeline->late_us) && result == CALLER_DONE)
        result = be_late(pipeline, patience);
    return result;
}

bool caller_pipeline_has_begun(const struct caller_pipeline *pipeline) {
    return pipeline->atomic ? pipeline->stage == STAGE_ENDED : pipeline->done > 0;
}

void caller_pipeline_end(struct caller_pipeline *pipeline) {
    bool queues = pipeline->stage == STAGE_QUEUE || pipeline->stage == STAGE_EXEC;
    if (pipeline->atomic && queues) transaction_forget(pipeline->client);
}
