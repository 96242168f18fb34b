/* Walking a table: SCAN's cursor, the whole table, random entries, and a position that survives removals.
 *
 * A cursor counts from its highest bit down. What has been visited is then a set of buckets that splitting
 * and merging keep together: a bucket's sibling is visited with it.
 */
#include "base/assert.h"
#include "store/keyspace.h"
#include "store/table.h"

static void visit_bucket(const struct bucket *bucket, table_visit *visit, void *context) {
    for (uint32_t i = 0; i < bucket_count_used(bucket); i++) {
        visit(context, bucket_slot(bucket, i));
    }
}

static void visit_chain(const struct bucket *bucket, table_visit *visit, void *context) {
    for (; bucket != NULL; bucket = bucket_next(bucket)) {
        bucket_prefetch_entries(bucket);
        visit_bucket(bucket, visit, context);
    }
}

/* Buckets lie one behind the other, so their entries can be fetched long before they are visited. */
enum { WALK_AHEAD = 4 };

void table_walk(const struct table *table, table_visit *visit, void *context) {
    for (uint64_t i = 0; i < table->bucket_count; i++) {
        const struct bucket *bucket = table_bucket_at(table, i);
        if (i + WALK_AHEAD < table->bucket_count) {
            bucket_prefetch_entries(table_bucket_at(table, i + WALK_AHEAD));
        }
        visit_bucket(bucket, visit, context);
        visit_chain(bucket_next(bucket), visit, context);
    }
}

static uint64_t reverse_bits(uint64_t word) {
    word = (word >> 1 & UINT64_C(0x5555555555555555)) | (word & UINT64_C(0x5555555555555555)) << 1;
    word = (word >> 2 & UINT64_C(0x3333333333333333)) | (word & UINT64_C(0x3333333333333333)) << 2;
    word = (word >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (word & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
    return __builtin_bswap64(word);
}

/* Adds one at the highest bit of an address space of mask + 1: what has been visited then stays a
 * set of high bits turned low, which splitting and merging keep together. */
static uint64_t cursor_next(uint64_t cursor, uint64_t mask) {
    return reverse_bits(reverse_bits(cursor | ~mask) + 1);
}

uint64_t table_scan(const struct table *table, uint64_t cursor, table_visit *visit, void *context) {
    if (table->bucket_count == 0) {
        return 0;
    }
    uint64_t mask = table->mask >> 1; /* of the level: a split bucket is visited with its sibling */
    uint64_t low = cursor & mask, high = low + mask + 1;
    visit_chain(table_bucket_at(table, low), visit, context);
    if (high < table->bucket_count) {
        visit_chain(table_bucket_at(table, high), visit, context);
    }
    return cursor_next(cursor, mask);
}

static uint64_t position_count(const struct table *table, uint64_t low, uint64_t high) {
    uint64_t count = bucket_chain_count(table_bucket_at(table, low));
    return high < table->bucket_count ? count + bucket_chain_count(table_bucket_at(table, high))
                                      : count;
}

/* The bucket of the next position comes from memory while this one is counted. */
static void prefetch_position(const struct table *table, uint64_t low, uint64_t high) {
    prefetch_line(table_bucket_at(table, low));
    if (high < table->bucket_count) {
        prefetch_line(table_bucket_at(table, high));
    }
}

uint64_t table_scan_measure(const struct table *table, uint64_t cursor,
                            struct scan_budget *budget) {
    if (table->bucket_count == 0) {
        return 0;
    }
    uint64_t mask = table->mask >> 1, span = mask + 1;
    do {
        uint64_t low = cursor & mask;
        cursor = cursor_next(cursor, mask);
        prefetch_position(table, cursor & mask, (cursor & mask) + span);
        uint64_t count = position_count(table, low, low + span);
        budget->entries -= count < budget->entries ? count : budget->entries;
        budget->positions -= budget->positions > 0;
    } while (cursor != 0 && budget->entries > 0 && budget->positions > 0);
    return cursor;
}

void table_scan_fetch(const struct table *table, uint64_t cursor, uint64_t positions) {
    uint64_t mask = table->mask >> 1;
    for (; positions > 0 && table->bucket_count > 0; positions--) {
        uint64_t low = cursor & mask, high = low + mask + 1;
        bucket_prefetch_entries(table_bucket_at(table, low));
        if (high < table->bucket_count) {
            bucket_prefetch_entries(table_bucket_at(table, high));
        }
        cursor = cursor_next(cursor, mask);
        if (cursor == 0) {
            return;
        }
    }
}

static struct entry *chain_entry(const struct bucket *bucket, uint32_t position) {
    while (position >= bucket_count_used(bucket)) {
        position -= bucket_count_used(bucket);
        bucket = bucket_next(bucket);
        KRT_ASSERT(bucket != NULL);
    }
    return bucket_slot(bucket, position);
}

/* Draws a bucket and a position below the longest chain until there is an entry: equal chances,
 * since a chain accepts in proportion to its length. Few draws: the load has a floor, chains are
 * short. */
struct entry *table_random(const struct table *table, struct random_state *random) {
    if (table->count == 0) {
        return NULL;
    }
    for (;;) {
        uint64_t index = random_below(random, table->bucket_count);
        const struct bucket *bucket = table_bucket_at(table, index);
        uint32_t position = (uint32_t)random_below(random, table->longest);
        if (position < bucket_chain_count(bucket)) {
            return chain_entry(bucket, position);
        }
    }
}

struct entry *table_position_step(const struct table *table, struct table_position *position) {
    if (position->bucket >= table->bucket_count) {
        *position = TABLE_POSITION_START;
        if (table->bucket_count == 0) {
            return NULL;
        }
        position->bucket = table->bucket_count - 1;
    }
    const struct bucket *bucket = table_bucket_at(table, position->bucket);
    uint32_t count = bucket_chain_count(bucket);
    uint32_t slot = position->slot < count ? position->slot : count;
    if (slot == 0) {
        return NULL;
    }
    position->slot = slot - 1;
    return chain_entry(bucket, position->slot);
}

bool table_position_advance(const struct table *table, struct table_position *position) {
    if (position->bucket == 0 || table->bucket_count == 0) {
        *position = TABLE_POSITION_START;
        return false;
    }
    position->bucket--;
    position->slot = UINT32_MAX;
    if (position->bucket < table->bucket_count) {
        bucket_prefetch_entries(table_bucket_at(table, position->bucket));
    }
    return true;
}
