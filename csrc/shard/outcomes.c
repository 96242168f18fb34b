#include "shard/outcomes.h"

#include "shard/board/notify.h"
#include "shard/shard.h"
#include "shard/transactions/watch.h"

/* ---- The sink -------------------------------------------------------------------------------------- */

static void touch(struct call *call, const struct key_place *place) {
    watch_touch(call, place);
    waiting_touched(call, place);
    tracking_touch(call, place);
}

static void touch_all(struct call *call, uint32_t db, uint32_t replaced_by) {
    watch_touch_all(call, db, replaced_by);
    waiting_ready_all(call, db, true);
}

/* Clients that cache are told of what was emptied, and not of what was exchanged. */
static void flush(struct call *call, uint32_t db) {
    const struct change_bell *bell = &fabric_of(call)->change_bell;
    if (db == UINT32_MAX && bell->emptied) bell->emptied(bell->context);
    tracking_flush(call);
}

static void ready(struct call *call, const struct key_place *place, enum value_type type) {
    (void)type;
    waiting_ready(call, place);
}

static void ready_all(struct call *call, uint32_t db) {
    waiting_ready_all(call, db, false);
}

struct effect_sink outcomes_sink(void) {
    return (struct effect_sink){
        .log = journal_log,
        .touch = touch,
        .touch_all = touch_all,
        .flush = flush,
        .ready = ready,
        .ready_all = ready_all,
        .notify = notify_event,
    };
}

void outcomes_update_wanted(struct shard *shard) {
    const struct waiting *waiting = &shard->data.waiting;
    uint32_t wanted = 0;
    if (waiting_keys(waiting)) wanted |= EFFECT_READY;
    if (waiting->group_queues || shard->data.watched.count || tracking_wants(shard))
        wanted |= EFFECT_TOUCH;
    shard->data.keyspace.wanted = wanted;
}

/* ---- The end of a call ----------------------------------------------------------------------------- */

bool outcomes_reach(struct shard *home, uint64_t mask) {
    struct outcomes *outcomes = &home->data.outcomes;
    if (KRT_LIKELY((mask & ~outcomes->held) == 0)) return true;
    if (!outcomes->reach) return false;
    call_reach_extend(outcomes->reach, mask);
    outcomes->held = *outcomes->reach->held;
    return true;
}

void outcomes_finish(struct shard *home) {
    tracking_tell(home);
    waiting_serve(home);
    tracking_finish(home);
    journal_end_call(home);
    board_leave(home);
    home->data.outcomes.pending = false;
}
