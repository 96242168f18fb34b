/* HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME, and the arguments of all commands on deadlines of fields. */
#include "cmd/families.h"
#include "cmd/hash.h"

bool hash_parse_fields(struct call *call, uint32_t at, const char *error,
                       struct field_names *fields) {
    int64_t count;
    if (!bytes_is(call->argv[at], "fields")) {
        call_error(call, "ERR Mandatory argument FIELDS is missing or not at the right position");
        return false;
    }
    if (!bytes_to_int64(call->argv[at + 1], &count) || count < 1) {
        call_error(call, error);
        return false;
    }
    *fields = (struct field_names){at + 2, call->argc - at - 2};
    if (count == fields->count) return true;
    call_error(call, "ERR The `numfields` parameter must match the number of arguments");
    return false;
}

/* Seconds are rounded up. */
static void reply_deadline(struct call *call, const struct collection_view *view, struct bytes name,
                           int64_t unit_ms, int64_t base_ms) {
    struct hash_field field;
    if (!hash_find(call, view, name, &field)) reply_integer(call->reply, FIELD_NONE);
    else if (!field.deadline_ms) reply_integer(call->reply, FIELD_WITHOUT);
    else reply_integer(call->reply, (field.deadline_ms - base_ms + unit_ms - 1) / unit_ms);
}

static void httl_generic(struct call *call, int64_t unit_ms, int64_t base_ms) {
    struct collection_view view;
    struct field_names fields;
    struct key_place place = keyspace_for(call, 1);
    if (!elements_read(call, &place, VALUE_HASH, &view)) return;
    if (!hash_parse_fields(call, 2, HASH_COUNT_ERROR, &fields)) return;
    reply_array(call->reply, fields.count);
    for (uint32_t i = 0; i < fields.count; i++)
        reply_deadline(call, &view, call->argv[fields.first + i], unit_ms, base_ms);
}

static void httl_command(struct call *call) {
    httl_generic(call, 1000, call_now(call));
}

static void hpttl_command(struct call *call) {
    httl_generic(call, 1, call_now(call));
}

static void hexpiretime_command(struct call *call) {
    httl_generic(call, 1000, 0);
}

static void hpexpiretime_command(struct call *call) {
    httl_generic(call, 1, 0);
}

void hash_ttl_bind(void) {
    command_bind("httl", httl_command);
    command_bind("hpttl", hpttl_command);
    command_bind("hexpiretime", hexpiretime_command);
    command_bind("hpexpiretime", hpexpiretime_command);
}
