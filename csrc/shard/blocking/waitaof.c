/* WAITAOF: until the last write of its client is synced, or its time is over. There are no replicas.
 *
 * It is told (await.h) by the log: the journal has a list of those who wait, and when more is synced the keeper answers them, since
 * that takes a baton, which the log's thread waits for as little as for anything else. */
#include "shard/blocking/waitaof.h"

#include "shard/shard.h"

static bool parse_range(struct call *call, uint32_t index, int64_t most, const char *text,
                        int64_t *out) {
    if (!call_integer(call, index, out)) return false;
    if (*out >= 0 && *out <= most) return true;
    call_error(call, text);
    return false;
}

static bool parse_timeout(struct call *call, int64_t *ms) {
    const char *error = NULL;
    if (!bytes_to_int64(call->argv[3], ms)) error = "ERR timeout is not an integer or out of range";
    else if (*ms < 0) error = "ERR timeout is negative";
    else if (*ms > INT64_MAX - call_now(call)) error = "ERR timeout is out of range";
    if (error) call_error(call, error);
    return !error;
}

/* ---- What is waited for ------------------------------------------------------------------------------ */

/* Everything that was queued until now; what is in the tails is queued first. */
static uint64_t whole_log(struct call *call) {
    struct fabric *fabric = fabric_of(call);
    struct aof *aof = atomic_load_relaxed(&fabric->journal.aof);
    (void)journal_seal_all(fabric, call_home(call)->data.outcomes.held | call_home(call)->own);
    return fabric->journal.base + aof_ticket(aof);
}

/* Of the client's last write; of a plain call in process, which has no memory, of every write. In the middle of a transaction its own
 * writes cannot be there yet. */
static uint64_t position_of(struct call *call) {
    const struct client *client = call->client;
    if (client && !client->has_logged) return client->log_ticket;
    return call->flags & CALL_NESTED ? UINT64_MAX : whole_log(call);
}

static bool is_synced(struct fabric *fabric, uint64_t ticket) {
    return ticket <= atomic_load_seq_cst(&fabric->journal.synced);
}

static void answer(struct reply *reply, bool local) {
    reply_array(reply, 2);
    reply_integer(reply, local);
    reply_integer(reply, 0);
}

/* As it is now. */
static void write_answer(struct reply *reply, void *context) {
    const struct waiter *waiter = context;
    answer(reply, is_synced(waiter->fabric, waiter->number));
}

static void nothing(const struct waiter *waiter, struct reply *reply) {
    answer(reply, is_synced(waiter->fabric, waiter->number));
}

void waitaof_answer(struct waiter *waiter) {
    await_answer(waiter, write_answer, waiter);
}

/* ---- The command --------------------------------------------------------------------------------------- */

static void begin(struct call *call, int64_t timeout_ms, uint64_t ticket, bool replicas) {
    static const struct await_kind kind = {nothing};
    struct fabric *fabric = fabric_of(call);
    if (!await_is_possible(call)) {
        answer(call->reply, is_synced(fabric, ticket));
        return;
    }
    struct waiter *waiter = await_begin(call, &kind, timeout_ms, ticket);
    if (!waiter) return;
    waiter->ticket = replicas ? UINT64_MAX : ticket; /* with replicas only its time ends it */
    journal_await_sync(fabric, waiter);
}

static void waitaof_command(struct call *call) {
    int64_t local, replicas, timeout_ms;
    if (!parse_range(call, 1, 1, "ERR value is out of range, value must between 0 and 1", &local) ||
        !parse_range(call, 2, INT64_MAX, "ERR value is out of range, must be positive",
                     &replicas) ||
        !parse_timeout(call, &timeout_ms))
        return;
    struct fabric *fabric = fabric_of(call);
    bool logs = atomic_load_relaxed(&fabric->journal.aof) != NULL;
    if (local && !logs) {
        call_error(call, "ERR WAITAOF cannot be used when numlocal is set but appendonly is "
                         "disabled.");
        return;
    }
    uint64_t ticket = logs ? position_of(call) : UINT64_MAX;
    bool done = replicas == 0 && (!local || is_synced(fabric, ticket));
    if (done) answer(call->reply, is_synced(fabric, ticket));
    else begin(call, timeout_ms, ticket, replicas != 0);
}

void waitaof_bind(void) {
    command_bind("waitaof", waitaof_command);
}
