/* Expiry of entries that were found by walking: active expiry, SCAN, RANDOMKEY.
 *
 * Threads: holder of the keyspace's baton.
 */
#pragma once

#include "cmd/call.h"

/* Deletes an entry whose deadline has passed, with its effects. False: no memory to remember a long key's
 * name by; the entry stays. */
bool expire_entry(struct call *call, uint32_t db, struct entry *entry);

/* Active expiry of one keyspace, within `budget_ns` of the monotonic clock. Returns whether there is more to
 * do: then it should be called again soon, else at the usual pace. */
bool expire_cycle(struct domain *domain, struct keyspace *keyspace, struct effects *effects,
                  uint64_t budget_ns);

/* All that is due, for when much time has passed at once. `round` is all zero at first, and says how far it has come. The same
 * budget and result. */
struct expire_round {
    uint32_t db;
    bool fields;   /* it is at hashes, of the database */
    uint32_t ends; /* of the table, that it has come by */
};
bool expire_due(struct domain *domain, struct keyspace *keyspace, struct effects *effects,
                struct expire_round *round, uint64_t budget_ns);
