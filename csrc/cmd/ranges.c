/* Parts of strings: APPEND, SETRANGE, GETRANGE, STRLEN. */
#include "cmd/families.h"

/* ---- Reading ------------------------------------------------------------------------------------ */

/* The value at key 1, empty if there is none. False after an error reply. */
static bool read_value(struct call *call, struct bytes *value) {
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!call_read_string(call, &place, &entry)) return false;
    *value = entry ? entry_string(entry) : (struct bytes){0};
    return true;
}

static void strlen_command(struct call *call) {
    struct bytes value;
    if (read_value(call, &value)) reply_integer(call->reply, value.len);
}

/* Both ends count, negative ones from the end; what lies outside is cut off. */
static struct bytes part_of(struct bytes value, int64_t start, int64_t end) {
    if (start < 0 && end < 0 && start > end) return (struct bytes){0};
    if (start < 0) start += value.len;
    if (end < 0) end += value.len;
    if (start < 0) start = 0;
    if (end < 0) end = 0;
    if (end >= value.len) end = (int64_t)value.len - 1;
    if (start > end) return (struct bytes){0};
    if (end - start + 1 == value.len) return value;
    return bytes_of(value.at + start, (size_t)(end - start + 1));
}

static void getrange_command(struct call *call) {
    int64_t start, end;
    struct bytes value;
    if (!call_integer(call, 2, &start) || !call_integer(call, 3, &end)) return;
    if (read_value(call, &value)) reply_bulk(call->reply, part_of(value, start, end));
}

/* ---- Changing ----------------------------------------------------------------------------------- */

static bool length_allowed(struct call *call, uint64_t len, uint64_t more) {
    if (len <= call->domain->string_bytes_max && more <= call->domain->string_bytes_max - len)
        return true;
    call_error(call, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

/* Writes `part` at `offset`, where the string may have to grow, and declares it. */
static bool write_part(struct call *call, const struct key_place *place, struct entry *entry,
                       uint64_t offset, struct bytes part, const char *event) {
    uint32_t len = entry ? entry_string(entry).len : 0;
    uint32_t wanted = offset + part.len > len ? (uint32_t)(offset + part.len) : len;
    struct entry *grown = keyspace_grow_string(place->keyspace, place->db, place->hash, place->key,
                                               wanted, entry);
    if (!grown) {
        call_error_memory(call);
        return false;
    }
    bytes_copy(entry_string_data(grown) + offset, part.at, part.len);
    effect_log_verbatim(call);
    if (!entry) effect_notify(call, place, NOTIFY_NEW, "new");
    effect_change(call, place, NOTIFY_STRING, event);
    reply_integer(call->reply, wanted);
    return true;
}

/* A new key is set, not appended to: its encoding is that of a value that came whole. */
static void append_first(struct call *call, const struct key_place *place) {
    struct bytes value = call->argv[2];
    if (!keyspace_set_string(place->keyspace, place->db, place->hash, place->key, value, 0, NULL)) {
        call_error_memory(call);
        return;
    }
    effect_log_verbatim(call);
    effect_notify(call, place, NOTIFY_NEW, "new");
    effect_change(call, place, NOTIFY_STRING, "append");
    reply_integer(call->reply, value.len);
}

static void append_command(struct call *call) {
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!call_find_string(call, &place, &entry)) return;
    if (!entry) {
        append_first(call, &place);
        return;
    }
    uint32_t len = entry_string(entry).len;
    if (length_allowed(call, len, call->argv[2].len))
        write_part(call, &place, entry, len, call->argv[2], "append");
}

static void setrange_command(struct call *call) {
    int64_t offset;
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    struct bytes part = call->argv[3];
    if (!call_integer(call, 2, &offset)) return;
    if (offset < 0) {
        call_error(call, "ERR offset is out of range");
        return;
    }
    if (!call_find_string(call, &place, &entry)) return;
    if (part.len == 0) reply_integer(call->reply, entry ? entry_string(entry).len : 0);
    else if (length_allowed(call, (uint64_t)offset, part.len))
        write_part(call, &place, entry, (uint64_t)offset, part, "setrange");
}

void ranges_bind(void) {
    command_bind("strlen", strlen_command);
    command_bind("getrange", getrange_command);
    command_bind("substr", getrange_command);
    command_bind("append", append_command);
    command_bind("setrange", setrange_command);
}
