/* Redis's nodes of a stream: what its approximate trimming and XINFO's radix-tree-keys count by.
 *
 * Role: Redis keeps the entries of a stream in listpacks of some kilobytes. Ours lie in a tree, but which
 * of them would share a listpack is kept beside them, so that whatever takes whole nodes takes exactly
 * what Redis takes. Of a node that is a record of a tree by id (its first id); of the last one, which
 * entries come to, it is a part of struct stream.
 * Bounds: a record is at most STREAM_NODE_BYTES_MAX.
 */
#pragma once

#include "base/bytes.h"
#include "store/stream_id.h"

enum { STREAM_NODE_BYTES_MAX = 72, STREAM_LISTPACK_BYTES_MAX = 1 << 30 };

struct stream_node {
    struct stream_id first, last; /* of all that came to it, whether they are still there or not */
    uint64_t valid, deleted;      /* entries; `valid` is 0 where XTRIM MINID took the last ones */
    uint64_t bytes;               /* of the listpack, but for its two counters */
    uint32_t shape; /* of the names that it begins with: index + 1, or 0 if they are no shape */
};

struct stream_limits { /* stream-node-max-bytes, stream-node-max-entries; 0: none */
    int64_t node_bytes, node_entries;
};

/* An entry as far as a node is concerned. */
struct stream_sizes {
    uint64_t count;                   /* of fields */
    uint64_t raw_bytes;               /* of names and values */
    uint64_t name_bytes, value_bytes; /* as elements of a listpack */
};

/* Does the entry still go to this node? */
bool stream_node_takes(const struct stream_node *node, const struct stream_sizes *sizes,
                       const struct stream_limits *limits);
/* A node that the entry begins. */
struct stream_node stream_node_begin(struct stream_id id, const struct stream_sizes *sizes,
                                     uint32_t shape);
/* The entry comes to it; `same`: with the names that the node begins with. */
void stream_node_add(struct stream_node *node, struct stream_id id,
                     const struct stream_sizes *sizes, bool same);

size_t stream_node_write(char to[STREAM_NODE_BYTES_MAX], const struct stream_node *node);
struct stream_node stream_node_read(struct bytes record);
