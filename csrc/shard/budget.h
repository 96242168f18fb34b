/* The budget of memory: maxmemory, one for all shards.
 *
 * Role: says before a command whether there is room for it, and makes room by evicting. The bytes that shards
 * use are summed as they change: each notes its own, under its baton, so that nobody looks at another's data.
 * Victims come from all shards, by their share of the candidates: of one that is held, or whose baton is free
 * just now; else of those that are held, and the other shard is woken to do its part.
 * Threads: holders of batons; `used` and `candidates` relaxed, any holder.
 * Errors: a command that may need memory is refused only when no shard has a candidate.
 * Bounds: BUDGET_VICTIMS per command; while the server is far over its budget, as many as fit the patience.
 */
#pragma once

#include "base/atomic.h"
#include "store/eviction.h"

struct fabric;
struct shard;

struct budget_settings {
    uint64_t limit; /* 0: none */
    enum eviction_policy policy;
    uint32_t samples;
    uint64_t patience_ns;
    uint32_t log_factor, decay_minutes; /* of the access clock */
};

struct budget {
    atomic_u64 used; /* what the shards have noted: each is at most BUDGET_STEP off */
    atomic_u64 exceeded_since_ns,
        exceeded_ns; /* since when, or 0; and for how long before; any holder, relaxed */
};

struct budget_share {      /* of a shard */
    uint64_t noted;        /* of budget.used; holder of the baton */
    atomic_u64 candidates; /* writer: holder of the baton; readers: who chooses a shard; relaxed */
};

/* With all batons, or before the start: the settings are in force. */
void budget_apply(struct fabric *fabric);
/* Before a command, with the batons of `held` and `home` among them. False: there is no room for what needs
 * some. Nothing is done while there is no budget. */
bool budget_make_room(struct shard *home, uint64_t held);
/* For how long more was used than the limit says, in nanoseconds; *now_ns is what has not ended yet. */
uint64_t budget_exceeded_ns(struct fabric *fabric, uint64_t *now_ns);
/* Part of a turn, with the own baton: evicts for a while if the server is over its budget. Is there more to
 * do? */
bool budget_relieve(struct shard *shard);
