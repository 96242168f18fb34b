/* Going along packed strings. Formats: Redis's listpack.md, and the heads of its ziplist.c, zipmap.c and intset.c. */
#include "rdb/packed.h"

#include "base/assert.h"

enum {
    LISTPACK_HEADER = 6,
    ZIPLIST_HEADER = 10,
    INTSET_HEADER = 8,
    MARK_END = 0xff,
    LONG_BEFORE = 254, /* four bytes of length follow */
};

static bool damage(struct packed *packed) {
    packed->damaged = true;
    packed->at = packed->end;
    return false;
}

static size_t left(const struct packed *packed) {
    return (size_t)(packed->end - packed->at);
}

static uint64_t read_little(const uint8_t *at, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = bytes; i-- > 0;) {
        value = value << 8 | at[i];
    }
    return value;
}

static int64_t read_signed(const uint8_t *at, unsigned bytes) {
    unsigned shift = 64 - 8 * bytes;
    return (int64_t)(read_little(at, bytes) << shift) >> shift;
}

static void put_integer(struct packed *packed, int64_t value, struct bytes *element) {
    char *text = packed->texts[packed->turn++ % PACKED_KEPT];
    *element = bytes_of(text, bytes_from_int64(text, value));
}

/* ---- Opening --------------------------------------------------------------------------------- */

static void open_listpack(struct packed *packed, struct bytes string) {
    const uint8_t *at = packed->begin;
    if (string.len < LISTPACK_HEADER + 1 || read_little(at, 4) != string.len ||
        at[string.len - 1] != MARK_END) {
        (void)damage(packed);
        return;
    }
    packed->claimed = (uint32_t)read_little(at + 4, 2);
    packed->at = at + LISTPACK_HEADER;
    packed->end--;
}

static void open_ziplist(struct packed *packed, struct bytes string) {
    const uint8_t *at = packed->begin;
    if (string.len < ZIPLIST_HEADER + 1 || read_little(at, 4) != string.len ||
        at[string.len - 1] != MARK_END) {
        (void)damage(packed);
        return;
    }
    packed->tail = (uint32_t)read_little(at + 4, 4);
    packed->claimed = (uint32_t)read_little(at + 8, 2);
    packed->at = at + ZIPLIST_HEADER;
    packed->end--;
    if (packed->at == packed->end && packed->tail != ZIPLIST_HEADER) {
        (void)damage(packed);
    }
}

static void open_zipmap(struct packed *packed, struct bytes string) {
    const uint8_t *at = packed->begin;
    if (string.len < 2 || at[string.len - 1] != MARK_END) {
        (void)damage(packed);
        return;
    }
    packed->claimed = at[0] < LONG_BEFORE ? 2u * at[0] : PACKED_COUNT_UNKNOWN;
    packed->at = at + 1;
    packed->end--;
}

static void open_intset(struct packed *packed, struct bytes string) {
    const uint8_t *at = packed->begin;
    if (string.len < INTSET_HEADER) {
        (void)damage(packed);
        return;
    }
    uint64_t width = read_little(at, 4), count = read_little(at + 4, 4);
    if ((width != 2 && width != 4 && width != 8) || count == 0 ||
        count * width != string.len - INTSET_HEADER) {
        (void)damage(packed);
        return;
    }
    packed->before = (uint32_t)width;
    packed->claimed = PACKED_COUNT_UNKNOWN; /* the length has said it */
    packed->at = at + INTSET_HEADER;
}

void packed_open(struct packed *packed, enum packed_form form, struct bytes string) {
    static void (*const opening[])(struct packed *, struct bytes) = {
        [PACKED_LISTPACK] = open_listpack,
        [PACKED_ZIPLIST] = open_ziplist,
        [PACKED_ZIPMAP] = open_zipmap,
        [PACKED_INTSET] = open_intset,
    };
    packed->begin = packed->at = (const uint8_t *)string.at;
    packed->end = packed->begin + string.len;
    packed->form = form;
    packed->count = packed->before = packed->turn = packed->tail = 0;
    packed->damaged = false;
    opening[form](packed, string);
}

/* ---- Listpacks ------------------------------------------------------------------------------- */

/* What follows the first byte: bytes of an integer, or of a length and then a string. */
static bool is_listpack_integer(uint8_t first, unsigned *bytes) {
    static const uint8_t sizes[] = {2, 3, 4, 8};
    if (first < 0xf1 || first > 0xf4) {
        return false;
    }
    *bytes = sizes[first - 0xf1];
    return true;
}

/* Length of an element's head, 0 if there is no such element or it is not whole; *len is what follows it. */
static uint32_t listpack_string_head(const struct packed *packed, uint32_t *len) {
    const uint8_t *at = packed->at;
    uint8_t first = at[0];
    if (first >> 6 == 2) {
        *len = first & 0x3f;
        return 1;
    }
    if (first >> 4 == 0xe && left(packed) >= 2) {
        *len = (uint32_t)(first & 0x0f) << 8 | at[1];
        return 2;
    }
    if (first == 0xf0 && left(packed) >= 5) {
        *len = (uint32_t)read_little(at + 1, 4);
        return 5;
    }
    return 0;
}

/* Behind each element stands its length, seven bits a byte, the lowest last; all bytes but the first have the high bit. */
static bool skip_back_length(struct packed *packed, uint64_t len) {
    unsigned bytes = len <= 127 ? 1 : len < 16383 ? 2 : len < 2097151 ? 3 : len < 268435455 ? 4 : 5;
    if (left(packed) < bytes) {
        return damage(packed);
    }
    for (unsigned i = 0; i < bytes; i++) {
        uint8_t seven = len >> (7 * (bytes - 1 - i)) & 0x7f;
        if (packed->at[i] != (i == 0 ? seven : seven | 0x80)) {
            return damage(packed);
        }
    }
    packed->at += bytes;
    return true;
}

static bool next_of_listpack(struct packed *packed, struct bytes *element) {
    const uint8_t *at = packed->at;
    uint32_t head, len;
    unsigned width;
    if (at[0] < 0x80) {
        put_integer(packed, at[0], element);
        packed->at++;
        return skip_back_length(packed, 1);
    }
    if (at[0] >> 5 == 6 && left(packed) >= 2) { /* 13 bits */
        int64_t value = (int64_t)(at[0] & 0x1f) << 8 | at[1];
        put_integer(packed, value >= 1 << 12 ? value - (1 << 13) : value, element);
        packed->at += 2;
        return skip_back_length(packed, 2);
    }
    if (is_listpack_integer(at[0], &width)) {
        if (left(packed) < 1 + width) {
            return damage(packed);
        }
        put_integer(packed, read_signed(at + 1, width), element);
        packed->at += 1 + width;
        return skip_back_length(packed, 1 + width);
    }
    head = listpack_string_head(packed, &len);
    if (head == 0 || left(packed) - head < len) {
        return damage(packed);
    }
    *element = bytes_of((const char *)at + head, len);
    packed->at += (size_t)head + len;
    return skip_back_length(packed, (uint64_t)head + len);
}

/* ---- Ziplists -------------------------------------------------------------------------------- */

static bool read_before(struct packed *packed) {
    uint32_t before = packed->at[0], bytes = 1;
    if (before >= LONG_BEFORE) {
        if (before > LONG_BEFORE || left(packed) < 5) {
            return damage(packed);
        }
        before = (uint32_t)read_little(packed->at + 1, 4);
        bytes = 5;
    }
    packed->at += bytes;
    return before == packed->before || damage(packed);
}

static uint32_t ziplist_string_head(const struct packed *packed, uint32_t *len) {
    const uint8_t *at = packed->at;
    switch (at[0] >> 6) {
    case 0:
        *len = at[0];
        return 1;
    case 1:
        *len = left(packed) >= 2 ? (uint32_t)(at[0] & 0x3f) << 8 | at[1] : 0;
        return left(packed) >= 2 ? 2 : 0;
    default:
        *len = left(packed) >= 5
                   ? (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 8 | at[4]
                   : 0;
        return left(packed) >= 5 ? 5 : 0;
    }
}

static bool ziplist_integer(struct packed *packed, struct bytes *element) {
    static const struct {
        uint8_t first, bytes;
    } kinds[] = {{0xc0, 2}, {0xd0, 4}, {0xe0, 8}, {0xf0, 3}, {0xfe, 1}};
    uint8_t first = packed->at[0];
    if (first >= 0xf1 && first <= 0xfd) {
        put_integer(packed, (first & 0x0f) - 1, element);
        packed->at++;
        return true;
    }
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (first == kinds[i].first && left(packed) > kinds[i].bytes) {
            put_integer(packed, read_signed(packed->at + 1, kinds[i].bytes), element);
            packed->at += 1u + kinds[i].bytes;
            return true;
        }
    }
    return damage(packed);
}

static bool ziplist_string(struct packed *packed, struct bytes *element) {
    uint32_t len, head = ziplist_string_head(packed, &len);
    if (head == 0 || left(packed) - head < len) {
        return damage(packed);
    }
    *element = bytes_of((const char *)packed->at + head, len);
    packed->at += (size_t)head + len;
    return true;
}

static bool next_of_ziplist(struct packed *packed, struct bytes *element) {
    const uint8_t *begin = packed->at;
    if (!read_before(packed)) {
        return false;
    }
    if (left(packed) == 0) {
        return damage(packed);
    }
    bool read = packed->at[0] >> 6 == 3 ? ziplist_integer(packed, element)
                                        : ziplist_string(packed, element);
    if (!read) {
        return false;
    }
    packed->before = (uint32_t)(packed->at - begin);
    bool is_last = packed->at == packed->end;
    return is_last == (packed->tail == (uint64_t)(begin - packed->begin)) || damage(packed);
}

/* ---- Zipmaps, intsets ------------------------------------------------------------------------ */

static bool zipmap_length(struct packed *packed, uint32_t *len) {
    if (left(packed) == 0) {
        return damage(packed);
    }
    *len = packed->at[0];
    if (*len < LONG_BEFORE) {
        packed->at++;
        return true;
    }
    if (*len > LONG_BEFORE || left(packed) < 5) {
        return damage(packed);
    }
    *len = (uint32_t)read_little(packed->at + 1, 4);
    packed->at += 5;
    return true;
}

/* Every other one is a value, before which stands how much room is behind it. */
static bool next_of_zipmap(struct packed *packed, struct bytes *element) {
    uint32_t len, spare = 0;
    bool is_value = packed->count % 2 == 1;
    if (!zipmap_length(packed, &len)) {
        return false;
    }
    if (is_value) {
        if (left(packed) == 0) {
            return damage(packed);
        }
        spare = *packed->at++;
    }
    if (left(packed) < (uint64_t)len + spare) {
        return damage(packed);
    }
    *element = bytes_of((const char *)packed->at, len);
    packed->at += (size_t)len + spare;
    return true;
}

static bool next_of_intset(struct packed *packed, struct bytes *element) {
    int64_t value = read_signed(packed->at, packed->before);
    if (packed->count > 0 && value <= packed->last) {
        return damage(packed);
    }
    packed->last = value;
    packed->at += packed->before;
    put_integer(packed, value, element);
    return true;
}

/* ---- Any ------------------------------------------------------------------------------------- */

static bool end(struct packed *packed) {
    if (packed->claimed != PACKED_COUNT_UNKNOWN && packed->claimed != packed->count) {
        packed->damaged = true;
    }
    return false;
}

bool packed_next(struct packed *packed, struct bytes *element) {
    static bool (*const nexts[])(struct packed *, struct bytes *) = {
        [PACKED_LISTPACK] = next_of_listpack,
        [PACKED_ZIPLIST] = next_of_ziplist,
        [PACKED_ZIPMAP] = next_of_zipmap,
        [PACKED_INTSET] = next_of_intset,
    };
    if (packed->damaged) {
        return false;
    }
    if (packed->at == packed->end) {
        return end(packed);
    }
    if (!nexts[packed->form](packed, element)) {
        return false;
    }
    packed->count++;
    return true;
}
