/* One waiter, from its beginning to its end.
 *
 *              begin                       the batons of all its keys
 *   (a call) ────────▶ WAITING ◀──────────────────────────────────▶ TRYING ──▶ CLAIMED ──▶ a post ──▶ answered
 *                         │                    waits on                │
 *                         ├──── UNBLOCK ──────────────────────────▶ CLAIMED
 *                         ├──── its time is over, the owner ──────▶ TIMED_OUT ──▶ answered; a departure
 *                         └──── its owner ends ───────────────────▶ CANCELLED ◀─┘   a departure
 *
 * It ends once, by a compare-and-swap on `state`, and whoever swaps does what follows: who claims it takes it out of its
 * queues and sends the answer; its owner that gave up lets it depart. In both cases the count of the registrations goes on
 * with the post or the departure. Until the departure is through, who finds the waiter in a queue sees by its state that
 * nobody is behind it.
 *
 * To serve it its command runs again, and only that tells whether it will be served: it may find nothing, and wait on. While it
 * runs the state is TRYING, so that whatever it does to the data is answered for. Who tries holds the batons of all its keys,
 * so there is one at a time, and it waits for nothing. Others that want to end the waiter meanwhile:
 *   - The time-out looks again a moment later. A try takes microseconds; if the waiter is served then, it was in time.
 *   - UNBLOCK holds all batons, so that nobody tries.
 *   - An owner that ends swaps TRYING to CANCELLED and is gone. Who tries finds that when it is through: what the command did stays
 *     done, as for a client whose socket breaks while it is answered, and the answer goes nowhere.
 *
 * A waiter whose other shards are not held is not tried. There is one that is told all the same: who reads from a group whose
 * stream is gone (an expiry or an eviction asks nobody). It is claimed with the error, stays `linked`, and its owner lets it
 * depart when the post arrives.
 *
 * A waiter without keys (WAIT) is in no queue: only its time, UNBLOCK or its owner end it, or, if it is awaited (await.h),
 * who tells it.
 *
 * A connection that waits is suspended, with what it has sent behind the command in its parser. It has no reply pending elsewhere:
 * its commands that may wait run at home.
 */
#include "shard/blocking/waiter.h"

#include "base/mem.h"
#include "plat/clock.h"
#include "plat/futex.h"
#include "shard/blocking/in_process.h"
#include "shard/shard.h"

enum { KEYS_AT_ONCE = 64 };

/* ---- Memory ---------------------------------------------------------------------------------------- */

static void keep_arguments(struct waiter *waiter, const struct bytes *argv, char *at) {
    for (uint32_t i = 0; i < waiter->argc; i++) {
        waiter->argument_bytes += argv[i].len;
        if (argv[i].flags & BYTES_BLOB) {
            waiter->bytes += argv[i].len;
            blob_get(blob_of(argv[i]));
            waiter->argv[i] = argv[i];
            continue;
        }
        bytes_copy(at, argv[i].at, argv[i].len);
        waiter->argv[i] = bytes_of(at, argv[i].len);
        at += argv[i].len;
    }
}

/* Words that do not run again, but are shown. What they have in common with those that do is there already; the rest is
 * short. */
static void keep_asked(struct waiter *waiter, const struct bytes *argv, const struct bytes *asked,
                       char *at) {
    for (uint32_t i = 0; i < waiter->argc; i++) {
        waiter->asked[i] = waiter->argv[i];
        if (asked[i].at == argv[i].at) continue;
        KRT_ASSERT(!(asked[i].flags & BYTES_BLOB));
        bytes_copy(at, asked[i].at, asked[i].len);
        waiter->asked[i] = bytes_of(at, asked[i].len);
        at += asked[i].len;
    }
}

/* Of words that are no blobs; `but` for those that are also there (NULL: none). */
static size_t copied_bytes(const struct bytes *argv, const struct bytes *but, uint32_t argc) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < argc; i++)
        if (!(argv[i].flags & BYTES_BLOB) && !(but && but[i].at == argv[i].at))
            bytes += argv[i].len;
    return bytes;
}

/* One piece of memory: the waiter, its registrations, its words and their bytes. */
static struct waiter *waiter_alloc(const struct call *call, const struct bytes *argv,
                                   uint32_t keys) {
    bool differ = argv != call->argv;
    size_t words = sizeof(struct waiter) + keys * sizeof(struct registration);
    size_t bytes = words + (differ + 1u) * call->argc * sizeof *argv;
    size_t copied = copied_bytes(argv, NULL, call->argc);
    size_t asked = differ ? copied_bytes(call->argv, argv, call->argc) : 0;
    struct waiter *waiter = mem_alloc(NULL, bytes + copied + asked);
    if (!waiter) return NULL;
    *waiter = (struct waiter){.argv = (struct bytes *)((char *)waiter + words),
                              .bytes = bytes + copied + asked,
                              .argc = call->argc};
    keep_arguments(waiter, argv, (char *)waiter + bytes);
    waiter->asked = waiter->argv + (differ ? call->argc : 0);
    if (differ) keep_asked(waiter, argv, call->argv, (char *)waiter + bytes + copied);
    return waiter;
}

static void waiter_free(struct waiter *waiter) {
    for (uint32_t i = 0; i < waiter->argc; i++)
        if (waiter->argv[i].flags & BYTES_BLOB) blob_put(blob_of(waiter->argv[i]));
    reply_clear(&waiter->reply);
    if (waiter->card) card_put(waiter->card);
    tracker_put(waiter->tracker);
    mem_free(NULL, waiter);
}

void waiter_put(struct waiter *waiter) {
    if (atomic_sub_acq_rel(&waiter->references, 1) == 1) waiter_free(waiter);
}

/* ---- Its owner ------------------------------------------------------------------------------------- */

/* CLIENT UNBLOCK finds it through the card, and CLIENT LIST what it holds. */
void waiter_show(struct client *client, struct waiter *waiter) {
    struct registry *registry = &client->fabric->registry;
    pthread_mutex_lock(&registry->lock);
    client->card->waiter = waiter;
    pthread_mutex_unlock(&registry->lock);
    atomic_store_relaxed(&client->card->waiting_bytes, waiter ? waiter->bytes : 0);
    atomic_store_relaxed(&client->card->argument_bytes, waiter ? waiter->argument_bytes : 0);
    client_flag(client, CARD_BLOCKED, waiter != NULL);
}

static void attach(struct shard *shard, struct connection *connection, struct waiter *waiter) {
    connection->client.waiter = waiter;
    waiter_show(&connection->client, waiter);
    limits_count(shard, connection);
}

/* The connection waits no more; the owner's count goes. */
static void detach(struct shard *shard, struct connection *connection) {
    struct waiter *waiter = connection->client.waiter;
    connection->client.waiter = NULL;
    waiter_show(&connection->client, NULL);
    limits_count(shard, connection);
    timers_remove(&shard->io.timers, waiter);
    waiter_put(waiter);
}

static void resume(struct shard *shard, struct connection *connection) {
    detach(shard, connection);
    connection->suspended = false;
    connection_want_ready(shard, connection);
    connection_want_input(shard, connection);
}

static bool is_silent(const struct waiter *waiter) {
    return waiter->flags & (CALL_SILENT | CALL_SKIPPED);
}

/* ---- The beginning --------------------------------------------------------------------------------- */

static uint64_t deadline_us(const struct domain *domain, int64_t timeout_ms) {
    enum { US_PER_MS = 1000 };
    uint64_t ms = (uint64_t)timeout_ms, longest_ms = WAITING_NEVER / US_PER_MS;
    if (timeout_ms == 0) return WAITING_NEVER;
    return virtual_clock_after(&domain->clock,
                               ms < longest_ms ? ms * US_PER_MS : WAITING_NEVER - 1);
}

bool waiter_is_overdue(const struct waiter *waiter) {
    const struct virtual_clock *clock = &waiter->fabric->domain.clock;
    return KRT_UNLIKELY(clock->changed) && waiter->deadline_us != WAITING_NEVER &&
           waiter->deadline_us <= virtual_clock_waiting_us(clock);
}

/* What its command is about. Of many keys all shards are taken to be. */
static void note_keys(struct waiter *waiter) {
    struct fabric *fabric = waiter->fabric;
    struct key_ref keys[KEYS_AT_ONCE];
    int count = command_keys(waiter->command, waiter->argv, waiter->argc, keys, KEYS_AT_ONCE);
    for (int i = 0; i < count && i < KEYS_AT_ONCE; i++) {
        struct bytes key = waiter->argv[keys[i].index];
        uint64_t hash = hash_bytes(&fabric->domain.hash_seed, key.at, key.len);
        waiter->mask |= UINT64_C(1) << hash_shard(hash, fabric->settings.shard_count);
        waiter->moves |= (keys[i].flags & KEY_INSERT) != 0;
    }
    if (count > KEYS_AT_ONCE) waiter->mask = fabric_all(fabric);
    waiter->reaches = (waiter->mask & (waiter->mask - 1)) != 0;
}

static struct waiter *waiter_new(struct call *call, const struct call_wait *wait) {
    const struct bytes *argv = wait->argv ? wait->argv : call->argv;
    struct waiter *waiter = waiter_alloc(call, argv, wait->count);
    if (!waiter) return NULL;
    waiter->fabric = fabric_of(call);
    waiter->command = call->command;
    waiter->db = call->db;
    waiter->flags = call->flags;
    if (call->flags & CALL_TRACKS) waiter->tracker = tracker_get(call->client->tracker);
    waiter->type = (uint8_t)wait->type;
    waiter->of_group = wait->of_group;
    waiter->proto = call->reply->proto;
    waiter->shard = WAITER_IN_PROCESS;
    waiter->alarm_index = WAITER_NO_ALARM;
    waiter->deadline_us = waiter->alarm_us = deadline_us(call->domain, wait->timeout_ms);
    waiter->cut_bytes = UINT64_MAX;
    atomic_store_relaxed(&waiter->references, 2);
    reply_pool_init(&waiter->pool, NULL, 0);
    reply_init(&waiter->reply, &waiter->pool, waiter->proto);
    waiter->await = wait->await;
    if (wait->await) waiter->mask = call_home(call)->own;
    else note_keys(waiter);
    return waiter;
}

static void own(struct waiter *waiter, struct connection *connection) {
    waiter->card = card_get(connection->client.card);
    waiter->shard = waiter->card->shard;
    waiter->connection = connection->index;
    waiter->generation = connection->generation;
}

static void count(struct waiter *waiter, int by) {
    struct fabric *fabric = waiter->fabric;
    atomic_add_relaxed(&fabric->waiters, (uint32_t)by);
    if (waiter->deadline_us != WAITING_NEVER)
        atomic_add_relaxed(&fabric->waiters_timed, (uint32_t)by);
}

struct waiter *waiter_enter(struct call *call, const struct call_wait *wait) {
    struct waiter *waiter = waiter_new(call, wait);
    if (!waiter || !waiting_enter(call, wait, waiter)) {
        if (waiter) waiter_free(waiter);
        call_error_memory(call);
        return NULL;
    }
    count(waiter, 1);
    return waiter;
}

/* On the thread of the connection: what may wait is never forwarded. */
bool waiter_begin(struct call *call, const struct call_wait *wait) {
    if (call->waiter) return in_process_begin(call, wait);
    struct connection *connection = client_connection(call->client);
    struct shard *shard = client_shard(call->client);
    struct waiter *waiter = NULL;
    if (timers_reserve(&shard->io.timers, 1)) waiter = waiter_enter(call, wait);
    else call_error_memory(call);
    if (!waiter) return false;
    own(waiter, connection);
    if (waiter->deadline_us != WAITING_NEVER) timers_add(&shard->io.timers, waiter);
    attach(shard, connection, waiter);
    return true;
}

/* ---- Ends ------------------------------------------------------------------------------------------ */

static bool change(struct waiter *waiter, uint32_t from, uint32_t to) {
    if (!atomic_cas_acq_rel(&waiter->state, &from, to)) return false;
    if (to != WAITER_TRYING && to != WAITER_WAITING) count(waiter, -1);
    return true;
}

bool waiter_leave(struct waiter *waiter, enum waiter_state to) {
    return change(waiter, WAITER_WAITING, to);
}

bool waiter_go_on(struct waiter *waiter) {
    return change(waiter, WAITER_TRYING, WAITER_WAITING);
}

bool waiter_claim(struct waiter *waiter) {
    return change(waiter, WAITER_TRYING, WAITER_CLAIMED);
}

static void depart(struct fabric *fabric, struct departure *departure) {
    struct waiter *waiter =
        (struct waiter *)((char *)departure - offsetof(struct waiter, departure));
    (void)fabric;
    waiting_leave(waiter);
    waiter_put(waiter);
}

void waiter_depart(struct shard *shard, struct waiter *waiter) {
    if (waiter->await) return; /* the count is the teller's */
    departures_add(shard, &waiter->departure, waiter->mask, depart);
}

static struct waiter *waiter_of_post(struct post *post) {
    return (struct waiter *)((char *)post - offsetof(struct waiter, post));
}

/* ---- Faults (shard/faults.h) --------------------------------------------------------------------------- */

/* Its time may be over just now (alarms.c); then it is in time. */
void waiter_fault(struct waiter *waiter, uint64_t late_us, uint64_t cut_bytes) {
    pthread_mutex_t *lock = &waiter->fabric->alarms.lock;
    pthread_mutex_lock(lock);
    waiter->late_us = late_us;
    waiter->cut_bytes = cut_bytes;
    pthread_mutex_unlock(lock);
}

/* Gives it its answer, or as much of it as it gets. The connection goes on, or ends when that is sent. */
static void give(struct shard *shard, struct connection *connection, struct waiter *waiter) {
    if (KRT_UNLIKELY(waiter->cut_bytes != UINT64_MAX)) {
        reply_cut(&waiter->reply, waiter->cut_bytes);
        connection->client.close_after_reply = true;
    }
    if (!is_silent(waiter)) connection_push(shard, connection, &waiter->reply);
    resume(shard, connection);
}

/* False: there is no memory to remember it by, so it is not late. */
static bool put_off(struct shard *shard, struct waiter *waiter) {
    struct timers *timers = &shard->io.timers;
    timers_remove(timers, waiter);
    if (!timers_reserve(timers, 1)) return false;
    waiter->late = true;
    waiter->alarm_us = virtual_clock_after(&shard->fabric->domain.clock, waiter->late_us);
    timers_add(timers, waiter);
    return true;
}

static void give_in_time(struct shard *shard, struct connection *connection,
                         struct waiter *waiter) {
    if (KRT_UNLIKELY(waiter->late_us) && put_off(shard, waiter)) return;
    give(shard, connection, waiter);
}

/* ---- Delivery ------------------------------------------------------------------------------------------ */

/* The connection may have ended; then nobody wants the answer. */
static void deliver(struct shard *shard, struct post *post) {
    struct waiter *waiter = waiter_of_post(post);
    struct connection *connection = connection_find(shard, waiter->connection, waiter->generation);
    bool linked = waiter->linked;
    if (connection && connection->client.waiter == waiter) give_in_time(shard, connection, waiter);
    if (linked) waiter_depart(shard, waiter);
    else waiter_put(waiter);
}

static void discard(struct post *post) {
    struct waiter *waiter = waiter_of_post(post);
    if (waiter->linked) waiting_leave(waiter);
    waiter_put(waiter);
}

void waiter_send(struct shard *home, struct waiter *waiter) {
    if (waiter->shard == WAITER_IN_PROCESS) {
        in_process_send(home, waiter);
        return;
    }
    waiter->post.deliver = deliver;
    waiter->post.discard = discard;
    board_take(home);
    board_post(home, waiter->shard, &waiter->post);
}

void waiter_reply_nothing(const struct waiter *waiter, struct reply *reply) {
    if (waiter->await) waiter->await->nothing(waiter, reply);
    else if (waiter->mask) reply_null_array(reply);
    else reply_integer(reply, 0);
}

/* Nobody waits in vain for a try to end: the alarm comes again. */
bool waiter_alarm(struct shard *shard, struct waiter *waiter) {
    struct connection *connection = shard->io.connections[waiter->connection];
    bool late = waiter->late, is_first = !late && waiter_leave(waiter, WAITER_TIMED_OUT);
    if (!late && !is_first && atomic_load_relaxed(&waiter->state) != WAITER_CLAIMED) return false;
    timers_remove(&shard->io.timers, waiter);
    if (late) give(shard, connection, waiter);
    if (!is_first) return true; /* or the post is on its way */
    waiter->reply.proto = connection->client.proto;
    waiter_reply_nothing(waiter, &waiter->reply);
    if (waiter->mask) execute_count_done(shard, waiter, NULL);
    waiter_depart(shard, waiter);
    give_in_time(shard, connection, waiter);
    return true;
}

/* False: it is claimed, and the post goes on alone. */
static bool cancel(struct waiter *waiter) {
    for (;;) {
        uint32_t state = atomic_load_relaxed(&waiter->state);
        if (state != WAITER_WAITING && state != WAITER_TRYING) return false;
        if (change(waiter, state, WAITER_CANCELLED)) return true;
    }
}

void waiter_forget(struct shard *shard, struct connection *connection) {
    struct waiter *waiter = connection->client.waiter;
    if (!waiter) return;
    if (cancel(waiter)) waiter_depart(shard, waiter);
    detach(shard, connection);
}
