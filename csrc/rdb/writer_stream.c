/* Streams, in the listpacks that Redis keeps them in.
 *
 * A listpack stands for a node (store/stream_node.h). It begins with how many entries it has, how many of them are deleted
 * (none: what is deleted is gone) and the names of the fields that most of its entries have; then come the entries, each
 * with flags, its id as it differs from the node's, names if they are others, and values. It is a string, whose length
 * comes first, so its entries are gone through twice: to measure, and to write.
 */
#include "base/assert.h"
#include "rdb/lzf.h"
#include "rdb/writer_internal.h"
#include "store/listpack.h"
#include "store/stream.h"
#include "store/stream_pending.h"

enum {
    SAME_FIELDS = 2,           /* the flag of an entry that has the names of the node */
    ELEMENTS_MAX = UINT16_MAX, /* from here on nobody counts them */
    LISTPACK_END = 0xff,
    ELEMENT_HEAD_MAX = 9,
    BACK_MAX = 5,
};

/* ---- Elements -------------------------------------------------------------------------------- */

/* A listpack that is written, or only measured. */
struct pack_writer {
    struct rdb_buffer *buffer; /* NULL: it is measured */
    uint64_t bytes, elements;
};

static void put(struct pack_writer *pack, const void *at, size_t len) {
    if (pack->buffer != NULL) {
        rdb_write(pack->buffer, at, len);
    }
}

/* Behind each element, how long it is, to be read from the end. */
static void put_back(struct pack_writer *pack, uint64_t len) {
    uint8_t at[BACK_MAX];
    uint32_t bytes = len <= 127 ? 1 : len < 16383 ? 2 : len < 2097151 ? 3 : len < 268435455 ? 4 : 5;
    for (uint32_t i = 0; i < bytes; i++) {
        uint8_t seven = (uint8_t)(len >> 7 * (bytes - 1 - i) & 127);
        at[i] = (uint8_t)(seven | (i > 0 ? 128 : 0));
    }
    put(pack, at, bytes);
}

static uint32_t encode_little(uint8_t *to, uint8_t head, int64_t value, uint32_t bytes) {
    to[0] = head;
    for (uint32_t i = 0; i < bytes; i++) to[1 + i] = (uint8_t)((uint64_t)value >> 8 * i);
    return 1 + bytes;
}

static uint32_t encode_integer(uint8_t to[ELEMENT_HEAD_MAX], int64_t value) {
    if (value >= 0 && value <= 127) {
        to[0] = (uint8_t)value;
        return 1;
    }
    if (value >= -4096 && value <= 4095) {
        to[0] = (uint8_t)(0xc0 | (value >> 8 & 0x1f));
        to[1] = (uint8_t)value;
        return 2;
    }
    if (value == (int16_t)value) return encode_little(to, 0xf1, value, 2);
    if (value >= -(1 << 23) && value < 1 << 23) return encode_little(to, 0xf2, value, 3);
    if (value == (int32_t)value) return encode_little(to, 0xf3, value, 4);
    return encode_little(to, 0xf4, value, 8);
}

static uint32_t encode_text_head(uint8_t to[ELEMENT_HEAD_MAX], uint32_t len) {
    if (len < 64) {
        to[0] = (uint8_t)(0x80 | len);
        return 1;
    }
    if (len < 4096) {
        to[0] = (uint8_t)(0xe0 | len >> 8);
        to[1] = (uint8_t)len;
        return 2;
    }
    return encode_little(to, 0xf0, len, 4);
}

static void put_integer(struct pack_writer *pack, int64_t value) {
    pack->elements++;
    pack->bytes += listpack_integer_bytes(value);
    if (pack->buffer != NULL) {
        uint8_t at[ELEMENT_HEAD_MAX];
        uint32_t len = encode_integer(at, value);
        put(pack, at, len);
        put_back(pack, len);
    }
}

static void put_text(struct pack_writer *pack, struct bytes text) {
    int64_t value;
    if (bytes_to_int64(text, &value)) {
        put_integer(pack, value);
        return;
    }
    pack->elements++;
    pack->bytes += listpack_element_bytes(text);
    if (pack->buffer != NULL) {
        uint8_t head[ELEMENT_HEAD_MAX];
        uint32_t len = encode_text_head(head, text.len);
        put(pack, head, len);
        put(pack, text.at, text.len);
        put_back(pack, (uint64_t)len + text.len);
    }
}

/* ---- Entries --------------------------------------------------------------------------------- */

/* A node as it is written. */
struct node_writer {
    struct stream_id first;
    uint64_t valid;
    struct stream_walk start; /* at its first entry */
    uint32_t shape;           /* of its names; 0: they are those of its first entry */
    uint32_t name_count;
    const char *names;
};

static bool has_same_names(const struct node_writer *node, const struct stream_walk *walk) {
    if (KRT_LIKELY(walk->shape != 0 || node->shape != 0)) {
        return walk->shape == node->shape;
    }
    size_t len = (size_t)(node->start.values - node->names);
    return walk->field_count == node->name_count && (size_t)(walk->values - walk->names) == len &&
           bytes_same(walk->names, node->names, len);
}

static void put_names(struct pack_writer *pack, const char *at, uint32_t count) {
    while (count-- > 0) {
        uint64_t len = varint_read(&at);
        put_text(pack, bytes_of(at, len));
        at += len;
    }
}

/* Behind the fields stands how many elements the entry has. */
static void put_entry(struct pack_writer *pack, const struct node_writer *node,
                      struct stream_walk walk) {
    struct stream_field field;
    int64_t count = walk.field_count;
    bool same = has_same_names(node, &walk);
    put_integer(pack, same ? SAME_FIELDS : 0);
    put_integer(pack, (int64_t)(walk.id.ms - node->first.ms));
    put_integer(pack, (int64_t)(walk.id.seq - node->first.seq));
    if (!same) {
        put_integer(pack, count);
    }
    while (stream_next_field(&walk, &field)) {
        if (!same) put_text(pack, field.name);
        put_text(pack, field.value);
    }
    put_integer(pack, same ? count + 3 : 2 * count + 4);
}

static void put_node(struct pack_writer *pack, const struct node_writer *node) {
    struct stream_walk walk = node->start;
    put_integer(pack, (int64_t)node->valid);
    put_integer(pack, 0);
    put_integer(pack, node->name_count);
    put_names(pack, node->names, node->name_count);
    put_integer(pack, 0);
    for (uint64_t i = 0; i < node->valid; i++) {
        put_entry(pack, node, walk);
        (void)stream_next(&walk);
    }
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static void write_id(struct rdb_buffer *buffer, struct stream_id id) {
    uint8_t at[16];
    for (uint32_t i = 0; i < 8; i++) {
        at[i] = (uint8_t)(id.ms >> 8 * (7 - i));
        at[8 + i] = (uint8_t)(id.seq >> 8 * (7 - i));
    }
    rdb_write(buffer, at, sizeof at);
}

static void write_listpack(struct rdb_buffer *buffer, const struct node_writer *node,
                           const struct pack_writer *measured) {
    struct pack_writer pack = {.buffer = buffer};
    uint64_t elements = measured->elements < ELEMENTS_MAX ? measured->elements : ELEMENTS_MAX;
    rdb_write_little(buffer, measured->bytes, 4);
    rdb_write_little(buffer, elements, 2);
    put_node(&pack, node);
    rdb_write_byte(buffer, LISTPACK_END);
    KRT_DCHECK(buffer->failed || (pack.bytes + LISTPACK_FRAME_BYTES == measured->bytes &&
                                  pack.elements == measured->elements));
}

/* What is to be compressed is written behind the place where it goes. */
static void write_compressed(struct rdb_buffer *buffer, const struct node_writer *node,
                             const struct pack_writer *measured) {
    size_t len = measured->bytes;
    char *to = rdb_reserve(buffer, rdb_string_bound(len) + len);
    if (to == NULL) {
        return;
    }
    struct rdb_buffer piece = {.at = to + rdb_string_bound(len), .capacity = len};
    write_listpack(&piece, node, measured);
    KRT_ASSERT(!piece.failed && piece.len == len && piece.capacity == len);
    rdb_write_moved(buffer, bytes_of(piece.at, len));
}

static void write_node(struct rdb_buffer *buffer, const struct node_writer *node) {
    struct pack_writer measured = {.bytes = LISTPACK_FRAME_BYTES};
    put_node(&measured, node);
    if (measured.bytes > UINT32_MAX) {
        buffer->failed = true;
        return;
    }
    rdb_write_length(buffer, 16);
    write_id(buffer, node->first);
    if (buffer->compress && measured.bytes <= LZF_PIECE_MAX) {
        write_compressed(buffer, node, &measured);
        return;
    }
    rdb_write_length(buffer, measured.bytes);
    write_listpack(buffer, node, &measured);
}

/* The nodes of a stream that have entries, one after the other. */
struct node_walk {
    const struct collection *stream;
    struct tree_path path;
    uint64_t left; /* nodes of the tree */
    bool tail;     /* the last one is still to come */
};

static bool next_node(struct node_walk *walk, struct stream_node *node) {
    while (walk->left > 0) {
        *node = stream_node_read(tree_record(&walk->path));
        (void)tree_next(&walk->path);
        walk->left--;
        if (node->valid > 0) return true;
    }
    *node = stream_of(walk->stream)->tail;
    bool more = walk->tail && !stream_id_is_zero(node->first) && node->valid > 0;
    walk->tail = false;
    return more;
}

static struct node_walk walk_nodes(const struct collection *stream) {
    struct node_walk walk = {.stream = stream, .left = stream->trees[1].count, .tail = true};
    if (walk.left > 0) {
        (void)tree_seek(&stream->trees[1], 0, &walk.path);
    }
    return walk;
}

static uint64_t count_nodes(const struct collection *stream) {
    uint64_t count = 0;
    struct stream_node node;
    struct node_walk walk = walk_nodes(stream);
    while (next_node(&walk, &node)) count++;
    return count;
}

static struct node_writer node_at(const struct stream_node *node, const struct stream_walk *start) {
    struct node_writer writer = {.first = node->first, .valid = node->valid, .start = *start};
    writer.shape = node->shape != 0 ? node->shape : start->shape;
    writer.name_count = start->field_count;
    writer.names = start->names;
    if (writer.shape != 0) {
        writer.names = start->view->shapes[writer.shape - 1]->data;
        writer.name_count = (uint32_t)varint_read(&writer.names);
    }
    return writer;
}

static void write_entries(struct rdb_buffer *buffer, const struct collection *stream) {
    struct stream_node node;
    struct stream_walk walk;
    struct stream_view view = stream_view_of(stream);
    struct node_walk nodes = walk_nodes(stream);
    rdb_write_length(buffer, count_nodes(stream));
    bool found = stream_seek_first(&walk, &view);
    while (next_node(&nodes, &node) && !buffer->failed) {
        struct node_writer writer = node_at(&node, &walk);
        KRT_DCHECK(found);
        write_node(buffer, &writer);
        for (uint64_t i = 0; i < node.valid; i++) found = stream_next(&walk);
    }
    KRT_DCHECK(!found || buffer->failed);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static void write_id_lengths(struct rdb_buffer *buffer, struct stream_id id) {
    rdb_write_length(buffer, id.ms);
    rdb_write_length(buffer, id.seq);
}

static void write_pending(struct rdb_buffer *buffer, const struct stream_group *group) {
    struct stream_pending_walk walk;
    rdb_write_length(buffer, group->pending.count);
    bool found = stream_pending_seek(&walk, &group->pending, (struct stream_id){0, 0});
    for (; found && !buffer->failed; found = stream_pending_next(&walk)) {
        write_id(buffer, walk.pending.id);
        rdb_write_little(buffer, (uint64_t)walk.pending.delivered_ms, 8);
        rdb_write_length(buffer, walk.pending.deliveries);
    }
}

static void write_consumer(struct rdb_buffer *buffer, const struct stream_consumer *consumer) {
    struct stream_pending_walk walk;
    rdb_write_string(buffer, consumer->named.name);
    rdb_write_little(buffer, (uint64_t)consumer->seen_ms, 8);
    rdb_write_length(buffer, consumer->pending.count);
    bool found = stream_pending_seek(&walk, &consumer->pending, (struct stream_id){0, 0});
    for (; found && !buffer->failed; found = stream_pending_next(&walk)) {
        write_id(buffer, walk.pending.id);
    }
}

static void write_group(struct rdb_buffer *buffer, const struct stream_group *group) {
    rdb_write_string(buffer, group->named.name);
    write_id_lengths(buffer, group->last_id);
    rdb_write_length(buffer, (uint64_t)group->entries_read);
    write_pending(buffer, group);
    rdb_write_length(buffer, group->consumers.count);
    for (uint32_t i = 0; i < group->consumers.count && !buffer->failed; i++) {
        write_consumer(buffer, stream_consumer_at(group, i));
    }
}

void rdb_write_stream(struct rdb_buffer *buffer, const struct collection *collection) {
    const struct stream *stream = stream_of(collection);
    write_entries(buffer, collection);
    rdb_write_length(buffer, stream_count(collection));
    write_id_lengths(buffer, stream->last_id);
    write_id_lengths(buffer, stream_first_id(collection));
    write_id_lengths(buffer, stream->max_deleted_id);
    rdb_write_length(buffer, stream->entries_added);
    rdb_write_length(buffer, stream->groups.names.count);
    for (uint32_t i = 0; i < stream->groups.names.count && !buffer->failed; i++) {
        write_group(buffer, stream_group_at(&stream->groups, i));
    }
}
