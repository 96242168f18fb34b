/* BITFIELD, BITFIELD_RO: numbers of any width at any bit of a string.
 *
 * The arguments are read twice: first all of them, for errors and for the last bit that is written, then one
 * operation after the other. So nothing has to be kept, and what can fail comes first.
 */
#include "cmd/bitmap.h"
#include "cmd/families.h"

enum action { ACTION_GET, ACTION_SET, ACTION_INCRBY };
enum overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

struct operation {
    enum action action;
    enum overflow overflow;
    bool is_signed;
    uint32_t width; /* bits */
    uint64_t offset;
    int64_t number; /* to set, or to add */
};

static uint64_t end_of(const struct operation *operation) {
    return operation->offset + operation->width;
}

/* ---- Arguments ---------------------------------------------------------------------------------- */

struct operations {
    struct call *call;
    uint32_t next; /* argument */
    enum overflow overflow;
};

static struct operations operations_of(struct call *call) {
    return (struct operations){.call = call, .next = 2};
}

/* The number of the word among those given, or of the last and one more. */
static uint32_t word_find(struct bytes word, const char *const *words, uint32_t count) {
    uint32_t i = 0;
    while (i < count && !bytes_is(word, words[i])) i++;
    return i;
}

static bool parse_overflow(struct call *call, uint32_t index, enum overflow *overflow) {
    static const char *const words[] = {"wrap", "sat", "fail"};
    uint32_t found = word_find(call->argv[index], words, 3);
    *overflow = (enum overflow)found;
    if (found < 3) return true;
    call_error(call, "ERR Invalid OVERFLOW type specified");
    return false;
}

static bool parse_type(struct call *call, uint32_t index, struct operation *operation) {
    struct bytes text = call->argv[index];
    char sign = text.len ? text.at[0] : 0;
    int64_t width;
    operation->is_signed = sign == 'i';
    if ((sign == 'i' || sign == 'u') &&
        bytes_to_int64(bytes_of(text.at + 1, text.len - 1), &width) && width >= 1 &&
        width <= (operation->is_signed ? 64 : 63)) {
        operation->width = (uint32_t)width;
        return true;
    }
    call_error(call, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
                     "supported but i64 is.");
    return false;
}

static bool parse_operation(struct operations *operations, struct operation *operation) {
    static const char *const words[] = {"get", "set", "incrby"};
    struct call *call = operations->call;
    uint32_t at = operations->next, found = word_find(call->argv[at], words, 3);
    uint32_t count = found == ACTION_GET ? 3 : 4;
    if (found == 3 || call->argc - at < count) {
        call_error_syntax(call);
        return false;
    }
    *operation = (struct operation){.action = (enum action)found, .overflow = operations->overflow};
    operations->next = at + count;
    return parse_type(call, at + 1, operation) &&
           bitmap_offset(call, at + 2, operation->width, &operation->offset) &&
           (found == ACTION_GET || call_integer(call, at + 3, &operation->number));
}

/* The next operation. False at the end, or after the error reply. */
static bool operations_next(struct operations *operations, struct operation *operation) {
    struct call *call = operations->call;
    while (operations->next < call->argc) {
        uint32_t at = operations->next;
        if (!bytes_is(call->argv[at], "overflow") || at + 1 == call->argc)
            return parse_operation(operations, operation);
        if (!parse_overflow(call, at + 1, &operations->overflow)) return false;
        operations->next = at + 2;
    }
    return false;
}

struct summary {
    uint64_t count, first, end; /* of the bits that are written; end is 0 if there are none */
};

/* False after the error reply. */
static bool summarize(struct call *call, struct summary *summary) {
    struct operation operation;
    struct operations operations = operations_of(call);
    *summary = (struct summary){.first = UINT64_MAX};
    for (; operations_next(&operations, &operation); summary->count++) {
        if (operation.action == ACTION_GET) continue;
        if (summary->end < end_of(&operation)) summary->end = end_of(&operation);
        if (summary->first > operation.offset) summary->first = operation.offset;
    }
    return !call->failed;
}

/* ---- Fields ------------------------------------------------------------------------------------- */

/* What the lower bits are as a number of this kind. */
static int64_t number_of(const struct operation *operation, uint64_t bits) {
    uint32_t above = 64 - operation->width;
    return operation->is_signed ? (int64_t)(bits << above) >> above
                                : (int64_t)(bits << above >> above);
}

static int64_t get(const struct operation *operation, const struct entry *entry) {
    return number_of(operation, bitmap_read(entry, operation->offset, operation->width));
}

static int64_t saturated(const struct operation *operation, __int128 number, int64_t min,
                         int64_t max) {
    if (number > max) return max;
    /* Redis has the distance to the maximum in 64 bits: what is set from further below counts as above. */
    bool turned = operation->action == ACTION_SET && max - number > INT64_MAX;
    return turned ? max : min;
}

/* What the field becomes. False: it would overflow, and fails. */
static bool compute(const struct operation *operation, int64_t before, int64_t *after) {
    uint32_t digits = operation->width - operation->is_signed;
    int64_t max = (int64_t)((UINT64_C(1) << digits) - 1), min = operation->is_signed ? -max - 1 : 0;
    __int128 number = operation->number;
    if (operation->action == ACTION_INCRBY) number += before;
    else if (!operation->is_signed) number = (uint64_t)operation->number;
    bool fits = number >= min && number <= max;
    if (!fits && operation->overflow == OVERFLOW_FAIL) return false;
    if (fits) *after = (int64_t)number;
    else if (operation->overflow == OVERFLOW_SAT) *after = saturated(operation, number, min, max);
    else *after = number_of(operation, (uint64_t)number);
    return true;
}

static void change(struct call *call, const struct operation *operation, struct bitmap *bitmap) {
    int64_t after, before = get(operation, bitmap->entry);
    if (!compute(operation, before, &after)) {
        reply_null(call->reply);
        return;
    }
    bitmap_write(bitmap, operation->offset, operation->width, (uint64_t)after);
    bitmap->changes += bitmap->grown || after != before;
    reply_integer(call->reply, operation->action == ACTION_SET ? before : after);
}

/* ---- The commands ------------------------------------------------------------------------------- */

static void read_fields(struct call *call, uint64_t count) {
    struct entry *entry;
    struct operation operation;
    struct operations operations = operations_of(call);
    struct key_place place = keyspace_for(call, 1);
    if (!call_read_parts(call, &place, &entry)) return;
    reply_array(call->reply, count);
    while (operations_next(&operations, &operation))
        reply_integer(call->reply, get(&operation, entry));
}

/* A long string gets ready where it is written. Where it grows comes last and all at once: from there on
 * everybody sees it. */
static bool open_fields(struct call *call, const struct summary *summary, struct bitmap *bitmap) {
    struct operation operation;
    struct operations operations = operations_of(call);
    uint64_t first = summary->end, len = (uint64_t)bitmap->len * 8;
    if (bitmap->len <= PAGED_BYTES_MIN)
        return bitmap_open(call, bitmap, summary->first, summary->end);
    while (operations_next(&operations, &operation)) {
        if (operation.action == ACTION_GET) continue;
        bool inside = end_of(&operation) <= len;
        if (inside && !bitmap_open(call, bitmap, operation.offset, end_of(&operation)))
            return false;
        if (!inside && operation.offset < first) first = operation.offset;
    }
    return first == summary->end || bitmap_open(call, bitmap, first, summary->end);
}

static void change_fields(struct call *call, const struct summary *summary) {
    struct bitmap bitmap;
    struct operation operation;
    struct operations operations = operations_of(call);
    if (!bitmap_find(call, &bitmap) || !open_fields(call, summary, &bitmap)) return;
    reply_array(call->reply, summary->count);
    while (operations_next(&operations, &operation))
        if (operation.action != ACTION_GET) change(call, &operation, &bitmap);
        else reply_integer(call->reply, get(&operation, bitmap.entry));
    bitmap_declare(call, &bitmap);
}

static void bitfield_command(struct call *call) {
    struct summary summary;
    if (!summarize(call, &summary)) return;
    if (summary.end) change_fields(call, &summary);
    else read_fields(call, summary.count);
}

static void bitfield_ro_command(struct call *call) {
    struct summary summary;
    if (!summarize(call, &summary)) return;
    if (summary.end) call_error(call, "ERR BITFIELD_RO only supports the GET subcommand");
    else read_fields(call, summary.count);
}

void bitfield_bind(void) {
    command_bind("bitfield", bitfield_command);
    command_bind("bitfield_ro", bitfield_ro_command);
}
