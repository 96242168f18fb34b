/* Reading a whole file.
 *
 * A value is made without any baton, in memory that only its place at the key is missing to. Keys with their values are collected
 * per shard, and a shard is entered for a batch of them: what is done there for each is to make an entry and to put it into the
 * table, whose memory is fetched for the whole batch at once.
 */
#include <stdio.h>

#include "base/assert.h"
#include "rdb/value.h"

enum { BATCH_ITEMS = 64, BATCH_BYTES = 16 * 1024, VERSION_SUMS = 5 };

struct item {
    struct built built;
    struct bytes key;
    uint64_t hash;
    uint64_t offset; /* of its type in the input */
    int64_t deadline_ms;
    int64_t idle_s; /* -1: it is not said */
    int32_t frequency;
    uint32_t db;
};

struct batch { /* of keys of one shard */
    struct keyspace *keyspace;
    uint32_t count, used;
    struct item items[BATCH_ITEMS];
    char bytes[BATCH_BYTES];
};

struct loader {
    struct source source;
    struct rdb_target *target;
    struct value_maker maker;
    struct node_heap heap; /* of no shard; charged to the one a value is made for */
    struct mem_account account;
    struct batch **batches; /* a shard's, once it has a key */
    struct item next;       /* as far as it is known */
    uint32_t version;
};

/* ---- Into the shards ------------------------------------------------------------------------- */

static bool fail_at(struct loader *loader, const struct item *item, enum rdb_status status,
                    const char *text) {
    bool is_first = loader->source.status == RDB_OK;
    (void)source_fail(&loader->source, status, text);
    if (is_first) {
        source_settle(&loader->source);
        loader->source.input->offset = item->offset;
    }
    return false;
}

static void note_access(const struct keyspace *keyspace, const struct item *item,
                        struct entry *entry) {
    uint32_t field = access_field(entry);
    if (item->frequency >= 0) {
        field = access_of_frequency(keyspace->access, field, item->frequency);
    }
    if (item->idle_s >= 0) {
        field = access_of_idle(keyspace->access, field, item->idle_s);
    }
    access_put(entry, field);
}

static bool put_item(struct loader *loader, struct keyspace *keyspace, struct item *item) {
    struct edit_place place = {keyspace, item->db, item->hash, item->key};
    struct entry *found = keyspace_find(keyspace, item->db, item->hash, item->key);
    if (KRT_UNLIKELY(found != NULL)) {
        if (!loader->target->replace) {
            return fail_at(loader, item, RDB_DUPLICATE, "a key is in it twice");
        }
        keyspace_delete(keyspace, item->db, item->hash, found);
    }
    struct entry *entry = built_store(&item->built, &place, item->deadline_ms, NULL);
    if (entry == NULL) {
        return fail_at(loader, item, RDB_NO_MEMORY, "out of memory");
    }
    if (KRT_UNLIKELY(item->idle_s >= 0 || item->frequency >= 0)) {
        note_access(keyspace, item, entry);
    }
    loader->target->keys++;
    return true;
}

static struct keyspace *enter(struct loader *loader, uint64_t hash) {
    struct rdb_target *target = loader->target;
    struct keyspace *keyspace = target->enter(target->context, hash);
    if (keyspace == NULL) {
        (void)source_fail(&loader->source, RDB_STOPPED, "the server stops");
    }
    return keyspace;
}

static void leave(struct loader *loader, struct keyspace *keyspace) {
    loader->target->leave(loader->target->context, keyspace);
}

static void drop_items(struct batch *batch, uint32_t from) {
    for (uint32_t i = from; i < batch->count; i++) {
        built_drop(&batch->items[i].built);
    }
    batch->count = batch->used = 0;
}

static bool flush(struct loader *loader, struct batch *batch) {
    if (batch->count == 0) {
        return true;
    }
    struct keyspace *keyspace = enter(loader, batch->items[0].hash);
    if (keyspace == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        keyspace_prefetch_bucket(keyspace, batch->items[i].db, batch->items[i].hash);
    }
    uint32_t done = 0;
    while (done < batch->count && put_item(loader, keyspace, &batch->items[done])) {
        done++;
    }
    leave(loader, keyspace);
    bool all = done == batch->count;
    drop_items(batch, 0);
    return all;
}

static bool flush_all(struct loader *loader) {
    for (uint32_t i = 0; i < loader->target->shard_count; i++) {
        if (loader->batches[i] != NULL && !flush(loader, loader->batches[i])) {
            return false;
        }
    }
    return true;
}

/* ---- Batches --------------------------------------------------------------------------------- */

/* Where the shard's keys are collected. Values are charged to its account. */
static struct batch *batch_of(struct loader *loader, uint64_t hash) {
    struct batch **batch = &loader->batches[hash_shard(hash, loader->target->shard_count)];
    if (KRT_LIKELY(*batch != NULL)) {
        return *batch;
    }
    struct batch *made = mem_alloc(NULL, sizeof *made);
    if (made == NULL) {
        (void)source_fail(&loader->source, RDB_NO_MEMORY, "out of memory");
        return NULL;
    }
    made->count = made->used = 0;
    made->keyspace = enter(loader, hash);
    if (made->keyspace == NULL) {
        mem_free(NULL, made);
        return NULL;
    }
    leave(loader, made->keyspace);
    return *batch = made;
}

static bool is_inside(const struct built *built) {
    return built->collection == NULL && !(built->bytes.flags & BYTES_BLOB);
}

static struct bytes copy_to_batch(struct batch *batch, struct bytes bytes) {
    char *at = batch->bytes + batch->used;
    bytes_copy(at, bytes.at, bytes.len);
    batch->used += bytes.len;
    return bytes_of(at, bytes.len);
}

/* A key that is longer than a batch goes alone, from where it lies. */
static bool put_alone(struct loader *loader, struct batch *batch, struct item *item) {
    struct keyspace *keyspace;
    bool done = flush(loader, batch) && (keyspace = enter(loader, item->hash)) != NULL;
    if (done) {
        done = put_item(loader, keyspace, item);
        leave(loader, keyspace);
    }
    built_drop(&item->built);
    return done;
}

static bool add(struct loader *loader, struct batch *batch, struct item *item) {
    uint64_t bytes =
        (uint64_t)item->key.len + (is_inside(&item->built) ? item->built.bytes.len : 0);
    if (bytes > BATCH_BYTES) {
        return put_alone(loader, batch, item);
    }
    if ((batch->count == BATCH_ITEMS || batch->used + bytes > BATCH_BYTES) &&
        !flush(loader, batch)) {
        built_drop(&item->built);
        return false;
    }
    item->key = copy_to_batch(batch, item->key);
    if (is_inside(&item->built)) {
        item->built.bytes = copy_to_batch(batch, item->built.bytes);
    }
    batch->items[batch->count++] = *item;
    return true;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static void forget_item(struct loader *loader) {
    loader->next.deadline_ms = 0;
    loader->next.idle_s = -1;
    loader->next.frequency = -1;
}

static bool keep(struct loader *loader, struct batch *batch, struct item *item, bool is_empty) {
    struct rdb_target *target = loader->target;
    bool expired = target->drop_before_ms != 0 && item->deadline_ms != 0 &&
                   item->deadline_ms < target->drop_before_ms;
    if (batch == NULL || is_empty || expired) {
        target->dropped += expired;
        target->keys += target->enter == NULL && !is_empty && !expired;
        built_drop(&item->built);
        return true;
    }
    return add(loader, batch, item);
}

/* Whose value it is, for who has to do without it. */
static bool name_key(struct loader *loader, struct bytes key) {
    enum { SHOWN = 48 };
    char shown[SHOWN + 1];
    uint32_t len = key.len < SHOWN ? key.len : SHOWN;
    char *text = loader->source.input->text;
    size_t room = sizeof loader->source.input->text, used = strlen(text);
    for (uint32_t i = 0; i < len; i++) {
        shown[i] = key.at[i] > ' ' && key.at[i] <= '~' ? key.at[i] : '?';
    }
    shown[len] = 0;
    snprintf(text + used, room - used, ", in the value of the key %s%s", shown,
             key.len > SHOWN ? "..." : "");
    return false;
}

static bool read_item(struct loader *loader, uint8_t type) {
    struct item *item = &loader->next;
    struct batch *batch = NULL;
    struct rdb_target *target = loader->target;
    bool is_empty;
    if (!source_string(&loader->source, SOURCE_KEY, &item->key)) {
        return false;
    }
    item->hash = hash_bytes(target->hash_seed, item->key.at, item->key.len);
    loader->heap.account = &loader->account;
    if (target->enter != NULL) {
        batch = batch_of(loader, item->hash);
        if (batch == NULL) {
            return false;
        }
        loader->heap.account = &batch->keyspace->account;
    }
    if (!value_read(&loader->maker, type, &item->built, &is_empty)) {
        return name_key(loader, item->key);
    }
    if (!keep(loader, batch, item, is_empty)) {
        return false;
    }
    forget_item(loader);
    return true;
}

/* ---- What stands between them ---------------------------------------------------------------- */

/* A deadline of 0 is a time long ago, not none, which is -1. */
static void note_deadline(struct loader *loader, int64_t deadline_ms) {
    loader->next.deadline_ms = deadline_ms == -1 ? 0 : deadline_ms > 0 ? deadline_ms : 1;
}

static bool read_expire(struct loader *loader) {
    int32_t seconds;
    if (!source_bytes(&loader->source, &seconds, sizeof seconds)) {
        return false;
    }
    note_deadline(loader, (int64_t)seconds * 1000);
    return true;
}

static bool read_expire_ms(struct loader *loader) {
    int64_t deadline_ms;
    if (!source_bytes(&loader->source, &deadline_ms, sizeof deadline_ms)) {
        return false;
    }
    note_deadline(loader, deadline_ms);
    return true;
}

static bool read_select(struct loader *loader) {
    uint64_t db;
    if (!source_length(&loader->source, &db)) {
        return false;
    }
    if (db >= loader->target->database_count) {
        return source_fail(&loader->source, RDB_DAMAGED, "it has more databases than the server");
    }
    loader->next.db = loader->target->first_db + (uint32_t)db;
    return true;
}

static bool read_idle(struct loader *loader) {
    uint64_t seconds;
    if (!source_length(&loader->source, &seconds)) {
        return false;
    }
    loader->next.idle_s = seconds < INT64_MAX ? (int64_t)seconds : INT64_MAX;
    return true;
}

static bool read_frequency(struct loader *loader) {
    uint8_t count;
    if (!source_u8(&loader->source, &count)) {
        return false;
    }
    loader->next.frequency = count;
    return true;
}

static bool skip_lengths(struct loader *loader, unsigned count) {
    uint64_t length;
    while (count-- > 0) {
        if (!source_length(&loader->source, &length)) {
            return false;
        }
    }
    return true;
}

static bool read_aux(struct loader *loader) {
    struct bytes name, value;
    struct rdb_target *target = loader->target;
    if (!source_string(&loader->source, SOURCE_FIRST, &name) ||
        !source_string(&loader->source, SOURCE_SECOND, &value)) {
        return false;
    }
    if (target->aux != NULL) {
        source_settle(&loader->source); /* `offset` is behind it */
        target->aux(target->context, name, value);
    }
    return true;
}

static bool read_function(struct loader *loader) {
    struct bytes code;
    struct rdb_target *target = loader->target;
    if (!source_string(&loader->source, SOURCE_FIRST, &code)) {
        return false;
    }
    return target->function == NULL || target->function(target->context, code) ||
           source_damaged(&loader->source, "a library of functions that cannot be loaded");
}

static bool read_operation(struct loader *loader, uint8_t type) {
    struct source *source = &loader->source;
    switch (type) {
    case RDB_OP_EXPIRE:
        return read_expire(loader);
    case RDB_OP_EXPIRE_MS:
        return read_expire_ms(loader);
    case RDB_OP_SELECT_DB:
        return read_select(loader);
    case RDB_OP_RESIZE_DB:
        return skip_lengths(loader, 2);
    case RDB_OP_SLOT_INFO:
        return skip_lengths(loader, 3);
    case RDB_OP_IDLE:
        return read_idle(loader);
    case RDB_OP_FREQ:
        return read_frequency(loader);
    case RDB_OP_AUX:
        return read_aux(loader);
    case RDB_OP_FUNCTION_2:
        return read_function(loader);
    case RDB_OP_FUNCTION_PRE_GA:
        return source_fail(source, RDB_UNKNOWN, "functions as no version of Redis has them");
    case RDB_OP_MODULE_AUX:
        return source_fail(source, RDB_UNKNOWN, "data of a module");
    default:
        return read_item(loader, type);
    }
}

/* ---- The file -------------------------------------------------------------------------------- */

static bool read_head(struct loader *loader) {
    char head[9];
    uint32_t version = 0;
    if (!source_bytes(&loader->source, head, sizeof head)) {
        return false;
    }
    if (memcmp(head, "REDIS", 5) != 0) {
        return source_damaged(&loader->source, "it is no dump of Redis's");
    }
    for (unsigned i = 5; i < sizeof head; i++) {
        if (head[i] < '0' || head[i] > '9') {
            return source_damaged(&loader->source, "a version that is no number");
        }
        version = version * 10 + (uint32_t)(head[i] - '0');
    }
    if (version < 1 || version > RDB_VERSION_MAX) {
        return source_fail(&loader->source, RDB_UNKNOWN, "a version that is not known");
    }
    loader->version = version;
    return true;
}

static bool read_all(struct loader *loader) {
    struct rdb_input *input = loader->source.input;
    for (;;) {
        uint8_t type;
        loader->next.offset = input->offset + (uint64_t)(input->at - loader->source.mark);
        if (!source_u8(&loader->source, &type)) {
            return false;
        }
        if (type == RDB_OP_EOF) {
            return true;
        }
        if (!read_operation(loader, type)) {
            return false;
        }
    }
}

static bool check_sum(struct loader *loader) {
    struct source *source = &loader->source;
    uint64_t expected;
    if (loader->version < VERSION_SUMS) {
        return true;
    }
    source_settle(source);
    uint64_t found = source->checksum;
    bool sums = source->sums;
    source->sums = false;
    if (!source_u64(source, &expected)) {
        return false;
    }
    return !sums || expected == 0 || expected == found ||
           source_damaged(source, "the checksum is another one");
}

static bool start(struct loader *loader, struct rdb_input *input, struct rdb_target *target) {
    loader->target = target;
    source_init(&loader->source, input);
    node_heap_init(&loader->heap, &loader->account, NULL);
    loader->maker = (struct value_maker){.source = &loader->source,
                                         .heap = &loader->heap,
                                         .seed = target->hash_seed,
                                         .small = &target->small};
    loader->next = (struct item){.db = target->first_db};
    forget_item(loader);
    loader->batches = mem_calloc(NULL, target->shard_count * sizeof *loader->batches);
    return loader->batches != NULL || source_fail(&loader->source, RDB_NO_MEMORY, "out of memory");
}

static void stop(struct loader *loader) {
    for (uint32_t i = 0; loader->batches != NULL && i < loader->target->shard_count; i++) {
        if (loader->batches[i] != NULL) {
            drop_items(loader->batches[i], 0);
            mem_free(NULL, loader->batches[i]);
        }
    }
    mem_free(NULL, loader->batches);
    node_heap_deinit(&loader->heap);
    if (loader->source.status == RDB_DUPLICATE || loader->source.status == RDB_NO_MEMORY) {
        loader->source.mark = loader->source.input->at; /* it says where the key is */
    }
    source_deinit(&loader->source);
}

enum rdb_status rdb_load(struct rdb_input *input, struct rdb_target *target) {
    struct loader *loader = mem_calloc(NULL, sizeof *loader);
    KRT_ASSERT(target->shard_count > 0);
    if (loader == NULL) {
        memcpy(input->text, "out of memory", sizeof "out of memory");
        return RDB_NO_MEMORY;
    }
    if (start(loader, input, target) && read_head(loader) && read_all(loader) &&
        check_sum(loader)) {
        (void)flush_all(loader);
    }
    stop(loader);
    enum rdb_status status = loader->source.status;
    mem_free(NULL, loader);
    return status;
}
