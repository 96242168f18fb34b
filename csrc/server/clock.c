#include "server/clock.h"

#include "cmd/expire.h"
#include "plat/clock.h"
#include "server/alter.h"
#include "shard/caller.h"
#include "shard/shard.h"

enum { SWEEP_NS = 2000000 }; /* then others may have the shard */

struct change {
    enum kevyrt_clock_change kind;
    int64_t us;
    bool fails; /* that is no time */
};

/* ---- The change --------------------------------------------------------------------------------- */

/* To be moved by; no bound is near the end of the type. */
static int64_t distance(const struct virtual_clock *clock, const struct change *change) {
    switch (change->kind) {
    case KEVYRT_CLOCK_ADVANCE:
        return change->us;
    case KEVYRT_CLOCK_SET:
        return change->us - virtual_clock_wall_us(clock);
    case KEVYRT_CLOCK_FREEZE:
    case KEVYRT_CLOCK_RESUME:
    case KEVYRT_CLOCK_RESET:
        break;
    }
    return 0;
}

static void apply(struct virtual_clock *clock, struct change *change) {
    if (change->us < 0 || change->us >= CLOCK_END_US) {
        change->fails = true;
        return;
    }
    int64_t by_us = distance(clock, change);
    change->fails = virtual_clock_wall_us(clock) + by_us >= CLOCK_END_US;
    if (change->fails) return;
    if (by_us) virtual_clock_move(clock, by_us);
    if (change->kind == KEVYRT_CLOCK_FREEZE) virtual_clock_freeze(clock);
    if (change->kind == KEVYRT_CLOCK_RESUME) virtual_clock_resume(clock);
    if (change->kind == KEVYRT_CLOCK_RESET) virtual_clock_reset(clock);
}

static void alter(struct fabric *fabric, void *context) {
    pthread_mutex_lock(&fabric->alarms.lock);
    apply(&fabric->domain.clock, context);
    pthread_mutex_unlock(&fabric->alarms.lock);
    fabric_apply_clock(fabric);
}

/* ---- What it brings about ------------------------------------------------------------------------ */

/* False: it is through, or may not go on. */
static bool sweep_some(struct fabric *fabric, struct shard *shard, struct expire_round *round) {
    if (!caller_take(fabric, shard->own)) return false;
    bool may = loop_may_expire(&fabric->domain) && !fabric->expiry_is_lazy;
    bool more = may && expire_due(&fabric->domain, &shard->data.keyspace, &shard->data.effects,
                                  round, SWEEP_NS);
    (void)caller_drop(fabric, shard->own);
    return more;
}

static void sweep(struct fabric *fabric) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct expire_round round = {0};
        while (sweep_some(fabric, fabric->shards[i], &round)) continue;
    }
}

static void follow(struct fabric *fabric) {
    pause_ring(fabric);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        inbox_wake(&fabric->shards[i]->inbox);
    (void)alarms_tend(fabric, clock_monotonic_ns());
    sweep(fabric);
}

enum kevyrt_status kevyrt_clock_change(struct kevyrt_server *server, enum kevyrt_clock_change kind,
                                       int64_t us, struct kevyrt_error *error) {
    struct change change = {.kind = kind, .us = us};
    bool running;
    enum kevyrt_status status = server_alter(server, alter, &change, &running, error);
    if (status != KEVYRT_OK) return status;
    if (change.fails)
        return server_fail(error, KEVYRT_BAD_CONFIG, 0,
                           "the clock goes from 1970 to 9999, and only `set` goes back");
    if (running && server_enter(server)) {
        follow(&server->fabric);
        server_leave(server);
    }
    return KEVYRT_OK;
}

void kevyrt_clock_read(const struct kevyrt_server *server, struct kevyrt_clock *out) {
    struct fabric *fabric = (struct fabric *)&server->fabric; /* of which only the lock changes */
    const struct virtual_clock *clock = &fabric->domain.clock;
    pthread_mutex_lock(&fabric->alarms.lock);
    out->now_us = virtual_clock_wall_us(clock);
    out->frozen = atomic_load_relaxed(&clock->frozen);
    out->offset_us = (int64_t)atomic_load_relaxed(&clock->wall_us);
    if (out->frozen) out->offset_us -= clock_wall_us();
    pthread_mutex_unlock(&fabric->alarms.lock);
}
