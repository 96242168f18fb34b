/* Parts of strings: APPEND, SETRANGE, GETRANGE, STRLEN. */
#include "cmd/families.h"
#include "store/paged.h"

/* ---- Reading ------------------------------------------------------------------------------------ */

/* The string at key 1, or NULL. False after an error reply. */
static bool read_parts(struct call *call, struct key_place *place, struct entry **entry) {
    *place = keyspace_for(call, 1);
    return call_read_parts(call, place, entry);
}

static void strlen_command(struct call *call) {
    struct entry *entry;
    struct key_place place;
    if (read_parts(call, &place, &entry)) reply_integer(call->reply, entry ? string_len(entry) : 0);
}

/* Both ends count, negative ones from the end; what lies outside is cut off. */
static struct string_part part_of(uint32_t len, int64_t start, int64_t end) {
    if (start < 0 && end < 0 && start > end) return (struct string_part){0};
    if (start < 0) start += len;
    if (end < 0) end += len;
    if (start < 0) start = 0;
    if (end < 0) end = 0;
    if (end >= len) end = (int64_t)len - 1;
    if (start > end) return (struct string_part){0};
    return (struct string_part){(uint32_t)start, (uint32_t)(end - start + 1)};
}

static void reply_paged_part(struct call *call, const struct entry *entry,
                             struct string_part part) {
    struct blob *copy = blob_new(NULL, part.len);
    if (!copy) {
        call_error_memory(call);
        return;
    }
    string_read(entry, part, copy->data);
    reply_bulk(call->reply, blob_bytes(copy));
    blob_put(copy);
}

static void reply_part(struct call *call, const struct key_place *place, struct entry *entry,
                       struct string_part part) {
    bool whole = part.len == string_len(entry);
    if (entry_is_tree(entry) && !whole) {
        reply_paged_part(call, entry, part);
    } else if (call_join(call, place, entry)) {
        struct bytes value = entry_string(entry);
        reply_bulk(call->reply, whole ? value : bytes_of(value.at + part.offset, part.len));
    }
}

static void getrange_command(struct call *call) {
    int64_t start, end;
    struct entry *entry;
    struct key_place place;
    if (!call_integer(call, 2, &start) || !call_integer(call, 3, &end)) return;
    if (!read_parts(call, &place, &entry)) return;
    if (entry) reply_part(call, &place, entry, part_of(string_len(entry), start, end));
    else reply_bulk(call->reply, (struct bytes){0});
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
    uint32_t len = entry ? string_len(entry) : 0;
    uint32_t wanted = offset + part.len > len ? (uint32_t)(offset + part.len) : len;
    struct string_part open = {(uint32_t)offset, part.len};
    struct entry *opened = keyspace_open_string(place->keyspace, place->db, place->hash, place->key,
                                                open, wanted, entry);
    if (!opened) {
        call_error_memory(call);
        return false;
    }
    string_write(opened, (uint32_t)offset, part);
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
    if (!call_find_parts(call, &place, &entry)) return;
    if (!entry) {
        append_first(call, &place);
        return;
    }
    uint32_t len = string_len(entry);
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
    if (!call_find_parts(call, &place, &entry)) return;
    if (part.len == 0) reply_integer(call->reply, entry ? string_len(entry) : 0);
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
