/* A waiter without keys that has a teller. It is in no queue, so the count that the registrations of others have is the
 * teller's. Who ends it otherwise (its time, UNBLOCK, the end of its owner) leaves that count alone.
 *
 * It is answered as if by a call that does nothing else, in the shard whose call it began in: so its beginning is complete. */
#include "shard/blocking/await.h"

#include "plat/futex.h"
#include "shard/shard.h"

struct waiter *await_begin(struct call *call, const struct await_kind *kind, int64_t timeout_ms,
                           uint64_t number) {
    struct call_wait wait = {.timeout_ms = timeout_ms, .await = kind};
    KRT_ASSERT(await_is_possible(call) && (kind->nothing || timeout_ms == 0));
    if (!call_wait(call, &wait) || call->failed) return NULL;
    struct waiter *waiter = call->waiter ? *call->waiter : call->client->waiter;
    waiter->number = number;
    return waiter;
}

void await_answer(struct waiter *waiter, void (*write)(struct reply *reply, void *context),
                  void *context) {
    struct fabric *fabric = waiter->fabric;
    struct shard *home = fabric->shards[__builtin_ctzll(waiter->mask)];
    if (baton_set_take(&fabric->set, home->own, FUTEX_NO_DEADLINE) != BATON_TAKEN) {
        in_process_tell_stop(waiter);
        waiter_put(waiter);
        return;
    }
    home->data.outcomes.held = home->own;
    if (waiter_leave(waiter, WAITER_CLAIMED)) {
        write(&waiter->reply, context);
        execute_count_done(home, waiter, &waiter->reply);
        waiter_send(home, waiter);
    } else {
        waiter_put(waiter);
    }
    (void)turn_seal_one(home);
    baton_set_drop(&fabric->set, home->own);
}
