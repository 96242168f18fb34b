/* The buffer, what stands around items, and items. */
#include "rdb/writer.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/version.h"
#include "rdb/writer_internal.h"
#include "store/hash_fields.h"

enum { CAPACITY_MIN = 256 };

/* ---- The buffer ------------------------------------------------------------------------------ */

void rdb_buffer_deinit(struct rdb_buffer *buffer) {
    mem_free(NULL, buffer->at);
    buffer->at = NULL;
    buffer->len = buffer->capacity = 0;
}

static bool spill(struct rdb_buffer *buffer) {
    if (!buffer->spill(buffer)) {
        buffer->failed = true;
        return false;
    }
    KRT_ASSERT(buffer->len == 0);
    return true;
}

static bool grow(struct rdb_buffer *buffer, size_t needed) {
    size_t capacity = buffer->capacity * 2;
    capacity = capacity < CAPACITY_MIN ? CAPACITY_MIN : capacity;
    capacity = capacity < needed ? needed : capacity;
    char *at = mem_realloc(NULL, buffer->at, capacity);
    if (at == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->at = at;
    buffer->capacity = capacity;
    return true;
}

char *rdb_reserve(struct rdb_buffer *buffer, size_t len) {
    if (KRT_UNLIKELY(buffer->failed)) {
        return NULL;
    }
    bool is_full = buffer->limit != 0 && buffer->len > 0 && buffer->len + len > buffer->limit;
    if (KRT_UNLIKELY(is_full) && !spill(buffer)) {
        return NULL;
    }
    size_t needed = buffer->len + len;
    if (KRT_UNLIKELY(needed > buffer->capacity || buffer->at == NULL) && !grow(buffer, needed)) {
        return NULL;
    }
    return buffer->at + buffer->len;
}

/* How much goes there at once: what is longer than all that is kept goes through in parts. */
static size_t part_of(const struct rdb_buffer *buffer, size_t len) {
    if (buffer->limit == 0) {
        return len;
    }
    size_t room = buffer->len < buffer->limit ? buffer->limit - buffer->len : buffer->limit;
    return len < room ? len : room;
}

void rdb_write(struct rdb_buffer *buffer, const void *from, size_t len) {
    const char *at = from;
    while (len > 0) {
        size_t part = part_of(buffer, len);
        char *to = rdb_reserve(buffer, part);
        if (to == NULL) {
            return;
        }
        bytes_copy(to, at, part);
        buffer->len += part;
        at += part;
        len -= part;
    }
}

void rdb_write_byte(struct rdb_buffer *buffer, uint8_t byte) {
    rdb_write(buffer, &byte, 1);
}

void rdb_write_little(struct rdb_buffer *buffer, uint64_t value, uint32_t bytes) {
    uint8_t at[8];
    for (uint32_t i = 0; i < bytes; i++) at[i] = (uint8_t)(value >> 8 * i);
    rdb_write(buffer, at, bytes);
}

/* ---- Around items ---------------------------------------------------------------------------- */

static void write_aux(struct rdb_buffer *buffer, const char *name, struct bytes value) {
    rdb_write_byte(buffer, RDB_OP_AUX);
    rdb_write_string(buffer, bytes_of(name, strlen(name)));
    rdb_write_string(buffer, value);
}

static void write_aux_number(struct rdb_buffer *buffer, const char *name, int64_t number) {
    char text[20];
    write_aux(buffer, name, bytes_of(text, bytes_from_int64(text, number)));
}

void rdb_write_header(struct rdb_buffer *buffer, uint32_t version, int64_t now_s,
                      uint64_t used_bytes, bool is_base) {
    char magic[16];
    int len = snprintf(magic, sizeof magic, "REDIS%04u", version);
    rdb_write(buffer, magic, (size_t)len);
    write_aux(buffer, "redis-ver", BYTES_LITERAL(KEVYRT_REDIS_VERSION));
    write_aux_number(buffer, "redis-bits", 64);
    write_aux_number(buffer, "ctime", now_s);
    write_aux_number(buffer, "used-mem", (int64_t)used_bytes);
    write_aux_number(buffer, "aof-base", is_base);
}

void rdb_write_select(struct rdb_buffer *buffer, uint32_t db) {
    rdb_write_byte(buffer, RDB_OP_SELECT_DB);
    rdb_write_length(buffer, db);
}

void rdb_write_sizes(struct rdb_buffer *buffer, uint64_t keys, uint64_t deadlines) {
    rdb_write_byte(buffer, RDB_OP_RESIZE_DB);
    rdb_write_length(buffer, keys);
    rdb_write_length(buffer, deadlines);
}

void rdb_write_end(struct rdb_buffer *buffer) {
    rdb_write_byte(buffer, RDB_OP_EOF);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void write_elements(struct rdb_buffer *buffer, const struct collection_view *view) {
    struct walk walk;
    rdb_write_length(buffer, view_count(view));
    for (bool found = walk_seek(&walk, view, 0); found && !buffer->failed;
         found = walk_next(&walk)) {
        rdb_write_string(buffer, walk.record);
    }
}

static void write_scored(struct rdb_buffer *buffer, const struct collection_view *view) {
    struct walk walk;
    rdb_write_length(buffer, view_count(view));
    for (bool found = walk_seek(&walk, view, 0); found && !buffer->failed;
         found = walk_next(&walk)) {
        double score = tree_score(walk.key.order);
        uint64_t bits;
        memcpy(&bits, &score, sizeof bits);
        rdb_write_string(buffer, walk.record);
        rdb_write_little(buffer, bits, sizeof bits);
    }
}

/* The earliest deadline of its fields, from which the others are counted; 0: none has one. */
static int64_t first_deadline(const struct collection_view *view) {
    struct walk walk;
    bool found = fields_first_due(view, INT64_MAX, &walk);
    return found ? hash_field_read(walk.record).deadline_ms : 0;
}

static void write_fields(struct rdb_buffer *buffer, const struct collection_view *view) {
    struct walk walk;
    int64_t first_ms = first_deadline(view);
    if (first_ms != 0) {
        rdb_write_little(buffer, (uint64_t)first_ms, 8);
    }
    rdb_write_length(buffer, view_count(view));
    for (bool found = walk_seek(&walk, view, 0); found && !buffer->failed;
         found = walk_next(&walk)) {
        struct hash_field field = hash_field_read(walk.record);
        if (first_ms != 0) {
            bool has = field.deadline_ms != 0;
            rdb_write_length(buffer, has ? (uint64_t)(field.deadline_ms - first_ms) + 1 : 0);
        }
        rdb_write_string(buffer, field.name);
        rdb_write_string(buffer, field.value);
    }
}

static enum value_type type_of(const struct rdb_value *value) {
    return (enum value_type)(value->type & FORM_TYPE_MASK);
}

static uint8_t format_of(const struct rdb_value *value) {
    static const uint8_t plain[] = {RDB_STRING, RDB_LIST, RDB_SET,
                                    RDB_ZSET_2, RDB_HASH, RDB_STREAM_LISTPACKS_2};
    bool expires = type_of(value) == VALUE_HASH && value->type & FORM_EXPIRES;
    return expires ? RDB_HASH_FIELDS : plain[type_of(value)];
}

static void write_value(struct rdb_buffer *buffer, const struct rdb_value *value) {
    const struct collection *collection = value->collection;
    struct collection_view view = {.trees = collection != NULL ? collection->trees : NULL,
                                   .pack = value->bytes,
                                   .type = value->type};
    switch (type_of(value)) {
    case VALUE_STRING:
        if (collection != NULL) rdb_write_paged(buffer, collection);
        else rdb_write_string(buffer, value->bytes);
        break;
    case VALUE_LIST:
    case VALUE_SET:
        write_elements(buffer, &view);
        break;
    case VALUE_ZSET:
        write_scored(buffer, &view);
        break;
    case VALUE_HASH:
        write_fields(buffer, &view);
        break;
    case VALUE_STREAM:
        rdb_write_stream(buffer, collection);
        break;
    }
}

struct rdb_value rdb_value_of(const struct entry *entry) {
    struct rdb_value value = {
        .key = entry_key(entry), .deadline_ms = entry_deadline(entry), .type = entry->type};
    if (entry_is_tree(entry)) value.collection = entry_collection(entry);
    else value.bytes = entry_string(entry);
    return value;
}

uint32_t rdb_version_of(const struct rdb_value *value) {
    return format_of(value) == RDB_HASH_FIELDS ? RDB_VERSION_FIELDS : RDB_VERSION;
}

void rdb_write_item(struct rdb_buffer *buffer, const struct rdb_value *value) {
    if (value->deadline_ms != 0) {
        rdb_write_byte(buffer, RDB_OP_EXPIRE_MS);
        rdb_write_little(buffer, (uint64_t)value->deadline_ms, 8);
    }
    rdb_write_byte(buffer, format_of(value));
    rdb_write_string(buffer, value->key);
    write_value(buffer, value);
}

void rdb_write_dump(struct rdb_buffer *buffer, const struct rdb_value *value) {
    size_t begin = buffer->len;
    KRT_ASSERT(buffer->limit == 0);
    rdb_write_byte(buffer, format_of(value));
    write_value(buffer, value);
    rdb_write_little(buffer, rdb_version_of(value), 2);
    if (!buffer->failed) {
        rdb_write_little(buffer, rdb_crc64(0, buffer->at + begin, buffer->len - begin), 8);
    }
}
