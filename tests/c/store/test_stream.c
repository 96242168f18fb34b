/* Streams beside plain arrays of entries and of Redis's nodes: random changes, frozen and not, with and
 * without memory. */
#include "store/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/store_fixture.h"

enum { MODEL_MAX = 1 << 15, FIELDS_MAX = 5, TEXT_MAX = 6000 };

struct model_entry {
    struct stream_id id;
    uint32_t kind; /* of its names */
    uint32_t seed; /* of its values */
    bool gone;
};

struct model_node { /* entries [begin, end) */
    uint32_t begin, end;
    uint64_t bytes; /* of its elements, but for the two counters */
    bool gone;
};

struct model {
    struct fixture fixture;
    struct bytes key;
    struct random_state random;
    struct stream_limits limits;
    uint32_t kinds; /* of names */
    struct stream_id last_id, max_deleted;
    struct model_entry *entries;
    struct model_node *nodes;
    uint32_t entry_count, node_count, live, added;
};

static struct model *model_new(uint64_t seed, uint32_t kinds) {
    struct model *model = calloc(1, sizeof *model);
    fixture_init(&model->fixture, 1);
    model->key = BYTES_LITERAL("stream");
    model->limits = (struct stream_limits){.node_bytes = 4096, .node_entries = 100};
    model->kinds = kinds;
    model->entries = calloc(MODEL_MAX, sizeof *model->entries);
    model->nodes = calloc(MODEL_MAX, sizeof *model->nodes);
    random_seed(&model->random, seed);
    return model;
}

static void model_free(struct model *model) {
    fixture_deinit(&model->fixture);
    free(model->entries);
    free(model->nodes);
    free(model);
}

static uint32_t below(struct model *model, uint32_t bound) {
    return (uint32_t)random_below(&model->random, bound);
}

/* ---- What entries are ------------------------------------------------------------------------ */

struct texts {
    struct bytes fields[2 * FIELDS_MAX];
    uint32_t count;
    char text[2 * FIELDS_MAX][TEXT_MAX];
};

static const char *const numbers[] = {
    "0",
    "127",
    "128",
    "-1",
    "4095",
    "-4096",
    "4096",
    "32767",
    "-32768",
    "32768",
    "8388607",
    "-8388608",
    "8388608",
    "2147483647",
    "-2147483648",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "007",
    "-0",
    "+1",
    "1.5",
    "",
    "12345678901234567890",
};

static uint32_t value_length(uint32_t seed) {
    static const uint32_t lengths[] = {63, 64, 125, 126, 127, 130, 900, 4095, 4096, 5500};
    uint32_t odd = seed % 200;
    return odd < 10 ? lengths[odd] : seed % 40;
}

static void write_value(char *to, uint32_t seed, struct bytes *value) {
    seed = seed * 2654435761u + 12345;
    if ((seed >> 8) % 3 == 0) {
        const char *number = numbers[(seed >> 12) % (sizeof numbers / sizeof *numbers)];
        strcpy(to, number);
        *value = bytes_of(to, strlen(number));
        return;
    }
    uint32_t len = value_length(seed >> 10);
    for (uint32_t i = 0; i < len; i++) to[i] = (char)('a' + (seed + i) % 26);
    *value = bytes_of(to, len);
}

static void texts_of(struct texts *texts, uint32_t kind, uint32_t seed) {
    texts->count = 1 + kind % FIELDS_MAX;
    for (uint32_t i = 0; i < texts->count; i++) {
        int len = snprintf(texts->text[2 * i], TEXT_MAX, "%.*s%u-%u", (int)(kind % 90),
                           "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                           "nnnnnnnnnnnnnnnnnnnnnnnn",
                           kind, i);
        texts->fields[2 * i] = bytes_of(texts->text[2 * i], (size_t)len);
        write_value(texts->text[2 * i + 1], seed + i, &texts->fields[2 * i + 1]);
    }
}

/* ---- Redis's nodes --------------------------------------------------------------------------- */

static uint64_t backward(uint64_t bytes) {
    return bytes <= 127 ? 1 : bytes < 16383 ? 2 : 3;
}

static uint64_t number_bytes(long long value) {
    uint64_t bytes = value >= 0 && value < 128                  ? 1
                     : value >= -4096 && value < 4096           ? 2
                     : value >= -32768 && value < 32768         ? 3
                     : value >= -8388608 && value < 8388608     ? 4
                     : value >= INT32_MIN && value <= INT32_MAX ? 5
                                                                : 9;
    return bytes + 1;
}

static uint64_t text_bytes(struct bytes text) {
    char copy[32], back[32];
    if (text.len > 0 && text.len < 21) {
        memcpy(copy, text.at, text.len);
        copy[text.len] = '\0';
        long long value = strtoll(copy, NULL, 10);
        snprintf(back, sizeof back, "%lld", value);
        if (strcmp(copy, back) == 0) return number_bytes(value);
    }
    uint64_t bytes = text.len + (text.len < 64 ? 1u : text.len < 4096 ? 2u : 5u);
    return bytes + backward(bytes);
}

static struct model_node *last_node(struct model *model) {
    for (uint32_t i = model->node_count; i-- > 0;)
        if (!model->nodes[i].gone) return &model->nodes[i];
    return NULL;
}

static uint64_t valid_of(const struct model *model, const struct model_node *node) {
    uint64_t valid = 0;
    for (uint32_t i = node->begin; i < node->end; i++) valid += !model->entries[i].gone;
    return valid;
}

static uint64_t node_bytes(const struct model *model, const struct model_node *node) {
    uint64_t valid = valid_of(model, node);
    return node->bytes + number_bytes((long long)valid) +
           number_bytes((long long)(node->end - node->begin - valid));
}

static uint64_t raw_bytes(const struct texts *texts) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 2 * texts->count; i++) bytes += texts->fields[i].len;
    return bytes;
}

static bool node_takes(const struct model *model, const struct model_node *node,
                       const struct texts *texts) {
    uint64_t limit = model->limits.node_bytes ? (uint64_t)model->limits.node_bytes : 1u << 30;
    /* Entries of a node that was left and is open again do not lie next to the new one. */
    return node_bytes(model, node) + raw_bytes(texts) < limit &&
           (model->limits.node_entries == 0 ||
            node->end - node->begin < (uint64_t)model->limits.node_entries);
}

static struct model_node *node_begin(struct model *model, const struct texts *texts) {
    struct model_node *node = &model->nodes[model->node_count++];
    *node = (struct model_node){.begin = model->entry_count, .end = model->entry_count};
    node->bytes = 6 + 1 + number_bytes(texts->count) + number_bytes(0);
    for (uint32_t i = 0; i < texts->count; i++) node->bytes += text_bytes(texts->fields[2 * i]);
    return node;
}

/* A node that is open again after others behind it have gone: those entries are dropped from the arrays. */
static void drop_gone(struct model *model, const struct model_node *node) {
    model->entry_count = node->end;
    model->node_count = (uint32_t)(node - model->nodes) + 1;
}

static void node_add(struct model *model, const struct texts *texts) {
    struct model_entry *entry = &model->entries[model->entry_count];
    struct model_node *node = last_node(model);
    if (node) drop_gone(model, node);
    else model->node_count = 0;
    struct model_entry added = *entry;
    if (!node || !node_takes(model, node, texts)) node = node_begin(model, texts);
    model->entries[model->entry_count++] = added;
    node->end = model->entry_count;
    const struct model_entry *first = &model->entries[node->begin];
    bool same = first->kind == added.kind;
    node->bytes += number_bytes(0) + number_bytes((long long)(added.id.ms - first->id.ms)) +
                   number_bytes((long long)(added.id.seq - first->id.seq)) +
                   number_bytes(same ? 3 + texts->count : 4 + 2 * texts->count);
    if (!same) node->bytes += number_bytes(texts->count);
    for (uint32_t i = 0; i < texts->count; i++) {
        if (!same) node->bytes += text_bytes(texts->fields[2 * i]);
        node->bytes += text_bytes(texts->fields[2 * i + 1]);
    }
}

/* ---- Changes of both ------------------------------------------------------------------------- */

static struct entry *entry_of(struct model *model) {
    return find(&model->fixture, 0, model->key);
}

static struct edit_place place_of(struct model *model) {
    return (struct edit_place){&model->fixture.keyspace, 0, hash_of(&model->fixture, model->key),
                               model->key};
}

static void open(struct model *model, struct stream_edit *edit) {
    struct edit_place place = place_of(model);
    assert_true(stream_edit_open(edit, &place, entry_of(model)));
}

static struct stream_id next_id(struct model *model) {
    struct stream_id id = model->last_id;
    switch (below(model, 8)) {
    case 0:
        id.ms += 1 + below(model, 100000);
        id.seq = below(model, 3);
        break;
    case 1:
        id.seq += 1 + below(model, 1000000);
        break;
    case 2:
        id.ms++;
        id.seq = random_next(&model->random) >> 8;
        break;
    default:
        (void)stream_id_increase(&id);
    }
    return stream_id_is_zero(id) ? (struct stream_id){1, 1} : id;
}

static bool cut_node(struct model *model, const struct stream_trim *trim, struct model_node *node,
                     uint64_t *gone) {
    uint64_t valid = valid_of(model, node);
    bool by_length = trim->by == STREAM_TRIM_BY_LENGTH;
    if (by_length && model->live <= trim->length) return false;
    if (trim->limit && *gone + valid > trim->limit) return false;
    bool whole = by_length ? model->live - valid >= trim->length
                           : stream_id_compare(model->entries[node->end - 1].id, trim->min_id) < 0;
    if (!whole && trim->approximate) return false;
    for (uint32_t i = node->begin; i < node->end; i++) {
        struct model_entry *entry = &model->entries[i];
        if (!whole && (by_length ? model->live <= trim->length
                                 : stream_id_compare(entry->id, trim->min_id) >= 0))
            return false;
        if (!entry->gone) {
            entry->gone = true;
            model->live--;
            ++*gone;
        }
    }
    node->gone = whole;
    return whole;
}

static uint64_t model_trim(struct model *model, const struct stream_trim *trim) {
    uint64_t gone = 0;
    for (uint32_t i = 0; i < model->node_count; i++)
        if (!model->nodes[i].gone && !cut_node(model, trim, &model->nodes[i], &gone)) break;
    return gone;
}

static struct stream_id some_id(struct model *model) {
    if (model->entry_count == 0 || below(model, 20) == 0)
        return (struct stream_id){below(model, 9), 0};
    struct stream_id id = model->entries[below(model, model->entry_count)].id;
    if (below(model, 10) == 0) id.seq++;
    return id;
}

static struct stream_trim some_trim(struct model *model) {
    struct stream_trim trim = {.by = STREAM_TRIM_BY_LENGTH, .approximate = below(model, 2)};
    trim.length = below(model, 4) ? model->live - (model->live ? below(model, model->live) / 8 : 0)
                                  : below(model, 40);
    if (below(model, 3) == 0) {
        trim.by = STREAM_TRIM_BY_ID;
        trim.min_id = some_id(model);
        if (below(model, 2) && model->live > 0)
            trim.min_id = model->entries[model->entry_count / 8].id;
    }
    if (trim.approximate && below(model, 2)) trim.limit = below(model, 300);
    return trim;
}

static void append(struct model *model, const struct stream_trim *trim) {
    static struct texts texts;
    struct stream_edit edit;
    struct stream_id id = next_id(model);
    uint32_t kind = below(model, 4) ? model->added / 50 % model->kinds : below(model, model->kinds);
    struct model_entry entry = {.id = id, .kind = kind, .seed = model->added * 31};
    texts_of(&texts, kind, entry.seed);
    open(model, &edit);
    assert_true(stream_edit_prepare(&edit, id, texts.fields, texts.count, &model->limits, trim));
    stream_edit_append(&edit);
    model->entries[model->entry_count] = entry;
    node_add(model, &texts);
    model->live++;
    model->added++;
    model->last_id = id;
    if (trim) assert_int_equal(stream_edit_trim(&edit, trim), model_trim(model, trim));
    stream_edit_close(&edit);
}

static void trim(struct model *model) {
    struct stream_edit edit;
    struct stream_trim trim = some_trim(model);
    open(model, &edit);
    assert_true(stream_edit_reserve_trim(&edit, &trim));
    assert_int_equal(stream_edit_trim(&edit, &trim), model_trim(model, &trim));
    stream_edit_close(&edit);
}

static bool model_erase(struct model *model, struct stream_id id) {
    for (uint32_t i = 0; i < model->node_count; i++) {
        struct model_node *node = &model->nodes[i];
        for (uint32_t j = node->begin; !node->gone && j < node->end; j++) {
            struct model_entry *entry = &model->entries[j];
            if (entry->gone || stream_id_compare(entry->id, id) != 0) continue;
            entry->gone = true;
            model->live--;
            node->gone = valid_of(model, node) == 0;
            if (stream_id_compare(id, model->max_deleted) > 0) model->max_deleted = id;
            return true;
        }
    }
    return false;
}

static void erase(struct model *model) {
    struct stream_edit edit;
    uint32_t count = 1 + below(model, 6);
    bool last = below(model, 4) == 0; /* from the end, so that nodes open again */
    open(model, &edit);
    assert_true(stream_edit_reserve_erasures(&edit, count));
    for (uint32_t i = 0; i < count; i++) {
        struct stream_id id = last ? stream_last_entry_id(edit.collection) : some_id(model);
        assert_int_equal(stream_edit_erase(&edit, id), model_erase(model, id));
    }
    stream_edit_close(&edit);
}

static void change(struct model *model) {
    uint32_t what = below(model, 40);
    struct stream_trim with = some_trim(model);
    if (model->entry_count + 1 >= MODEL_MAX || model->added == 0) what = 30;
    if (what < 6) erase(model);
    else if (what == 6) trim(model);
    else append(model, what == 7 && model->live > 500 ? &with : NULL);
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static void assert_entry(struct stream_walk *walk, const struct model_entry *entry) {
    static struct texts texts;
    struct stream_field field;
    texts_of(&texts, entry->kind, entry->seed);
    assert_int_equal(stream_id_compare(walk->id, entry->id), 0);
    assert_int_equal(walk->field_count, texts.count);
    for (uint32_t i = 0; i < texts.count; i++) {
        assert_true(stream_next_field(walk, &field));
        assert_true(bytes_equal(field.name, texts.fields[2 * i]));
        assert_true(bytes_equal(field.value, texts.fields[2 * i + 1]));
    }
    assert_false(stream_next_field(walk, &field));
}

static void assert_entries(const struct stream_view *view, const struct model_entry *entries,
                           uint32_t count) {
    struct stream_walk walk;
    bool found = stream_seek_first(&walk, view);
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].gone) continue;
        assert_true(found);
        assert_entry(&walk, &entries[i]);
        found = stream_next(&walk);
    }
    assert_false(found);
}

static void assert_nodes(const struct model *model, const struct collection *collection) {
    struct tree_path path;
    bool found = tree_seek(&collection->trees[1], 0, &path);
    const struct model_node *last = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->node_count; i++)
        if (!model->nodes[i].gone) last = &model->nodes[i];
    for (uint32_t i = 0; i < model->node_count; i++) {
        const struct model_node *node = &model->nodes[i];
        if (node->gone) continue;
        struct stream_node ours =
            node == last ? stream_of(collection)->tail : stream_node_read(tree_record(&path));
        count++;
        assert_int_equal(stream_id_compare(ours.first, model->entries[node->begin].id), 0);
        assert_int_equal(stream_id_compare(ours.last, model->entries[node->end - 1].id), 0);
        assert_int_equal(ours.valid, valid_of(model, node));
        assert_int_equal(ours.valid + ours.deleted, node->end - node->begin);
        assert_int_equal(ours.bytes, node->bytes);
        if (node != last) found = tree_next(&path);
    }
    (void)found;
    assert_int_equal(stream_node_count(collection), count);
}

static void assert_same(struct model *model) {
    struct entry *entry = entry_of(model);
    if (!entry) {
        assert_int_equal(model->added, 0);
        return;
    }
    const struct collection *collection = entry_collection(entry);
    struct stream_view view = stream_view_of(collection);
    collection_check(collection);
    assert_int_equal(stream_count(collection), model->live);
    assert_int_equal(stream_of(collection)->entries_added, model->added);
    assert_int_equal(stream_id_compare(stream_of(collection)->max_deleted_id, model->max_deleted),
                     0);
    assert_entries(&view, model->entries, model->entry_count);
    if (model->kinds <= STREAM_SHAPES_MAX) assert_nodes(model, collection);
}

static void delete_stream(struct model *model) {
    assert_true(delete (&model->fixture, 0, model->key));
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_beside_arrays(void **state) {
    static const struct stream_limits limits[] = {{4096, 100}, {0, 10}, {300, 0},
                                                  {1, 1},      {0, 0},  {0, 200}};
    (void)state;
    for (uint32_t seed = 0; seed < 12; seed++) {
        struct model *model = model_new(100 + seed, seed % 3 == 2 ? 150 : 5 + 20 * (seed % 2));
        model->limits = limits[seed % 6];
        for (uint32_t step = 0; step < 3000; step++) {
            change(model);
            if (step % 100 == 0) assert_same(model);
            if (seed > 6 && step % 700 == 0) model->limits = limits[below(model, 6)];
        }
        assert_same(model);
        delete_stream(model);
        model_free(model);
    }
}

/* What is before and behind every id and its neighbours. */
static void test_seeking(void **state) {
    (void)state;
    struct model *model = model_new(7, 3);
    for (uint32_t step = 0; step < 2000; step++) change(model);
    struct stream_view view = stream_view_of(entry_collection(entry_of(model)));
    struct stream_walk walk;
    for (uint32_t i = 0; i < 3000; i++) {
        struct stream_id id = some_id(model);
        const struct model_entry *from = NULL, *back = NULL;
        for (uint32_t j = 0; j < model->entry_count; j++) {
            const struct model_entry *entry = &model->entries[j];
            if (entry->gone) continue;
            if (!from && stream_id_compare(entry->id, id) >= 0) from = entry;
            if (stream_id_compare(entry->id, id) <= 0) back = entry;
        }
        assert_int_equal(stream_seek_from(&walk, &view, id), from != NULL);
        if (from) assert_entry(&walk, from);
        assert_int_equal(stream_seek_back(&walk, &view, id), back != NULL);
        if (back) assert_entry(&walk, back);
        assert_int_equal(stream_find(&walk, &view, id),
                         from && stream_id_compare(from->id, id) == 0);
    }
    uint64_t rank = model->live;
    for (bool found = stream_seek_last(&walk, &view); found; found = stream_prev(&walk))
        assert_int_equal(stream_rank(&walk), --rank);
    assert_int_equal(rank, 0);
    delete_stream(model);
    model_free(model);
}

/* What is frozen stays as it was, also when the stream is deleted meanwhile. */
static void test_frozen_while_changed(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed < 6; seed++) {
        struct model *model = model_new(40 + seed, seed % 2 ? 100 : 8);
        struct node_heap *heap = &model->fixture.keyspace.nodes;
        struct collection *frozen;
        for (uint32_t step = 0; step < 2500; step++) change(model);
        uint32_t count = model->entry_count;
        size_t size = count * sizeof(struct model_entry);
        struct model_entry *entries = malloc(size);
        memcpy(entries, model->entries, size);
        node_heap_freeze(heap);
        frozen = collection_freeze(entry_collection(entry_of(model)));
        assert_non_null(frozen);
        struct stream_view view = stream_view_of(frozen);
        for (uint32_t step = 0; step < 1500; step++) {
            change(model);
            if (step % 150 == 0) assert_entries(&view, entries, count);
        }
        assert_same(model);
        if (seed % 3 == 0) delete_stream(model);
        assert_entries(&view, entries, count);
        collection_check(frozen);
        collection_unfreeze(frozen);
        node_heap_thaw(heap);
        if (seed % 3 != 0) {
            assert_same(model);
            delete_stream(model);
        }
        free(entries);
        model_free(model);
    }
}

static bool try_append(struct model *model, const struct texts *texts,
                       const struct stream_trim *trim) {
    struct stream_edit edit;
    struct edit_place place = place_of(model);
    struct stream_id id = model->last_id;
    (void)stream_id_increase(&id);
    if (!stream_edit_open(&edit, &place, entry_of(model))) return false;
    bool ready = stream_edit_prepare(&edit, id, texts->fields, texts->count, &model->limits, trim);
    stream_edit_close(&edit);
    return ready;
}

/* So that what is reserved has to be allocated. */
static void drop_spares(struct node_heap *heap, bool freeze) {
    struct mem_account *account = heap->account;
    atomic_u64 *leaving_bytes = heap->leaving_bytes;
    uint32_t epoch = heap->epoch;
    if (heap->frozen) node_heap_thaw(heap);
    node_heap_deinit(heap);
    node_heap_init(heap, account, leaving_bytes);
    heap->epoch = epoch;
    if (freeze) node_heap_freeze(heap);
}

/* Refused memory changes nothing, wherever it is refused. */
static void test_without_memory(void **state) {
    static struct texts texts;
    (void)state;
    for (uint32_t seed = 0; seed < 4; seed++) {
        struct model *model = model_new(60 + seed, 4);
        struct stream_trim trim = {.by = STREAM_TRIM_BY_LENGTH, .length = 3};
        struct node_heap *heap = &model->fixture.keyspace.nodes;
        bool frozen = seed == 3;
        texts_of(&texts, 7, 0); /* names that are new */
        for (uint32_t i = 0; i < 900 * seed; i++) append(model, NULL);
        for (long failing = 1; failing < 200; failing++) {
            drop_spares(heap, frozen);
            mem_fail_after(failing);
            bool ready = try_append(model, &texts, &trim);
            mem_fail_after(0);
            if (ready) {
                assert_true(failing > 1);
                break;
            }
            assert_int_equal(entry_of(model) != NULL, model->added > 0);
            assert_same(model);
        }
        if (heap->frozen) node_heap_thaw(heap);
        if (entry_of(model)) {
            delete_stream(model);
        }
        model_free(model);
    }
}

/* A copy is like the stream, and neither hears of the other. */
static void test_copies(void **state) {
    (void)state;
    struct model *model = model_new(80, 90);
    struct node_heap *heap = &model->fixture.keyspace.nodes;
    for (uint32_t step = 0; step < 2000; step++) change(model);
    const struct collection *collection = entry_collection(entry_of(model));
    struct collection *copy = collection_copy(collection, heap);
    assert_non_null(copy);
    assert_int_equal(stream_count(copy), model->live);
    uint32_t count = model->entry_count;
    struct model_entry *entries = malloc(count * sizeof *entries);
    memcpy(entries, model->entries, count * sizeof *entries);
    for (uint32_t step = 0; step < 500; step++) change(model);
    struct stream_view view = stream_view_of(copy);
    collection_check(copy);
    assert_entries(&view, entries, count);
    delete_stream(model);
    assert_entries(&view, entries, count);
    collection_free(copy);
    free(entries);
    model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beside_arrays),
        cmocka_unit_test(test_seeking),
        cmocka_unit_test(test_frozen_while_changed),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
