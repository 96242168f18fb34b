/* A pack: the records of a small value, in as few bytes as they need.
 *
 * Layout: their number (2 bytes), then each record: length (store/varint), bytes. A sorted set's begin
 * with 8 bytes of its score's order. Reading is by going along; a pack is at most PACK_BYTES_MAX.
 */
#pragma once

#include "base/bytes.h"
#include "base/varint.h"
#include "store/collection.h"

static inline uint32_t pack_count(struct bytes pack) {
    uint16_t count;
    if (pack.len == 0) {
        return 0;
    }
    memcpy(&count, pack.at, sizeof count);
    return count;
}

static inline void pack_set_count(char *pack, uint32_t count) {
    uint16_t narrow = (uint16_t)count;
    memcpy(pack, &narrow, sizeof narrow);
}

/* What an element takes. */
static inline uint32_t pack_element_bytes(enum value_type type, struct bytes record) {
    char head[VARINT_BYTES_MAX];
    uint32_t len = record.len + (type == VALUE_ZSET ? 8 : 0);
    return len + (uint32_t)varint_write(head, len);
}

/* Writes it and returns behind it. */
static inline char *pack_element_write(char *to, enum value_type type, const struct record_key *key,
                                       struct bytes record) {
    to += varint_write(to, record.len + (type == VALUE_ZSET ? 8u : 0u));
    if (type == VALUE_ZSET) {
        memcpy(to, &key->order, 8);
        to += 8;
    }
    bytes_copy(to, record.at, record.len);
    return to + record.len;
}
