/* OBJECT: how a value is kept, in Redis's terms. Looking does not touch. */
#include "cmd/object.h"

#include "cmd/families.h"
#include "store/paged.h"

enum {
    EMBSTR_BYTES_MAX = 44,   /* longer strings are raw */
    SHARED_INTEGERS = 10000, /* from 0 on: Redis keeps one object of each */
};

/* The entry that argv[2] names, or NULL: null is replied. */
static struct entry *object_entry(struct call *call) {
    struct key_place place = keyspace_for(call, 2);
    struct entry *entry = call_inspect(call, &place);
    if (!entry) reply_null(call->reply);
    return entry;
}

/* ---- ENCODING ----------------------------------------------------------------------------------- */

static bool is_kept_as_integer(const struct entry *entry, int64_t *value) {
    return !entry_is_tree(entry) && !entry_is_text(entry) &&
           bytes_to_int64(entry_string(entry), value);
}

static const char *encoding_of_string(const struct entry *entry) {
    int64_t value;
    if (is_kept_as_integer(entry, &value)) return "int";
    return entry_is_raw(entry) || string_len(entry) > EMBSTR_BYTES_MAX ? "raw" : "embstr";
}

const char *object_encoding(const struct entry *entry) {
    bool large = entry->type & FORM_LARGE;
    switch (entry_type(entry)) {
    case VALUE_STRING:
        return encoding_of_string(entry);
    case VALUE_LIST:
        return large ? "quicklist" : "listpack";
    case VALUE_SET:
        return large ? "hashtable" : entry->type & FORM_INTEGERS ? "intset" : "listpack";
    case VALUE_ZSET:
        return large ? "skiplist" : "listpack";
    case VALUE_HASH:
        return large ? "hashtable" : entry->type & FORM_TIMED ? "listpackex" : "listpack";
    default:
        return "stream";
    }
}

static void encoding_command(struct call *call) {
    struct entry *entry = object_entry(call);
    if (entry) reply_bulk_text(call->reply, object_encoding(entry));
}

/* ---- REFCOUNT ----------------------------------------------------------------------------------- */

static bool is_shared_integer(const struct entry *entry) {
    int64_t value;
    return entry_type(entry) == VALUE_STRING && is_kept_as_integer(entry, &value) && value >= 0 &&
           value < SHARED_INTEGERS;
}

int object_references(const struct entry *entry) {
    return is_shared_integer(entry) ? INT32_MAX : 1;
}

static void refcount_command(struct call *call) {
    struct entry *entry = object_entry(call);
    if (entry) reply_integer(call->reply, object_references(entry));
}

/* ---- FREQ, IDLETIME ----------------------------------------------------------------------------- */

static bool keeps(struct call *call, enum access_kind kind, const char *otherwise) {
    if (call->domain->access.kind == kind) return true;
    call_error_format(call,
                      "ERR %s. Please note that when switching between policies at runtime LRU and "
                      "LFU data will take some time to adjust.",
                      otherwise);
    return false;
}

static void freq_command(struct call *call) {
    struct entry *entry = object_entry(call);
    if (entry && keeps(call, ACCESS_FREQUENCY,
                       "An LFU maxmemory policy is not selected, access frequency not tracked"))
        reply_integer(call->reply, access_frequency(&call->domain->access, entry));
}

static void idletime_command(struct call *call) {
    struct entry *entry = object_entry(call);
    if (!entry ||
        !keeps(call, ACCESS_TIME, "An LFU maxmemory policy is selected, idle time not tracked"))
        return;
    (void)call_now(call); /* brings the clock up to date */
    reply_integer(call->reply, access_idle_seconds(&call->domain->access, entry));
}

/* ---- HELP --------------------------------------------------------------------------------------- */

static void help_command(struct call *call) {
    static const char *const lines[] = {
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        NULL,
    };
    call_reply_help(call, lines);
}

void object_bind(void) {
    command_bind("object|encoding", encoding_command);
    command_bind("object|freq", freq_command);
    command_bind("object|idletime", idletime_command);
    command_bind("object|refcount", refcount_command);
    command_bind("object|help", help_command);
}
