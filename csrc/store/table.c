/* Linear hashing: one bucket splits or merges at a time.
 *
 *   level 3, split 2:   0 1 2 3 4 5 6 7 8 9      0 and 1 have split into 0, 8 and 1, 9
 *
 * An insertion that brings the load over GROW splits bucket `split`: its entries are divided by one
 * more hash bit between it and the new last bucket. A removal that brings the load under SHRINK
 * merges the last bucket back. The gap between the two keeps a table at rest from doing either.
 *
 * A split reads the keys of its bucket to hash them. Which bucket comes next is known long before,
 * so the end of one split prefetches the entries of the next: they are there when it comes, some
 * insertions later.
 *
 * Neither step can fail halfway. A split needs no more overflow buckets than the chain it divides
 * (overflow_needed is subadditive), also at each point on the way, if every overflow bucket is
 * spared before its entries are placed. A merge takes the buckets that it may lack before it
 * begins.
 */
#include "store/table.h"

#include "base/assert.h"
#include "base/mem.h"

/* Loads in halves of an entry per bucket. GROW at 5.5 costs 12.3 to 12.9 bytes per entry, with 1
 * find in 18 going to an overflow bucket; docs/STORE.md has the table. */
enum { GROW_HALVES = 11, SHRINK_HALVES = 7, DIRECTORY_ROOM_MIN = 4, PAGE_BYTES = 4096 };

struct spares { /* overflow buckets on their way from one chain to another */
    struct bucket *first;
};

void table_init(struct table *table, struct slab_heap *heap, struct mem_account *account,
                struct mem_account *pages, const struct hash_seed *hash_seed) {
    *table = (struct table){
        .heap = heap, .account = account, .page_account = pages, .hash_seed = hash_seed};
}

void table_deinit(struct table *table) {
    for (uint32_t i = 0; i < table->segment_count; i++) {
        mem_pages_free(table->page_account, table->segments[i], SEGMENT_BYTES);
    }
    mem_free(table->account, table->segments);
}

static uint64_t entry_hash(const struct table *table, const struct entry *entry) {
    struct bytes key = entry_key_inline(entry);
    return hash_bytes(table->hash_seed, key.at, key.len);
}

/* ---- Buckets --------------------------------------------------------------------------------- */

static void slot_write(struct bucket *bucket, uint32_t slot, const void *pointer) {
    uint64_t word = (uintptr_t)pointer;
    KRT_DCHECK(word >> 48 == 0);
    memcpy(bucket->slots[slot], &word,
           sizeof bucket->slots[slot]); /* little-endian, as arm64 and x86 */
}

static void slot_fill(struct bucket *bucket, uint32_t slot, uint8_t fingerprint,
                      const void *pointer) {
    bucket->fingerprints[slot] = fingerprint;
    slot_write(bucket, slot, pointer);
}

static struct bucket *overflow_take(struct table *table, struct spares *spares) {
    struct bucket *bucket = spares->first;
    if (bucket != NULL) {
        spares->first = bucket_slot(bucket, 0);
    } else {
        bucket = slab_alloc(table->heap, sizeof *bucket);
    }
    if (bucket != NULL) {
        *bucket = (struct bucket){0};
    }
    return bucket;
}

static void overflow_spare(struct spares *spares, struct bucket *bucket) {
    slot_write(bucket, 0, spares->first);
    spares->first = bucket;
}

static void spares_free(struct table *table, struct spares *spares) {
    while (spares->first != NULL) {
        struct bucket *bucket = spares->first;
        spares->first = bucket_slot(bucket, 0);
        slab_free(table->heap, bucket);
    }
}

/* Overflow buckets of a chain of so many entries. */
static uint32_t overflow_needed(uint32_t count) {
    return count <= BUCKET_SLOTS ? 0
                                 : (count - BUCKET_SLOTS + BUCKET_SLOTS - 2) / (BUCKET_SLOTS - 1);
}

/* Hangs an overflow bucket behind a full bucket; its ninth entry moves there. */
static struct bucket *chain_extend(struct bucket *bucket, struct bucket *overflow) {
    const uint32_t ninth = BUCKET_SLOTS - 1;
    slot_fill(overflow, 0, bucket->fingerprints[ninth], bucket_slot(bucket, ninth));
    overflow->meta = 1;
    slot_fill(bucket, ninth, 0, overflow);
    bucket->meta = BUCKET_OVERFLOW | ninth;
    return overflow;
}

/* Takes overflow buckets from `spares` first. False: no memory, nothing changed. */
static bool chain_append(struct table *table, struct bucket *bucket, uint8_t fingerprint,
                         const struct entry *entry, struct spares *spares) {
    uint32_t before = 0;
    for (struct bucket *next; (next = bucket_next(bucket)) != NULL; bucket = next) {
        before += BUCKET_SLOTS - 1;
    }
    uint32_t used = bucket_count_used(bucket);
    if (KRT_UNLIKELY(used == BUCKET_SLOTS)) {
        struct bucket *overflow = overflow_take(table, spares);
        if (overflow == NULL) {
            return false;
        }
        bucket = chain_extend(bucket, overflow);
        before += BUCKET_SLOTS - 1;
        used = 1;
    }
    slot_fill(bucket, used, fingerprint, entry);
    bucket->meta = (uint8_t)(used + 1);
    if (before + used + 1 > table->longest) {
        table->longest = before + used + 1;
    }
    return true;
}

/* Fills the hole with the last entry of the chain and restores T2. */
static void chain_remove(struct table *table, struct bucket *bucket, struct bucket *hole,
                         uint32_t slot) {
    struct bucket *before = NULL, *last = bucket;
    for (struct bucket *next; (next = bucket_next(last)) != NULL; last = next) {
        before = last;
    }
    uint32_t moved = bucket_count_used(last) - 1;
    slot_fill(hole, slot, last->fingerprints[moved], bucket_slot(last, moved));
    slot_fill(last, moved, 0, NULL);
    last->meta = (uint8_t)moved;
    if (before != NULL && moved == 1) {
        slot_fill(before, BUCKET_SLOTS - 1, last->fingerprints[0], bucket_slot(last, 0));
        before->meta = BUCKET_SLOTS;
        slab_free(table->heap, last);
    }
}

/* ---- Segments -------------------------------------------------------------------------------- */

static bool directory_extend(struct table *table) {
    uint32_t room = table->segment_room ? table->segment_room * 2 : DIRECTORY_ROOM_MIN;
    size_t size = room * sizeof *table->segments;
    struct bucket **segments = table->segments == NULL
                                   ? mem_alloc(table->account, size)
                                   : mem_realloc(table->account, table->segments, size);
    if (segments == NULL) {
        return false;
    }
    table->segments = segments;
    table->segment_room = room;
    return true;
}

/* Makes sure that the bucket behind the last exists. */
static bool segment_reserve(struct table *table) {
    if (KRT_LIKELY(table->bucket_count < (uint64_t)table->segment_count << SEGMENT_SHIFT)) {
        return true;
    }
    if (table->segment_count == table->segment_room && !directory_extend(table)) {
        return false;
    }
    void *segment = mem_pages_alloc(table->page_account, SEGMENT_BYTES, PAGE_BYTES);
    if (segment == NULL) {
        return false;
    }
    table->segments[table->segment_count++] = segment;
    return true;
}

/* Keeps one segment beyond what is needed, so that a table at its edge does not map and unmap. */
static void segment_release(struct table *table) {
    uint64_t needed = (table->bucket_count >> SEGMENT_SHIFT) + 2;
    if (table->segment_count > needed) {
        table->segment_count--;
        mem_pages_free(table->page_account, table->segments[table->segment_count], SEGMENT_BYTES);
    }
}

bool table_reserve(struct table *table) {
    if (KRT_LIKELY(table->bucket_count > 0)) {
        return true;
    }
    if (!segment_reserve(table)) {
        return false;
    }
    table->bucket_count = 1;
    table->mask = 1;
    return true;
}

/* ---- Split and merge ------------------------------------------------------------------------- */

/* The bucket that splits when there are so many. */
static uint64_t split_index(const struct table *table, uint64_t bucket_count) {
    return bucket_count & table->mask >> 1;
}

/* Places the entries of a detached bucket: those that belong to bucket `high` there, others in
 * `low`. */
static void divide(struct table *table, const struct bucket *from, uint64_t low, uint64_t high,
                   struct spares *spares) {
    for (uint32_t i = 0; i < bucket_count_used(from); i++) {
        struct entry *entry = bucket_slot(from, i);
        uint64_t index = (entry_hash(table, entry) & table->mask) == high ? high : low;
        bool placed = chain_append(table, table_bucket_at(table, index), from->fingerprints[i],
                                   entry, spares);
        KRT_ASSERT(placed);
    }
}

/* Loads what the next split reads, and the overflow bucket that the one after it will need for that. */
static void prefetch_splits(const struct table *table) {
    uint64_t count = table->bucket_count;
    const struct bucket *next = table_bucket_at(table, split_index(table, count));
    const struct bucket *after = table_bucket_at(table, split_index(table, count + 1));
    for (; next != NULL; next = bucket_next(next)) {
        bucket_prefetch_entries(next);
    }
    if (bucket_next(after) != NULL) {
        prefetch_line(bucket_next(after));
    }
}

/* Splits one bucket, if there is memory for the new one. */
static void table_split(struct table *table) {
    uint64_t high = table->bucket_count, low = split_index(table, high);
    if (high >> TABLE_BITS_MAX != 0 || !segment_reserve(table)) {
        return;
    }
    struct bucket *bucket = table_bucket_at(table, low);
    struct bucket from = *bucket;
    struct spares spares = {0};
    *bucket = *table_bucket_at(table, high) = (struct bucket){0};
    table->bucket_count++;
    for (struct bucket *next; (next = bucket_next(&from)) != NULL;) {
        bucket_prefetch_entries(next);
        divide(table, &from, low, high, &spares);
        from = *next;
        overflow_spare(&spares, next);
    }
    divide(table, &from, low, high, &spares);
    spares_free(table, &spares);
    if (high == table->mask) {
        table->mask = table->mask << 1 | 1;
    }
    prefetch_splits(table);
}

/* The spares that a merge of two chains can need on its way; false: no memory, none taken. */
static bool merge_reserve(struct table *table, const struct bucket *low, const struct bucket *high,
                          struct spares *spares) {
    uint32_t count_low = bucket_chain_count(low), count_high = bucket_chain_count(high);
    uint32_t needed = overflow_needed(count_low + count_high);
    if (needed == 0) {
        return true;
    }
    needed += 1 - overflow_needed(count_low) - overflow_needed(count_high);
    for (; needed > 0; needed--) {
        struct bucket *bucket = slab_alloc(table->heap, sizeof *bucket);
        if (bucket == NULL) {
            spares_free(table, spares);
            return false;
        }
        overflow_spare(spares, bucket);
    }
    return true;
}

static void append_all(struct table *table, struct bucket *to, const struct bucket *from,
                       struct spares *spares) {
    for (uint32_t i = 0; i < bucket_count_used(from); i++) {
        bool placed = chain_append(table, to, from->fingerprints[i], bucket_slot(from, i), spares);
        KRT_ASSERT(placed);
    }
}

/* Merges the last bucket into the one it was split from, if there is memory for a longer chain. */
static void table_merge(struct table *table) {
    uint64_t mask = table->mask;
    uint64_t high = table->bucket_count - 1;
    if (high == mask >> 1) { /* the last bucket of its level: the level before is unsplit again */
        mask >>= 1;
    }
    struct bucket *low = table_bucket_at(table, high & mask >> 1);
    struct bucket *bucket = table_bucket_at(table, high);
    struct spares spares = {0};
    if (!merge_reserve(table, low, bucket, &spares)) {
        return;
    }
    struct bucket from = *bucket;
    for (struct bucket *next; (next = bucket_next(&from)) != NULL;) {
        append_all(table, low, &from, &spares);
        from = *next;
        overflow_spare(&spares, next);
    }
    append_all(table, low, &from, &spares);
    spares_free(table, &spares);
    *bucket = (struct bucket){0};
    table->bucket_count--;
    table->mask = mask;
    segment_release(table);
}

static inline void grow_if_due(struct table *table) {
    if (table->count * 2 > table->bucket_count * GROW_HALVES) {
        table_split(table);
    }
}

static inline void shrink_if_due(struct table *table) {
    if (table->bucket_count > 1 && table->count * 2 < table->bucket_count * SHRINK_HALVES) {
        table_merge(table);
    }
}

/* ---- Single entries -------------------------------------------------------------------------- */

static inline bool key_equal(const struct entry *entry, struct bytes key) {
    return bytes_equal(entry_key_inline(entry), key);
}

struct entry *table_find(const struct table *table, uint64_t hash, struct bytes key) {
    const struct bucket *bucket = table_bucket(table, hash);
    uint8_t fingerprint = hash_fingerprint(hash);
    do {
        uint64_t match = bucket_match(bucket, fingerprint);
        for (; match != 0; match &= match - 1) {
            struct entry *entry = bucket_slot(bucket, bucket_match_slot(match));
            prefetch_line((const char *)entry + 64); /* the value: with the key, not after it */
            if (KRT_LIKELY(key_equal(entry, key))) {
                return entry;
            }
        }
        bucket = bucket_next(bucket);
    } while (KRT_UNLIKELY(bucket != NULL));
    return NULL;
}

/* The bucket of the chain that holds this very entry, or NULL. */
static struct bucket *locate(struct bucket *bucket, uint8_t fingerprint, const struct entry *entry,
                             uint32_t *slot) {
    for (; bucket != NULL; bucket = bucket_next(bucket)) {
        uint64_t match = bucket_match(bucket, fingerprint);
        for (; match != 0; match &= match - 1) {
            *slot = bucket_match_slot(match);
            if (bucket_slot(bucket, *slot) == entry) {
                return bucket;
            }
        }
    }
    return NULL;
}

bool table_contains(const struct table *table, uint64_t hash, const struct entry *entry) {
    uint32_t slot;
    return table->count > 0 &&
           locate(table_bucket(table, hash), hash_fingerprint(hash), entry, &slot) != NULL;
}

bool table_insert(struct table *table, uint64_t hash, struct entry *entry) {
    struct spares none = {0};
    if (!table_reserve(table) ||
        !chain_append(table, table_bucket(table, hash), hash_fingerprint(hash), entry, &none)) {
        return false;
    }
    table->count++;
    grow_if_due(table);
    return true;
}

void table_remove(struct table *table, uint64_t hash, const struct entry *entry) {
    KRT_ASSERT(table->count > 0);
    struct bucket *bucket = table_bucket(table, hash);
    uint32_t slot;
    struct bucket *hole = locate(bucket, hash_fingerprint(hash), entry, &slot);
    KRT_ASSERT(hole != NULL);
    chain_remove(table, bucket, hole, slot);
    table->count--;
    shrink_if_due(table);
}

void table_replace(struct table *table, uint64_t hash, const struct entry *old,
                   struct entry *entry) {
    KRT_ASSERT(table->count > 0);
    uint32_t slot;
    struct bucket *bucket = locate(table_bucket(table, hash), hash_fingerprint(hash), old, &slot);
    KRT_ASSERT(bucket != NULL);
    slot_write(bucket, slot, entry);
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static uint32_t bucket_check(const struct table *table, uint64_t index,
                             const struct bucket *bucket) {
    uint32_t used = bucket_count_used(bucket);
    for (uint32_t i = 0; i < BUCKET_SLOTS; i++) {
        if (i >= used) {
            KRT_ASSERT(bucket->fingerprints[i] == 0);
            continue;
        }
        uint64_t hash = entry_hash(table, bucket_slot(bucket, i));
        KRT_ASSERT(table_index(table, hash) == index);
        KRT_ASSERT(bucket->fingerprints[i] == hash_fingerprint(hash));
    }
    KRT_ASSERT(bucket_next(bucket) == NULL || used == BUCKET_SLOTS - 1);
    return used;
}

static uint32_t chain_check(const struct table *table, uint64_t index) {
    const struct bucket *bucket = table_bucket_at(table, index);
    uint32_t count = bucket_check(table, index, bucket);
    while ((bucket = bucket_next(bucket)) != NULL) {
        uint32_t used = bucket_check(table, index, bucket);
        KRT_ASSERT(used >= 2);
        count += used;
    }
    KRT_ASSERT(count <= table->longest);
    return count;
}

void table_check(const struct table *table) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < table->bucket_count; i++) {
        count += chain_check(table, i);
    }
    KRT_ASSERT(count == table->count);
    if (table->bucket_count > 0) {
        KRT_ASSERT(table->bucket_count > table->mask >> 1);
        KRT_ASSERT(table->bucket_count <= table->mask);
    }
}
