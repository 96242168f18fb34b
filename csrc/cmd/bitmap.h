/* Strings as bits: what SETBIT, BITFIELD and their kin share. A string that is paged (store/paged.h) stays so.
 *
 *   bitmap_offset                 an argument
 *   bitmap_find, bitmap_open      the string of key 1, as long as it has to be; what can fail is over
 *   bitmap_read, bitmap_write     and a count of what changed
 *   bitmap_declare
 *
 * Threads, ownership: cmd/call.h; a bitmap is valid until the next change of its keyspace.
 * Bounds: a bit lies before the end of a string of proto-max-bulk-len bytes; a field that begins there may end
 * up to eight bytes behind it, as in Redis.
 */
#pragma once

#include "base/bits.h"
#include "cmd/call.h"
#include "store/paged.h"

/* The number of a bit. `#` in front counts fields of `width` bits, if that is not 0. False after the error reply. */
bool bitmap_offset(struct call *call, uint32_t index, uint32_t width, uint64_t *offset);

/* A number in a string, or in none (NULL): behind the end are zeros. */
uint64_t bitmap_read(const struct entry *entry, uint64_t first, uint32_t width);

struct bitmap {
    struct key_place place;
    struct entry *entry; /* NULL: there is none yet */
    uint32_t len;
    bool created, grown;
    uint64_t changes; /* to be counted by whoever writes */
};

/* The string at key 1, for writing. False after the error reply. */
bool bitmap_find(struct call *call, struct bitmap *bitmap);
/* Makes bits ready for bitmap_write, where the string may have to begin or to grow. Several parts are ready at once
 * if the string was over PAGED_BYTES_MIN long before the first, or is not after the last. False after the error
 * reply, and the string is as it was. */
bool bitmap_open(struct call *call, struct bitmap *bitmap, uint64_t first, uint64_t end);
void bitmap_write(struct bitmap *bitmap, uint64_t first, uint32_t width, uint64_t value);
/* Declares what was done; a string that only grew is changed too. */
void bitmap_declare(struct call *call, const struct bitmap *bitmap);
