/* The fabric: made, started, stopped and unmade.
 *
 * Stop: take all batons, so that no command is half done anywhere; leave every baton CLOSED, which is what
 * every fast path and every waiter finds; wake the threads, which end their connections and go.
 */
#include "shard/fabric.h"

#include <errno.h>
#include <stdio.h>

#include "plat/clock.h"
#include "plat/descriptors.h"
#include "plat/futex.h"
#include "plat/random.h"
#include "plat/socket.h"
#include "plat/thread.h"
#include "shard/board/notify.h"
#include "shard/board/subscriber.h"
#include "shard/shard.h"
#include "shard/transactions/watch.h"

enum { REPLY_SPARE_CHUNKS = 32 };

static int64_t wall_clock(void *context) {
    (void)context;
    return clock_wall_ms();
}

static int64_t changed_clock(void *context) {
    enum { US_PER_MS = 1000 };
    return virtual_clock_wall_us(context) / US_PER_MS;
}

/* Calls that saw a later time than it is now are over. */
void fabric_apply_clock(struct fabric *fabric) {
    struct domain *domain = &fabric->domain;
    bool real = virtual_clock_is_real(&domain->clock);
    domain->clock_ms = real ? wall_clock : changed_clock;
    domain->clock_context = &domain->clock;
    atomic_store_relaxed(&domain->last_now_ms, 0);
    (void)domain_now(domain);
}

/* ---- Shards: shells that live as long as the fabric, and what is in them from start to stop -------- */

static void shard_init(struct shard *shard, struct fabric *fabric, uint32_t index) {
    shard->fabric = fabric;
    shard->baton = &fabric->batons[index];
    shard->index = index;
    shard->reach = (struct call_reach){&fabric->set, &shard->held, board_let_go};
    shard->own = UINT64_C(1) << index;
    fabric->keyspaces[index] = &shard->data.keyspace;
    baton_init(shard->baton);
    baton_close_in_child(shard->baton); /* nobody enters before the start */
}

static int shard_fill(struct shard *shard) {
    struct fabric *fabric = shard->fabric;
    uint32_t count = fabric->settings.shard_count;
    memset(&shard->data, 0, sizeof shard->data);
    memset(&shard->io, 0, sizeof shard->io);
    shard->held = 0;
    atomic_store_relaxed(&shard->started, 0);
    atomic_store_relaxed(&shard->connections, 0);
    shard->inbox.wake_fd = -1;
    shard->io.next_cron_ns = FUTEX_NO_DEADLINE;
    shard->io.pause_end_us = WAITING_NEVER;
    shard->io.departures_ns = FUTEX_NO_DEADLINE;
    shard->io.awaited = UINT64_MAX;
    atomic_store_relaxed(&shard->awaited, UINT64_MAX);
    shard->io.held_up_ns = shard->io.put_off_ns = FUTEX_NO_DEADLINE;
    shard->io.snapshot_ns = FUTEX_NO_DEADLINE;
    shard->data.effects.sink = &fabric->sink;
    shard->data.quiet_changes = SHARD_NOT_QUIET;
    shard->data.streams = mem_pages_alloc(NULL, count * sizeof *shard->data.streams, 4096);
    shard->io.runs = mem_calloc(NULL, RUNS_AHEAD * sizeof *shard->io.runs);
    bool counted = statistics_init(&shard->data.statistics);
    if (!counted || !shard->data.streams || !shard->io.runs) return -ENOMEM;
    (void)statistics_sample(&shard->data.statistics,
                            &(struct rate_sample){.at_ns = clock_monotonic_ns()});
    if (!keyspace_init(&shard->data.keyspace, shard->index, fabric->settings.database_count,
                       fabric->domain.hash_seed.b + shard->index, &fabric->domain.hash_seed))
        return -ENOMEM;
    shard->data.keyspace.account.taker = fabric->domain.taker;
    shard->data.keyspace.access = &fabric->domain.access;
    reply_pool_init(&shard->io.pool, &shard->data.keyspace.account, REPLY_SPARE_CHUNKS);
    reply_init(&shard->io.deferred, &shard->io.pool, 2);
    int result = inbox_init(&shard->inbox);
    if (result == 0) descriptor_note(shard->inbox.wake_fd);
    return result;
}

/* Once every inbox is there: the producer ends of this shard's streams. */
static int shard_connect(struct shard *shard) {
    struct fabric *fabric = shard->fabric;
    for (uint32_t t = 0; t < fabric->settings.shard_count; t++) {
        int result = stream_init(&shard->data.streams[t], &fabric->shards[t]->inbox, shard->index,
                                 fabric->settings.stream_entries);
        if (result < 0) return result;
    }
    return 0;
}

static void shard_empty(struct shard *shard) {
    uint32_t count = shard->fabric->settings.shard_count;
    audience_deinit(&shard->io.audience);
    reply_pool_deinit(&shard->io.pool);
    mem_free(NULL, shard->io.connections);
    mem_free(NULL, shard->io.generations);
    mem_free(NULL, shard->io.accepted);
    mem_free(NULL, shard->io.runs);
    watch_clear(shard);
    timers_deinit(&shard->io.timers);
    waiting_deinit(&shard->data.waiting);
    aof_tail_deinit(&shard->data.aof);
    keyspace_deinit(&shard->data.keyspace);
    statistics_deinit(&shard->data.statistics);
    for (uint32_t t = 0; shard->data.streams && t < count; t++)
        stream_deinit(&shard->data.streams[t]);
    mem_pages_free(NULL, shard->data.streams, count * sizeof *shard->data.streams);
    if (shard->inbox.wake_fd < 0) return;
    descriptor_forget(shard->inbox.wake_fd);
    inbox_deinit(&shard->inbox);
}

static int fill_shards(struct fabric *fabric) {
    int result = 0;
    for (uint32_t i = 0; i < fabric->settings.shard_count && result == 0; i++)
        result = shard_fill(fabric->shards[i]);
    for (uint32_t i = 0; i < fabric->settings.shard_count && result == 0; i++)
        result = shard_connect(fabric->shards[i]);
    return result;
}

static void empty_shards(struct fabric *fabric) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        departures_end(fabric->shards[i]);
        board_discard(fabric->board, i);
        forward_deinit(fabric->shards[i]);
    }
    subscribers_stop(fabric);
    channels_deinit(&fabric->board->channels);
    tracking_deinit(fabric);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) shard_empty(fabric->shards[i]);
    mem_free(NULL, fabric->listeners);
    fabric->listeners = NULL;
    fabric->listener_count = 0;
}

/* ---- Once per server ------------------------------------------------------------------------------ */

static int allocate(struct fabric *fabric) {
    uint32_t count = fabric->settings.shard_count;
    fabric->batons = mem_pages_alloc(NULL, count * sizeof *fabric->batons, 4096);
    fabric->shards = mem_calloc(NULL, count * sizeof *fabric->shards);
    fabric->keyspaces = mem_calloc(NULL, count * sizeof *fabric->keyspaces);
    fabric->board = mem_pages_alloc(NULL, sizeof *fabric->board, 4096);
    fabric->snapshot = snapshot_new(fabric);
    if (!fabric->batons || !fabric->shards || !fabric->keyspaces || !fabric->board ||
        !fabric->snapshot)
        return -ENOMEM;
    board_init(fabric->board);
    pthread_mutex_init(&fabric->board->subscribers.lock, NULL);
    baton_close_in_child(&fabric->board->baton); /* nobody enters before the start */
    baton_set_init(&fabric->set, fabric->batons, count);
    for (uint32_t i = 0; i < count; i++) {
        fabric->shards[i] = mem_pages_alloc(NULL, sizeof(struct shard), 4096);
        if (!fabric->shards[i]) return -ENOMEM;
        shard_init(fabric->shards[i], fabric, i);
    }
    return 0;
}

int fabric_init(struct fabric *fabric, const struct fabric_settings *settings) {
    KRT_ASSERT(settings->shard_count >= 1 && settings->shard_count <= SHARDS_MAX);
    memset(fabric, 0, sizeof *fabric);
    fabric->settings = *settings;
    fabric->sink = outcomes_sink();
    notify_apply(fabric);
    atomic_store_relaxed(&fabric->busy_ms, settings->busy_ms);
    registry_init(&fabric->registry);
    limits_init(&fabric->eviction);
    slowlog_init(&fabric->slowlog);
    latency_events_init(&fabric->latency);
    alarms_init(&fabric->alarms);
    /* The seed outlives a stop: a caller may have hashed its key just before. */
    int result = random_from_kernel(&fabric->domain.hash_seed, sizeof fabric->domain.hash_seed);
    if (result == 0) result = allocate(fabric);
    fabric->domain.keyspaces = fabric->keyspaces;
    fabric->domain.shard_count = settings->shard_count;
    fabric->domain.database_count = settings->database_count;
    fabric->domain.string_bytes_max = settings->parser.max_bulk_bytes;
    fabric->domain.small = settings->small;
    fabric->domain.hll_sparse_bytes = settings->hll_sparse_bytes;
    fabric->domain.compresses_dumps = settings->compresses_dumps;
    fabric->domain.clock_ms = wall_clock;
    fabric->get_command = command_find_name(BYTES_LITERAL("get"));
    fabric->set_command = command_find_name(BYTES_LITERAL("set"));
    fabric->ping_command = command_find_name(BYTES_LITERAL("ping"));
    if (result < 0) fabric_deinit(fabric);
    return result;
}

void fabric_deinit(struct fabric *fabric) {
    uint32_t count = fabric->settings.shard_count;
    for (uint32_t i = 0; fabric->shards && i < count; i++)
        mem_pages_free(NULL, fabric->shards[i], sizeof(struct shard));
    mem_free(NULL, fabric->shards);
    mem_free(NULL, fabric->keyspaces);
    mem_pages_free(NULL, fabric->batons, count * sizeof *fabric->batons);
    if (fabric->board) pthread_mutex_destroy(&fabric->board->subscribers.lock);
    mem_pages_free(NULL, fabric->board, sizeof *fabric->board);
    snapshot_free(fabric->snapshot);
    registry_deinit(&fabric->registry);
    slowlog_deinit(&fabric->slowlog);
    latency_events_deinit(&fabric->latency);
    alarms_deinit(&fabric->alarms);
    faults_clear(fabric);
}

/* ---- Start and stop ------------------------------------------------------------------------------- */

static int start_thread(struct shard *shard) {
    char name[16];
    snprintf(name, sizeof name, "kevyrt-%u", shard->index);
    int result = thread_start(&shard->thread, name, loop_thread, shard);
    if (result < 0) return result;
    while (!atomic_load_acquire(&shard->started)) futex_wait(&shard->started, 0, FUTEX_NO_DEADLINE);
    if (shard->start_result < 0) thread_join(shard->thread);
    return shard->start_result;
}

static void close_batons(struct fabric *fabric) {
    uint64_t all = fabric_all(fabric);
    enum baton_result result = baton_set_take(&fabric->set, all, FUTEX_NO_DEADLINE);
    KRT_ASSERT(result == BATON_TAKEN); /* only one stops a fabric */
    if (atomic_load_relaxed(&fabric->journal.aof)) (void)journal_detach(fabric);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) baton_close(&fabric->batons[i]);
    if (board_enter(fabric->board)) baton_close(&fabric->board->baton);
    fabric->domain.gates &= ~(uint32_t)(GATE_PAUSE | GATE_MONITOR | GATE_LOADING | GATE_DISK);
    atomic_store_relaxed(&fabric->pause_end_us, 0);
    pause_ring(fabric);
}

/* Ends the threads of the shards from `first` on. */
static void end_threads(struct fabric *fabric, uint32_t first) {
    close_batons(fabric);
    journal_stop(fabric);
    for (uint32_t i = first; i < fabric->settings.shard_count; i++)
        inbox_wake(&fabric->shards[i]->inbox);
    for (uint32_t i = first; i < fabric->settings.shard_count; i++)
        thread_join(fabric->shards[i]->thread);
}

/* ---- At run time --------------------------------------------------------------------------------- */

uint64_t fabric_note_used(struct fabric *fabric, uint64_t used) {
    uint64_t peak = atomic_load_relaxed(&fabric->used_peak);
    while (used > peak && !atomic_cas_acq_rel(&fabric->used_peak, &peak, used)) continue;
    return used > peak ? used : peak;
}

void fabric_doom(struct fabric *fabric, struct card *card) {
    struct shard *shard = fabric->shards[card->shard];
    atomic_store_relaxed(&card->doomed, 1);
    atomic_store_relaxed(&shard->has_doomed, 1);
    inbox_wake(&shard->inbox);
}

bool fabric_has_password(struct fabric *fabric) {
    pthread_mutex_lock(&fabric->registry.lock);
    bool has = *fabric->settings.password != 0;
    pthread_mutex_unlock(&fabric->registry.lock);
    return has;
}

void fabric_copy_password(struct fabric *fabric, char *out, size_t capacity) {
    pthread_mutex_lock(&fabric->registry.lock);
    (void)snprintf(out, capacity, "%s", fabric->settings.password);
    pthread_mutex_unlock(&fabric->registry.lock);
}

void fabric_open_door(struct fabric *fabric, int fd) {
    KRT_ASSERT(atomic_load_relaxed(&fabric->door_offered) == 0);
    descriptor_note(fd);
    atomic_store_release(&fabric->door_offered, (uint32_t)fd + 1);
    inbox_wake(&fabric->shards[0]->inbox);
}

/* What may change at run time. The rest is fixed at the start, whatever the configuration says by now, and is
 * read without a baton. */
static void take_settings(struct fabric_settings *to, const struct fabric_settings *from) {
    to->order_by_shard = from->order_by_shard;
    to->max_clients = from->max_clients;
    to->idle_timeout_s = from->idle_timeout_s;
    to->busy_ms = from->busy_ms;
    to->tcp_keepalive_s = from->tcp_keepalive_s;
    to->password = from->password;
    to->latency_tracking = from->latency_tracking;
    to->slow_us = from->slow_us;
    to->slow_entries = from->slow_entries;
    to->latency_ms = from->latency_ms;
    to->protected_mode = from->protected_mode;
    to->parser = from->parser;
    to->parser_unauthenticated = from->parser_unauthenticated;
    to->budget = from->budget;
    to->limits = from->limits;
    to->notify_classes = from->notify_classes;
    to->tracking_keys = from->tracking_keys;
}

void fabric_apply_settings(struct fabric *fabric, const struct fabric_settings *settings) {
    pthread_mutex_lock(&fabric->registry.lock);
    take_settings(&fabric->settings, settings);
    pthread_mutex_unlock(&fabric->registry.lock);
    fabric->domain.string_bytes_max = settings->parser.max_bulk_bytes;
    fabric->domain.small = settings->small;
    fabric->domain.hll_sparse_bytes = settings->hll_sparse_bytes;
    fabric->domain.compresses_dumps = settings->compresses_dumps;
    atomic_store_relaxed(&fabric->busy_ms, settings->busy_ms);
    budget_apply(fabric);
    notify_apply(fabric);
    slowlog_apply(fabric);
    /* Who sleeps without a deadline may have periodic work now. */
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        inbox_wake(&fabric->shards[i]->inbox);
}

bool fabric_change_listeners(struct fabric *fabric, const int *listeners, uint32_t count) {
    struct listen_message *message = mem_alloc(NULL, sizeof *message);
    if (!message) return false;
    *message = (struct listen_message){.head.kind = MESSAGE_LISTEN, .count = count};
    KRT_ASSERT(count <= LISTENERS_MAX);
    for (uint32_t i = 0; i < count; i++) message->listeners[i] = listeners[i];
    if (!message_push(fabric->shards[0], 0, &message->head)) {
        mem_free(NULL, message);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) descriptor_note(listeners[i]);
    return true;
}

/* ---- Start ---------------------------------------------------------------------------------------- */

static int keep_listeners(struct fabric *fabric, const int *listeners, uint32_t count) {
    fabric->listeners = mem_calloc(NULL, LISTENERS_MAX * sizeof *listeners);
    if (!fabric->listeners) return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) fabric->listeners[i] = listeners[i];
    fabric->listener_count = count;
    return 0;
}

/* Shard 0 accepts and deals, so it starts when the others are there. */
static int start_threads(struct fabric *fabric) {
    journal_start(fabric);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) baton_init(&fabric->batons[i]);
    board_init(fabric->board);
    for (uint32_t i = fabric->settings.shard_count; i-- > 0;) {
        int result = start_thread(fabric->shards[i]);
        if (result == 0) continue;
        end_threads(fabric, i + 1);
        return result;
    }
    return 0;
}

/* Without a look at data that others may hold by now. */
static uint64_t accounted_bytes(const struct fabric *fabric) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        bytes += atomic_load_relaxed(&fabric->keyspaces[i]->account.used_bytes);
    return bytes;
}

static void start_time(struct fabric *fabric) {
    (void)domain_now(&fabric->domain);
    atomic_store_relaxed(&fabric->budget.used, 0);
    budget_apply(fabric);
    slowlog_apply(fabric);
}

int fabric_start(struct fabric *fabric, const int *listeners, uint32_t count) {
    clock_calibrate();
    int result = keep_listeners(fabric, listeners, count);
    if (result == 0) result = fill_shards(fabric);
    if (result == 0) start_time(fabric);
    if (result == 0) result = start_threads(fabric);
    if (result == 0) atomic_store_relaxed(&fabric->startup_bytes, accounted_bytes(fabric));
    if (result < 0) empty_shards(fabric);
    else
        for (uint32_t i = 0; i < count; i++) descriptor_note(listeners[i]);
    return result;
}

void fabric_stop(struct fabric *fabric) {
    end_threads(fabric, 0);
    snapshot_stop(fabric);
    in_process_stop(fabric);
    empty_shards(fabric);
}

void fabric_close_in_child(struct fabric *fabric) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        baton_close_in_child(&fabric->batons[i]);
    baton_close_in_child(&fabric->board->baton);
}

int fabric_adopt(struct fabric *fabric, int fd) {
    struct adopt_message *message = mem_alloc(NULL, sizeof *message);
    if (!message) return -ENOMEM;
    *message = (struct adopt_message){.head.kind = MESSAGE_ADOPT, .fd = fd};
    struct shard *target = accept_target(fabric);
    int result = -ESHUTDOWN;
    if (baton_set_take(&fabric->set, target->own, FUTEX_NO_DEADLINE) == BATON_TAKEN) {
        atomic_add_relaxed(&target->connections, 1);
        result = message_push(target, target->index, &message->head) ? 0 : -EAGAIN;
        if (result < 0) atomic_sub_relaxed(&target->connections, 1);
        (void)turn_seal_one(target);
        baton_set_drop(&fabric->set, target->own);
    }
    if (result < 0) mem_free(NULL, message);
    return result;
}
