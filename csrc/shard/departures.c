#include "shard/departures.h"

#include "plat/futex.h"
#include "shard/shard.h"

void departures_add(struct shard *shard, struct departure *departure, uint64_t mask,
                    void (*depart)(struct fabric *, struct departure *)) {
    departure->mask = mask;
    departure->depart = depart;
    departure->next = shard->io.departures;
    shard->io.departures = departure;
    shard->io.departures_ns = 0;
}

static void depart_all(struct shard *shard) {
    struct departure *departure = shard->io.departures;
    shard->io.departures = NULL;
    for (struct departure *next; departure; departure = next) {
        next = departure->next;
        departure->depart(shard->fabric, departure);
    }
}

/* Several at once cost one round of takes. Nobody waits for it to happen. */
bool departures_tend(struct shard *shard) {
    uint64_t mask = 0;
    if (KRT_LIKELY(!shard->io.departures)) return true;
    for (struct departure *at = shard->io.departures; at; at = at->next) mask |= at->mask;
    bool taken = turn_borrow(shard, mask);
    if (taken) depart_all(shard);
    shard->io.departures_ns = taken ? FUTEX_NO_DEADLINE : shard->io.woke_ns + DEPARTURES_AGAIN_NS;
    return turn_return(shard);
}

void departures_end(struct shard *shard) {
    depart_all(shard);
}
