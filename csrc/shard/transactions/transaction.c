/* Transactions: the queue, and EXEC.
 *
 *   plain ──MULTI──▶ queueing ──EXEC, DISCARD, RESET──▶ plain
 *                     │    ▲
 *                     └────┘ a command, queued or refused (then spoiled)
 *
 * EXEC decides in this order: a spoiled queue is an error, a changed key answers nil, and only then anything runs.
 * The client stops watching before the first command, as nothing can come between them any more.
 */
#include "shard/transactions/transaction.h"

#include "shard/transactions/watch.h"

static void multi_command(struct call *call);
static void exec_command(struct call *call);

bool transaction_is_exec(const struct command *command) {
    return command->handler == exec_command;
}

static uint64_t watched_mask(const struct client *client) {
    return client->watcher ? client->watcher->mask : 0;
}

/* Of what runs at once while others are queued. */
static uint64_t needs_at_once(const struct client *client, const struct command *command) {
    if (command->handler == multi_command || command->first_key) return 0; /* an error, no more */
    uint64_t queued = transaction_is_exec(command) ? client->transaction->mask : 0;
    return queued | watched_mask(client);
}

/* What ends the watching takes the records away where they are. */
uint64_t transaction_needs(const struct client *client, const struct plan *plan) {
    const struct command *command = plan->command;
    if (!command) return 0;
    if (!plan->arity_ok) return transaction_is_exec(command) ? watched_mask(client) : 0;
    if (client_queues(client)) return command->at_once ? needs_at_once(client, command) : 0;
    bool unwatches = command->handler == unwatch_command ||
                     (command->at_once && command->handler != multi_command && !plan->hash_index);
    return plan->mask | (unwatches ? watched_mask(client) : 0);
}

static bool may_serve(const struct plan *plan) {
    return plan->command && plan->arity_ok && (plan->command->flags & CMD_WRITE);
}

static uint64_t queue_reach(struct fabric *fabric, const struct transaction *transaction,
                            uint64_t held) {
    uint64_t reach = held;
    for (const struct queued *at = transaction->first; at; at = at->next)
        if (may_serve(&at->plan))
            reach |= waiting_reach(fabric, held, at->plan.command, at->argv, at->argc);
    return reach;
}

uint64_t transaction_reach(struct fabric *fabric, const struct client *client,
                           const struct request *request, const struct plan *plan, uint64_t held) {
    if (client && client_queues(client)) {
        bool runs = plan->command && plan->arity_ok && transaction_is_exec(plan->command);
        return runs ? queue_reach(fabric, client->transaction, held) : held;
    }
    if (!may_serve(plan)) return held;
    return waiting_reach(fabric, held, plan->command, request->argv, request->argc);
}

static bool is_open(const struct client *client, const struct plan *plan) {
    const struct command *command = plan->command;
    if (!client || !client_queues(client)) return command->open;
    return transaction_is_exec(command) && client->transaction->open;
}

/* Where all shards are held there is nothing to come to. */
bool transaction_is_open(const struct fabric *fabric, const struct client *client,
                         const struct plan *plan) {
    if (!plan->command || !plan->arity_ok || !is_open(client, plan)) return false;
    uint64_t needs = client ? transaction_needs(client, plan) : plan->mask;
    return fabric->settings.shard_count > 1 && needs != fabric_all(fabric);
}

uint64_t transaction_flags(const struct client *client, const struct command *command) {
    if (KRT_LIKELY(!client || !client_queues(client) || !transaction_is_exec(command)))
        return command->flags;
    return command->flags | client->transaction->flags;
}

bool transaction_lacks(const struct client *client, const struct command *command, uint64_t flag) {
    if (!(command->flags & flag)) return true;
    if (!client || !client_queues(client) || !transaction_is_exec(command)) return false;
    return client->transaction->lacking & flag;
}

/* ---- The queue ---------------------------------------------------------------------------------- */

/* For CLIENT LIST and the limits of what clients hold. */
static void show(const struct client *client) {
    const struct transaction *transaction = client->transaction;
    uint64_t bytes = transaction->argument_bytes + transaction->count * sizeof(struct queued);
    atomic_store_relaxed(&client->card->queued, client_queues(client) ? transaction->count + 1 : 0);
    atomic_store_relaxed(&client->card->queued_bytes, bytes);
}

/* A blob stays where it is; everything else is copied behind the arguments. */
static size_t copied_bytes(const struct request *request) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < request->argc; i++)
        if (!(request->argv[i].flags & BYTES_BLOB)) bytes += request->argv[i].len;
    return bytes;
}

static void copy_arguments(struct transaction *transaction, struct queued *queued,
                           const struct request *request) {
    char *at = (char *)&queued->words[request->argc];
    for (uint32_t i = 0; i < request->argc; i++) {
        struct bytes from = request->argv[i];
        transaction->argument_bytes += from.len;
        if (from.flags & BYTES_BLOB) {
            blob_get(blob_of(from));
            queued->words[i] = from;
            transaction->has_blobs = true;
            continue;
        }
        bytes_copy(at, from.at, from.len);
        queued->words[i] = bytes_of(at, from.len);
        at += from.len;
    }
}

static struct queued *copy(struct transaction *transaction, const struct request *request) {
    size_t words = request->argc * sizeof(struct bytes);
    struct queued *queued =
        arena_alloc(&transaction->arena, sizeof *queued + words + copied_bytes(request));
    if (!queued) return NULL;
    copy_arguments(transaction, queued, request);
    queued->argv = queued->words;
    return queued;
}

static struct queued *borrow(struct transaction *transaction, const struct request *request) {
    struct queued *queued = arena_alloc(&transaction->arena, sizeof *queued);
    if (!queued) return NULL;
    for (uint32_t i = 0; i < request->argc; i++)
        transaction->argument_bytes += request->argv[i].len;
    queued->argv = request->argv;
    return queued;
}

static bool append(struct transaction *transaction, const struct request *request,
                   const struct plan *plan) {
    struct queued *queued =
        transaction->lent ? borrow(transaction, request) : copy(transaction, request);
    if (!queued) return false;
    queued->next = NULL;
    queued->plan = *plan;
    queued->argc = request->argc;
    if (transaction->last) transaction->last->next = queued;
    else transaction->first = queued;
    transaction->last = queued;
    transaction->count++;
    transaction->mask |= plan->mask;
    transaction->flags |= plan->command->flags;
    transaction->lacking |= ~plan->command->flags;
    transaction->open |= plan->command->open;
    return true;
}

void transaction_queue(struct client *client, struct reply *reply, const struct request *request,
                       const struct plan *plan) {
    struct transaction *transaction = client->transaction;
    bool is_lost = transaction->spoiled || watch_is_broken(client);
    if (!is_lost && !append(transaction, request, plan)) {
        transaction_spoil(client);
        reply_error(reply, "OOM out of memory: the command was not queued");
        return;
    }
    show(client);
    reply_simple(reply, "QUEUED");
    if (KRT_UNLIKELY(reply->failed)) transaction_spoil(client); /* nobody will know that it is */
}

void transaction_spoil(struct client *client) {
    if (client_queues(client)) client->transaction->spoiled = true;
}

static void put_blobs(const struct transaction *transaction) {
    for (const struct queued *queued = transaction->first; queued; queued = queued->next)
        for (uint32_t i = 0; i < queued->argc; i++)
            if (queued->argv[i].flags & BYTES_BLOB) blob_put(blob_of(queued->argv[i]));
}

static void empty(struct transaction *transaction) {
    if (transaction->has_blobs) put_blobs(transaction);
    struct arena arena = transaction->arena;
    arena_reset(&arena);
    *transaction = (struct transaction){.arena = arena};
}

void transaction_forget(struct client *client) {
    if (!client_queues(client)) return;
    client->call_flags &= ~(uint32_t)CALL_QUEUES;
    empty(client->transaction);
    show(client);
}

void transaction_discard(struct client *client) {
    watch_end(client);
    transaction_forget(client);
}

void transaction_free(struct client *client) {
    struct transaction *transaction = client->transaction;
    if (!transaction) return;
    if (transaction->has_blobs) put_blobs(transaction);
    arena_deinit(&transaction->arena);
    mem_free(NULL, transaction);
    client->transaction = NULL;
}

/* ---- EXEC --------------------------------------------------------------------------------------- */

/* The replies of a transaction. CLIENT REPLY inside it ends or begins the silence in the middle, as in Redis. */
struct answers {
    struct call *call;
    struct client *client;
    bool heard;
};

static void run_queued(struct answers *answers, const struct queued *queued, struct reply *reply) {
    struct call *call = answers->call;
    int64_t now_ms = call_now(call);
    struct request request = {.argv = queued->argv, .argc = queued->argc};
    struct origin origin = {
        .client = answers->client,
        .db = answers->client->db,
        .flags = (answers->client->call_flags & (CALL_NO_TOUCH | CALL_SUBSCRIBED | CALL_TRACKS)) |
                 (call->flags & CALL_PAUSED) | (answers->heard ? 0 : CALL_SILENT) | CALL_NESTED,
        .reply = reply,
        .now_ms = &now_ms,
        .reach = call->reach,
    };
    uint32_t errors = reply->errors;
    (void)execute_command(call_home(call), &origin, &request, &queued->plan);
    reply->errors = errors; /* it has been counted, and EXEC itself has not failed */
}

static void run_unheard(struct answers *answers, const struct queued *queued) {
    struct client *client = answers->client;
    struct reply unheard;
    reply_init(&unheard, answers->call->reply->pool, client->proto);
    run_queued(answers, queued, &unheard);
    answers->call->reply->proto = client->proto;
    answers->heard = client->call_flags & CALL_ALOUD;
    if (unheard.failed) answers->call->reply->failed = true;
    else if (answers->heard) reply_append(answers->call->reply, &unheard);
    reply_clear(&unheard);
}

static void run_heard(struct answers *answers, const struct queued *queued) {
    struct client *client = answers->client;
    run_queued(answers, queued, answers->call->reply);
    if (KRT_LIKELY(client->session || !(client->call_flags & CALL_SILENT))) return;
    answers->heard = false;
    client->call_flags &= ~(uint32_t)CALL_ALOUD;
}

/* The memory of the first keys is fetched together, as that of a run is. */
static void fetch(const struct call *call, const struct transaction *transaction, uint32_t db) {
    uint32_t count = 0;
    for (const struct queued *at = transaction->first; at && count < RUN_GROUP; at = at->next) {
        const struct plan *plan = &at->plan;
        if (!plan->hash_index) continue;
        struct keyspace *keyspace =
            call->domain->keyspaces[hash_shard(plan->hash, call->domain->shard_count)];
        keyspace_prefetch_bucket(keyspace, db, plan->hash);
        count++;
    }
}

static void run_all(struct call *call, struct client *client) {
    const struct transaction *transaction = client->transaction;
    bool silent = !client->session && (call->flags & (CALL_SILENT | CALL_SKIPPED));
    struct answers answers = {.call = call, .client = client, .heard = !silent};
    (void)call_now(call);
    fetch(call, transaction, client->db);
    if (!silent) reply_array(call->reply, transaction->count);
    for (const struct queued *at = transaction->first; at; at = at->next) {
        if (KRT_LIKELY(answers.heard)) run_heard(&answers, at);
        else run_unheard(&answers, at);
    }
}

static void exec_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    if (!client_queues(client)) {
        call_error(call, "ERR EXEC without MULTI");
        return;
    }
    client_note_command(client, call->command);
    bool changed = client->watcher && watch_has_changed(call, client);
    watch_end(client);
    if (client->transaction->spoiled)
        call_error(call, "EXECABORT Transaction discarded because of previous errors.");
    else if (changed) reply_null_array(call->reply);
    else run_all(call, client);
    transaction_discard(client);
}

/* ---- MULTI, DISCARD ----------------------------------------------------------------------------- */

static void multi_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    if (client_queues(client)) {
        call_error(call, "ERR MULTI calls can not be nested");
        return;
    }
    if (!client->transaction) client->transaction = mem_calloc(NULL, sizeof *client->transaction);
    if (!client->transaction) {
        call_error_memory(call);
        return;
    }
    client->call_flags |= CALL_QUEUES;
    show(client);
    reply_ok(call->reply);
}

static void discard_command(struct call *call) {
    struct client *client = client_of(call);
    if (!client) return;
    if (!client_queues(client)) {
        call_error(call, "ERR DISCARD without MULTI");
        return;
    }
    transaction_discard(client);
    reply_ok(call->reply);
}

void transaction_bind(void) {
    static const char *const at_once[] = {"multi", "exec", "discard", "watch", "quit", "reset"};
    command_bind("multi", multi_command);
    command_bind("exec", exec_command);
    command_bind("discard", discard_command);
    watch_bind();
    for (size_t i = 0; i < sizeof at_once / sizeof *at_once; i++) command_set_at_once(at_once[i]);
}
