#include "cmd/evict.h"

bool evict_one(struct domain *domain, struct keyspace *keyspace, struct effects *effects,
               enum eviction_policy policy, uint32_t samples) {
    struct call call = {.domain = domain, .effects = effects};
    uint32_t db;
    struct entry *victim = keyspace_victim(keyspace, policy, samples, &db);
    if (!victim || !call_delete_entry(&call, db, victim, NOTIFY_EVICTED, "evicted")) return false;
    keyspace->stats.evicted++;
    return true;
}
