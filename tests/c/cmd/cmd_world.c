#include "cmd/cmd_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/expire.h"
#include "cmd/object.h"
#include "rdb/reader.h"
#include "rdb/writer.h"
#include "server/kevyrt.h"
#include "store/database.h"
#include "store/hash_field.h"
#include "store/paged.h"
#include "store/stream.h"
#include "store/stream_pending.h"

enum { LINE_MAX = 4096, WORDS_MAX = 512, SHOWN_BYTES_MAX = 40, LONG_BUDGET_NS = 1000000000 };
enum { PAYLOAD_FOOTER = 10 };

/* ---- Text --------------------------------------------------------------------------------------- */

static void text_clear(struct world_text *text) {
    text->len = 0;
    text->at[0] = '\0';
}

__attribute__((format(printf, 2, 3))) static void text_add(struct world_text *text,
                                                           const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text->at + text->len, sizeof text->at - text->len, format, arguments);
    va_end(arguments);
    assert_true(len >= 0 && (size_t)len < sizeof text->at - text->len);
    text->len += (size_t)len;
}

static void text_begin_item(struct world_text *text) {
    if (text->len > 0) text_add(text, "; ");
}

/* A payload, as the word that stands for it. */
static bool text_add_payload(struct world_text *text, struct bytes bytes) {
    if (bytes.len <= PAYLOAD_FOOTER || !rdb_dump_is_valid(bytes)) return false;
    if (bytes.at[0] == RDB_STRING) text_add(text, "^%.*s", bytes.at[1], bytes.at + 2);
    else text_add(text, "^%d", bytes.at[1]);
    return true;
}

static void text_add_bytes(struct world_text *text, struct bytes bytes) {
    if (text_add_payload(text, bytes)) return;
    if (bytes.len > SHOWN_BYTES_MAX) text_add(text, "%%%u", bytes.len);
    else text_add(text, "%.*s", (int)bytes.len, bytes.at);
}

/* ---- The recording sink ------------------------------------------------------------------------- */

static struct world_text *recorded(const struct call *call) {
    return &((struct world *)call->effects->sink->context)->recorded;
}

static void sink_log(struct call *call, uint32_t db, const struct bytes *argv, uint32_t argc) {
    struct world_text *text = recorded(call);
    text_begin_item(text);
    text_add(text, db == 0 ? "log:" : "log/%u:", db);
    for (uint32_t i = 0; i < argc; i++) {
        text_add(text, i == 0 ? "" : " ");
        text_add_bytes(text, argv[i]);
    }
}

static void sink_place(struct world_text *text, const char *what, const struct key_place *place) {
    text_begin_item(text);
    text_add(text, "%s", what);
    text_add_bytes(text, place->key);
    if (place->db > 0) text_add(text, " in %u", place->db);
}

static void sink_touch(struct call *call, const struct key_place *place) {
    sink_place(recorded(call), "touch:", place);
}

static void sink_touch_all(struct call *call, uint32_t db, uint32_t replaced_by) {
    (void)replaced_by;
    struct world_text *text = recorded(call);
    text_begin_item(text);
    text_add(text, db == UINT32_MAX ? "touch-all:*" : "touch-all:%u", db);
}

static void sink_ready(struct call *call, const struct key_place *place, enum value_type type) {
    (void)type;
    sink_place(recorded(call), "ready:", place);
}

static void sink_ready_all(struct call *call, uint32_t db) {
    struct world_text *text = recorded(call);
    text_begin_item(text);
    text_add(text, "ready-all:%u", db);
}

static char letter_of(enum notify_class class) {
    switch (class) {
    case NOTIFY_GENERIC:
        return 'g';
    case NOTIFY_STRING:
        return '$';
    case NOTIFY_LIST:
        return 'l';
    case NOTIFY_SET:
        return 's';
    case NOTIFY_HASH:
        return 'h';
    case NOTIFY_ZSET:
        return 'z';
    case NOTIFY_EXPIRED:
        return 'x';
    case NOTIFY_EVICTED:
        return 'e';
    case NOTIFY_STREAM:
        return 't';
    case NOTIFY_KEY_MISS:
        return 'm';
    case NOTIFY_NEW:
        return 'n';
    }
    return '?';
}

static void sink_notify(struct call *call, enum notify_class class, const char *event,
                        const struct key_place *place) {
    char what[64];
    (void)snprintf(what, sizeof what, "%c:%s ", letter_of(class), event);
    sink_place(recorded(call), what, place);
}

/* ---- Life --------------------------------------------------------------------------------------- */

int world_bind(void **state) {
    struct kevyrt_server *server;
    struct kevyrt_error error;
    (void)state;
    enum kevyrt_status status = kevyrt_server_new(NULL, 0, &server, &error);
    if (status == KEVYRT_OK) kevyrt_server_put(server);
    return status == KEVYRT_OK ? 0 : -1;
}

static int64_t clock_read(void *world) {
    return ((struct world *)world)->now_ms;
}

/* With a spare chunk: small replies need no memory, as on a connection that has replied before. */
static void pool_init(struct reply_pool *pool) {
    struct reply reply;
    reply_pool_init(pool, NULL, 8);
    reply_init(&reply, pool, 2);
    reply_ok(&reply);
    reply_clear(&reply);
}

struct world *world_new(uint32_t shard_count) {
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    assert_true(shard_count <= WORLD_SHARDS_MAX);
    world->now_ms = WORLD_START_MS;
    world->route = true;
    world->domain = (struct domain){
        .string_bytes_max = 2 << 20,
        .small = {512, 64, 512, 128, 64, 128, 64, -2, 4096, 3},
        .hll_sparse_bytes = 3000,
        .hash_seed = {.a = 0x1234567, .b = 0x89abcdef},
        .keyspaces = world->by_shard,
        .shard_count = shard_count,
        .database_count = WORLD_DATABASES,
        .clock_ms = clock_read,
        .clock_context = world,
    };
    world->sink = (struct effect_sink){
        .wanted = EFFECT_LOG | EFFECT_TOUCH | EFFECT_READY | EFFECT_NOTIFY,
        .context = world,
        .log = sink_log,
        .touch = sink_touch,
        .touch_all = sink_touch_all,
        .ready = sink_ready,
        .ready_all = sink_ready_all,
        .notify = sink_notify,
    };
    world->effects.sink = &world->sink;
    pool_init(&world->pool);
    for (uint32_t i = 0; i < shard_count; i++) {
        world->by_shard[i] = &world->keyspaces[i];
        assert_true(keyspace_init(&world->keyspaces[i], i, WORLD_DATABASES, i + 1,
                                  &world->domain.hash_seed));
        world->keyspaces[i].access = &world->domain.access;
    }
    (void)domain_now(&world->domain);
    return world;
}

void world_free(struct world *world) {
    for (uint32_t i = 0; i < world->domain.shard_count; i++) {
        struct keyspace *keyspace = &world->keyspaces[i];
        keyspace_check(keyspace);
        keyspace_deinit(keyspace);
    }
    /* After all of them: a copy shares the blob of its original, which may be in another shard. */
    for (uint32_t i = 0; i < world->domain.shard_count; i++) {
        struct keyspace *keyspace = &world->keyspaces[i];
        assert_int_equal(keyspace->account.used_bytes, 0);
        assert_int_equal(keyspace->page_account.used_bytes, 0);
    }
    reply_pool_deinit(&world->pool);
    free(world);
}

/* ---- Running ------------------------------------------------------------------------------------ */

struct line {
    struct bytes argv[WORDS_MAX];
    uint32_t argc, db;
    char text[LINE_MAX];
    void *made[WORDS_MAX]; /* long words */
    struct blob *blobs[WORDS_MAX];
};

/* Lengths below 64 are a byte. */
static void line_add_payload(struct line *line, uint32_t i, const char *word) {
    enum { ROOM = 1024 };
    const uint16_t version = RDB_VERSION;
    uint32_t members = (uint32_t)atoi(word), len = 2;
    char *bytes = malloc(ROOM);
    assert_non_null(bytes);
    bytes[0] = members > 0 ? RDB_SET : RDB_STRING;
    bytes[1] = (char)(members > 0 ? members : strlen(word));
    if (members == 0) len += (uint32_t)snprintf(bytes + len, ROOM - len, "%s", word);
    for (uint32_t member = 0; member < members; member++)
        len += (uint32_t)snprintf(bytes + len, ROOM - len, "%cmember:%02u", 9, member);
    memcpy(bytes + len, &version, sizeof version);
    uint64_t checksum = rdb_crc64(0, bytes, len + sizeof version);
    memcpy(bytes + len + sizeof version, &checksum, sizeof checksum);
    line->made[i] = bytes;
    line->argv[i] = bytes_of(bytes, len + PAYLOAD_FOOTER);
}

static void line_add(struct line *line, const char *word) {
    uint32_t i = line->argc++;
    assert_true(i < WORDS_MAX);
    line->argv[i] = bytes_of(word, strlen(word));
    if (*word == '^') line_add_payload(line, i, word + 1);
    if ((*word != '%' && *word != '&') || word[1] == '\0') return;
    uint32_t len = (uint32_t)atoi(word + 1);
    char *bytes = malloc(len);
    assert_non_null(bytes);
    memset(bytes, 'x', len);
    line->made[i] = bytes;
    line->argv[i] = bytes_of(bytes, len);
    if (*word == '&') {
        line->blobs[i] = blob_copy(NULL, line->argv[i]);
        line->argv[i] = blob_bytes(line->blobs[i]);
    }
}

static struct line *line_new(const char *text) {
    struct line *line = calloc(1, sizeof *line);
    char *rest;
    assert_non_null(line);
    assert_true(strlen(text) < sizeof line->text);
    strcpy(line->text, text);
    for (char *word = strtok_r(line->text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        size_t len = strlen(word);
        if (line->argc == 0 && word[len - 1] == '>') line->db = (uint32_t)atoi(word);
        else line_add(line, word);
    }
    return line;
}

static void line_free(struct line *line) {
    for (uint32_t i = 0; i < line->argc; i++) {
        free(line->made[i]);
        if (line->blobs[i]) blob_put(line->blobs[i]);
    }
    free(line);
}

static void reply_to_text(struct reply *reply, struct world_text *text) {
    struct iovec iov[16];
    for (int count; (count = reply_iovecs(reply, iov, 16)) > 0;) {
        uint64_t bytes = 0;
        for (int i = 0; i < count; i++) {
            text_add(text, "%.*s", (int)iov[i].iov_len, (const char *)iov[i].iov_base);
            bytes += iov[i].iov_len;
        }
        reply_consume(reply, bytes);
    }
    for (char *end = text->at; (end = strstr(end, "\r\n")) != NULL; text->len--) {
        *end = ' ';
        memmove(end + 1, end + 2, strlen(end + 2) + 1);
    }
    if (text->len > 0) text->at[--text->len] = '\0';
}

/* The handler alone runs short of memory, not what the test does around it. */
static void fail_memory(struct world *world, long count) {
    if (!world->fail_slabs) {
        mem_fail_after(count);
        return;
    }
    for (uint32_t shard = 0; shard < world->domain.shard_count; shard++)
        for (uint32_t db = 0; db < WORLD_DATABASES; db++) {
            struct database *database = world->keyspaces[shard].databases[db];
            if (database) slab_fail_after(database->store.heap, (uint64_t)count);
        }
}

static void call_line(struct world *world, struct line *line, struct reply *reply) {
    struct call call = {
        .command = command_find(line->argv, line->argc),
        .argv = line->argv,
        .argc = line->argc,
        .db = line->db,
        .reply = reply,
        .domain = &world->domain,
        .effects = &world->effects,
        .flags = world->call_flags,
    };
    assert_non_null(call.command);
    assert_non_null(call.command->handler);
    assert_true(command_arity_ok(call.command, line->argc));
    if (world->route && call.command->first_key > 0) {
        call.first_hash = call_hash(&call, (uint32_t)call.command->first_key);
        call.first_hash_index = (uint32_t)call.command->first_key;
    }
    fail_memory(world, world->fail_after);
    call.command->handler(&call);
    fail_memory(world, 0);
    world->failed = call.failed;
    world->unfinished = call.unfinished;
}

void world_run(struct world *world, const char *text) {
    text_clear(&world->reply);
    text_clear(&world->recorded);
    if (*text == '~') {
        world->now_ms += atoi(text + 1);
        (void)domain_now(&world->domain); /* as each turn sees to */
        return;
    }
    struct line *line = line_new(text);
    struct reply reply;
    reply_init(&reply, &world->pool, 2);
    call_line(world, line, &reply);
    world->lost = reply.failed;
    reply_to_text(&reply, &world->reply);
    reply_clear(&reply);
    line_free(line);
}

void world_run_all(struct world *world, const char *lines) {
    char one[LINE_MAX];
    for (const char *end; *lines; lines = *end ? end + 2 : end) {
        end = strstr(lines, "; ");
        if (!end) end = lines + strlen(lines);
        assert_true((size_t)(end - lines) < sizeof one);
        memcpy(one, lines, (size_t)(end - lines));
        one[end - lines] = '\0';
        world_run(world, one);
        assert_false(world->failed || world->lost);
    }
}

void world_expire(struct world *world) {
    text_clear(&world->recorded);
    for (uint32_t i = 0; i < world->domain.shard_count; i++)
        expire_cycle(&world->domain, &world->keyspaces[i], &world->effects, LONG_BUDGET_NS);
}

static void drop_spares(struct node_heap *heap) {
    for (struct node *node; (node = heap->spares) != NULL; heap->spare_count--) {
        heap->spares = node->next;
        mem_free(NULL, node);
    }
}

void world_freeze(struct world *world) {
    for (uint32_t i = 0; i < world->domain.shard_count; i++) {
        drop_spares(&world->keyspaces[i].nodes);
        node_heap_freeze(&world->keyspaces[i].nodes);
    }
}

void world_thaw(struct world *world) {
    for (uint32_t i = 0; i < world->domain.shard_count; i++)
        node_heap_thaw(&world->keyspaces[i].nodes);
}

/* ---- Looking ------------------------------------------------------------------------------------ */

struct dump {
    struct world_text *out;
    uint32_t shard, db;
};

static void dump_head(const struct dump *dump, const struct entry *entry) {
    text_add(dump->out, "%u/%u ", dump->shard, dump->db);
    text_add_bytes(dump->out, entry_key(entry));
}

/* A long one by its length and a hash. */
static void dump_string(const struct dump *dump, const struct entry *entry) {
    static const struct hash_seed seed = {.a = 1, .b = 2};
    uint32_t len = string_len(entry);
    char *bytes = malloc(len + 1);
    string_read(entry, (struct string_part){0, len}, bytes);
    dump_head(dump, entry);
    text_add(dump->out, "=");
    text_add_bytes(dump->out, bytes_of(bytes, len));
    text_add(dump->out, " %016llx %lld\n", (unsigned long long)hash_bytes(&seed, bytes, len),
             (long long)entry_deadline(entry));
    free(bytes);
}

/* A place counts in lists and sorted sets only. */
static void dump_element(const struct dump *dump, const struct walk *walk, uint64_t rank) {
    enum value_type type = view_type(walk->view);
    if (type == VALUE_HASH) {
        struct hash_field field = hash_field_read(walk->record);
        text_add_bytes(dump->out, field.name);
        text_add(dump->out, "=");
        text_add_bytes(dump->out, field.value);
        text_add(dump->out, " %lld\n", (long long)field.deadline_ms);
        return;
    }
    if (type == VALUE_ZSET)
        text_add(dump->out, "%llu %.17g ", (unsigned long long)rank, tree_score(walk->key.order));
    else if (type == VALUE_LIST) text_add(dump->out, "%llu ", (unsigned long long)rank);
    text_add_bytes(dump->out, walk->record);
    text_add(dump->out, "\n");
}

static void dump_elements(const struct dump *dump, const struct entry *entry) {
    struct walk walk;
    uint64_t rank = 0;
    struct collection_view view = view_of(entry);
    dump_head(dump, entry);
    text_add(dump->out, "(%s) %lld %llu\n", object_encoding(entry),
             (long long)entry_deadline(entry), (unsigned long long)view_count(&view));
    for (bool found = walk_seek(&walk, &view, 0); found; found = walk_next(&walk)) {
        dump_head(dump, entry);
        text_add(dump->out, ":");
        dump_element(dump, &walk, rank++);
    }
}

static void dump_id(const struct dump *dump, struct stream_id id) {
    text_add(dump->out, " %llu-%llu", (unsigned long long)id.ms, (unsigned long long)id.seq);
}

/* Not when consumers asked and were given something: that is in no log. */
static void dump_group(const struct dump *dump, const struct stream_group *group) {
    struct stream_pending_walk walk;
    bool found = stream_pending_seek(&walk, &group->pending, (struct stream_id){0});
    text_add_bytes(dump->out, group->named.name);
    dump_id(dump, group->last_id);
    text_add(dump->out, " %lld", (long long)group->entries_read);
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        const struct stream_consumer *consumer = stream_consumer_at(group, i);
        text_add(dump->out, " %llu ", (unsigned long long)consumer->pending.count);
        text_add_bytes(dump->out, consumer->named.name);
    }
    for (; found; found = stream_pending_next(&walk)) {
        dump_id(dump, walk.pending.id);
        text_add(dump->out, "@%lld*%llu ", (long long)walk.pending.delivered_ms,
                 (unsigned long long)walk.pending.deliveries);
        text_add_bytes(dump->out, group->numbered[walk.pending.consumer]->named.name);
    }
    text_add(dump->out, "\n");
}

static void dump_groups(const struct dump *dump, const struct entry *entry) {
    const struct stream_groups *groups = &stream_of(entry_collection(entry))->groups;
    for (uint32_t i = 0; i < groups->names.count; i++) {
        dump_head(dump, entry);
        text_add(dump->out, ":");
        dump_group(dump, stream_group_at(groups, i));
    }
}

static void dump_stream(const struct dump *dump, const struct entry *entry) {
    const struct collection *collection = entry_collection(entry);
    const struct stream *stream = stream_of(collection);
    struct stream_view view = stream_view_of(collection);
    struct stream_field field;
    struct stream_walk walk;
    dump_head(dump, entry);
    text_add(dump->out, "(stream) %lld %llu %llu %llu", (long long)entry_deadline(entry),
             (unsigned long long)stream_count(collection),
             (unsigned long long)stream->entries_added,
             (unsigned long long)stream_node_count(collection));
    dump_id(dump, stream->last_id);
    dump_id(dump, stream->max_deleted_id);
    for (bool found = stream_seek_first(&walk, &view); found; found = stream_next(&walk)) {
        dump_id(dump, walk.id);
        while (stream_next_field(&walk, &field)) {
            text_add(dump->out, " ");
            text_add_bytes(dump->out, field.name);
            text_add(dump->out, "=");
            text_add_bytes(dump->out, field.value);
        }
    }
    text_add(dump->out, "\n");
    dump_groups(dump, entry);
}

static void dump_entry(void *context, struct entry *entry) {
    if (entry_type(entry) == VALUE_STRING) dump_string(context, entry);
    else if (entry_type(entry) == VALUE_STREAM) dump_stream(context, entry);
    else dump_elements(context, entry);
}

static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The order of a walk follows the growth of the tables, which a failed command may have begun. */
static void sort_lines(struct world_text *text) {
    static char copy[WORLD_TEXT_MAX];
    char *lines[4096], *rest;
    size_t count = 0;
    memcpy(copy, text->at, text->len + 1);
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        assert_true(count < 4096);
        lines[count++] = line;
    }
    qsort(lines, count, sizeof *lines, compare_lines);
    text_clear(text);
    for (size_t i = 0; i < count; i++) text_add(text, "%s\n", lines[i]);
}

void world_dump(const struct world *world, struct world_text *out) {
    text_clear(out);
    for (uint32_t shard = 0; shard < world->domain.shard_count; shard++)
        for (uint32_t db = 0; db < WORLD_DATABASES; db++) {
            struct dump dump = {out, shard, db};
            uint64_t cursor = 0;
            do cursor = keyspace_scan(world->by_shard[shard], db, cursor, dump_entry, &dump);
            while (cursor != 0);
        }
    sort_lines(out);
}

uint64_t world_count(const struct world *world, uint32_t db) {
    uint64_t count = 0;
    for (uint32_t shard = 0; shard < world->domain.shard_count; shard++)
        count += keyspace_count(world->by_shard[shard], db);
    return count;
}

void world_check(const struct world *world) {
    for (uint32_t shard = 0; shard < world->domain.shard_count; shard++)
        keyspace_check(world->by_shard[shard]);
}
