/* Values written: in pieces as in one, frozen as they were, and with memory refused at every place. That redis-server reads
 * them is tested over the wire (tests/wire/test_dump.py). */
#include "cmd/cmd_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "rdb/writer.h"

enum { ATTEMPTS_MAX = 400, MANY = 700, SHARDS = 1 };

/* ---- Values ---------------------------------------------------------------------------------- */

/* Lines of commands, some of them so many times, with the number for `#`. */
static const struct {
    const char *line;
    uint32_t times;
} made[] = {
    {"SET number -12345", 1},
    {"SET text hello", 1},
    {"SET repeated %500", 1},
    {"SET blob &200000", 1},
    {"SET paged 1", 1},
    {"SETRANGE paged 1100000 %9000", 1},
    {"SETRANGE paged 600000 #", 50},
    {"RPUSH few a 1 %100 b", 1},
    {"RPUSH many element:#", MANY},
    {"SADD some a b 3", 1},
    {"SADD all # member:#", MANY},
    {"ZADD small 1 a -inf b 0.5 c", 1},
    {"ZADD large # m:#", MANY},
    {"HSET pack f v g 5", 1},
    {"HSET table f:# %30", MANY},
    {"HSET due a 1 b 2 c 3", 1},
    {"HPEXPIRE due 5000 FIELDS 1 b", 1},
    {"HSET dues f:# v", MANY},
    {"HPEXPIRE dues # FIELDS 1 f:#", MANY},
    {"XADD stream #-1 name n:# age #", MANY},
    {"XADD stream #00000-1 other#5 x", 90},
    {"XDEL stream 3-1 4-1 5-1 6-1 7-1 9-1", 1},
    {"XGROUP CREATE stream g 0", 1},
    {"XREADGROUP GROUP g c COUNT 500 STREAMS stream >", 1},
    {"PEXPIRE text 100000", 1},
};

static void run_numbered(struct world *world, const char *line, uint32_t number) {
    char text[256];
    size_t len = 0;
    for (const char *at = line; *at; at++) {
        if (*at != '#') text[len++] = *at;
        else len += (size_t)snprintf(text + len, sizeof text - len, "%u", number);
        assert_true(len < sizeof text - 16);
    }
    text[len] = '\0';
    world_run(world, text);
    assert_false(world->failed);
}

/* One for all tests; the last of them changes it. */
static int make_world(void **state) {
    if (world_bind(state) < 0) return -1;
    struct world *world = world_new(SHARDS);
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        for (uint32_t number = 1; number <= made[i].times; number++)
            run_numbered(world, made[i].line, number);
    *state = world;
    return 0;
}

static int free_world(void **state) {
    world_free(*state);
    return 0;
}

typedef void visit_value(void *context, const struct rdb_value *value);

struct visiting {
    visit_value *visit;
    void *context;
};

static void visit_entry(void *context, struct entry *entry) {
    const struct visiting *visiting = context;
    struct rdb_value value = rdb_value_of(entry);
    visiting->visit(visiting->context, &value);
}

static void each_value(struct world *world, visit_value *visit, void *context) {
    struct visiting visiting = {visit, context};
    keyspace_walk(world->by_shard[0], 0, visit_entry, &visiting);
}

/* ---- In pieces ------------------------------------------------------------------------------- */

struct pieces {
    char *at;
    size_t len, room, largest;
    uint32_t left; /* spills that are taken */
};

static bool take(struct rdb_buffer *buffer) {
    struct pieces *pieces = buffer->context;
    if (pieces->left-- == 0) return false;
    if (pieces->len + buffer->len > pieces->room) {
        pieces->room = 2 * (pieces->len + buffer->len);
        pieces->at = realloc(pieces->at, pieces->room);
    }
    if (buffer->len > 0) memcpy(pieces->at + pieces->len, buffer->at, buffer->len);
    pieces->len += buffer->len;
    pieces->largest = buffer->len > pieces->largest ? buffer->len : pieces->largest;
    buffer->len = 0;
    return true;
}

static void check_pieces(void *context, const struct rdb_value *value) {
    const size_t *limit = context;
    for (int compress = 0; compress < 2; compress++) {
        struct rdb_buffer whole = {.compress = compress};
        struct pieces pieces = {.left = UINT32_MAX};
        struct rdb_buffer parts = {
            .compress = compress, .limit = *limit, .spill = take, .context = &pieces};
        rdb_write_item(&whole, value);
        rdb_write_item(&parts, value);
        assert_false(whole.failed || parts.failed);
        assert_true(take(&parts));
        assert_int_equal(pieces.len, whole.len);
        assert_memory_equal(pieces.at, whole.at, whole.len);
        if (!compress) assert_true(pieces.largest <= *limit);
        free(pieces.at);
        rdb_buffer_deinit(&whole);
        rdb_buffer_deinit(&parts);
    }
}

static void test_in_pieces(void **state) {
    size_t limits[] = {32, 100, 4096, 100000};
    struct world *world = *state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        each_value(world, check_pieces, &limits[i]);
}

/* However long a value is, the buffer is not. */
static void check_room(void *context, const struct rdb_value *value) {
    struct pieces pieces = {.left = UINT32_MAX};
    struct rdb_buffer buffer = {
        .compress = true, .limit = 1 << 16, .spill = take, .context = &pieces};
    (void)context;
    rdb_write_item(&buffer, value);
    assert_false(buffer.failed);
    assert_true(buffer.capacity <= 4 << 16);
    free(pieces.at);
    rdb_buffer_deinit(&buffer);
}

static void test_room(void **state) {
    struct world *world = *state;
    each_value(world, check_room, NULL);
}

/* ---- Refused --------------------------------------------------------------------------------- */

static void check_refused(void *context, const struct rdb_value *value) {
    bool written = false;
    (void)context;
    for (long allowed = 1; !written; allowed++) {
        struct rdb_buffer buffer = {.compress = true};
        assert_true(allowed < ATTEMPTS_MAX);
        mem_fail_after(allowed);
        rdb_write_dump(&buffer, value);
        mem_fail_after(0);
        written = !buffer.failed;
        assert_true(written || rdb_reserve(&buffer, 1) == NULL);
        rdb_buffer_deinit(&buffer);
    }
}

static void check_spills_refused(void *context, const struct rdb_value *value) {
    bool written = false;
    (void)context;
    for (uint32_t taken = 0; !written; taken += 1 + taken / 2) {
        struct pieces pieces = {.left = taken};
        struct rdb_buffer buffer = {.limit = 1000, .spill = take, .context = &pieces};
        rdb_write_item(&buffer, value);
        written = !buffer.failed;
        assert_true(written || pieces.left == UINT32_MAX); /* it was not asked again */
        free(pieces.at);
        rdb_buffer_deinit(&buffer);
    }
}

static void test_refused(void **state) {
    struct world *world = *state;
    each_value(world, check_refused, NULL);
    each_value(world, check_spills_refused, NULL);
}

/* DUMP itself: an error, and the same answer as before once there is memory. */
static void test_dump_refused(void **state) {
    static const char *const lines[] = {"DUMP number", "DUMP many", "DUMP table", "DUMP due"};
    struct world *world = *state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bool failed = true;
        for (world->fail_after = 1; failed; world->fail_after++) {
            assert_true(world->fail_after < ATTEMPTS_MAX);
            world_run(world, lines[i]);
            failed = world->failed || world->lost;
        }
        assert_true(world->fail_after > 2);
        world->fail_after = 0;
    }
}

/* ---- Frozen ---------------------------------------------------------------------------------- */

enum { FROZEN_MAX = 32 };

struct frozen {
    struct rdb_value value;
    struct collection *collection;
    struct rdb_buffer before;
    char key[16]; /* the entry and its own may go */
};

struct frozen_values {
    struct frozen at[FROZEN_MAX];
    uint32_t count;
};

static void freeze_value(void *context, const struct rdb_value *value) {
    struct frozen_values *values = context;
    if (value->collection == NULL) return;
    assert_true(values->count < FROZEN_MAX);
    struct frozen *frozen = &values->at[values->count++];
    *frozen = (struct frozen){.value = *value, .before = {.compress = true}};
    rdb_write_item(&frozen->before, value);
    frozen->collection = collection_freeze(value->collection);
    assert_non_null(frozen->collection);
    assert_true(value->key.len <= sizeof frozen->key);
    memcpy(frozen->key, value->key.at, value->key.len);
    frozen->value.collection = frozen->collection;
    frozen->value.key.at = frozen->key;
}

static void check_frozen(struct frozen *frozen) {
    struct rdb_buffer after = {.compress = true};
    rdb_write_item(&after, &frozen->value);
    assert_false(after.failed);
    assert_int_equal(after.len, frozen->before.len);
    assert_memory_equal(after.at, frozen->before.at, after.len);
    rdb_buffer_deinit(&after);
    rdb_buffer_deinit(&frozen->before);
    collection_unfreeze(frozen->collection);
}

static void test_frozen(void **state) {
    static struct frozen_values values;
    struct world *world = *state;
    values.count = 0;
    world_freeze(world);
    each_value(world, freeze_value, &values);
    assert_int_equal(values.count, 7);
    world_run_all(world, "SETRANGE paged 600000 xxxx; LPUSH many x; LPOP many; RPOP many; "
                         "SADD all x; SREM all 7; ZADD large 5 m:9; ZREM large m:77; "
                         "HSET table f:7 x; HDEL table f:8; HDEL dues f:3; XACK stream g 1-1; "
                         "XDEL stream 100-1; XGROUP CREATE stream h 0; DEL all; APPEND paged x");
    for (uint32_t i = 0; i < values.count; i++) check_frozen(&values.at[i]);
    world_thaw(world);
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static struct entry *entry_of(struct world *world, const char *key) {
    uint64_t hash = hash_bytes(&world->domain.hash_seed, key, strlen(key));
    struct entry *entry = keyspace_find(world->by_shard[0], 0, hash, bytes_of(key, strlen(key)));
    assert_non_null(entry);
    return entry;
}

static void expect(struct rdb_buffer *buffer, const char *expected, size_t len) {
    assert_false(buffer->failed);
    assert_int_equal(buffer->len, len);
    assert_memory_equal(buffer->at, expected, len);
    rdb_buffer_deinit(buffer);
}

#define EXPECT(buffer, text) expect(buffer, text, sizeof(text) - 1)

/* Redis 7.4's form of a hash with deadlines: the earliest, then each field's, counted from it and one more. */
static void test_fields_with_deadlines(void **state) {
    struct world *world = world_new(SHARDS);
    struct rdb_buffer buffer = {0};
    (void)state;
    world_run_all(world, "HSET h a 1 b x c 2; HPEXPIREAT h 2000000 FIELDS 1 b; "
                         "HPEXPIREAT h 2000100 FIELDS 1 a; HSET p f v");
    struct rdb_value value = rdb_value_of(entry_of(world, "h"));
    assert_int_equal(rdb_version_of(&value), RDB_VERSION_FIELDS);
    rdb_write_item(&buffer, &value);
    EXPECT(&buffer, "\x18\x01h"
                    "\x80\x84\x1e\0\0\0\0\0"
                    "\x03"
                    "\x40\x65\x01\x61\xc0\x01"
                    "\x01\x01\x62\x01x"
                    "\0\x01\x63\xc0\x02");
    value = rdb_value_of(entry_of(world, "p"));
    assert_int_equal(rdb_version_of(&value), RDB_VERSION);
    rdb_write_item(&buffer, &value);
    EXPECT(&buffer, "\x04\x01p\x01\x01\x66\x01v");
    world_free(world);
}

static void test_lengths(void **state) {
    struct rdb_buffer buffer = {0};
    (void)state;
    rdb_write_sizes(&buffer, 63, 64);
    EXPECT(&buffer, "\xfb\x3f\x40\x40");
    rdb_write_sizes(&buffer, 16383, 16384);
    EXPECT(&buffer, "\xfb\x7f\xff\x80\0\0\x40\0");
    rdb_write_sizes(&buffer, UINT32_MAX, UINT64_C(1) << 32);
    EXPECT(&buffer, "\xfb\x80\xff\xff\xff\xff\x81\0\0\0\1\0\0\0\0");
    rdb_write_select(&buffer, 300);
    EXPECT(&buffer, "\xfe\x41\x2c");
}

static void test_head_and_end(void **state) {
    struct rdb_buffer buffer = {0};
    (void)state;
    rdb_write_header(&buffer, RDB_VERSION, 1000, 70000, true);
    rdb_write_end(&buffer);
    EXPECT(&buffer, "REDIS0010"
                    "\xfa\x09redis-ver\x05" KEVYRT_REDIS_VERSION "\xfa\x0aredis-bits\xc0\x40"
                    "\xfa\x05"
                    "ctime\xc1\xe8\x03"
                    "\xfa\x08used-mem\xc2\x70\x11\x01\0"
                    "\xfa\x08"
                    "aof-base\xc0\x01"
                    "\xff");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_pieces), cmocka_unit_test(test_room),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_dump_refused),
        cmocka_unit_test(test_frozen),    cmocka_unit_test(test_fields_with_deadlines),
        cmocka_unit_test(test_lengths),   cmocka_unit_test(test_head_and_end),
    };
    return cmocka_run_group_tests(tests, make_world, free_world);
}
