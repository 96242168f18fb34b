/* Eviction of single keys, with their effects.
 *
 * Threads: holder of the keyspace's baton.
 */
#pragma once

#include "cmd/call.h"
#include "store/eviction.h"

/* Deletes the next victim of a keyspace, chosen from about `samples` keys: DEL in the log, touched, notified as
 * evicted. False: there is no candidate, or no memory to remember a long key's name by. */
bool evict_one(struct domain *domain, struct keyspace *keyspace, struct effects *effects,
               enum eviction_policy policy, uint32_t samples);
