/* Bits of strings: SETBIT, GETBIT, BITCOUNT, BITPOS. */
#include "cmd/bitmap.h"

#include "cmd/families.h"

bool bitmap_offset(struct call *call, uint32_t index, uint32_t width, uint64_t *offset) {
    struct bytes text = call->argv[index];
    int64_t number, unit = 1;
    if (width && text.len && text.at[0] == '#') {
        text = bytes_of(text.at + 1, text.len - 1);
        unit = width;
    }
    if (!bytes_to_int64(text, &number) || __builtin_mul_overflow(number, unit, &number) ||
        number < 0 || (uint64_t)number / 8 >= call->domain->string_bytes_max) {
        call_error(call, "ERR bit offset is not an integer or out of range");
        return false;
    }
    *offset = (uint64_t)number;
    return true;
}

/* ---- Parts -------------------------------------------------------------------------------------- */

/* The bytes that hold bits, 64 of which may lie in nine. */
static struct string_part part_around(uint64_t first, uint64_t end) {
    return (struct string_part){(uint32_t)(first / 8), (uint32_t)((end + 7) / 8 - first / 8)};
}

uint64_t bitmap_read(const struct entry *entry, uint64_t first, uint32_t width) {
    char window[9] = {0};
    uint32_t len = entry ? string_len(entry) : 0;
    struct string_part part = part_around(first, first + width);
    if (part.offset >= len) return 0;
    if (part.len > len - part.offset) part.len = len - part.offset;
    string_read(entry, part, window);
    return bits_read(window, first % 8, width);
}

/* ---- Changing ----------------------------------------------------------------------------------- */

bool bitmap_find(struct call *call, struct bitmap *bitmap) {
    struct entry *entry;
    struct key_place place = keyspace_for(call, 1);
    if (!call_find_parts(call, &place, &entry)) return false;
    uint32_t len = entry ? string_len(entry) : 0;
    *bitmap = (struct bitmap){.place = place, .entry = entry, .len = len, .created = !entry};
    return true;
}

bool bitmap_open(struct call *call, struct bitmap *bitmap, uint64_t first, uint64_t end) {
    const struct key_place *place = &bitmap->place;
    struct string_part part = part_around(first, end);
    bool grown = part.offset + part.len > bitmap->len;
    uint32_t len = grown ? part.offset + part.len : bitmap->len;
    struct entry *entry = keyspace_open_string(place->keyspace, place->db, place->hash, place->key,
                                               part, len, bitmap->entry);
    if (!entry) {
        call_error_memory(call);
        return false;
    }
    bitmap->entry = entry;
    bitmap->len = len;
    bitmap->grown |= grown;
    return true;
}

void bitmap_write(struct bitmap *bitmap, uint64_t first, uint32_t width, uint64_t value) {
    char window[9];
    struct string_part part = part_around(first, first + width);
    string_read(bitmap->entry, part, window);
    bits_write(window, first % 8, width, value);
    string_write(bitmap->entry, part.offset, bytes_of(window, part.len));
}

/* Redis says nothing of a string that only grew, because every operation overflowed; the log has to. */
void bitmap_declare(struct call *call, const struct bitmap *bitmap) {
    const struct key_place *place = &bitmap->place;
    if (!bitmap->changes && !bitmap->grown) return;
    effect_log_verbatim(call);
    if (bitmap->created) effect_notify(call, place, NOTIFY_NEW, "new");
    if (bitmap->changes) {
        effect_change(call, place, NOTIFY_STRING, "setbit");
        call->effects->dirty += bitmap->changes - 1;
    } else {
        effect_touch(call, place);
        call->effects->dirty++;
    }
}

static void setbit_command(struct call *call) {
    static const char wrong[] = "ERR bit is not an integer or out of range";
    uint64_t offset;
    int64_t bit;
    struct bitmap bitmap;
    if (!bitmap_offset(call, 2, 0, &offset) || !call_int(call, 3, wrong, &bit)) return;
    if (bit & ~INT64_C(1)) {
        call_error(call, wrong);
        return;
    }
    if (!bitmap_find(call, &bitmap) || !bitmap_open(call, &bitmap, offset, offset + 1)) return;
    uint64_t before = bitmap_read(bitmap.entry, offset, 1);
    bitmap_write(&bitmap, offset, 1, (uint64_t)bit);
    bitmap.changes = bitmap.grown || before != (uint64_t)bit;
    bitmap_declare(call, &bitmap);
    reply_integer(call->reply, (int64_t)before);
}

/* ---- Reading ------------------------------------------------------------------------------------ */

/* The string at key 1; *entry is NULL if there is none. False after the error reply. */
static bool read_parts(struct call *call, struct entry **entry) {
    struct key_place place = keyspace_for(call, 1);
    return call_read_parts(call, &place, entry);
}

static void getbit_command(struct call *call) {
    uint64_t offset;
    struct entry *entry;
    if (bitmap_offset(call, 2, 0, &offset) && read_parts(call, &entry))
        reply_integer(call->reply, (int64_t)bitmap_read(entry, offset, 1));
}

/* From one byte or bit to another, as given: both are part of it, negative ones count from the end. */
struct part {
    int64_t start, end;
    bool in_bits;
};

static bool parse_unit(struct call *call, uint32_t index, struct part *part) {
    part->in_bits = bytes_is(call->argv[index], "bit");
    if (part->in_bits || bytes_is(call->argv[index], "byte")) return true;
    call_error_syntax(call);
    return false;
}

struct bits {
    uint64_t first, end;
};

static int64_t count_from_end(int64_t index, int64_t total) {
    if (index < 0) index += total;
    return index < 0 ? 0 : index;
}

/* An end that lies before the string is its first byte or bit, not nothing. */
static struct bits bits_of(const struct entry *entry, const struct part *part) {
    int64_t unit = part->in_bits ? 1 : 8, total = (int64_t)string_len(entry) * 8 / unit;
    int64_t start = count_from_end(part->start, total), end = count_from_end(part->end, total);
    if (end >= total) end = total - 1;
    if (start > end) return (struct bits){0};
    return (struct bits){(uint64_t)(start * unit), (uint64_t)((end + 1) * unit)};
}

/* What of some bits lies together, numbered from where it begins. */
struct piece {
    const char *at; /* NULL: all of it is zero */
    uint64_t base;  /* the number of its first bit in the string */
    struct bits bits;
};

/* The next piece of what is left; false at the end. */
static bool next_piece(const struct entry *entry, struct bits *left, struct piece *piece) {
    if (left->first == left->end) return false;
    uint32_t offset = (uint32_t)(left->first / 8);
    struct bytes run = string_run(entry, offset);
    uint64_t base = (uint64_t)offset * 8, end = base + (uint64_t)run.len * 8;
    if (end > left->end) end = left->end;
    *piece = (struct piece){run.at, base, {left->first - base, end - base}};
    left->first = end;
    return true;
}

/* ---- BITCOUNT ----------------------------------------------------------------------------------- */

static bool parse_count(struct call *call, struct part *part) {
    if (call->argc == 2) return true;
    if (call->argc != 4 && call->argc != 5) {
        call_error_syntax(call);
        return false;
    }
    return call_integer(call, 2, &part->start) && call_integer(call, 3, &part->end) &&
           (call->argc == 4 || parse_unit(call, 4, part));
}

static uint64_t count(const struct entry *entry, struct bits left) {
    struct piece piece;
    uint64_t count = 0;
    while (next_piece(entry, &left, &piece))
        if (piece.at) count += bits_count(piece.at, piece.bits.first, piece.bits.end);
    return count;
}

static void bitcount_command(struct call *call) {
    struct part part = {.end = -1};
    struct entry *entry;
    if (!parse_count(call, &part) || !read_parts(call, &entry)) return;
    bool turned = part.start < 0 && part.end < 0 && part.start > part.end;
    bool empty = !entry || turned;
    reply_integer(call->reply, empty ? 0 : (int64_t)count(entry, bits_of(entry, &part)));
}

/* ---- BITPOS ------------------------------------------------------------------------------------- */

static bool parse_search(struct call *call, int64_t *bit, struct part *part) {
    uint32_t argc = call->argc;
    if (!call_integer(call, 2, bit)) return false;
    if (*bit != 0 && *bit != 1) {
        call_error(call, "ERR The bit argument must be 1 or 0.");
        return false;
    }
    if (argc > 6) {
        call_error_syntax(call);
        return false;
    }
    return (argc < 4 || call_integer(call, 3, &part->start)) &&
           (argc < 6 || parse_unit(call, 5, part)) &&
           (argc < 5 || call_integer(call, 4, &part->end));
}

static uint64_t find_in(const struct piece *piece, bool bit) {
    if (!piece->at) return bit ? piece->bits.end : piece->bits.first;
    return bits_find(piece->at, piece->bits.first, piece->bits.end, bit);
}

/* The first of them that is `bit`, or the end. */
static uint64_t find(const struct entry *entry, struct bits left, bool bit) {
    struct piece piece;
    while (next_piece(entry, &left, &piece)) {
        uint64_t found = find_in(&piece, bit);
        if (found < piece.bits.end) return piece.base + found;
    }
    return left.end;
}

/* Without an end a string goes on with zeros for ever, unless the part is empty. */
static int64_t search(const struct entry *entry, struct bits bits, bool bit, bool endless) {
    if (bits.first == bits.end) return -1;
    uint64_t found = find(entry, bits, bit);
    return found < bits.end || (endless && !bit) ? (int64_t)found : -1;
}

static void bitpos_command(struct call *call) {
    struct part part = {.end = -1};
    struct entry *entry;
    int64_t bit;
    if (!parse_search(call, &bit, &part) || !read_parts(call, &entry)) return;
    if (!entry) reply_integer(call->reply, bit ? -1 : 0);
    else reply_integer(call->reply, search(entry, bits_of(entry, &part), bit, call->argc < 5));
}

void bitmaps_bind(void) {
    command_bind("setbit", setbit_command);
    command_bind("getbit", getbit_command);
    command_bind("bitcount", bitcount_command);
    command_bind("bitpos", bitpos_command);
}
