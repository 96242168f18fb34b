/* CRC-32C (Castagnoli), as storage formats use it. Pure; any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Of what was summed up so far (0: nothing) and these bytes behind it. */
uint32_t crc32c(uint32_t crc, const void *at, size_t len);
