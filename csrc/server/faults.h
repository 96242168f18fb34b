/* Faults, for programs: kevyrt_fault_* (server/kevyrt.h) over shard/faults.h.
 *
 * A fault is the server's, whether that runs or not; the list changes as the clock does (server/alter.h).
 */
#pragma once

#include "server/kevyrt.h"

enum { FAULT_ERROR_MAX = 1024 }; /* bytes of an error */
