/* What elements take in Redis's listpacks, by which it names small values and cuts streams into nodes.
 *
 * Threads: any. Pure.
 */
#pragma once

#include "base/bytes.h"

enum { LISTPACK_FRAME_BYTES = 7 };

/* Each with its length behind it. An element that Redis reads as a number takes what the number does. */
uint64_t listpack_element_bytes(struct bytes element);
uint64_t listpack_integer_bytes(int64_t value);
