/* BITOP: strings of any shards, combined bit by bit. A shorter one goes on with zeros. */
#include "base/bits.h"
#include "cmd/families.h"
#include "store/paged.h"

enum { SOURCES_FEW = 16, BLOCK_BYTES = 4096 };

/* What an entry holds is remembered apart from it: the entry that takes the result may be one of them, and move. */
struct source {
    struct bytes value;        /* of a key that is not there: empty */
    const struct entry *paged; /* or NULL: the value is whole */
    uint32_t len;
};

struct sources {
    struct source *at;
    uint32_t count, longest;
    struct source few[SOURCES_FEW];
};

static struct source source_of(const struct entry *entry) {
    struct source source = {.value.at = "", .len = entry ? string_len(entry) : 0};
    if (entry && entry_is_tree(entry)) source.paged = entry;
    else if (entry) source.value = entry_string(entry);
    return source;
}

static void sources_close(struct sources *sources) {
    if (sources->at != sources->few) mem_free(NULL, sources->at);
}

static bool read_group(struct call *call, struct sources *sources, uint32_t first) {
    struct entry *entry;
    struct key_place places[KEY_GROUP];
    uint32_t count = keyspace_for_group(call, 3 + first, 1, places);
    for (uint32_t i = 0; i < count; i++) {
        if (!call_read_parts(call, &places[i], &entry)) return false;
        struct source source = source_of(entry);
        if (source.len > sources->longest) sources->longest = source.len;
        sources->at[first + i] = source;
    }
    return true;
}

/* The strings from argv[3] on. False after the error reply. */
static bool sources_open(struct sources *sources, struct call *call) {
    sources->count = call->argc - 3;
    sources->longest = 0;
    sources->at = sources->few;
    if (sources->count > SOURCES_FEW)
        sources->at = mem_alloc(NULL, sources->count * sizeof *sources->at);
    if (!sources->at) {
        call_error_memory(call);
        return false;
    }
    for (uint32_t first = 0; first < sources->count; first += KEY_GROUP) {
        if (read_group(call, sources, first)) continue;
        sources_close(sources);
        return false;
    }
    return true;
}

/* ---- The result --------------------------------------------------------------------------------- */

enum operation {
    OPERATION_AND = BITS_AND,
    OPERATION_OR = BITS_OR,
    OPERATION_XOR = BITS_XOR,
    OPERATION_NOT,
};

/* What a source has of a block, from `offset` on; of a paged one it is copied. */
static struct bytes part_of(const struct source *source, uint32_t offset, uint32_t len,
                            char copy[BLOCK_BYTES]) {
    if (offset >= source->len) return (struct bytes){.at = ""};
    struct string_part part = {offset, source->len - offset < len ? source->len - offset : len};
    if (!source->paged) return bytes_of(source->value.at + offset, part.len);
    string_read(source->paged, part, copy);
    return bytes_of(copy, part.len);
}

static void combine_block(const struct sources *sources, enum bits_operation operation,
                          uint32_t offset, char *block, uint32_t len) {
    char copy[BLOCK_BYTES];
    struct bytes part = part_of(&sources->at[0], offset, len, copy);
    memcpy(block, part.at, part.len);
    memset(block + part.len, 0, len - part.len);
    for (uint32_t i = 1; i < sources->count; i++) {
        part = part_of(&sources->at[i], offset, len, copy);
        bits_combine(operation, block, part.at, part.len);
        if (operation == BITS_AND) memset(block + part.len, 0, len - part.len);
    }
}

/* In blocks that stay in the nearest cache. `to` may be one of the sources: a block is written when all of
 * it has been read. */
static void combine(const struct sources *sources, enum operation operation, char *to) {
    char block[BLOCK_BYTES];
    for (uint32_t offset = 0; offset < sources->longest; offset += BLOCK_BYTES) {
        uint32_t left = sources->longest - offset, len = left < BLOCK_BYTES ? left : BLOCK_BYTES;
        if (operation == OPERATION_NOT) {
            bits_invert(to + offset, part_of(&sources->at[0], offset, len, block).at, len);
            continue;
        }
        combine_block(sources, (enum bits_operation)operation, offset, block, len);
        memcpy(to + offset, block, len);
    }
}

/* ---- Storing ------------------------------------------------------------------------------------ */

/* A large string of the same length, which nobody else refers to, takes the result where it lies. */
static bool can_be_overwritten(const struct entry *entry, uint32_t len) {
    if (!entry || entry_type(entry) != VALUE_STRING || entry_is_tree(entry)) return false;
    struct bytes value = entry_string(entry);
    return value.len == len && value.flags & BYTES_BLOB && blob_is_own(blob_of(value));
}

/* The entry may move when it loses its deadline; what it refers to stays. */
static struct entry *overwrite(const struct key_place *place, struct entry *entry,
                               const struct sources *sources, enum operation operation) {
    entry = keyspace_set_deadline(place->keyspace, place->db, place->hash, entry, 0);
    if (entry) combine(sources, operation, blob_of(entry_string(entry))->data);
    return entry;
}

static struct entry *set(const struct key_place *place, struct entry *entry,
                         const struct sources *sources, enum operation operation) {
    char small[SLAB_MAX_BYTES];
    struct bytes value = bytes_of(small, sources->longest);
    struct blob *blob = NULL;
    if (sources->longest > sizeof small) {
        blob = blob_new(&place->keyspace->account, sources->longest);
        if (!blob) return NULL;
        value = blob_bytes(blob);
    }
    combine(sources, operation, blob ? blob->data : small);
    entry =
        keyspace_set_string(place->keyspace, place->db, place->hash, place->key, value, 0, entry);
    if (blob) blob_put(blob);
    return entry;
}

static void store(struct call *call, const struct sources *sources, enum operation operation) {
    struct key_place place = keyspace_for(call, 2);
    struct entry *found = call_find(call, &place);
    if (found)
        keyspace_preserve(place.keyspace, place.db, found); /* before its blob is looked at */
    struct entry *entry = can_be_overwritten(found, sources->longest)
                              ? overwrite(&place, found, sources, operation)
                              : set(&place, found, sources, operation);
    if (!entry) {
        call_error_memory(call);
        return;
    }
    entry_mark_raw(entry);
    effect_log_verbatim(call);
    if (!found) effect_notify(call, &place, NOTIFY_NEW, "new");
    effect_change(call, &place, NOTIFY_STRING, "set");
    reply_integer(call->reply, sources->longest);
}

static void store_nothing(struct call *call) {
    struct key_place place = keyspace_for(call, 2);
    struct entry *entry = call_find(call, &place);
    if (entry) call_delete(call, &place, entry, NOTIFY_GENERIC, "del");
    reply_integer(call->reply, 0);
}

static bool parse_operation(struct call *call, enum operation *operation) {
    static const char *const names[] = {"and", "or", "xor", "not"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!bytes_is(call->argv[1], names[i])) continue;
        *operation = (enum operation)i;
        if (*operation != OPERATION_NOT || call->argc == 4) return true;
        call_error(call, "ERR BITOP NOT must be called with a single source key.");
        return false;
    }
    call_error_syntax(call);
    return false;
}

static void bitop_command(struct call *call) {
    struct sources sources;
    enum operation operation;
    if (!parse_operation(call, &operation) || !sources_open(&sources, call)) return;
    if (sources.longest) store(call, &sources, operation);
    else store_nothing(call);
    sources_close(&sources);
}

void bitop_bind(void) {
    command_bind("bitop", bitop_command);
}
