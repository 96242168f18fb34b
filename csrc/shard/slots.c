#include "shard/slots.h"

#include <stdlib.h>

static struct slot *slot_at(struct slots *slots, uint32_t number) {
    return &slots->ring[number & (slots->capacity - 1)];
}

static bool slots_grow(struct slots *slots, uint32_t limit) {
    uint32_t capacity = slots->capacity ? slots->capacity * 2 : SLOTS_FIRST;
    if (capacity > limit) return false;
    struct slot *ring = mem_alloc(NULL, capacity * sizeof *ring);
    if (!ring) return false;
    for (uint32_t n = slots->retired; n != slots->issued; n++)
        ring[n & (capacity - 1)] = *slot_at(slots, n);
    mem_free(NULL, slots->ring);
    slots->ring = ring;
    slots->capacity = capacity;
    return true;
}

static bool issue(struct slots *slots, struct reply_pool *pool, uint32_t limit, uint32_t *number) {
    if (slots_pending(slots) == slots->capacity && !slots_grow(slots, limit)) return false;
    struct slot *slot = slot_at(slots, slots->issued);
    reply_init(&slot->reply, pool, 2);
    slot->filled = false;
    *number = slots->issued++;
    return true;
}

bool slots_issue(struct slots *slots, struct reply_pool *pool, uint32_t *number) {
    return slots_pending(slots) < SLOTS_MAX && issue(slots, pool, SLOTS_MAX * 2, number);
}

/* One slot takes all that is pushed between two requests. */
bool slots_push(struct slots *slots, struct reply_pool *pool, struct reply *push) {
    uint32_t number = slots->issued - 1;
    KRT_ASSERT(slots_pending(slots));
    if (!slot_at(slots, number)->filled && !issue(slots, pool, SLOTS_MAX * 2, &number))
        return false;
    struct slot *slot = slot_at(slots, number);
    slot->filled = true;
    reply_append(&slot->reply, push);
    return true;
}

static void slots_retire(struct slots *slots, struct reply *output) {
    while (slots_pending(slots) && slot_at(slots, slots->retired)->filled)
        reply_append(output, &slot_at(slots, slots->retired++)->reply);
    if (slots_pending(slots) == 0) slots_deinit(slots);
}

void slots_fill(struct slots *slots, uint32_t number, struct reply *from, uint64_t bytes,
                struct reply *output) {
    KRT_ASSERT(number - slots->retired < slots_pending(slots)); /* L1: issued and not retired */
    struct slot *slot = slot_at(slots, number);
    KRT_ASSERT(!slot->filled);
    slot->filled = true;
    if (number == slots->retired) { /* the head: straight into the output, without a second copy */
        reply_transfer(output, from, bytes);
    } else {
        reply_transfer(&slot->reply, from, bytes);
    }
    slots_retire(slots, output);
}

void slots_deinit(struct slots *slots) {
    for (; slots_pending(slots); slots->retired++)
        reply_clear(&slot_at(slots, slots->retired)->reply);
    mem_free(NULL, slots->ring);
    *slots = (struct slots){0};
}
