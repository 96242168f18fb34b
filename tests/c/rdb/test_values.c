/* Values of every form: what they are, cut at every byte, with every byte changed, and with memory refused at every allocation. */
#include "rdb_world.h"

/* ---- Packed strings ------------------------------------------------------------------------------ */

static void put_packed(struct file *file, struct file *packed) {
    put_bytes(file, bytes_of(packed->at, packed->len));
    file_free(packed);
}

static void put_listpack(struct file *file, const char *const *words) {
    struct file body = {0}, packed = {0};
    uint32_t count = 0;
    for (; words[count] != NULL; count++) {
        uint32_t len = (uint32_t)strlen(words[count]);
        put_byte(&body, 0x80 | len);
        put(&body, words[count], len);
        put_byte(&body, len + 1);
    }
    put_little(&packed, body.len + 7, 4);
    put_little(&packed, count, 2);
    put(&packed, body.at, body.len);
    put_byte(&packed, 0xff);
    file_free(&body);
    put_packed(file, &packed);
}

static void put_ziplist(struct file *file, const char *const *words) {
    struct file body = {0}, packed = {0};
    uint32_t count = 0, before = 0, tail = 10;
    for (; words[count] != NULL; count++) {
        uint32_t len = (uint32_t)strlen(words[count]);
        tail = (uint32_t)body.len + 10;
        put_byte(&body, before);
        put_byte(&body, len);
        put(&body, words[count], len);
        before = len + 2;
    }
    put_little(&packed, body.len + 11, 4);
    put_little(&packed, tail, 4);
    put_little(&packed, count, 2);
    put(&packed, body.at, body.len);
    put_byte(&packed, 0xff);
    file_free(&body);
    put_packed(file, &packed);
}

static void put_zipmap(struct file *file, const char *const *words) {
    struct file packed = {0};
    put_byte(&packed, 254);
    for (uint32_t i = 0; words[i] != NULL; i++) {
        put_byte(&packed, (unsigned)strlen(words[i]));
        if (i % 2 == 1) put_byte(&packed, 2);
        put(&packed, words[i], strlen(words[i]));
        if (i % 2 == 1) put(&packed, "??", 2);
    }
    put_byte(&packed, 0xff);
    put_packed(file, &packed);
}

static void put_intset(struct file *file, uint32_t count) {
    struct file packed = {0};
    put_little(&packed, 2, 4);
    put_little(&packed, count, 4);
    for (uint32_t i = 0; i < count; i++) put_little(&packed, i, 2);
    put_packed(file, &packed);
}

/* ---- Values --------------------------------------------------------------------------------------- */

static const char *const few[] = {"first", "", "second", "2", NULL};
static const char *const scored[] = {"a", "-1.5", "b", "2", "c", "inf", NULL};
static const char *const timed[] = {"a", "1", "2000000000000", "b", "2", "0", NULL};

static void put_elements(struct file *file, uint32_t count, bool pairs) {
    char text[1200];
    put_length(file, count);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "element:%u", i);
        put_text(file, text);
        if (!pairs) continue;
        memset(text, 'v', sizeof text);
        put_bytes(file, bytes_of(text, i % 40 == 39 ? sizeof text : i % 50));
    }
}

static void put_scores(struct file *file, uint32_t count, bool doubles) {
    char text[32];
    put_length(file, count);
    for (uint32_t i = 0; i < count; i++) {
        double score = i % 7 == 3 ? -0.0 : i / 4.0;
        snprintf(text, sizeof text, "member:%u", i);
        put_text(file, text);
        if (doubles) {
            put(file, &score, sizeof score);
            continue;
        }
        snprintf(text, sizeof text, "%.17g", score);
        put_byte(file, i == 5 ? 254 : (unsigned)strlen(text));
        if (i != 5) put(file, text, strlen(text));
    }
}

static void put_fields(struct file *file, uint32_t count, bool relative) {
    char text[32];
    const uint64_t first = UINT64_C(2000000000000);
    if (relative) put_little(file, first, 8);
    put_length(file, count);
    for (uint32_t i = 0; i < count; i++) {
        put_length(file, i % 3 == 0 ? 0 : relative ? i + 1 : first + i);
        snprintf(text, sizeof text, "field:%u", i);
        put_text(file, text);
        put_text(file, "value");
    }
}

static void put_compressed(struct file *file) {
    const unsigned char packed[] = {0, 'a', 7 << 5, 100, 0, 2, 'x', 'y', 'z'};
    put_byte(file, 0xc3);
    put_length(file, sizeof packed);
    put_length(file, 1 + 109 + 3);
    put(file, packed, sizeof packed);
}

/* A stream that our own writer wrote, with groups. */
static void put_stream(struct file *file) {
    struct world world;
    struct stream_edit edit;
    struct bytes fields[] = {BYTES_LITERAL("name"), BYTES_LITERAL("value"), BYTES_LITERAL("age"),
                             BYTES_LITERAL("1234")};
    world_init(&world);
    struct edit_place place = world_place(&world, 0, BYTES_LITERAL("key"));
    const struct stream_limits limits = {4096, 10};
    assert_true(stream_edit_open(&edit, &place, NULL));
    for (uint64_t i = 1; i < 40; i++) {
        fields[3].len = (uint32_t)(i % 5);
        assert_true(stream_edit_prepare(&edit, (struct stream_id){i, i}, fields, i % 9 ? 2 : 1,
                                        &limits, NULL));
        stream_edit_append(&edit);
    }
    struct stream_groups *groups = &edit.stream->groups;
    struct node_heap *heap = &place.keyspace->nodes;
    for (uint32_t i = 0; i < 2; i++) {
        struct bytes name = bytes_of(i == 0 ? "group" : "other", 5);
        struct stream_group *group = stream_group_add(groups, heap, name);
        struct stream_consumer *consumer = stream_consumer_add(group, heap, name, 5);
        for (uint64_t id = 1; id < 20 && i == 0; id += 3) {
            struct stream_pending pending = {{id, id}, consumer->number, 77, id};
            assert_true(stream_pending_reserve(group, heap, consumer, 1));
            stream_pending_put(group, heap, &pending);
        }
    }
    stream_edit_close(&edit);
    struct rdb_buffer buffer = {0};
    struct rdb_value value = rdb_value_of(world_find(&world, 0, "key"));
    rdb_write_dump(&buffer, &value);
    put(file, buffer.at, buffer.len - 10);
    rdb_buffer_deinit(&buffer);
    world_deinit(&world);
}

/* ---- Forms ----------------------------------------------------------------------------------------- */

static void string_plain(struct file *file) {
    put_text(file, "value");
}
static void string_integer(struct file *file) {
    put(file, "\xc1\x34\x12", 3);
}
static void string_long(struct file *file) {
    char text[5000];
    memset(text, 'l', sizeof text);
    put_bytes(file, bytes_of(text, sizeof text));
}
static void elements_few(struct file *file) {
    put_elements(file, 4, false);
}
static void elements_many(struct file *file) {
    put_elements(file, 400, false);
}
static void hash_few(struct file *file) {
    put_elements(file, 4, true);
}
static void hash_many(struct file *file) {
    put_elements(file, 200, true);
}
static void text_few(struct file *file) {
    put_scores(file, 6, false);
}
static void text_many(struct file *file) {
    put_scores(file, 300, false);
}
static void double_few(struct file *file) {
    put_scores(file, 6, true);
}
static void double_some(
    struct file *file) { /* in trees, and small for Redis: zeros lose their sign */
    put_scores(file, 100, true);
}
static void zipmap_few(struct file *file) {
    put_zipmap(file, few);
}
static void ziplist_few(struct file *file) {
    put_ziplist(file, few);
}
static void ziplist_scored(struct file *file) {
    put_ziplist(file, scored);
}
static void intset_few(struct file *file) {
    put_intset(file, 5);
}
static void intset_many(struct file *file) {
    put_intset(file, 700);
}
static void listpack_few(struct file *file) {
    put_listpack(file, few);
}
static void listpack_scored(struct file *file) {
    put_listpack(file, scored);
}
static void listpack_timed(struct file *file) {
    put_listpack(file, timed);
}
static void listpack_timed_first(struct file *file) {
    put_little(file, 5, 8);
    put_listpack(file, timed);
}
static void quicklist(struct file *file) {
    put_length(file, 2), put_ziplist(file, few), put_ziplist(file, scored);
}
static void quicklist_2(struct file *file) {
    put_length(file, 2);
    put_length(file, 2), put_listpack(file, few);
    put_length(file, 1), put_text(file, "plain");
}
static void quicklist_2_one(struct file *file) {
    put_length(file, 1), put_length(file, 2), put_listpack(file, few);
}
static void fields_absolute(struct file *file) {
    put_fields(file, 4, false);
}
static void fields_few(struct file *file) {
    put_fields(file, 4, true);
}
static void fields_many(struct file *file) {
    put_fields(file, 200, true);
}

static const struct form {
    const char *name;
    uint8_t type;
    void (*put)(struct file *file);
    enum value_type of;
    uint64_t count;
    uint8_t forms; /* but FORM_TREE */
} forms[] = {
    {"string", RDB_STRING, string_plain, VALUE_STRING, 5, 0},
    {"integer", RDB_STRING, string_integer, VALUE_STRING, 4, 0},
    {"compressed", RDB_STRING, put_compressed, VALUE_STRING, 113, 0},
    {"long string", RDB_STRING, string_long, VALUE_STRING, 5000, 0},
    {"list", RDB_LIST, elements_few, VALUE_LIST, 4, 0},
    {"long list", RDB_LIST, elements_many, VALUE_LIST, 400, 0},
    {"set", RDB_SET, elements_few, VALUE_SET, 4, 0},
    {"large set", RDB_SET, elements_many, VALUE_SET, 400, FORM_LARGE},
    {"text scores", RDB_ZSET, text_few, VALUE_ZSET, 6, 0},
    {"many text scores", RDB_ZSET, text_many, VALUE_ZSET, 300, FORM_LARGE},
    {"scores", RDB_ZSET_2, double_few, VALUE_ZSET, 6, 0},
    {"many scores", RDB_ZSET_2, double_some, VALUE_ZSET, 100, 0},
    {"hash", RDB_HASH, hash_few, VALUE_HASH, 4, 0},
    {"large hash", RDB_HASH, hash_many, VALUE_HASH, 200, FORM_LARGE},
    {"zipmap", RDB_HASH_ZIPMAP, zipmap_few, VALUE_HASH, 2, 0},
    {"ziplist", RDB_LIST_ZIPLIST, ziplist_few, VALUE_LIST, 4, FORM_LARGE},
    {"intset", RDB_SET_INTSET, intset_few, VALUE_SET, 5, FORM_INTEGERS},
    {"large intset", RDB_SET_INTSET, intset_many, VALUE_SET, 700, FORM_LARGE},
    {"scored ziplist", RDB_ZSET_ZIPLIST, ziplist_scored, VALUE_ZSET, 3, 0},
    {"hash ziplist", RDB_HASH_ZIPLIST, ziplist_few, VALUE_HASH, 2, 0},
    {"quicklist", RDB_LIST_QUICKLIST, quicklist, VALUE_LIST, 10, FORM_LARGE},
    {"hash listpack", RDB_HASH_LISTPACK, listpack_few, VALUE_HASH, 2, 0},
    {"scored listpack", RDB_ZSET_LISTPACK, listpack_scored, VALUE_ZSET, 3, 0},
    {"quicklist 2", RDB_LIST_QUICKLIST_2, quicklist_2, VALUE_LIST, 5, FORM_LARGE},
    {"one node", RDB_LIST_QUICKLIST_2, quicklist_2_one, VALUE_LIST, 4, 0},
    {"set listpack", RDB_SET_LISTPACK, listpack_few, VALUE_SET, 4, 0},
    {"early fields", RDB_HASH_FIELDS_PRE_GA, fields_absolute, VALUE_HASH, 4,
     FORM_EXPIRES | FORM_TIMED},
    {"early packed fields", RDB_HASH_LISTPACK_FIELDS_PRE_GA, listpack_timed, VALUE_HASH, 2,
     FORM_EXPIRES | FORM_TIMED},
    {"fields", RDB_HASH_FIELDS, fields_few, VALUE_HASH, 4, FORM_EXPIRES | FORM_TIMED},
    {"many fields", RDB_HASH_FIELDS, fields_many, VALUE_HASH, 200,
     FORM_EXPIRES | FORM_TIMED | FORM_LARGE},
    {"packed fields", RDB_HASH_LISTPACK_FIELDS, listpack_timed_first, VALUE_HASH, 2,
     FORM_EXPIRES | FORM_TIMED},
    {"stream", RDB_STREAM_LISTPACKS_3, put_stream, VALUE_STREAM, 39, 0},
};

enum { FORMS = sizeof forms / sizeof *forms, FOOTER = 10 };

/* Of a stream, the writer has put the type itself. */
static struct file body_of(const struct form *form) {
    struct file file = {0};
    if (form->of != VALUE_STREAM) put_byte(&file, form->type);
    form->put(&file);
    return file;
}

/* With version and checksum, in memory of just its length. */
static struct bytes payload_of(const struct file *body, size_t len) {
    const uint16_t version = RDB_VERSION_MAX;
    char *at = malloc(len + FOOTER);
    if (len > 0) memcpy(at, body->at, len);
    memcpy(at + len, &version, sizeof version);
    uint64_t checksum = rdb_crc64(0, at, len + sizeof version);
    memcpy(at + len + sizeof version, &checksum, sizeof checksum);
    return bytes_of(at, len + FOOTER);
}

static enum rdb_status restore(struct world *world, const struct file *body, size_t len,
                               struct entry **entry) {
    struct edit_place place = world_place(world, 0, BYTES_LITERAL("key"));
    struct entry *found = keyspace_find(place.keyspace, 0, place.hash, place.key);
    struct bytes payload = payload_of(body, len);
    enum rdb_status status = rdb_restore(payload, &usual_limits, &place, 0, found, entry);
    free((void *)(uintptr_t)payload.at);
    return status;
}

static uint64_t count_of(const struct entry *entry) {
    struct collection_view view;
    if (entry_type(entry) == VALUE_STRING) return entry_string(entry).len;
    if (entry_type(entry) == VALUE_STREAM) return stream_count(entry_collection(entry));
    view = view_of(entry);
    return view_count(&view);
}

static void check_value(const struct form *form, const struct entry *entry) {
    assert_int_equal(entry_type(entry), form->of);
    assert_int_equal(count_of(entry), form->count);
    uint8_t type = entry->type & (uint8_t) ~(FORM_TREE | FORM_TYPE_MASK);
    if (type != form->forms) fail_msg("%s: forms %x", form->name, type);
    if (entry_is_tree(entry)) collection_check(entry_collection(entry));
}

/* What our own dump brings back is the same. */
static void check_again(struct world *world, const struct entry *entry) {
    struct file first = dump_of(entry);
    struct rdb_buffer buffer = {0};
    struct rdb_value value = rdb_value_of(entry);
    struct entry *again;
    rdb_write_dump(&buffer, &value);
    struct file body = {.at = buffer.at, .len = buffer.len};
    assert_int_equal(restore(world, &body, buffer.len - FOOTER, &again), RDB_OK);
    struct file second = dump_of(again);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.at, second.at, first.len);
    rdb_buffer_deinit(&buffer);
    file_free(&first);
    file_free(&second);
}

/* ---- Tests ------------------------------------------------------------------------------------------ */

static void test_forms(void **state) {
    (void)state;
    for (uint32_t i = 0; i < FORMS; i++) {
        struct world world;
        struct entry *entry;
        struct file body = body_of(&forms[i]);
        world_init(&world);
        if (restore(&world, &body, body.len, &entry) != RDB_OK) fail_msg("%s", forms[i].name);
        check_value(&forms[i], entry);
        check_again(&world, entry);
        file_free(&body);
        world_deinit(&world);
    }
}

/* In a file, in pieces of every small length. */
static void test_forms_in_pieces(void **state) {
    (void)state;
    struct file file = {0};
    put_head(&file, 12);
    for (uint32_t i = 0; i < FORMS; i++) {
        struct file body = body_of(&forms[i]);
        put(&file, body.at, 1);
        put_text(&file, forms[i].name);
        put(&file, body.at + 1, body.len - 1);
        file_free(&body);
    }
    put_end(&file);
    for (size_t piece = 0; piece < 30; piece++) {
        struct world world;
        world_init(&world);
        assert_int_equal(world_load(&world, &file, piece), RDB_OK);
        for (uint32_t i = 0; i < FORMS; i++)
            check_value(&forms[i], world_find(&world, 0, forms[i].name));
        world_deinit(&world);
    }
    file_free(&file);
}

/* Cut, or with a byte changed: refused, with what was there untouched, or some value. */
static void check_refused(struct world *world, const struct file *body, size_t len) {
    struct entry *entry, *before = world_find(world, 0, "key");
    enum rdb_status status = restore(world, body, len, &entry);
    if (status == RDB_OK) {
        if (entry_is_tree(entry)) collection_check(entry_collection(entry));
        return;
    }
    assert_ptr_equal(world_find(world, 0, "key"), before);
}

static void test_cut(void **state) {
    (void)state;
    for (uint32_t i = 0; i < FORMS; i++) {
        struct world world;
        struct entry *entry;
        struct file body = body_of(&forms[i]);
        world_init(&world);
        for (size_t len = 0; len<body.len; len += body.len> 3000 ? 41 : 1)
            assert_int_not_equal(restore(&world, &body, len, &entry), RDB_OK);
        assert_int_equal(world_count(&world), 0);
        file_free(&body);
        world_deinit(&world);
    }
}

static void test_changed(void **state) {
    (void)state;
    for (uint32_t i = 0; i < FORMS; i++) {
        struct world world;
        struct file body = body_of(&forms[i]);
        world_init(&world);
        for (size_t at = 0; at<body.len; at += body.len> 1000 ? 13 : 1) {
            const char before = body.at[at];
            const char changes[] = {0, (char)0xff, (char)0xfe, 0x7f, (char)(before + 1)};
            for (size_t change = 0; change < sizeof changes; change++) {
                body.at[at] = changes[change];
                check_refused(&world, &body, body.len);
            }
            body.at[at] = before;
        }
        file_free(&body);
        world_deinit(&world);
    }
}

static void test_refused_memory(void **state) {
    (void)state;
    for (uint32_t i = 0; i < FORMS; i++) {
        struct file body = body_of(&forms[i]);
        for (long count = 1;; count++) {
            struct world world;
            struct entry *entry;
            world_init(&world);
            mem_fail_after(count);
            enum rdb_status status = restore(&world, &body, body.len, &entry);
            mem_fail_after(0);
            if (status == RDB_OK) check_value(&forms[i], entry);
            else assert_int_equal(status, RDB_NO_MEMORY);
            world_deinit(&world);
            if (status == RDB_OK) break;
        }
        file_free(&body);
    }
}

static void refused(const char *body, size_t len) {
    struct world world;
    struct entry *entry;
    struct file file = {0};
    world_init(&world);
    put(&file, body, len);
    enum rdb_status status = restore(&world, &file, file.len, &entry);
    assert_true(status == RDB_DAMAGED || status == RDB_TRUNCATED);
    assert_int_equal(world_count(&world), 0);
    file_free(&file);
    world_deinit(&world);
}

/* Values without elements, elements twice, numbers that are none. */
static void test_refused(void **state) {
    (void)state;
    const struct {
        const char *at;
        size_t len;
    } bodies[] = {
        {"\1\0", 2},
        {"\2\0", 2},
        {"\16\1\13\13\0\0\0\12\0\0\0\0\0\377", 14}, /* a quicklist of nothing */
        {"\2\2\1a\1a", 6},
        {"\3\2\1a\0011\1a\0012", 10},
        {"\4\2\1a\1b\1a\1c", 10},
        {"\3\1\1a\375", 5},
        {"\3\1\1a\1x", 6},
        {"\5\1\1a\0\0\0\0\0\0\370\177", 12},
        {"\13\12\2\0\0\0\1\0\0\0\1", 11},
        {"\13\14\2\0\0\0\2\0\0\0\1\0\1\0", 14},
        {"\13\14\2\0\0\0\2\0\0\0\2\0\1\0", 14},
        {"\13\10\2\0\0\0\0\0\0\0", 10},
        {"\20\7\7\0\0\0\0\0\377", 9},
        {"\0\303\3\100\310\0a\340", 8},
        {"\0\303\2\175\0a", 6},
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        refused(bodies[i].at, bodies[i].len);
}

/* Consumers in no order: a few of them are put where they belong, very many are refused. */
static void test_unordered_names(void **state) {
    (void)state;
    for (uint32_t count = 100; count <= 10000; count += 9900) {
        struct world world;
        struct entry *entry;
        struct file file = {0};
        char name[16];
        world_init(&world);
        put_byte(&file, RDB_STREAM_LISTPACKS_2);
        for (uint32_t i = 0; i < 9; i++) put_length(&file, 0); /* nothing was ever in it */
        put_byte(&file, 1), put_text(&file, "group");
        for (uint32_t i = 0; i < 4; i++) put_length(&file, 0);
        put_length(&file, count);
        for (uint32_t i = 0; i < count; i++) {
            snprintf(name, sizeof name, "%05u", 99999 - i);
            put_text(&file, name);
            put_little(&file, 1, 8);
            put_length(&file, 0);
        }
        enum rdb_status status = restore(&world, &file, file.len, &entry);
        assert_int_equal(status, count == 100 ? RDB_OK : RDB_DAMAGED);
        file_free(&file);
        world_deinit(&world);
    }
}

static void test_footers(void **state) {
    (void)state;
    struct file body = body_of(&forms[0]);
    struct bytes payload = payload_of(&body, body.len);
    char *at = (char *)(uintptr_t)payload.at;
    assert_true(rdb_dump_is_valid(payload));
    for (uint32_t i = 0; i < payload.len; i++) {
        at[i] ^= 1;
        assert_false(rdb_dump_is_valid(payload));
        at[i] ^= 1;
        assert_false(rdb_dump_is_valid(bytes_of(at, i)));
    }
    free(at);
    file_free(&body);
}

/* It takes the place of whatever is there, of any type. */
static void test_replaced(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (uint32_t i = 0; i < FORMS * FORMS; i++) {
        struct entry *entry;
        const struct form *one = &forms[i * 7 % FORMS];
        struct file body = body_of(one);
        assert_int_equal(restore(&world, &body, body.len, &entry), RDB_OK);
        check_value(one, entry);
        assert_int_equal(world_count(&world), 1);
        file_free(&body);
    }
    world_deinit(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_forms_in_pieces),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unordered_names),
        cmocka_unit_test(test_footers),
        cmocka_unit_test(test_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
