#include "cmd/effects.h"

#include "cmd/call.h"

const struct effect_sink effect_sink_none = {0};

void effect_change(struct call *call, const struct key_place *place, enum notify_class class,
                   const char *event) {
    struct effects *effects = call->effects;
    effects->dirty++;
    if (KRT_LIKELY(effects->sink->wanted == 0)) return;
    effect_touch(call, place);
    effect_notify(call, place, class, event);
}

void effect_touch(struct call *call, const struct key_place *place) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_UNLIKELY(sink->wanted & EFFECT_TOUCH)) sink->touch(sink->context, place);
}

void effect_notify(struct call *call, const struct key_place *place, enum notify_class class,
                   const char *event) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_UNLIKELY(sink->wanted & EFFECT_NOTIFY))
        sink->notify(sink->context, class, event, place);
}

void effect_ready(struct call *call, const struct key_place *place, enum value_type type) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_UNLIKELY(sink->wanted & EFFECT_READY)) sink->ready(sink->context, place, type);
}

void effect_flush(struct call *call, uint32_t db, uint64_t count) {
    struct effects *effects = call->effects;
    effects->dirty += count;
    if (KRT_UNLIKELY(effects->sink->wanted & EFFECT_TOUCH))
        effects->sink->touch_all(effects->sink->context, db);
}

static void effect_exchanged(struct call *call, uint32_t db) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_UNLIKELY(sink->wanted & EFFECT_TOUCH)) sink->touch_all(sink->context, db);
    if (KRT_UNLIKELY(sink->wanted & EFFECT_READY)) sink->ready_all(sink->context, db);
}

void effect_swap(struct call *call, uint32_t first, uint32_t second) {
    call->effects->dirty++;
    effect_exchanged(call, first);
    effect_exchanged(call, second);
}

void effect_log_verbatim(struct call *call) {
    effect_log(call, call->db, call->argv, call->argc);
}

void effect_log(struct call *call, uint32_t db, const struct bytes *argv, uint32_t argc) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_UNLIKELY(sink->wanted & EFFECT_LOG)) sink->log(sink->context, call, db, argv, argc);
}
