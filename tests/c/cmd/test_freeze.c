/* Values that were frozen: a thread without any baton reads them as they were, while commands change, copy, move
 * and delete them, now and then without the memory they want at first. Who asks for the data meanwhile gets what a
 * twin has, where nothing is ever frozen or refused. Nothing is left behind after the thaw. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd_world.h"
#include "cmd/value_digest.h"
#include "cmd/world_cut.h"
#include "ring/crew.h"
#include "store/database.h"
#include "store/paged.h"
#include "store/stream.h"

enum {
    SHARDS = 2,
    WATCHED_MAX = 128,
    ROUNDS = 3,
    FIRST_COMMANDS = 1500,
    FROZEN_COMMANDS = 800,
    WALKS_MIN = 3,     /* of all values, while they are written */
    PENDING_MIN = 250, /* entries: of more than one leaf */
};

/* ---- What was there -------------------------------------------------------------------------- */

struct watched {
    struct collection *frozen;
    uint8_t type;
    uint64_t digest;
};

static uint64_t digest_of_value(const struct entry *entry) {
    if (entry_is_tree(entry))
        return digest_of_collection(entry_collection(entry), (uint8_t)entry_type(entry));
    struct bytes value = entry_string(entry);
    return digest_mix(entry->type, value.at, value.len);
}

static void add_digest(void *sum, struct entry *entry) {
    int64_t deadline = entry_deadline(entry);
    struct bytes key = entry_key(entry);
    uint64_t digest = digest_mix(digest_of_value(entry), key.at, key.len);
    *(uint64_t *)sum += digest_mix(digest, &deadline, sizeof deadline);
}

static void visit_all(struct world *world, table_visit *visit, void *context) {
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        for (uint32_t db = 0; db < WORLD_DATABASES; db++)
            if (world->keyspaces[shard].databases[db])
                table_walk(&world->keyspaces[shard].databases[db]->keys, visit, context);
}

static uint64_t digest_of_world(struct world *world) {
    uint64_t sum = 0;
    visit_all(world, add_digest, &sum);
    return sum;
}

/* ---- The reader ------------------------------------------------------------------------------ */

struct cut {
    struct world *world;
    struct watched watched[WATCHED_MAX];
    uint32_t count;
    uint32_t per_type[VALUE_STREAM + 1];
    uint64_t pending; /* in all groups */
    struct crew_member reader;
    atomic_u32 stop; /* writer: the test; reader: the thread; relaxed */
    atomic_u32 wrong, walks;
};

static uint64_t count_pending(const struct collection *collection) {
    uint64_t count = 0;
    const struct stream_groups *groups = &stream_of(collection)->groups;
    for (uint32_t i = 0; i < groups->names.count; i++)
        count += stream_group_at(groups, i)->pending.count;
    return count;
}

static void watch(void *context, struct entry *entry) {
    struct cut *cut = context;
    if (!entry_is_tree(entry) || cut->count == WATCHED_MAX) return;
    uint8_t type = (uint8_t)entry_type(entry);
    struct collection *frozen = collection_freeze(entry_collection(entry));
    assert_non_null(frozen);
    cut->watched[cut->count++] = (struct watched){frozen, type, digest_of_collection(frozen, type)};
    cut->per_type[type]++;
    if (type == VALUE_STREAM) cut->pending += count_pending(frozen);
}

static void read_all(struct cut *cut) {
    for (uint32_t i = 0; i < cut->count; i++) {
        const struct watched *watched = &cut->watched[i];
        if (digest_of_collection(watched->frozen, watched->type) != watched->digest)
            atomic_add_relaxed(&cut->wrong, 1);
    }
    atomic_add_relaxed(&cut->walks, 1);
}

static void reader_body(struct crew_member *member) {
    struct cut *cut = member->world;
    do read_all(cut);
    while (!atomic_load_relaxed(&cut->stop));
}

static struct cut *cut_begin(struct world *world) {
    struct cut *cut = calloc(1, sizeof *cut);
    cut->world = world;
    world_freeze(world);
    visit_all(world, watch, cut);
    crew_start(&cut->reader, reader_body, cut);
    return cut;
}

/* The values have been read often enough while they were written; and once more, now that all is written. */
static void cut_end(struct cut *cut) {
    atomic_store_relaxed(&cut->stop, 1);
    crew_join(&cut->reader);
    read_all(cut);
    assert_int_equal(atomic_load_relaxed(&cut->wrong), 0);
    for (uint32_t i = 0; i < cut->count; i++) {
        for (uint32_t tree = 0; tree < cut->watched[i].frozen->tree_count; tree++)
            if (cut->watched[i].frozen->trees[tree].root)
                tree_check(&cut->watched[i].frozen->trees[tree]);
        collection_unfreeze(cut->watched[i].frozen);
    }
    world_thaw(cut->world);
    free(cut);
}

/* ---- The writer ------------------------------------------------------------------------------ */

struct writer {
    struct world *world, *twin;
    struct random_state random;
    uint32_t added; /* entries to the stream of the groups */
    char line[4096];
    size_t len;
};

static uint32_t below(struct writer *writer, uint32_t bound) {
    return (uint32_t)random_below(&writer->random, bound);
}

__attribute__((format(printf, 2, 3))) static void add(struct writer *writer, const char *format,
                                                      ...) {
    va_list arguments;
    va_start(arguments, format);
    writer->len += (size_t)vsnprintf(writer->line + writer->len, sizeof writer->line - writer->len,
                                     format, arguments);
    va_end(arguments);
    assert_true(writer->len < sizeof writer->line);
}

/* One member in twenty is long enough to lie outside its leaf. */
static void add_member(struct writer *writer, uint32_t members) {
    uint32_t number = below(writer, members);
    if (number % 20 == 0) add(writer, " %%%u", 1001 + number % 200);
    else add(writer, " member:%u", number);
}

enum { KEYS = 3, MEMBERS = 12000 };

/* Six in seven commands about elements make values larger while they grow, one in seven while they shrink. */
static void add_elements(struct writer *writer, bool grows) {
    static const struct {
        const char *add, *erase;
        char key;
        bool pairs, erases_by_count;
    } families[] = {{"RPUSH", "LPOP", 'l', false, true},
                    {"LPUSH", "RPOP", 'l', false, true},
                    {"SADD", "SREM", 's', false, false},
                    {"HSET", "HDEL", 'h', true, false},
                    {"ZADD", "ZREM", 'z', true, false}};
    uint32_t family = below(writer, 5);
    bool adds = (below(writer, 7) > 0) == grows;
    add(writer, "%s %c%u", adds ? families[family].add : families[family].erase,
        families[family].key, below(writer, KEYS));
    if (!adds && families[family].erases_by_count) {
        add(writer, " %u", 1 + below(writer, 30));
        return;
    }
    for (uint32_t i = 1 + below(writer, 60); i > 0; i--) {
        if (adds && families[family].key == 'z') add(writer, " %u", below(writer, 300));
        add_member(writer, MEMBERS);
        if (adds && families[family].key == 'h') add(writer, " value:%u", below(writer, 1000));
    }
}

/* Entries with names that most share, or that hardly another has; what goes is what was there first, or any. */
static void add_stream_command(struct writer *writer, bool grows) {
    uint32_t key = below(writer, KEYS);
    if (below(writer, grows ? 12 : 2) == 0) {
        static const char *const lines[] = {"XTRIM x%u MAXLEN %u",    "XTRIM x%u MAXLEN ~ %u",
                                            "XTRIM x%u MINID 1-%u",   "XTRIM x%u MINID ~ 1-%u",
                                            "XDEL x%u 1-%u 1-7 1-20", "XSETID x%u 1-9%u"};
        uint32_t line = below(writer, 12);
        add(writer, lines[line < 6 ? line : 4], key, below(writer, 1500));
        return;
    }
    add(writer, "XADD x%u", key);
    if (below(writer, 8) == 0)
        add(writer, " MAXLEN %c %u", below(writer, 2) ? '~' : '=', 100 + below(writer, 500));
    add(writer, " 1-* name %u", below(writer, 100000));
    for (uint32_t i = below(writer, 3); i > 0; i--) {
        add(writer, " other:%u", below(writer, 40) == 0 ? below(writer, 300) : 1);
        add_member(writer, 1000);
    }
}

/* While values shrink, large parts of them go at once. */
/* Of an entry that came to the stream of the groups not long ago. */
static uint32_t recent(struct writer *writer) {
    uint32_t back = below(writer, 1000);
    return back < writer->added ? writer->added - back : 0;
}

static void add_acknowledgement(struct writer *writer, uint32_t key) {
    add(writer, "XACK x%u g", key);
    for (uint32_t i = 1 + below(writer, 6); i > 0; i--) add(writer, " 1-%u", recent(writer));
}

static void add_group_change(struct writer *writer, uint32_t key, bool grows) {
    static const char *const reads[] = {"XREADGROUP GROUP g c%u COUNT 30 STREAMS x%u >",
                                        "XREADGROUP GROUP g c%u COUNT 9 STREAMS x%u 0"};
    static const char *const claims[] = {"XCLAIM x%u g c%u 0 1-%u FORCE JUSTID",
                                         "XAUTOCLAIM x%u g c%u 0 1-%u COUNT 12 JUSTID",
                                         "XREADGROUP GROUP g c%2$u NOACK COUNT 2 STREAMS x%1$u >"};
    static const char *const others[] = {"XGROUP DELCONSUMER x%u g c1", "XGROUP SETID x%u g 1-9",
                                         "XGROUP DESTROY x%u g", "XGROUP CREATE x%u %%70 0",
                                         "XGROUP CREATECONSUMER x%u g %%99"};
    uint32_t dice = below(writer, 100), consumer = below(writer, 6);
    if (dice < 3) add(writer, others[below(writer, 5)], key);
    else if (dice < 12) add(writer, "XGROUP CREATE x%u g 0 MKSTREAM", key);
    else if (dice < 30) add(writer, claims[below(writer, 3)], key, consumer, recent(writer));
    else if (dice < (grows ? 80u : 50u)) add(writer, reads[below(writer, 4) == 0], consumer, key);
    else add_acknowledgement(writer, key);
}

enum { GROUPED = 20, GROUPED_ENTRIES = 600 };

/* Mostly about one stream, which stays, so that much of it is pending. */
static void add_group_command(struct writer *writer, bool grows) {
    uint32_t key = below(writer, 4) ? GROUPED : below(writer, KEYS);
    if (below(writer, 3)) add_group_change(writer, key, grows);
    else if (below(writer, grows ? 20 : 3) == 0)
        add(writer, "XDEL x%u 1-%u 1-%u", GROUPED, recent(writer), recent(writer));
    else add(writer, "XADD x%u 1-%u name value", GROUPED, ++writer->added);
}

static void run_both(struct writer *writer) {
    world_run(writer->world, writer->line);
    if (writer->twin) world_run(writer->twin, writer->line);
    writer->len = 0;
}

static void deliver(struct writer *writer) {
    while (writer->added < GROUPED_ENTRIES) {
        add(writer, "XADD x%u 1-%u name value", GROUPED, ++writer->added);
        run_both(writer);
    }
    add(writer, "XGROUP CREATE x%u g 0", GROUPED);
    run_both(writer);
    for (uint32_t consumer = 0; consumer < 6; consumer++) {
        add(writer, "XREADGROUP GROUP g c%u COUNT 100 STREAMS x%u >", consumer, GROUPED);
        run_both(writer);
    }
}

static void add_part(struct writer *writer, bool grows) {
    static const char *const changes[] = {
        "LSET l%u 7 %%1%03u",
        "LREM l%u 1 member:%u",
        "LINSERT l%u AFTER member:%u x",
        "ZINCRBY z%u 5 member:%u",
        "HINCRBY h%u count %u",
        "HPEXPIRE h%u 1%03u000 FIELDS 4 member:1 member:2 member:30 member:300",
        "HPERSIST h%u FIELDS 1 member:%u",
        "SETRANGE t%u 1%03u000 x",
        "SETRANGE t%u 1500000 new:%u",
        "SETBIT t%u 9%03u000 1",
        "BITFIELD t%u SET u8 #%u 5 INCRBY u63 9600000 7",
    };
    static const char *const erasures[] = {
        "LTRIM l%u %u -20",
        "LTRIM l%u 0 -%u",
        "SPOP s%u %u",
        "ZREMRANGEBYRANK z%u 50 %u",
        "ZREMRANGEBYRANK z%u -%u -90",
        "ZREMRANGEBYSCORE z%u %u 290",
        "ZPOPMAX z%u %u",
    };
    const char *line = grows || below(writer, 2)
                           ? changes[below(writer, sizeof changes / sizeof *changes)]
                           : erasures[below(writer, sizeof erasures / sizeof *erasures)];
    add(writer, line, below(writer, KEYS), below(writer, 600));
}

/* Keys of any type, to another shard as often as not, and to another database. */
static void add_key_command(struct writer *writer) {
    static const char *const lines[] = {"RENAME %s %s",
                                        "COPY %s %s REPLACE",
                                        "DEL %s",
                                        "MOVE %s 1",
                                        "SET %s v",
                                        "PEXPIRE %s 5",
                                        "COPY %s %s DB 2 REPLACE",
                                        "SUNIONSTORE %s %s",
                                        "BITOP NOT %s %s",
                                        "UNLINK %s"};
    char keys[2][8];
    for (int i = 0; i < 2; i++)
        (void)snprintf(keys[i], sizeof keys[i], "%c%u", "lshztx"[below(writer, 6)],
                       below(writer, 2 * KEYS));
    const char *line = lines[below(writer, sizeof lines / sizeof *lines)];
    const char *second = strstr(strstr(line, "%s") + 2, "%s");
    add(writer, "%.*s%s", (int)(strstr(line, "%s") - line), line, keys[0]);
    const char *rest = strstr(line, "%s") + 2;
    if (second) {
        add(writer, " %s", keys[1]);
        rest = second + 2;
    }
    add(writer, "%s", rest);
}

/* A replaced string of two pages over a megabyte, so that it is changed in place afterwards. */
static void add_command(struct writer *writer, bool grows) {
    uint32_t dice = below(writer, 1000);
    writer->len = 0;
    if (dice < 200) add_stream_command(writer, grows);
    else if (dice < 300) add_group_command(writer, grows);
    else if (dice < 850) add_elements(writer, grows);
    else if (dice < 970) add_part(writer, grows);
    else if (dice < 985) add_key_command(writer);
    else if (dice < 990) add(writer, "SET t%u &1200000", below(writer, KEYS));
    else if (dice < 998) add(writer, "~%u", below(writer, 4));
    else add(writer, "%u> FLUSHDB", 1 + below(writer, 2));
}

/* Once more with all the memory it wants, if that was refused. */
static void run_refused(struct writer *writer) {
    writer->world->fail_after = 1 + below(writer, 12);
    world_run(writer->world, writer->line);
    writer->world->fail_after = 0;
    if (strncmp(writer->world->reply.at, "-OOM", 4) == 0) world_run(writer->world, writer->line);
}

static void write_some(struct writer *writer, uint32_t commands, bool grows, bool frozen) {
    for (uint32_t i = 0; i < commands; i++) {
        add_command(writer, grows);
        if (frozen && below(writer, 4) == 0) run_refused(writer);
        else world_run(writer->world, writer->line);
        world_run(writer->twin, writer->line);
        if (i % 500 == 0) world_check(writer->world);
    }
    assert_int_equal(digest_of_world(writer->world), digest_of_world(writer->twin));
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_read_while_written(void **state) {
    (void)state;
    struct world *world = world_new(SHARDS);
    struct writer writer = {.world = world, .twin = world_new(SHARDS)};
    random_seed(&writer.random, 5);
    deliver(&writer);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        write_some(&writer, round == 0 ? FIRST_COMMANDS : FIRST_COMMANDS / 4, true, false);
        struct cut *cut = cut_begin(world);
        for (uint32_t type = 0; type <= VALUE_STREAM; type++) assert_true(cut->per_type[type] > 0);
        assert_in_range(cut->pending, PENDING_MIN, UINT32_MAX);
        uint32_t half = 0;
        while (half < 2 || atomic_load_relaxed(&cut->walks) < WALKS_MIN) {
            write_some(&writer, FROZEN_COMMANDS / 2, (round + half) % 2 == 0, true);
            half++;
        }
        cut_end(cut);
        world_check(world);
        assert_int_equal(digest_of_world(world), digest_of_world(writer.twin));
    }
    world_free(world);
    world_free(writer.twin);
}

/* A snapshot's walk comes by slowly while everything is changed, moved, flushed; what it keeps is what was there. Without
 * the memory for it the snapshot fails, and nothing else. */
static void test_snapshots_while_written(void **state) {
    enum { SNAPSHOTS = 8, STEPS = 40 };
    (void)state;
    struct world *world = world_new(SHARDS);
    struct writer writer = {.world = world, .twin = world_new(SHARDS)};
    random_seed(&writer.random, 77);
    deliver(&writer);
    write_some(&writer, FIRST_COMMANDS, true, false);
    for (uint32_t round = 0; round < SNAPSHOTS; round++) {
        struct world_cut cut;
        world_cut_begin(&cut, world);
        for (uint32_t step = 0; step < STEPS; step++) {
            write_some(&writer, 1 + below(&writer, 10), round % 2 == 0, round == 6);
            world_cut_walk(&cut, 1 + below(&writer, 4));
        }
        if (round >= 6) world_cut_give_up(&cut);
        else world_cut_end(&cut);
        world_check(world);
    }
    world_free(world);
    world_free(writer.twin);
}

/* The ways in which whole values go. */
static const char *const deletions[] = {
    "DEL l0 s0 h0 z0 x0",
    "FLUSHALL",
    "FLUSHDB",
    "SET l0 v; SET s0 v; SET h0 v; SET z0 v; SET t0 v; SET x0 v",
    "SWAPDB 0 1; 1> FLUSHDB",
    "RENAME l1 l0; RENAME s1 s0; RENAME h1 h0; RENAME z1 z0; RENAME x1 x0",
    "SINTERSTORE l0 none; SINTERSTORE s0 none; SINTERSTORE h0 none; SINTERSTORE z0 none; "
    "SINTERSTORE x0 none",
    "MOVE l0 1; MOVE s0 1; MOVE h0 1; MOVE z0 1; MOVE x0 1; 1> FLUSHDB",
    "PEXPIRE l0 1; PEXPIRE s0 1; PEXPIRE h0 1; PEXPIRE z0 1; PEXPIRE x0 1; ~2; EXISTS l0 s0 h0 "
    "z0 x0",
    "LTRIM l0 1 0; ZREMRANGEBYRANK z0 0 -1; XTRIM x0 MAXLEN 0; XADD x0 1-* a b",
    "XGROUP DELCONSUMER x20 g c0; XGROUP DESTROY x20 g; RENAME x20 x1; UNLINK x1",
};

static void fill_for_deletion(struct world *world, size_t seed_number) {
    struct writer writer = {.world = world};
    random_seed(&writer.random, 50 + seed_number);
    deliver(&writer);
    for (uint32_t n = 0; n < 400; n++) {
        writer.len = 0;
        if (n % 3 == 0) add_stream_command(&writer, true);
        else add_elements(&writer, true);
        world_run(world, writer.line);
    }
    world_run_all(world, "SET t0 &1200000; SETRANGE t0 1300000 x; SET l1 v");
}

static void test_snapshots_while_deleted(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof deletions / sizeof *deletions; i++) {
        struct world_cut cut;
        struct world *world = world_new(SHARDS);
        fill_for_deletion(world, i);
        world_cut_begin(&cut, world);
        world_cut_walk(&cut, 5);
        world_run_all(world, deletions[i]);
        world_cut_end(&cut);
        world_free(world);
    }
}

/* All that was frozen is deleted, in each of the ways in which whole values go, while it is read. */
static void test_read_while_deleted(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof deletions / sizeof *deletions; i++) {
        struct world *world = world_new(SHARDS);
        fill_for_deletion(world, i);
        struct cut *cut = cut_begin(world);
        world_run_all(world, deletions[i]);
        while (atomic_load_relaxed(&cut->walks) < WALKS_MIN) crew_sleep_us(100);
        cut_end(cut);
        world_free(world);
    }
}

/* One allocation, of roots alone, whatever the value's size; and nothing for all values together. */
static void test_freezing_takes_no_time(void **state) {
    static const char *const adds[] = {"RPUSH k", "SADD k", "HSET k", "ZADD k"};
    (void)state;
    for (size_t type = 0; type < 4; type++) {
        size_t bytes[2];
        for (int large = 0; large < 2; large++) {
            struct world *world = world_new(1);
            struct writer writer = {.world = world};
            for (uint32_t n = 0; n < (large ? 20000u : 200u);) {
                writer.len = 0;
                add(&writer, "%s", adds[type]);
                for (int i = 0; i < 100; i++, n++)
                    add(&writer, type < 2 ? " m:%u" : type == 2 ? " m:%u v" : " 1 m:%u", n);
                world_run(world, writer.line);
                assert_false(world->failed);
            }
            struct bytes key = BYTES_LITERAL("k");
            struct entry *entry = keyspace_find(&world->keyspaces[0], 0,
                                                hash_bytes(&world->domain.hash_seed, "k", 1), key);
            assert_true(entry && entry_is_tree(entry));
            uint64_t used = atomic_load_relaxed(&world->keyspaces[0].account.used_bytes);
            mem_fail_after(1);
            world_freeze(world);
            assert_null(collection_freeze(entry_collection(entry)));
            mem_fail_after(2);
            struct collection *frozen = collection_freeze(entry_collection(entry));
            assert_null(mem_alloc(NULL, 1));
            mem_fail_after(0);
            assert_non_null(frozen);
            bytes[large] = sizeof *frozen + frozen->tree_count * sizeof(struct tree);
            assert_int_equal(atomic_load_relaxed(&world->keyspaces[0].account.used_bytes), used);
            assert_null(world->keyspaces[0].nodes.retired);
            collection_unfreeze(frozen);
            world_thaw(world);
            world_free(world);
        }
        assert_int_equal(bytes[0], bytes[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_while_written),
        cmocka_unit_test(test_snapshots_while_written),
        cmocka_unit_test(test_snapshots_while_deleted),
        cmocka_unit_test(test_read_while_deleted),
        cmocka_unit_test(test_freezing_takes_no_time),
    };
    return cmocka_run_group_tests(tests, world_bind, NULL);
}
