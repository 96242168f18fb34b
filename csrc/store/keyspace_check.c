/* The invariants of a keyspace, for debug builds and tests. */
#include "base/assert.h"
#include "store/database.h"
#include "store/hash_fields.h"

struct entry_tally {
    const struct database *database;
    uint64_t with_deadline, expiring, outside, outside_bytes;
};

/* C1 of store/checkpoint.h. */
static void check_mark(const struct database *database, const struct entry *entry) {
    bool differs = (entry->flags ^ *database->store.mark) & ENTRY_CHECK;
    KRT_ASSERT(database->checked || !differs);
}

static void check_entry(void *context, struct entry *entry) {
    struct entry_tally *tally = context;
    struct bytes key = entry_key(entry);
    check_mark(tally->database, entry);
    uint64_t hash = hash_bytes(tally->database->keys.hash_seed, key.at, key.len);
    KRT_ASSERT(table_find(&tally->database->keys, hash, key) == entry);
    KRT_ASSERT(table_contains(&tally->database->deadlines, hash, entry) ==
               entry_has_deadline(entry));
    tally->with_deadline += entry_has_deadline(entry);
    KRT_ASSERT(table_contains(&tally->database->expiring, hash, entry) == entry_is_expiring(entry));
    tally->expiring += entry_is_expiring(entry);
    if (entry_type(entry) == VALUE_HASH) {
        struct collection_view view = view_of(entry);
        fields_check(&view);
    }
    tally->outside += (entry->flags & (ENTRY_POINTER | ENTRY_OUTSIDE)) != 0;
    tally->outside_bytes += entry_outside_bytes(entry);
}

static struct entry_tally check_database(const struct database *database) {
    struct entry_tally tally = {.database = database};
    table_check(&database->keys);
    table_check(&database->deadlines);
    table_check(&database->expiring);
    slab_heap_check(database->store.heap);
    table_walk(&database->keys, check_entry, &tally);
    KRT_ASSERT(tally.with_deadline == database->deadlines.count);
    KRT_ASSERT(tally.expiring == database->expiring.count);
    KRT_ASSERT(tally.outside == database->store.outside_count);
    KRT_ASSERT(tally.outside_bytes == database->store.outside_bytes);
    return tally;
}

void keyspace_check(const struct keyspace *keyspace) {
    uint64_t deadlines = 0, expiring = 0;
    for (uint32_t db = 0; db < 2 * keyspace->database_count; db++) {
        if (keyspace->databases[db] != NULL) {
            struct entry_tally tally = check_database(keyspace->databases[db]);
            KRT_ASSERT(keyspace->databases[db]->aside == (db >= keyspace->database_count));
            KRT_ASSERT(!keyspace->databases[db]->held);
            if (keyspace->databases[db]->aside) {
                continue;
            }
            deadlines += tally.with_deadline;
            expiring += tally.expiring;
        }
    }
    KRT_ASSERT(deadlines == keyspace->deadline_count);
    KRT_ASSERT(expiring == keyspace->expiring_count);
}
