#include "shard/blocking/timers.h"

#include "base/mem.h"
#include "plat/futex.h"
#include "shard/shard.h"

enum { TIMERS_FIRST = 16, TIMERS_AGAIN_NS = 100000 };

bool timers_reserve(struct timers *timers, uint32_t more) {
    if (timers->capacity - timers->count >= more) return true;
    uint32_t capacity = timers->capacity ? timers->capacity * 2 : TIMERS_FIRST;
    while (capacity - timers->count < more) capacity *= 2;
    void *heap = mem_realloc(NULL, timers->heap, capacity * sizeof *timers->heap);
    if (!heap) return false;
    timers->heap = heap;
    timers->capacity = capacity;
    return true;
}

static void put_at(struct timers *timers, uint32_t index, struct waiter *waiter) {
    timers->heap[index] = waiter;
    waiter->alarm_index = index;
}

/* From a hole at `index` towards the root, to where it belongs. */
static uint32_t rise(struct timers *timers, uint32_t index, const struct waiter *waiter) {
    while (index && timers->heap[(index - 1) / 2]->alarm_us > waiter->alarm_us) {
        put_at(timers, index, timers->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    return index;
}

static uint32_t sink(struct timers *timers, uint32_t index, const struct waiter *waiter) {
    for (uint32_t child; (child = 2 * index + 1) < timers->count; index = child) {
        if (child + 1 < timers->count &&
            timers->heap[child + 1]->alarm_us < timers->heap[child]->alarm_us)
            child++;
        if (timers->heap[child]->alarm_us >= waiter->alarm_us) break;
        put_at(timers, index, timers->heap[child]);
    }
    return index;
}

void timers_add(struct timers *timers, struct waiter *waiter) {
    KRT_ASSERT(timers->count < timers->capacity);
    put_at(timers, rise(timers, timers->count++, waiter), waiter);
}

void timers_remove(struct timers *timers, struct waiter *waiter) {
    uint32_t hole = waiter->alarm_index;
    if (hole == WAITER_NO_ALARM) return;
    waiter->alarm_index = WAITER_NO_ALARM;
    struct waiter *last = timers->heap[--timers->count];
    if (last == waiter) return;
    put_at(timers, sink(timers, rise(timers, hole, last), last), last);
}

uint64_t timers_next_us(const struct timers *timers) {
    return timers->count ? timers->heap[0]->alarm_us : WAITING_NEVER;
}

void timers_deinit(struct timers *timers) {
    mem_free(NULL, timers->heap);
    *timers = (struct timers){0};
}

uint64_t timers_alarm_ns(const struct shard *shard) {
    const struct timers *timers = &shard->io.timers;
    if (KRT_UNLIKELY(timers->again_ns)) return timers->again_ns;
    return virtual_clock_real_ns(&shard->fabric->domain.clock, timers_next_us(timers));
}

void timers_tend(struct shard *shard) {
    struct timers *timers = &shard->io.timers;
    if (KRT_LIKELY(timers->count == 0)) return;
    uint64_t now_us = virtual_clock_waiting_at(&shard->fabric->domain.clock, shard->io.woke_ns);
    timers->again_ns = 0;
    for (int i = 0; i < TIMERS_SLICE && timers_next_us(timers) <= now_us; i++) {
        if (waiter_alarm(shard, timers->heap[0])) continue;
        timers->again_ns = shard->io.woke_ns + TIMERS_AGAIN_NS;
        return;
    }
}
