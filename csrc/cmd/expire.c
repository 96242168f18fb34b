/* Active expiry: the deadline table of each database is gone round in samples, and so is the table of hashes
 * with fields that have deadlines.
 *
 * Stale keys stay under a tenth of those with a deadline, which is Redis's bound. A sample begins where the
 * last one ended: what lies there has waited longest, so one that finds little says the same of all the
 * rest. It may be luckier than the rest, so half the bound is what ends the work on a database. A cycle
 * that runs out of time leaves the next one to begin with the next database, and with the other of the two
 * tables. Fields go some at a time: a hash with more of them that are due than there is time for is where the
 * next step goes on.
 */
#include "cmd/expire.h"

#include "cmd/hash.h"
#include "plat/clock.h"

/* Entries of a sample: few enough for the budget's clock, enough to tell a tenth from nothing. */
enum { SAMPLE_ENTRIES = 64, STALE_PERCENT = 5 };

/* Hashes of a sample: what is due of one is told at once, so that more can be looked at. Fields deleted between
 * two looks at the clock. */
enum { SAMPLE_HASHES = 256, FIELDS_AT_ONCE = 64 };

bool expire_entry(struct call *call, uint32_t db, struct entry *entry) {
    struct keyspace *keyspace = call_delete_entry(call, db, entry, NOTIFY_EXPIRED, "expired");
    if (keyspace) keyspace->stats.expired++;
    return keyspace;
}

static void expire_one(void *context, uint32_t db, struct entry *entry) {
    (void)expire_entry(context, db, entry);
}

/* Looks at a sample, beyond the end of the table if need be, and deletes what is due. Returns how many are
 * gone; *looked how many were seen. */
static uint64_t expire_sample(struct call *call, struct keyspace *keyspace, uint32_t db,
                              uint32_t *looked) {
    uint64_t before = keyspace_count_deadlines(keyspace, db);
    *looked = 0;
    for (int part = 0; part < 2 && *looked < SAMPLE_ENTRIES; part++) {
        uint32_t seen;
        (void)keyspace_expire_step(keyspace, db, call_now(call), SAMPLE_ENTRIES - *looked,
                                   expire_one, call, &seen);
        *looked += seen;
    }
    uint64_t gone = before - keyspace_count_deadlines(keyspace, db);
    double share = *looked ? (double)gone / *looked : 0;
    keyspace->stats.stale += (share - keyspace->stats.stale) / 20;
    return gone;
}

/* True: out of time. Ends in any case, since each sample but the last deletes something. */
static bool expire_database(struct call *call, struct keyspace *keyspace, uint32_t db,
                            uint64_t deadline_ns) {
    while (keyspace_count_deadlines(keyspace, db)) {
        uint32_t looked;
        uint64_t gone = expire_sample(call, keyspace, db, &looked);
        if (gone * 100 <= (uint64_t)looked * STALE_PERCENT) return false;
        if (clock_monotonic_ns() > deadline_ns) return true;
    }
    return false;
}

/* ---- Fields ------------------------------------------------------------------------------------- */

struct field_cycle {
    struct call *call;
    uint64_t deadline_ns;
    bool cut;
};

/* True: nothing is left to do for it, or it cannot be done now. */
static bool expire_fields(void *context, uint32_t db, struct entry *entry) {
    struct field_cycle *cycle = context;
    uint32_t expired = FIELDS_AT_ONCE;
    struct key_name name;
    if (!key_name_init(&name, entry)) return true;
    struct key_place place = keyspace_for_bytes(cycle->call, name.key, db);
    while (expired == FIELDS_AT_ONCE && !cycle->cut) {
        expired = hash_expire_some(cycle->call, &place, entry, FIELDS_AT_ONCE);
        entry = keyspace_find(place.keyspace, db, place.hash, place.key);
        cycle->cut = clock_monotonic_ns() > cycle->deadline_ns;
    }
    key_name_deinit(&name);
    return expired < FIELDS_AT_ONCE || !entry;
}

/* Looks at a sample, beyond the end of the table if need be. Returns how many hashes had something due. */
static uint32_t expire_hashes(struct field_cycle *cycle, struct keyspace *keyspace, uint32_t db,
                              uint32_t *looked) {
    uint32_t expired = 0;
    *looked = 0;
    for (int part = 0; part < 2 && *looked < SAMPLE_HASHES && !cycle->cut; part++) {
        uint32_t seen;
        expired += keyspace_fields_step(keyspace, db, call_now(cycle->call),
                                        SAMPLE_HASHES - *looked, expire_fields, cycle, &seen);
        *looked += seen;
    }
    return expired;
}

/* As expire_database. Ends also where nothing could be deleted, for want of memory. */
static bool expire_database_fields(struct call *call, struct keyspace *keyspace, uint32_t db,
                                   uint64_t deadline_ns) {
    struct field_cycle cycle = {.call = call, .deadline_ns = deadline_ns};
    while (keyspace_count_expiring(keyspace, db)) {
        uint32_t looked;
        uint64_t before = keyspace->stats.expired_fields;
        uint32_t expired = expire_hashes(&cycle, keyspace, db, &looked);
        if (cycle.cut) return true;
        if (expired * 100 <= looked * STALE_PERCENT || keyspace->stats.expired_fields == before)
            return false;
        if (clock_monotonic_ns() > deadline_ns) return true;
    }
    return false;
}

/* ---- Cycles ------------------------------------------------------------------------------------- */

static bool expire_both(struct call *call, struct keyspace *keyspace, uint32_t db,
                        uint64_t deadline_ns, bool fields_first) {
    if (fields_first && expire_database_fields(call, keyspace, db, deadline_ns)) return true;
    if (expire_database(call, keyspace, db, deadline_ns)) return true;
    return !fields_first && expire_database_fields(call, keyspace, db, deadline_ns);
}

static bool expire_all(struct domain *domain, struct keyspace *keyspace, struct effects *effects,
                       uint64_t deadline_ns) {
    struct call call = {.domain = domain, .effects = effects};
    bool fields_first = keyspace->expire_fields_first;
    keyspace->expire_fields_first = !fields_first;
    for (uint32_t i = 0; i < keyspace->database_count; i++) {
        uint32_t db = keyspace->expire_db;
        keyspace->expire_db = db + 1 < keyspace->database_count ? db + 1 : 0;
        if (expire_both(&call, keyspace, db, deadline_ns, fields_first)) return true;
    }
    return false;
}

bool expire_cycle(struct domain *domain, struct keyspace *keyspace, struct effects *effects,
                  uint64_t budget_ns) {
    uint64_t start_ns = clock_monotonic_ns();
    bool cut = expire_all(domain, keyspace, effects, start_ns + budget_ns);
    keyspace->stats.expire_cut += cut;
    keyspace->stats.expire_ns += clock_monotonic_ns() - start_ns;
    return cut;
}

/* ---- All that is due ------------------------------------------------------------------------------ */

/* A step of a round begins where the last one of anybody ended, so a table is through when its end has come by twice. */
static void come_by_end(struct expire_round *round) {
    if (++round->ends < 2) return;
    round->ends = 0;
    if (round->fields) round->db++;
    round->fields = !round->fields;
}

static void round_step(struct field_cycle *cycle, struct keyspace *keyspace,
                       struct expire_round *round) {
    uint32_t looked, limit = round->fields ? SAMPLE_HASHES : SAMPLE_ENTRIES;
    int64_t now_ms = call_now(cycle->call);
    if (round->fields)
        (void)keyspace_fields_step(keyspace, round->db, now_ms, limit, expire_fields, cycle,
                                   &looked);
    else
        (void)keyspace_expire_step(keyspace, round->db, now_ms, limit, expire_one, cycle->call,
                                   &looked);
    if (looked < limit && !cycle->cut) come_by_end(round);
}

bool expire_due(struct domain *domain, struct keyspace *keyspace, struct effects *effects,
                struct expire_round *round, uint64_t budget_ns) {
    struct call call = {.domain = domain, .effects = effects};
    struct field_cycle cycle = {.call = &call, .deadline_ns = clock_monotonic_ns() + budget_ns};
    while (round->db < keyspace->database_count) {
        round_step(&cycle, keyspace, round);
        if (cycle.cut || clock_monotonic_ns() > cycle.deadline_ns) break;
    }
    return round->db < keyspace->database_count;
}
