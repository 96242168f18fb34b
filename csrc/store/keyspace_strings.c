/* Strings that are changed in place: in the entry or in its blob up to a megabyte, beyond in pages. */
#include "store/database.h"
#include "store/paged.h"

/* What fits no cell of an entry is made as a blob, so that it is copied once. */
static struct entry *set_grown(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                               struct bytes key, struct bytes old, uint32_t len,
                               struct entry *found) {
    char small[SLAB_MAX_BYTES];
    int64_t deadline_ms = found != NULL ? entry_deadline(found) : 0;
    if (len <= sizeof small) {
        bytes_copy(small, old.at, old.len);
        memset(small + old.len, 0, len - old.len);
        return keyspace_set_string(keyspace, db, hash, key, bytes_of(small, len), deadline_ms,
                                   found);
    }
    struct blob *blob = blob_copy_grown(&keyspace->account, old, len);
    if (blob == NULL) {
        return NULL;
    }
    struct entry *entry =
        keyspace_set_string(keyspace, db, hash, key, blob_bytes(blob), deadline_ms, found);
    blob_put(blob);
    return entry;
}

static struct collection *page_string(struct keyspace *keyspace, const struct entry *found,
                                      struct string_part part, uint32_t len) {
    struct bytes old = found != NULL ? entry_string(found) : (struct bytes){0};
    struct blob *base =
        old.flags & BYTES_BLOB ? blob_get(blob_of(old)) : blob_copy(&keyspace->account, old);
    if (base == NULL) {
        return NULL;
    }
    struct collection *paged = paged_new(&keyspace->nodes, base, base->len);
    blob_put(base);
    if (paged != NULL && !paged_open(paged, &keyspace->nodes, part, len)) {
        collection_free(paged);
        return NULL;
    }
    return paged;
}

static struct entry *open_paged(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                struct bytes key, struct string_part part, uint32_t len,
                                struct entry *found) {
    if (found != NULL && entry_is_tree(found)) {
        struct collection *paged = entry_collection(found);
        uint64_t before = collection_bytes(paged);
        bool opened = paged_open(paged, &keyspace->nodes, part, len);
        keyspace_count_outside(keyspace, db, (int64_t)(collection_bytes(paged) - before));
        return opened ? found : NULL;
    }
    struct collection *paged = page_string(keyspace, found, part, len);
    struct entry *entry = NULL;
    if (paged != NULL) {
        int64_t deadline_ms = found != NULL ? entry_deadline(found) : 0;
        entry = keyspace_set_collection(keyspace, db, hash, key, VALUE_STRING | FORM_TREE, paged,
                                        deadline_ms, found);
        if (entry == NULL) {
            collection_free(paged);
        }
    }
    return entry;
}

static struct entry *open_whole(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                struct bytes key, uint32_t len, struct entry *found) {
    struct bytes old = {.at = ""};
    if (found != NULL) {
        int grown = entry_grow_string(found, &database_at(keyspace, db)->store, len);
        if (grown < 0) {
            return NULL;
        }
        if (grown > 0) {
            return found;
        }
        old = entry_string(found);
    }
    return set_grown(keyspace, db, hash, key, old, len, found);
}

struct entry *keyspace_open_string(struct keyspace *keyspace, uint32_t db, uint64_t hash,
                                   struct bytes key, struct string_part part, uint32_t len,
                                   struct entry *found) {
    if (found != NULL) {
        keyspace_preserve(keyspace, db, found);
    }
    struct entry *entry = len > PAGED_BYTES_MIN
                              ? open_paged(keyspace, db, hash, key, part, len, found)
                              : open_whole(keyspace, db, hash, key, len, found);
    if (entry != NULL) {
        entry_mark_raw(entry);
    }
    return entry;
}

bool keyspace_join_string(struct keyspace *keyspace, uint32_t db, struct entry *entry) {
    return !entry_is_tree(entry) || entry_join_string(entry, &database_at(keyspace, db)->store);
}
