/* HyperLogLogs: strings that estimate how many different elements they were given. */
#include "cmd/hyperloglog.h"
#include "cmd/families.h"
#include "store/paged.h"

/* ---- Values ------------------------------------------------------------------------------------- */

static bool check(struct call *call, const struct entry *entry) {
    if (!entry || hll_is_valid(entry_string(entry))) return true;
    call_error(call, "WRONGTYPE Key is not a valid HyperLogLog string value.");
    return false;
}

void hyperloglog_error_damaged(struct call *call) {
    call_error(call, "INVALIDOBJ Corrupted HLL object detected");
}

/* What may be written into becomes raw for OBJECT ENCODING, whether or not it is. */
bool hyperloglog_find(struct call *call, const struct key_place *place, struct entry **entry) {
    if (!call_find_string(call, place, entry) || !check(call, *entry)) return false;
    if (*entry) entry_mark_raw(*entry);
    return true;
}

static bool read_value(struct call *call, const struct key_place *place, struct entry **entry) {
    return call_read_string(call, place, entry) && check(call, *entry);
}

static struct entry *open_bytes(const struct key_place *place, struct entry *entry, uint32_t len) {
    return keyspace_open_string(place->keyspace, place->db, place->hash, place->key,
                                (struct string_part){0, len}, len, entry);
}

/* The bytes of an entry for writing, as long as they are: what is whole is never so long that it is paged. NULL after
 * the error reply. */
static char *open_value(struct call *call, const struct key_place *place, struct entry *entry) {
    entry = open_bytes(place, entry, entry_string(entry).len);
    if (entry) return (char *)(uintptr_t)entry_string(entry).at;
    call_error_memory(call);
    return NULL;
}

bool hyperloglog_store(struct call *call, const struct key_place *place, struct entry *entry,
                       const struct hll_value *value) {
    struct bytes bytes = bytes_of(value->at, value->len);
    if (entry && entry_string(entry).len > bytes.len) {
        entry = keyspace_set_string(place->keyspace, place->db, place->hash, place->key, bytes,
                                    entry_deadline(entry), entry);
        if (entry) entry_mark_raw(entry);
    } else {
        entry = open_bytes(place, entry, bytes.len);
        if (entry) string_write(entry, 0, bytes);
    }
    if (!entry) call_error_memory(call);
    return entry;
}

static void declare(struct call *call, const struct key_place *place, bool is_new,
                    uint64_t changes) {
    effect_log_verbatim(call);
    if (is_new) effect_notify(call, place, NOTIFY_NEW, "new");
    effect_change(call, place, NOTIFY_STRING, "pfadd");
    call->effects->dirty += changes - 1;
}

/* ---- PFADD -------------------------------------------------------------------------------------- */

enum { FIRST_ELEMENT = 2 };

/* In place: what is in the way of writing is met before the first register is set. */
static void add_dense(struct call *call, const struct key_place *place, struct entry *entry) {
    uint64_t changes = 0;
    const char *registers = entry_string(entry).at;
    char *value = NULL; /* the same, for writing */
    for (uint32_t i = FIRST_ELEMENT; i < call->argc; i++) {
        struct hll_element element = hll_element_of(call->argv[i]);
        if (hll_dense_get(registers, element.index) >= element.rank) continue;
        if (!value && !(value = open_value(call, place, entry))) return;
        registers = value;
        hll_dense_set(value, element.index, element.rank);
        changes++;
    }
    if (changes) {
        hll_forget(value);
        declare(call, place, false, changes);
    }
    reply_integer(call->reply, changes > 0);
}

/* Returns how many elements changed the value, or -1 after an error reply. */
static int64_t add_all(struct call *call, struct hll_value *value) {
    int64_t changes = 0;
    for (uint32_t i = FIRST_ELEMENT; i < call->argc; i++) {
        enum hll_change change =
            hll_add(value, hll_element_of(call->argv[i]), call->domain->hll_sparse_bytes);
        if (change == HLL_DAMAGED) {
            hyperloglog_error_damaged(call);
            return -1;
        }
        changes += change == HLL_CHANGED;
    }
    return changes;
}

/* On the side: the value may grow with each element. */
static void add_sparse(struct call *call, const struct key_place *place, struct entry *entry) {
    struct hll_value value;
    bool is_new = !entry;
    if (is_new) {
        hll_init(&value);
        hll_forget(value.at);
    } else if (!hll_load(&value, entry_string(entry))) {
        hyperloglog_error_damaged(call);
        return;
    }
    int64_t changes = add_all(call, &value);
    if (changes < 0) return;
    changes += is_new;
    if (changes && !hyperloglog_store(call, place, entry, &value)) return;
    if (changes) declare(call, place, is_new, (uint64_t)changes);
    reply_integer(call->reply, changes > 0);
}

static void pfadd_command(struct call *call) {
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!hyperloglog_find(call, &place, &entry)) return;
    if (entry && hll_encoding_of(entry_string(entry)) == HLL_DENSE) add_dense(call, &place, entry);
    else add_sparse(call, &place, entry);
}

/* ---- PFCOUNT ------------------------------------------------------------------------------------ */

/* A new estimate is kept in the value, which is a change that has no event. */
static void count_anew(struct call *call, const struct key_place *place, struct entry *entry) {
    uint64_t estimate;
    if (!hll_estimate(entry_string(entry), &estimate)) {
        hyperloglog_error_damaged(call);
        return;
    }
    char *value = open_value(call, place, entry);
    if (!value) return;
    hll_cache(value, estimate);
    effect_log_verbatim(call);
    effect_touch(call, place);
    call->effects->dirty++;
    reply_integer(call->reply, (int64_t)estimate);
}

static void count_one(struct call *call) {
    uint64_t estimate;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!read_value(call, &place, &entry)) return;
    if (!entry) {
        reply_integer(call->reply, 0);
        return;
    }
    entry_mark_raw(entry);
    if (hll_cached(entry_string(entry), &estimate)) reply_integer(call->reply, (int64_t)estimate);
    else count_anew(call, &place, entry);
}

/* What several keys have together, of which some may not exist. */
struct united {
    struct hll_registers registers;
    bool dense; /* one of them is */
};

static bool collect(struct call *call, const struct key_place *place, struct united *keys) {
    struct entry *entry;
    if (!read_value(call, place, &entry)) return false;
    if (!entry) return true;
    struct bytes value = entry_string(entry);
    keys->dense |= hll_encoding_of(value) == HLL_DENSE;
    if (hll_collect(value, &keys->registers)) return true;
    hyperloglog_error_damaged(call);
    return false;
}

/* False after an error reply. */
static bool collect_all(struct call *call, struct united *keys) {
    struct key_place places[KEY_GROUP];
    memset(keys, 0, sizeof *keys);
    for (uint32_t i = 1, count; i < call->argc; i += count) {
        count = keyspace_for_group(call, i, 1, places);
        for (uint32_t k = 0; k < count; k++)
            if (!collect(call, &places[k], keys)) return false;
    }
    return true;
}

static void count_several(struct call *call) {
    struct united keys;
    if (collect_all(call, &keys))
        reply_integer(call->reply, (int64_t)hll_estimate_registers(&keys.registers));
}

static void pfcount_command(struct call *call) {
    if (call->argc == 2) count_one(call);
    else count_several(call);
}

/* ---- PFMERGE ------------------------------------------------------------------------------------ */

/* The destination is one of the keys, so its value is as whole as theirs. */
static void merge(struct hll_value *value, const struct entry *entry, const struct united *keys,
                  uint64_t limit_bytes) {
    bool whole = true;
    if (entry) whole = hll_load(value, entry_string(entry));
    else hll_init(value);
    KRT_ASSERT(whole);
    if (keys->dense) hll_become_dense(value, &keys->registers);
    else hll_raise(value, &keys->registers, limit_bytes);
    hll_forget(value->at);
}

static void pfmerge_command(struct call *call) {
    struct hll_value value;
    struct united keys;
    if (!collect_all(call, &keys)) return;
    struct key_place place = keyspace_for(call, 1);
    struct entry *entry = call_find(call, &place);
    merge(&value, entry, &keys, call->domain->hll_sparse_bytes);
    if (!hyperloglog_store(call, &place, entry, &value)) return;
    declare(call, &place, !entry, 1);
    reply_ok(call->reply);
}

void hyperloglog_bind(void) {
    command_bind("pfadd", pfadd_command);
    command_bind("pfcount", pfcount_command);
    command_bind("pfmerge", pfmerge_command);
}
