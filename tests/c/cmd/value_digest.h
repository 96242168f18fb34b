/* Sums of values, by which tests compare what they were with what they are. */
#pragma once

#include "store/collection.h"

uint64_t digest_mix(uint64_t digest, const void *at, size_t len);
/* Everything that can be read of it. */
uint64_t digest_of_collection(const struct collection *collection, uint8_t type);
/* Of any value: `type` with its forms; a collection, or else bytes. */
uint64_t digest_of_content(uint8_t type, const struct collection *collection, struct bytes bytes);
