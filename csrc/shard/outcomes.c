#include "shard/outcomes.h"

#include "shard/shard.h"

/* ---- The sink -------------------------------------------------------------------------------------- */

static void touch(struct call *call, const struct key_place *place) {
    waiting_touched(call, place);
}

static void touch_all(struct call *call, uint32_t db) {
    waiting_ready_all(call, db, true);
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
        .touch = touch, .touch_all = touch_all, .ready = ready, .ready_all = ready_all};
}

void outcomes_update_wanted(struct shard *shard) {
    const struct waiting *waiting = &shard->data.waiting;
    uint32_t wanted = 0;
    if (waiting_keys(waiting)) wanted |= EFFECT_READY;
    if (waiting->group_queues) wanted |= EFFECT_TOUCH;
    shard->data.keyspace.wanted = wanted;
}

/* ---- The end of a call ----------------------------------------------------------------------------- */

void outcomes_finish(struct shard *home) {
    waiting_serve(home);
    board_leave(home);
    home->data.outcomes.pending = false;
}
