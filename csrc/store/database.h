/* One database of a shard: its tables and the heap of its entries. Private to store/.
 *
 * A database has a heap of its own, so that emptying it is letting go of the whole (garbage.c).
 * Threads: holder of the shard's baton, until it is detached; then whoever has the garbage.
 * Invariants: K2 and K5 of keyspace.h. The key table has its first segment from the start.
 */
#pragma once

#include "base/garbage.h"
#include "store/keyspace.h"
#include "store/table.h"

struct database {
    struct garbage garbage; /* once it is detached */
    struct table keys;
    struct table deadlines; /* of keys that have one */
    struct table expiring;  /* hashes of which some field has one */
    struct entry_store store;
    struct database *next_open, *prev_open; /* of the keyspace's list, */
    bool aside;                             /* and of which one */
    bool checked;              /* the keyspace's checkpoint has it (store/checkpoint.h), */
    bool held;                 /* and it is not in its place any more: among those aside */
    uint32_t check_db;         /* its number at the checkpoint */
    uint32_t cut_db;           /* its number at the last cut of a snapshot, if it was there then */
    atomic_u64 *leaving_bytes; /* the keyspace's, once it is detached */
    /* Where the next step of active expiry begins: in deadlines, in expiring. */
    struct table_position expiry, field_expiry;
};

/* NULL: no memory. */
struct database *database_new(struct keyspace *keyspace);
void database_free(struct database *database);
/* Takes it out of the keyspace's list, and what it holds out of the keyspace's counts; puts it into one. */
void database_close(struct keyspace *keyspace, struct database *database);
void database_enlist(struct keyspace *keyspace, struct database *database, bool aside);
/* The database, created if it is not there yet. NULL: no memory. */
struct database *database_open(struct keyspace *keyspace, uint32_t db);
/* Puts an entry into its tables, in the place of `found` of the same key, which is freed (NULL: the key
 * is not there). False: no memory, nothing changed. */
bool database_put(struct keyspace *keyspace, struct database *database, uint64_t hash,
                  struct entry *found, struct entry *entry);
/* It is out of everybody's reach: what is to be freed, or NULL, if it waits for the thaw. */
struct garbage *database_let_go(struct keyspace *keyspace, struct database *database);
/* keyspace_preserve of an entry that is there. */
void database_keep(struct keyspace *keyspace, struct database *database, struct entry *entry);
static inline void database_preserve(struct keyspace *keyspace, struct database *database,
                                     struct entry *entry) {
    if (KRT_UNLIKELY((entry->flags ^ keyspace->mark) & ENTRY_MARKS)) {
        database_keep(keyspace, database, entry);
    }
}
/* Takes an entry out of its tables; it is the caller's. */
void database_take(struct keyspace *keyspace, struct database *database, uint64_t hash,
                   struct entry *entry);

/* ---- The tables beside that of all keys: index.c --------------------------------------------- */
/* False: no memory, the entry is in none of them. */
bool index_insert(struct keyspace *keyspace, struct database *database, uint64_t hash,
                  struct entry *entry);
/* False: no memory, nothing changed. */
bool index_exchange(struct keyspace *keyspace, struct database *database, uint64_t hash,
                    const struct entry *old, struct entry *entry);
void index_remove(struct keyspace *keyspace, struct database *database, uint64_t hash,
                  const struct entry *entry);
/* The entry's type has just lost FORM_EXPIRES. */
void index_expires_no_more(struct keyspace *keyspace, struct database *database, uint64_t hash,
                           const struct entry *entry);

static inline struct database *database_at(const struct keyspace *keyspace, uint32_t db) {
    KRT_DCHECK(db < 2 * keyspace->database_count);
    return keyspace->databases[db];
}
