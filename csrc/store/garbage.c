/* Letting go of a whole database.
 *
 * Detaching takes the pointer out of the keyspace: O(1), under the baton. So does installing what was prepared aside. Freeing needs no baton:
 * the heap, the tables and the entries belong to whoever has the garbage; accounts and counts of
 * blobs are atomic. Slab regions go back whole; only if some entry has a blob or was too large for
 * the slab are the entries looked at. What is frozen is not freed before it is thawed.
 */
#include "base/assert.h"
#include "store/database.h"

static void free_detached(struct garbage *garbage) {
    database_free((struct database *)garbage);
}

struct garbage *database_let_go(struct keyspace *keyspace, struct database *database) {
    database_close(keyspace, database);
    database->leaving_bytes = &keyspace->leaving_bytes;
    atomic_add_relaxed(database->leaving_bytes, database->store.outside_bytes);
    database->garbage = (struct garbage){.free = free_detached};
    if (keyspace->nodes.frozen != 0) {
        node_heap_let_go(&keyspace->nodes, &database->garbage);
        return NULL;
    }
    return &database->garbage;
}

/* With `database` out of the keyspace's reach. A checkpoint keeps its own. */
static struct garbage *let_go(struct keyspace *keyspace, struct database *database) {
    if (KRT_LIKELY(!database->checked)) {
        return database_let_go(keyspace, database);
    }
    database_close(keyspace, database);
    database_enlist(keyspace, database, true);
    database->held = true;
    return NULL;
}

struct garbage *keyspace_detach(struct keyspace *keyspace, uint32_t db) {
    struct database *database = database_at(keyspace, db);
    if (database == NULL || database->keys.count == 0) {
        return NULL;
    }
    keyspace->databases[db] = NULL;
    return let_go(keyspace, database);
}

struct garbage *keyspace_discard(struct keyspace *keyspace, uint32_t db) {
    struct database *database = database_at(keyspace, keyspace->database_count + db);
    keyspace->databases[keyspace->database_count + db] = NULL;
    return database != NULL ? let_go(keyspace, database) : NULL;
}

struct garbage *keyspace_install(struct keyspace *keyspace, uint32_t db) {
    struct database *old = database_at(keyspace, db);
    struct database *new = database_at(keyspace, keyspace->database_count + db);
    keyspace->databases[db] = new;
    keyspace->databases[keyspace->database_count + db] = NULL;
    if (new != NULL) {
        database_close(keyspace, new);
        database_enlist(keyspace, new, false);
    }
    return old != NULL ? let_go(keyspace, old) : NULL;
}

static void free_outside(void *context, struct entry *entry) {
    struct database *database = context;
    struct entry_store *store = &database->store;
    uint64_t before = store->outside_bytes;
    store->outside_count -= entry_free_outside(entry, store);
    if (database->leaving_bytes != NULL) {
        atomic_sub_relaxed(database->leaving_bytes, before - store->outside_bytes);
    }
}

void database_free(struct database *database) {
    if (database == NULL) {
        return;
    }
    if (database->store.outside_count > 0) {
        table_walk(&database->keys, free_outside, database);
    }
    KRT_ASSERT(database->store.outside_count == 0 && database->store.outside_bytes == 0);
    table_deinit(&database->keys);
    table_deinit(&database->deadlines);
    table_deinit(&database->expiring);
    slab_heap_free(database->store.heap);
    mem_free(database->store.account, database);
}
