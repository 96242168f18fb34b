#include "shard/pause.h"

#include "plat/clock.h"
#include "plat/futex.h"
#include "shard/shard.h"

bool pause_is_in_force(const struct domain *domain) {
    return (domain->gates & GATE_PAUSE) &&
           virtual_clock_waiting_us(&domain->clock) < domain->pause.end_us;
}

bool pause_stops(const struct domain *domain, uint64_t flags) {
    return domain->pause.all || (flags & (CMD_WRITE | CMD_MAY_REPLICATE));
}

/* ---- What waits -------------------------------------------------------------------------------- */

/* The thread comes round when the pause is over. */
static void arm(struct shard *shard) {
    shard->io.pause_end_us = shard->fabric->domain.pause.end_us;
}

void pause_connection(struct shard *shard, struct connection *connection) {
    KRT_DCHECK(!connection->paused);
    connection->paused = connection->suspended = true;
    connection->next_paused = shard->io.paused_first;
    shard->io.paused_first = connection;
    arm(shard);
}

void pause_forget(struct shard *shard, struct connection *connection) {
    if (!connection->paused) return;
    struct connection **link = &shard->io.paused_first;
    while (*link != connection) link = &(*link)->next_paused;
    *link = connection->next_paused;
    connection->paused = false;
}

bool pause_holds_back(const struct shard *shard, uint32_t source, const struct forwarded *request) {
    for (const struct batch *batch = shard->io.paused_batches; batch; batch = batch->next_spare) {
        if (batch->source != source) continue;
        for (uint32_t i = 0; i < batch->count; i++)
            if (batch->requests[i].connection == request->connection &&
                batch->requests[i].generation == request->generation)
                return true;
    }
    return false;
}

/* Behind those that wait already: they go on in the order in which they came. */
void pause_batch(struct shard *shard, struct batch *batch) {
    struct batch **link = &shard->io.paused_batches;
    while (*link) link = &(*link)->next_spare;
    batch->next_spare = NULL;
    *link = batch;
    arm(shard);
}

struct batch *pause_take_batch(struct shard *shard) {
    struct batch *batch = shard->io.paused_batches;
    if (batch) shard->io.paused_batches = batch->next_spare;
    return batch;
}

/* ---- The end ----------------------------------------------------------------------------------- */

static void resume(struct shard *shard) {
    struct connection *connection = shard->io.paused_first;
    shard->io.paused_first = NULL;
    for (struct connection *next; connection; connection = next) {
        next = connection->next_paused;
        connection->paused = connection->suspended = false;
        if (!connection->closing) connection_want_input(shard, connection);
    }
    forward_resume(shard);
}

/* The gate costs every command a look at the clock: the first shard sees to it that it goes. */
static bool open_gate(struct shard *shard) {
    struct fabric *fabric = shard->fabric;
    if (!turn_coordinate(shard, fabric_all(fabric))) return shard->held != 0;
    if (!pause_is_in_force(&fabric->domain)) {
        fabric->domain.gates &= ~(uint32_t)GATE_PAUSE;
        waiting_resume(turn_home(shard));
    }
    return turn_return(shard);
}

bool pause_tend(struct shard *shard) {
    struct domain *domain = &shard->fabric->domain;
    shard->io.pause_end_us = WAITING_NEVER;
    if (pause_is_in_force(domain)) {
        bool waits = shard->io.paused_first || shard->io.paused_batches || shard->index == 0;
        if (waits) arm(shard);
        return true;
    }
    if (shard->io.paused_first || shard->io.paused_batches) {
        resume(shard);
        if (!turn_return(shard)) return false;
    }
    if (KRT_LIKELY(!(domain->gates & GATE_PAUSE)) || shard->index != 0) return true;
    return open_gate(shard);
}

/* ---- In-process callers ------------------------------------------------------------------------ */

void pause_sleep(struct fabric *fabric, uint32_t bell, uint64_t deadline_ns) {
    pause_sleep_until(fabric, bell, atomic_load_relaxed(&fabric->pause_end_us), deadline_ns);
}

void pause_sleep_until(struct fabric *fabric, uint32_t bell, uint64_t end_us,
                       uint64_t deadline_ns) {
    uint64_t end_ns = virtual_clock_real_ns(&fabric->domain.clock, end_us);
    if (deadline_ns < end_ns) end_ns = deadline_ns;
    if (clock_monotonic_ns() < end_ns) (void)futex_wait(&fabric->pause_bell, bell, end_ns);
}

void pause_ring(struct fabric *fabric) {
    atomic_add_seq_cst(&fabric->pause_bell, 1);
    futex_wake(&fabric->pause_bell, INT32_MAX);
}

/* ---- CLIENT PAUSE, UNPAUSE --------------------------------------------------------------------- */

static bool parse_mode(struct call *call, bool *all) {
    *all = call->argc == 3 || bytes_is(call->argv[3], "all");
    if (call->argc == 3) return true;
    if (call->argc == 4 && (*all || bytes_is(call->argv[3], "write"))) return true;
    if (call->argc == 4) call_error(call, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    else call_error_syntax(call);
    return false;
}

static bool parse_end(struct call *call, uint64_t *end_us) {
    enum { US_PER_MS = 1000 };
    int64_t ms;
    if (!bytes_to_int64(call->argv[2], &ms)) {
        call_error(call, "ERR timeout is not an integer or out of range");
        return false;
    }
    if (ms < 0) {
        call_error(call, "ERR timeout is negative");
        return false;
    }
    uint64_t longest_ms = WAITING_NEVER / US_PER_MS;
    *end_us = virtual_clock_after(&call->domain->clock, (uint64_t)ms < longest_ms
                                                            ? (uint64_t)ms * US_PER_MS
                                                            : WAITING_NEVER - 1);
    return true;
}

void pause_set(struct fabric *fabric, struct domain_pause pause) {
    fabric->domain.pause = pause;
    if (pause.end_us) fabric->domain.gates |= GATE_PAUSE;
    else fabric->domain.gates &= ~(uint32_t)GATE_PAUSE;
    atomic_store_relaxed(&fabric->pause_end_us, pause.end_us);
    pause_ring(fabric);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        inbox_wake(&fabric->shards[i]->inbox);
}

/* Of two pauses the later end holds, and the stricter kind. */
static void client_pause_command(struct call *call) {
    struct domain *domain = call->domain;
    struct domain_pause pause;
    if (!parse_mode(call, &pause.all) || !parse_end(call, &pause.end_us)) return;
    if (pause_is_in_force(domain)) {
        pause.all |= domain->pause.all;
        if (domain->pause.end_us > pause.end_us) pause.end_us = domain->pause.end_us;
    }
    pause_set(fabric_of(call), pause);
    reply_ok(call->reply);
}

static void client_unpause_command(struct call *call) {
    pause_set(fabric_of(call), (struct domain_pause){0});
    waiting_resume(call_home(call));
    reply_ok(call->reply);
}

void client_pause_bind(void) {
    command_bind_all_shards("client|pause", client_pause_command);
    command_bind_all_shards("client|unpause", client_unpause_command);
}
