/* An entry: header, optional deadline, value (inline or a pointer) and key in one allocation.
 *
 * A 16-byte key with a 64-byte value takes 88 bytes.
 * Threads: holder of the shard's baton. Ownership: the table it is in; the members are private to
 * store/ (store/entry_layout.h), others use the functions below.
 */
#pragma once

#include "base/assert.h"
#include "base/bytes.h"
#include "store/entry_layout.h"

enum value_type { VALUE_STRING, VALUE_LIST, VALUE_SET, VALUE_ZSET, VALUE_HASH, VALUE_STREAM };

/* Redis's names; any case is found. */
const char *value_type_name(enum value_type type);
bool value_type_find(struct bytes name, enum value_type *type);

static inline enum value_type entry_type(const struct entry *entry) {
    return (enum value_type)(entry->type & FORM_TYPE_MASK);
}

static inline struct bytes entry_key(const struct entry *entry) {
    return entry_key_inline(entry);
}

/* The value of a string that is not paged (store/paged.h), or a packed value of another type; BYTES_BLOB is set when it lives
 * in a blob. Valid until the entry changes. */
static inline struct bytes entry_string(const struct entry *entry) {
    KRT_DCHECK(!entry_is_tree(entry));
    if (entry->flags & ENTRY_POINTER) {
        return blob_bytes(entry_blob(entry));
    }
    struct bytes key = entry_key_inline(entry);
    return bytes_of(key.at + key.len, entry->value_len);
}

/* Absolute wall milliseconds, or 0 for none. */
static inline int64_t entry_deadline(const struct entry *entry) {
    return entry_deadline_inline(entry);
}

static inline bool entry_is_expired(const struct entry *entry, int64_t now_ms) {
    int64_t deadline = entry_deadline(entry);
    return deadline != 0 && deadline <= now_ms;
}

/* A string that was changed in place (APPEND, SETRANGE) is `raw` for OBJECT ENCODING until it is
 * set anew; keyspace_set_string clears the mark, a new deadline keeps it. */
static inline bool entry_is_raw(const struct entry *entry) {
    return entry->flags & ENTRY_RAW;
}

/* A sum of INCRBYFLOAT is text, even if it reads as an integer; the mark goes as the other does. */
static inline bool entry_is_text(const struct entry *entry) {
    return entry->flags & ENTRY_FORM;
}

static inline void entry_mark_text(struct entry *entry) {
    entry->flags |= ENTRY_TEXT;
}

static inline void entry_mark_raw(struct entry *entry) {
    entry->flags |= ENTRY_RAW;
}

/* OBJECT ENCODING has another name for a hash whose fields were ever given deadlines. */
static inline void entry_mark_timed(struct entry *entry) {
    entry->type |= FORM_TIMED;
}

/* What the entry and its value occupy, by usable size; its share of the tables is not in it. */
uint64_t entry_bytes(const struct entry *entry);
