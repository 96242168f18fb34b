/* Values as bytes of Redis's dump format.
 *
 * Role: pure. Writes what one key holds (a file's item), or a value alone (DUMP), and what stands around the items of
 * a file. Large values are written through `spill`, a piece at a time.
 * Threads: an entry, with the baton of its shard; an rdb_value of a frozen collection, any thread until the thaw.
 * Errors: `failed` for refused memory or a spill that says no; what is written then is worth nothing.
 */
#pragma once

#include "rdb/rdb.h"
#include "store/collection.h"

struct rdb_buffer {
    char *at;
    size_t len, capacity;
    size_t limit; /* from which on it is spilled; 0: it only grows */
    bool (*spill)(
        struct rdb_buffer *buffer); /* takes what is there and leaves it empty; false: give up */
    void *context;
    bool compress; /* rdbcompression: strings of over 20 bytes, if they become shorter */
    bool failed;
};

/* What a key holds. The members are borrowed. */
struct rdb_value {
    struct bytes key;
    int64_t deadline_ms;                 /* 0: none */
    uint8_t type;                        /* enum value_type, and forms, as in the entry */
    const struct collection *collection; /* NULL: a pack, or a string in one piece */
    struct bytes bytes;
};
struct rdb_value rdb_value_of(const struct entry *entry);

void rdb_buffer_deinit(struct rdb_buffer *buffer);
/* Makes room for `len` bytes and returns where they go; NULL: failed. The caller adds to `len` what it used. */
char *rdb_reserve(struct rdb_buffer *buffer, size_t len);
void rdb_write(struct rdb_buffer *buffer, const void *at, size_t len);

/* The lowest version that has this form of value: RDB_VERSION or RDB_VERSION_FIELDS. */
uint32_t rdb_version_of(const struct rdb_value *value);

/* "REDIS" and the version; then redis-ver, ctime, used-mem and their like. `is_base`: of an append-only log. */
void rdb_write_header(struct rdb_buffer *buffer, uint32_t version, int64_t now_s,
                      uint64_t used_bytes, bool is_base);
void rdb_write_select(struct rdb_buffer *buffer, uint32_t db);
/* How many keys follow at least, for the reader's tables. */
void rdb_write_sizes(struct rdb_buffer *buffer, uint64_t keys, uint64_t deadlines);
/* Deadline, type, key, value. */
void rdb_write_item(struct rdb_buffer *buffer, const struct rdb_value *value);
/* The end, without the checksum: eight bytes, little-endian, of all that was written (rdb_crc64); 0 if rdbchecksum is off. */
void rdb_write_end(struct rdb_buffer *buffer);

/* DUMP: type, value, version, checksum. */
void rdb_write_dump(struct rdb_buffer *buffer, const struct rdb_value *value);

/* Redis's CRC-64 (polynomial 0xad93d23594c935a9, reflected), from 0 on. */
uint64_t rdb_crc64(uint64_t crc, const void *at, size_t len);
