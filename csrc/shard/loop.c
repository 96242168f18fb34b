/* The shard thread: one loop of named phases.
 *
 *   sleep     announce the park, look once more, wait for events or a deadline
 *   collect   events: bytes to parsers, ends, sent bytes, new connections
 *   turn      with the baton: what came in from other shards, runs of requests, periodic work
 *   tidy      what parsers still need of the receive buffers is kept, the buffers go back
 *   flush     own output to the sockets, after the drop
 *   bury      connections whose last operation is over
 */
#include "cmd/expire.h"
#include "plat/clock.h"
#include "plat/descriptors.h"
#include "plat/errors.h"
#include "plat/futex.h"
#include "plat/socket.h"
#include "plat/thread.h"
#include "shard/shard.h"

enum {
    TURN_BUDGET_NS = 300000, /* then the loop looks at its sockets again */
    CRON_NS = 100000000,     /* active expiry and time-outs, while there is something to do */
    EXPIRE_BUDGET_NS = 500000,
    EXPIRE_AGAIN_NS =
        2000000, /* when the budget did not suffice: a quarter of the time, as in Redis */
    RELIEF_AGAIN_NS = 500000, /* over the budget of memory */
    ALARMS_AGAIN_NS = 100000,
    BUSY_POLL_NS = 10000000,
    FULL_AGAIN_NS = 5000000,
};

/* More waits for the log than may: nothing is read that would make it more. */
static bool is_full(const struct shard *shard) {
    return KRT_UNLIKELY(atomic_load_relaxed(&shard->fabric->journal.full));
}

static bool has_work(struct shard *shard) {
    return (shard->io.input_first && !is_full(shard)) || shard->io.accepted_count ||
           shard->io.ready_first;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When the first thread looks after those in process. */
static uint64_t alarms_ns(const struct shard *shard) {
    uint64_t next_us = shard->index ? WAITING_NEVER : alarms_next_us(&shard->fabric->alarms);
    if (KRT_LIKELY(next_us == WAITING_NEVER)) return FUTEX_NO_DEADLINE;
    if (KRT_UNLIKELY(shard->io.alarms_again_ns)) return shard->io.alarms_again_ns;
    return virtual_clock_real_ns(&shard->fabric->domain.clock, next_us);
}

static uint64_t pause_ns(const struct shard *shard) {
    if (KRT_LIKELY(shard->io.pause_end_us == WAITING_NEVER)) return FUTEX_NO_DEADLINE;
    return virtual_clock_real_ns(&shard->fabric->domain.clock, shard->io.pause_end_us);
}

/* What a turn is due for though nothing comes in. */
static uint64_t next_alarm(const struct shard *shard) {
    const struct shard_io *io = &shard->io;
    uint64_t alarm = earlier(earlier(io->next_cron_ns, pause_ns(shard)), io->departures_ns);
    alarm = earlier(alarm, earlier(io->held_up_ns, io->put_off_ns));
    alarm = earlier(alarm, earlier(io->snapshot_ns, alarms_ns(shard)));
    return KRT_LIKELY(io->timers.count == 0) ? alarm : earlier(alarm, timers_alarm_ns(shard));
}

/* Of a busy shard: the place is asked for again, whatever comes. */
static uint64_t next_deadline(struct shard *shard) {
    if (has_work(shard)) return 0;
    bool busy = atomic_load_relaxed(&shard->busy);
    if (busy) return shard->io.woke_ns + BUSY_POLL_NS;
    uint64_t alarm = next_alarm(shard);
    return is_full(shard) ? earlier(alarm, shard->io.woke_ns + FULL_AGAIN_NS) : alarm;
}

static void phase_sleep(struct shard *shard) {
    uint64_t deadline = next_deadline(shard);
    bool busy = atomic_load_relaxed(&shard->busy);
    bool parked = deadline && !busy && inbox_park(&shard->inbox);
    reactor_wait(shard->io.reactor, parked || busy ? deadline : 0);
    if (deadline && !busy) inbox_unpark(&shard->inbox);
    shard->io.woke_ns = clock_monotonic_ns();
}

static void bury_later(struct shard *shard, struct connection *connection) {
    connection->next_closed = shard->io.closed_first;
    shard->io.closed_first = connection;
}

static void handle_event(struct shard *shard, const struct reactor_event *event) {
    struct connection *connection = (struct connection *)event->socket;
    switch (event->kind) {
    case EVENT_ACCEPT:
        accept_note(shard, event->result);
        break;
    case EVENT_DATA:
        connection_receive(shard, connection, event->data);
        break;
    case EVENT_END:
        connection_peer_ended(shard, connection, event->result);
        break;
    case EVENT_SENT:
        connection_sent(shard, connection, event->result);
        break;
    case EVENT_CLOSED:
        bury_later(shard, connection);
        break;
    case EVENT_ACCEPT_FAILED:
        log_line(LOG_WARNING, "Accepting a client connection failed: %s",
                 system_error_text(event->result));
        break;
    case EVENT_WAKE:
        inbox_answer(&shard->inbox);
        shard->io.called = true;
        if (shard->index == 0) accept_take_door(shard);
        break;
    case EVENT_NONE:
        break;
    }
}

static void phase_collect(struct shard *shard) {
    struct reactor_event event;
    while (reactor_next(shard->io.reactor, &event)) handle_event(shard, &event);
}

static void undo_runs(struct run *runs, uint32_t left) {
    for (; left; left &= left - 1) run_undo(&runs[__builtin_ctz(left)]);
}

/* Executes gathered runs: first those that need no other place, then place by place. Connections have no
 * order among each other, and each change of place costs a drop and a take. False: the place is lost. */
static bool run_gathered(struct shard *shard, uint32_t count) {
    struct run *runs = shard->io.runs;
    uint32_t left = (1u << count) - 1;
    for (uint64_t place = shard->own; left; place = runs[__builtin_ctz(left)].mask) {
        for (uint32_t rest = left; rest; rest &= rest - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(rest);
            if (runs[i].mask & ~place) continue;
            left &= ~(1u << i);
            run_execute(&runs[i]);
            if (KRT_LIKELY(shard->held && (!turn_slice_is_over(shard) || turn_pause(shard))))
                continue;
            undo_runs(runs, left);
            return false;
        }
        if (left == 0) break;
    }
    return turn_return(shard);
}

/* Until all connections are through or the budget is spent. False: the place is lost. */
static bool run_inputs(struct shard *shard) {
    struct shard_io *io = &shard->io;
    while (io->input_first && !is_full(shard) && io->slice_ns - io->woke_ns <= TURN_BUDGET_NS)
        if (!run_gathered(shard, run_gather(shard))) return false;
    return true;
}

static void end_idle_connections(struct shard *shard) {
    uint64_t limit_ns = (uint64_t)shard->fabric->settings.idle_timeout_s * UINT64_C(1000000000);
    if (limit_ns == 0) return;
    for (uint32_t i = 0; i < shard->io.connection_capacity; i++) {
        struct connection *connection = shard->io.connections[i];
        if (connection && !(connection->client.listens & (LISTENS_CHANNELS | LISTENS_MONITOR)) &&
            !connection->client.waiter &&
            shard->io.woke_ns - atomic_load_relaxed(&connection->client.card->seen_ns) > limit_ns)
            connection_end(shard, connection);
    }
}

/* CLIENT KILL has marked them. */
static void end_doomed(struct shard *shard) {
    if (KRT_LIKELY(!atomic_load_relaxed(&shard->has_doomed))) return;
    atomic_store_relaxed(&shard->has_doomed, 0);
    for (uint32_t i = 0; i < shard->io.connection_capacity; i++) {
        struct connection *connection = shard->io.connections[i];
        if (connection && atomic_load_relaxed(&connection->client.card->doomed))
            connection_end(shard, connection);
    }
}

bool loop_may_expire(const struct domain *domain) {
    return !(domain->gates & GATE_LOADING) && !domain_log_fails(domain) &&
           !pause_is_in_force(domain);
}

/* While the clock stands nothing becomes due by itself, and who moves it sees to what does. */
static bool wants_expiry(const struct shard *shard) {
    return keyspace_has_deadlines(&shard->data.keyspace) &&
           !atomic_load_relaxed(&shard->fabric->domain.clock.frozen);
}

/* Periodic work, with the own baton. Sleeps for ever again when there is none left. */
static void run_cron(struct shard *shard) {
    struct shard_data *data = &shard->data;
    uint64_t begun = latency_begin_event(shard->fabric);
    bool again =
        keyspace_has_deadlines(&data->keyspace) && !shard->fabric->expiry_is_lazy &&
        !is_full(shard) && loop_may_expire(&shard->fabric->domain) &&
        expire_cycle(&shard->fabric->domain, &data->keyspace, &data->effects, EXPIRE_BUDGET_NS);
    latency_end_event(shard->fabric, LATENCY_EXPIRE_CYCLE, begun);
    if (KRT_UNLIKELY(data->outcomes.pending)) outcomes_finish(shard);
    end_idle_connections(shard);
    data->expiry_armed = keyspace_has_deadlines(&data->keyspace);
    bool wanted = wants_expiry(shard) || shard->io.soft_exceeded ||
                  (shard->fabric->settings.idle_timeout_s && shard->io.connection_count);
    shard->io.next_cron_ns =
        wanted ? shard->io.woke_ns + (again ? EXPIRE_AGAIN_NS : CRON_NS) : FUTEX_NO_DEADLINE;
}

static bool cron_is_due(const struct shard *shard) {
    return shard->io.woke_ns >= shard->io.next_cron_ns;
}

static void arm_cron(struct shard *shard) {
    struct shard_io *io = &shard->io;
    bool wanted = wants_expiry(shard) || io->soft_exceeded ||
                  (shard->fabric->settings.idle_timeout_s && io->connection_count);
    if (io->next_cron_ns != FUTEX_NO_DEADLINE) return;
    /* Also when woken for a deadline that is gone again: the next one must wake us once more. */
    shard->data.expiry_armed = keyspace_has_deadlines(&shard->data.keyspace);
    if (wanted) io->next_cron_ns = io->woke_ns + CRON_NS;
}

/* While there is too much memory in use and something to evict, nobody needs to ask for it. */
static void relieve_budget(struct shard *shard) {
    uint64_t again_ns = shard->io.woke_ns + RELIEF_AGAIN_NS;
    if (!loop_may_expire(&shard->fabric->domain) || !budget_relieve(shard)) return;
    if (shard->io.next_cron_ns > again_ns) shard->io.next_cron_ns = again_ns;
}

/* Somebody else has the place for long: everybody gets an answer all the same (B2). */
static void serve_busy(struct shard *shard) {
    struct run *runs = shard->io.runs;
    if (shard->io.accepted_count) accept_keep(shard);
    while (shard->io.input_first) {
        uint32_t count = run_gather(shard);
        for (uint32_t i = 0; i < count; i++) run_busy(&runs[i]);
    }
}

/* The peak of all shards is made of what each has seen last, so that none looks at another's data. */
static void sample_used(struct shard *shard) {
    struct fabric *fabric = shard->fabric;
    uint64_t used = 0;
    atomic_store_relaxed(&shard->io.used_bytes, keyspace_used_bytes(&shard->data.keyspace));
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        used += atomic_load_relaxed(&fabric->shards[i]->io.used_bytes);
    (void)fabric_note_used(fabric, used);
}

static void sample_rates(struct shard *shard) {
    struct rate_sample now = {
        .at_ns = shard->io.woke_ns,
        .commands = shard->data.counters.commands,
        .input_bytes = atomic_load_relaxed(&shard->io.input_bytes),
        .output_bytes = atomic_load_relaxed(&shard->io.output_bytes),
    };
    if (KRT_UNLIKELY(statistics_sample(&shard->data.statistics, &now))) sample_used(shard);
}

/* False: the place was lost. */
static bool run_turn(struct shard *shard, bool cron_due) {
    if (!turn_begin(shard)) return false;
    shard->io.called = false;
    shard->io.slice_commands = 0;
    shard->io.slice_ns = shard->io.woke_ns;
    if (shard->io.accepted_count) accept_deal(shard);
    end_doomed(shard);
    timers_tend(shard);
    if (!departures_tend(shard) || !pause_tend(shard) || !waiting_tend(shard)) return false;
    if (!run_inputs(shard)) return false;
    sample_rates(shard);
    shard->io.limits = shard->fabric->settings.limits;
    if (cron_due) run_cron(shard);
    arm_cron(shard);
    if (is_full(shard)) journal_look(shard->fabric);
    if (KRT_UNLIKELY(shard->io.has_choked) && !is_full(shard)) connection_unchoke_all(shard);
    relieve_budget(shard);
    if (KRT_UNLIKELY(shard->data.keyspace.part != NULL)) snapshot_tend(shard);
    turn_end(shard);
    board_drain(shard); /* what was posted to ourselves leaves in this loop */
    return true;
}

/* Needs no place. */
static void tend_alarms(struct shard *shard) {
    if (KRT_LIKELY(alarms_ns(shard) > shard->io.woke_ns)) return;
    bool through = alarms_tend(shard->fabric, shard->io.woke_ns);
    shard->io.alarms_again_ns = through ? 0 : shard->io.woke_ns + ALARMS_AGAIN_NS;
}

/* False: the server is stopping. */
static bool phase_turn(struct shard *shard) {
    tend_alarms(shard);
    bool due = shard->io.woke_ns >= next_alarm(shard) || atomic_load_relaxed(&shard->busy) ||
               is_full(shard);
    bool called = inbox_dirty(&shard->inbox) || shard->io.called;
    if (!due && !called && !has_work(shard)) return !baton_is_closed(shard->baton);
    board_drain(shard); /* it needs no place */
    if (run_turn(shard, cron_is_due(shard))) return true;
    if (baton_is_closed(shard->baton)) return false;
    serve_busy(shard);
    return true;
}

static void phase_tidy(struct shard *shard) {
    struct connection *connection = shard->io.keep_first;
    shard->io.keep_first = NULL;
    for (struct connection *next; connection; connection = next) {
        next = connection->next_keep;
        connection->in_keep = false;
        if (connection->closing) continue;
        if (parser_keep(&connection->parser)) limits_note_input(shard, connection);
        else connection_end(shard, connection);
    }
    reactor_recycle(shard->io.reactor);
}

static void phase_flush(struct shard *shard) {
    if (KRT_UNLIKELY(shard->io.held_first != NULL)) held_tend(shard);
    struct connection *connection = shard->io.ready_first;
    shard->io.ready_first = NULL;
    for (struct connection *next; connection; connection = next) {
        next = connection->next_ready;
        connection->in_ready = false;
        connection_flush(shard, connection);
    }
    held_publish(shard);
}

static void phase_bury(struct shard *shard) {
    struct connection *connection = shard->io.closed_first;
    shard->io.closed_first = NULL;
    for (struct connection *next; connection; connection = next) {
        next = connection->next_closed;
        /* A turn that ended by its budget left it in the input list, off which a later one takes it. */
        if (connection->in_input) bury_later(shard, connection);
        else connection_free(shard, connection);
    }
}

static void note_gap(struct shard_io *io) {
    uint64_t gap_ns = clock_monotonic_ns() - io->woke_ns;
    atomic_store_relaxed(&io->loops, atomic_load_relaxed(&io->loops) + 1);
    if (gap_ns > atomic_load_relaxed(&io->gap_max_ns))
        atomic_store_relaxed(&io->gap_max_ns, gap_ns);
    if (gap_ns > 1000000)
        atomic_store_relaxed(&io->gaps_over_1ms, atomic_load_relaxed(&io->gaps_over_1ms) + 1);
}

static void loop_run(struct shard *shard) {
    for (;;) {
        phase_sleep(shard);
        phase_collect(shard);
        if (!phase_turn(shard)) return;
        phase_tidy(shard);
        phase_flush(shard);
        limits_tend(shard);
        phase_bury(shard);
        note_gap(&shard->io);
    }
}

/* ---- Start and end of the thread ---------------------------------------------------------------- */

static int loop_open(struct shard *shard) {
    const struct fabric_settings *settings = &shard->fabric->settings;
    struct reactor_limits limits = {
        .ring_entries = settings->ring_entries,
        .buffer_count = settings->buffer_count,
        .buffer_bytes = settings->buffer_bytes,
        .wake_fd = shard->inbox.wake_fd,
        .account = &shard->data.keyspace.account,
    };
    int result = reactor_open(&shard->io.reactor, settings->reactor, &limits);
    for (uint32_t i = 0; shard->index == 0 && result == 0 && i < shard->fabric->listener_count; i++)
        result = reactor_listen(shard->io.reactor, shard->fabric->listeners[i]);
    return result;
}

static void end_connections(struct shard *shard) {
    for (uint32_t i = 0; i < shard->io.connection_capacity; i++) {
        struct connection *connection = shard->io.connections[i];
        if (!connection) continue;
        connection->in_input = connection->in_ready = false;
        connection_end(shard, connection);
    }
    shard->io.input_first = shard->io.input_last = shard->io.ready_first = NULL;
    shard->io.keep_first = NULL;
    while (shard->io.connection_count) {
        struct reactor_event event;
        reactor_recycle(shard->io.reactor);
        reactor_wait(shard->io.reactor, clock_monotonic_ns() + CRON_NS);
        while (reactor_next(shard->io.reactor, &event)) {
            if (event.kind == EVENT_ACCEPT) accept_note(shard, event.result);
            if (event.kind == EVENT_CLOSED) bury_later(shard, (struct connection *)event.socket);
        }
        phase_bury(shard);
    }
}

void loop_send(struct shard *shard, uint64_t deadline_ns) {
    struct reactor_event event;
    phase_flush(shard);
    reactor_recycle(shard->io.reactor);
    reactor_wait(shard->io.reactor, deadline_ns);
    while (reactor_next(shard->io.reactor, &event)) {
        struct connection *connection = (struct connection *)event.socket;
        if (event.kind == EVENT_ACCEPT) accept_note(shard, event.result);
        if (event.kind == EVENT_SENT) connection_sent(shard, connection, event.result);
        if (event.kind == EVENT_CLOSED) bury_later(shard, connection);
    }
}

/* Closing first would leave the port bound for milliseconds: cancel, reap, close, then free the ring. */
static void loop_close(struct shard *shard) {
    if (shard->index == 0) accept_end(shard);
    phase_bury(shard);
    held_finish(shard);
    end_connections(shard);
    for (uint32_t i = 0; i < shard->io.accepted_count; i++) socket_close(shard->io.accepted[i]);
    shard->io.accepted_count = 0;
    reactor_close(shard->io.reactor);
}

void *loop_thread(void *argument) {
    struct shard *shard = argument;
    shard->start_result = loop_open(shard);
    atomic_store_release(&shard->started, 1);
    futex_wake(&shard->started, 1);
    if (shard->start_result < 0) return NULL;
    loop_run(shard);
    loop_close(shard);
    return NULL;
}
