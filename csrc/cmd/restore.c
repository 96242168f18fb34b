/* RESTORE: a value from what DUMP made of it, here or in any other server of the kind. */
#include "cmd/families.h"
#include "rdb/reader.h"

struct restore {
    struct call *call;
    struct key_place place;
    struct entry *found;       /* that is replaced */
    int64_t deadline_ms;       /* 0: none */
    int64_t idle_s, frequency; /* -1: not given */
    bool replace, absolute;
};

/* ---- Options ------------------------------------------------------------------------------------ */

static bool refuse(struct call *call, const char *text) {
    call_error(call, text);
    return false;
}

static bool parse_idle(struct restore *restore, uint32_t index) {
    struct call *call = restore->call;
    if (!call_integer(call, index, &restore->idle_s)) return false;
    return restore->idle_s >= 0 || refuse(call, "ERR Invalid IDLETIME value, must be >= 0");
}

static bool parse_frequency(struct restore *restore, uint32_t index) {
    struct call *call = restore->call;
    if (!call_integer(call, index, &restore->frequency)) return false;
    return (restore->frequency >= 0 && restore->frequency <= 255) ||
           refuse(call, "ERR Invalid FREQ value, must be >= 0 and <= 255");
}

/* Of both, the one that comes first may be given. */
static bool parse_options(struct restore *restore) {
    struct call *call = restore->call;
    for (uint32_t i = 4; i < call->argc; i++) {
        bool followed = i + 1 < call->argc;
        if (bytes_is(call->argv[i], "replace")) {
            restore->replace = true;
        } else if (bytes_is(call->argv[i], "absttl")) {
            restore->absolute = true;
        } else if (bytes_is(call->argv[i], "idletime") && followed && restore->frequency == -1) {
            if (!parse_idle(restore, ++i)) return false;
        } else if (bytes_is(call->argv[i], "freq") && followed && restore->idle_s == -1) {
            if (!parse_frequency(restore, ++i)) return false;
        } else {
            call_error_syntax(call);
            return false;
        }
    }
    return true;
}

/* What is too far away wraps, as in Redis, and is past. */
static bool parse_deadline(struct restore *restore) {
    int64_t ttl_ms;
    struct call *call = restore->call;
    if (!call_integer(call, 2, &ttl_ms)) return false;
    if (ttl_ms < 0) return refuse(call, "ERR Invalid TTL value, must be >= 0");
    restore->deadline_ms = ttl_ms;
    if (ttl_ms > 0 && !restore->absolute)
        restore->deadline_ms = (int64_t)((uint64_t)ttl_ms + (uint64_t)call_now(call));
    return true;
}

/* ---- Doing it ----------------------------------------------------------------------------------- */

/* *entry: NULL if the value is only to be looked at. False after the error reply. */
static bool read_value(struct restore *restore, struct entry **entry) {
    struct call *call = restore->call;
    const struct key_place *place = &restore->place;
    struct edit_place at = {place->keyspace, place->db, place->hash, place->key};
    switch (rdb_restore(call->argv[3], &call->domain->small, &at, restore->deadline_ms,
                        restore->found, entry)) {
    case RDB_OK:
        return true;
    case RDB_NO_MEMORY:
        call_error_memory(call);
        return false;
    default:
        return refuse(call, "ERR Bad data format");
    }
}

/* A deadline that is past: what is there goes, and nothing comes. */
static void restore_nothing(struct restore *restore) {
    struct call *call = restore->call;
    if (!read_value(restore, NULL)) return;
    if (restore->found) call_delete(call, &restore->place, restore->found, NOTIFY_GENERIC, "del");
    reply_ok(call->reply);
}

static void note_access(const struct restore *restore, struct entry *entry) {
    const struct access_clock *clock = restore->place.keyspace->access;
    uint32_t field = access_first(clock);
    if (restore->frequency >= 0) field = access_of_frequency(clock, field, restore->frequency);
    else if (restore->idle_s >= 0) field = access_of_idle(clock, field, restore->idle_s);
    access_put(entry, field);
}

static struct bytes number_text(char *text, int64_t value) {
    return bytes_of(text, bytes_from_int64(text, value));
}

/* The time that is left becomes a point in time. */
static void log_restore(const struct restore *restore) {
    enum { WORDS_MAX = 8 };
    char deadline[24], number[24];
    struct call *call = restore->call;
    bool of_idle = restore->idle_s >= 0, of_frequency = restore->frequency >= 0;
    struct bytes words[WORDS_MAX] = {call->argv[0], call->argv[1],
                                     number_text(deadline, restore->deadline_ms), call->argv[3]};
    uint32_t count = 4;
    if (restore->replace) words[count++] = BYTES_LITERAL("REPLACE");
    if (restore->deadline_ms) words[count++] = BYTES_LITERAL("ABSTTL");
    if (of_idle || of_frequency) {
        words[count++] = of_idle ? BYTES_LITERAL("IDLETIME") : BYTES_LITERAL("FREQ");
        words[count++] = number_text(number, of_idle ? restore->idle_s : restore->frequency);
    }
    effect_log(call, restore->place.db, words, count);
}

static void restore_value(struct restore *restore) {
    struct entry *entry;
    struct call *call = restore->call;
    if (!read_value(restore, &entry)) return;
    note_access(restore, entry);
    log_restore(restore);
    effect_ready(call, &restore->place, entry_type(entry));
    effect_notify(call, &restore->place, NOTIFY_NEW, "new");
    effect_change(call, &restore->place, NOTIFY_GENERIC, "restore");
    reply_ok(call->reply);
}

/* Whether a key that is replaced had expired is of no interest. */
static void restore_command(struct call *call) {
    struct restore restore = {.call = call, .idle_s = -1, .frequency = -1};
    if (!parse_options(&restore)) return;
    restore.place = keyspace_for(call, 1);
    const struct key_place *place = &restore.place;
    if (restore.replace) {
        restore.found = keyspace_find(place->keyspace, place->db, place->hash, place->key);
    } else if (call_find(call, place)) {
        call_error(call, "BUSYKEY Target key name already exists.");
        return;
    }
    if (!parse_deadline(&restore)) return;
    if (!rdb_dump_is_valid(call->argv[3])) {
        call_error(call, "ERR DUMP payload version or checksum are wrong");
        return;
    }
    bool is_past = restore.deadline_ms != 0 && restore.deadline_ms <= call_now(call);
    if (is_past && !(call->flags & CALL_LOADING)) restore_nothing(&restore);
    else restore_value(&restore);
}

void restore_bind(void) {
    command_bind("restore", restore_command);
    command_bind("restore-asking", restore_command);
}
