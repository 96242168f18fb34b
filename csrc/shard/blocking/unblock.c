/* CLIENT UNBLOCK: ends the waiting of a client.
 *
 * It holds all batons, so that nobody is just being served: the client either waits, or it was served or timed out
 * before, and the answer says which. */
#include "shard/shard.h"

static bool parse_reason(struct call *call, bool *error) {
    *error = call->argc == 4 && bytes_is(call->argv[3], "error");
    if (call->argc < 4 || *error || bytes_is(call->argv[3], "timeout")) return true;
    call_error(call, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    return false;
}

/* Counted; NULL: there is no such client, or it does not wait. */
static struct waiter *find(struct registry *registry, int64_t id) {
    struct waiter *waiter = NULL;
    pthread_mutex_lock(&registry->lock);
    struct card *card = id > 0 ? registry_find(registry, (uint64_t)id) : NULL;
    if (card && card->waiter) waiter = waiter_get(card->waiter);
    pthread_mutex_unlock(&registry->lock);
    return waiter;
}

static bool unblock(struct shard *home, struct waiter *waiter, bool error) {
    if (waiter->await && !waiter->await->nothing) return false;
    if (!waiter_leave(waiter, WAITER_CLAIMED)) return false;
    if (waiter->await) waiter_get(waiter); /* the teller keeps his */
    if (error) reply_error(&waiter->reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    else waiter_reply_nothing(waiter, &waiter->reply);
    if (error || waiter->mask) execute_count_done(home, waiter, &waiter->reply);
    waiting_leave(waiter);
    waiter_send(home, waiter);
    return true;
}

static void client_unblock_command(struct call *call) {
    bool error, done = false;
    int64_t id;
    if (call->argc > 4) {
        call_error_subcommand(call);
        return;
    }
    if (!parse_reason(call, &error) || !call_integer(call, 2, &id)) return;
    struct waiter *waiter = find(&fabric_of(call)->registry, id);
    if (waiter) {
        done = unblock(call_home(call), waiter, error);
        waiter_put(waiter);
    }
    reply_integer(call->reply, done);
}

void client_unblock_bind(void) {
    command_bind_all_shards("client|unblock", client_unblock_command);
}
