/* The server's clock, for programs: kevyrt_clock_* (server/kevyrt.h) over cmd/virtual_clock.h.
 *
 * A change is made under all batons, so that no call sees two times, and what it brings about follows at once, by nobody's
 * clock: time-outs in process are answered and what has expired is deleted on the thread that changed it, shard by shard; the shards'
 * threads are woken, which answer the connections that wait and end a pause.
 */
#pragma once

#include "server/kevyrt.h"

/* The first moment after the last year that has four digits. */
#define CLOCK_END_US INT64_C(253402300800000000)
