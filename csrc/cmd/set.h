/* Members of a set under edit, with the names that Redis's thresholds give it. For the handlers of sets and
 * for those that make sets of other things.
 */
#pragma once

#include "cmd/elements.h"

/* False: it is a member already. What it needs has been reserved, and kept if it is long. */
bool set_add(const struct call *call, struct edit *edit, struct bytes member);
bool set_remove(struct edit *edit, struct bytes member);
bool set_has(const struct call *call, const struct collection_view *view, struct bytes member);
/* A set made anew begins as one of integers if its first member is one, and there are not too many. */
void set_begin(const struct call *call, struct edit *edit, struct bytes first, uint64_t expected);
