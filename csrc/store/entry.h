/* An entry: header, optional deadline, value (inline or a pointer) and key in one allocation.
 *
 * Layout: 8-byte header | deadline (8, if ENTRY_DEADLINE) | pointer (8, unless inline) | key length (4,
 * if the key is over 254 bytes) | key | inline value. A 16-byte key with a 64-byte value takes 88 bytes.
 * Threads: holder of the shard's baton. Ownership: the table it is in; the members are private to
 * store/, others use the functions below.
 */
#pragma once

#include "base/blob.h"
#include "base/bytes.h"

enum value_type { VALUE_STRING, VALUE_LIST, VALUE_SET, VALUE_ZSET, VALUE_HASH, VALUE_STREAM };

struct entry; /* members in store/entry_layout.h, private to store/ */

enum value_type entry_type(const struct entry *entry);
struct bytes entry_key(const struct entry *entry);
/* The value of a string; BYTES_BLOB is set when it lives in a blob. Valid until the entry changes. */
struct bytes entry_string(const struct entry *entry);
/* Absolute wall milliseconds, or 0 for none. */
int64_t entry_deadline(const struct entry *entry);
static inline bool entry_is_expired(const struct entry *entry, int64_t now_ms) {
    int64_t deadline = entry_deadline(entry);
    return deadline != 0 && deadline <= now_ms;
}
