/* Eviction: which entry goes next when memory is short.
 *
 * Role: samples entries and keeps the best candidates between calls (a pool, as Redis has). The
 * caller deletes, with its effects.
 * Threads: holder of the shard's baton.
 * Ownership: the pool remembers entries by address only; one that is gone or was asked for meanwhile
 * is found out before it is looked at, and left alone.
 * Bounds: a call looks at about as many entries as it is told to, and at the bucket they are in.
 */
#pragma once

#include "store/keyspace.h"

/* In the order of the words of maxmemory-policy. */
enum eviction_policy {
    EVICT_VOLATILE_LRU,
    EVICT_VOLATILE_LFU,
    EVICT_VOLATILE_RANDOM,
    EVICT_VOLATILE_TTL,
    EVICT_ALLKEYS_LRU,
    EVICT_ALLKEYS_LFU,
    EVICT_ALLKEYS_RANDOM,
    EVICT_NOTHING,
};

/* Which field of an entry serves the policy. */
enum access_kind eviction_access_kind(enum eviction_policy policy);

/* How many entries could go. O(1) but for the databases in use. */
uint64_t keyspace_candidates(const struct keyspace *keyspace, enum eviction_policy policy);

/* The next one to go, and its database; NULL if there is no candidate. `samples` > 0. */
struct entry *keyspace_victim(struct keyspace *keyspace, enum eviction_policy policy,
                              uint32_t samples, uint32_t *db);
