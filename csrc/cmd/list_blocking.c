/* Lists: who finds nothing to pop waits for it (BLPOP, BRPOP). Those that move are in list_moves.c. */
#include "cmd/families.h"
#include "cmd/list.h"

/* It is replayed as what does not wait. */
static void pop_first(struct call *call, const struct key_place *place, struct entry *entry,
                      enum list_end end) {
    struct edit edit;
    struct bytes log[] = {end == LIST_HEAD ? BYTES_LITERAL("LPOP") : BYTES_LITERAL("RPOP"),
                          place->key};
    if (!list_open_pop(call, place, entry, 1, &edit)) return;
    reply_array(call->reply, 2);
    reply_bulk(call->reply, place->key);
    effect_log(call, place->db, log, 2);
    list_pop_replied(call, place, &edit, end, 1);
}

/* Of the first key that has any, from the left. */
static void pop_or_wait(struct call *call, enum list_end end) {
    struct call_wait wait = {.first = 1, .count = call->argc - 2, .type = VALUE_LIST};
    struct entry *entry;
    if (!call_timeout(call, call->argc - 1, &wait.timeout_ms)) return;
    for (uint32_t i = 0; i < wait.count; i++) {
        struct key_place place = keyspace_for(call, wait.first + i);
        if (!elements_find(call, &place, VALUE_LIST, &entry)) return;
        if (!entry) continue;
        pop_first(call, &place, entry, end);
        return;
    }
    if (!call_wait(call, &wait)) reply_null_array(call->reply);
}

static void blpop_command(struct call *call) {
    pop_or_wait(call, LIST_HEAD);
}

static void brpop_command(struct call *call) {
    pop_or_wait(call, LIST_TAIL);
}

void list_blocking_bind(void) {
    command_bind_local("blpop", blpop_command);
    command_bind_local("brpop", brpop_command);
}
