/* How the records of a tree compare. Private to store/tree*.c. */
#pragma once

#include "store/tree.h"

uint32_t tree_order_key_bytes(uint8_t order);
/* What of a record and its key goes into separators. */
struct record_key tree_order_separator(uint8_t order, const struct record_key *key,
                                       struct bytes record);
struct record_key tree_order_separator_at(uint8_t order, const struct leaf *leaf, uint32_t index);
/* Is the record before the probe? */
bool tree_order_is_before(uint8_t order, const struct leaf *leaf, uint32_t index,
                          const struct tree_probe *probe);
