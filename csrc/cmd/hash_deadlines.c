/* Deadlines of fields: the HEXPIRE family, HPERSIST. What they answer of them is in hash_ttl.c.
 *
 * What a command that changes does to each field is known before the first change, but for a field that is named
 * twice; answers are given once all is stored.
 */
#include "cmd/families.h"
#include "cmd/hash.h"

/* 2^46 - 1: Redis keeps a deadline in 48 bits, two of which are put by. */
static const int64_t DEADLINE_MAX_MS = (INT64_C(1) << 46) - 1;

static void reply_same(struct call *call, uint32_t count, enum field_answer answer) {
    reply_array(call->reply, count);
    for (; count > 0; count--) reply_integer(call->reply, answer);
}

/* ---- Changes ------------------------------------------------------------------------------------ */

enum { ANSWERS_SMALL = 64, LOG_HEAD = 5 /* words before the names */ };

struct change {
    struct call *call;
    struct key_place place;
    struct field_names fields;
    struct edit edit;
    /* What a field with this deadline, or none, is answered. */
    enum field_answer (*decide)(const struct change *change, const struct hash_field *field);
    unsigned conditions; /* of HEXPIRE */
    int64_t deadline_ms; /* the new one; 0: none */
    uint32_t planned;    /* fields to change, perhaps one twice */
    uint64_t bytes;      /* of their new records */
    struct bytes *log;   /* NULL: nobody wants it */
    int8_t *answers, small[ANSWERS_SMALL];
};

/* `logs`: one effect names all that was changed. False after the error reply. */
static bool change_begin(struct change *change, bool logs) {
    size_t count = change->fields.count;
    logs = logs && effects_want(change->call->effects, EFFECT_LOG);
    change->answers = count <= ANSWERS_SMALL ? change->small : mem_alloc(NULL, count);
    if (change->answers && logs)
        change->log = mem_alloc(NULL, (count + LOG_HEAD) * sizeof *change->log);
    if (change->answers && (change->log || !logs)) return true;
    call_error_memory(change->call);
    return false;
}

static void change_end(struct change *change) {
    if (change->answers != change->small) mem_free(NULL, change->answers);
    mem_free(NULL, change->log);
}

static struct bytes name_at(const struct change *change, uint32_t i) {
    return change->call->argv[change->fields.first + i];
}

/* The field as it lies there, due or not. */
static enum field_answer look(const struct change *change, struct bytes name,
                              struct hash_field *field) {
    struct walk walk;
    if (!walk_find(&walk, &change->edit.view, &change->call->domain->hash_seed, name))
        return FIELD_NONE;
    *field = hash_field_read(walk.record);
    return change->decide(change, field);
}

/* The first go over all of them: what to change, and what that takes. Past deadlines erase and need nothing. */
static bool change_plan(struct change *change, enum field_answer change_is) {
    struct hash_field field;
    for (uint32_t i = 0; i < change->fields.count; i++) {
        enum field_answer answer = look(change, name_at(change, i), &field);
        change->answers[i] = (int8_t)answer;
        if (answer != change_is) continue;
        change->planned++;
        if (change_is == FIELD_DELETED) continue;
        field.deadline_ms = change->deadline_ms;
        change->bytes += hash_field_bytes(&field) + FIELDS_RECORD_MAX;
        if (hash_keep(&change->edit, &field)) continue;
        edit_close(&change->edit);
        call_error_memory(change->call);
        return false;
    }
    return true;
}

/* Gives a field its deadline; one that is named again may be refused it now, and what was kept for it goes. */
static void rewrite(struct change *change, uint32_t i, struct bytes **log) {
    struct hash_field field;
    enum field_answer answer = look(change, name_at(change, i), &field);
    change->answers[i] = (int8_t)answer;
    field.deadline_ms = change->deadline_ms;
    if (answer == FIELD_CHANGED) {
        (void)hash_write(&change->edit, &field);
        if (*log) *(*log)++ = name_at(change, i);
    } else if (hash_field_bytes(&field) > LEAF_RECORD_MAX) {
        (void)edit_kept(&change->edit);
    }
}

/* False after the error reply. *log is behind the names of what was changed. */
static bool change_store(struct change *change, struct bytes **log) {
    struct edit *edit = &change->edit;
    if (!elements_reserve(change->call, edit, (uint64_t)change->planned * FIELDS_CHANGES,
                          change->bytes))
        return false;
    if (change->deadline_ms && !edit_reserve_deadlines(edit)) {
        edit_close(edit);
        call_error_memory(change->call);
        return false;
    }
    for (uint32_t i = 0; i < change->fields.count; i++)
        if (change->answers[i] == FIELD_CHANGED) rewrite(change, i, log);
    return elements_store(change->call, edit);
}

static void change_reply(const struct change *change) {
    reply_array(change->call->reply, change->fields.count);
    for (uint32_t i = 0; i < change->fields.count; i++)
        reply_integer(change->call->reply, change->answers[i]);
}

static uint32_t count_done(const struct change *change) {
    uint32_t done = 0;
    for (uint32_t i = 0; i < change->fields.count; i++) done += change->answers[i] == FIELD_CHANGED;
    return done;
}

/* ---- HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT --------------------------------------------------- */

enum { HEXPIRE_NX = 1, HEXPIRE_XX, HEXPIRE_GT, HEXPIRE_LT };

/* `unit_ms` is 1 or 1000; what is given counts from `base_ms`. */
static bool hexpire_deadline(struct call *call, int64_t unit_ms, int64_t base_ms,
                             int64_t *deadline_ms) {
    int64_t value;
    if (!call_integer(call, 2, &value)) return false;
    if (value < 0) {
        call_error(call, "ERR invalid expire time, must be >= 0");
        return false;
    }
    if (value <= DEADLINE_MAX_MS / unit_ms && value * unit_ms <= DEADLINE_MAX_MS - base_ms) {
        *deadline_ms = value * unit_ms + base_ms;
        /* Of a log it is kept, however long it has passed; 0 would be none. */
        if (KRT_UNLIKELY(call->flags & CALL_LOADING) && *deadline_ms < 1) *deadline_ms = 1;
        return true;
    }
    call_error_format(call, "ERR invalid expire time in '%s' command", call->command->full_name);
    return false;
}

static unsigned hexpire_condition(struct bytes word) {
    static const char *const words[] = {"", "nx", "xx", "gt", "lt"};
    for (unsigned i = HEXPIRE_NX; i <= HEXPIRE_LT; i++)
        if (bytes_is(word, words[i])) return i;
    return 0;
}

/* A field without a deadline has an infinite one, which GT cannot raise. */
static bool hexpire_allowed(unsigned condition, int64_t current_ms, int64_t wanted_ms) {
    switch (condition) {
    case HEXPIRE_NX:
        return !current_ms;
    case HEXPIRE_XX:
        return current_ms;
    case HEXPIRE_GT:
        return current_ms && wanted_ms > current_ms;
    case HEXPIRE_LT:
        return !current_ms || wanted_ms < current_ms;
    default:
        return true;
    }
}

static enum field_answer hexpire_decide(const struct change *change,
                                        const struct hash_field *field) {
    if (!hexpire_allowed(change->conditions, field->deadline_ms, change->deadline_ms))
        return FIELD_REFUSED;
    return change->deadline_ms <= call_due(change->call) ? FIELD_DELETED : FIELD_CHANGED;
}

/* Deadlines that have passed: the fields go at once. */
static bool hexpire_delete(struct change *change) {
    struct edit *edit = &change->edit;
    uint32_t deleted = 0;
    if (!elements_reserve_erasures(change->call, edit, change->planned)) return false;
    for (uint32_t i = 0; i < change->fields.count; i++) {
        struct bytes log[] = {BYTES_LITERAL("HDEL"), change->place.key, name_at(change, i)};
        if (change->answers[i] != FIELD_DELETED) continue;
        if (!fields_erase(edit, log[2])) {
            change->answers[i] = FIELD_NONE;
            continue;
        }
        effect_log(change->call, change->place.db, log, 3);
        deleted++;
    }
    edit->view.type |= FORM_TIMED;
    edit_commit_erasures(edit);
    change->place.keyspace->stats.expired_fields += deleted;
    elements_count_dirty(change->call, deleted);
    elements_declare(change->call, &change->place, edit, NOTIFY_HASH, "hdel");
    return true;
}

static void hexpire_log(const struct change *change, const struct bytes *end) {
    char deadline[24], count[24];
    struct bytes *log = change->log;
    if (!log) return;
    int64_t named = end - log - LOG_HEAD;
    log[0] = BYTES_LITERAL("HPEXPIREAT");
    log[1] = change->place.key;
    log[2] = bytes_of(deadline, bytes_from_int64(deadline, change->deadline_ms));
    log[3] = BYTES_LITERAL("FIELDS");
    log[4] = bytes_of(count, bytes_from_int64(count, named));
    effect_log(change->call, change->place.db, log, (uint32_t)named + LOG_HEAD);
}

static bool hexpire_set(struct change *change) {
    struct bytes *log = change->log ? change->log + LOG_HEAD : NULL;
    change->edit.view.type |= FORM_TIMED;
    if (!change_store(change, &log)) return false;
    hexpire_log(change, log);
    elements_count_dirty(change->call, count_done(change));
    elements_declare(change->call, &change->place, &change->edit, NOTIFY_HASH, "hexpire");
    return true;
}

static bool hexpire_fields(struct change *change, struct entry *entry, bool past) {
    elements_open(&change->place, entry, VALUE_HASH, &change->edit);
    if (!change_plan(change, past ? FIELD_DELETED : FIELD_CHANGED)) return false;
    if (change->planned > 0) return past ? hexpire_delete(change) : hexpire_set(change);
    edit_close(&change->edit);
    entry_mark_timed(entry);
    return true;
}

static void hexpire_generic(struct call *call, int64_t unit_ms, int64_t base_ms) {
    struct entry *entry;
    struct change change = {.call = call, .decide = hexpire_decide, .place = keyspace_for(call, 1)};
    if (!elements_find(call, &change.place, VALUE_HASH, &entry)) return;
    if (!hexpire_deadline(call, unit_ms, base_ms, &change.deadline_ms)) return;
    change.conditions = hexpire_condition(call->argv[3]);
    if (!hash_parse_fields(call, change.conditions ? 4 : 3,
                           "ERR Parameter `numFields` should be greater than 0", &change.fields))
        return;
    if (!entry) {
        reply_same(call, change.fields.count, FIELD_NONE);
        return;
    }
    bool past = change.deadline_ms <= call_due(call);
    if (change_begin(&change, !past) && hexpire_fields(&change, entry, past)) change_reply(&change);
    change_end(&change);
}

static void hexpire_command(struct call *call) {
    hexpire_generic(call, 1000, call_now(call));
}

static void hpexpire_command(struct call *call) {
    hexpire_generic(call, 1, call_now(call));
}

static void hexpireat_command(struct call *call) {
    hexpire_generic(call, 1000, 0);
}

static void hpexpireat_command(struct call *call) {
    hexpire_generic(call, 1, 0);
}

/* ---- HPERSIST ----------------------------------------------------------------------------------- */

static enum field_answer hpersist_decide(const struct change *change,
                                         const struct hash_field *field) {
    if (!field->deadline_ms) return FIELD_WITHOUT;
    return field_is_due(field, call_due(change->call)) ? FIELD_NONE : FIELD_CHANGED;
}

/* Those that were changed: of the others some may be due, which no log may bring back. */
static void hpersist_log(const struct change *change, const struct bytes *end) {
    enum { HEAD = 4 };
    char count[24];
    if (!change->log) return;
    struct bytes *log = change->log + LOG_HEAD - HEAD;
    int64_t named = end - change->log - LOG_HEAD;
    log[0] = BYTES_LITERAL("HPERSIST");
    log[1] = change->place.key;
    log[2] = BYTES_LITERAL("FIELDS");
    log[3] = bytes_of(count, bytes_from_int64(count, named));
    effect_log(change->call, change->place.db, log, (uint32_t)named + HEAD);
}

static bool hpersist_fields(struct change *change, struct entry *entry) {
    struct bytes *log = change->log ? change->log + LOG_HEAD : NULL;
    elements_open(&change->place, entry, VALUE_HASH, &change->edit);
    if (!change_plan(change, FIELD_CHANGED)) return false;
    if (change->planned == 0) {
        edit_close(&change->edit);
        return true;
    }
    if (!change_store(change, &log)) return false;
    hpersist_log(change, log);
    elements_declare(change->call, &change->place, &change->edit, NOTIFY_HASH, "hpersist");
    return true;
}

static void hpersist_command(struct call *call) {
    struct entry *entry;
    struct change change = {
        .call = call, .decide = hpersist_decide, .place = keyspace_for(call, 1)};
    if (!elements_find(call, &change.place, VALUE_HASH, &entry)) return;
    if (!hash_parse_fields(call, 2, HASH_COUNT_ERROR, &change.fields)) return;
    if (!entry) {
        reply_same(call, change.fields.count, FIELD_NONE);
        return;
    }
    if (change_begin(&change, true) && hpersist_fields(&change, entry)) change_reply(&change);
    change_end(&change);
}

void hash_deadlines_bind(void) {
    command_bind("hexpire", hexpire_command);
    command_bind("hpexpire", hpexpire_command);
    command_bind("hexpireat", hexpireat_command);
    command_bind("hpexpireat", hpexpireat_command);
    command_bind("hpersist", hpersist_command);
}
