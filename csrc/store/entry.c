/* Making, changing and freeing entries. */
#include "store/entry.h"

#include <malloc.h>

#include "base/assert.h"
#include "store/access.h"
#include "store/paged.h"

static const char *const type_names[] = {
    [VALUE_STRING] = "string", [VALUE_LIST] = "list", [VALUE_SET] = "set",
    [VALUE_ZSET] = "zset",     [VALUE_HASH] = "hash", [VALUE_STREAM] = "stream",
};

const char *value_type_name(enum value_type type) {
    return type_names[type];
}

bool value_type_find(struct bytes name, enum value_type *type) {
    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++) {
        if (bytes_is(name, type_names[i])) {
            *type = (enum value_type)i;
            return true;
        }
    }
    return false;
}

/* The parts of an entry to be made. */
struct shape {
    struct bytes key;
    size_t bytes; /* all parts together */
    uint8_t flags;
};

static size_t bytes_without_value(struct bytes key, uint8_t flags) {
    size_t size = ENTRY_HEADER_BYTES + key.len + (key.len >= ENTRY_KEY_LONG ? 4 : 0);
    return size + (flags & ENTRY_DEADLINE) * 8u + (flags & ENTRY_POINTER) * 4u;
}

static uint8_t flag_outside(size_t bytes) {
    return bytes > SLAB_MAX_BYTES ? ENTRY_OUTSIDE : 0;
}

static struct shape shape_of_string(struct bytes key, uint32_t value_len, bool has_deadline) {
    struct shape shape = {.key = key, .flags = has_deadline ? ENTRY_DEADLINE : 0};
    shape.bytes = bytes_without_value(key, shape.flags) + value_len;
    if (shape.bytes > SLAB_MAX_BYTES) {
        shape.flags |= ENTRY_POINTER;
        shape.bytes = bytes_without_value(key, shape.flags);
        shape.flags |= flag_outside(shape.bytes);
    }
    return shape;
}

static size_t own_bytes(const struct entry *entry) {
    size_t size = ENTRY_HEADER_BYTES + entry_key_offset(entry) + entry_key_len(entry);
    return size + (entry->flags & ENTRY_POINTER ? 0 : entry->value_len);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static bool has_outside(const struct entry *entry) {
    return entry->flags & (ENTRY_POINTER | ENTRY_OUTSIDE);
}

static uint64_t cell_outside_bytes(const struct entry *entry) {
    return entry->flags & ENTRY_OUTSIDE ? malloc_usable_size((void *)(uintptr_t)entry) : 0;
}

static uint64_t blob_held_bytes(const struct blob *blob) {
    return malloc_usable_size((void *)(uintptr_t)blob);
}

static uint64_t pointed_bytes(const struct entry *entry) {
    return entry_is_tree(entry) ? collection_bytes(entry_collection(entry))
                                : blob_held_bytes(entry_blob(entry));
}

uint64_t entry_outside_bytes(const struct entry *entry) {
    uint64_t bytes = cell_outside_bytes(entry);
    return entry->flags & ENTRY_POINTER ? bytes + pointed_bytes(entry) : bytes;
}

/* With header and key; the caller fills deadline, pointer and value. */
static struct entry *allocate(struct entry_store *store, const struct shape *shape) {
    struct entry *entry = shape->flags & ENTRY_OUTSIDE ? mem_alloc(store->account, shape->bytes)
                                                       : slab_alloc(store->heap, shape->bytes);
    if (entry == NULL) {
        return NULL;
    }
    bool is_long = shape->key.len >= ENTRY_KEY_LONG;
    *entry = (struct entry){.flags = shape->flags | *store->mark,
                            .key_len = is_long ? ENTRY_KEY_LONG : (uint8_t)shape->key.len};
    access_put(entry, access_first(store->access));
    char *at = entry->tail + entry_key_offset(entry);
    if (is_long) {
        memcpy(at - sizeof shape->key.len, &shape->key.len, sizeof shape->key.len);
    }
    if (shape->key.len > 0) {
        bytes_copy(at, shape->key.at, shape->key.len);
    }
    store->outside_count += has_outside(entry);
    store->outside_bytes += cell_outside_bytes(entry);
    return entry;
}

void entry_drop(struct entry *entry, struct entry_store *store) {
    store->outside_count -= has_outside(entry);
    store->outside_bytes -= entry_outside_bytes(entry);
    if (entry->flags & ENTRY_OUTSIDE) {
        mem_free(store->account, entry);
    } else {
        slab_free(store->heap, entry);
    }
}

void entry_free(struct entry *entry, struct entry_store *store) {
    struct collection *collection = entry_is_tree(entry) ? entry_collection(entry) : NULL;
    struct blob *blob =
        collection == NULL && (entry->flags & ENTRY_POINTER) ? entry_blob(entry) : NULL;
    entry_drop(entry, store);
    if (blob != NULL) {
        blob_put(blob);
    } else if (collection != NULL) {
        collection_let_go(collection, store->nodes);
    }
}

bool entry_free_outside(struct entry *entry, struct entry_store *store) {
    if (!has_outside(entry)) {
        return false;
    }
    store->outside_bytes -= entry_outside_bytes(entry);
    if (entry_is_tree(entry)) {
        collection_free(entry_collection(entry));
    } else if (entry->flags & ENTRY_POINTER) {
        blob_put(entry_blob(entry));
    }
    if (entry->flags & ENTRY_OUTSIDE) {
        mem_free(store->account, entry);
    }
    return true;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static struct blob *blob_for(struct entry_store *store, struct bytes value) {
    return value.flags & BYTES_BLOB ? blob_get(blob_of(value)) : blob_copy(store->account, value);
}

static void write_pointer(struct entry *entry, struct entry_store *store, const void *value) {
    memcpy(entry_pointer_field(entry), &value, sizeof value);
    store->outside_bytes += pointed_bytes(entry);
}

/* Moves: the value may be the one that is there. */
static void write_inline(struct entry *entry, struct bytes value) {
    char *at = entry->tail + entry_key_offset(entry) + entry_key_len(entry);
    if (value.len > 0) {
        memmove(at, value.at, value.len);
    }
    entry->value_len = (uint16_t)value.len;
}

void entry_put_deadline(struct entry *entry, int64_t deadline_ms) {
    KRT_DCHECK(entry->flags & ENTRY_DEADLINE);
    memcpy(entry->tail, &deadline_ms, sizeof deadline_ms);
}

static void write_deadline(struct entry *entry, int64_t deadline_ms) {
    if (entry->flags & ENTRY_DEADLINE) {
        entry_put_deadline(entry, deadline_ms);
    }
}

struct entry *entry_new_string(struct entry_store *store, struct bytes key, struct bytes value,
                               int64_t deadline_ms) {
    struct shape shape = shape_of_string(key, value.len, deadline_ms != 0);
    struct blob *blob = NULL;
    if (shape.flags & ENTRY_POINTER) {
        blob = blob_for(store, value);
        if (blob == NULL) {
            return NULL;
        }
    }
    struct entry *entry = allocate(store, &shape);
    if (entry == NULL) {
        if (blob != NULL) {
            blob_put(blob);
        }
        return NULL;
    }
    write_deadline(entry, deadline_ms);
    if (blob != NULL) {
        write_pointer(entry, store, blob);
    } else {
        write_inline(entry, value);
    }
    return entry;
}

static bool assign_blob(struct entry *entry, struct entry_store *store, struct bytes value) {
    struct blob *old = entry_blob(entry);
    struct blob *blob = blob_for(store, value);
    if (blob == NULL) {
        return false;
    }
    store->outside_bytes -= blob_held_bytes(old);
    write_pointer(entry, store, blob);
    blob_put(old);
    return true;
}

/* Where its parts are, and into what is there already. */
static int assign(struct entry *entry, struct entry_store *store, struct bytes value,
                  bool has_deadline) {
    const uint8_t parts = ENTRY_DEADLINE | ENTRY_POINTER | ENTRY_OUTSIDE;
    struct shape shape = shape_of_string(entry_key(entry), value.len, has_deadline);
    if (shape.flags != (entry->flags & parts)) {
        return 0;
    }
    if (shape.flags & ENTRY_POINTER) {
        if (!assign_blob(entry, store, value)) {
            return -1;
        }
    } else if (slab_cell_bytes(shape.bytes) == slab_cell_bytes(own_bytes(entry))) {
        write_inline(entry, value);
    } else {
        return 0;
    }
    return 1;
}

int entry_assign_string(struct entry *entry, struct entry_store *store, struct bytes value,
                        int64_t deadline_ms) {
    int assigned = entry->type == VALUE_STRING ? assign(entry, store, value, deadline_ms != 0) : 0;
    if (assigned > 0) {
        entry->flags &= (uint8_t)~ENTRY_FORM;
        access_renew(store->access, entry);
        write_deadline(entry, deadline_ms);
    }
    return assigned;
}

int entry_assign_pack(struct entry *entry, struct entry_store *store, uint8_t type,
                      struct bytes pack) {
    if (entry_is_tree(entry) || entry_type(entry) != (type & FORM_TYPE_MASK)) {
        return 0;
    }
    int assigned = assign(entry, store, pack, entry->flags & ENTRY_DEADLINE);
    if (assigned > 0) {
        entry->type = type;
    }
    return assigned;
}

bool entry_has_room(const struct entry *entry, uint32_t value_len, bool has_deadline) {
    const uint8_t parts = ENTRY_DEADLINE | ENTRY_POINTER | ENTRY_OUTSIDE;
    struct shape shape = shape_of_string(entry_key(entry), value_len, has_deadline);
    if (shape.flags != (entry->flags & parts) || shape.flags & ENTRY_POINTER) {
        return false;
    }
    return slab_cell_bytes(shape.bytes) == slab_cell_bytes(own_bytes(entry));
}

void entry_rewrite(struct entry *entry, uint8_t type, uint8_t forms, struct bytes value,
                   int64_t deadline_ms) {
    KRT_DCHECK(entry_has_room(entry, value.len, deadline_ms != 0));
    entry->type = type;
    entry->flags = (uint8_t)((entry->flags & ~ENTRY_FORM) | forms);
    write_inline(entry, value);
    write_deadline(entry, deadline_ms);
}

/* Nobody else has the blob of a pack. */
void entry_shrink_pack(struct entry *entry, uint8_t type, struct bytes pack) {
    KRT_DCHECK(!entry_is_tree(entry) && pack.len <= entry_string(entry).len);
    entry->type = type;
    if (entry->flags & ENTRY_POINTER) {
        struct blob *blob = entry_blob(entry);
        memcpy(blob->data, pack.at, pack.len);
        blob->len = pack.len;
    } else {
        write_inline(entry, pack);
    }
}

/* A blob that a reply still refers to stays as it is. */
static int grow_blob(struct entry *entry, struct entry_store *store, uint32_t len) {
    struct blob *blob = entry_blob(entry);
    bool own = blob_is_own(blob);
    uint64_t before = blob_held_bytes(blob);
    struct blob *grown =
        own ? blob_grow(blob, len) : blob_copy_grown(store->account, blob_bytes(blob), len);
    if (grown == NULL) {
        return -1;
    }
    store->outside_bytes -= before;
    write_pointer(entry, store, grown);
    if (!own) {
        blob_put(blob);
    }
    return 1;
}

int entry_grow_string(struct entry *entry, struct entry_store *store, uint32_t len) {
    KRT_DCHECK(entry_type(entry) == VALUE_STRING && len >= entry_string(entry).len);
    if (entry->flags & ENTRY_POINTER) {
        return grow_blob(entry, store, len);
    }
    uint32_t more = len - entry->value_len;
    if (len > SLAB_MAX_BYTES || own_bytes(entry) + more > slab_cell_bytes(own_bytes(entry))) {
        return 0;
    }
    memset((char *)(uintptr_t)entry_string(entry).at + entry->value_len, 0, more);
    entry->value_len = (uint16_t)len;
    return 1;
}

bool entry_join_string(struct entry *entry, struct entry_store *store) {
    struct collection *paged = entry_collection(entry);
    struct blob *blob = paged_join(paged, store->account);
    if (blob == NULL) {
        return false;
    }
    store->outside_bytes -= collection_bytes(paged);
    entry->type = VALUE_STRING;
    write_pointer(entry, store, blob);
    collection_let_go(paged, store->nodes);
    return true;
}

static struct entry *new_around_pointer(struct entry_store *store, struct bytes key, uint8_t type,
                                        const void *value, int64_t deadline_ms) {
    struct shape shape = {.key = key, .flags = ENTRY_POINTER};
    shape.flags |= deadline_ms != 0 ? ENTRY_DEADLINE : 0;
    shape.bytes = bytes_without_value(shape.key, shape.flags);
    shape.flags |= flag_outside(shape.bytes);
    struct entry *entry = allocate(store, &shape);
    if (entry != NULL) {
        entry->type = type;
        write_pointer(entry, store, value);
        write_deadline(entry, deadline_ms);
    }
    return entry;
}

struct entry *entry_new_collection(struct entry_store *store, struct bytes key, uint8_t type,
                                   struct collection *collection, int64_t deadline_ms) {
    KRT_DCHECK(type & FORM_TREE);
    return new_around_pointer(store, key, type, collection, deadline_ms);
}

/* An inline value is copied, and moves into a blob when key and deadline make the entry outgrow its
 * cell. */
struct entry *entry_copy_as(const struct entry *entry, struct entry_store *store, struct bytes key,
                            int64_t deadline_ms) {
    struct entry *copy =
        entry->flags & ENTRY_POINTER
            ? new_around_pointer(store, key, entry->type, entry_blob(entry), deadline_ms)
            : entry_new_string(store, key, entry_string(entry), deadline_ms);
    if (copy != NULL) {
        copy->type = entry->type;
        copy->flags |= entry->flags & ENTRY_FORM;
        access_put(copy, access_field(entry));
    }
    return copy;
}

static struct entry *duplicate_collection(const struct entry *entry, struct entry_store *store,
                                          struct bytes key, int64_t deadline_ms) {
    struct collection *collection = collection_copy(entry_collection(entry), store->nodes);
    struct entry *copy = NULL;
    if (collection != NULL) {
        copy = entry_new_collection(store, key, entry->type, collection, deadline_ms);
        if (copy == NULL) {
            collection_free(collection);
        }
    }
    return copy;
}

struct entry *entry_duplicate(const struct entry *entry, struct entry_store *store,
                              struct bytes key, int64_t deadline_ms) {
    if (entry_is_tree(entry)) {
        return duplicate_collection(entry, store, key, deadline_ms);
    }
    struct bytes value = entry_string(entry);
    if (entry->type != VALUE_STRING) {
        value.flags = 0; /* packs are changed in place */
    }
    struct entry *copy = entry_new_string(store, key, value, deadline_ms);
    if (copy != NULL) {
        copy->type = entry->type;
        copy->flags |= entry->flags & ENTRY_FORM;
    }
    return copy;
}

void entry_discard_copy(struct entry *copy, const struct entry *original,
                        struct entry_store *store) {
    if (original->flags & ENTRY_POINTER) {
        entry_drop(copy, store);
    } else {
        entry_free(copy, store);
    }
}

uint64_t entry_bytes(const struct entry *entry) {
    uint64_t cell = entry->flags & ENTRY_OUTSIDE ? 0 : slab_cell_bytes(own_bytes(entry));
    return cell + entry_outside_bytes(entry);
}
