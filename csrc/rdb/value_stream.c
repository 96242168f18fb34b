/* Streams: nodes of Redis's with their entries, then groups, in each what is pending and the consumers whose it is.
 *
 * A node is a listpack: how many of its entries are there, how many deleted, the names that most of them have, an end mark; then
 * entries, deleted ones too. An entry is flags, its id as it differs from the node's, names if they are its own, values, and
 * how many elements that was. All of that is looked at before any of it is believed.
 */
#include "base/assert.h"
#include "rdb/packed.h"
#include "rdb/value.h"
#include "store/listpack.h"
#include "store/stream.h"
#include "store/stream_pending.h"
#include "store/stream_progress.h"

enum { ENTRY_DELETED = 1, ENTRY_SAME_NAMES = 2, ENTRY_FLAGS = 3, TEXT_BYTES = 24 };

/* Elements that have to stay while others come. */
struct words {
    struct bytes *at;
    char (*texts)[TEXT_BYTES]; /* of those that were integers */
    size_t count, room;
};

struct stream_reader {
    struct value_maker *maker;
    struct source *source;
    struct stream_edit edit;
    struct packed packed;
    struct words names, fields; /* of the node; of the entry. Every second one is a name */
    struct stream_node node;
    struct stream_id last; /* of all entries so far */
};

static bool no_memory(struct source *source) {
    return source_fail(source, RDB_NO_MEMORY, "out of memory");
}

static bool damaged(struct stream_reader *reader) {
    return source_damaged(reader->source, "a stream is damaged");
}

/* ---- Words ----------------------------------------------------------------------------------- */

static void words_free(struct words *words) {
    mem_free(NULL, words->at);
    mem_free(NULL, words->texts);
}

static void *grow(void *at, size_t bytes) {
    return at == NULL ? mem_alloc(NULL, bytes) : mem_realloc(NULL, at, bytes);
}

static bool words_reserve(struct words *words) {
    size_t room = words->room == 0 ? 16 : 2 * words->room;
    if (words->count < words->room) {
        return true;
    }
    struct bytes *at = grow(words->at, room * sizeof *at);
    if (at == NULL) {
        return false;
    }
    words->at = at;
    char(*texts)[TEXT_BYTES] = grow(words->texts, room * sizeof *texts);
    if (texts == NULL) {
        return false;
    }
    words->texts = texts;
    words->room = room;
    return true;
}

/* An integer is told by where it lies; its text is pointed to once all have come, since they may still move. */
static bool words_add(struct words *words, struct bytes word, bool in_string) {
    if (!words_reserve(words)) {
        return false;
    }
    if (!in_string) {
        memcpy(words->texts[words->count], word.at, word.len);
        word.at = NULL;
    }
    words->at[words->count++] = word;
    return true;
}

static void words_settle(struct words *words) {
    for (size_t i = 0; i < words->count; i++) {
        if (words->at[i].at == NULL) {
            words->at[i].at = words->texts[i];
        }
    }
}

/* ---- Elements -------------------------------------------------------------------------------- */

static bool next(struct stream_reader *reader, struct bytes *element) {
    return packed_next(&reader->packed, element) || damaged(reader);
}

static bool next_integer(struct stream_reader *reader, int64_t *value) {
    struct bytes element;
    return next(reader, &element) && (bytes_to_int64(element, value) || damaged(reader));
}

static bool next_count(struct stream_reader *reader, uint64_t *count) {
    int64_t value;
    if (!next_integer(reader, &value)) {
        return false;
    }
    *count = (uint64_t)value;
    return value >= 0 || damaged(reader);
}

static bool next_word(struct stream_reader *reader, struct words *words) {
    struct bytes element;
    const struct packed *packed = &reader->packed;
    if (!next(reader, &element)) {
        return false;
    }
    bool in_string =
        element.at >= (const char *)packed->begin && element.at < (const char *)packed->end;
    return words_add(words, element, in_string || element.len == 0) || no_memory(reader->source);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static bool read_names(struct stream_reader *reader) {
    uint64_t count;
    int64_t end;
    reader->names.count = 0;
    if (!next_count(reader, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        if (!next_word(reader, &reader->names) ||
            (!words_add(&reader->names, (struct bytes){0}, true) && !no_memory(reader->source))) {
            return false;
        }
    }
    words_settle(&reader->names);
    return next_integer(reader, &end) && (end == 0 || damaged(reader));
}

/* Names of its own and values, or values behind the names of the node. */
static bool read_fields(struct stream_reader *reader, bool same) {
    uint64_t count = reader->names.count / 2;
    struct words *fields = &reader->fields;
    fields->count = 0;
    if (!same && !next_count(reader, &count)) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        bool named =
            same ? words_add(fields, reader->names.at[2 * i], true) || no_memory(reader->source)
                 : next_word(reader, fields);
        if (!named || !next_word(reader, fields)) {
            return false;
        }
    }
    words_settle(fields);
    return true;
}

static uint64_t bytes_of_fields(const struct words *fields) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < fields->count; i++) {
        bytes += fields->at[i].len;
    }
    return bytes;
}

static bool add_entry(struct stream_reader *reader, struct stream_id id) {
    const struct words *fields = &reader->fields;
    if (fields->count == 0 || bytes_of_fields(fields) > STREAM_ENTRY_BYTES_MAX) {
        return damaged(reader);
    }
    return stream_edit_add_entry(&reader->edit, id, fields->at, fields->count / 2) ||
           no_memory(reader->source);
}

static bool read_entry(struct stream_reader *reader, uint64_t *valid, uint64_t *deleted) {
    int64_t flags, ms, seq;
    uint64_t elements;
    struct stream_id id = reader->node.first;
    if (!next_integer(reader, &flags) || !next_integer(reader, &ms) ||
        !next_integer(reader, &seq)) {
        return false;
    }
    bool same = flags & ENTRY_SAME_NAMES, gone = flags & ENTRY_DELETED;
    id.ms += (uint64_t)ms;
    id.seq += (uint64_t)seq;
    if (flags < 0 || flags > ENTRY_FLAGS || !read_fields(reader, same) ||
        !next_count(reader, &elements)) {
        return damaged(reader);
    }
    uint64_t fields = reader->fields.count / 2;
    bool first = *valid + *deleted == 0;
    if (elements != (same ? fields + 3 : 2 * fields + 4) ||
        stream_id_compare(id, first ? reader->node.first : reader->node.last) < !first ||
        stream_id_compare(id, reader->last) <= 0) {
        return damaged(reader);
    }
    reader->node.last = reader->last = id;
    *(gone ? deleted : valid) += 1;
    return gone || add_entry(reader, id);
}

static bool read_entries(struct stream_reader *reader) {
    struct stream_node *node = &reader->node;
    uint64_t valid = 0, deleted = 0;
    while (reader->packed.at < reader->packed.end) {
        if (!read_entry(reader, &valid, &deleted)) {
            return false;
        }
    }
    struct bytes nothing;
    bool ended = !packed_next(&reader->packed, &nothing) && !reader->packed.damaged;
    return (ended && valid == node->valid && deleted == node->deleted && valid + deleted > 0) ||
           damaged(reader);
}

static uint64_t big_endian(const char *at) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) {
        value = value << 8 | (uint8_t)at[i];
    }
    return value;
}

static struct stream_id id_at(const char *at) {
    return (struct stream_id){big_endian(at), big_endian(at + 8)};
}

static bool read_node_id(struct stream_reader *reader) {
    struct bytes string;
    if (!source_string(reader->source, SOURCE_FIRST, &string)) {
        return false;
    }
    if (string.len != 16) {
        return damaged(reader);
    }
    struct stream_id id = id_at(string.at);
    reader->node = (struct stream_node){.first = id, .last = id};
    return stream_id_compare(id, reader->last) > 0 || damaged(reader);
}

static bool read_node(struct stream_reader *reader) {
    struct bytes string;
    struct stream_node *node = &reader->node;
    if (!read_node_id(reader) || !source_string(reader->source, SOURCE_FIRST, &string)) {
        return false;
    }
    packed_open(&reader->packed, PACKED_LISTPACK, string);
    if (!next_count(reader, &node->valid) || !next_count(reader, &node->deleted) ||
        !read_names(reader)) {
        return false;
    }
    node->bytes = string.len - listpack_integer_bytes((int64_t)node->valid) -
                  listpack_integer_bytes((int64_t)node->deleted);
    if (reader->names.count > 0 && !stream_edit_add_shape(&reader->edit, reader->names.at,
                                                          reader->names.count / 2, &node->shape)) {
        return no_memory(reader->source);
    }
    return read_entries(reader) &&
           (stream_edit_add_node(&reader->edit, node) || no_memory(reader->source));
}

static bool read_nodes(struct stream_reader *reader) {
    uint64_t left;
    if (!source_length(reader->source, &left)) {
        return false;
    }
    for (; left > 0; left--) {
        if (!read_node(reader)) {
            return false;
        }
    }
    return true;
}

/* ---- What is no entry ------------------------------------------------------------------------ */

static bool read_id(struct source *source, struct stream_id *id) {
    return source_length(source, &id->ms) && source_length(source, &id->seq);
}

static bool read_state(struct stream_reader *reader, uint8_t type) {
    uint64_t count;
    struct stream_id first, last;
    struct stream *stream = reader->edit.stream;
    if (!source_length(reader->source, &count) || !read_id(reader->source, &last)) {
        return false;
    }
    if (count != stream_count(reader->edit.collection) ||
        stream_id_compare(last, stream->last_id) < 0) {
        return damaged(reader);
    }
    stream->last_id = last;
    stream->entries_added = count;
    return type == RDB_STREAM_LISTPACKS ||
           (read_id(reader->source, &first) && read_id(reader->source, &stream->max_deleted_id) &&
            source_length(reader->source, &stream->entries_added));
}

/* ---- Groups ---------------------------------------------------------------------------------- */

/* Names come in order from whoever keeps them in order; to put many others where they belong would take long. */
static bool may_be_next(struct stream_reader *reader, const struct stream_names *names,
                        struct bytes name) {
    enum { UNORDERED_MAX = 4096 };
    return names->count < UNORDERED_MAX ||
           bytes_compare(names->at[names->count - 1]->name, name) < 0 || damaged(reader);
}

enum { NOBODY = UINT32_MAX };

struct pending_list { /* of a group, in the order of the ids */
    struct stream_pending *at;
    size_t count, room;
};

static bool read_raw_id(struct stream_reader *reader, struct stream_id *id) {
    char raw[16];
    if (!source_bytes(reader->source, raw, sizeof raw)) {
        return false;
    }
    *id = id_at(raw);
    return true;
}

static bool pending_reserve(struct stream_reader *reader, struct pending_list *list) {
    size_t room = list->room == 0 ? 16 : 2 * list->room;
    if (list->count < list->room) {
        return true;
    }
    struct stream_pending *at = grow(list->at, room * sizeof *at);
    if (at == NULL) {
        return no_memory(reader->source);
    }
    list->at = at;
    list->room = room;
    return true;
}

static bool read_pending(struct stream_reader *reader, struct pending_list *list) {
    struct stream_pending pending = {.consumer = NOBODY};
    if (!read_raw_id(reader, &pending.id) ||
        !source_bytes(reader->source, &pending.delivered_ms, sizeof pending.delivered_ms) ||
        !source_length(reader->source, &pending.deliveries) || !pending_reserve(reader, list)) {
        return false;
    }
    if (pending.delivered_ms < 0 ||
        (list->count > 0 && stream_id_compare(pending.id, list->at[list->count - 1].id) <= 0)) {
        return damaged(reader);
    }
    list->at[list->count++] = pending;
    return true;
}

static struct stream_pending *pending_find(const struct pending_list *list, struct stream_id id) {
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = stream_id_compare(list->at[middle].id, id);
        if (order == 0) {
            return &list->at[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static bool read_owned(struct stream_reader *reader, const struct pending_list *list,
                       struct stream_group *group, struct stream_consumer *consumer) {
    struct stream_id id;
    if (!read_raw_id(reader, &id)) {
        return false;
    }
    struct stream_pending *pending = pending_find(list, id);
    if (pending == NULL || pending->consumer != NOBODY) {
        return damaged(reader);
    }
    if (!stream_pending_reserve(group, reader->maker->heap, consumer, 1)) {
        return no_memory(reader->source);
    }
    pending->consumer = consumer->number;
    stream_pending_put(group, reader->maker->heap, pending);
    return true;
}

static bool read_consumer(struct stream_reader *reader, uint8_t type,
                          const struct pending_list *list, struct stream_group *group) {
    uint64_t left;
    struct bytes name;
    if (!source_string(reader->source, SOURCE_FIRST, &name)) {
        return false;
    }
    if (stream_consumer_find(group, name) != NULL) {
        return damaged(reader);
    }
    if (!may_be_next(reader, &group->consumers, name)) {
        return false;
    }
    struct stream_consumer *consumer = stream_consumer_add(group, reader->maker->heap, name, 0);
    if (consumer == NULL) {
        return no_memory(reader->source);
    }
    if (!source_bytes(reader->source, &consumer->seen_ms, sizeof consumer->seen_ms)) {
        return false;
    }
    consumer->active_ms = consumer->seen_ms;
    if (type == RDB_STREAM_LISTPACKS_3 &&
        !source_bytes(reader->source, &consumer->active_ms, sizeof consumer->active_ms)) {
        return false;
    }
    if (!source_length(reader->source, &left)) {
        return false;
    }
    for (; left > 0; left--) {
        if (!read_owned(reader, list, group, consumer)) {
            return false;
        }
    }
    return true;
}

static bool read_members(struct stream_reader *reader, uint8_t type, struct pending_list *list,
                         struct stream_group *group) {
    uint64_t left;
    if (!source_length(reader->source, &left)) {
        return false;
    }
    for (; left > 0; left--) {
        if (!read_pending(reader, list)) {
            return false;
        }
    }
    if (!source_length(reader->source, &left)) {
        return false;
    }
    for (; left > 0; left--) {
        if (!read_consumer(reader, type, list, group)) {
            return false;
        }
    }
    return group->pending.count == list->count || damaged(reader);
}

static bool read_group(struct stream_reader *reader, uint8_t type) {
    struct bytes name;
    struct stream_id last;
    uint64_t entries_read;
    struct pending_list list = {0};
    struct stream *stream = reader->edit.stream;
    if (!source_string(reader->source, SOURCE_FIRST, &name) || !read_id(reader->source, &last)) {
        return false;
    }
    if (stream_group_find(&stream->groups, name) != NULL) {
        return damaged(reader);
    }
    if (!may_be_next(reader, &stream->groups.names, name)) {
        return false;
    }
    struct stream_group *group = stream_group_add(&stream->groups, reader->maker->heap, name);
    if (group == NULL) {
        return no_memory(reader->source);
    }
    group->last_id = last;
    if (type == RDB_STREAM_LISTPACKS) {
        group->entries_read = stream_entries_up_to(reader->edit.collection, last);
    } else if (source_length(reader->source, &entries_read)) {
        group->entries_read = (int64_t)entries_read;
    } else {
        return false;
    }
    bool read = read_members(reader, type, &list, group);
    mem_free(NULL, list.at);
    return read;
}

static bool read_groups(struct stream_reader *reader, uint8_t type) {
    uint64_t left;
    if (!source_length(reader->source, &left)) {
        return false;
    }
    for (; left > 0; left--) {
        if (!read_group(reader, type)) {
            return false;
        }
    }
    return true;
}

bool value_read_stream(struct value_maker *maker, uint8_t type, struct built *built) {
    struct stream_reader reader;
    reader.maker = maker;
    reader.source = maker->source;
    reader.names = reader.fields = (struct words){0};
    reader.last = (struct stream_id){0, 0};
    if (!stream_edit_make(&reader.edit, maker->heap)) {
        return no_memory(maker->source);
    }
    bool whole = read_nodes(&reader) && read_state(&reader, type) && read_groups(&reader, type);
    words_free(&reader.names);
    words_free(&reader.fields);
    *built = (struct built){.type = VALUE_STREAM | FORM_TREE,
                            .collection = stream_edit_give(&reader.edit, whole)};
    return whole;
}
