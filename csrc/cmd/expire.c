/* Active expiry: the deadline table of each database is gone round in small steps.
 *
 * A database of which more than a tenth of a step had expired is worked on further, as in Redis, so that
 * stale keys stay under that bound. A step begins where the last one ended: what lies before it has waited
 * longest, so a step that finds little says the same of all the rest. A cycle that runs out of time goes on
 * in the same database.
 */
#include "cmd/expire.h"

#include "plat/clock.h"

/* Entries looked at per step: small enough for the budget's clock, large enough to be worth it. */
enum { STEP_ENTRIES = 64, STALE_PERCENT = 10, KEY_SHORT = 128 };

static void expire_named(struct call *call, uint32_t db, struct entry *entry, struct bytes key) {
    struct key_place place = keyspace_for_bytes(call, key, db);
    place.keyspace->stats.expired++;
    call_delete(call, &place, entry, NOTIFY_EXPIRED, "expired");
}

/* The key's bytes go with the entry, and the effects name the key afterwards. */
bool expire_entry(struct call *call, uint32_t db, struct entry *entry) {
    char copy[KEY_SHORT];
    struct bytes key = entry_key(entry);
    if (key.len <= sizeof copy) {
        bytes_copy(copy, key.at, key.len);
        expire_named(call, db, entry, bytes_of(copy, key.len));
        return true;
    }
    struct blob *blob = blob_copy(NULL, key);
    if (!blob)
        return false;
    expire_named(call, db, entry, bytes_of(blob->data, blob->len));
    blob_put(blob);
    return true;
}

static void expire_one(void *context, uint32_t db, struct entry *entry) {
    (void)expire_entry(context, db, entry);
}

/* True: out of time. */
static bool expire_database(struct call *call, struct keyspace *keyspace, uint32_t db,
                            uint64_t deadline_ns) {
    uint64_t left = keyspace_count_deadlines(keyspace, db);
    while (left) {
        uint32_t looked = 0;
        uint32_t expired = keyspace_expire_step(keyspace, db, call_now(call), STEP_ENTRIES,
                                                expire_one, call, &looked);
        left -= looked < left ? looked : left;
        if (looked == 0 || expired * 100 <= looked * STALE_PERCENT)
            return false;
        if (clock_monotonic_ns() > deadline_ns)
            return left != 0;
    }
    return false;
}

bool expire_cycle(struct domain *domain, struct keyspace *keyspace, struct effects *effects,
                  uint64_t budget_ns) {
    uint64_t deadline_ns = clock_monotonic_ns() + budget_ns;
    struct call call = {.domain = domain, .effects = effects};
    for (uint32_t i = 0; i < keyspace->database_count; i++) {
        uint32_t db = keyspace->expire_db;
        if (expire_database(&call, keyspace, db, deadline_ns))
            return true;
        keyspace->expire_db = db + 1 < keyspace->database_count ? db + 1 : 0;
    }
    return false;
}
