/* Moving and copying entries: the new one is made, then put in its place, then the old one goes. The first
 * two can fail, and leave no trace then; the last cannot. */
#include "store/transfer.h"

#include "base/assert.h"
#include "store/collection.h"
#include "store/database.h"

struct entry *keyspace_copy_entry(const struct entry *entry, const struct entry_place *to,
                                  struct entry *found) {
    KRT_DCHECK(entry != found);
    struct database *database = database_open(to->keyspace, to->db);
    if (database == NULL) {
        return NULL;
    }
    struct entry *copy = entry_duplicate(entry, &database->store, to->key, entry_deadline(entry));
    if (copy != NULL && !database_put(to->keyspace, database, to->hash, found, copy)) {
        entry_free(copy, &database->store);
        return NULL;
    }
    return copy;
}

/* Nodes are stamped with the epoch of the heap that made them: both are frozen at once, or neither. */
static bool have_one_epoch(const struct keyspace *a, const struct keyspace *b) {
    return a->nodes.epoch == b->nodes.epoch && a->nodes.frozen == b->nodes.frozen;
}

static void recharge(const struct entry *entry, struct keyspace *keyspace) {
    if (entry_is_tree(entry)) {
        collection_recharge(entry_collection(entry), &keyspace->nodes);
    } else if (entry->flags & ENTRY_POINTER) {
        blob_recharge(entry_blob(entry), &keyspace->account);
    }
}

struct entry *keyspace_move_entry(const struct entry_place *from, struct entry *entry,
                                  const struct entry_place *to, struct entry *found) {
    KRT_DCHECK(entry != found);
    struct database *source = database_at(from->keyspace, from->db);
    struct database *target = database_open(to->keyspace, to->db);
    if (target == NULL) {
        return NULL;
    }
    struct entry *moved = entry_copy_as(entry, &target->store, to->key, entry_deadline(entry));
    if (moved == NULL) {
        return NULL;
    }
    if (!database_put(to->keyspace, target, to->hash, found, moved)) {
        entry_discard_copy(moved, entry, &target->store);
        return NULL;
    }
    KRT_ASSERT(have_one_epoch(from->keyspace, to->keyspace));
    database_take(from->keyspace, source, from->hash, entry);
    entry_drop(entry, &source->store);
    recharge(moved, to->keyspace);
    return moved;
}
