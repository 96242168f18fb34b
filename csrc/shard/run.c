/* Runs: a connection's parsed requests, executed in program order.
 *
 * A run is up to 64 requests of one connection, parsed in place. The runs of several connections are parsed
 * and planned before the first is executed, so that the memory of their keys is fetched together: with
 * one request per connection there is nothing else to fetch ahead. With no reply of the connection outstanding elsewhere the
 * thread takes the batons of the whole run and executes it in place, in groups whose memory is fetched
 * ahead. Otherwise:
 *
 *   request needs              nothing outstanding             outstanding at shard t
 *   ------------------------   -----------------------------   ----------------------
 *   what is held already       in place                        suspend
 *   one other shard            forward, if it is busy          forward if it is t, else suspend
 *   several, or a mixed run    wait for all batons, in place   suspend
 *
 * With `pipeline-order shard` every request goes to its shard at once, and only what needs several waits.
 *
 * A request that writes needs more than its keys while somebody waits for them who needs more (blocking/reach.c): it is held up
 * until the thread has taken that, and looked at again. A request that waits itself (blocking/waiter.c) suspends the
 * connection as well; what is behind it goes back into the parser.
 *
 * What a transaction needs is known only when its requests have run that far. A run that may have to do with one is
 * therefore cut into stretches: requests that are queued need nothing, EXEC needs exactly what was queued, and what
 * stands outside of transactions is taken together as elsewhere.
 *
 * A suspended connection gets its requests back into the parser and comes again when its last outstanding reply
 * is home. (A job queue's `HSET job; LPUSH queue job` on two shards must never show the job without its hash.)
 */
#include "plat/clock.h"
#include "shard/shard.h"
#include "shard/transactions/transaction.h"

enum run_outcome {
    RUN_DONE,
    RUN_SUSPENDED,
    RUN_AGAIN,   /* its turn is over, and a request goes on in the next */
    RUN_PAUSED,  /* a request may not run before the pause is over */
    RUN_WAITING, /* a request has begun to wait, and what is behind it comes when it is answered */
    RUN_LOST,    /* the place, and nothing is held */
};

static struct fetch fetch_of(const struct run *run) {
    return (struct fetch){run->shard->fabric, run->shard->held, run->connection->client.db,
                          run->input.requests, run->plans};
}

static uint32_t group_end(uint32_t from, uint32_t to) {
    return to - from > RUN_GROUP ? from + RUN_GROUP : to;
}

/* The shards that request i needs, now that its turn has come. */
static uint64_t run_needs(const struct run *run, uint32_t i) {
    if (KRT_LIKELY(!run->transacts)) return run->plans[i].mask;
    return transaction_needs(&run->connection->client, &run->plans[i]);
}

static enum execute_result run_aloud(struct run *run, uint32_t i, struct reply *reply,
                                     uint32_t flags) {
    struct client *client = &run->connection->client;
    const struct request *request = &run->input.requests[i];
    const struct plan *plan = &run->plans[i];
    struct shard *home = turn_home(run->shard);
    struct call_reach *reach = run->shard->has_ticket ? &run->shard->reach : NULL;
    struct origin origin = {.client = client,
                            .db = client->db,
                            .flags = flags,
                            .reply = reply,
                            .now_ms = &run->shard->now_ms,
                            .reach = reach};
    KRT_DCHECK((run_needs(run, i) & ~run->shard->held) == 0);
    if (KRT_UNLIKELY(execute_refused(client, reply, request, plan))) {
        execute_count_refused(home, reply, plan);
        return EXECUTE_DONE;
    }
    return execute_command(home, &origin, request, plan);
}

/* CLIENT REPLY: what is answered goes nowhere, unless the command ends the silence. */
static enum execute_result run_silently(struct run *run, uint32_t i, struct reply *reply,
                                        uint32_t flags) {
    struct client *client = &run->connection->client;
    struct reply unheard;
    reply_init(&unheard, &run->shard->io.pool, client->proto);
    client->call_flags &= ~(uint32_t)(CALL_SKIPPED | CALL_ALOUD);
    enum execute_result result = run_aloud(run, i, &unheard, flags);
    if (result != EXECUTE_DONE && result != EXECUTE_WAITING)
        client->call_flags |= flags & CALL_SKIPPED;
    if (unheard.failed) reply->failed = true;
    else if (client->call_flags & CALL_ALOUD) reply_append(reply, &unheard);
    reply_clear(&unheard);
    return result;
}

static enum execute_result run_into(struct run *run, uint32_t i, struct reply *reply,
                                    uint32_t flags) {
    if (KRT_LIKELY(!(flags & (CALL_SILENT | CALL_SKIPPED)))) return run_aloud(run, i, reply, flags);
    return run_silently(run, i, reply, flags);
}

/* Behind the reply of a client that listens: what was sent meanwhile, by itself too. */
static void tell(struct run *run, uint32_t i, enum execute_result result) {
    if (result == EXECUTE_DONE || result == EXECUTE_WAITING)
        tracking_end_command(&run->connection->client, &run->plans[i]);
    connection_push_deferred(run->shard, run->connection);
    board_drain(run->shard);
}

/* Does the answer tell of the board? That of PUBLISH counts who is subscribed; a transaction may end subscriptions in
 * the middle of its reply. */
static bool is_of_board(const struct client *client, const struct command *command) {
    if (!command) return false;
    return client_queues(client) ? transaction_is_exec(command) : command->group == GROUP_PUBSUB;
}

/* Before a command of a client that listens: what was sent until now. Where the answer tells of the board nothing is sent
 * between the two: returns who has the board for it, or NULL. */
static struct shard *tell_before(struct run *run, uint32_t i) {
    struct shard *home = NULL;
    if (is_of_board(&run->connection->client, run->plans[i].command)) {
        home = turn_home(run->shard);
        board_take(home);
    }
    board_drain(run->shard);
    return home;
}

/* False: it comes again. */
static bool run_one(struct run *run, uint32_t i) {
    struct connection *connection = run->connection;
    bool listens = connection->client.listens;
    struct shard *with_board = KRT_UNLIKELY(listens) ? tell_before(run, i) : NULL;
    enum execute_result result =
        run_into(run, i, &connection->output, connection->client.call_flags);
    if (KRT_UNLIKELY(with_board != NULL)) board_leave(with_board);
    if (KRT_UNLIKELY(listens | connection->client.listens)) tell(run, i, result);
    if (KRT_LIKELY(result == EXECUTE_DONE)) return true;
    run->unfinished = result == EXECUTE_UNFINISHED;
    run->postponed = result == EXECUTE_POSTPONED;
    run->waiting = result == EXECUTE_WAITING;
    return false;
}

/* Does request i need more than is held, for those whom it may serve? Notes what. After some rounds that is everything. */
static bool is_held_up(struct run *run, uint32_t i) {
    struct fabric *fabric = run->shard->fabric;
    const struct request *request = &run->input.requests[i];
    const struct plan *plan = &run->plans[i];
    if (KRT_LIKELY(!waiting_reaches(&fabric->domain))) return false;
    struct client *client = &run->connection->client;
    uint64_t held = run->shard->held;
    uint64_t reach = transaction_reach(fabric, client, request, plan, held);
    if ((reach & ~held) == 0) {
        run->reach_rounds = 0;
        return false;
    }
    if (++run->reach_rounds > REACH_ROUNDS) reach = fabric_all(fabric);
    if (run->shard->has_ticket) { /* then nothing has to be dropped for it */
        turn_extend(run->shard, reach);
        return is_held_up(run, i);
    }
    run->reach = reach | run_needs(run, i);
    return true;
}

/* CLIENT KILL holds all batons: who looks behind each take runs nothing that comes after it. */
static bool is_doomed(const struct run *run) {
    struct client *client = &run->connection->client;
    if (KRT_LIKELY(!atomic_load_relaxed(&client->card->doomed))) return false;
    client->close_after_reply = client->close_unanswered = true;
    return true;
}

/* Executes requests [from, to), all of whose batons are held. Returns where it ended: at QUIT, behind
 * which nothing runs, or early because somebody waits or the request is to come again. */
static uint32_t run_in_place(struct run *run, uint32_t from, uint32_t to) {
    struct connection *connection = run->connection;
    if (KRT_UNLIKELY(is_doomed(run))) return to;
    connection->output.proto = connection->client.proto;
    struct fetch fetch = fetch_of(run);
    if (!run->fetched && to - from > 1) {
        run_fetch_buckets(&fetch, from, to);
        run_fetch_entries(&fetch, from, group_end(from, to));
    }
    for (uint32_t i = from; i < to;) {
        uint32_t end = group_end(i, to);
        fetch.db = connection->client.db;
        run_fetch_values(&fetch, i, end);
        run_fetch_entries(&fetch, end, group_end(end, to));
        turn_home(run->shard)->data.ended_ticks = 0;
        while (i < end) {
            if (KRT_UNLIKELY(is_held_up(run, i) || !run_one(run, i))) return i;
            i++;
            if (KRT_UNLIKELY(connection->client.close_after_reply)) return to;
            if (KRT_UNLIKELY(turn_is_wanted(run->shard))) return i;
        }
    }
    return to;
}

static uint64_t run_mask(const struct run *run, uint32_t from) {
    uint64_t mask = 0;
    for (uint32_t i = from; i < run->input.count; i++) mask |= run->plans[i].mask;
    return mask;
}

static bool is_single(uint64_t mask) {
    return mask && (mask & (mask - 1)) == 0;
}

/* Requests that are taken together, and the shards that they need. */
struct stretch {
    uint64_t mask;
    uint32_t end;
};

static bool concerns(const struct run *run, uint32_t i) {
    return run->transacts && transaction_concerns(&run->connection->client, run->plans[i].command);
}

static bool is_queued(const struct client *client, const struct plan *plan) {
    return client_queues(client) && plan->command && !plan->command->at_once;
}

/* From `from` on: what will be queued, or what comes before the next transaction, or one request. */
static struct stretch transaction_stretch(const struct run *run, uint32_t from) {
    const struct client *client = &run->connection->client;
    struct stretch stretch = {run_needs(run, from), from + 1};
    bool queued = is_queued(client, &run->plans[from]);
    if (!queued && concerns(run, from)) return stretch;
    for (uint32_t i = from + 1; i < run->input.count; i++, stretch.end = i) {
        if (queued ? !is_queued(client, &run->plans[i]) : concerns(run, i)) break;
        stretch.mask |= run_needs(run, i);
    }
    return stretch;
}

static struct stretch run_stretch(const struct run *run, uint32_t from) {
    if (KRT_UNLIKELY(run->transacts)) return transaction_stretch(run, from);
    return (struct stretch){run_mask(run, from), run->input.count};
}

static bool is_silent(const struct client *client) {
    return client->call_flags & (CALL_SILENT | CALL_SKIPPED);
}

/* Does the request need its client's thread? */
static bool is_local(const struct run *run, uint32_t i) {
    const struct command *command = run->plans[i].command;
    const struct request *request = &run->input.requests[i];
    return command->local && (!command->stays || command->stays(request->argv, request->argc));
}

/* The one other shard that could do request i alone, or none. What nobody is told of takes no slot; what is pushed to
 * a client that listens keeps its place among replies only where those are made here. */
static bool forward_target(const struct run *run, uint32_t i, uint32_t *target) {
    uint64_t mask = run->plans[i].mask;
    if (!is_single(mask) || mask == run->shard->own) return false;
    if (KRT_UNLIKELY(is_silent(&run->connection->client) || concerns(run, i))) return false;
    if (KRT_UNLIKELY(run->connection->client.listens || is_local(run, i))) return false;
    if (KRT_UNLIKELY(run->shard->fabric->domain.gates & GATE_FAULTS)) return false;
    *target = (uint32_t)__builtin_ctzll(mask);
    return true;
}

/* Would the request find the gate shut? What is refused anyway is told so at once. */
static bool is_stopped(const struct run *run, uint32_t i) {
    const struct domain *domain = &run->shard->fabric->domain;
    const struct plan *plan = &run->plans[i];
    if (KRT_LIKELY(!(domain->gates & GATE_PAUSE))) return false;
    return plan->command && plan->arity_ok && plan->command->handler &&
           run->connection->client.authenticated && pause_is_in_force(domain) &&
           pause_stops(domain, transaction_flags(&run->connection->client, plan->command));
}

/* Should the run from `from` go to another shard rather than wait for it? */
static bool prefers_forward(const struct run *run, uint32_t from, uint64_t mask, uint32_t *target) {
    switch (run->shard->fabric->settings.borrow) {
    case BORROW_ALWAYS:
        return false;
    case BORROW_NEVER:
        return forward_target(run, from, target);
    case BORROW_AUTO:
        return is_single(mask) && forward_target(run, from, target);
    }
    return false;
}

static bool forward_one(struct run *run, uint32_t i, uint32_t target) {
    struct connection *connection = run->connection;
    const struct request *request = &run->input.requests[i];
    if (execute_refused(&connection->client, &connection->output, request, &run->plans[i])) {
        execute_count_refused(run->shard, &connection->output, &run->plans[i]);
        return true;
    }
    if (!forward_request(run->shard, connection, target, request, &run->plans[i])) return false;
    connection->outstanding_at = target;
    return true;
}

/* Forwards requests to `target` as long as they go there. Returns the first that does not. */
static uint32_t forward_from(struct run *run, uint32_t i, uint32_t target) {
    uint32_t next = target;
    while (i < run->input.count && forward_target(run, i, &next) && next == target &&
           !is_stopped(run, i) && forward_one(run, i, target))
        i++;
    return i;
}

/* Does one of the places belong to a thread that has lost it to somebody for long? */
static bool is_busy_there(const struct shard *shard, uint64_t mask) {
    for (; mask; mask &= mask - 1)
        if (atomic_load_relaxed(&shard->fabric->shards[__builtin_ctzll(mask)]->busy)) return true;
    return false;
}

static enum run_outcome refuse_busy(struct run *run, uint32_t *i) {
    struct connection *connection = run->connection;
    struct reply reply;
    reply_init(&reply, &run->shard->io.pool, connection->client.proto);
    execute_busy(&connection->client, &reply, &run->input.requests[*i], &run->plans[*i],
                 run->shard->fabric);
    if (!is_silent(&connection->client)) reply_append(&connection->output, &reply);
    connection->client.call_flags &= ~(uint32_t)CALL_SKIPPED;
    if (reply.failed) connection->output.failed = true;
    reply_clear(&reply);
    ++*i;
    return RUN_DONE;
}

/* The baton of the rest of the run, or of one request after the other if nothing is to be borrowed. */
static enum run_outcome run_elsewhere(struct run *run, uint32_t *i, struct stretch stretch) {
    struct shard *shard = run->shard;
    uint32_t target, end = stretch.end;
    uint64_t mask = stretch.mask;
    bool never = shard->fabric->settings.borrow == BORROW_NEVER;
    if (never || !turn_borrow(shard, mask)) {
        if (shard->held == 0) return RUN_LOST;
        if (is_doomed(run)) return RUN_DONE;
        if (is_busy_there(shard, mask)) return refuse_busy(run, i);
        if (prefers_forward(run, *i, mask, &target)) {
            *i = forward_from(run, *i, target);
            return slots_pending(&run->connection->slots) ? RUN_SUSPENDED : RUN_DONE;
        }
        if (never) { /* one by one; what has no keys runs at home */
            mask = run_needs(run, *i) ? run_needs(run, *i) : shard->own;
            end = *i + 1;
        }
        if (!turn_coordinate(shard, mask)) return shard->held ? refuse_busy(run, i) : RUN_LOST;
    }
    turn_home(shard)->data.counters.borrowed_runs++;
    *i = run_in_place(run, *i, end);
    return RUN_DONE;
}

/* Request i with what those need who wait for its keys. */
static enum run_outcome run_reaching(struct run *run, uint32_t *i) {
    struct shard *shard = run->shard;
    uint64_t mask = run->reach;
    run->reach = 0;
    if (!turn_coordinate(shard, mask)) return shard->held ? refuse_busy(run, i) : RUN_LOST;
    *i = run_in_place(run, *i, *i + 1);
    return RUN_DONE;
}

static bool is_open(const struct run *run, uint32_t i) {
    return run->transacts &&
           transaction_is_open(run->shard->fabric, &run->connection->client, &run->plans[i]);
}

/* One request whose set is open. */
static enum run_outcome run_openly(struct run *run, uint32_t *i) {
    struct shard *shard = run->shard;
    uint64_t needs = run_needs(run, *i);
    if (!turn_open(shard, needs ? needs : shard->own))
        return shard->held ? refuse_busy(run, i) : RUN_LOST;
    turn_home(shard)->data.counters.borrowed_runs++;
    *i = run_in_place(run, *i, *i + 1);
    return turn_close(shard) ? RUN_DONE : RUN_LOST;
}

/* Forwards behind what is forwarded already. False: the rest waits until that is home. */
static bool run_behind(struct run *run, uint32_t *i) {
    *i = forward_from(run, *i, run->connection->outstanding_at);
    return *i == run->input.count || slots_pending(&run->connection->slots) == 0;
}

static enum run_outcome run_on(struct run *run, uint32_t *i) {
    struct shard *shard = run->shard;
    uint32_t count = run->input.count;
    while (*i < count && !run->connection->client.close_after_reply) {
        if (KRT_UNLIKELY(is_stopped(run, *i))) return RUN_PAUSED;
        struct stretch stretch = run_stretch(run, *i);
        if (KRT_UNLIKELY(is_open(run, *i))) {
            enum run_outcome outcome = run_openly(run, i);
            if (outcome != RUN_DONE) return outcome;
        } else if (KRT_UNLIKELY(run->reach)) {
            enum run_outcome outcome = run_reaching(run, i);
            if (outcome != RUN_DONE) return outcome;
        } else if (KRT_LIKELY((stretch.mask & ~shard->held) == 0)) {
            *i = run_in_place(run, *i, stretch.end);
        } else {
            enum run_outcome outcome = run_elsewhere(run, i, stretch);
            if (outcome != RUN_DONE) return outcome;
        }
        if (KRT_UNLIKELY(run->waiting)) {
            ++*i;
            return RUN_WAITING;
        }
        if (KRT_UNLIKELY(run->unfinished)) return RUN_AGAIN;
        if (KRT_UNLIKELY(run->postponed)) return RUN_PAUSED;
        if (*i < count && turn_is_wanted(shard) && !turn_pause(shard)) return RUN_LOST;
    }
    return RUN_DONE;
}

/* ---- With pipeline-order shard ------------------------------------------------------------------- */

/* Runs request i in its own place, with its answer behind those that are outstanding. */
static bool run_into_slot(struct run *run, uint32_t i) {
    struct connection *connection = run->connection;
    struct reply reply;
    uint32_t slot;
    if (!slots_issue(&connection->slots, &run->shard->io.pool, &slot)) return false;
    reply_init(&reply, &run->shard->io.pool, connection->client.proto);
    /* Behind what is outstanding nothing comes again. */
    (void)run_into(run, i, &reply, connection->client.call_flags & ~CALL_MAY_PAUSE);
    if (reply.failed) connection->output.failed = true;
    slots_fill(&connection->slots, slot, &reply, reply_pending_bytes(&reply), &connection->output);
    return true;
}

/* One request: to its shard at once, whatever is outstanding elsewhere. False: it must wait. */
static bool run_scattered(struct run *run, uint32_t *i) {
    struct slots *slots = &run->connection->slots;
    bool listens = run->connection->client.listens;
    const struct plan *plan = &run->plans[*i];
    uint32_t target;
    if (plan->command && (plan->command->flags & CMD_BLOCKING)) return false;
    if (KRT_UNLIKELY(run->shard->fabric->domain.gates & GATE_FAULTS)) return false;
    if (KRT_UNLIKELY(listens)) {
        if (slots_pending(slots)) return false; /* what is told has its place between replies */
        board_drain(run->shard);
    }
    if (forward_target(run, *i, &target)) {
        if (!forward_one(run, *i, target)) return false;
    } else if ((run_needs(run, *i) & ~run->shard->own) || is_open(run, *i)) {
        return false;
    } else if ((slots_pending(slots) && concerns(run, *i)) || is_held_up(run, *i)) {
        return false;
    } else if (slots_pending(slots) == 0) {
        run->connection->output.proto = run->connection->client.proto;
        (void)run_into(run, *i, &run->connection->output,
                       run->connection->client.call_flags & ~CALL_MAY_PAUSE);
    } else if (!run_into_slot(run, *i)) {
        return false;
    }
    if (KRT_UNLIKELY(listens | run->connection->client.listens)) tell(run, *i, EXECUTE_DONE);
    ++*i;
    return true;
}

/* The order between shards is given up: each works on its part of the pipeline by itself. */
static enum run_outcome run_scattering(struct run *run, uint32_t *i) {
    struct connection *connection = run->connection;
    if (!turn_return(run->shard)) return RUN_LOST;
    if (is_doomed(run)) return RUN_DONE;
    while (*i < run->input.count && !connection->client.close_after_reply) {
        if (KRT_UNLIKELY(is_stopped(run, *i))) return RUN_PAUSED;
        if (run_scattered(run, i)) continue;
        if (slots_pending(&connection->slots)) return RUN_SUSPENDED;
        return run_on(run, i); /* several shards at once, it may wait, or no memory to forward */
    }
    return RUN_DONE;
}

/* ---- A whole run --------------------------------------------------------------------------------- */

static enum run_outcome run_in_order(struct run *run, uint32_t *i) {
    if (KRT_UNLIKELY(slots_pending(&run->connection->slots))) {
        if (!turn_return(run->shard)) return RUN_LOST;
        if (is_doomed(run)) return RUN_DONE;
        if (!run_behind(run, i)) return RUN_SUSPENDED;
    }
    return run_on(run, i);
}

/* For CLIENT LIST: the last request that ran, or that goes on. */
static void note_last(const struct run *run, uint32_t i) {
    uint32_t last = run->unfinished ? i : i - 1;
    if (last < run->input.count && run->plans[last].command)
        client_note_command(&run->connection->client, run->plans[last].command);
}

static enum run_outcome run_requests(struct run *run) {
    const struct fabric_settings *settings = &run->shard->fabric->settings;
    bool scatters = settings->order_by_shard && settings->shard_count > 1;
    uint32_t i = 0;
    if (is_doomed(run)) return RUN_DONE;
    enum run_outcome outcome = scatters ? run_scattering(run, &i) : run_in_order(run, &i);
    note_last(run, i);
    if (outcome == RUN_SUSPENDED && i == run->input.count) return RUN_DONE; /* all is on its way */
    if (outcome != RUN_DONE) parser_rewind(&run->connection->parser, &run->input, i);
    return outcome;
}

/* What is wrong with the bytes is answered behind all good requests, in its own place, then the
 * connection closes. */
static void answer_malformed(struct shard *shard, struct connection *connection) {
    connection->output.proto = connection->client.proto;
    reply_error_format(&connection->output, "ERR %s", connection->parser.error);
    connection->client.close_after_reply = true;
    connection_want_ready(shard, connection);
}

/* ---- From the input list ------------------------------------------------------------------------ */

/* The parser's limits are those of the moment: AUTH lifts them for what comes behind it. */
static void run_parse(struct shard *shard, struct run *run, struct connection *connection) {
    const struct fabric_settings *settings = &shard->fabric->settings;
    run->shard = shard;
    run->connection = connection;
    run->unfinished = run->postponed = run->waiting = false;
    run->reach = run->reach_rounds = 0;
    connection->parser.limits =
        connection->client.authenticated ? &settings->parser : &settings->parser_unauthenticated;
    struct plan_hint hint = {0};
    run->result = parser_run(&connection->parser, &run->input);
    const struct client *client = &connection->client;
    run->transacts = client_queues(client) || client->watcher;
    for (uint32_t i = 0; i < run->input.count; i++) {
        plan_request(shard->fabric, &run->input.requests[i], &hint, &run->plans[i]);
        const struct command *command = run->plans[i].command;
        run->transacts |= command && (command->open || command->group == GROUP_TRANSACTIONS);
    }
    run->mask = run_mask(run, 0);
    run->fetched = shard->held == shard->own && (run->mask & ~shard->own) == 0 &&
                   run->input.count <= RUN_GROUP;
    struct fetch fetch = fetch_of(run);
    if (run->fetched) run_fetch_buckets(&fetch, 0, run->input.count);
}

uint32_t run_gather(struct shard *shard) {
    struct shard_io *io = &shard->io;
    uint32_t count = 0, commands = 0;
    while (io->input_first && count < RUNS_AHEAD && commands < SLICE_COMMANDS) {
        struct connection *connection = connection_next_input(shard);
        if (connection->closing) continue;
        run_parse(shard, &io->runs[count], connection);
        commands += io->runs[count++].input.count;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct fetch fetch = fetch_of(&io->runs[i]);
        if (io->runs[i].fetched) run_fetch_entries(&fetch, 0, io->runs[i].input.count);
    }
    return count;
}

/* What is left to do for the connection once its requests ran. True: there is more for it now. */
static bool run_conclude(struct run *run, enum run_outcome outcome) {
    struct connection *connection = run->connection;
    connection_want_ready(run->shard, connection);
    connection->suspended = outcome == RUN_SUSPENDED || outcome == RUN_WAITING;
    if (KRT_UNLIKELY(outcome == RUN_PAUSED)) pause_connection(run->shard, connection);
    if (connection->suspended || connection->client.close_after_reply) return false;
    if (outcome == RUN_AGAIN) { /* a part of a long command fills a slice, and the clock is read */
        run->shard->io.slice_commands = SLICE_COMMANDS;
        return true;
    }
    if (run->result == PARSE_ERROR) {
        if (slots_pending(&connection->slots)) connection->suspended = true;
        else answer_malformed(run->shard, connection);
    } else if (run->result == PARSE_NO_MEMORY || connection->output.failed) {
        connection_end(run->shard, connection);
    }
    return run->result == PARSE_FULL;
}

void run_execute(struct run *run) {
    struct shard *shard = run->shard;
    struct connection *connection = run->connection;
    if (connection->closing) return;
    shard->io.slice_commands += run->input.count;
    enum run_outcome outcome = run_requests(run);
    bool vain =
        outcome == RUN_WAITING && connection->ended_input; /* nobody is there to be answered */
    if (KRT_UNLIKELY(connection->client.close_unanswered || vain))
        connection_end(shard, connection);
    else if (outcome == RUN_LOST || run_conclude(run, outcome))
        connection_want_input(shard, connection);
}

void run_undo(struct run *run) {
    if (run->connection->closing) return;
    parser_rewind(&run->connection->parser, &run->input, 0);
    connection_want_input(run->shard, run->connection);
}

/* Behind a forwarded request it waits: the answers keep their order. */
void run_busy(struct run *run) {
    struct connection *connection = run->connection;
    if (slots_pending(&connection->slots)) {
        parser_rewind(&connection->parser, &run->input, 0);
        run_conclude(run, RUN_SUSPENDED);
        return;
    }
    for (uint32_t i = 0; i < run->input.count && !connection->client.close_after_reply;)
        (void)refuse_busy(run, &i);
    if (KRT_UNLIKELY(connection->client.close_unanswered)) connection_end(run->shard, connection);
    else if (run_conclude(run, RUN_DONE)) connection_want_input(run->shard, connection);
}
