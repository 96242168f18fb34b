#include "shard/budget.h"

#include "cmd/evict.h"
#include "plat/clock.h"
#include "shard/shard.h"

enum {
    BUDGET_STEP = 4096,         /* so many bytes a shard may change before it says so */
    BUDGET_VICTIMS = 64,        /* per command */
    BUDGET_FAR_BYTES = 1 << 20, /* over the limit: then time counts, not victims */
    RELIEF_NS = 200000,         /* of a turn */
};

static const struct budget_settings *settings_of(const struct shard *shard) {
    return &shard->fabric->settings.budget;
}

static uint64_t used_now(struct fabric *fabric) {
    return atomic_load_relaxed(&fabric->budget.used);
}

static bool is_over(struct fabric *fabric) {
    return used_now(fabric) > fabric->settings.budget.limit;
}

/* With the shard's baton. */
static void note(struct shard *shard, uint64_t step) {
    struct budget_share *share = &shard->data.share;
    uint64_t used = keyspace_used_bytes(&shard->data.keyspace);
    uint64_t change = used - share->noted; /* modulo 2^64: it may fall */
    if (change + step > 2 * step) {
        atomic_add_relaxed(&shard->fabric->budget.used, change);
        share->noted = used;
    }
    uint64_t candidates = keyspace_candidates(&shard->data.keyspace, settings_of(shard)->policy);
    if (atomic_load_relaxed(&share->candidates) != candidates)
        atomic_store_relaxed(&share->candidates, candidates);
}

/* The effects are of the call that needs the room, wherever its victims are. */
static bool evict_here(struct shard *shard, struct shard *home) {
    const struct budget_settings *settings = settings_of(shard);
    bool evicted = evict_one(&shard->fabric->domain, &shard->data.keyspace, &home->data.effects,
                             settings->policy, settings->samples);
    note(shard, 0);
    return evicted;
}

/* ---- Which shard ------------------------------------------------------------------------------- */

static uint64_t candidates_at(const struct fabric *fabric, uint32_t index) {
    return atomic_load_relaxed(&fabric->shards[index]->data.share.candidates);
}

/* One of `mask`, by its share of their candidates; NULL: none has any. */
static struct shard *choose(struct fabric *fabric, uint64_t mask, struct random_state *random) {
    uint64_t sum = 0;
    for (uint64_t left = mask; left; left &= left - 1)
        sum += candidates_at(fabric, (uint32_t)__builtin_ctzll(left));
    if (sum == 0) return NULL;
    uint64_t n = random_below(random, sum);
    for (uint64_t left = mask; left; left &= left - 1) {
        uint32_t index = (uint32_t)__builtin_ctzll(left);
        uint64_t count = candidates_at(fabric, index);
        if (n < count) return fabric->shards[index];
        n -= count;
    }
    return NULL; /* they became fewer meanwhile */
}

/* Takes the baton only if nobody has it: who holds others may not wait. */
static bool evict_there(struct shard *shard, struct shard *home) {
    if (!baton_try(shard->baton)) return false;
    bool evicted = evict_here(shard, home);
    journal_end_eviction(home, shard);
    (void)turn_seal_one(shard);
    baton_drop(shard->baton);
    return evicted;
}

/* In the middle of a call that has written nothing else can be dropped: the log would have its effects in two pieces. */
static bool evict_at(struct shard *shard, struct shard *home, uint64_t held) {
    bool inside = journal_is_inside(home);
    if (!(shard->own & held)) return !inside && evict_there(shard, home);
    bool evicted = evict_here(shard, home);
    if (!inside) journal_end_eviction(home, NULL);
    return evicted;
}

/* ---- Making room ------------------------------------------------------------------------------- */

enum relief {
    RELIEF_FREED,
    RELIEF_ELSEWHERE, /* those who have candidates are at work, and will evict */
    RELIEF_NONE,      /* nobody has a candidate */
};

static enum relief evict_somewhere(struct shard *home, uint64_t held) {
    struct fabric *fabric = home->fabric;
    struct random_state *random = &home->data.keyspace.random;
    struct shard *chosen = choose(fabric, fabric_all(fabric), random);
    if (!chosen) return RELIEF_NONE;
    if (evict_at(chosen, home, held)) return RELIEF_FREED;
    struct shard *instead = choose(fabric, held, random);
    if (instead && evict_at(instead, home, held)) return RELIEF_FREED;
    inbox_wake(&chosen->inbox);
    return RELIEF_ELSEWHERE;
}

static bool has_time(const struct fabric *fabric, uint32_t victims, uint64_t start_ns) {
    const struct budget_settings *settings = &fabric->settings.budget;
    if (victims % BUDGET_VICTIMS) return true;
    return atomic_load_relaxed(&fabric->budget.used) > settings->limit + BUDGET_FAR_BYTES &&
           clock_monotonic_ns() - start_ns < settings->patience_ns;
}

/* What evicting has left: the statistics of INFO are of the time in which it was too much. */
static void note_excess(struct fabric *fabric, uint64_t now_ns) {
    struct budget *budget = &fabric->budget;
    uint64_t since_ns = atomic_load_relaxed(&budget->exceeded_since_ns);
    if (is_over(fabric) == (since_ns != 0)) return;
    if (since_ns) atomic_add_relaxed(&budget->exceeded_ns, now_ns - since_ns);
    atomic_store_relaxed(&budget->exceeded_since_ns, since_ns ? 0 : now_ns);
}

uint64_t budget_exceeded_ns(struct fabric *fabric, uint64_t *now_ns) {
    uint64_t since_ns = atomic_load_relaxed(&fabric->budget.exceeded_since_ns);
    *now_ns = since_ns ? clock_monotonic_ns() - since_ns : 0;
    return atomic_load_relaxed(&fabric->budget.exceeded_ns) + *now_ns;
}

static bool make_room(struct shard *home, uint64_t held) {
    uint64_t start_ns = clock_monotonic_ns(), begun = latency_begin_event(home->fabric);
    enum relief relief;
    uint32_t victims = 0;
    do {
        relief = evict_somewhere(home, held);
    } while (relief == RELIEF_FREED && is_over(home->fabric) &&
             has_time(home->fabric, ++victims, start_ns));
    note_excess(home->fabric, start_ns);
    latency_end_event(home->fabric, LATENCY_EVICTION_CYCLE, begun);
    return relief != RELIEF_NONE;
}

bool budget_make_room(struct shard *home, uint64_t held) {
    struct fabric *fabric = home->fabric;
    held |= home->own;
    for (uint64_t left = held; left; left &= left - 1)
        note(fabric->shards[__builtin_ctzll(left)], BUDGET_STEP);
    if (KRT_UNLIKELY(is_over(fabric))) return make_room(home, held);
    if (KRT_UNLIKELY(atomic_load_relaxed(&fabric->budget.exceeded_since_ns)))
        note_excess(fabric, clock_monotonic_ns());
    return true;
}

bool budget_relieve(struct shard *shard) {
    if ((shard->fabric->domain.gates & (GATE_MEMORY | GATE_LOADING)) != GATE_MEMORY) return false;
    uint64_t end_ns = shard->io.woke_ns + RELIEF_NS;
    note(shard, 0);
    while (is_over(shard->fabric)) {
        enum relief relief = evict_somewhere(shard, shard->own);
        if (relief != RELIEF_FREED) return relief == RELIEF_ELSEWHERE;
        if (clock_monotonic_ns() > end_ns) return true;
    }
    return false;
}

/* ---- Settings ---------------------------------------------------------------------------------- */

void budget_apply(struct fabric *fabric) {
    const struct budget_settings *settings = &fabric->settings.budget;
    struct access_clock *access = &fabric->domain.access;
    access->kind = eviction_access_kind(settings->policy);
    access->log_factor = settings->log_factor;
    access->decay_minutes = settings->decay_minutes;
    if (settings->limit) fabric->domain.gates |= GATE_MEMORY;
    else fabric->domain.gates &= ~(uint32_t)GATE_MEMORY;
    if (!settings->limit) return;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) note(fabric->shards[i], 0);
}
