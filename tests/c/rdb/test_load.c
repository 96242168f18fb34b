/* Whole files: what stands between keys, keys over shards, cut anywhere, in pieces, damaged, and with memory refused. */
#include "rdb_world.h"

static void assert_string(const struct entry *entry, const char *expected) {
    assert_non_null(entry);
    assert_int_equal(entry_type(entry), VALUE_STRING);
    struct bytes value = entry_string(entry);
    assert_int_equal(value.len, strlen(expected));
    assert_memory_equal(value.at, expected, value.len);
}

static void load_one(struct world *world, const struct file *file) {
    assert_int_equal(world_load(world, file, 0), RDB_OK);
    assert_int_equal(world->input.offset, file->len);
    assert_ptr_equal(world->input.at, world->input.end);
}

/* ---- Heads --------------------------------------------------------------------------------------- */

static void test_versions(void **state) {
    (void)state;
    for (unsigned version = 0; version <= RDB_VERSION_MAX + 1; version++) {
        struct world world;
        struct file file = {0};
        world_init(&world);
        put_head(&file, version);
        put_string_item(&file, "key", "value");
        put_byte(&file, RDB_OP_EOF);
        if (version >= 5) put_little(&file, rdb_crc64(0, file.at, file.len), 8);
        if (version == 0 || version > RDB_VERSION_MAX) {
            assert_int_equal(world_load(&world, &file, 0), RDB_UNKNOWN);
            assert_int_equal(world_count(&world), 0);
        } else {
            load_one(&world, &file);
            assert_string(world_find(&world, 0, "key"), "value");
        }
        file_free(&file);
        world_deinit(&world);
    }
}

static void test_no_dump(void **state) {
    (void)state;
    const char *const files[] = {"", "REDIS", "RODIS0010\377", "REDIS001x\377",
                                 "*3\r\n$3\r\nSET\r\n"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        struct world world;
        struct file file = {0};
        world_init(&world);
        put(&file, files[i], strlen(files[i]));
        enum rdb_status expected = i < 2 ? RDB_TRUNCATED : RDB_DAMAGED;
        assert_int_equal(world_load(&world, &file, 0), expected);
        file_free(&file);
        world_deinit(&world);
    }
}

/* ---- Between keys -------------------------------------------------------------------------------- */

static struct file file_with_everything(void) {
    struct file file = {0};
    put_head(&file, 12);
    put_byte(&file, RDB_OP_AUX), put_text(&file, "redis-ver"), put_text(&file, "7.4.0");
    put_byte(&file, RDB_OP_AUX), put_text(&file, "redis-bits"), put_byte(&file, 0xc0);
    put_byte(&file, 64);
    put_byte(&file, RDB_OP_FUNCTION_2), put_text(&file, "#!lua name=lib");
    put_byte(&file, RDB_OP_SELECT_DB), put_length(&file, 2);
    put_byte(&file, RDB_OP_SLOT_INFO), put_length(&file, 1), put_length(&file, 2);
    put_length(&file, 3);
    put_byte(&file, RDB_OP_RESIZE_DB), put_length(&file, UINT64_MAX), put_length(&file, UINT64_MAX);
    put_string_item(&file, "plain", "value");
    put_byte(&file, RDB_OP_EXPIRE), put_little(&file, 2000000000, 4);
    put_string_item(&file, "seconds", "1");
    put_byte(&file, RDB_OP_EXPIRE_MS), put_little(&file, UINT64_C(2000000000123), 8);
    put_byte(&file, RDB_OP_IDLE), put_length(&file, 100);
    put_string_item(&file, "milliseconds", "2");
    put_byte(&file, RDB_OP_EXPIRE_MS), put_little(&file, 0, 8);
    put_string_item(&file, "long ago", "3");
    put_byte(&file, RDB_OP_FREQ), put_byte(&file, 77);
    put_string_item(&file, "often", "4");
    put_end(&file);
    return file;
}

static void check_everything(struct world *world) {
    assert_string(world_find(world, 2, "plain"), "value");
    assert_string(world_find(world, 2, "seconds"), "1");
    assert_int_equal(entry_deadline(world_find(world, 2, "plain")), 0);
    assert_int_equal(entry_deadline(world_find(world, 2, "seconds")), INT64_C(2000000000000));
    assert_int_equal(entry_deadline(world_find(world, 2, "milliseconds")), INT64_C(2000000000123));
    assert_int_equal(entry_deadline(world_find(world, 2, "long ago")), 1);
    assert_int_equal(entry_deadline(world_find(world, 2, "often")), 0);
    assert_string_equal(world->aux, "redis-ver=7.4.0;redis-bits=64;");
    assert_int_equal(world->functions, 1);
    assert_int_equal(world->target.keys, 5);
}

static void test_everything(void **state) {
    (void)state;
    struct file file = file_with_everything();
    for (size_t piece = 0; piece < 40; piece++) {
        struct world world;
        world_init(&world);
        assert_int_equal(world_load(&world, &file, piece), RDB_OK);
        assert_int_equal(world.input.offset, file.len);
        check_everything(&world);
        world_deinit(&world);
    }
    file_free(&file);
}

static void test_access(void **state) {
    (void)state;
    const struct access_clock clocks[] = {{.seconds = 1000, .kind = ACCESS_TIME},
                                          {.seconds = 600, .kind = ACCESS_FREQUENCY}};
    struct file file = file_with_everything();
    for (unsigned i = 0; i < 2; i++) {
        struct world world;
        world_init(&world);
        for (uint32_t shard = 0; shard < SHARDS; shard++) world.shards[shard].access = &clocks[i];
        load_one(&world, &file);
        uint32_t idle = access_field(world_find(&world, 2, "milliseconds"));
        uint32_t often = access_field(world_find(&world, 2, "often"));
        assert_int_equal(idle, i == 0 ? 900 : 10 << 8 | ACCESS_COUNT_FIRST);
        assert_int_equal(often, i == 0 ? 1000 : 10 << 8 | 77);
        world_deinit(&world);
    }
    file_free(&file);
}

static void test_expired(void **state) {
    (void)state;
    struct world world;
    struct file file = file_with_everything();
    world_init(&world);
    world.target.drop_before_ms = INT64_C(2000000000001);
    load_one(&world, &file);
    assert_int_equal(world_count(&world), 3);
    assert_int_equal(world.target.dropped, 2);
    assert_null(world_find(&world, 2, "long ago"));
    assert_null(world_find(&world, 2, "seconds"));
    world_deinit(&world);
    file_free(&file);
}

static void test_first_db(void **state) {
    (void)state;
    struct world world;
    struct file file = file_with_everything();
    world_init(&world);
    world.target.first_db = 1;
    world.target.database_count = 3;
    load_one(&world, &file);
    assert_string(world_find(&world, 3, "plain"), "value");
    world_deinit(&world);
    world_init(&world);
    world.target.database_count = 2;
    assert_int_equal(world_load(&world, &file, 0), RDB_DAMAGED);
    world_deinit(&world);
    file_free(&file);
}

/* Nothing is kept, and nothing is asked for. */
static void test_nothing_kept(void **state) {
    (void)state;
    struct world world;
    struct file file = file_with_everything();
    world_init(&world);
    world.target.enter = NULL;
    load_one(&world, &file);
    assert_int_equal(world_count(&world), 0);
    assert_int_equal(world.target.keys, 5);
    world_deinit(&world);
    file_free(&file);
}

static void refused(unsigned operation, const char *text, enum rdb_status expected) {
    struct world world;
    struct file file = {0};
    world_init(&world);
    put_head(&file, 12);
    put_byte(&file, operation);
    put_text(&file, text);
    put_end(&file);
    assert_int_equal(world_load(&world, &file, 0), expected);
    file_free(&file);
    world_deinit(&world);
}

static void test_refused(void **state) {
    (void)state;
    refused(RDB_OP_FUNCTION_2, "bad", RDB_DAMAGED);
    refused(RDB_OP_FUNCTION_PRE_GA, "", RDB_UNKNOWN);
    refused(RDB_OP_MODULE_AUX, "", RDB_UNKNOWN);
    refused(RDB_MODULE_2, "key", RDB_UNKNOWN);
    refused(RDB_MODULE_PRE_GA, "key", RDB_UNKNOWN);
    refused(8, "key", RDB_UNKNOWN);
    refused(26, "key", RDB_UNKNOWN);
    refused(243, "key", RDB_UNKNOWN);
}

/* ---- Many keys ----------------------------------------------------------------------------------- */

enum { MANY = 5000 };

static struct file file_of_many(unsigned repeated) {
    struct file file = {0};
    char key[32], value[32];
    put_head(&file, 10);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "key:%u", i == repeated ? i / 2 : i);
        snprintf(value, sizeof value, "value:%u", i);
        put_string_item(&file, key, value);
    }
    put_end(&file);
    return file;
}

/* A shard is entered for many keys at a time. */
static void test_many(void **state) {
    (void)state;
    struct world world;
    char key[32], value[32];
    struct file file = file_of_many(UINT32_MAX);
    world_init(&world);
    assert_int_equal(world_load(&world, &file, 777), RDB_OK);
    assert_int_equal(world_count(&world), MANY);
    assert_true(world.entered < MANY / 32);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        snprintf(value, sizeof value, "value:%u", i);
        assert_string(world_find(&world, 0, key), value);
    }
    world_deinit(&world);
    file_free(&file);
}

static void test_duplicate(void **state) {
    (void)state;
    for (unsigned repeated = 1; repeated < MANY; repeated += 613) {
        struct world world;
        struct file file = file_of_many(repeated);
        world_init(&world);
        assert_int_equal(world_load(&world, &file, 0), RDB_DUPLICATE);
        assert_int_equal(file.at[world.input.offset], RDB_STRING);
        world_deinit(&world);
        file_free(&file);
    }
}

static void test_stopped(void **state) {
    (void)state;
    struct file file = file_of_many(UINT32_MAX);
    for (uint64_t enters = 1; enters < 20; enters++) {
        struct world world;
        world_init(&world);
        world.enters_left = enters;
        assert_int_equal(world_load(&world, &file, 0), RDB_STOPPED);
        world_deinit(&world);
    }
    file_free(&file);
}

/* Keys and values that fit no batch, and what fits it just so. */
static void test_long(void **state) {
    (void)state;
    const size_t lens[] = {511, 512, 513, 16000, 16384, 16385, 70000, 300000};
    struct world world;
    struct file file = {0};
    char *text = calloc(1, 300001);
    put_head(&file, 10);
    for (unsigned i = 0; i < 8; i++) {
        memset(text, 'a' + (int)i, lens[i]);
        put_byte(&file, RDB_STRING), put_bytes(&file, bytes_of(text, lens[i]));
        put_text(&file, "short");
        text[0] = '!';
        put_byte(&file, RDB_STRING), put_bytes(&file, bytes_of(text, 100 + i));
        put_bytes(&file, bytes_of(text, lens[i]));
    }
    put_end(&file);
    for (size_t piece = 0; piece < 70000; piece += 9999) {
        world_init(&world);
        assert_int_equal(world_load(&world, &file, piece), RDB_OK);
        assert_int_equal(world_count(&world), 16);
        world_deinit(&world);
    }
    free(text);
    file_free(&file);
}

/* ---- Damage -------------------------------------------------------------------------------------- */

static void test_cut(void **state) {
    (void)state;
    struct file file = file_with_everything();
    size_t whole = file.len;
    for (file.len = 0; file.len < whole; file.len++) {
        struct world world;
        world_init(&world);
        assert_int_equal(world_load(&world, &file, file.len % 3 * 5), RDB_TRUNCATED);
        assert_int_equal(world.input.offset, file.len);
        world_deinit(&world);
    }
    file_free(&file);
}

/* But those of the version, below some of which there is no checksum. */
static void test_every_byte(void **state) {
    (void)state;
    struct file file = file_with_everything();
    for (size_t i = 0; i < file.len; i += i == 4 ? 5 : 1) {
        char before = file.at[i];
        for (unsigned change = 1; change < 256; change += i % 16 == 0 ? 1 : 37) {
            struct world world;
            world_init(&world);
            file.at[i] = (char)(before ^ change);
            enum rdb_status status = world_load(&world, &file, 0);
            assert_int_not_equal(status, RDB_OK);
            world_deinit(&world);
        }
        file.at[i] = before;
    }
    file_free(&file);
}

static void test_checksum(void **state) {
    (void)state;
    struct world world;
    struct file file = file_of_many(UINT32_MAX);
    world_init(&world);
    file.at[file.len - 1] ^= 1;
    assert_int_equal(world_load(&world, &file, 0), RDB_DAMAGED);
    world_deinit(&world);
    world_init(&world);
    memset(file.at + file.len - 8, 0, 8); /* none was made */
    assert_int_equal(world_load(&world, &file, 0), RDB_OK);
    world_deinit(&world);
    world_init(&world);
    file.at[file.len - 1] = 1;
    struct rdb_input input = {.at = file.at, .end = file.at + file.len, .skip_checksum = true};
    assert_int_equal(rdb_load(&input, &world.target), RDB_OK);
    world_deinit(&world);
    file_free(&file);
}

static void test_whose_value(void **state) {
    (void)state;
    struct world world;
    struct file file = {0};
    world_init(&world);
    put_head(&file, 10);
    put_byte(&file, RDB_SET_INTSET);
    put_text(&file, "a\nkey");
    put_text(&file, "damaged");
    assert_int_equal(world_load(&world, &file, 0), RDB_DAMAGED);
    assert_string_equal(world.input.text, "a packed set is damaged, in the value of the key a?key");
    file_free(&file);
    world_deinit(&world);
}

/* No memory is asked for that the file cannot fill. */
static void test_hostile_lengths(void **state) {
    (void)state;
    const uint64_t lens[] = {UINT64_MAX, UINT64_C(0xffffffff), UINT64_C(0xffffefff),
                             UINT64_C(0x7fffffff), UINT64_C(0x100000000)};
    for (unsigned i = 0; i < 10; i++) {
        for (size_t piece = 0; piece < 2; piece++) {
            struct world world;
            struct file file = {0};
            world_init(&world);
            put_head(&file, 10);
            put_byte(&file, RDB_STRING);
            if (i < 5) put_text(&file, "key");
            put_length(&file, lens[i % 5]);
            put_text(&file, "some bytes");
            enum rdb_status status = world_load(&world, &file, piece * 3);
            assert_true(status == RDB_TRUNCATED || status == RDB_DAMAGED);
            file_free(&file);
            world_deinit(&world);
        }
    }
}

/* ---- Memory -------------------------------------------------------------------------------------- */

static void test_refused_memory(void **state) {
    (void)state;
    struct file file = file_with_everything();
    for (long count = 1;; count++) {
        struct world world;
        world_init(&world);
        mem_fail_after(count);
        enum rdb_status status = world_load(&world, &file, 0);
        mem_fail_after(0);
        if (status == RDB_OK) check_everything(&world);
        else assert_int_equal(status, RDB_NO_MEMORY);
        world_deinit(&world);
        if (status == RDB_OK) break;
    }
    file_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_no_dump),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_first_db),
        cmocka_unit_test(test_nothing_kept),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_hostile_lengths),
        cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_whose_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
