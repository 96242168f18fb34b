/* Dump files and payloads against libFuzzer: whatever the bytes and however they come, they are refused or they are values, which
 * hold every invariant, and which our own dump brings back as they are; nothing is looked at beyond its end, and nothing is left
 * behind, also when memory runs out at any point.
 *
 * An input is two bytes of settings, then what comes behind the head of a file, or a type and a value; versions and checksums are
 * made right, so that mutations get past them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "rdb/reader.h"
#include "rdb/writer.h"

enum { SETTINGS_BYTES = 2, HEAD_BYTES = 9, FOOTER_BYTES = 10, SHARDS = 2, DATABASES = 16 };

enum { /* bits of the first byte */
       FUZZ_FILE = 1,
       FUZZ_PIECES = 2,
       FUZZ_NO_MEMORY = 4,
       FUZZ_SMALL_LIMITS = 8,
       FUZZ_NOTHING_KEPT = 16,
};

struct world {
    struct hash_seed seed;
    struct keyspace shards[SHARDS], other;
    struct random_state random;
    const char *rest; /* of a file that comes in pieces */
    size_t rest_len;
    char *piece;
};

static const struct small_limits usual_limits = {128, 64, 512, 128, 64, 128, 64, -2, 4096, 100};
static const struct small_limits small_limits = {2, 4, 2, 2, 4, 2, 4, 2, 40, 2};

static void world_init(struct world *world, uint8_t seed) {
    *world = (struct world){.seed = {.a = 5, .b = 7}};
    random_seed(&world->random, seed);
    for (uint32_t i = 0; i < SHARDS; i++)
        KRT_ASSERT(keyspace_init(&world->shards[i], i, DATABASES, i, &world->seed));
    KRT_ASSERT(keyspace_init(&world->other, 0, DATABASES, 0, &world->seed));
}

static void keyspace_end(struct keyspace *keyspace) {
    keyspace_check(keyspace);
    keyspace_deinit(keyspace);
    KRT_ASSERT(keyspace->account.used_bytes == 0 && keyspace->page_account.used_bytes == 0);
}

static void world_deinit(struct world *world) {
    for (uint32_t i = 0; i < SHARDS; i++) keyspace_end(&world->shards[i]);
    keyspace_end(&world->other);
    free(world->piece);
}

static struct keyspace *enter(void *context, uint64_t hash) {
    struct world *world = context;
    return &world->shards[hash_shard(hash, SHARDS)];
}

static void leave(void *context, struct keyspace *keyspace) {
    (void)context;
    (void)keyspace;
}

/* Each piece in memory of its own, so that a look beyond it is seen. */
static int refill(struct rdb_input *input) {
    struct world *world = input->context;
    size_t left = (size_t)(input->end - input->at);
    size_t len = 1 + random_below(&world->random, 1u << random_below(&world->random, 9));
    len = len < world->rest_len ? len : world->rest_len;
    if (len == 0) return 0;
    char *piece = malloc(left + len);
    KRT_ASSERT(piece != NULL);
    if (left > 0) memcpy(piece, input->at, left);
    memcpy(piece + left, world->rest, len);
    world->rest += len;
    world->rest_len -= len;
    free(world->piece);
    world->piece = piece;
    input->at = piece;
    input->end = piece + left + len;
    return 1;
}

/* ---- Our own dumps ------------------------------------------------------------------------------ */

static struct rdb_buffer dump(const struct entry *entry) {
    struct rdb_buffer buffer = {0};
    struct rdb_value value = rdb_value_of(entry);
    rdb_write_dump(&buffer, &value);
    KRT_ASSERT(!buffer.failed);
    return buffer;
}

static void check_entry(void *context, struct entry *entry) {
    struct world *world = context;
    struct entry *again;
    struct edit_place place = {&world->other, 0, 1, BYTES_LITERAL("key")};
    place.hash = hash_bytes(&world->seed, place.key.at, place.key.len);
    if (entry_is_tree(entry)) collection_check(entry_collection(entry));
    struct rdb_buffer first = dump(entry);
    enum rdb_status status =
        rdb_restore(bytes_of(first.at, first.len), &usual_limits, &place, 0, NULL, &again);
    KRT_ASSERT(status == RDB_OK);
    struct rdb_buffer second = dump(again);
    KRT_ASSERT(first.len == second.len && memcmp(first.at, second.at, first.len) == 0);
    rdb_buffer_deinit(&first);
    rdb_buffer_deinit(&second);
    keyspace_delete(&world->other, 0, place.hash, again);
}

static void check_all(struct world *world) {
    for (uint32_t i = 0; i < SHARDS; i++)
        for (uint32_t db = 0; db < DATABASES; db++)
            keyspace_walk(&world->shards[i], db, check_entry, world);
}

/* ---- Inputs ------------------------------------------------------------------------------------- */

static enum rdb_status load(struct world *world, uint8_t flags, char *at, size_t len) {
    struct rdb_input input = {.at = at, .end = at + len, .skip_checksum = true};
    struct rdb_target target = {
        .context = world,
        .hash_seed = &world->seed,
        .small = flags & FUZZ_SMALL_LIMITS ? small_limits : usual_limits,
        .database_count = DATABASES,
        .shard_count = SHARDS,
        .enter = flags & FUZZ_NOTHING_KEPT ? NULL : enter,
        .leave = leave,
    };
    if (flags & FUZZ_PIECES) {
        world->rest = at;
        world->rest_len = len;
        input.at = input.end = NULL;
        input.refill = refill;
        input.context = world;
    }
    return rdb_load(&input, &target);
}

static enum rdb_status restore(struct world *world, uint8_t flags, char *at, size_t len) {
    struct entry *entry;
    const uint16_t version = RDB_VERSION_MAX;
    struct edit_place place = {&world->shards[0], 0, 1, BYTES_LITERAL("key")};
    place.hash = hash_bytes(&world->seed, place.key.at, place.key.len);
    memcpy(at + len, &version, sizeof version);
    uint64_t checksum = rdb_crc64(0, at, len + sizeof version);
    memcpy(at + len + sizeof version, &checksum, sizeof checksum);
    return rdb_restore(bytes_of(at, len + FOOTER_BYTES),
                       flags & FUZZ_SMALL_LIMITS ? &small_limits : &usual_limits, &place, 0, NULL,
                       flags & FUZZ_NOTHING_KEPT ? NULL : &entry);
}

static void run(uint8_t flags, uint8_t seed, char *at, size_t len) {
    struct world world;
    world_init(&world, seed);
    if (flags & FUZZ_NO_MEMORY) mem_fail_after(1 + seed);
    enum rdb_status status =
        flags & FUZZ_FILE ? load(&world, flags, at, len) : restore(&world, flags, at, len);
    mem_fail_after(0);
    KRT_ASSERT(status != RDB_NO_MEMORY || flags & FUZZ_NO_MEMORY);
    if (!(flags & FUZZ_NO_MEMORY)) check_all(&world);
    world_deinit(&world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < SETTINGS_BYTES) return 0;
    uint8_t flags = data[0];
    size_t head = flags & FUZZ_FILE ? HEAD_BYTES : 0, len = head + size - SETTINGS_BYTES;
    char *at = malloc(len + (flags & FUZZ_FILE ? 0 : FOOTER_BYTES));
    KRT_ASSERT(at != NULL || len == 0);
    memcpy(at, "REDIS0012", head);
    memcpy(at + head, data + SETTINGS_BYTES, size - SETTINGS_BYTES);
    run(flags, data[1], at, len);
    free(at);
    return 0;
}
