#include "shard/caller.h"

#include "plat/clock.h"
#include "plat/futex.h"
#include "shard/calling.h"
#include "shard/transactions/transaction.h"

#define PAUSE_SLICE_NS UINT64_C(1000000000)
#define BRIEFLY_NS UINT64_C(1000000)

static uint64_t deadline_ns(enum caller_patience patience) {
    return patience == CALLER_WAITS ? FUTEX_NO_DEADLINE : clock_monotonic_ns() + BRIEFLY_NS;
}

static enum caller_result take_set(struct fabric *fabric, uint64_t mask,
                                   enum caller_patience patience) {
    if (KRT_LIKELY(baton_set_try(&fabric->set, mask))) return CALLER_DONE;
    if (baton_is_closed(&fabric->batons[__builtin_ctzll(mask)])) return CALLER_STOPPED;
    if (patience == CALLER_TRIES) return CALLER_WOULD_WAIT;
    switch (baton_set_take(&fabric->set, mask, deadline_ns(patience))) {
    case BATON_TAKEN:
        return CALLER_DONE;
    case BATON_BUSY:
        return CALLER_WOULD_WAIT;
    case BATON_GONE:
    case BATON_HUSHED:
        break;
    }
    return CALLER_STOPPED;
}

enum caller_result calling_take(struct fabric *fabric, uint64_t mask,
                                enum caller_patience patience) {
    enum caller_result result = take_set(fabric, mask, patience);
    if (result == CALLER_DONE) calling_home(fabric, mask)->data.outcomes.held = mask;
    return result;
}

enum caller_result calling_take_any(struct fabric *fabric, uint64_t *mask,
                                    enum caller_patience patience) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct shard *shard = fabric->shards[i];
        if (!baton_try(shard->baton)) continue;
        *mask = shard->data.outcomes.held = shard->own;
        return CALLER_DONE;
    }
    *mask = 1;
    return calling_take(fabric, *mask, patience);
}

uint64_t calling_drop(struct shard *home, uint64_t mask) {
    uint64_t ticket = turn_seal(home, mask, mask);
    baton_set_drop(&home->fabric->set, mask);
    return ticket;
}

struct shard *caller_take(struct fabric *fabric, uint64_t mask) {
    return calling_take(fabric, mask, CALLER_WAITS) == CALLER_DONE ? calling_home(fabric, mask)
                                                                   : NULL;
}

uint64_t caller_drop(struct fabric *fabric, uint64_t mask) {
    return calling_drop(calling_home(fabric, mask), mask);
}

bool caller_take_all(struct fabric *fabric) {
    return caller_take(fabric, fabric_all(fabric)) != NULL;
}

void caller_drop_all(struct fabric *fabric) {
    (void)calling_drop(fabric->shards[0], fabric_all(fabric));
}

/* What is missing of what those need whom the request may serve (blocking/reach.c). After some rounds that is everything. */
static uint64_t missing(struct fabric *fabric, const struct origin *origin,
                        const struct request *request, const struct plan *plan, uint64_t held,
                        int round) {
    if (KRT_LIKELY(!waiting_reaches(&fabric->domain))) return 0;
    uint64_t reach = transaction_reach(fabric, origin->client, request, plan, held);
    if (reach & ~held && round > REACH_ROUNDS) reach = fabric_all(fabric);
    return reach & ~held;
}

/* Takes what the request needs, and what those need whom it may serve. */
static enum caller_result take_reach(struct fabric *fabric, const struct origin *origin,
                                     const struct request *request, const struct plan *plan,
                                     enum caller_patience patience, uint64_t *mask) {
    for (int round = 1;; round++) {
        enum caller_result result = *mask ? calling_take(fabric, *mask, patience)
                                          : calling_take_any(fabric, mask, patience);
        if (result != CALLER_DONE) return result;
        uint64_t more = missing(fabric, origin, request, plan, *mask, round);
        if (KRT_LIKELY(more == 0)) return result;
        (void)calling_drop(calling_home(fabric, *mask), *mask);
        *mask |= more;
    }
}

static enum caller_result result_of(enum execute_result result) {
    if (result == EXECUTE_POSTPONED) return CALLER_PAUSED;
    return result == EXECUTE_WAITING ? CALLER_WAITING : CALLER_DONE;
}

/* With the batons of `held`. */
static enum caller_result run_held(struct fabric *fabric, const struct origin *origin,
                                   const struct request *request, const struct plan *plan,
                                   struct shard *home) {
    enum execute_result result = EXECUTE_DONE;
    domain_keep_time(&fabric->domain);
    if (origin->client && execute_refused(origin->client, origin->reply, request, plan))
        execute_count_refused(home, origin->reply, plan);
    else result = execute_command(home, origin, request, plan);
    if (origin->reply->failed) return CALLER_NO_MEMORY;
    return result_of(result);
}

static enum caller_result run_closed(struct fabric *fabric, const struct origin *origin,
                                     const struct request *request, const struct plan *plan,
                                     uint64_t mask, enum caller_patience patience,
                                     uint64_t *ticket) {
    enum caller_result result = take_reach(fabric, origin, request, plan, patience, &mask);
    if (result != CALLER_DONE) return result;
    struct shard *home = calling_home(fabric, mask);
    result = run_held(fabric, origin, request, plan, home);
    *ticket = calling_drop(home, mask);
    return result;
}

/* With the ticket, a place that is missing is taken without dropping the others. */
static void extend(struct fabric *fabric, const struct origin *origin,
                   const struct request *request, const struct plan *plan) {
    uint64_t more, *held = origin->reach->held;
    for (int round = 1; (more = missing(fabric, origin, request, plan, *held, round)); round++)
        call_reach_extend(origin->reach, more);
}

/* A call whose set is open: the ticket, then what is known, then what the call comes to. */
static enum caller_result run_open(struct fabric *fabric, const struct origin *origin,
                                   const struct request *request, const struct plan *plan,
                                   uint64_t mask, enum caller_patience patience, uint64_t *ticket) {
    uint64_t held = mask;
    struct call_reach reach = {&fabric->set, &held, board_let_go};
    struct origin reaching = *origin;
    reaching.reach = &reach;
    enum baton_result has = baton_ticket_take(&fabric->set, deadline_ns(patience));
    if (has != BATON_TAKEN) return has == BATON_BUSY ? CALLER_WOULD_WAIT : CALLER_STOPPED;
    enum caller_result result = calling_take(fabric, mask, patience);
    if (result == CALLER_DONE) {
        extend(fabric, &reaching, request, plan);
        result = run_held(fabric, &reaching, request, plan, calling_home(fabric, mask));
        *ticket = calling_drop(calling_home(fabric, mask), held);
    }
    baton_ticket_drop(&fabric->set);
    return result;
}

static enum caller_result run_once(struct fabric *fabric, const struct origin *origin,
                                   const struct request *request, const struct plan *plan,
                                   enum caller_patience patience, uint64_t *ticket) {
    uint64_t needs = origin->client ? transaction_needs(origin->client, plan) : plan->mask;
    if (KRT_LIKELY(!transaction_is_open(fabric, origin->client, plan)))
        return run_closed(fabric, origin, request, plan, needs, patience, ticket);
    if (patience == CALLER_TRIES) return CALLER_WOULD_WAIT;
    return run_open(fabric, origin, request, plan, needs ? needs : 1, patience, ticket);
}

/* Who is in a pause's way looks around meanwhile: the pause may be long, and a signal may have come. */
enum caller_result calling_pause(struct fabric *fabric, uint32_t bell,
                                 enum caller_patience patience) {
    if (patience == CALLER_TRIES) return CALLER_WOULD_WAIT;
    if (patience == CALLER_WAITS_BRIEFLY) return CALLER_PAUSED;
    pause_sleep(fabric, bell, clock_monotonic_ns() + PAUSE_SLICE_NS);
    return CALLER_PAUSED;
}

enum caller_result calling_run(struct fabric *fabric, const struct origin *origin,
                               const struct request *request, const struct plan *plan,
                               enum caller_patience patience, uint64_t *ticket) {
    uint32_t bell = atomic_load_seq_cst(&fabric->pause_bell);
    enum caller_result result = run_once(fabric, origin, request, plan, patience, ticket);
    if (KRT_LIKELY(result != CALLER_PAUSED)) return result;
    return calling_pause(fabric, bell, patience);
}

static void note_position(const struct plan *plan, const struct origin *origin, uint64_t *ticket) {
    struct client *client = origin->client;
    if (client && client->has_logged) {
        client->has_logged = false;
        client->log_ticket = *ticket;
    } else if (plan->command && !(plan->command->flags & CMD_WRITE)) {
        *ticket |= JOURNAL_OF_READ;
    }
}

enum caller_result caller_run(struct fabric *fabric, struct client *client, uint32_t db,
                              const struct command *command, const struct bytes *argv,
                              uint32_t argc, enum caller_patience patience, struct reply *reply,
                              struct waiter **waiter, uint64_t *ticket) {
    struct request request = {.argv = argv, .argc = argc};
    struct plan plan;
    int64_t now_ms = 0;
    struct origin origin = {.client = client,
                            .db = client ? client->db : db,
                            .flags = client ? client->call_flags : 0,
                            .reply = reply,
                            .now_ms = &now_ms,
                            .waiter = waiter};
    if (waiter) origin.flags |= CALL_MAY_WAIT;
    *ticket = 0;
    plan_request(fabric, &request, &(struct plan_hint){.known = command}, &plan);
    if (!client && execute_refused(client, reply, &request, &plan)) return CALLER_DONE;
    enum caller_result result = calling_run(fabric, &origin, &request, &plan, patience, ticket);
    if (KRT_UNLIKELY(*ticket != 0)) note_position(&plan, &origin, ticket);
    return result;
}

/* ---- One string key ----------------------------------------------------------------------------- */

static enum caller_result enter(struct fabric *fabric, uint64_t hash, enum caller_patience patience,
                                struct shard **out) {
    *out = fabric->shards[hash_shard(hash, fabric->settings.shard_count)];
    if (KRT_LIKELY(baton_try((*out)->baton))) {
        (*out)->data.outcomes.held = (*out)->own;
        return CALLER_DONE;
    }
    return calling_take(fabric, (*out)->own, patience);
}

/* The turn's end also completes what the call brought about. */
static uint64_t leave(struct shard *shard) {
    uint64_t ticket = turn_seal_one(shard);
    baton_drop(shard->baton);
    return ticket;
}

/* The handler's call, for what the fast path must not decide itself: an expiry, an effect. */
static struct call fast_call(struct shard *shard, const struct command *command, uint32_t db,
                             const struct bytes *argv, uint32_t argc, uint64_t hash,
                             struct reply *reply) {
    shard->data.counters.commands++;
    domain_keep_time(&shard->fabric->domain);
    return (struct call){
        .command = command,
        .argv = argv,
        .argc = argc,
        .db = db,
        .reply = reply,
        .domain = &shard->fabric->domain,
        .effects = &shard->data.effects,
        .first_hash = hash,
        .first_hash_index = 1,
    };
}

static enum caller_result copy_out(struct bytes value, char *small, uint32_t capacity,
                                   uint32_t *len, struct blob **large, enum caller_found *found) {
    *len = value.len;
    if (value.len <= capacity) {
        bytes_copy(small, value.at, value.len);
        *found = CALLER_SMALL;
        return CALLER_DONE;
    }
    *large = value.flags & BYTES_BLOB ? blob_get(blob_of(value)) : blob_copy(NULL, value);
    *found = CALLER_LARGE;
    return *large ? CALLER_DONE : CALLER_NO_MEMORY;
}

enum caller_result caller_get(struct fabric *fabric, uint32_t db, struct bytes key,
                              enum caller_patience patience, char *small, uint32_t capacity,
                              uint32_t *len, struct blob **large, enum caller_found *found,
                              uint64_t *ticket) {
    struct shard *shard;
    struct bytes argv[] = {BYTES_LITERAL("GET"), key};
    uint64_t hash = hash_bytes(&fabric->domain.hash_seed, key.at, key.len);
    enum caller_result result = enter(fabric, hash, patience, &shard);
    if (KRT_UNLIKELY(result != CALLER_DONE)) return result;
    if (KRT_UNLIKELY((fabric->domain.gates & ~(uint32_t)GATE_MEMORY) || fabric->times_all)) {
        (void)leave(shard);
        return CALLER_GATED;
    }
    struct command_statistics *own = statistics_of(&shard->data.statistics, fabric->get_command);
    uint64_t start = statistics_begin(own);
    struct call call = fast_call(shard, fabric->get_command, db, argv, 2, hash, NULL);
    struct key_place place = {key, hash, &shard->data.keyspace, db};
    struct entry *entry = call_read(&call, &place);
    if (!entry) *found = CALLER_MISSING;
    else if (entry_type(entry) != VALUE_STRING) *found = CALLER_WRONG_TYPE;
    else if (!keyspace_join_string(place.keyspace, db, entry)) result = CALLER_NO_MEMORY;
    else result = copy_out(entry_string(entry), small, capacity, len, large, found);
    statistics_end_call(&shard->data.statistics, &call, start, fabric->settings.latency_tracking);
    *ticket = leave(shard);
    if (KRT_UNLIKELY(*ticket != 0)) *ticket |= JOURNAL_OF_READ;
    return result;
}

enum caller_result caller_set(struct fabric *fabric, uint32_t db, struct bytes key,
                              struct bytes value, enum caller_patience patience, uint64_t *ticket) {
    struct shard *shard;
    struct reply reply;
    struct bytes argv[] = {BYTES_LITERAL("SET"), key, value};
    uint64_t hash = hash_bytes(&fabric->domain.hash_seed, key.at, key.len);
    enum caller_result result = enter(fabric, hash, patience, &shard);
    if (KRT_UNLIKELY(result != CALLER_DONE)) return result;
    if (KRT_UNLIKELY(fabric->domain.gates || fabric->times_all ||
                     waiting_reaches(&fabric->domain))) {
        (void)leave(shard);
        return CALLER_GATED;
    }
    reply_init(&reply, NULL, 3);
    reply.failed = true; /* nobody reads it: what is appended is dropped */
    struct command_statistics *own = statistics_of(&shard->data.statistics, fabric->set_command);
    uint64_t start = statistics_begin(own);
    struct call call = fast_call(shard, fabric->set_command, db, argv, 3, hash, &reply);
    fabric->set_command->handler(&call);
    statistics_end_call(&shard->data.statistics, &call, start, fabric->settings.latency_tracking);
    *ticket = leave(shard);
    return call.failed ? CALLER_NO_MEMORY : CALLER_DONE;
}
