/* Up to where OBJECT ENCODING gives the names of small values, and what a node of a stream holds; Redis's settings. */
#pragma once

#include <stdint.h>

struct small_limits {
    int64_t hash_entries, hash_value, set_integers, set_entries, set_value, zset_entries,
        zset_value;
    int64_t list_size;                    /* elements, or one of five sizes if negative */
    int64_t stream_bytes, stream_entries; /* 0: any number */
};
