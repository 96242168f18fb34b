/* A waiter whose owner is a thread, or an event loop.
 *
 *   in_process_begin ──▶ WAITING ──▶ (waiter.c) ──▶ CLAIMED ──▶ `answered`: the reply is the owner's
 *                           │
 *                           ├── its time is over (alarms.c) ──▶ TIMED_OUT ──▶ `answered`, the same
 *                           ├── the owner gives up ───────────▶ CANCELLED
 *                           └── the server stops ─────────────▶ CANCELLED, `answered`: stopped
 *
 * The owner sleeps on `answered` and not on `state`: a claim comes before the reply is written, and before the call that serves
 * is complete. Whoever completes that stores `answered` (P1) and wakes the owner. An owner that gives up swaps `state`, and if that is too late waits for `answered`, which is as near as the end of a call.
 *
 * What an owner that gave up has left in queues it takes out itself, with the batons. Where those are closed the stop does it: it
 * looks through the queues when nobody else can be in them. Each waiter there is told, and its registrations and their count
 * go. So whoever of the two comes first under the batons leaves `registered` at 0, by which the other one sees it.
 *
 * Who answers and who sets `wake` each store their own and then look at the other's, sequentially consistent: one of them finds
 * both, and a swap of `wake` lets one of them call. The answer's word is TELLING meanwhile, so that an owner that is told
 * an end knows that the call is over.
 */
#include "shard/blocking/in_process.h"

#include "base/mem.h"
#include "plat/clock.h"
#include "plat/futex.h"
#include "shard/shard.h"

enum { TRY_AGAIN_NS = 50000 };

/* ---- A call ---------------------------------------------------------------------------------------- */

/* CLIENT LIST and CLIENT UNBLOCK see a session. */
static void show(struct waiter *waiter, struct client *client) {
    if (!client) return;
    waiter->card = card_get(client->card);
    waiter->session = client;
    waiter_show(client, waiter);
}

bool in_process_begin(struct call *call, const struct call_wait *wait) {
    struct fabric *fabric = fabric_of(call);
    *call->waiter = NULL;
    if (!alarms_reserve(fabric)) {
        call_error_memory(call);
        return false;
    }
    struct waiter *waiter = *call->waiter = waiter_enter(call, wait);
    if (!waiter) {
        alarms_release(fabric);
        return false;
    }
    show(waiter, call->client);
    alarms_add(fabric, waiter);
    return true;
}

/* With the registrations' count. */
void in_process_send(struct shard *home, struct waiter *waiter) {
    struct outcomes *outcomes = &home->data.outcomes;
    waiter->next_answered = NULL;
    if (outcomes->last_answered) outcomes->last_answered->next_answered = waiter;
    else outcomes->first_answered = waiter;
    outcomes->last_answered = waiter;
}

static void call_back(struct waiter *waiter) {
    void (*wake)(void *) = (void (*)(void *))atomic_swap_seq_cst(&waiter->wake, NULL);
    if (wake) wake(waiter->wake_context);
}

void in_process_answer(struct waiter *waiter, enum in_process_answer how) {
    atomic_store_seq_cst(&waiter->answered, IN_PROCESS_TELLING);
    call_back(waiter);
    atomic_store_seq_cst(&waiter->answered, how);
    futex_wake(&waiter->answered, INT32_MAX);
}

static void tell(struct waiter *waiter) {
    if (KRT_UNLIKELY(waiter->late_us)) alarms_put_off(waiter->fabric, waiter);
    else in_process_answer(waiter, IN_PROCESS_ANSWERED);
}

/* One that is linked still needs the registrations' count; it may be the owner's already when it is told. */
void in_process_tell(struct waiter *waiter) {
    bool linked = waiter->linked;
    if (linked) waiter_get(waiter);
    tell(waiter);
    waiter_put(waiter);
}

void in_process_abandon(struct waiter *waiter) {
    in_process_answer(waiter, IN_PROCESS_STOPPED);
    waiter_put(waiter);
}

void in_process_rouse(struct shard *home) {
    struct outcomes *outcomes = &home->data.outcomes;
    struct waiter *waiter = outcomes->first_answered;
    outcomes->first_answered = outcomes->last_answered = NULL;
    for (struct waiter *next; waiter; waiter = next) {
        next = waiter->next_answered;
        waiter->ticket = home->data.aof.ticket;
        if (KRT_LIKELY(journal_is_safe(&home->fabric->journal, waiter->ticket)))
            in_process_tell(waiter);
        else journal_answer_later(home->fabric, waiter);
    }
}

/* ---- The owner ------------------------------------------------------------------------------------- */

/* TELLING is not yet. *word is what to sleep on. */
static enum in_process_answer answer_of(struct waiter *waiter, uint32_t *word) {
    *word = atomic_load_seq_cst(&waiter->answered);
    enum in_process_answer how = *word;
    return how == IN_PROCESS_TELLING ? IN_PROCESS_NOT_YET : how;
}

enum in_process_answer in_process_wait(struct waiter *waiter, uint64_t deadline_ns) {
    uint32_t word;
    enum in_process_answer how = answer_of(waiter, &word);
    if (how != IN_PROCESS_NOT_YET) return how;
    bool in_time = futex_wait(&waiter->answered, word, deadline_ns);
    how = answer_of(waiter, &word);
    return in_time || how != IN_PROCESS_NOT_YET ? how : IN_PROCESS_LATE;
}

/* From WAITING to its end. Otherwise what came first: whoever tries or has claimed it does not take long, and what is late only
 * is told at once. */
enum in_process_answer in_process_cancel(struct waiter *waiter) {
    uint32_t word;
    while (!waiter_leave(waiter, WAITER_CANCELLED)) {
        alarms_hurry(waiter->fabric, waiter);
        enum in_process_answer first = answer_of(waiter, &word);
        if (first != IN_PROCESS_NOT_YET) return first;
        (void)futex_wait(&waiter->answered, word, clock_monotonic_ns() + TRY_AGAIN_NS);
    }
    atomic_store_seq_cst(&waiter->answered, IN_PROCESS_CANCELLED);
    return IN_PROCESS_CANCELLED;
}

enum in_process_answer in_process_try_cancel(struct waiter *waiter) {
    uint32_t word;
    while (!waiter_leave(waiter, WAITER_CANCELLED)) {
        alarms_hurry(waiter->fabric, waiter);
        enum in_process_answer first = answer_of(waiter, &word);
        uint32_t state = atomic_load_acquire(&waiter->state);
        bool is_tried = state == WAITER_WAITING || state == WAITER_TRYING;
        if (first != IN_PROCESS_NOT_YET || !is_tried) return first;
        (void)futex_wait(&waiter->answered, word, clock_monotonic_ns() + TRY_AGAIN_NS);
    }
    atomic_store_seq_cst(&waiter->answered, IN_PROCESS_CANCELLED);
    return IN_PROCESS_CANCELLED;
}

void in_process_withdraw(struct waiter *waiter) {
    uint32_t word;
    if (atomic_swap_seq_cst(&waiter->wake, NULL)) return;
    while (answer_of(waiter, &word) == IN_PROCESS_NOT_YET && word == IN_PROCESS_TELLING)
        (void)futex_wait(&waiter->answered, word, clock_monotonic_ns() + TRY_AGAIN_NS);
}

struct waiter *in_process_settle(struct fabric *fabric, uint64_t ticket) {
    struct waiter *waiter = mem_calloc(NULL, sizeof *waiter);
    if (!waiter) return NULL;
    waiter->fabric = fabric;
    waiter->shard = WAITER_IN_PROCESS;
    waiter->deadline_us = waiter->alarm_us = WAITING_NEVER;
    waiter->alarm_index = WAITER_NO_ALARM;
    waiter->ticket = ticket;
    atomic_store_relaxed(&waiter->state, WAITER_CLAIMED);
    atomic_store_relaxed(&waiter->references, 2);
    reply_pool_init(&waiter->pool, NULL, 0);
    reply_init(&waiter->reply, &waiter->pool, 3);
    journal_answer_later(fabric, waiter);
    return waiter;
}

void in_process_call_back(struct waiter *waiter, void (*wake)(void *context), void *context) {
    waiter->wake_context = context;
    atomic_store_seq_cst(&waiter->wake, (void *)wake);
    if (atomic_load_seq_cst(&waiter->answered) != IN_PROCESS_NOT_YET) call_back(waiter);
}

/* Who waits for no key is in no queue, and has no teller. */
static bool is_nowhere(const struct waiter *waiter) {
    return !waiter->mask && !waiter->await;
}

/* What was answered by nobody else counts here. */
static void leave(struct waiter *waiter) {
    struct fabric *fabric = waiter->fabric;
    if (waiter->await) return;
    if (is_nowhere(waiter)) {
        waiter_put(waiter);
        return;
    }
    if (baton_set_take(&fabric->set, waiter->mask, FUTEX_NO_DEADLINE) != BATON_TAKEN) return;
    struct shard *home = fabric->shards[__builtin_ctzll(waiter->mask)];
    bool is_there = waiter->registered != 0;
    if (is_there) waiting_leave(waiter);
    if (is_there && atomic_load_relaxed(&waiter->state) == WAITER_TIMED_OUT)
        execute_count_done(home, waiter, NULL);
    baton_set_drop(&fabric->set, waiter->mask);
    if (is_there) waiter_put(waiter);
}

void in_process_end(struct waiter *waiter, bool running) {
    bool served = atomic_load_acquire(&waiter->state) == WAITER_CLAIMED && !waiter->linked;
    alarms_remove(waiter->fabric, waiter);
    if (waiter->session) waiter_show(waiter->session, NULL);
    if (!served && (running || is_nowhere(waiter))) leave(waiter);
    waiter_put(waiter);
}

/* ---- The stop -------------------------------------------------------------------------------------- */

/* All in process that are in queues of a shard, each at its first registration. Those of connections depart by
 * themselves. */
static struct waiter *collect(struct shard *shard, struct waiter *found) {
    struct map_walk walk;
    map_walk_init(&walk, &shard->data.waiting.queues);
    for (struct map_node *node; (node = map_walk_next(&walk));) {
        struct registration *at = ((struct wait_queue *)node)->first;
        for (; at; at = at->next) {
            if (at->waiter->shard != WAITER_IN_PROCESS) continue;
            if (at != at->waiter->registrations) continue;
            at->waiter->next_answered = found;
            found = at->waiter;
        }
    }
    return found;
}

static void stop(struct waiter *waiter) {
    waiting_leave(waiter);
    if (waiter_leave(waiter, WAITER_CANCELLED)) in_process_answer(waiter, IN_PROCESS_STOPPED);
    waiter_put(waiter);
}

void in_process_tell_stop(struct waiter *waiter) {
    if (waiter->shard == WAITER_IN_PROCESS && waiter_leave(waiter, WAITER_CANCELLED))
        in_process_answer(waiter, IN_PROCESS_STOPPED);
}

void in_process_stop(struct fabric *fabric) {
    struct waiter *waiter = NULL;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        waiter = collect(fabric->shards[i], waiter);
    for (struct waiter *next; waiter; waiter = next) {
        next = waiter->next_answered;
        stop(waiter);
    }
    alarms_stop(fabric);
}
