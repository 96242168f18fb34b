/* A linear-hashing table of pointers to entries. Used twice per database: all keys, and the keys
 * with a deadline.
 *
 * Role: insert, find, remove, replace, scan, sample. The table does not own the entries; it reads
 * their keys to compare them and, when a bucket splits, to hash them again.
 * Structure: bucket_count = 2^level + split buckets of one cache line each, in segments behind a
 * directory. A hash belongs to bucket `hash mod 2^(level+1)`, or `hash mod 2^level` if there is no
 * such bucket yet. An insertion splits at most one bucket, a removal merges at most one. A full
 * bucket chains overflow buckets from the slab.
 * Threads: holder of the shard's baton.
 * Invariants
 *   T1  An entry is in the chain of the bucket its hash belongs to, once, beside its fingerprint.
 *   T2  A bucket with an overflow bucket has 8 entries; the last of a chain has 2 to 9 (the first
 *       bucket alone: 0 to 9). Slots are filled from 0, free ones have fingerprint 0.
 *   T3  count is the number of entries, longest at least the length of every chain.
 * Errors: table_insert returns false for refused memory and leaves the table as it was. A table
 * that cannot get memory to grow or to merge works on with longer chains. Removal and replacement
 * never fail.
 * Bounds: an operation touches at most two chains; a page run of 256 KiB is mapped or unmapped at
 * most.
 */
#pragma once

#include "base/hash.h"
#include "store/entry_layout.h"

enum {
    BUCKET_SLOTS = 9,
    BUCKET_COUNT_MASK = 0x0f,
    BUCKET_OVERFLOW = 0x80,
    SEGMENT_SHIFT = 12,
    SEGMENT_BUCKETS = 1 << SEGMENT_SHIFT,
    TABLE_BITS_MAX = 40, /* the hash bits that choose a bucket */
};

struct bucket {
    uint8_t fingerprints[BUCKET_SLOTS];
    uint8_t meta; /* count of used slots; BUCKET_OVERFLOW: slot 8 leads to the next bucket */
    uint8_t slots[BUCKET_SLOTS][6];
} KRT_CACHE_ALIGNED;
_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

enum { SEGMENT_BYTES = SEGMENT_BUCKETS * sizeof(struct bucket) };

struct scan_budget; /* store/keyspace.h */

struct table {
    struct bucket **segments;
    uint64_t mask;         /* 2^(level+1) - 1 */
    uint64_t bucket_count; /* 0 until the first insertion */
    uint64_t count;
    uint32_t segment_count;
    uint32_t segment_room; /* of the directory */
    uint32_t longest;
    struct slab_heap *heap;           /* of overflow buckets */
    struct mem_account *account;      /* of the directory */
    struct mem_account *page_account; /* of segments */
    const struct hash_seed *hash_seed;
};

/* ---- Buckets --------------------------------------------------------------------------------- */

static inline uint32_t bucket_count_used(const struct bucket *bucket) {
    return bucket->meta & BUCKET_COUNT_MASK;
}

/* Reads eight bytes that end with the slot: they lie in the bucket, whichever slot it is. */
static inline void *bucket_slot(const struct bucket *bucket, uint32_t slot) {
    uint64_t word;
    memcpy(&word, (const char *)bucket + offsetof(struct bucket, slots) - 2 + slot * 6u,
           sizeof word);
    return (void *)(uintptr_t)(word >> 16);
}

static inline struct bucket *bucket_next(const struct bucket *bucket) {
    return bucket->meta & BUCKET_OVERFLOW ? bucket_slot(bucket, BUCKET_SLOTS - 1) : NULL;
}

/* A bit at 0, 8, … 56 and 63 for slots 0 to 8 whose fingerprint is equal; bucket_match_slot tells
 * which. The zero-byte test is the exact one: the shorter one reports false matches behind a true
 * one, and each costs a cache miss on an entry. */
static inline uint64_t bucket_match(const struct bucket *bucket, uint8_t fingerprint) {
    const uint64_t low7 = UINT64_C(0x7f7f7f7f7f7f7f7f);
    uint64_t word;
    memcpy(&word, bucket->fingerprints, sizeof word);
    word ^= fingerprint * UINT64_C(0x0101010101010101);
    uint64_t zero = ~(((word & low7) + low7) | word | low7);
    return zero >> 7 | (uint64_t)(bucket->fingerprints[8] == fingerprint) << 63;
}

static inline uint32_t bucket_match_slot(uint64_t match) {
    return ((uint32_t)__builtin_ctzll(match) + 1) >> 3;
}

/* gcc takes a function that does nothing but prefetch for one without effects, and drops the calls
 * of it; the empty statement is an effect. */
static inline void prefetch_line(const void *at) {
    __builtin_prefetch(at);
    __asm__ volatile("");
}

static inline void bucket_prefetch_entries(const struct bucket *bucket) {
    for (uint32_t i = 0; i < bucket_count_used(bucket); i++) {
        prefetch_line(bucket_slot(bucket, i));
    }
}

static inline uint32_t bucket_chain_count(const struct bucket *bucket) {
    uint32_t count = bucket_count_used(bucket);
    while ((bucket = bucket_next(bucket)) != NULL) {
        count += bucket_count_used(bucket);
    }
    return count;
}

/* ---- Places ---------------------------------------------------------------------------------- */

static inline uint64_t table_index(const struct table *table, uint64_t hash) {
    uint64_t index = hash & table->mask;
    return index < table->bucket_count ? index : index & table->mask >> 1;
}

static inline struct bucket *table_bucket_at(const struct table *table, uint64_t index) {
    return &table->segments[index >> SEGMENT_SHIFT][index & (SEGMENT_BUCKETS - 1)];
}

static inline struct bucket *table_bucket(const struct table *table, uint64_t hash) {
    return table_bucket_at(table, table_index(table, hash));
}

static inline void table_prefetch_bucket(const struct table *table, uint64_t hash) {
    prefetch_line(table_bucket(table, hash));
}

/* An entry of usual size lies on two lines. */
static inline void table_prefetch_entries(const struct table *table, uint64_t hash) {
    const struct bucket *bucket = table_bucket(table, hash);
    uint64_t match = bucket_match(bucket, hash_fingerprint(hash));
    for (; match != 0; match &= match - 1) {
        const char *entry = bucket_slot(bucket, bucket_match_slot(match));
        prefetch_line(entry);
        prefetch_line(entry + 64);
    }
    if (bucket->meta & BUCKET_OVERFLOW) {
        prefetch_line(bucket_next(bucket));
    }
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Allocates nothing. `pages` and `account` are charged, `hash_seed` is kept. */
void table_init(struct table *table, struct slab_heap *heap, struct mem_account *account,
                struct mem_account *pages, const struct hash_seed *hash_seed);
/* The overflow buckets go with the heap. */
void table_deinit(struct table *table);
/* Maps the first segment, so that the functions above may be used. */
bool table_reserve(struct table *table);

struct entry *table_find(const struct table *table, uint64_t hash, struct bytes key);
bool table_contains(const struct table *table, uint64_t hash, const struct entry *entry);
bool table_insert(struct table *table, uint64_t hash, struct entry *entry);
void table_remove(struct table *table, uint64_t hash, const struct entry *entry);
void table_replace(struct table *table, uint64_t hash, const struct entry *old,
                   struct entry *entry);

/* ---- Walking: table_walk.c ------------------------------------------------------------------- */

typedef void table_visit(void *context, struct entry *entry);
/* One position of a reverse-binary cursor; returns the next, 0 at the end. An entry that is in the
 * table from the first call to the last is visited, whatever splits and merges happen between
 * calls. */
uint64_t table_scan(const struct table *table, uint64_t cursor, table_visit *visit, void *context);
/* Goes ahead of table_scan, from a cursor over as many positions as the budget allows, but at least one:
 * what is left of the budget is what it did not use. Returns the cursor there; reads buckets only. */
uint64_t table_scan_measure(const struct table *table, uint64_t cursor, struct scan_budget *budget);
/* Fetches the memory of the entries at so many positions. */
void table_scan_fetch(const struct table *table, uint64_t cursor, uint64_t positions);
/* Every entry in no order of meaning; the visitor may free the entry but not touch the table. */
void table_walk(const struct table *table, table_visit *visit, void *context);
/* Each entry with equal probability; NULL if empty. */
struct entry *table_random(const struct table *table, struct random_state *random);

/* A position for walking a table that changes, from the last bucket down to the first and from the
 * last entry of a chain down to the first. Any entry may be removed between calls: one that fills a
 * hole has been passed, and a merge moves entries down, where the walk still comes by. Only a split
 * can move an entry out of its way. */
struct table_position {
    uint64_t bucket;
    uint32_t slot; /* entries at and above it have been passed */
};
#define TABLE_POSITION_START ((struct table_position){.bucket = UINT64_MAX, .slot = UINT32_MAX})
/* The next entry of the bucket; NULL: it is finished. */
struct entry *table_position_step(const struct table *table, struct table_position *position);
/* Goes to the next bucket and prefetches its entries; false: it was the last, the position is at
 * the start again. */
bool table_position_advance(const struct table *table, struct table_position *position);

/* Buckets in use; not the overflow buckets, which are the slab's, nor a segment's unused end. */
static inline uint64_t table_used_bytes(const struct table *table) {
    return table->bucket_count * sizeof(struct bucket);
}

/* Asserts T1 to T3. */
void table_check(const struct table *table);
