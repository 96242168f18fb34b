#include "cmd/effects.h"

#include "cmd/call.h"

const struct effect_sink effect_sink_none = {0};

void effect_change(struct call *call, const struct key_place *place, enum notify_class class,
                   const char *event) {
    struct effects *effects = call->effects;
    effects->dirty++;
    if (KRT_LIKELY(effects->sink->wanted == 0)) return;
    if (effects_want(effects, EFFECT_TOUCH)) effects->sink->touch(effects->sink->context, place);
    effect_notify(call, place, class, event);
}

void effect_notify(struct call *call, const struct key_place *place, enum notify_class class,
                   const char *event) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_UNLIKELY(sink->wanted & EFFECT_NOTIFY)) sink->notify(sink->context, class, event, place);
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

void effect_log_verbatim(struct call *call) {
    effect_log(call, call->db, call->argv, call->argc);
}

void effect_log(struct call *call, uint32_t db, const struct bytes *argv, uint32_t argc) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_UNLIKELY(sink->wanted & EFFECT_LOG)) sink->log(sink->context, call, db, argv, argc);
}
