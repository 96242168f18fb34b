#include "ring/crew.h"

#include "base/assert.h"
#include "plat/clock.h"
#include "plat/futex.h"
#include "plat/thread.h"

static void *run_member(void *argument) {
    struct crew_member *member = argument;
    member->body(member);
    return NULL;
}

void crew_start(struct crew_member *member, void (*body)(struct crew_member *), void *world) {
    member->world = world;
    member->body = body;
    member->random = 2654435761u * (member->index + 1);
    int result = thread_start(&member->thread, "crew", run_member, member);
    KRT_ASSERT(result == 0);
}

void crew_join(struct crew_member *member) {
    thread_join(member->thread);
}

void crew_run(uint32_t count, void (*body)(struct crew_member *), void *world) {
    struct crew_member members[CREW_MAX] = {0};
    KRT_ASSERT(count <= CREW_MAX);
    for (uint32_t i = 0; i < count; i++) {
        members[i].index = i;
        crew_start(&members[i], body, world);
    }
    for (uint32_t i = 0; i < count; i++) crew_join(&members[i]);
}

/* xorshift32 */
uint32_t crew_random(struct crew_member *member, uint32_t below) {
    uint32_t x = member->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    member->random = x;
    return x % below;
}

uint64_t crew_deadline_us(uint64_t us) {
    return clock_monotonic_ns() + us * 1000;
}

void crew_sleep_us(uint64_t us) {
    atomic_u32 never = 0;
    uint64_t deadline_ns = crew_deadline_us(us);
    while (futex_wait(&never, 0, deadline_ns))
        ;
}
