/* Fields of a hash: those that a command sees, and under edit with the names that Redis's thresholds give.
 *
 * A field is due from its deadline on, and is gone for whoever asks for it by name or reads the whole hash. It
 * goes from memory when a command asks for it by name or draws from the hash, by active expiry, and by what
 * overwrites or deletes it. Until then it counts in HLEN, and a hash of nothing else is there: how long that
 * is depends on when active expiry comes by, as in Redis. Also as there, it is an update to set a field that is
 * due, HDEL counts it, and HEXPIRE may give it another deadline. SORT leaves it where it is, which Redis deletes:
 * what SORT has found is borrowed from the hashes until it is through.
 */
#pragma once

#include "cmd/elements.h"
#include "store/hash_fields.h"

/* Keeps what a long field takes, before the first change, in the order of the changes. False: no memory. */
bool hash_keep(struct edit *edit, const struct hash_field *field);
/* True: the field is new. What it needs has been reserved and kept. */
bool hash_put(const struct call *call, struct edit *edit, const struct hash_field *field);
/* The same without a look at the thresholds, for a field that gets nothing but a deadline. */
bool hash_write(struct edit *edit, const struct hash_field *field);
/* False: there is no such field, or it is due: then it has a deadline. */
bool hash_find(struct call *call, const struct collection_view *view, struct bytes name,
               struct hash_field *field);

/* ---- Deadlines: hash_ttl.c, hash_deadlines.c ---------------------------------------------------- */

enum field_answer {
    FIELD_NONE = -2,
    FIELD_WITHOUT = -1, /* a deadline */
    FIELD_REFUSED = 0,  /* by a condition */
    FIELD_CHANGED = 1,
    FIELD_DELETED = 2,
};

struct field_names {
    uint32_t first, count; /* arguments */
};

#define HASH_COUNT_ERROR "ERR Number of fields must be a positive integer"

/* FIELDS numfields field [field ...], which is to follow from argv[at] on, up to the end. `error` is for a number
 * that is none. False after the error reply. */
bool hash_parse_fields(struct call *call, uint32_t at, const char *error,
                       struct field_names *fields);

/* ---- What is due: hash_expiry.c ----------------------------------------------------------------- */

/* Deletes those that are due of the fields that argv[first] and the following name, with their effects. Without
 * memory to do so, or during a pause of writes, it leaves them. */
void hash_expire_named(struct call *call, const struct key_place *place, uint32_t first,
                       uint32_t count);
/* Deletes up to `limit` fields that are due, and the hash with its last one. Returns how many. */
uint32_t hash_expire_some(struct call *call, const struct key_place *place, struct entry *entry,
                          uint32_t limit);
