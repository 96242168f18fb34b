/* Going back to a checkpoint.
 *
 * prepare makes an entry for each key that needs one, and puts it into the tables where the key is missing; beside the entry
 * that is there it is in those of deadlines and of expiring hashes only. All of that can be taken out again. commit puts the databases in
 * their places, then exchanges entries and deletes what is new, for which no memory is needed. What was put back has the mark of what
 * has not changed, which is how new keys are told from it.
 */
#include "base/assert.h"
#include "store/checkpoint.h"
#include "store/checkpoint_buffer.h"

/* ---- What may fail ------------------------------------------------------------------------------ */

/* Into the entry that is there. */
static bool goes_into(const struct checkpoint_item *item, const struct entry *found) {
    if (found == NULL || item->where != CHECKPOINT_HERE || entry_is_tree(found)) {
        return false;
    }
    return !((item->type | found->type) & FORM_EXPIRES) &&
           entry_has_room(found, item->value_len, item->deadline_ms != 0);
}

static struct entry *entry_of(const struct checkpoint_item *item) {
    struct entry_store *store = &item->database->store;
    if (item->where == CHECKPOINT_TREE) {
        return entry_new_collection(store, item_key(item), item->type, item->collection,
                                    item->deadline_ms);
    }
    return entry_new_string(store, item_key(item), item_value(item), item->deadline_ms);
}

/* The collection stays the item's until commit. */
static void discard(const struct checkpoint_item *item) {
    if (item->where == CHECKPOINT_TREE) {
        entry_drop(item->entry, &item->database->store);
    } else {
        entry_free(item->entry, &item->database->store);
    }
}

static bool enter(struct keyspace *keyspace, const struct checkpoint_item *item) {
    struct database *database = item->database;
    if (!index_insert(keyspace, database, item->hash, item->entry)) {
        return false;
    }
    if (item->found != NULL || table_insert(&database->keys, item->hash, item->entry)) {
        return true;
    }
    index_remove(keyspace, database, item->hash, item->entry);
    return false;
}

static bool prepare(struct keyspace *keyspace, struct checkpoint_item *item) {
    item->found = table_find(&item->database->keys, item->hash, item_key(item));
    item->entry = NULL;
    if (goes_into(item, item->found)) {
        return true;
    }
    struct entry *entry = item->entry = entry_of(item);
    if (entry == NULL) {
        return false;
    }
    entry->type = item->type;
    entry->flags = (uint8_t)((entry->flags ^ ENTRY_CHECK) | item->forms);
    access_put(entry, item->access);
    if (enter(keyspace, item)) {
        return true;
    }
    discard(item);
    item->entry = NULL;
    return false;
}

static void abandon(struct keyspace *keyspace, struct checkpoint_item *item) {
    if (item->entry == NULL) {
        return;
    }
    index_remove(keyspace, item->database, item->hash, item->entry);
    if (item->found == NULL) {
        table_remove(&item->database->keys, item->hash, item->entry);
    }
    discard(item);
    item->entry = NULL;
}

void checkpoint_abandon(struct checkpoint_part *part) {
    struct checkpoint_walk walk = {.buffer = part->first};
    for (struct checkpoint_item *item; (item = checkpoint_next(&walk)) != NULL;) {
        abandon(part->keyspace, item);
    }
}

/* What prepare has not come to has no entry. */
bool checkpoint_prepare(struct checkpoint_part *part) {
    KRT_ASSERT(!part->failed);
    struct checkpoint_walk walk = {.buffer = part->first};
    struct checkpoint_item *items[CHECKPOINT_AHEAD];
    for (uint32_t count; (count = checkpoint_next_group(&walk, items)) > 0;) {
        for (uint32_t i = 0; i < count; i++) {
            if (items[i]->where != CHECKPOINT_CREATED && !prepare(part->keyspace, items[i])) {
                checkpoint_abandon(part);
                return false;
            }
        }
    }
    return true;
}

void checkpoint_show(struct checkpoint_part *part, uint32_t db, bool shown) {
    struct keyspace *keyspace = part->keyspace;
    struct database **aside = &keyspace->databases[keyspace->database_count + db];
    KRT_ASSERT((*aside == NULL) == (shown || part->databases[db] == NULL));
    *aside = shown ? part->databases[db] : NULL;
}

/* ---- What may not ------------------------------------------------------------------------------ */

/* None that is served and not of the checkpoint stays. */
static void give_up_others(struct keyspace *keyspace, struct garbage_taker *taker) {
    for (uint32_t db = 0; db < keyspace->database_count; db++) {
        struct database *database = keyspace->databases[db];
        if (database != NULL && !database->checked) {
            keyspace->databases[db] = NULL;
            garbage_give(taker, database_let_go(keyspace, database));
        }
    }
}

static void place(struct keyspace *keyspace, uint32_t db, struct database *database) {
    keyspace->databases[db] = database;
    if (database != NULL && database->held) {
        database->held = false;
        database_close(keyspace, database);
        database_enlist(keyspace, database, false);
    }
}

static void put_back(struct keyspace *keyspace, struct checkpoint_item *item) {
    struct database *database = item->database;
    if (item->found != NULL) {
        database_preserve(keyspace, database, item->found); /* of a snapshot */
    }
    if (item->entry == NULL) {
        entry_rewrite(item->found, item->type, item->forms, item_value(item), item->deadline_ms);
        item->found->flags ^= ENTRY_CHECK;
        access_put(item->found, item->access);
        return;
    }
    if (item->found != NULL) {
        index_remove(keyspace, database, item->hash, item->found);
        table_replace(&database->keys, item->hash, item->found, item->entry);
        entry_free(item->found, &database->store);
    }
    if (item->where == CHECKPOINT_TREE) {
        atomic_sub_relaxed(&keyspace->leaving_bytes, item->outside_bytes);
        item->outside_bytes = 0;
        item->where = CHECKPOINT_EMPTY;
    }
}

static void delete_new(struct keyspace *keyspace, struct database *database, uint64_t hash,
                       struct entry *entry) {
    if (entry != NULL && !is_unchanged(keyspace, entry)) {
        database_take(keyspace, database, hash, entry);
        entry_free(entry, &database->store);
    }
}

static void delete_all_new(struct keyspace *keyspace, struct database *database) {
    struct table_position position = TABLE_POSITION_START;
    if (database == NULL || database->keys.count == 0) {
        return;
    }
    do {
        for (struct entry *entry;
             (entry = table_position_step(&database->keys, &position)) != NULL;) {
            struct bytes key = entry_key(entry);
            uint64_t hash = hash_bytes(keyspace->hash_seed, key.at, key.len);
            delete_new(keyspace, database, hash, entry);
        }
    } while (database->keys.count > 0 && table_position_advance(&database->keys, &position));
}

static void delete_listed(struct keyspace *keyspace, const struct checkpoint_item *item) {
    struct database *database = item->database;
    struct entry *entry = table_find(&database->keys, item->hash, item_key(item));
    delete_new(keyspace, database, item->hash, entry);
}

static void put_back_all(struct checkpoint_part *part) {
    struct checkpoint_walk walk = {.buffer = part->first};
    for (struct checkpoint_item *item; (item = checkpoint_next(&walk)) != NULL;) {
        if (item->where != CHECKPOINT_CREATED) {
            put_back(part->keyspace, item);
        }
    }
}

static void delete_created(struct checkpoint_part *part) {
    struct checkpoint_walk walk = {.buffer = part->first};
    struct checkpoint_item *items[CHECKPOINT_AHEAD];
    if (part->walks) {
        for (uint32_t db = 0; db < part->keyspace->database_count; db++) {
            delete_all_new(part->keyspace, part->databases[db]);
        }
        return;
    }
    for (uint32_t count; part->created > 0 && (count = checkpoint_next_group(&walk, items)) > 0;) {
        for (uint32_t i = 0; i < count; i++) {
            if (items[i]->where == CHECKPOINT_CREATED) {
                delete_listed(part->keyspace, items[i]);
            }
        }
    }
}

void checkpoint_commit(struct checkpoint_part *part, struct garbage_taker *taker) {
    struct keyspace *keyspace = part->keyspace;
    give_up_others(keyspace, taker);
    for (uint32_t db = 0; db < keyspace->database_count; db++) {
        place(keyspace, db, part->databases[db]);
    }
    put_back_all(part);
    delete_created(part);
}

void checkpoint_walk(const struct checkpoint_part *part, checkpoint_visit *visit, void *context) {
    struct checkpoint_walk walk = {.buffer = part->first};
    for (struct checkpoint_item *item; (item = checkpoint_next(&walk)) != NULL;) {
        struct bytes key = item_key(item);
        const struct entry *entry = table_find(&item->database->keys, item->hash, key);
        visit(context, item->database->check_db, item->hash, key,
              entry != NULL ? (int)entry_type(entry) : -1);
    }
}
