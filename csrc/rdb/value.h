/* Values of dumps, of every form that Redis has written (rdb.h), as values of ours.
 *
 * Role: reads one value and builds it, with the names that Redis gives such a value when it has read it.
 * Threads: one; the heap is its own, or that of a keyspace whose baton it has.
 * Ownership: a short value lies in the maker until the next one; what is longer belongs to whoever asked (built_drop).
 * Errors: false, and the source says why; nothing is left behind.
 */
#pragma once

#include "rdb/source.h"
#include "store/build.h"

struct value_maker {
    struct source *source;
    struct node_heap *heap;
    const struct hash_seed *seed;
    const struct small_limits *small;
    struct build build;
};

bool value_is_type(uint8_t type);
/* *is_empty: it has no elements, which is no value. */
bool value_read(struct value_maker *maker, uint8_t type, struct built *built, bool *is_empty);

/* ---- Of value*.c ------------------------------------------------------------------------------ */

/* Says why not. */
bool value_check_build(struct value_maker *maker, enum build_result result);
bool value_read_stream(struct value_maker *maker, uint8_t type, struct built *built);
