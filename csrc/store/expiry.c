/* Walking the deadline table. */
#include "base/assert.h"
#include "store/database.h"

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
 * is due: it matters when all keys expire at once and the table shrinks under the walk. */
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
        struct entry *entry = table_position_step(&database->deadlines, &database->expiry);
        if (entry == NULL) {
            if (!table_position_advance(&database->deadlines, &database->expiry)) {
                break;
            }
            continue;
        }
        ++*looked;
        if (entry_is_expired(entry, now_ms)) {
            expired++;
            expire(context, db, entry);
        }
    }
    return expired;
}
