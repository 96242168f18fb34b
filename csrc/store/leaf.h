/* A leaf: a node of records in order.
 *
 * Layout: header | an offset per record | a key per record | free | records | spare. Records lie at the
 * end of the node, without gaps, the first one last: offset i is the distance from the node's end to where
 * record i begins, so record i ends where record i - 1 begins and needs no length of its own. Behind the
 * first one is some of the free room too, so that records come and go there without moving others. A record
 * too long for a leaf is a pointer to a blob, marked by LEAF_OUTSIDE in its offset. Keys are what the
 * tree's order compares first: none, a hash (4 bytes), a score (8), or a hash and a score (12).
 * Threads, ownership: store/node.h; a leaf owns a count of each blob that it points to.
 * Invariants
 *   L1  From `spare` on offsets grow by the length of the record.
 *   L2  header, offsets, keys, records and what is spare fit `bytes` of the node.
 */
#pragma once

#include "base/blob.h"
#include "base/bytes.h"
#include "store/node.h"

enum {
    LEAF_RECORD_MAX = 1000, /* a longer one lies outside: a leaf has room for some of any kind */
    LEAF_OUTSIDE = 0x8000,
    LEAF_OFFSET_MASK = 0x7fff,
};

struct leaf {
    struct node node;
    uint16_t count;
    uint16_t spare; /* free bytes behind the first record */
    uint16_t offsets[];
};

enum { LEAF_HEADER_BYTES = offsetof(struct leaf, offsets) };

/* What a tree keeps beside a record: `order` compares, `extra` comes along. */
struct record_key {
    uint64_t order, extra;
};

/* Bytes that a record takes in a leaf with such keys. */
static inline uint32_t leaf_record_bytes(uint32_t key_bytes, struct bytes record) {
    uint32_t len = record.len > LEAF_RECORD_MAX ? sizeof(struct blob *) : record.len;
    return sizeof(uint16_t) + key_bytes + len;
}

static inline uint32_t leaf_offset(const struct leaf *leaf, uint32_t index) {
    return leaf->offsets[index] & LEAF_OFFSET_MASK;
}

/* Where record `index` ends, as a distance from the node's end: where the one before begins. */
static inline uint32_t leaf_record_end(const struct leaf *leaf, uint32_t index) {
    return index == 0 ? leaf->spare : leaf_offset(leaf, index - 1);
}

static inline uint32_t leaf_bytes(const struct leaf *leaf) {
    uint32_t slots = leaf->count * (uint32_t)(sizeof(uint16_t) + leaf->node.key_bytes);
    return LEAF_HEADER_BYTES + slots + leaf_record_end(leaf, leaf->count) - leaf->spare;
}

static inline bool leaf_has_room(const struct leaf *leaf, uint32_t bytes) {
    return leaf_bytes(leaf) + bytes <= leaf->node.bytes;
}

static inline const char *leaf_key_at(const struct leaf *leaf, uint32_t index) {
    return (const char *)&leaf->offsets[leaf->count] + (size_t)index * leaf->node.key_bytes;
}

/* A record whose length is over LEAF_RECORD_MAX has to be a blob's (BYTES_BLOB), of which the leaf
 * takes a count. There is room. */
void leaf_insert(struct leaf *leaf, uint32_t index, const struct record_key *key,
                 struct bytes record);
/* There is room for what it is longer. */
void leaf_replace(struct leaf *leaf, uint32_t index, const struct record_key *key,
                  struct bytes record);
void leaf_erase(struct leaf *leaf, uint32_t index, uint32_t count);

struct bytes leaf_record(const struct leaf *leaf, uint32_t index);
struct record_key leaf_key(const struct leaf *leaf, uint32_t index);

/* Appends records [from, to) of another leaf, of which the blobs are moved or shared. */
void leaf_append(struct leaf *leaf, const struct leaf *source, uint32_t from, uint32_t to);
void leaf_share_outside(struct leaf *leaf); /* takes a count of every blob */
void leaf_put_outside(struct leaf *leaf);
/* Bytes of the blobs of records [from, to). */
uint64_t leaf_outside_bytes(const struct leaf *leaf, uint32_t from, uint32_t to);

struct leaf *leaf_new(struct node_heap *heap, uint32_t key_bytes, uint32_t bytes);
void leaf_check(const struct leaf *leaf); /* L1, L2 */
