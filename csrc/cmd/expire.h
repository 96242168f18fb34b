/* Active expiry: keys whose deadline has passed go even if nobody asks for them.
 *
 * Threads: holder of the keyspace's baton. Bounds: about `budget_ns` of work per call; without deadlines
 * there is none.
 */
#pragma once

#include "cmd/call.h"

void expire_cycle(struct domain *domain, struct keyspace *keyspace, struct effects *effects,
                  uint64_t budget_ns);
