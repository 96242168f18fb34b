#include "cmd/world_cut.h"

#include "cmd/value_digest.h"
#include "store/database.h"

/* In no order: keys are summed. */
static uint64_t digest_of_key(uint32_t db, struct bytes key, int64_t deadline_ms, uint64_t value) {
    uint64_t digest = digest_mix(value, key.at, key.len);
    return digest_mix(digest, &deadline_ms, sizeof deadline_ms) * (2 * (uint64_t)db + 3);
}

struct sum {
    struct world_cut *cut;
    uint32_t db;
};

static void add_entry(void *context, struct entry *entry) {
    const struct sum *sum = context;
    bool is_tree = entry_is_tree(entry);
    struct bytes bytes = {0};
    if (!is_tree) bytes = entry_string(entry);
    uint64_t value =
        digest_of_content(entry->type, is_tree ? entry_collection(entry) : NULL, bytes);
    sum->cut->digest += digest_of_key(sum->db, entry_key(entry), entry_deadline(entry), value);
    sum->cut->keys++;
}

static void take(struct kept_taker *taker, struct kept_buffer *buffer) {
    struct world_cut *cut = (struct world_cut *)taker;
    buffer->next = cut->taken;
    cut->taken = buffer;
}

void world_cut_begin(struct world_cut *cut, struct world *world) {
    *cut = (struct world_cut){.taker.take = take, .world = world};
    for (uint32_t i = 0; i < world->domain.shard_count; i++) {
        struct keyspace *keyspace = &world->keyspaces[i];
        for (uint32_t db = 0; db < keyspace->database_count; db++)
            keyspace_walk(keyspace, db, add_entry, &(struct sum){cut, db});
        assert_true(snapshot_part_init(&cut->parts[i], keyspace, &cut->taker));
        keyspace_cut(keyspace, &cut->parts[i]);
    }
}

void world_cut_walk(struct world_cut *cut, uint32_t entries) {
    for (uint32_t i = 0; i < cut->world->domain.shard_count; i++) {
        struct snapshot_part *part = &cut->parts[i];
        if (!part->walked) part->walked = snapshot_part_walk(part, entries);
    }
}

static void check_mark(void *context, struct entry *entry) {
    const struct keyspace *keyspace = context;
    assert_int_equal(entry->flags & ENTRY_MARK, keyspace->mark);
}

static void end_walk(struct world_cut *cut) {
    struct world *world = cut->world;
    for (uint32_t i = 0; i < world->domain.shard_count; i++) {
        while (!cut->parts[i].walked) world_cut_walk(cut, 64);
        for (uint32_t db = 0; db < WORLD_DATABASES; db++)
            keyspace_walk(&world->keyspaces[i], db, check_mark, &world->keyspaces[i]);
    }
}

static void thaw(struct world_cut *cut) {
    struct garbage *waited = NULL;
    for (uint32_t i = 0; i < cut->world->domain.shard_count; i++) {
        keyspace_thaw(&cut->world->keyspaces[i], &waited);
        snapshot_part_deinit(&cut->parts[i]);
    }
    for (struct garbage *next; waited; waited = next) {
        next = waited->next;
        waited->free(waited);
    }
}

static void add_item(struct world_cut *sum, struct kept_item *item) {
    bool frozen = item->where == KEPT_FROZEN;
    struct bytes bytes = {0};
    if (!frozen) bytes = kept_value(item);
    uint64_t value = digest_of_content(item->type, frozen ? item->collection : NULL, bytes);
    sum->digest += digest_of_key(item->db, kept_key(item), item->deadline_ms, value);
    sum->keys++;
}

static struct world_cut sum_up(struct world_cut *cut) {
    struct world_cut sum = {0};
    for (struct kept_buffer *buffer = cut->taken, *next; buffer; buffer = next) {
        struct kept_item *item;
        next = buffer->next;
        for (size_t offset = 0; (item = kept_next(buffer, &offset));) add_item(&sum, item);
        kept_buffer_free(buffer, 0);
    }
    return sum;
}

void world_cut_end(struct world_cut *cut) {
    end_walk(cut);
    struct world_cut sum = sum_up(cut);
    thaw(cut);
    assert_int_equal(sum.keys, cut->keys);
    assert_true(sum.digest == cut->digest);
}

void world_cut_give_up(struct world_cut *cut) {
    atomic_store_relaxed(&cut->taker.over, KEPT_OVER_ABORTED);
    end_walk(cut);
    (void)sum_up(cut);
    thaw(cut);
}
