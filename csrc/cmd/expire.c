#include "cmd/expire.h"

#include "plat/clock.h"

/* Entries looked at per step: small enough for the budget's clock, large enough to be worth it. */
enum { STEP_ENTRIES = 64 };

/* As in Redis: a database of which more than a tenth of what was looked at had expired is worked on
 * further, so that stale keys stay under that bound. */
enum { STALE_PERCENT = 10 };

static void expire_one(void *context, uint32_t db, struct entry *entry) {
    struct call *call = context;
    struct key_place place = keyspace_for_bytes(call, entry_key(entry), db);
    /* The key's bytes go with the entry, and the effects name the key afterwards. */
    struct blob *key = blob_copy(NULL, place.key);
    if (!key) return;
    place.key = bytes_of(key->data, key->len);
    place.keyspace->stats.expired++;
    call_delete(call, &place, entry, NOTIFY_EXPIRED, "expired");
    blob_put(key);
}

static void expire_database(struct call *call, struct keyspace *keyspace, uint32_t db,
                            uint64_t deadline_ns) {
    uint64_t left = keyspace_count_deadlines(keyspace, db);
    while (left) {
        uint32_t looked = 0;
        uint32_t expired = keyspace_expire_step(keyspace, db, call_now(call), STEP_ENTRIES,
                                                expire_one, call, &looked);
        left -= looked < left ? looked : left;
        if (looked == 0 || expired * 100 <= looked * STALE_PERCENT) return;
        if (clock_monotonic_ns() > deadline_ns) return;
    }
}

void expire_cycle(struct domain *domain, struct keyspace *keyspace, struct effects *effects,
                  uint64_t budget_ns) {
    uint64_t deadline_ns = clock_monotonic_ns() + budget_ns;
    struct call call = {.domain = domain, .effects = effects};
    for (uint32_t db = 0; db < keyspace->database_count; db++)
        if (keyspace_count_deadlines(keyspace, db))
            expire_database(&call, keyspace, db, deadline_ns);
}
