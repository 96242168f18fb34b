/* What entries would take in Redis's listpacks. */
#include "store/stream_node.h"

#include "base/assert.h"
#include "base/varint.h"

enum { LISTPACK_FRAME_BYTES = 7 };

/* ---- Elements -------------------------------------------------------------------------------- */

/* Behind each element stands how long it is. */
static uint64_t with_length(uint64_t bytes) {
    if (bytes <= 127) {
        return bytes + 1;
    }
    return bytes + (bytes < 16383 ? 2 : bytes < 2097151 ? 3 : bytes < 268435455 ? 4 : 5);
}

static uint64_t integer_bytes(int64_t value) {
    static const struct {
        int64_t low, high;
        uint8_t bytes;
    } kinds[] = {
        {0, 127, 1},
        {-4096, 4095, 2},
        {INT16_MIN, INT16_MAX, 3},
        {-(1 << 23), (1 << 23) - 1, 4},
        {INT32_MIN, INT32_MAX, 5},
    };
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (value >= kinds[i].low && value <= kinds[i].high) {
            return kinds[i].bytes + 1u;
        }
    }
    return 9 + 1;
}

static bool may_be_integer(struct bytes element) {
    return element.len > 0 && element.len <= 20 && element.at[0] <= '9';
}

uint64_t stream_element_bytes(struct bytes element) {
    int64_t value;
    if (may_be_integer(element) && bytes_to_int64(element, &value)) {
        return integer_bytes(value);
    }
    return with_length((uint64_t)element.len + (element.len < 64 ? 1 : element.len < 4096 ? 2 : 5));
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static uint64_t listpack_bytes(const struct stream_node *node) {
    return node->bytes + integer_bytes((int64_t)node->valid) +
           integer_bytes((int64_t)node->deleted);
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
    uint64_t bytes = integer_bytes(0) + integer_bytes((int64_t)(id.ms - node->first.ms)) +
                     integer_bytes((int64_t)(id.seq - node->first.seq)) + sizes->value_bytes;
    if (same) {
        return bytes + integer_bytes(fields + 3);
    }
    return bytes + integer_bytes(fields) + sizes->name_bytes + integer_bytes(2 * fields + 4);
}

struct stream_node stream_node_begin(struct stream_id id, const struct stream_sizes *sizes,
                                     uint32_t shape) {
    struct stream_node node = {.first = id, .shape = shape};
    node.bytes = LISTPACK_FRAME_BYTES + integer_bytes((int64_t)sizes->count) + sizes->name_bytes +
                 integer_bytes(0);
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
