/* Reading the payload of one value: type, value, version (2 bytes), checksum (8). */
#include "base/assert.h"
#include "rdb/value.h"
#include "rdb/writer.h"

enum { VERSION_BYTES = 2, CHECKSUM_BYTES = 8, FOOTER_BYTES = VERSION_BYTES + CHECKSUM_BYTES };

bool rdb_dump_is_valid(struct bytes payload) {
    if (payload.len < FOOTER_BYTES) {
        return false;
    }
    const char *footer = payload.at + payload.len - FOOTER_BYTES;
    uint16_t version;
    uint64_t checksum;
    memcpy(&version, footer, sizeof version);
    memcpy(&checksum, footer + VERSION_BYTES, sizeof checksum);
    if (version > RDB_VERSION_MAX) {
        return false;
    }
    return checksum == rdb_crc64(0, payload.at, payload.len - CHECKSUM_BYTES);
}

static bool read_value(struct value_maker *maker, struct built *built) {
    uint8_t type;
    bool is_empty;
    if (!source_u8(maker->source, &type) || !value_read(maker, type, built, &is_empty)) {
        return false;
    }
    if (is_empty) {
        built_drop(built);
        return source_damaged(maker->source, "a value without elements");
    }
    return true;
}

enum rdb_status rdb_restore(struct bytes payload, const struct small_limits *small,
                            const struct edit_place *place, int64_t deadline_ms,
                            struct entry *found, struct entry **out) {
    struct built built;
    struct source source;
    struct keyspace *keyspace = place->keyspace;
    if (!rdb_dump_is_valid(payload)) {
        return RDB_DAMAGED;
    }
    struct rdb_input input = {
        .at = payload.at, .end = payload.at + payload.len - FOOTER_BYTES, .skip_checksum = true};
    source_init(&source, &input);
    struct value_maker maker = {
        .source = &source, .heap = &keyspace->nodes, .seed = keyspace->hash_seed, .small = small};
    if (read_value(&maker, &built)) {
        if (out != NULL && (*out = built_store(&built, place, deadline_ms, found)) == NULL) {
            (void)source_fail(&source, RDB_NO_MEMORY, "out of memory");
        }
        built_drop(&built);
    }
    node_unreserve(&keyspace->nodes);
    source_deinit(&source);
    return source.status;
}
