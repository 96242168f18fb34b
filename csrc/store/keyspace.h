/* A shard's part of the data: one table of entries per database.
 *
 * Role: find, set, delete, deadlines, walking and sampling; time is an argument. Effects (log,
 * watch, notifications) are the caller's: an expired entry is found like any other, and cmd/
 * decides.
 * Threads: holder of the shard's baton; what is detached may be freed anywhere.
 *
 * Ownership: blobs are charged to the keyspace's account, so the keyspace outlives every blob that
 * was read from it and all of its garbage.
 *
 * Structure: a table (store/table.h) is a linear-hashing array of cache-line buckets (9 slots of
 * 48-bit pointers, 9 one-byte fingerprints, overflow buckets chained), in segments behind a
 * directory: it grows and shrinks by one bucket at a time, so no operation does more than a bounded
 * amount of resizing, memory per key has no bad phase, and nothing is ever rehashed at once. Keys
 * with a deadline are in a second table of the same kind, which active expiry and eviction sample, and
 * hashes with fields that have a deadline ("expiring") in a third.
 *
 * Aside: databases database_count to 2 * database_count - 1 are there to be filled in peace. They are reached by their number
 * alone: what goes over databases, counts, samples or sums up does not see them, until keyspace_install puts
 * them in the place of those that are served.
 *
 * Invariants
 *   K1  An entry is in exactly one bucket: hash bits below the level, one more if that bucket has
 *       been split.
 *   K2  An entry is in the deadline table exactly if it has a deadline.
 *   K3  A cursor of keyspace_scan sees every entry that was there throughout, whatever grows or
 *       shrinks.
 *   K4  A failed mutation (no memory) leaves the keyspace as it was.
 *   K5  An entry is in the table of expiring hashes exactly if it has FORM_EXPIRES.
 * Errors: NULL or false for refused memory.
 */
#pragma once

#include "base/assert.h"
#include "base/garbage.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/access.h"
#include "store/entry.h"
#include "store/node.h"

enum { KEYSPACE_DATABASES_MAX = 10000, EVICTION_POOL = 16 };

struct keyspace_stats { /* holder of the baton */
    uint64_t hits, misses, expired, evicted;
    uint64_t expired_fields;
    uint64_t expire_cut; /* cycles of active expiry that ran out of time */
    uint64_t expire_ns;  /* what all of them took */
    double stale; /* share of the keys looked at that were due, the latest weighing a twentieth */
};

struct eviction_candidate {
    struct entry *entry; /* an address to compare, perhaps of nothing any more */
    uint64_t hash, merit;
    uint32_t db;
};

struct eviction_pool { /* store/eviction.h */
    struct eviction_candidate at[EVICTION_POOL];
    uint32_t count, policy;
};

struct database;
struct snapshot_part;
struct checkpoint_part;

struct string_part { /* of a string, in bytes */
    uint32_t offset, len;
};

struct keyspace {
    struct database **databases; /* created when first written to: NULL is an empty database */
    struct database *open;       /* a list of those that are there, */
    struct database *aside;      /* and of those aside */
    uint32_t database_count;     /* without those aside */
    uint32_t index;              /* of the shard */
    uint32_t wanted;             /* what is to be told of its keys: cmd/effects.h */
    uint8_t
        mark; /* ENTRY_MARKS of its entries but for those that a snapshot or a checkpoint needs */
    struct snapshot_part
        *part; /* from the cut of a snapshot to the thaw (store/snapshot.h); or NULL */
    struct checkpoint_part *checkpoint; /* store/checkpoint.h; or NULL */
    const struct hash_seed *hash_seed;  /* the server's */
    struct mem_account account;         /* blobs, large entries, directories */
    struct node_heap nodes;             /* of collections */
    struct mem_account page_account;    /* slab regions and table segments, as held */
    atomic_u64 leaving_bytes; /* of `account`, in garbage; whoever detaches and frees, relaxed */
    const struct access_clock *access; /* the server's; stands still until it is set */
    struct eviction_pool pool;
    struct keyspace_stats stats;
    struct random_state random;
    int64_t last_now_ms;      /* the latest time a call has seen here (B7) */
    uint64_t deadline_count;  /* entries with a deadline, all databases: 0 means no active expiry */
    uint64_t expiring_count;  /* hashes of which some field has one, all databases: likewise */
    uint32_t expire_db;       /* where the next cycle of active expiry begins */
    bool expire_fields_first; /* that cycle: what comes last may get no time */
};

/* `seed` starts the random draws; `hash_seed` is the one that all hashes given below are made with,
 * and outlives the keyspace. False: no memory. */
bool keyspace_init(struct keyspace *keyspace, uint32_t index, uint32_t database_count,
                   uint64_t seed, const struct hash_seed *hash_seed);
void keyspace_deinit(struct keyspace *keyspace);

/* ---- Single keys. `hash` is hash_bytes of the key with the server's seed --------------------- */
void keyspace_prefetch_bucket(const struct keyspace *keyspace, uint32_t db, uint64_t hash);
/* Second stage: matches fingerprints in the (by now loaded) bucket and prefetches the entries they
 * point to. */
void keyspace_prefetch_entry(const struct keyspace *keyspace, uint32_t db, uint64_t hash);

/* Third stage, of values of many elements: prefetches what the (by now loaded) entry leads to, if that is a
 * collection, and returns it; else the rest of what is packed in the entry. The fourth is collection_prefetch. */
const struct collection *keyspace_prefetch_value(const struct keyspace *keyspace, uint32_t db,
                                                 uint64_t hash);

struct entry *keyspace_find(const struct keyspace *keyspace, uint32_t db, uint64_t hash,
                            struct bytes key);

/* Sets a string, replacing a value of any type; deadline 0 means none. In place where the cell
 * fits. A value flagged BYTES_BLOB is kept by reference, unless it is so short that it fits the
 * entry. `found` is the entry that keyspace_find gave just before, or NULL if there is none: it
 * saves the second look-up. Key and value may point into `found`. Returns the entry, or NULL. */
struct entry *keyspace_set_string(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                  struct bytes key, struct bytes value, int64_t deadline_ms,
                                  struct entry *found);
/* Makes the string of a key `len` bytes long, not shorter than it is, and a part of it ready for string_write
 * (store/paged.h) at once: what is new is zero, deadline and access stay. `found` as above; NULL makes the key. Returns
 * the entry, marked raw, or NULL. */
struct entry *keyspace_open_string(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                   struct bytes key, struct string_part part, uint32_t len,
                                   struct entry *found);
/* A paged string becomes whole, for entry_string. False: no memory. */
bool keyspace_join_string(struct keyspace *keyspace, uint32_t db, struct entry *entry);
/* Sets a packed value or a collection of `type` (store/collection.h), which is taken over, in the place of what is
 * there. A value of the same type keeps its access, and a pack that is not longer than that needs no memory. Both as
 * keyspace_set_string; NULL changes nothing. */
struct entry *keyspace_set_pack(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                struct bytes key, uint8_t type, struct bytes pack,
                                int64_t deadline_ms, struct entry *found);
struct entry *keyspace_set_collection(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                      struct bytes key, uint8_t type, struct collection *collection,
                                      int64_t deadline_ms, struct entry *found);
/* A collection that is there takes so many bytes more, or less. */
void keyspace_count_outside(struct keyspace *keyspace, uint32_t db, int64_t bytes);
/* 0 removes the deadline. The entry may move; returns where it is, or NULL for no memory. */
struct entry *keyspace_set_deadline(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                    struct entry *entry, int64_t deadline_ms);
/* An entry becomes an expiring hash, or ceases to be one. False: no memory, which only the first can be
 * short of. */
bool keyspace_mark_expiring(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                            struct entry *entry, bool expires);
void keyspace_delete(struct keyspace *keyspace, uint32_t db, uint64_t hash, struct entry *entry);

/* Before a change of an entry, or of what it leads to: a snapshot keeps it as it is (store/snapshot.h), and a checkpoint
 * does (store/checkpoint.h). What is declared here does that by itself. */
void keyspace_keep(struct keyspace *keyspace, uint32_t db, struct entry *entry);
static inline void keyspace_preserve(struct keyspace *keyspace, uint32_t db, struct entry *entry) {
    if (KRT_UNLIKELY((entry->flags ^ keyspace->mark) & ENTRY_MARKS)) {
        keyspace_keep(keyspace, db, entry);
    }
}

/* ---- Several keys or none: what can fail comes first ----------------------------------------- */
/* A string without a deadline that can take the place of a key of this database, which has one.
 * NULL: no memory. */
struct entry *keyspace_prepare_string(struct keyspace *keyspace, uint32_t db, struct bytes key,
                                      struct bytes value);
/* Puts it in the place of `found`, which has the same key and is freed. Cannot fail. */
void keyspace_commit(struct keyspace *keyspace, uint32_t db, uint64_t hash, struct entry *found,
                     struct entry *prepared);
void keyspace_abandon(struct keyspace *keyspace, uint32_t db, struct entry *prepared);

/* ---- Whole databases ------------------------------------------------------------------------- */
uint64_t keyspace_count(const struct keyspace *keyspace, uint32_t db);
uint64_t keyspace_count_all(const struct keyspace *keyspace);
uint64_t keyspace_count_deadlines(const struct keyspace *keyspace, uint32_t db);
uint64_t keyspace_count_expiring(const struct keyspace *keyspace, uint32_t db);
/* Is there anything for active expiry, ever? */
static inline bool keyspace_has_deadlines(const struct keyspace *keyspace) {
    return (keyspace->deadline_count | keyspace->expiring_count) != 0;
}
/* Mean of the milliseconds that sampled entries have left, for INFO's avg_ttl; 0 without
 * deadlines. */
int64_t keyspace_average_ttl(struct keyspace *keyspace, uint32_t db, int64_t now_ms);
/* O(1): the database is empty afterwards; what it held is the garbage, which any thread may free
 * without a baton. NULL when it was empty, or while the keyspace's nodes are frozen: then it waits for the thaw; or if a
 * checkpoint holds it. */
struct garbage *keyspace_detach(struct keyspace *keyspace, uint32_t db);
/* O(1): each holds what the other held. Neither is aside. */
void keyspace_swap(struct keyspace *keyspace, uint32_t a, uint32_t b);
/* O(1): what is aside of database `db` takes its place. Returns what was in it, as keyspace_detach. */
struct garbage *keyspace_install(struct keyspace *keyspace, uint32_t db);
/* What is aside of database `db` goes. Returns it, as keyspace_detach. */
struct garbage *keyspace_discard(struct keyspace *keyspace, uint32_t db);

struct scan_budget { /* how much one call of SCAN goes over */
    uint64_t entries, positions;
};

typedef void keyspace_visit(void *context, struct entry *entry);
/* Visits every entry once, faster than a scan does: nothing may be added or deleted meanwhile. */
void keyspace_walk(struct keyspace *keyspace, uint32_t db, keyspace_visit *visit, void *context);
/* Visits one cursor position of a database and returns the next cursor, 0 at the end
 * (reverse-binary order, K3). A cursor is under 2^40; any number is a valid one. The visitor must
 * not change the keyspace. */
uint64_t keyspace_scan(struct keyspace *keyspace, uint32_t db, uint64_t cursor,
                       keyspace_visit *visit, void *context);
/* Goes ahead of a scan from a cursor over as many positions as the budget allows, and at least one, and
 * takes off the budget what they hold. Returns the cursor there. */
uint64_t keyspace_scan_measure(const struct keyspace *keyspace, uint32_t db, uint64_t cursor,
                               struct scan_budget *budget);
/* Fetches the memory of the entries at the next positions, which keyspace_scan then visits one by one. */
void keyspace_scan_fetch(const struct keyspace *keyspace, uint32_t db, uint64_t cursor,
                         uint64_t positions);
/* A uniformly random entry, or NULL if empty. */
struct entry *keyspace_random(struct keyspace *keyspace, uint32_t db);

/* One bounded step of active expiry over the deadline table: looks at up to `limit` entries from
 * where the last step ended and hands those whose deadline has passed to `expire`, which may delete
 * any entries through keyspace_delete but not detach the database. Returns how many were handed
 * over; *looked how many were seen: fewer than `limit` only if the end of the table was reached. */
typedef void keyspace_expire(void *context, uint32_t db, struct entry *entry);
uint32_t keyspace_expire_step(struct keyspace *keyspace, uint32_t db, int64_t now_ms,
                              uint32_t limit, keyspace_expire *expire, void *context,
                              uint32_t *looked);

/* The same over the expiring hashes, of which those with a field that is due are handed over. `expire` may
 * change or delete the hash; if it returns false, it is not through with it: the step ends, and the next one
 * begins with the same hash. */
typedef bool keyspace_expire_fields(void *context, uint32_t db, struct entry *entry);
uint32_t keyspace_fields_step(struct keyspace *keyspace, uint32_t db, int64_t now_ms,
                              uint32_t limit, keyspace_expire_fields *expire, void *context,
                              uint32_t *looked);

/* used: by usable size, without garbage and what is aside; held: what the kernel gave, with both. O(1) but for the
 * databases that are there. */
uint64_t keyspace_used_bytes(const struct keyspace *keyspace);
uint64_t keyspace_held_bytes(const struct keyspace *keyspace);
/* Of what is used: entries and their values, without the tables. */
uint64_t keyspace_entry_bytes(const struct keyspace *keyspace);
/* What a key costs beside its entry: a pointer and a fingerprint, at the fill that tables keep. */
enum { KEYSPACE_SLOT_BYTES = 9 };

/* Debug builds and tests: asserts K1, K2 and K5 over everything. */
void keyspace_check(const struct keyspace *keyspace);
