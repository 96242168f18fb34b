/* What the commands of HyperLogLogs share: a key's value, and putting one there.
 *
 * Threads, ownership: cmd/call.h.
 */
#pragma once

#include "cmd/call.h"
#include "cmd/hll.h"

/* The entry of a key for writing, NULL if there is none. False after the error reply for anything else than a
 * HyperLogLog. */
bool hyperloglog_find(struct call *call, const struct key_place *place, struct entry **entry);
/* Puts a value in the place of what the key holds, whose deadline stays. False after the error reply. */
bool hyperloglog_store(struct call *call, const struct key_place *place, struct entry *entry,
                       const struct hll_value *value);
void hyperloglog_error_damaged(struct call *call);
