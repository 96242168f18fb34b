/* Walking the tables of what has a deadline. */
#include "base/assert.h"
#include "store/database.h"
#include "store/hash_fields.h"

enum { TTL_SAMPLES = 16 };

int64_t keyspace_average_ttl(struct keyspace *keyspace, uint32_t db, int64_t now_ms) {
    const struct database *database = database_at(keyspace, db);
    if (database == NULL || database->deadlines.count == 0) {
        return 0;
    }
    int64_t mean = 0;
    for (uint32_t i = 0; i < TTL_SAMPLES; i++) {
        int64_t deadline = entry_deadline(table_random(&database->deadlines, &keyspace->random));
        mean += deadline > now_ms ? (deadline - now_ms) / TTL_SAMPLES : 0;
    }
    return mean;
}

/* The order of a table_position makes deletions by `expire` safe and lets a round miss none of what
 * is due: it matters when all keys expire at once and the table shrinks under the walk. NULL: the end of the
 * table. */
static struct entry *step(const struct table *table, struct table_position *position) {
    struct entry *entry;
    while ((entry = table_position_step(table, position)) == NULL) {
        if (!table_position_advance(table, position)) {
            return NULL;
        }
    }
    return entry;
}

uint32_t keyspace_expire_step(struct keyspace *keyspace, uint32_t db, int64_t now_ms,
                              uint32_t limit, keyspace_expire *expire, void *context,
                              uint32_t *looked) {
    struct database *database = database_at(keyspace, db);
    uint32_t expired = 0;
    *looked = 0;
    if (database == NULL || database->deadlines.count == 0) {
        return 0;
    }
    while (*looked < limit) {
        struct entry *entry = step(&database->deadlines, &database->expiry);
        if (entry == NULL) {
            break;
        }
        ++*looked;
        if (entry_is_expired(entry, now_ms)) {
            expired++;
            expire(context, db, entry);
        }
    }
    return expired;
}

static bool has_due_field(const struct entry *entry, int64_t now_ms) {
    struct walk walk;
    struct collection_view view = view_of(entry);
    return fields_first_due(&view, now_ms, &walk);
}

/* To come by the entry once more: a hash that changes stays where it is in the table. */
static void step_back(struct table_position *position) {
    position->slot++;
}

uint32_t keyspace_fields_step(struct keyspace *keyspace, uint32_t db, int64_t now_ms,
                              uint32_t limit, keyspace_expire_fields *expire, void *context,
                              uint32_t *looked) {
    struct database *database = database_at(keyspace, db);
    uint32_t expired = 0;
    *looked = 0;
    if (database == NULL || database->expiring.count == 0) {
        return 0;
    }
    while (*looked < limit) {
        struct entry *entry = step(&database->expiring, &database->field_expiry);
        if (entry == NULL) {
            break;
        }
        ++*looked;
        if (!has_due_field(entry, now_ms)) {
            continue;
        }
        expired++;
        if (!expire(context, db, entry)) {
            step_back(&database->field_expiry);
            break;
        }
    }
    return expired;
}
