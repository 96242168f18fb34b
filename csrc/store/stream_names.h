/* Things with names, in the order of the names: a stream's groups, a group's consumers.
 *
 * Role: an array of pointers that is searched by halving. Names compare by their bytes, a shorter one first.
 * Threads: holder of the baton.
 * Ownership: what has a name is its owner's, and its name lies with it; the array is charged to the account.
 * Errors: stream_names_reserve false for no memory; stream_names_insert cannot fail behind it.
 * Bounds: an insertion moves eight bytes for each name behind the new one.
 */
#pragma once

#include "base/bytes.h"
#include "base/mem.h"

struct stream_named { /* the beginning of it */
    struct bytes name;
};

struct stream_names {
    struct stream_named **at;
    uint32_t count, capacity;
};

/* The index of a name, or, if it is not there, where it belongs. */
bool stream_names_find(const struct stream_names *names, struct bytes name, uint32_t *index);
/* Room for one more. */
bool stream_names_reserve(struct stream_names *names, struct mem_account *account);
/* Whose name is not there yet. */
void stream_names_insert(struct stream_names *names, struct stream_named *named);
void stream_names_remove(struct stream_names *names, const struct stream_named *named);
/* The array alone. */
void stream_names_free(struct stream_names *names, struct mem_account *account);
uint64_t stream_names_bytes(const struct stream_names *names);
void stream_names_check(const struct stream_names *names);
