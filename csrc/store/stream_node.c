/* What entries would take in Redis's listpacks. */
#include "store/stream_node.h"

#include "base/assert.h"
#include "base/varint.h"
#include "store/listpack.h"

static uint64_t listpack_bytes(const struct stream_node *node) {
    return node->bytes + listpack_integer_bytes((int64_t)node->valid) +
           listpack_integer_bytes((int64_t)node->deleted);
}

bool stream_node_takes(const struct stream_node *node, const struct stream_sizes *sizes,
                       const struct stream_limits *limits) {
    uint64_t bytes = (uint64_t)limits->node_bytes;
    if (bytes == 0 || bytes > STREAM_LISTPACK_BYTES_MAX) {
        bytes = STREAM_LISTPACK_BYTES_MAX;
    }
    return listpack_bytes(node) + sizes->raw_bytes < bytes &&
           (limits->node_entries == 0 ||
            node->valid + node->deleted < (uint64_t)limits->node_entries);
}

/* Flags, both parts of the id as they differ from the node's, and how many elements that is. */
static uint64_t entry_bytes(const struct stream_node *node, struct stream_id id,
                            const struct stream_sizes *sizes, bool same) {
    int64_t fields = (int64_t)sizes->count;
    uint64_t bytes =
        listpack_integer_bytes(0) + listpack_integer_bytes((int64_t)(id.ms - node->first.ms)) +
        listpack_integer_bytes((int64_t)(id.seq - node->first.seq)) + sizes->value_bytes;
    if (same) {
        return bytes + listpack_integer_bytes(fields + 3);
    }
    return bytes + listpack_integer_bytes(fields) + sizes->name_bytes +
           listpack_integer_bytes(2 * fields + 4);
}

struct stream_node stream_node_begin(struct stream_id id, const struct stream_sizes *sizes,
                                     uint32_t shape) {
    struct stream_node node = {.first = id, .shape = shape};
    node.bytes = LISTPACK_FRAME_BYTES + listpack_integer_bytes((int64_t)sizes->count) +
                 sizes->name_bytes + listpack_integer_bytes(0);
    stream_node_add(&node, id, sizes, true);
    return node;
}

void stream_node_add(struct stream_node *node, struct stream_id id,
                     const struct stream_sizes *sizes, bool same) {
    node->bytes += entry_bytes(node, id, sizes, same);
    node->last = id;
    node->valid++;
}

size_t stream_node_write(char to[STREAM_NODE_BYTES_MAX], const struct stream_node *node) {
    char *at = to;
    at += varint_write(at, node->first.ms);
    at += varint_write(at, node->first.seq);
    at += varint_write(at, node->last.ms - node->first.ms);
    at += varint_write(at, node->last.seq);
    at += varint_write(at, node->valid);
    at += varint_write(at, node->valid + node->deleted); /* so a record never gets longer */
    at += varint_write(at, node->bytes);
    at += varint_write(at, node->shape);
    KRT_DCHECK(at - to <= STREAM_NODE_BYTES_MAX);
    return (size_t)(at - to);
}

struct stream_node stream_node_read(struct bytes record) {
    const char *at = record.at;
    struct stream_node node;
    node.first.ms = varint_read(&at);
    node.first.seq = varint_read(&at);
    node.last.ms = node.first.ms + varint_read(&at);
    node.last.seq = varint_read(&at);
    node.valid = varint_read(&at);
    node.deleted = varint_read(&at) - node.valid;
    node.bytes = varint_read(&at);
    node.shape = (uint32_t)varint_read(&at);
    return node;
}
