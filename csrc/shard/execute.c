/* One command: the checks that come before every handler, in Redis's order, then the handler. */
#include <stdio.h>

#include "shard/board/pubsub.h"
#include "shard/shard.h"
#include "shard/transactions/transaction.h"

static bool lacks_authentication(const struct client *client, const struct command *command) {
    return KRT_UNLIKELY(!client->authenticated) && !(command->flags & CMD_NO_AUTH);
}

/* A web page can make a browser send us an HTTP request whose body holds commands: as Redis does, its
 * first line ends the connection without an answer. */
static bool is_http(const struct request *request) {
    return bytes_is(request->argv[0], "post") || bytes_is(request->argv[0], "host:");
}

static void refuse_unknown(struct client *client, struct reply *reply,
                           const struct request *request, const struct plan *plan) {
    if (client && is_http(request)) client->close_after_reply = client->close_unanswered = true;
    else call_reply_unknown(reply, plan->names, request->argv, request->argc);
}

/* A container runs nothing by itself, but a call of it alone is a known command too short. */
static bool is_known(const struct command *command) {
    return command && (command->handler || command->subcommand_count);
}

/* EXEC says why it does not run in the words of the error, and ends the transaction. */
void execute_reject(struct client *client, struct reply *reply, const struct plan *plan,
                    const char *error) {
    if (client && plan->command && transaction_is_exec(plan->command)) {
        transaction_discard(client);
        reply_error_format(reply, "EXECABORT Transaction discarded because of: %s", error);
        return;
    }
    reply_error(reply, error);
    if (client) transaction_spoil(client);
}

void execute_reject_format(struct client *client, struct reply *reply, const struct plan *plan,
                           const char *format) {
    char error[256];
    bool bare = client && transaction_is_exec(plan->command); /* then the code is another one */
    int len = snprintf(error, sizeof error, "%s", bare ? "" : "ERR ");
    (void)snprintf(error + len, sizeof error - (size_t)len, format, plan->command->full_name);
    execute_reject(client, reply, plan, error);
}

static void refuse_and_spoil(struct client *client, struct reply *reply,
                             const struct request *request, const struct plan *plan) {
    refuse_unknown(client, reply, request, plan);
    if (client) transaction_spoil(client);
}

/* Is the client in a state in which it may not run everything? One test for all of them. */
static bool is_engaged(const struct client *client) {
    return KRT_UNLIKELY(client->listens | (client->call_flags & (CALL_QUEUES | CALL_SUBSCRIBED)));
}

static bool refused_meanwhile(struct client *client, struct reply *reply, const struct plan *plan) {
    if (client_queues(client) && (plan->command->flags & CMD_NO_MULTI)) {
        execute_reject(client, reply, plan, "ERR Command not allowed inside a transaction");
        return true;
    }
    return pubsub_refuses(client, reply, plan) || monitor_refuses(client, reply, plan);
}

bool execute_refused(struct client *client, struct reply *reply, const struct request *request,
                     const struct plan *plan) {
    if (KRT_UNLIKELY(!is_known(plan->command))) {
        refuse_and_spoil(client, reply, request, plan);
        return true;
    }
    if (KRT_UNLIKELY(!plan->arity_ok)) {
        execute_reject_format(client, reply, plan, "wrong number of arguments for '%s' command");
        return true;
    }
    if (KRT_UNLIKELY(!plan->command->handler)) { /* a container whose subcommands have one */
        refuse_and_spoil(client, reply, request, plan);
        return true;
    }
    if (client && lacks_authentication(client, plan->command)) {
        execute_reject(client, reply, plan, "NOAUTH Authentication required.");
        return true;
    }
    return client && is_engaged(client) && refused_meanwhile(client, reply, plan);
}

void execute_count_refused(struct shard *home, const struct reply *reply, const struct plan *plan) {
    statistics_error(&home->data.statistics, plan->command, false, reply->error_code);
}

enum passage { PASSED, REFUSED, POSTPONED, LATE };

/* What is queued takes memory as well, whatever it is; what ends the queue does not. */
static bool may_take_memory(const struct client *client, const struct plan *plan) {
    if (transaction_flags(client, plan->command) & CMD_DENYOOM) return true;
    return client && client_queues(client) && (!plan->command->at_once || plan->hash_index);
}

static bool has_room(struct shard *home, const struct origin *origin, const struct plan *plan) {
    const struct client *client = origin->client;
    if ((home->fabric->domain.gates & (GATE_MEMORY | GATE_LOADING)) != GATE_MEMORY) return true;
    uint64_t held = client ? transaction_needs(client, plan) : plan->mask;
    if (budget_make_room(home, held) || !may_take_memory(client, plan)) return true;
    execute_reject(origin->client, origin->reply, plan,
                   "OOM command not allowed when used memory > 'maxmemory'.");
    statistics_error(&home->data.statistics, plan->command, false, origin->reply->error_code);
    return false;
}

/* What is written could not be made durable, so it is refused before it is done. PING tells, as in Redis. */
static bool is_denied(struct shard *home, const struct origin *origin, const struct plan *plan) {
    static const char snapshot[] =
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist "
        "to disk. Commands that may modify the data set are disabled, because this instance is "
        "configured to report errors during writes if RDB snapshotting fails "
        "(stop-writes-on-bgsave-error option). Please check the Redis logs for details about the "
        "RDB error.";
    const struct domain *domain = &home->fabric->domain;
    char text[160];
    bool writes = transaction_flags(origin->client, plan->command) & CMD_WRITE;
    if (!writes && plan->command != home->fabric->ping_command) return false;
    (void)snprintf(text, sizeof text, "MISCONF Errors writing to the AOF file: %s",
                   domain->disk_why);
    bool of_snapshot = domain->disk_trouble & DISK_TROUBLE_SNAPSHOT;
    execute_reject(origin->client, origin->reply, plan, of_snapshot ? snapshot : text);
    statistics_error(&home->data.statistics, plan->command, false, origin->reply->error_code);
    return true;
}

/* What is not whole yet is shown to nobody. */
static bool is_loading(struct shard *home, const struct origin *origin, const struct plan *plan) {
    if (KRT_LIKELY(!(home->fabric->domain.gates & GATE_LOADING))) return false;
    if (!transaction_lacks(origin->client, plan->command, CMD_LOADING)) return false;
    execute_reject(origin->client, origin->reply, plan,
                   "LOADING Redis is loading the dataset in memory");
    statistics_error(&home->data.statistics, plan->command, false, origin->reply->error_code);
    return true;
}

/* Nothing is evicted for it: what has no room whatever happens is told so first, as in Redis. */
static enum passage pass_failing_disk(struct shard *home, const struct origin *origin,
                                      const struct plan *plan, struct call *call) {
    bool keeps = home->fabric->settings.budget.policy == EVICT_NOTHING;
    if (keeps && !has_room(home, origin, plan)) return REFUSED;
    if (is_denied(home, origin, plan)) return REFUSED;
    if (domain_log_fails(&home->fabric->domain)) call->flags |= CALL_PAUSED;
    return PASSED;
}

/* What the domain's gates ask for. During a pause nothing is evicted, and what may run leaves the data as it
 * is. */
static enum passage pass_checks(struct shard *home, const struct origin *origin,
                                const struct plan *plan, struct call *call) {
    const struct domain *domain = &home->fabric->domain;
    home->data.ended_ticks = 0;
    if (KRT_UNLIKELY(domain->gates & GATE_DISK) &&
        pass_failing_disk(home, origin, plan, call) == REFUSED)
        return REFUSED;
    if (is_loading(home, origin, plan)) return REFUSED;
    if (!pause_is_in_force(domain)) {
        bool evicts = !domain_log_fails(domain);
        return !evicts || has_room(home, origin, plan) ? PASSED : REFUSED;
    }
    if (pause_stops(domain, transaction_flags(origin->client, plan->command))) return POSTPONED;
    call->flags |= CALL_PAUSED;
    return PASSED;
}

/* What has passed them may meet a fault. */
static enum passage pass_gates(struct shard *home, const struct origin *origin,
                               const struct request *request, const struct plan *plan,
                               struct call *call) {
    enum passage passage = pass_checks(home, origin, plan, call);
    bool meets = (call->domain->gates & GATE_FAULTS) && !(call->flags & CALL_SPARED);
    if (KRT_LIKELY(!meets) || passage != PASSED) return passage;
    switch (faults_meet(home, origin, request, plan, call)) {
    case FAULTED_NOT:
        return PASSED;
    case FAULTED_DONE:
        return REFUSED;
    case FAULTED_LATE:
        break;
    }
    return LATE;
}

static enum execute_result result_of(enum passage passage) {
    if (passage == LATE) return EXECUTE_WAITING;
    return passage == REFUSED ? EXECUTE_DONE : EXECUTE_POSTPONED;
}

/* What an open call brings about may take it to further places. */
static void finish(struct shard *home, const struct origin *origin) {
    struct outcomes *outcomes = &home->data.outcomes;
    outcomes->reach = origin->reach;
    if (outcomes->reach) outcomes->held = *outcomes->reach->held;
    outcomes_finish(home);
    outcomes->reach = NULL;
    home->data.ended_ticks = 0; /* it is not the next one's time */
}

static inline void complete(struct shard *home, const struct origin *origin) {
    if (KRT_UNLIKELY(home->data.outcomes.pending && !(origin->flags & CALL_NESTED)))
        finish(home, origin);
}

static bool may_wait(const struct origin *origin) {
    return (origin->flags & (CALL_MAY_WAIT | CALL_NESTED)) == CALL_MAY_WAIT;
}

/* Every command's time is known, for the slow log. Behind another one the clock is not read again, which
 * matters where they are short; what is measured for statistics begins exactly. */
static uint64_t when_begun(const struct shard *home, uint64_t measured) {
    if (measured) return measured;
    uint64_t before = home->data.ended_ticks;
    return KRT_LIKELY(before) ? before : clock_ticks();
}

/* What waits is shown when it begins, and not again when it is served. */
static void show(struct shard *home, const struct origin *origin, const struct call *call) {
    if (KRT_LIKELY(!(call->domain->gates & GATE_MONITOR))) return;
    monitor_show(home, origin, call);
    home->data.ended_ticks = 0;
}

/* A command that is done in parts took the time of all of them. */
static enum execute_result unfinished(const struct origin *origin, uint64_t ticks) {
    struct client *client = origin->client;
    if (client) {
        client->spent_ticks += ticks;
        client->call_flags |= CALL_RESUMED;
    }
    return EXECUTE_UNFINISHED;
}

static uint64_t take_spent(const struct origin *origin) {
    struct client *client = origin->client;
    if (KRT_LIKELY(!(origin->flags & CALL_RESUMED))) return 0;
    uint64_t ticks = client->spent_ticks;
    client->spent_ticks = 0;
    client->call_flags &= ~(uint32_t)CALL_RESUMED;
    return ticks;
}

/* What its call has begun to wait with. */
static struct waiter *waiter_of(const struct origin *origin) {
    return origin->waiter ? *origin->waiter : origin->client->waiter;
}

static void note_time(struct shard *home, const struct origin *origin,
                      const struct request *request, const struct plan *plan, uint64_t ticks) {
    if (KRT_UNLIKELY(ticks >= home->fabric->slow_ticks))
        slowlog_note(home, origin, request, plan, ticks);
}

/* What somebody wants to know of the command; apart, so that the others do not pay for it. */
__attribute__((noinline)) static void observe(struct shard *home, const struct origin *origin,
                                              const struct request *request,
                                              const struct plan *plan, const struct call *call,
                                              uint64_t ticks) {
    note_time(home, origin, request, plan, ticks + take_spent(origin));
    show(home, origin, call);
}

static bool is_observed(const struct shard *home, const struct call *call, uint64_t ticks) {
    return KRT_UNLIKELY(ticks >= home->fabric->slow_ticks) ||
           KRT_UNLIKELY(call->domain->gates & GATE_MONITOR) ||
           KRT_UNLIKELY(call->flags & CALL_RESUMED);
}

enum execute_result execute_command(struct shard *home, const struct origin *origin,
                                    const struct request *request, const struct plan *plan) {
    struct statistics *statistics = &home->data.statistics;
    struct command_statistics *own = statistics_of(statistics, plan->command);
    struct call call = {
        .command = plan->command,
        .argv = request->argv,
        .argc = request->argc,
        .db = origin->db,
        .reply = origin->reply,
        .client = origin->client,
        .domain = &home->fabric->domain,
        .effects = &home->data.effects,
        .first_hash = plan->hash,
        .first_hash_index = plan->hash_index,
        .now_ms = *origin->now_ms,
        .flags = origin->flags,
        .wait = may_wait(origin) ? waiter_begin : NULL,
        .reach = origin->reach,
        .waiter = origin->waiter,
    };
    if (KRT_UNLIKELY(call.domain->gates) && !(origin->flags & CALL_NESTED)) {
        enum passage passage = pass_gates(home, origin, request, plan, &call);
        if (KRT_UNLIKELY(passage != PASSED)) {
            complete(home, origin); /* what was evicted in vain */
            return result_of(passage);
        }
    }
    if (KRT_UNLIKELY(origin->flags & CALL_QUEUES) && !plan->command->at_once) {
        transaction_queue(origin->client, origin->reply, request, plan);
        return EXECUTE_DONE;
    }
    uint32_t errors = origin->reply->errors;
    uint64_t measured = statistics_begin(own), start = when_begun(home, measured);
    plan->command->handler(&call);
    uint64_t end = home->data.ended_ticks = clock_ticks();
    *origin->now_ms = call.now_ms;
    if (KRT_UNLIKELY(call.flags & CALL_TRACKS) && !call.unfinished)
        tracking_remember(&call, call.client->tracker);
    if (KRT_UNLIKELY(call.unfinished || call.waits)) {
        statistics_interrupt(own, measured);
        if (call.unfinished) return unfinished(origin, end - start);
        show(home, origin, &call);
        waiter_of(origin)->spent_ticks = end - start;
        if (home->data.outcomes.pending) finish(home, origin);
        return EXECUTE_WAITING;
    }
    home->data.counters.commands++;
    statistics_end_call(statistics, &call, measured, home->fabric->settings.latency_tracking);
    if (KRT_UNLIKELY(is_observed(home, &call, end - start)))
        observe(home, origin, request, plan, &call, end - start);
    complete(home, origin);
    if (KRT_UNLIKELY(origin->reply->errors != errors))
        statistics_error(statistics, plan->command, true, origin->reply->error_code);
    return EXECUTE_DONE;
}

/* ---- Of a log ------------------------------------------------------------------------------------- */

bool execute_logged(struct shard *home, const struct request *request, const struct plan *plan,
                    uint32_t db, struct reply *reply, int64_t *now_ms) {
    struct call call = {
        .command = plan->command,
        .argv = request->argv,
        .argc = request->argc,
        .db = db,
        .reply = reply,
        .domain = &home->fabric->domain,
        .effects = &home->data.effects,
        .first_hash = plan->hash,
        .first_hash_index = plan->hash_index,
        .now_ms = *now_ms,
        .flags = CALL_LOADING,
    };
    plan->command->handler(&call);
    *now_ms = call.now_ms;
    return !call.failed;
}

/* ---- Of those who wait ----------------------------------------------------------------------------- */

static bool wait_on(struct call *call, const struct call_wait *wait) {
    (void)call, (void)wait;
    return true;
}

/* The log shows what its client sent, and the time of its command, not of its waiting. */
static void note_waiter(struct shard *home, const struct waiter *waiter) {
    struct plan plan = {.command = waiter->command};
    struct request request = {.argv = waiter->asked, .argc = waiter->argc};
    struct origin origin = {.card = waiter->card};
    note_time(home, &origin, &request, &plan, waiter->spent_ticks);
}

/* It counts when it is done, once, as if it had not run before. */
enum execute_result execute_again(struct shard *home, struct waiter *waiter) {
    int64_t now_ms = 0;
    struct plan plan = {.command = waiter->command, .mask = waiter->mask, .arity_ok = true};
    struct origin origin = {
        .db = waiter->db, .reply = &waiter->reply, .now_ms = &now_ms, .card = waiter->card};
    struct command_statistics *own = statistics_of(&home->data.statistics, waiter->command);
    struct call call = {
        .command = waiter->command,
        .argv = waiter->argv,
        .argc = waiter->argc,
        .db = waiter->db,
        .reply = &waiter->reply,
        .domain = &home->fabric->domain,
        .effects = &home->data.effects,
        .flags = (waiter->flags & CALL_NO_TOUCH) | CALL_NESTED,
        .wait = wait_on,
    };
    if (KRT_UNLIKELY(!has_room(home, &origin, &plan))) return EXECUTE_DONE;
    uint64_t measured = statistics_begin(own), start = when_begun(home, measured);
    waiter->command->handler(&call);
    uint64_t end = home->data.ended_ticks = clock_ticks();
    waiter->spent_ticks += end - start;
    if (call.waits) {
        statistics_interrupt(own, measured);
        return EXECUTE_WAITING;
    }
    if (waiter->tracker) tracking_remember(&call, waiter->tracker);
    home->data.counters.commands++;
    statistics_end_call(&home->data.statistics, &call, measured,
                        home->fabric->settings.latency_tracking);
    note_waiter(home, waiter);
    if (KRT_UNLIKELY(waiter->reply.errors))
        statistics_error(&home->data.statistics, waiter->command, true, waiter->reply.error_code);
    return EXECUTE_DONE;
}

void execute_count_done(struct shard *home, const struct waiter *waiter,
                        const struct reply *reply) {
    const struct command *command = waiter->command;
    struct statistics *statistics = &home->data.statistics;
    struct command_statistics *own = statistics_of(statistics, command);
    home->data.counters.commands++;
    statistics_end(own, statistics_begin(own), home->fabric->settings.latency_tracking);
    note_waiter(home, waiter);
    if (reply && reply->errors) statistics_error(statistics, command, true, reply->error_code);
}

/* ---- Without the place ----------------------------------------------------------------------------- */

static bool may_run_busy(const struct request *request, const struct plan *plan) {
    const struct command *command = plan->command;
    if (!(command->flags & CMD_ALLOW_BUSY) || plan->mask || plan->hash_index) return false;
    if (!bytes_is(request->argv[0], "shutdown")) return true;
    return request->argc > 1 && bytes_is(request->argv[1], "nosave");
}

void execute_busy(struct client *client, struct reply *reply, const struct request *request,
                  const struct plan *plan, struct fabric *fabric) {
    if (execute_refused(client, reply, request, plan)) return;
    if (!may_run_busy(request, plan)) {
        execute_reject(client, reply, plan,
                       "BUSY Redis is busy running a script. You can only call SCRIPT KILL or "
                       "SHUTDOWN NOSAVE.");
        return;
    }
    if (client_queues(client) && !plan->command->at_once) {
        transaction_queue(client, reply, request, plan);
        return;
    }
    struct call call = {
        .command = plan->command,
        .argv = request->argv,
        .argc = request->argc,
        .db = client->db,
        .reply = reply,
        .client = client,
        .domain = &fabric->domain,
    };
    plan->command->handler(&call);
}
