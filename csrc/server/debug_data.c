#include "server/debug_data.h"

#include <stdio.h>

#include "base/mem.h"
#include "cmd/call.h"
#include "cmd/object.h"
#include "store/paged.h"

/* The entry of argv[2], or NULL after the error reply. */
static struct entry *find_entry(struct call *call) {
    struct key_place place = keyspace_for(call, 2);
    struct entry *entry = call_find(call, &place);
    if (!entry) call_error(call, "ERR no such key");
    return entry;
}

/* ---- OBJECT ----------------------------------------------------------------------------------- */

enum {
    INTEGER_TEXT_MAX = 11,       /* longer ones are kept as text */
    LENGTH_OF_6_BITS = 1 << 6,   /* lengths below need one byte */
    LENGTH_OF_14_BITS = 1 << 14, /* below: two; others: five */
};

/* 0 if it takes a text. */
static uint64_t serialized_integer_bytes(struct bytes text) {
    int64_t value;
    if (text.len > INTEGER_TEXT_MAX || !bytes_to_int64(text, &value)) return 0;
    if (value >= INT8_MIN && value <= INT8_MAX) return 2;
    if (value >= INT16_MIN && value <= INT16_MAX) return 3;
    return value >= INT32_MIN && value <= INT32_MAX ? 5 : 0;
}

/* In a dump, without compression. */
static uint64_t serialized_length_bytes(uint32_t len) {
    return len + (len < LENGTH_OF_6_BITS ? 1u : len < LENGTH_OF_14_BITS ? 2u : 5u);
}

static uint64_t serialized_text_bytes(struct bytes text) {
    uint64_t integer = serialized_integer_bytes(text);
    return integer > 0 ? integer : serialized_length_bytes(text.len);
}

static uint64_t serialized_string_bytes(const struct entry *entry) {
    return entry_is_tree(entry) ? serialized_length_bytes(string_len(entry))
                                : serialized_text_bytes(entry_string(entry));
}

/* Of many elements: what their texts take, which is most of it. */
static uint64_t serialized_bytes(const struct entry *entry) {
    struct walk walk;
    uint64_t bytes = 0;
    if (entry_type(entry) == VALUE_STRING) return serialized_string_bytes(entry);
    struct collection_view view = view_of(entry);
    for (bool found = walk_seek(&walk, &view, 0); found; found = walk_next(&walk))
        bytes += serialized_text_bytes(walk.record);
    return bytes;
}

void debug_object(struct call *call) {
    char text[256];
    struct entry *entry = find_entry(call);
    if (!entry) return;
    (void)call_now(call); /* brings the access clock up to date */
    (void)snprintf(text, sizeof text,
                   "Value at:%p refcount:%d encoding:%s serializedlength:%llu lru:%u "
                   "lru_seconds_idle:%u",
                   (void *)entry, object_references(entry), object_encoding(entry),
                   (unsigned long long)serialized_bytes(entry), access_field(entry),
                   access_idle_seconds(&call->domain->access, entry));
    reply_simple(call->reply, text);
}

/* Redis shows how such a value is laid out; here it is laid out otherwise. */
static void check_encoding(struct call *call, const char *encoding, const char *error) {
    struct entry *entry = find_entry(call);
    if (!entry) return;
    if (strcmp(object_encoding(entry), encoding) == 0) reply_ok(call->reply);
    else call_error(call, error);
}

void debug_listpack(struct call *call) {
    check_encoding(call, "listpack", "ERR Not a listpack encoded object.");
}

void debug_quicklist(struct call *call) {
    check_encoding(call, "quicklist", "ERR Not a quicklist encoded object.");
}

/* ---- POPULATE --------------------------------------------------------------------------------- */

enum { NUMBER_BYTES = 24 };

struct population {
    struct bytes prefix;
    uint64_t count, size; /* size 0: as long as the text */
    char *key;            /* room for the prefix and a number */
    char *value;          /* room for `size` bytes, zero */
};

/* False after the error reply. */
static bool read_count(struct call *call, uint32_t index, uint64_t *count) {
    int64_t value = 0;
    if (index < call->argc && (!bytes_to_int64(call->argv[index], &value) || value < 0)) {
        call_error(call, "ERR value is out of range, must be positive");
        return false;
    }
    *count = (uint64_t)value;
    return true;
}

static struct bytes name_key(const struct population *population, uint64_t number) {
    char *at = population->key + population->prefix.len;
    return bytes_of(population->key,
                    population->prefix.len + 1 + bytes_from_uint64(at + 1, number));
}

/* "value:" and the number, cut short or followed by zeros where a size is wanted. */
static struct bytes make_value(const struct population *population, uint64_t number,
                               char text[NUMBER_BYTES + 8]) {
    memcpy(text, "value:", 6);
    uint64_t len = 6 + bytes_from_uint64(text + 6, number);
    if (population->size == 0) return bytes_of(text, len);
    memcpy(population->value, text, len < population->size ? len : population->size);
    return bytes_of(population->value, population->size);
}

/* False if there is no memory. A key that exists stays as it is. */
static bool add_key(struct call *call, const struct population *population, uint64_t number) {
    char text[NUMBER_BYTES + 8];
    struct key_place place = keyspace_for_bytes(call, name_key(population, number), call->db);
    if (call_find(call, &place)) return true;
    struct bytes value = make_value(population, number, text);
    if (!keyspace_set_string(place.keyspace, place.db, place.hash, place.key, value, 0, NULL))
        return false;
    effect_touch(call, &place);
    return true;
}

/* As in Redis, no replica or log is told. */
static void populate(struct call *call, const struct population *population) {
    memcpy(population->key, population->prefix.at, population->prefix.len);
    population->key[population->prefix.len] = ':';
    for (uint64_t number = 0; number < population->count; number++) {
        if (!add_key(call, population, number)) {
            call_error_memory(call);
            return;
        }
    }
    reply_ok(call->reply);
}

void debug_populate(struct call *call) {
    struct population population = {.prefix = BYTES_LITERAL("key")};
    if (!read_count(call, 2, &population.count) || !read_count(call, 4, &population.size)) return;
    if (call->argc > 3) population.prefix = call->argv[3];
    population.key = mem_alloc(NULL, population.prefix.len + NUMBER_BYTES);
    if (population.size <= call->domain->string_bytes_max)
        population.value = mem_calloc(NULL, population.size + 1);
    if (population.key && population.value) populate(call, &population);
    else call_error_memory(call);
    mem_free(NULL, population.key);
    mem_free(NULL, population.value);
}

/* ---- KEVYRT-REACH ----------------------------------------------------------------------------- */

/* The keys end before SET and its value. */
static bool reach_sets(const struct call *call) {
    return call->argc > 4 && bytes_is(call->argv[call->argc - 2], "set");
}

static void reach_get(struct call *call) {
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        struct key_place place = keyspace_for(call, i);
        struct entry *entry = call_read(call, &place);
        bool is_text = entry && entry_type(entry) == VALUE_STRING && !entry_is_tree(entry);
        if (is_text) reply_bulk(call->reply, entry_string(entry));
        else reply_null(call->reply);
    }
}

/* One key after the other; those that came before one without memory stay. */
static void reach_set(struct call *call) {
    for (uint32_t i = 2; i < call->argc - 2; i++) {
        struct key_place place = keyspace_for(call, i);
        struct entry *found = call_find(call, &place);
        if (!keyspace_set_string(place.keyspace, place.db, place.hash, place.key,
                                 call->argv[call->argc - 1], 0, found)) {
            call_error_memory(call);
            return;
        }
        struct bytes log[] = {BYTES_LITERAL("SET"), place.key, call->argv[call->argc - 1]};
        effect_log(call, place.db, log, 3);
        effect_change(call, &place, NOTIFY_STRING, "set");
    }
    reply_ok(call->reply);
}

void debug_kevyrt_reach(struct call *call) {
    if (reach_sets(call)) reach_set(call);
    else reach_get(call);
}
