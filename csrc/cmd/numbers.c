/* Strings that are numbers: INCR and its kin. */
#include <math.h>

#include "base/decimal.h"
#include "cmd/families.h"

/* Puts a number where the old one was, deadline kept, and declares it; the log effect is the caller's. */
static struct entry *put_number(struct call *call, const struct key_place *place,
                                struct entry *entry, struct bytes digits) {
    int64_t deadline = entry ? entry_deadline(entry) : 0;
    struct entry *put = keyspace_set_string(place->keyspace, place->db, place->hash, place->key,
                                            digits, deadline, entry);
    if (!put) call_error_memory(call);
    return put;
}

static void declare_number(struct call *call, const struct key_place *place, bool is_new,
                           const char *event) {
    if (is_new) effect_notify(call, place, NOTIFY_NEW, "new");
    effect_change(call, place, NOTIFY_STRING, event);
}

/* ---- Integers ----------------------------------------------------------------------------------- */

static void incr_by(struct call *call, int64_t step) {
    char text[24];
    int64_t value = 0;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!call_find_string(call, &place, &entry)) return;
    if (entry && !bytes_to_int64(entry_string(entry), &value)) {
        call_error_integer(call);
        return;
    }
    if (__builtin_add_overflow(value, step, &value)) {
        call_error(call, "ERR increment or decrement would overflow");
        return;
    }
    if (!put_number(call, &place, entry, bytes_of(text, bytes_from_int64(text, value)))) return;
    effect_log_verbatim(call);
    declare_number(call, &place, !entry, "incrby");
    reply_integer(call->reply, value);
}

static void incr_command(struct call *call) {
    incr_by(call, 1);
}

static void decr_command(struct call *call) {
    incr_by(call, -1);
}

static void incrby_command(struct call *call) {
    int64_t step;
    if (call_integer(call, 2, &step)) incr_by(call, step);
}

static void decrby_command(struct call *call) {
    int64_t step;
    if (!call_integer(call, 2, &step)) return;
    if (step == INT64_MIN) call_error(call, "ERR decrement would overflow");
    else incr_by(call, -step);
}

/* ---- INCRBYFLOAT -------------------------------------------------------------------------------- */

static bool read_float(struct call *call, struct bytes text, long double *out) {
    if (decimal_to_long_double(text, out)) return true;
    call_error(call, "ERR value is not a valid float");
    return false;
}

/* The result, not the sum: a replay may round otherwise. */
static void log_float(struct call *call, const struct key_place *place, struct bytes digits) {
    struct bytes log[] = {BYTES_LITERAL("SET"), place->key, digits, BYTES_LITERAL("KEEPTTL")};
    effect_log(call, place->db, log, 4);
}

static void incrbyfloat_command(struct call *call) {
    char text[DECIMAL_TEXT_MAX];
    long double value = 0, step;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!call_find_string(call, &place, &entry)) return;
    if (entry && !read_float(call, entry_string(entry), &value)) return;
    if (!read_float(call, call->argv[2], &step)) return;
    value += step;
    if (isnan(value) || isinf(value)) {
        call_error(call, "ERR increment would produce NaN or Infinity");
        return;
    }
    struct bytes digits = bytes_of(text, decimal_from_long_double(text, value));
    struct entry *put = put_number(call, &place, entry, digits);
    if (!put) return;
    entry_mark_text(put);
    log_float(call, &place, digits);
    declare_number(call, &place, !entry, "incrbyfloat");
    reply_bulk(call->reply, digits);
}

void numbers_bind(void) {
    command_bind("incr", incr_command);
    command_bind("decr", decr_command);
    command_bind("incrby", incrby_command);
    command_bind("decrby", decrby_command);
    command_bind("incrbyfloat", incrbyfloat_command);
}
