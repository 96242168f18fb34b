/* Keeping what changes since a checkpoint; where it begins, moves on and ends. Going back is rewind.c. */
#include "store/checkpoint.h"

#include "base/assert.h"
#include "store/checkpoint_buffer.h"

/* ---- Items ----------------------------------------------------------------------------------- */

static size_t item_bytes(uint32_t key_len, uint32_t value_len) {
    return (sizeof(struct checkpoint_item) + (size_t)key_len + value_len + 7) & ~(size_t)7;
}

struct checkpoint_item *checkpoint_next(struct checkpoint_walk *walk) {
    while (walk->buffer != NULL && walk->offset == walk->buffer->len) {
        walk->buffer = walk->buffer->next;
        walk->offset = 0;
    }
    if (walk->buffer == NULL) {
        return NULL;
    }
    struct checkpoint_item *item =
        (struct checkpoint_item *)(void *)(walk->buffer->at + walk->offset);
    walk->offset += item_bytes(item->key_len, item->value_len);
    return item;
}

uint32_t checkpoint_next_group(struct checkpoint_walk *walk,
                               struct checkpoint_item *items[CHECKPOINT_AHEAD]) {
    uint32_t count = 0;
    while (count < CHECKPOINT_AHEAD && (items[count] = checkpoint_next(walk)) != NULL) {
        table_prefetch_bucket(&items[count]->database->keys, items[count]->hash);
        count++;
    }
    for (uint32_t i = 0; i < count; i++) {
        table_prefetch_entries(&items[i]->database->keys, items[i]->hash);
    }
    return count;
}

static struct checkpoint_buffer *buffer_new(size_t capacity) {
    struct checkpoint_buffer *buffer = mem_alloc(NULL, sizeof *buffer + capacity);
    if (buffer != NULL) {
        *buffer = (struct checkpoint_buffer){.capacity = capacity};
    }
    return buffer;
}

/* Room at the end. NULL: no memory. */
static struct checkpoint_item *reserve(struct checkpoint_part *part, size_t bytes) {
    struct checkpoint_buffer *last = part->last;
    if (last == NULL || bytes > last->capacity - last->len) {
        size_t usual = CHECKPOINT_BUFFER_BYTES - sizeof *last;
        struct checkpoint_buffer *buffer = buffer_new(bytes > usual ? bytes : usual);
        if (buffer == NULL) {
            return NULL;
        }
        *(last != NULL ? &last->next : &part->first) = buffer;
        part->last = last = buffer;
    }
    return (struct checkpoint_item *)(void *)(last->at + last->len);
}

/* ---- Keeping --------------------------------------------------------------------------------- */

/* A pack is changed where it lies, wherever that is. */
static enum checkpoint_where where_of(const struct entry *entry) {
    if (entry_is_tree(entry)) {
        return CHECKPOINT_TREE;
    }
    bool shared = entry->flags & ENTRY_POINTER && entry_type(entry) == VALUE_STRING;
    return shared ? CHECKPOINT_BLOB : CHECKPOINT_HERE;
}

/* What lies outside of the item. False: no memory. */
static bool keep_outside(struct keyspace *keyspace, struct checkpoint_item *item,
                         const struct entry *entry) {
    if (item->where == CHECKPOINT_TREE) {
        item->collection = collection_copy(entry_collection(entry), &keyspace->nodes);
        if (item->collection == NULL) {
            return false;
        }
        item->outside_bytes = collection_bytes(item->collection);
    } else if (item->where == CHECKPOINT_BLOB) {
        item->blob = blob_get(entry_blob(entry));
        item->outside_bytes = sizeof *item->blob + item->blob->len;
    }
    atomic_add_relaxed(&keyspace->leaving_bytes, item->outside_bytes);
    return true;
}

static bool keep(struct checkpoint_part *part, struct database *database,
                 const struct entry *entry) {
    struct bytes key = entry_key(entry), value = {0};
    enum checkpoint_where where = where_of(entry);
    if (where == CHECKPOINT_HERE) {
        value = entry_string(entry);
    }
    size_t bytes = item_bytes(key.len, value.len);
    struct checkpoint_item *item = reserve(part, bytes);
    if (item == NULL) {
        return false;
    }
    *item = (struct checkpoint_item){
        .hash = hash_bytes(part->keyspace->hash_seed, key.at, key.len),
        .database = database,
        .deadline_ms = entry_deadline(entry),
        .key_len = key.len,
        .value_len = value.len,
        .access = access_field(entry),
        .type = entry->type,
        .forms = entry->flags & ENTRY_FORM,
        .where = (uint8_t)where,
    };
    if (!keep_outside(part->keyspace, item, entry)) {
        return false;
    }
    bytes_copy(item->key, key.at, key.len);
    bytes_copy(item->key + key.len, value.at, value.len);
    part->last->len += bytes;
    part->kept++;
    return true;
}

void checkpoint_keep(struct checkpoint_part *part, struct database *database, struct entry *entry) {
    KRT_ASSERT(part != NULL && database->checked); /* C1 */
    entry->flags ^= ENTRY_CHECK;
    if (!part->failed && !keep(part, database, entry)) {
        part->failed = true;
    }
}

void checkpoint_note_created(struct keyspace *keyspace, struct database *database, uint64_t hash,
                             struct bytes key) {
    struct checkpoint_part *part = keyspace->checkpoint;
    if (part->walks) {
        return;
    }
    size_t bytes = item_bytes(key.len, 0);
    struct checkpoint_item *item =
        part->created < CHECKPOINT_CREATED_MAX ? reserve(part, bytes) : NULL;
    if (item == NULL) {
        part->walks = true;
        return;
    }
    *item = (struct checkpoint_item){
        .hash = hash, .database = database, .key_len = key.len, .where = CHECKPOINT_CREATED};
    bytes_copy(item->key, key.at, key.len);
    part->last->len += bytes;
    part->created++;
}

/* ---- Letting go of what was kept --------------------------------------------------------------- */

static void release(struct keyspace *keyspace, struct checkpoint_item *item) {
    atomic_sub_relaxed(&keyspace->leaving_bytes, item->outside_bytes);
    if (item->where == CHECKPOINT_BLOB) {
        blob_put(item->blob);
    } else if (item->where == CHECKPOINT_TREE) {
        collection_let_go(item->collection, &keyspace->nodes);
    }
    item->outside_bytes = 0;
    item->where = CHECKPOINT_EMPTY;
}

static void release_all(struct checkpoint_part *part) {
    struct checkpoint_walk walk = {.buffer = part->first};
    for (struct checkpoint_item *item; (item = checkpoint_next(&walk)) != NULL;) {
        if (item->where == CHECKPOINT_BLOB || item->where == CHECKPOINT_TREE) {
            release(part->keyspace, item);
        }
    }
}

static void free_buffers(struct checkpoint_buffer *buffer) {
    for (struct checkpoint_buffer *next; buffer != NULL; buffer = next) {
        next = buffer->next;
        mem_free(NULL, buffer);
    }
}

/* The first buffer is used again, if it is of the usual size. */
void checkpoint_clear(struct checkpoint_part *part) {
    struct checkpoint_buffer *first = part->first;
    release_all(part);
    if (first != NULL && sizeof *first + first->capacity == CHECKPOINT_BUFFER_BYTES) {
        free_buffers(first->next);
        first->next = NULL;
        first->len = 0;
    } else {
        free_buffers(first);
        first = NULL;
    }
    part->first = part->last = first;
    part->kept = part->created = 0;
    part->failed = part->walks = false;
}

/* ---- Where it begins, moves on and ends -------------------------------------------------------- */

struct checkpoint_part *checkpoint_new(struct keyspace *keyspace) {
    struct checkpoint_part *part = mem_calloc(NULL, sizeof *part);
    if (part == NULL) {
        return NULL;
    }
    part->keyspace = keyspace;
    part->databases = mem_calloc(NULL, keyspace->database_count * sizeof *part->databases);
    if (part->databases == NULL) {
        mem_free(NULL, part);
        return NULL;
    }
    return part;
}

void checkpoint_free(struct checkpoint_part *part) {
    if (part != NULL) {
        free_buffers(part->first);
        mem_free(NULL, part->databases);
        mem_free(NULL, part);
    }
}

/* What is served now is of the checkpoint. */
static void adopt(struct checkpoint_part *part) {
    struct keyspace *keyspace = part->keyspace;
    for (uint32_t db = 0; db < keyspace->database_count; db++) {
        struct database *database = part->databases[db] = keyspace->databases[db];
        if (database != NULL) {
            database->checked = true;
            database->check_db = db;
        }
    }
}

void checkpoint_begin(struct checkpoint_part *part) {
    struct keyspace *keyspace = part->keyspace;
    KRT_ASSERT(keyspace->checkpoint == NULL);
    keyspace->checkpoint = part;
    keyspace->mark ^= ENTRY_CHECK;
    adopt(part);
}

static void mark_unchanged(void *context, struct entry *entry) {
    const struct keyspace *keyspace = context;
    if (!is_unchanged(keyspace, entry)) {
        entry->flags ^= ENTRY_CHECK;
    }
}

static void mark_database(struct keyspace *keyspace, const struct database *database) {
    if (database != NULL && (!database->checked || keyspace->checkpoint->walks)) {
        table_walk(&database->keys, mark_unchanged, keyspace);
    }
}

/* All that is served has the mark of what has not changed. */
static void mark_all(struct checkpoint_part *part) {
    struct keyspace *keyspace = part->keyspace;
    struct checkpoint_walk walk = {.buffer = part->first};
    for (uint32_t db = 0; db < keyspace->database_count; db++) {
        mark_database(keyspace, keyspace->databases[db]);
    }
    for (struct checkpoint_item *item; (item = checkpoint_next(&walk)) != NULL;) {
        struct entry *entry = table_find(&item->database->keys, item->hash, item_key(item));
        if (entry != NULL) {
            mark_unchanged(keyspace, entry);
        }
    }
}

static void let_go_of_held(struct checkpoint_part *part, struct garbage_taker *taker) {
    for (uint32_t db = 0; db < part->keyspace->database_count; db++) {
        struct database *held = checkpoint_held(part, db);
        if (held != NULL) {
            part->databases[db] = NULL;
            garbage_give(taker, database_let_go(part->keyspace, held));
        }
    }
}

/* What could not be kept could not be found by its item either. */
void checkpoint_renew(struct checkpoint_part *part, struct garbage_taker *taker) {
    part->walks |= part->failed;
    mark_all(part);
    checkpoint_clear(part);
    let_go_of_held(part, taker);
    adopt(part);
}

void checkpoint_end(struct checkpoint_part *part, struct garbage_taker *taker) {
    struct keyspace *keyspace = part->keyspace;
    checkpoint_renew(part, taker);
    for (uint32_t db = 0; db < keyspace->database_count; db++) {
        if (part->databases[db] != NULL) {
            part->databases[db]->checked = false;
        }
    }
    keyspace->mark ^= ENTRY_CHECK;
    keyspace->checkpoint = NULL;
    checkpoint_free(part);
}

void checkpoint_deinit(struct checkpoint_part *part) {
    if (part == NULL) {
        return;
    }
    struct checkpoint_walk walk = {.buffer = part->first};
    for (struct checkpoint_item *item; (item = checkpoint_next(&walk)) != NULL;) {
        if (item->where == CHECKPOINT_BLOB) {
            blob_put(item->blob);
        } else if (item->where == CHECKPOINT_TREE) {
            collection_free(item->collection);
        }
    }
    for (uint32_t db = 0; db < part->keyspace->database_count; db++) {
        database_free(checkpoint_held(part, db));
    }
    checkpoint_free(part);
}

/* ---- Asking ------------------------------------------------------------------------------------ */

struct database *checkpoint_held(const struct checkpoint_part *part, uint32_t db) {
    struct database *database = part->databases[db];
    return database != NULL && database->held ? database : NULL;
}

bool checkpoint_has_failed(const struct checkpoint_part *part) {
    return part->failed;
}

bool checkpoint_is_replaced(const struct checkpoint_part *part, uint32_t db) {
    struct database *now = part->keyspace->databases[db], *then = part->databases[db];
    return now != then || (part->walks && now != NULL);
}

bool checkpoint_is_clean(const struct checkpoint_part *part) {
    bool clean = part->kept + part->created == 0 && !part->failed && !part->walks;
    for (uint32_t db = 0; clean && db < part->keyspace->database_count; db++) {
        clean = !checkpoint_is_replaced(part, db);
    }
    return clean;
}

uint64_t checkpoint_changes(const struct checkpoint_part *part) {
    return part->kept + part->created;
}
