/* Databases and single keys.
 *
 * Every mutation that needs memory gets it first and then exchanges pointers, which cannot fail
 * (K4): the new entry, then its place in the deadline table, then its place among the keys.
 */
#include "store/keyspace.h"

#include "base/assert.h"
#include "store/checkpoint.h"
#include "store/collection.h"
#include "store/database.h"

/* ---- Databases ------------------------------------------------------------------------------- */

bool keyspace_init(struct keyspace *keyspace, uint32_t index, uint32_t database_count,
                   uint64_t seed, const struct hash_seed *hash_seed) {
    KRT_ASSERT(database_count > 0 && database_count <= KEYSPACE_DATABASES_MAX);
    *keyspace =
        (struct keyspace){.index = index, .database_count = database_count, .hash_seed = hash_seed};
    keyspace->access = &access_clock_none;
    node_heap_init(&keyspace->nodes, &keyspace->account, &keyspace->leaving_bytes);
    random_seed(&keyspace->random, seed);
    keyspace->databases =
        mem_calloc(&keyspace->account, 2 * database_count * sizeof *keyspace->databases);
    return keyspace->databases != NULL;
}

void keyspace_deinit(struct keyspace *keyspace) {
    if (keyspace->databases == NULL) {
        return;
    }
    checkpoint_deinit(keyspace->checkpoint);
    keyspace->checkpoint = NULL;
    for (uint32_t db = 0; db < 2 * keyspace->database_count; db++) {
        database_free(keyspace->databases[db]);
    }
    node_heap_deinit(&keyspace->nodes);
    mem_free(&keyspace->account, keyspace->databases);
    keyspace->databases = NULL;
    keyspace->open = keyspace->aside = NULL;
}

struct database *database_new(struct keyspace *keyspace) {
    struct database *database = mem_calloc(&keyspace->account, sizeof *database);
    if (database == NULL) {
        return NULL;
    }
    struct slab_heap *heap = slab_heap_new(&keyspace->page_account);
    database->expiry = database->field_expiry = TABLE_POSITION_START;
    database->store = (struct entry_store){.heap = heap,
                                           .account = &keyspace->account,
                                           .nodes = &keyspace->nodes,
                                           .access = keyspace->access,
                                           .mark = &keyspace->mark};
    table_init(&database->keys, heap, &keyspace->account, &keyspace->page_account,
               keyspace->hash_seed);
    table_init(&database->deadlines, heap, &keyspace->account, &keyspace->page_account,
               keyspace->hash_seed);
    table_init(&database->expiring, heap, &keyspace->account, &keyspace->page_account,
               keyspace->hash_seed);
    if (heap == NULL || !table_reserve(&database->keys)) {
        database_free(database);
        return NULL;
    }
    return database;
}

struct database *database_open(struct keyspace *keyspace, uint32_t db) {
    struct database *database = database_at(keyspace, db);
    if (KRT_LIKELY(database != NULL)) {
        return database;
    }
    database = keyspace->databases[db] = database_new(keyspace);
    if (database != NULL) {
        database_enlist(keyspace, database, db >= keyspace->database_count);
    }
    return database;
}

static struct database **list_of(struct keyspace *keyspace, bool aside) {
    return aside ? &keyspace->aside : &keyspace->open;
}

void database_enlist(struct keyspace *keyspace, struct database *database, bool aside) {
    struct database **list = list_of(keyspace, aside);
    database->aside = aside;
    database->prev_open = NULL;
    database->next_open = *list;
    if (*list != NULL) {
        (*list)->prev_open = database;
    }
    *list = database;
    if (!aside) {
        keyspace->deadline_count += database->deadlines.count;
        keyspace->expiring_count += database->expiring.count;
    }
}

void database_close(struct keyspace *keyspace, struct database *database) {
    struct database *next = database->next_open, *prev = database->prev_open;
    *(prev != NULL ? &prev->next_open : list_of(keyspace, database->aside)) = next;
    if (next != NULL) {
        next->prev_open = prev;
    }
    if (!database->aside) {
        KRT_ASSERT(keyspace->deadline_count >= database->deadlines.count);
        keyspace->deadline_count -= database->deadlines.count;
        KRT_ASSERT(keyspace->expiring_count >= database->expiring.count);
        keyspace->expiring_count -= database->expiring.count;
    }
}

void keyspace_swap(struct keyspace *keyspace, uint32_t a, uint32_t b) {
    KRT_DCHECK(a < keyspace->database_count && b < keyspace->database_count);
    struct database *first = database_at(keyspace, a);
    keyspace->databases[a] = database_at(keyspace, b);
    keyspace->databases[b] = first;
}

/* ---- Finding --------------------------------------------------------------------------------- */

void keyspace_prefetch_bucket(const struct keyspace *keyspace, uint32_t db, uint64_t hash) {
    const struct database *database = database_at(keyspace, db);
    if (KRT_LIKELY(database != NULL)) {
        table_prefetch_bucket(&database->keys, hash);
    }
}

void keyspace_prefetch_entry(const struct keyspace *keyspace, uint32_t db, uint64_t hash) {
    const struct database *database = database_at(keyspace, db);
    if (KRT_LIKELY(database != NULL)) {
        table_prefetch_entries(&database->keys, hash);
    }
}

static const struct collection *prefetch_value(const struct entry *entry) {
    if (entry_is_tree(entry)) {
        const struct collection *collection = entry_collection(entry);
        prefetch_line(collection->trees);
        prefetch_line(collection->trees + 1);
        return collection;
    }
    const char *end = (const char *)entry + ENTRY_HEADER_BYTES + entry->value_len;
    for (const char *at = (const char *)entry + 128; at < end; at += 64) { /* behind the two */
        prefetch_line(at);
    }
    return NULL;
}

const struct collection *keyspace_prefetch_value(const struct keyspace *keyspace, uint32_t db,
                                                 uint64_t hash) {
    const struct database *database = database_at(keyspace, db);
    if (database == NULL) {
        return NULL;
    }
    const struct bucket *bucket = table_bucket(&database->keys, hash);
    uint64_t match = bucket_match(bucket, hash_fingerprint(hash));
    return match != 0 ? prefetch_value(bucket_slot(bucket, bucket_match_slot(match))) : NULL;
}

struct entry *keyspace_find(const struct keyspace *keyspace, uint32_t db, uint64_t hash,
                            struct bytes key) {
    const struct database *database = database_at(keyspace, db);
    return KRT_LIKELY(database != NULL) ? table_find(&database->keys, hash, key) : NULL;
}

/* ---- Changing -------------------------------------------------------------------------------- */

/* Into all of its tables or none. */
static bool insert(struct keyspace *keyspace, struct database *database, uint64_t hash,
                   struct entry *entry) {
    if (!index_insert(keyspace, database, hash, entry)) {
        return false;
    }
    if (!table_insert(&database->keys, hash, entry)) {
        index_remove(keyspace, database, hash, entry);
        return false;
    }
    if (KRT_UNLIKELY(database->checked)) {
        checkpoint_note_created(keyspace, database, hash, entry_key(entry));
    }
    return true;
}

/* Puts `entry` where `old` is in all tables; false: no memory, nothing changed. */
static bool exchange(struct keyspace *keyspace, struct database *database, uint64_t hash,
                     const struct entry *old, struct entry *entry) {
    if (!index_exchange(keyspace, database, hash, old, entry)) {
        return false;
    }
    table_replace(&database->keys, hash, old, entry);
    return true;
}

/* The same for a new value of the key, of which the old entry is freed. */
static bool supersede(struct keyspace *keyspace, struct database *database, uint64_t hash,
                      struct entry *old, struct entry *entry) {
    database_preserve(keyspace, database, old);
    if (!exchange(keyspace, database, hash, old, entry)) {
        return false;
    }
    access_put(entry, access_field(old));
    access_renew(keyspace->access, entry);
    entry_free(old, &database->store);
    return true;
}

bool database_put(struct keyspace *keyspace, struct database *database, uint64_t hash,
                  struct entry *found, struct entry *entry) {
    if (found == NULL) {
        return insert(keyspace, database, hash, entry);
    }
    database_preserve(keyspace, database, found);
    if (!exchange(keyspace, database, hash, found, entry)) {
        return false;
    }
    entry_free(found, &database->store);
    return true;
}

void database_take(struct keyspace *keyspace, struct database *database, uint64_t hash,
                   struct entry *entry) {
    database_preserve(keyspace, database, entry);
    index_remove(keyspace, database, hash, entry);
    table_remove(&database->keys, hash, entry);
}

static struct entry *add_string(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                struct bytes key, struct bytes value, int64_t deadline_ms) {
    struct database *database = database_open(keyspace, db);
    if (database == NULL) {
        return NULL;
    }
    struct entry *entry = entry_new_string(&database->store, key, value, deadline_ms);
    if (entry != NULL && !insert(keyspace, database, hash, entry)) {
        entry_free(entry, &database->store);
        return NULL;
    }
    return entry;
}

struct entry *keyspace_set_string(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                  struct bytes key, struct bytes value, int64_t deadline_ms,
                                  struct entry *found) {
    if (found == NULL) {
        return add_string(keyspace, db, hash, key, value, deadline_ms);
    }
    struct database *database = database_at(keyspace, db);
    database_preserve(keyspace, database, found);
    int assigned = entry_assign_string(found, &database->store, value, deadline_ms);
    if (assigned != 0) {
        return assigned > 0 ? found : NULL;
    }
    struct entry *entry = entry_new_string(&database->store, key, value, deadline_ms);
    if (entry != NULL && !supersede(keyspace, database, hash, found, entry)) {
        entry_free(entry, &database->store);
        return NULL;
    }
    return entry;
}

/* Of any type, in the place of what is found. A value that stays what it was keeps its access. */
static struct entry *put_value(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                               struct entry *found, struct entry *entry) {
    struct database *database = database_at(keyspace, db);
    if (found == NULL) {
        return insert(keyspace, database, hash, entry) ? entry : NULL;
    }
    database_preserve(keyspace, database, found);
    if (!exchange(keyspace, database, hash, found, entry)) {
        return NULL;
    }
    access_put(entry, access_field(found));
    entry_free(found, &database->store);
    return entry;
}

static struct entry *put_pack(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                              struct bytes key, uint8_t type, struct bytes pack,
                              int64_t deadline_ms, struct entry *found) {
    struct entry_store *store = &database_at(keyspace, db)->store;
    struct entry *entry = entry_new_string(store, key, pack, deadline_ms);
    if (entry == NULL) {
        return NULL;
    }
    entry->type = type;
    if (put_value(keyspace, db, hash, found, entry) == NULL) {
        entry_free(entry, store);
        return NULL;
    }
    return entry;
}

/* Without memory: the pack is not longer than what is there, and needs no place in a table. */
static bool may_shrink(uint8_t type, struct bytes pack, const struct entry *found) {
    return pack.len <= entry_string(found).len && !(type & ~found->type & FORM_EXPIRES);
}

static struct entry *shrink_pack(struct keyspace *keyspace, struct database *database,
                                 uint64_t hash, uint8_t type, struct bytes pack,
                                 struct entry *found) {
    bool expired = found->type & ~type & FORM_EXPIRES;
    entry_shrink_pack(found, type, pack);
    if (expired) {
        index_expires_no_more(keyspace, database, hash, found);
    }
    return found;
}

struct entry *keyspace_set_pack(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                struct bytes key, uint8_t type, struct bytes pack,
                                int64_t deadline_ms, struct entry *found) {
    struct database *database = database_open(keyspace, db);
    if (database == NULL) {
        return NULL;
    }
    if (found != NULL) {
        database_preserve(keyspace, database, found);
    }
    bool same = found != NULL && entry_deadline(found) == deadline_ms && !entry_is_tree(found) &&
                entry_type(found) == (type & FORM_TYPE_MASK);
    bool stays = same && !((found->type ^ type) & FORM_EXPIRES);
    int assigned = stays ? entry_assign_pack(found, &database->store, type, pack) : 0;
    if (assigned > 0) {
        return found;
    }
    struct entry *entry =
        assigned == 0 ? put_pack(keyspace, db, hash, key, type, pack, deadline_ms, found) : NULL;
    if (entry == NULL && same && may_shrink(type, pack, found)) {
        return shrink_pack(keyspace, database, hash, type, pack, found);
    }
    return entry;
}

struct entry *keyspace_set_collection(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                      struct bytes key, uint8_t type, struct collection *collection,
                                      int64_t deadline_ms, struct entry *found) {
    struct database *database = database_open(keyspace, db);
    if (database == NULL) {
        return NULL;
    }
    struct entry *entry =
        entry_new_collection(&database->store, key, type, collection, deadline_ms);
    if (entry != NULL && put_value(keyspace, db, hash, found, entry) == NULL) {
        entry_drop(entry, &database->store);
        return NULL;
    }
    return entry;
}

void keyspace_count_outside(struct keyspace *keyspace, uint32_t db, int64_t bytes) {
    database_at(keyspace, db)->store.outside_bytes += (uint64_t)bytes;
}

struct entry *keyspace_set_deadline(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                    struct entry *entry, int64_t deadline_ms) {
    keyspace_preserve(keyspace, db, entry);
    if (entry_has_deadline(entry) == (deadline_ms != 0)) {
        if (deadline_ms != 0) {
            entry_put_deadline(entry, deadline_ms);
        }
        return entry;
    }
    struct database *database = database_at(keyspace, db);
    struct entry *copy = entry_copy_as(entry, &database->store, entry_key(entry), deadline_ms);
    if (copy == NULL) {
        return NULL;
    }
    if (!exchange(keyspace, database, hash, entry, copy)) {
        entry_discard_copy(copy, entry, &database->store);
        return NULL;
    }
    entry_drop(entry, &database->store);
    return copy;
}

void keyspace_delete(struct keyspace *keyspace, uint32_t db, uint64_t hash, struct entry *entry) {
    struct database *database = database_at(keyspace, db);
    database_take(keyspace, database, hash, entry);
    entry_free(entry, &database->store);
}

/* ---- Several keys or none -------------------------------------------------------------------- */

struct entry *keyspace_prepare_string(struct keyspace *keyspace, uint32_t db, struct bytes key,
                                      struct bytes value) {
    return entry_new_string(&database_at(keyspace, db)->store, key, value, 0);
}

void keyspace_commit(struct keyspace *keyspace, uint32_t db, uint64_t hash, struct entry *found,
                     struct entry *prepared) {
    KRT_DCHECK(!entry_has_deadline(prepared)); /* one would need a place in the deadline table */
    bool done = supersede(keyspace, database_at(keyspace, db), hash, found, prepared);
    KRT_ASSERT(done);
}

void keyspace_abandon(struct keyspace *keyspace, uint32_t db, struct entry *prepared) {
    entry_free(prepared, &database_at(keyspace, db)->store);
}

/* ---- Whole databases ------------------------------------------------------------------------- */

uint64_t keyspace_count(const struct keyspace *keyspace, uint32_t db) {
    const struct database *database = database_at(keyspace, db);
    return database != NULL ? database->keys.count : 0;
}

uint64_t keyspace_count_all(const struct keyspace *keyspace) {
    uint64_t count = 0;
    for (const struct database *at = keyspace->open; at != NULL; at = at->next_open) {
        count += at->keys.count;
    }
    return count;
}

uint64_t keyspace_count_deadlines(const struct keyspace *keyspace, uint32_t db) {
    const struct database *database = database_at(keyspace, db);
    return database != NULL ? database->deadlines.count : 0;
}

uint64_t keyspace_count_expiring(const struct keyspace *keyspace, uint32_t db) {
    const struct database *database = database_at(keyspace, db);
    return database != NULL ? database->expiring.count : 0;
}

void keyspace_walk(struct keyspace *keyspace, uint32_t db, keyspace_visit *visit, void *context) {
    const struct database *database = database_at(keyspace, db);
    if (database != NULL) {
        table_walk(&database->keys, visit, context);
    }
}

uint64_t keyspace_scan(struct keyspace *keyspace, uint32_t db, uint64_t cursor,
                       keyspace_visit *visit, void *context) {
    const struct database *database = database_at(keyspace, db);
    return database != NULL ? table_scan(&database->keys, cursor, visit, context) : 0;
}

uint64_t keyspace_scan_measure(const struct keyspace *keyspace, uint32_t db, uint64_t cursor,
                               struct scan_budget *budget) {
    const struct database *database = database_at(keyspace, db);
    return database != NULL ? table_scan_measure(&database->keys, cursor, budget) : 0;
}

void keyspace_scan_fetch(const struct keyspace *keyspace, uint32_t db, uint64_t cursor,
                         uint64_t positions) {
    const struct database *database = database_at(keyspace, db);
    if (database != NULL) {
        table_scan_fetch(&database->keys, cursor, positions);
    }
}

struct entry *keyspace_random(struct keyspace *keyspace, uint32_t db) {
    const struct database *database = database_at(keyspace, db);
    return database != NULL ? table_random(&database->keys, &keyspace->random) : NULL;
}

static uint64_t tables_bytes(const struct database *database) {
    return table_used_bytes(&database->keys) + table_used_bytes(&database->deadlines) +
           table_used_bytes(&database->expiring);
}

/* The garbage's share is an estimate where blobs are shared, so it is taken off as far as there is something
 * to take off. */
static uint64_t account_bytes(const struct keyspace *keyspace) {
    uint64_t used = atomic_load_relaxed(&keyspace->account.used_bytes);
    uint64_t leaving = atomic_load_relaxed(&keyspace->leaving_bytes);
    for (const struct database *at = keyspace->aside; at != NULL; at = at->next_open) {
        leaving += at->store.outside_bytes + sizeof *at;
    }
    return used > leaving ? used - leaving : 0;
}

uint64_t keyspace_used_bytes(const struct keyspace *keyspace) {
    uint64_t used = account_bytes(keyspace);
    for (const struct database *at = keyspace->open; at != NULL; at = at->next_open) {
        used += slab_used_bytes(at->store.heap) + tables_bytes(at);
    }
    return used;
}

uint64_t keyspace_entry_bytes(const struct keyspace *keyspace) {
    uint64_t used = keyspace_used_bytes(keyspace);
    for (const struct database *at = keyspace->open; at != NULL; at = at->next_open) {
        used -= tables_bytes(at);
    }
    return used;
}

uint64_t keyspace_held_bytes(const struct keyspace *keyspace) {
    return atomic_load_relaxed(&keyspace->account.used_bytes) +
           atomic_load_relaxed(&keyspace->page_account.used_bytes);
}
