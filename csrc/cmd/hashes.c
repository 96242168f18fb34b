/* Hashes: fields and their values. Random fields are in hash_random.c. */
#include "cmd/hash.h"

#include <math.h>

#include "base/decimal.h"
#include "cmd/families.h"

/* ---- Fields ------------------------------------------------------------------------------------- */

bool hash_find(struct call *call, const struct collection_view *view, struct bytes name,
               struct hash_field *field) {
    struct walk walk;
    if (!walk_find(&walk, view, &call->domain->hash_seed, name)) {
        field->deadline_ms = 0;
        return false;
    }
    *field = hash_field_read(walk.record);
    return KRT_LIKELY(!field->deadline_ms) || field->deadline_ms > call_due(call);
}

bool hash_keep(struct edit *edit, const struct hash_field *field) {
    size_t bytes = hash_field_bytes(field);
    if (KRT_LIKELY(bytes <= LEAF_RECORD_MAX)) return true;
    struct blob *blob = blob_new(&edit->place.keyspace->account, (uint32_t)bytes);
    if (blob) hash_field_write(blob->data, field);
    return edit_keep(edit, blob);
}

static void name_for(const struct call *call, struct edit *edit, const struct hash_field *field) {
    const struct small_limits *small = &call->domain->small;
    if (field->name.len > small->hash_value || field->value.len > small->hash_value)
        edit->view.type |= FORM_LARGE;
}

static void name_by_count(const struct call *call, struct edit *edit) {
    if ((int64_t)view_count(&edit->view) > call->domain->small.hash_entries)
        edit->view.type |= FORM_LARGE;
}

bool hash_write(struct edit *edit, const struct hash_field *field) {
    char small[LEAF_RECORD_MAX];
    struct bytes record = bytes_of(small, hash_field_bytes(field));
    if (KRT_LIKELY(record.len <= LEAF_RECORD_MAX)) hash_field_write(small, field);
    else record = edit_kept(edit);
    return fields_put(edit, field, record);
}

bool hash_put(const struct call *call, struct edit *edit, const struct hash_field *field) {
    name_for(call, edit, field);
    bool is_new = hash_write(edit, field);
    name_by_count(call, edit);
    return is_new;
}

/* ---- HSET, HMSET, HSETNX ------------------------------------------------------------------------ */

static struct hash_field field_at(const struct call *call, uint32_t index) {
    return (struct hash_field){.name = call->argv[index], .value = call->argv[index + 1]};
}

static bool refuse_memory(struct call *call, struct edit *edit) {
    edit_close(edit);
    call_error_memory(call);
    return false;
}

/* Redis names a hash for all of its new fields before the first is set. False after the error reply. */
static bool reserve_fields(struct call *call, struct edit *edit, uint32_t first) {
    uint64_t bytes = 0, pairs = (call->argc - first) / 2;
    if ((int64_t)pairs > call->domain->small.hash_entries) edit->view.type |= FORM_LARGE;
    for (uint32_t i = first; i + 1 < call->argc; i += 2) {
        struct hash_field field = field_at(call, i);
        bytes += hash_field_bytes(&field);
        if (!hash_keep(edit, &field)) return refuse_memory(call, edit);
    }
    return elements_reserve(call, edit, pairs, bytes);
}

/* Returns how many fields are new, or -1 after the error reply. */
static int64_t set_fields(struct call *call) {
    struct edit edit;
    struct entry *entry;
    int64_t created = 0;
    struct key_place place = keyspace_for(call, 1);
    if (call->argc % 2) {
        call_error_arity(call);
        return -1;
    }
    if (!elements_find(call, &place, VALUE_HASH, &entry)) return -1;
    elements_open(&place, entry, VALUE_HASH, &edit);
    if (!reserve_fields(call, &edit, 2)) return -1;
    for (uint32_t i = 2; i < call->argc; i += 2) {
        struct hash_field field = field_at(call, i);
        created += hash_put(call, &edit, &field);
    }
    if (!elements_store(call, &edit)) return -1;
    effect_log_verbatim(call);
    elements_count_dirty(call, (call->argc - 2) / 2);
    elements_declare(call, &place, &edit, NOTIFY_HASH, "hset");
    return created;
}

static void hset_command(struct call *call) {
    int64_t created = set_fields(call);
    if (created >= 0) reply_integer(call->reply, created);
}

static void hmset_command(struct call *call) {
    if (set_fields(call) >= 0) reply_ok(call->reply);
}

/* Stores one field; false after the error reply. */
static bool set_field(struct call *call, const struct key_place *place, struct entry *entry,
                      const struct hash_field *field, struct edit *edit) {
    elements_open(place, entry, VALUE_HASH, edit);
    if (!hash_keep(edit, field)) return refuse_memory(call, edit);
    if (!elements_reserve(call, edit, 1, hash_field_bytes(field))) return false;
    (void)hash_put(call, edit, field);
    return elements_store(call, edit);
}

/* The field in argv[2] as a command goes on from it: one that is due is deleted first, perhaps with its hash. */
static bool find_field(struct call *call, const struct key_place *place, struct entry **entry,
                       struct hash_field *field) {
    struct collection_view view = view_of(*entry);
    if (hash_find(call, &view, call->argv[2], field)) return true;
    if (KRT_LIKELY(!field->deadline_ms)) return false;
    hash_expire_named(call, place, 2, 1);
    *entry = keyspace_find(place->keyspace, place->db, place->hash, place->key);
    field->deadline_ms = 0;
    return false;
}

static void hsetnx_command(struct call *call) {
    struct edit edit;
    struct entry *entry;
    struct hash_field field = field_at(call, 2), old;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_find(call, &place, VALUE_HASH, &entry)) return;
    if (find_field(call, &place, &entry, &old)) {
        reply_integer(call->reply, 0);
    } else if (set_field(call, &place, entry, &field, &edit)) {
        effect_log_verbatim(call);
        elements_declare(call, &place, &edit, NOTIFY_HASH, "hset");
        reply_integer(call->reply, 1);
    }
}

/* ---- HDEL --------------------------------------------------------------------------------------- */

static void hdel_command(struct call *call) {
    uint64_t removed = 0;
    struct edit edit;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_find(call, &place, VALUE_HASH, &entry)) return;
    if (!entry) {
        reply_integer(call->reply, 0);
        return;
    }
    elements_open(&place, entry, VALUE_HASH, &edit);
    if (!elements_reserve_erasures(call, &edit, call->argc - 2)) return;
    for (uint32_t i = 2; i < call->argc; i++) removed += fields_erase(&edit, call->argv[i]);
    edit_commit_erasures(&edit);
    if (removed > 0) {
        effect_log_verbatim(call);
        elements_count_dirty(call, removed);
        elements_declare(call, &place, &edit, NOTIFY_HASH, "hdel");
    }
    reply_integer(call->reply, (int64_t)removed);
}

/* ---- Reading ------------------------------------------------------------------------------------ */

/* True: it is due. */
static bool reply_field(struct call *call, const struct collection_view *view, struct bytes name) {
    struct hash_field field;
    bool found = hash_find(call, view, name, &field);
    if (found) reply_bulk(call->reply, field.value);
    else reply_null(call->reply);
    return KRT_UNLIKELY(!found && field.deadline_ms);
}

static void hget_command(struct call *call) {
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (elements_read(call, &place, VALUE_HASH, &view) && reply_field(call, &view, call->argv[2]))
        hash_expire_named(call, &place, 2, 1);
}

static void hmget_command(struct call *call) {
    bool due = false;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_read(call, &place, VALUE_HASH, &view)) return;
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) due |= reply_field(call, &view, call->argv[i]);
    if (due) hash_expire_named(call, &place, 2, call->argc - 2);
}

/* A number about one field, 0 if there is none. */
static void reply_about(struct call *call, bool length) {
    struct hash_field field;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_read(call, &place, VALUE_HASH, &view)) return;
    bool found = hash_find(call, &view, call->argv[2], &field);
    reply_integer(call->reply, found ? length ? field.value.len : 1 : 0);
    if (KRT_UNLIKELY(!found && field.deadline_ms)) hash_expire_named(call, &place, 2, 1);
}

static void hexists_command(struct call *call) {
    reply_about(call, false);
}

static void hstrlen_command(struct call *call) {
    reply_about(call, true);
}

static void hlen_command(struct call *call) {
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (elements_read(call, &place, VALUE_HASH, &view))
        reply_integer(call->reply, (int64_t)view_count(&view));
}

static void reply_all(struct call *call, bool names, bool values) {
    struct walk walk;
    struct collection_view view;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_read(call, &place, VALUE_HASH, &view)) return;
    uint64_t due = fields_have_deadlines(&view) ? fields_count_due(&view, call_due(call)) : 0;
    if (names && values) reply_map(call->reply, view_count(&view) - due);
    else reply_array(call->reply, view_count(&view) - due);
    for (bool found = walk_seek(&walk, &view, 0); found; found = walk_next(&walk)) {
        struct hash_field field = hash_field_read(walk.record);
        if (KRT_UNLIKELY(due > 0) && field_is_due(&field, call_due(call))) continue;
        if (names) reply_bulk(call->reply, field.name);
        if (values) reply_bulk(call->reply, field.value);
    }
}

static void hkeys_command(struct call *call) {
    reply_all(call, true, false);
}

static void hvals_command(struct call *call) {
    reply_all(call, false, true);
}

static void hgetall_command(struct call *call) {
    reply_all(call, true, true);
}

static uint32_t show_field(struct call *call, const struct walk *walk, bool values) {
    struct hash_field field = hash_field_read(walk->record);
    if (KRT_UNLIKELY(field.deadline_ms) && field_is_due(&field, call_due(call))) return 0;
    reply_bulk(call->reply, field.name);
    if (values) reply_bulk(call->reply, field.value);
    return values ? 2 : 1;
}

static void hscan_command(struct call *call) {
    elements_scan(call, VALUE_HASH, show_field);
}

/* ---- HINCRBY, HINCRBYFLOAT ---------------------------------------------------------------------- */

static void hincrby_command(struct call *call) {
    char digits[24];
    struct edit edit;
    struct entry *entry;
    struct hash_field field;
    int64_t step, value = 0;
    struct key_place place = keyspace_for(call, 1);
    if (!call_integer(call, 3, &step)) return;
    if (!elements_find(call, &place, VALUE_HASH, &entry)) return;
    if (find_field(call, &place, &entry, &field) && !bytes_to_int64(field.value, &value)) {
        call_error(call, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(value, step, &value)) {
        call_error(call, "ERR increment or decrement would overflow");
        return;
    }
    field.name = call->argv[2];
    field.value = bytes_of(digits, bytes_from_int64(digits, value));
    if (!set_field(call, &place, entry, &field, &edit)) return;
    effect_log_verbatim(call);
    elements_declare(call, &place, &edit, NOTIFY_HASH, "hincrby");
    reply_integer(call->reply, value);
}

/* What is to be added, in argv[3]. */
static bool read_step(struct call *call, long double *step) {
    if (!decimal_to_long_double(call->argv[3], step)) {
        call_error(call, "ERR value is not a valid float");
        return false;
    }
    if (!isinf(*step)) return true;
    call_error(call, "ERR value is NaN or Infinity");
    return false;
}

static bool add_step(struct call *call, const struct key_place *place, struct entry **entry,
                     struct hash_field *field, long double *value) {
    long double old = 0;
    if (find_field(call, place, entry, field) && !decimal_to_long_double(field->value, &old)) {
        call_error(call, "ERR hash value is not a float");
        return false;
    }
    *value += old;
    if (!isnan(*value) && !isinf(*value)) return true;
    call_error(call, "ERR increment would produce NaN or Infinity");
    return false;
}

/* The result, not the sum: a replay may round otherwise. Setting it drops the deadline, which follows. */
static void log_sum(struct call *call, const struct key_place *place,
                    const struct hash_field *field) {
    char number[24];
    struct bytes set[] = {BYTES_LITERAL("HSET"), place->key, field->name, field->value};
    effect_log(call, place->db, set, 4);
    if (KRT_LIKELY(!field->deadline_ms)) return;
    struct bytes deadline_ms = bytes_of(number, bytes_from_int64(number, field->deadline_ms));
    struct bytes expire[] = {BYTES_LITERAL("HPEXPIREAT"), place->key,         deadline_ms,
                             BYTES_LITERAL("FIELDS"),     BYTES_LITERAL("1"), field->name};
    effect_log(call, place->db, expire, 6);
}

static void hincrbyfloat_command(struct call *call) {
    struct edit edit;
    struct entry *entry;
    struct hash_field field;
    long double value;
    char digits[DECIMAL_TEXT_MAX];
    struct key_place place = keyspace_for(call, 1);
    if (!read_step(call, &value)) return;
    if (!elements_find(call, &place, VALUE_HASH, &entry)) return;
    if (!add_step(call, &place, &entry, &field, &value)) return;
    field.name = call->argv[2];
    field.value = bytes_of(digits, decimal_from_long_double(digits, value));
    if (!set_field(call, &place, entry, &field, &edit)) return;
    log_sum(call, &place, &field);
    elements_declare(call, &place, &edit, NOTIFY_HASH, "hincrbyfloat");
    reply_bulk(call->reply, field.value);
}

void hashes_bind(void) {
    command_bind("hset", hset_command);
    command_bind("hmset", hmset_command);
    command_bind("hsetnx", hsetnx_command);
    command_bind("hdel", hdel_command);
    command_bind("hget", hget_command);
    command_bind("hmget", hmget_command);
    command_bind("hexists", hexists_command);
    command_bind("hstrlen", hstrlen_command);
    command_bind("hlen", hlen_command);
    command_bind("hkeys", hkeys_command);
    command_bind("hvals", hvals_command);
    command_bind("hgetall", hgetall_command);
    command_bind("hscan", hscan_command);
    command_bind("hincrby", hincrby_command);
    command_bind("hincrbyfloat", hincrbyfloat_command);
}
