/* Runs: a connection's parsed requests, executed in program order.
 *
 * A run is up to 64 requests parsed in place. With no reply of the connection outstanding elsewhere the
 * thread takes the batons of the whole run and executes it in place, in groups whose memory is fetched
 * ahead. Otherwise:
 *
 *   request needs              nothing outstanding             outstanding at shard t
 *   ------------------------   -----------------------------   ----------------------
 *   what is held already       in place                        suspend
 *   one other shard            forward, if it is busy          forward if it is t, else suspend
 *   several, or a mixed run    wait for all batons, in place   suspend
 *
 * A suspended connection gets its requests back into the parser and comes again when its last outstanding reply
 * is home. (A job queue's `HSET job; LPUSH queue job` on two shards must never show the job without its hash.)
 */
#include "plat/clock.h"
#include "shard/shard.h"

/* Two dependent cache misses are longer than a command: the buckets of a whole run are fetched, then
 * group by group the entries they point to, while the commands of the group before run. */
enum { GROUP_COMMANDS = 16 };

enum run_outcome { RUN_DONE, RUN_SUSPENDED, RUN_STOPPING };

struct run_state {
    struct shard *shard;
    struct connection *connection;
    struct request_run *run;
    struct plan *plans;
};

static struct keyspace *place_of(struct shard *shard, uint64_t hash) {
    return shard->fabric->keyspaces[hash_shard(hash, shard->fabric->settings.shard_count)];
}

static void prefetch_buckets(struct run_state *state, uint32_t from, uint32_t to) {
    uint32_t db = state->connection->client.db;
    for (const struct plan *plan = state->plans + from; plan < state->plans + to; plan++)
        if (plan->hash_index)
            keyspace_prefetch_bucket(place_of(state->shard, plan->hash), db, plan->hash);
}

static void prefetch_entries(struct run_state *state, uint32_t from, uint32_t to) {
    uint32_t db = state->connection->client.db;
    for (const struct plan *plan = state->plans + from; plan < state->plans + to; plan++)
        if (plan->hash_index)
            keyspace_prefetch_entry(place_of(state->shard, plan->hash), db, plan->hash);
}

static uint32_t group_end(uint32_t from, uint32_t to) {
    return to - from > GROUP_COMMANDS ? from + GROUP_COMMANDS : to;
}

static void run_one(struct run_state *state, uint32_t i) {
    struct connection *connection = state->connection;
    const struct request *request = &state->run->requests[i];
    const struct plan *plan = &state->plans[i];
    KRT_DCHECK((plan->mask & ~state->shard->held) == 0);
    if (execute_refused(&connection->client, &connection->output, request, plan)) return;
    execute_command(state->shard, &connection->client, connection->client.db, &connection->output,
                    request, plan, &state->shard->now_ms);
}

/* Executes requests [from, to), all of whose batons are held. Returns where it ended: at QUIT, behind
 * which nothing runs, or early because somebody waits. */
static uint32_t run_in_place(struct run_state *state, uint32_t from, uint32_t to) {
    struct connection *connection = state->connection;
    connection->output.proto = connection->client.proto;
    if (to - from > 1) {
        prefetch_buckets(state, from, to);
        prefetch_entries(state, from, group_end(from, to));
    }
    for (uint32_t i = from; i < to;) {
        uint32_t end = group_end(i, to);
        prefetch_entries(state, end, group_end(end, to));
        while (i < end) {
            run_one(state, i++);
            if (KRT_UNLIKELY(connection->client.close_after_reply)) return to;
            if (KRT_UNLIKELY(turn_is_wanted(state->shard))) return i;
        }
    }
    return to;
}

static uint64_t run_mask(const struct run_state *state, uint32_t from) {
    uint64_t mask = 0;
    for (uint32_t i = from; i < state->run->count; i++) mask |= state->plans[i].mask;
    return mask;
}

static bool is_single(uint64_t mask) {
    return mask && (mask & (mask - 1)) == 0;
}

/* The one other shard that could do request i alone, or none. */
static bool forward_target(const struct run_state *state, uint32_t i, uint32_t *target) {
    uint64_t mask = state->plans[i].mask;
    if (!is_single(mask) || mask == state->shard->own) return false;
    *target = (uint32_t)__builtin_ctzll(mask);
    return true;
}

/* Should the run from `from` go to another shard rather than wait for it? */
static bool prefers_forward(const struct run_state *state, uint32_t from, uint64_t mask,
                            uint32_t *target) {
    switch (state->shard->fabric->settings.borrow) {
    case BORROW_ALWAYS: return false;
    case BORROW_NEVER: return forward_target(state, from, target);
    case BORROW_AUTO: return is_single(mask) && forward_target(state, from, target);
    }
    return false;
}

static bool forward_one(struct run_state *state, uint32_t i, uint32_t target) {
    struct connection *connection = state->connection;
    const struct request *request = &state->run->requests[i];
    if (execute_refused(&connection->client, &connection->output, request, &state->plans[i]))
        return true;
    if (!forward_request(state->shard, connection, target, request, &state->plans[i])) return false;
    connection->outstanding_at = target;
    return true;
}

/* Forwards requests to `target` as long as they go there. Returns the first that does not. */
static uint32_t forward_from(struct run_state *state, uint32_t i, uint32_t target) {
    uint32_t next = target;
    while (i < state->run->count && forward_target(state, i, &next) && next == target &&
           forward_one(state, i, target))
        i++;
    return i;
}

static enum run_outcome run_across(struct run_state *state, uint32_t *i) {
    struct shard *shard = state->shard;
    uint64_t rest = run_mask(state, *i);
    uint32_t target;
    bool never = shard->fabric->settings.borrow == BORROW_NEVER;
    if (!never && turn_borrow(shard, rest)) {
        shard->data.counters.borrowed_runs++;
        *i = run_in_place(state, *i, state->run->count);
        return RUN_DONE;
    }
    if (prefers_forward(state, *i, rest, &target)) {
        *i = forward_from(state, *i, target);
        return slots_pending(&state->connection->slots) ? RUN_SUSPENDED : RUN_DONE;
    }
    uint64_t mask = never ? state->plans[*i].mask : rest;
    if (!turn_coordinate(shard, mask)) return RUN_STOPPING;
    *i = run_in_place(state, *i, never ? *i + 1 : state->run->count);
    if (never) turn_return(shard);
    return RUN_DONE;
}

static enum run_outcome run_requests(struct run_state *state) {
    struct connection *connection = state->connection;
    uint32_t count = state->run->count, i = 0;
    if (KRT_UNLIKELY(slots_pending(&connection->slots))) {
        i = forward_from(state, i, connection->outstanding_at);
        if (i < count && slots_pending(&connection->slots)) {
            parser_rewind(&connection->parser, state->run, i);
            return RUN_SUSPENDED;
        }
    }
    while (i < count && !connection->client.close_after_reply) {
        if (KRT_LIKELY((run_mask(state, i) & ~state->shard->held) == 0)) {
            i = run_in_place(state, i, count);
        } else {
            enum run_outcome outcome = run_across(state, &i);
            if (outcome == RUN_STOPPING) return outcome;
            if (outcome == RUN_SUSPENDED && i < count) {
                parser_rewind(&connection->parser, state->run, i);
                return outcome;
            }
        }
        if (i < count && turn_is_wanted(state->shard) && !turn_pause(state->shard))
            return RUN_STOPPING;
    }
    turn_return(state->shard);
    return RUN_DONE;
}

/* What is wrong with the bytes is answered behind all good requests, in its own place, then the
 * connection closes. */
static void answer_malformed(struct shard *shard, struct connection *connection) {
    connection->output.proto = connection->client.proto;
    reply_error_format(&connection->output, "ERR %s", connection->parser.error);
    connection->client.close_after_reply = true;
    connection_want_ready(shard, connection);
}

static void plan_run(struct shard *shard, const struct request_run *run, struct plan *plans) {
    for (uint32_t i = 0; i < run->count; i++)
        plan_request(shard->fabric, &run->requests[i], &plans[i]);
}

bool run_connection(struct shard *shard, struct connection *connection) {
    struct plan plans[RUN_REQUESTS];
    struct run_state state = {shard, connection, &shard->io.run, plans};
    connection->parser.limits = connection->client.authenticated
                                    ? &shard->fabric->settings.parser
                                    : &shard->fabric->settings.parser_unauthenticated;
    enum parse_result result = parser_run(&connection->parser, state.run);
    plan_run(shard, state.run, plans);
    shard->io.slice_commands += state.run->count;
    enum run_outcome outcome = run_requests(&state);
    if (outcome == RUN_STOPPING) return false;
    if (KRT_UNLIKELY(connection->client.close_unanswered)) {
        connection_end(shard, connection);
        return false;
    }
    connection_want_ready(shard, connection);
    connection->suspended = outcome == RUN_SUSPENDED;
    if (connection->suspended || connection->client.close_after_reply) return false;
    if (result == PARSE_ERROR) {
        if (slots_pending(&connection->slots)) connection->suspended = true;
        else answer_malformed(shard, connection);
    } else if (result == PARSE_NO_MEMORY || connection->output.failed) {
        connection_end(shard, connection);
    }
    return result == PARSE_FULL;
}
