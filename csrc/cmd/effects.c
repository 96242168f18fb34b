#include "cmd/effects.h"

#include "cmd/call.h"

const struct effect_sink effect_sink_none = {0};

/* Of the effect kinds of one key. */
static inline uint32_t wanted_at(const struct call *call, const struct key_place *place) {
    return call->effects->sink->wanted | place->keyspace->wanted;
}

/* Of those of whole databases, for which every shard is held. */
static uint32_t wanted_anywhere(const struct call *call) {
    uint32_t wanted = call->effects->sink->wanted;
    for (uint32_t i = 0; i < call->domain->shard_count; i++)
        wanted |= call->domain->keyspaces[i]->wanted;
    return wanted;
}

/* What repeats a log is no news: whoever has to learn that the data is another one is told so as a whole. */
static inline bool is_told_to_nobody(const struct call *call) {
    return call->flags & CALL_LOADING;
}

void effect_change(struct call *call, const struct key_place *place, enum notify_class class,
                   const char *event) {
    call->effects->dirty++;
    if (KRT_LIKELY(wanted_at(call, place) == 0)) return;
    if (KRT_UNLIKELY(is_told_to_nobody(call))) return;
    effect_touch(call, place);
    effect_notify(call, place, class, event);
}

void effect_touch(struct call *call, const struct key_place *place) {
    if (KRT_UNLIKELY(wanted_at(call, place) & EFFECT_TOUCH) && !is_told_to_nobody(call))
        call->effects->sink->touch(call, place);
}

void effect_notify(struct call *call, const struct key_place *place, enum notify_class class,
                   const char *event) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_UNLIKELY(sink->wanted & EFFECT_NOTIFY) && !is_told_to_nobody(call))
        sink->notify(call, class, event, place);
}

void effect_ready(struct call *call, const struct key_place *place, enum value_type type) {
    if (KRT_UNLIKELY(wanted_at(call, place) & EFFECT_READY) && !is_told_to_nobody(call))
        call->effects->sink->ready(call, place, type);
}

void effect_flush(struct call *call, uint32_t db, uint64_t count) {
    call->effects->dirty += count;
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_UNLIKELY(is_told_to_nobody(call))) return;
    if (KRT_UNLIKELY(wanted_anywhere(call) & EFFECT_TOUCH)) sink->touch_all(call, db, UINT32_MAX);
    if (sink->flush) sink->flush(call, db);
}

/* A database that takes its own place stays as it is. */
void effect_swap_begin(struct call *call, uint32_t first, uint32_t second) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_LIKELY(!(wanted_anywhere(call) & EFFECT_TOUCH)) || first == second) return;
    if (KRT_UNLIKELY(is_told_to_nobody(call))) return;
    sink->touch_all(call, first, second);
    sink->touch_all(call, second, first);
}

void effect_swap(struct call *call, uint32_t first, uint32_t second) {
    const struct effect_sink *sink = call->effects->sink;
    call->effects->dirty++;
    if (KRT_LIKELY(!(wanted_anywhere(call) & EFFECT_READY)) || first == second) return;
    if (KRT_UNLIKELY(is_told_to_nobody(call))) return;
    sink->ready_all(call, first);
    sink->ready_all(call, second);
}

void effect_replace_begin(struct call *call, uint64_t count) {
    const struct effect_sink *sink = call->effects->sink;
    uint32_t databases = call->domain->database_count;
    call->effects->dirty += count;
    if (KRT_UNLIKELY(wanted_anywhere(call) & EFFECT_TOUCH))
        for (uint32_t db = 0; db < databases; db++) sink->touch_all(call, db, databases + db);
    if (sink->flush) sink->flush(call, UINT32_MAX);
}

void effect_replace(struct call *call) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_LIKELY(!(wanted_anywhere(call) & EFFECT_READY))) return;
    for (uint32_t db = 0; db < call->domain->database_count; db++) sink->ready_all(call, db);
}

void effect_put_back_begin(struct call *call, uint32_t db) {
    if (KRT_UNLIKELY(wanted_anywhere(call) & EFFECT_TOUCH))
        call->effects->sink->touch_all(call, db, call->domain->database_count + db);
}

void effect_put_back_flush(struct call *call) {
    const struct effect_sink *sink = call->effects->sink;
    if (sink->flush) sink->flush(call, UINT32_MAX);
}

void effect_put_back(struct call *call, uint32_t db) {
    if (KRT_UNLIKELY(wanted_anywhere(call) & EFFECT_READY))
        call->effects->sink->ready_all(call, db);
}

void effect_log_verbatim(struct call *call) {
    effect_log(call, call->db, call->argv, call->argc);
}

void effect_log(struct call *call, uint32_t db, const struct bytes *argv, uint32_t argc) {
    const struct effect_sink *sink = call->effects->sink;
    if (KRT_UNLIKELY(sink->wanted & EFFECT_LOG) && !is_told_to_nobody(call))
        sink->log(call, db, argv, argc);
}
