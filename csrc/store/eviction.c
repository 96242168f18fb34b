/* Sampling for eviction.
 *
 * A sample is a whole bucket: its entries are fetched together, and each entry of the table is as
 * likely to be among them as any other. What is better than the worst of the pool goes into it. The
 * best of the pool is the victim, if it is still there and has not been asked for since: so a
 * candidate that lost once competes with every later sample, and few samples choose as well as many.
 */
#include "store/eviction.h"

#include "base/assert.h"
#include "store/database.h"

/* Buckets without an entry that are met in a row before a sample is given up: only a table that is
 * almost empty has so many. */
enum { EMPTY_BUCKETS_MAX = 64 };

static bool is_volatile(enum eviction_policy policy) {
    return policy <= EVICT_VOLATILE_TTL;
}

static bool is_random(enum eviction_policy policy) {
    return policy == EVICT_VOLATILE_RANDOM || policy == EVICT_ALLKEYS_RANDOM;
}

enum access_kind eviction_access_kind(enum eviction_policy policy) {
    bool counts = policy == EVICT_VOLATILE_LFU || policy == EVICT_ALLKEYS_LFU;
    return counts ? ACCESS_FREQUENCY : ACCESS_TIME;
}

static struct table *table_of(struct database *database, enum eviction_policy policy) {
    return is_volatile(policy) ? &database->deadlines : &database->keys;
}

uint64_t keyspace_candidates(const struct keyspace *keyspace, enum eviction_policy policy) {
    if (policy == EVICT_NOTHING) {
        return 0;
    }
    return is_volatile(policy) ? keyspace->deadline_count : keyspace_count_all(keyspace);
}

/* The database that the n-th candidate is in. */
static uint32_t database_of(const struct keyspace *keyspace, enum eviction_policy policy,
                            uint64_t n) {
    for (uint32_t db = 0;; db++) {
        KRT_ASSERT(db < keyspace->database_count);
        struct database *database = database_at(keyspace, db);
        uint64_t count = database != NULL ? table_of(database, policy)->count : 0;
        if (n < count) {
            return db;
        }
        n -= count;
    }
}

/* Databases by their share of the candidates. */
static uint32_t random_database(struct keyspace *keyspace, enum eviction_policy policy) {
    uint64_t candidates = keyspace_candidates(keyspace, policy);
    return database_of(keyspace, policy, random_below(&keyspace->random, candidates));
}

/* The higher, the sooner it goes. */
static uint64_t merit(const struct keyspace *keyspace, enum eviction_policy policy,
                      const struct entry *entry) {
    if (policy == EVICT_VOLATILE_TTL) {
        return INT64_MAX - (uint64_t)entry_deadline(entry);
    }
    if (eviction_access_kind(policy) == ACCESS_FREQUENCY) {
        return 255 - access_frequency(keyspace->access, entry);
    }
    return access_idle_seconds(keyspace->access, entry);
}

/* ---- The pool: best candidate last ------------------------------------------------------------- */

static bool pool_has(const struct eviction_pool *pool, const struct entry *entry) {
    for (uint32_t i = 0; i < pool->count; i++) {
        if (pool->at[i].entry == entry) {
            return true;
        }
    }
    return false;
}

static void pool_remove(struct eviction_pool *pool, uint32_t i) {
    pool->count--;
    memmove(&pool->at[i], &pool->at[i + 1], (pool->count - i) * sizeof pool->at[0]);
}

/* A full pool loses its worst. */
static void pool_add(struct eviction_pool *pool, const struct eviction_candidate *candidate) {
    if (pool->count == EVICTION_POOL && candidate->merit <= pool->at[0].merit) {
        return;
    }
    if (pool_has(pool, candidate->entry)) {
        return;
    }
    if (pool->count == EVICTION_POOL) {
        pool_remove(pool, 0);
    }
    uint32_t i = pool->count;
    for (; i > 0 && pool->at[i - 1].merit > candidate->merit; i--) {
        pool->at[i] = pool->at[i - 1];
    }
    pool->at[i] = *candidate;
    pool->count++;
}

/* Is it in the table still? Its address is all that may be used until this says so. The cell may be
 * another key's by now, which is as good a candidate if its merit says so. */
static bool is_there(struct keyspace *keyspace, enum eviction_policy policy,
                     const struct eviction_candidate *candidate) {
    struct database *database = database_at(keyspace, candidate->db);
    return database != NULL &&
           table_contains(table_of(database, policy), candidate->hash, candidate->entry);
}

/* The best that still deserves it, taken out; NULL: the pool is empty. */
static struct entry *pool_take(struct keyspace *keyspace, enum eviction_policy policy,
                               uint32_t *db) {
    struct eviction_pool *pool = &keyspace->pool;
    while (pool->count > 0) {
        const struct eviction_candidate *best = &pool->at[--pool->count];
        if (is_there(keyspace, policy, best) &&
            merit(keyspace, policy, best->entry) >= best->merit) {
            *db = best->db;
            return best->entry;
        }
    }
    return NULL;
}

/* ---- Samples ----------------------------------------------------------------------------------- */

static void consider(struct keyspace *keyspace, enum eviction_policy policy, uint32_t db,
                     struct entry *entry) {
    struct eviction_pool *pool = &keyspace->pool;
    struct bytes key = entry_key(entry);
    struct eviction_candidate candidate = {
        .entry = entry, .db = db, .merit = merit(keyspace, policy, entry)};
    if (pool->count == EVICTION_POOL && candidate.merit <= pool->at[0].merit) {
        return;
    }
    candidate.hash = hash_bytes(keyspace->hash_seed, key.at, key.len);
    pool_add(pool, &candidate);
}

static uint32_t sample_bucket(struct keyspace *keyspace, enum eviction_policy policy, uint32_t db,
                              const struct bucket *bucket) {
    uint32_t seen = 0;
    for (const struct bucket *at = bucket; at != NULL; at = bucket_next(at)) {
        bucket_prefetch_entries(at);
    }
    for (; bucket != NULL; bucket = bucket_next(bucket)) {
        for (uint32_t i = 0; i < bucket_count_used(bucket); i++, seen++) {
            consider(keyspace, policy, db, bucket_slot(bucket, i));
        }
    }
    return seen;
}

static void sample(struct keyspace *keyspace, enum eviction_policy policy, uint32_t samples) {
    uint32_t seen = 0, empty = 0;
    while (seen < samples && empty < EMPTY_BUCKETS_MAX) {
        uint32_t db = random_database(keyspace, policy);
        const struct table *table = table_of(database_at(keyspace, db), policy);
        uint64_t index = random_below(&keyspace->random, table->bucket_count);
        uint32_t found = sample_bucket(keyspace, policy, db, table_bucket_at(table, index));
        empty = found > 0 ? 0 : empty + 1;
        seen += found;
    }
}

static struct entry *random_victim(struct keyspace *keyspace, enum eviction_policy policy,
                                   uint32_t *db) {
    *db = random_database(keyspace, policy);
    return table_random(table_of(database_at(keyspace, *db), policy), &keyspace->random);
}

struct entry *keyspace_victim(struct keyspace *keyspace, enum eviction_policy policy,
                              uint32_t samples, uint32_t *db) {
    if (keyspace_candidates(keyspace, policy) == 0) {
        return NULL;
    }
    if (is_random(policy)) {
        return random_victim(keyspace, policy, db);
    }
    if (keyspace->pool.policy != (uint32_t)policy) { /* merits of another kind */
        keyspace->pool = (struct eviction_pool){.policy = (uint32_t)policy};
    }
    sample(keyspace, policy, samples);
    struct entry *victim = pool_take(keyspace, policy, db);
    return victim != NULL ? victim : random_victim(keyspace, policy, db);
}
