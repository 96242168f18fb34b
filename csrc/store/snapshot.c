#include "store/snapshot.h"

#include "base/assert.h"
#include "store/checkpoint.h"
#include "store/database.h"

/* ---- Items ----------------------------------------------------------------------------------- */

static size_t item_bytes(uint32_t key_len, uint32_t value_len) {
    return (sizeof(struct kept_item) + (size_t)key_len + value_len + 7) & ~(size_t)7;
}

struct bytes kept_value(const struct kept_item *item) {
    KRT_DCHECK(item->where != KEPT_FROZEN);
    return item->where == KEPT_BLOB ? blob_bytes(item->blob)
                                    : bytes_of(item->key + item->key_len, item->value_len);
}

struct kept_item *kept_next(struct kept_buffer *buffer, size_t *offset) {
    if (*offset == buffer->len) {
        return NULL;
    }
    struct kept_item *item = (struct kept_item *)(void *)(buffer->at + *offset);
    *offset += item_bytes(item->key_len, item->value_len);
    return item;
}

void kept_release(struct kept_item *item) {
    if (item->where == KEPT_BLOB) {
        blob_put(item->blob);
    } else if (item->where == KEPT_FROZEN) {
        collection_unfreeze(item->collection);
    }
}

void kept_buffer_free(struct kept_buffer *buffer, size_t offset) {
    for (struct kept_item *item; (item = kept_next(buffer, &offset)) != NULL;) {
        kept_release(item);
    }
    mem_free(NULL, buffer);
}

/* ---- Buffers --------------------------------------------------------------------------------- */

static void hand_over(struct snapshot_part *part) {
    struct kept_buffer *buffer = part->filling;
    part->filling = NULL;
    if (buffer != NULL) {
        part->taker->take(part->taker, buffer);
    }
}

/* Room at the end of the buffer. NULL: no memory. */
static struct kept_item *reserve(struct snapshot_part *part, size_t bytes) {
    struct kept_buffer *buffer = part->filling;
    if (buffer != NULL && bytes > buffer->capacity - buffer->len) {
        hand_over(part);
        buffer = NULL;
    }
    if (buffer == NULL) {
        size_t capacity = KEPT_BUFFER_BYTES - sizeof *buffer;
        capacity = bytes > capacity ? bytes : capacity;
        buffer = mem_alloc(NULL, sizeof *buffer + capacity);
        if (buffer == NULL) {
            return NULL;
        }
        *buffer = (struct kept_buffer){.capacity = capacity};
        part->filling = buffer;
    }
    return (struct kept_item *)(void *)(buffer->at + buffer->len);
}

/* ---- Keeping --------------------------------------------------------------------------------- */

/* A pack is changed where it lies, wherever that is. */
static enum kept_where where_of(const struct entry *entry) {
    if (entry_is_tree(entry)) {
        return KEPT_FROZEN;
    }
    bool shared = entry->flags & ENTRY_POINTER && entry_type(entry) == VALUE_STRING;
    return shared ? KEPT_BLOB : KEPT_HERE;
}

static bool keep(struct snapshot_part *part, uint32_t db, const struct entry *entry) {
    struct bytes key = entry_key(entry), value = {0};
    enum kept_where where = where_of(entry);
    if (where == KEPT_HERE) {
        value = entry_string(entry);
    }
    size_t bytes = item_bytes(key.len, value.len);
    struct kept_item *item = reserve(part, bytes);
    if (item == NULL) {
        return false;
    }
    *item = (struct kept_item){.deadline_ms = entry_deadline(entry),
                               .db = db,
                               .key_len = key.len,
                               .value_len = value.len,
                               .type = entry->type,
                               .where = (uint8_t)where};
    if (where == KEPT_FROZEN) {
        item->collection = collection_freeze(entry_collection(entry));
        if (item->collection == NULL) {
            return false;
        }
    } else if (where == KEPT_BLOB) {
        item->blob = blob_get(entry_blob(entry));
    }
    bytes_copy(item->key, key.at, key.len);
    bytes_copy(item->key + key.len, value.at, value.len);
    part->filling->len += bytes;
    part->kept++;
    return true;
}

static void keep_unsaved(struct keyspace *keyspace, const struct database *database,
                         struct entry *entry) {
    struct snapshot_part *part = keyspace->part;
    KRT_ASSERT(part != NULL); /* S1 */
    entry->flags ^= ENTRY_MARK;
    if (part->failed || database->cut_db == KEPT_NO_DB || atomic_load_relaxed(&part->taker->over)) {
        return;
    }
    if (!keep(part, database->cut_db, entry)) {
        part->failed = true;
        atomic_store_relaxed(&part->taker->over, KEPT_OVER_FAILED);
    }
}

static inline bool is_unsaved(const struct keyspace *keyspace, const struct entry *entry) {
    return (entry->flags ^ keyspace->mark) & ENTRY_MARK;
}

void database_keep(struct keyspace *keyspace, struct database *database, struct entry *entry) {
    if ((entry->flags ^ keyspace->mark) & ENTRY_CHECK) {
        checkpoint_keep(keyspace->checkpoint, database, entry);
    }
    if (is_unsaved(keyspace, entry)) {
        keep_unsaved(keyspace, database, entry);
    }
}

void keyspace_keep(struct keyspace *keyspace, uint32_t db, struct entry *entry) {
    database_keep(keyspace, database_at(keyspace, db), entry);
}

/* ---- The cut --------------------------------------------------------------------------------- */

static uint32_t count_list(const struct database *database) {
    uint32_t count = 0;
    for (; database != NULL; database = database->next_open) {
        count++;
    }
    return count;
}

bool snapshot_part_init(struct snapshot_part *part, struct keyspace *keyspace,
                        struct kept_taker *taker) {
    *part = (struct snapshot_part){.keyspace = keyspace, .taker = taker};
    part->room = count_list(keyspace->open) + count_list(keyspace->aside);
    part->databases = mem_calloc(NULL, (part->room + 1) * sizeof *part->databases);
    return part->databases != NULL;
}

void snapshot_part_deinit(struct snapshot_part *part) {
    if (part->filling != NULL) {
        kept_buffer_free(part->filling, 0);
    }
    mem_free(NULL, part->databases);
    *part = (struct snapshot_part){0};
}

static void add_database(struct snapshot_part *part, struct database *database, uint32_t db) {
    if (database == NULL) {
        return;
    }
    database->cut_db = db;
    if (database->keys.count == 0) {
        return;
    }
    KRT_ASSERT(part->count < part->room);
    part->databases[part->count++] = (struct kept_database){.database = database};
    if (db != KEPT_NO_DB) {
        part->keys += database->keys.count;
    }
}

/* In the order of their numbers. What is aside is gone over as well, so that its entries have the mark. */
void keyspace_cut(struct keyspace *keyspace, struct snapshot_part *part) {
    KRT_ASSERT(keyspace->part == NULL && part->keyspace == keyspace);
    for (uint32_t db = 0; db < 2 * keyspace->database_count; db++) {
        add_database(part, keyspace->databases[db],
                     db < keyspace->database_count ? db : KEPT_NO_DB);
    }
    for (uint32_t db = 0; keyspace->checkpoint != NULL && db < keyspace->database_count; db++) {
        add_database(part, checkpoint_held(keyspace->checkpoint, db), KEPT_NO_DB);
    }
    keyspace->mark ^= ENTRY_MARK;
    keyspace->part = part;
    node_heap_freeze(&keyspace->nodes);
}

void keyspace_thaw(struct keyspace *keyspace, struct garbage **waited) {
    KRT_ASSERT(keyspace->part != NULL && keyspace->part->at == keyspace->part->count);
    keyspace->part = NULL;
    node_heap_thaw_into(&keyspace->nodes, waited);
}

/* ---- The walk -------------------------------------------------------------------------------- */

struct visit {
    struct snapshot_part *part;
    const struct database *database;
};

static void visit_entry(void *context, struct entry *entry) {
    const struct visit *visit = context;
    if (is_unsaved(visit->part->keyspace, entry)) {
        keep_unsaved(visit->part->keyspace, visit->database, entry);
    }
}

/* Entries from memory ahead of the walk: they are what it waits for. */
static bool walk_database(struct snapshot_part *part, struct kept_database *at, uint32_t entries) {
    struct visit visit = {part, at->database};
    struct table *table = &at->database->keys;
    struct scan_budget budget = {.entries = entries, .positions = entries};
    if (table->count == 0) {
        return true;
    }
    uint64_t end = table_scan_measure(table, at->cursor, &budget);
    table_scan_fetch(table, at->cursor, entries - budget.positions);
    do {
        at->cursor = table_scan(table, at->cursor, visit_entry, &visit);
    } while (at->cursor != end);
    return at->cursor == 0;
}

bool snapshot_part_walk(struct snapshot_part *part, uint32_t entries) {
    if (part->at < part->count && walk_database(part, &part->databases[part->at], entries)) {
        part->at++;
    }
    if (part->at < part->count) {
        return false;
    }
    hand_over(part);
    return true;
}
