/* One database of a shard: its two tables and the heap of its entries. Private to store/.
 *
 * A database has a heap of its own, so that emptying it is letting go of the whole (garbage.c).
 * Threads: holder of the shard's baton, until it is detached; then whoever has the garbage.
 * Invariant: K2 of keyspace.h. The key table has its first segment from the start.
 */
#pragma once

#include "base/garbage.h"
#include "store/keyspace.h"
#include "store/table.h"

struct database {
    struct garbage garbage; /* once it is detached */
    struct table keys;
    struct table deadlines;
    struct entry_store store;
    struct database *next_open, *prev_open; /* of the keyspace's list */
    atomic_u64 *leaving_bytes;              /* the keyspace's, once it is detached */
    struct table_position expiry; /* in deadlines: where the next step of active expiry begins */
};

/* NULL: no memory. */
struct database *database_new(struct keyspace *keyspace);
void database_free(struct database *database);
/* Takes it out of the keyspace's list. */
void database_close(struct keyspace *keyspace, struct database *database);
/* The database, created if it is not there yet. NULL: no memory. */
struct database *database_open(struct keyspace *keyspace, uint32_t db);
/* Puts an entry into both tables, in the place of `found` of the same key, which is freed (NULL: the key
 * is not there). False: no memory, nothing changed. */
bool database_put(struct keyspace *keyspace, struct database *database, uint64_t hash,
                  struct entry *found, struct entry *entry);
/* Takes an entry out of both tables; it is the caller's. */
void database_take(struct keyspace *keyspace, struct database *database, uint64_t hash,
                   struct entry *entry);

static inline struct database *database_at(const struct keyspace *keyspace, uint32_t db) {
    KRT_DCHECK(db < keyspace->database_count);
    return keyspace->databases[db];
}
