/* What the tests of rdb/ share: files that are written byte by byte, and shards that they are read into. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rdb/reader.h"
#include "rdb/writer.h"
#include "store/build.h"
#include "store/hash_fields.h"
#include "store/stream.h"
#include "store/stream_pending.h"

/* ---- Files ------------------------------------------------------------------------------------- */

struct file {
    char *at;
    size_t len, room;
};

static inline void file_free(struct file *file) {
    free(file->at);
    *file = (struct file){0};
}

static inline void put(struct file *file, const void *at, size_t len) {
    if (file->len + len > file->room) {
        file->room = 2 * (file->len + len);
        file->at = realloc(file->at, file->room);
    }
    if (len > 0) memcpy(file->at + file->len, at, len);
    file->len += len;
}

static inline void put_byte(struct file *file, unsigned byte) {
    char narrow = (char)byte;
    put(file, &narrow, 1);
}

static inline void put_length(struct file *file, uint64_t len) {
    if (len < 64) {
        put_byte(file, (unsigned)len);
        return;
    }
    put_byte(file, 0x81);
    for (int shift = 56; shift >= 0; shift -= 8) put_byte(file, len >> shift & 0xff);
}

static inline void put_bytes(struct file *file, struct bytes bytes) {
    put_length(file, bytes.len);
    put(file, bytes.at, bytes.len);
}

static inline void put_text(struct file *file, const char *text) {
    put_bytes(file, bytes_of(text, strlen(text)));
}

static inline void put_little(struct file *file, uint64_t value, unsigned bytes) {
    put(file, &value, bytes);
}

static inline void put_head(struct file *file, unsigned version) {
    char head[16];
    snprintf(head, sizeof head, "REDIS%04u", version);
    put(file, head, 9);
}

static inline void put_end(struct file *file) {
    put_byte(file, RDB_OP_EOF);
    put_little(file, rdb_crc64(0, file->at, file->len), 8);
}

static inline void put_string_item(struct file *file, const char *key, const char *value) {
    put_byte(file, RDB_STRING);
    put_text(file, key);
    put_text(file, value);
}

/* ---- Shards ------------------------------------------------------------------------------------ */

enum { SHARDS = 3, DATABASES = 4 };

struct world {
    struct hash_seed seed;
    struct keyspace shards[SHARDS];
    const struct keyspace *held;
    uint64_t entered, enters_left; /* of which the last one is refused */
    struct rdb_target target;
    struct rdb_input input;
    const char *rest; /* of a file that comes in pieces */
    size_t rest_len, piece;
    char *piece_at;
    char aux[256];
    uint32_t functions;
};

static inline struct keyspace *world_shard(struct world *world, uint64_t hash) {
    return &world->shards[hash_shard(hash, SHARDS)];
}

static struct keyspace *world_enter(void *context, uint64_t hash) {
    struct world *world = context;
    assert_null(world->held);
    if (--world->enters_left == 0) return NULL;
    world->entered++;
    world->held = world_shard(world, hash);
    return world_shard(world, hash);
}

static void world_leave(void *context, struct keyspace *keyspace) {
    struct world *world = context;
    assert_ptr_equal(world->held, keyspace);
    world->held = NULL;
}

static void world_aux(void *context, struct bytes name, struct bytes value) {
    struct world *world = context;
    size_t len = strlen(world->aux);
    snprintf(world->aux + len, sizeof world->aux - len, "%.*s=%.*s;", (int)name.len, name.at,
             (int)value.len, value.at);
}

static bool world_function(void *context, struct bytes code) {
    struct world *world = context;
    world->functions++;
    return !bytes_equal(code, BYTES_LITERAL("bad"));
}

static const struct small_limits usual_limits = {
    .hash_entries = 128,
    .hash_value = 64,
    .set_integers = 512,
    .set_entries = 128,
    .set_value = 64,
    .zset_entries = 128,
    .zset_value = 64,
    .list_size = -2,
    .stream_bytes = 4096,
    .stream_entries = 100,
};

static inline void world_init(struct world *world) {
    *world = (struct world){.seed = {.a = 11, .b = 23}, .enters_left = UINT64_MAX};
    for (uint32_t i = 0; i < SHARDS; i++)
        assert_true(keyspace_init(&world->shards[i], i, DATABASES, i, &world->seed));
    world->target = (struct rdb_target){
        .context = world,
        .hash_seed = &world->seed,
        .small = usual_limits,
        .database_count = DATABASES,
        .shard_count = SHARDS,
        .enter = world_enter,
        .leave = world_leave,
        .function = world_function,
        .aux = world_aux,
    };
}

/* Nothing may be left, and nothing may be held. */
static inline void world_deinit(struct world *world) {
    assert_null(world->held);
    for (uint32_t i = 0; i < SHARDS; i++) {
        keyspace_check(&world->shards[i]);
        keyspace_deinit(&world->shards[i]);
        assert_int_equal(world->shards[i].account.used_bytes, 0);
        assert_int_equal(world->shards[i].page_account.used_bytes, 0);
    }
    free(world->piece_at);
}

static inline uint64_t world_hash(const struct world *world, struct bytes key) {
    return hash_bytes(&world->seed, key.at, key.len);
}

static inline struct edit_place world_place(struct world *world, uint32_t db, struct bytes key) {
    uint64_t hash = world_hash(world, key);
    return (struct edit_place){world_shard(world, hash), db, hash, key};
}

static inline struct entry *world_find(struct world *world, uint32_t db, const char *key) {
    struct edit_place place = world_place(world, db, bytes_of(key, strlen(key)));
    return keyspace_find(place.keyspace, db, place.hash, place.key);
}

static inline uint64_t world_count(const struct world *world) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < SHARDS; i++) count += keyspace_count_all(&world->shards[i]);
    return count;
}

/* Each piece in memory of its own, so that a look beyond it is seen. */
static int world_refill(struct rdb_input *input) {
    struct world *world = input->context;
    size_t left = (size_t)(input->end - input->at);
    size_t len = world->rest_len < world->piece ? world->rest_len : world->piece;
    if (len == 0) return 0;
    char *at = malloc(left + len);
    if (left > 0) memcpy(at, input->at, left);
    memcpy(at + left, world->rest, len);
    world->rest += len;
    world->rest_len -= len;
    free(world->piece_at);
    world->piece_at = at;
    input->at = at;
    input->end = at + left + len;
    return 1;
}

/* piece: 0 is all of it at once. */
static inline enum rdb_status world_load(struct world *world, const struct file *file,
                                         size_t piece) {
    world->input = (struct rdb_input){.at = file->at, .end = file->at + file->len};
    if (piece > 0) {
        world->rest = file->at;
        world->rest_len = file->len;
        world->piece = piece;
        world->input = (struct rdb_input){.refill = world_refill, .context = world};
    }
    enum rdb_status status = rdb_load(&world->input, &world->target);
    assert_null(world->held);
    assert_true(status == RDB_OK || world->input.text[0] != 0);
    return status;
}

/* What the whole of it is, as a file: each key alone, in the order of the files that it is compared with. */
static inline struct file dump_of(const struct entry *entry) {
    struct rdb_buffer buffer = {0};
    struct rdb_value value = rdb_value_of(entry);
    rdb_write_item(&buffer, &value);
    assert_false(buffer.failed);
    struct file file = {0};
    put(&file, buffer.at, buffer.len);
    rdb_buffer_deinit(&buffer);
    return file;
}
