/* What a key holds, as the commands that make it anew (aof-use-rdb-preamble no): the same that Redis writes, of at most
 * ITEMS_MAX elements each. */
#include <inttypes.h>
#include <stdio.h>

#include "shard/snapshot/encode.h"
#include "store/hash_fields.h"
#include "store/paged.h"
#include "store/stream.h"
#include "store/stream_pending.h"

enum { ITEMS_MAX = 64, NUMBER_MAX = 64 };

/* ---- Words ------------------------------------------------------------------------------------------ */

static void head(struct rdb_buffer *buffer, char kind, uint64_t number) {
    char text[NUMBER_MAX];
    int len = snprintf(text, sizeof text, "%c%" PRIu64 "\r\n", kind, number);
    rdb_write(buffer, text, (size_t)len);
}

static void word(struct rdb_buffer *buffer, struct bytes bytes) {
    head(buffer, '$', bytes.len);
    rdb_write(buffer, bytes.at, bytes.len);
    rdb_write(buffer, "\r\n", 2);
}

static void word_text(struct rdb_buffer *buffer, const char *text) {
    word(buffer, bytes_of(text, strlen(text)));
}

static void word_number(struct rdb_buffer *buffer, int64_t number) {
    char text[NUMBER_MAX];
    (void)snprintf(text, sizeof text, "%" PRId64, number);
    word_text(buffer, text);
}

static void word_id(struct rdb_buffer *buffer, struct stream_id id) {
    char text[NUMBER_MAX];
    (void)snprintf(text, sizeof text, "%" PRIu64 "-%" PRIu64, id.ms, id.seq);
    word_text(buffer, text);
}

/* With so many words in all. */
static void command(struct rdb_buffer *buffer, uint64_t words, const char *name, struct bytes key) {
    head(buffer, '*', words);
    word_text(buffer, name);
    word(buffer, key);
}

void encode_select(struct rdb_buffer *buffer, uint32_t db) {
    head(buffer, '*', 2);
    word_text(buffer, "SELECT");
    word_number(buffer, db);
}

/* ---- Strings ---------------------------------------------------------------------------------------- */

static void paged_words(struct rdb_buffer *buffer, const struct collection *paged) {
    static const char zeros[4096];
    uint32_t len = paged_len(paged);
    head(buffer, '$', len);
    for (uint32_t at = 0; at < len;) {
        struct bytes run = paged_run(paged, at);
        if (!run.at) run = bytes_of(zeros, run.len < sizeof zeros ? run.len : sizeof zeros);
        rdb_write(buffer, run.at, run.len);
        at += run.len;
    }
    rdb_write(buffer, "\r\n", 2);
}

static void string_commands(struct rdb_buffer *buffer, const struct rdb_value *value) {
    command(buffer, 3, "SET", value->key);
    if (value->collection) paged_words(buffer, value->collection);
    else word(buffer, value->bytes);
}

/* ---- Lists, sets, hashes, sorted sets ------------------------------------------------------------------ */

static void score_words(struct rdb_buffer *buffer, const struct walk *walk) {
    char text[NUMBER_MAX];
    (void)snprintf(text, sizeof text, "%.17g", tree_score(walk->key.order));
    word_text(buffer, text);
    word(buffer, walk->record);
}

static void element_words(struct rdb_buffer *buffer, enum value_type type,
                          const struct walk *walk) {
    if (type == VALUE_HASH) {
        struct hash_field field = hash_field_read(walk->record);
        word(buffer, field.name);
        word(buffer, field.value);
    } else if (type == VALUE_ZSET) {
        score_words(buffer, walk);
    } else {
        word(buffer, walk->record);
    }
}

static void deadline_commands(struct rdb_buffer *buffer, struct bytes key,
                              const struct collection_view *view) {
    struct walk walk;
    for (bool more = walk_seek(&walk, view, 0); more && !buffer->failed; more = walk_next(&walk)) {
        struct hash_field field = hash_field_read(walk.record);
        if (field.deadline_ms == 0) continue;
        command(buffer, 6, "HPEXPIREAT", key);
        word_number(buffer, field.deadline_ms);
        word_text(buffer, "FIELDS");
        word_number(buffer, 1);
        word(buffer, field.name);
    }
}

static void element_commands(struct rdb_buffer *buffer, const struct rdb_value *value,
                             enum value_type type) {
    static const char *const names[] = {[VALUE_LIST] = "RPUSH",
                                        [VALUE_SET] = "SADD",
                                        [VALUE_ZSET] = "ZADD",
                                        [VALUE_HASH] = "HMSET"};
    struct collection_view view = {.trees = value->collection ? value->collection->trees : NULL,
                                   .pack = value->bytes,
                                   .type = value->type};
    struct walk walk;
    uint64_t left = view_count(&view), words = type == VALUE_LIST || type == VALUE_SET ? 1 : 2;
    bool more = walk_seek(&walk, &view, 0);
    while (more && !buffer->failed) {
        uint64_t count = left < ITEMS_MAX ? left : ITEMS_MAX;
        command(buffer, 2 + count * words, names[type], value->key);
        left -= count;
        for (; count > 0; count--, more = walk_next(&walk)) element_words(buffer, type, &walk);
    }
    if (type == VALUE_HASH && fields_have_deadlines(&view))
        deadline_commands(buffer, value->key, &view);
}

/* ---- Streams ------------------------------------------------------------------------------------------- */

static void entry_command(struct rdb_buffer *buffer, struct bytes key, struct stream_walk *walk) {
    struct stream_field field;
    command(buffer, 3 + 2 * (uint64_t)walk->field_count, "XADD", key);
    word_id(buffer, walk->id);
    while (stream_next_field(walk, &field)) {
        word(buffer, field.name);
        word(buffer, field.value);
    }
}

/* One without entries is made by one that is trimmed at once. */
static void entry_commands(struct rdb_buffer *buffer, const struct rdb_value *value) {
    const struct stream *stream = stream_of(value->collection);
    struct stream_view view = stream_view_of(value->collection);
    struct stream_walk walk;
    bool more = stream_seek_first(&walk, &view);
    if (!more) {
        struct stream_id id = stream->last_id;
        if (stream_id_is_zero(id)) id.seq = 1;
        command(buffer, 7, "XADD", value->key);
        word_text(buffer, "MAXLEN");
        word_text(buffer, "0");
        word_id(buffer, id);
        word_text(buffer, "x");
        word_text(buffer, "y");
    }
    for (; more && !buffer->failed; more = stream_next(&walk))
        entry_command(buffer, value->key, &walk);
    command(buffer, 7, "XSETID", value->key);
    word_id(buffer, stream->last_id);
    word_text(buffer, "ENTRIESADDED");
    word_number(buffer, (int64_t)stream->entries_added);
    word_text(buffer, "MAXDELETEDID");
    word_id(buffer, stream->max_deleted_id);
}

static void pending_command(struct rdb_buffer *buffer, struct bytes key,
                            const struct stream_group *group,
                            const struct stream_pending *pending) {
    command(buffer, 12, "XCLAIM", key);
    word(buffer, group->named.name);
    word(buffer, group->numbered[pending->consumer]->named.name);
    word_text(buffer, "0");
    word_id(buffer, pending->id);
    word_text(buffer, "TIME");
    word_number(buffer, pending->delivered_ms);
    word_text(buffer, "RETRYCOUNT");
    word_number(buffer, (int64_t)pending->deliveries);
    word_text(buffer, "JUSTID");
    word_text(buffer, "FORCE");
}

static void group_commands(struct rdb_buffer *buffer, struct bytes key,
                           const struct stream_group *group) {
    struct stream_pending_walk walk;
    head(buffer, '*', 7);
    word_text(buffer, "XGROUP");
    word_text(buffer, "CREATE");
    word(buffer, key);
    word(buffer, group->named.name);
    word_id(buffer, group->last_id);
    word_text(buffer, "ENTRIESREAD");
    word_number(buffer, group->entries_read);
    for (uint32_t i = 0; i < group->consumers.count && !buffer->failed; i++) {
        head(buffer, '*', 5);
        word_text(buffer, "XGROUP");
        word_text(buffer, "CREATECONSUMER");
        word(buffer, key);
        word(buffer, group->named.name);
        word(buffer, stream_consumer_at(group, i)->named.name);
    }
    bool more = stream_pending_seek(&walk, &group->pending, (struct stream_id){0, 0});
    for (; more && !buffer->failed; more = stream_pending_next(&walk))
        pending_command(buffer, key, group, &walk.pending);
}

static void stream_commands(struct rdb_buffer *buffer, const struct rdb_value *value) {
    const struct stream_groups *groups = &stream_of(value->collection)->groups;
    entry_commands(buffer, value);
    for (uint32_t i = 0; i < groups->names.count && !buffer->failed; i++)
        group_commands(buffer, value->key, stream_group_at(groups, i));
}

void encode_commands(struct rdb_buffer *buffer, const struct rdb_value *value) {
    enum value_type type = (enum value_type)(value->type & FORM_TYPE_MASK);
    if (type == VALUE_STRING) string_commands(buffer, value);
    else if (type == VALUE_STREAM) stream_commands(buffer, value);
    else element_commands(buffer, value, type);
    if (value->deadline_ms == 0) return;
    command(buffer, 3, "PEXPIREAT", value->key);
    word_number(buffer, value->deadline_ms);
}
