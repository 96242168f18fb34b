/* How a value is kept, in Redis's terms: for OBJECT, and for who else tells of it.
 *
 * Threads: holder of the entry's shard's baton. Pure; the texts are constant.
 */
#pragma once

#include "store/entry.h"

const char *object_encoding(const struct entry *entry);
/* Nothing is counted here; small integers answer as in Redis, where they are shared and never freed. */
int object_references(const struct entry *entry);
