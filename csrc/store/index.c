/* The tables beside that of all keys: entries with a deadline, and hashes with fields that have one. */
#include "base/assert.h"
#include "store/database.h"

/* What is aside is not counted. */
static uint64_t *count_of(uint64_t *count, const struct database *database) {
    return database->aside ? NULL : count;
}

static bool enter(struct table *table, uint64_t *count, uint64_t hash, struct entry *entry) {
    bool done = table_insert(table, hash, entry);
    if (count != NULL) {
        *count += done;
    }
    return done;
}

static void leave(struct table *table, uint64_t *count, uint64_t hash, const struct entry *entry) {
    table_remove(table, hash, entry);
    if (count != NULL) {
        --*count;
    }
}

void index_remove(struct keyspace *keyspace, struct database *database, uint64_t hash,
                  const struct entry *entry) {
    if (entry_has_deadline(entry)) {
        leave(&database->deadlines, count_of(&keyspace->deadline_count, database), hash, entry);
    }
    if (entry_is_expiring(entry)) {
        leave(&database->expiring, count_of(&keyspace->expiring_count, database), hash, entry);
    }
}

/* Where it is to be and the other one, if there is one, is not. */
static bool enter_new(struct keyspace *keyspace, struct database *database, uint64_t hash,
                      const struct entry *old, struct entry *entry) {
    bool timed = entry_has_deadline(entry) && (old == NULL || !entry_has_deadline(old));
    bool expiring = entry_is_expiring(entry) && (old == NULL || !entry_is_expiring(old));
    if (timed &&
        !enter(&database->deadlines, count_of(&keyspace->deadline_count, database), hash, entry)) {
        return false;
    }
    if (!expiring ||
        enter(&database->expiring, count_of(&keyspace->expiring_count, database), hash, entry)) {
        return true;
    }
    if (timed) {
        leave(&database->deadlines, count_of(&keyspace->deadline_count, database), hash, entry);
    }
    return false;
}

bool index_insert(struct keyspace *keyspace, struct database *database, uint64_t hash,
                  struct entry *entry) {
    return enter_new(keyspace, database, hash, NULL, entry);
}

bool index_exchange(struct keyspace *keyspace, struct database *database, uint64_t hash,
                    const struct entry *old, struct entry *entry) {
    if (!enter_new(keyspace, database, hash, old, entry)) {
        return false;
    }
    if (entry_has_deadline(old) && entry_has_deadline(entry)) {
        table_replace(&database->deadlines, hash, old, entry);
    } else if (entry_has_deadline(old)) {
        leave(&database->deadlines, count_of(&keyspace->deadline_count, database), hash, old);
    }
    if (entry_is_expiring(old) && entry_is_expiring(entry)) {
        table_replace(&database->expiring, hash, old, entry);
    } else if (entry_is_expiring(old)) {
        leave(&database->expiring, count_of(&keyspace->expiring_count, database), hash, old);
    }
    return true;
}

void index_expires_no_more(struct keyspace *keyspace, struct database *database, uint64_t hash,
                           const struct entry *entry) {
    KRT_DCHECK(!entry_is_expiring(entry));
    leave(&database->expiring, count_of(&keyspace->expiring_count, database), hash, entry);
}

bool keyspace_mark_expiring(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                            struct entry *entry, bool expires) {
    struct database *database = database_at(keyspace, db);
    uint8_t old_type = entry->type;
    if (entry_is_expiring(entry) == expires) {
        return true;
    }
    database_preserve(keyspace, database, entry);
    entry->type ^= FORM_EXPIRES;
    if (!expires) {
        index_expires_no_more(keyspace, database, hash, entry);
        return true;
    }
    if (enter(&database->expiring, count_of(&keyspace->expiring_count, database), hash, entry)) {
        return true;
    }
    entry->type = old_type;
    return false;
}
