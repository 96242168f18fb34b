/* Reading with bounds. */
#include "rdb/source.h"

#include <stdio.h>

#include "base/assert.h"
#include "rdb/writer.h"

enum { FIRST_ROOM = 1 << 16 };

void source_init(struct source *source, struct rdb_input *input) {
    *source = (struct source){.input = input, .mark = input->at, .sums = !input->skip_checksum};
}

void source_deinit(struct source *source) {
    source_settle(source);
    for (uint32_t i = 0; i < SOURCE_SLOTS; i++) {
        mem_free(NULL, source->slots[i].at);
    }
}

void source_settle(struct source *source) {
    struct rdb_input *input = source->input;
    size_t len = (size_t)(input->at - source->mark);
    if (source->sums && len > 0) {
        source->checksum = rdb_crc64(source->checksum, source->mark, len);
    }
    input->offset += len;
    source->mark = input->at;
}

bool source_fail(struct source *source, enum rdb_status status, const char *text) {
    if (source->status == RDB_OK) {
        source->status = status;
        snprintf(source->input->text, sizeof source->input->text, "%s", text);
    }
    return false;
}

bool source_damaged(struct source *source, const char *text) {
    return source_fail(source, RDB_DAMAGED, text);
}

static bool no_memory(struct source *source) {
    return source_fail(source, RDB_NO_MEMORY, "out of memory");
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static size_t available(const struct source *source) {
    return (size_t)(source->input->end - source->input->at);
}

static bool refill(struct source *source) {
    struct rdb_input *input = source->input;
    if (source->status != RDB_OK) {
        return false;
    }
    source_settle(source);
    int got = input->refill != NULL ? input->refill(input) : 0;
    source->mark = input->at;
    if (got > 0) {
        return true;
    }
    return got == 0 ? source_fail(source, RDB_TRUNCATED, "it ends too soon")
                    : source_fail(source, RDB_STOPPED, "it cannot be read");
}

bool source_bytes(struct source *source, void *to, size_t len) {
    char *at = to;
    while (KRT_UNLIKELY(available(source) < len)) {
        size_t part = available(source);
        if (part > 0) {
            memcpy(at, source->input->at, part);
            source->input->at += part;
        }
        at += part;
        len -= part;
        if (!refill(source)) {
            return false;
        }
    }
    if (len > 0) {
        memcpy(at, source->input->at, len);
        source->input->at += len;
    }
    return true;
}

bool source_u8(struct source *source, uint8_t *value) {
    if (KRT_UNLIKELY(available(source) == 0) && !refill(source)) {
        return false;
    }
    *value = (uint8_t)*source->input->at++;
    return true;
}

bool source_u64(struct source *source, uint64_t *value) {
    return source_bytes(source, value, sizeof *value);
}

/* ---- Lengths --------------------------------------------------------------------------------- */

enum string_form { FORM_BYTES, FORM_INT8, FORM_INT16, FORM_INT32, FORM_COMPRESSED };

static bool read_big_endian(struct source *source, unsigned bytes, uint64_t *value) {
    uint8_t at[8];
    if (!source_bytes(source, at, bytes)) {
        return false;
    }
    *value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        *value = *value << 8 | at[i];
    }
    return true;
}

/* A length, or that something else than a length follows. */
static bool read_length(struct source *source, uint64_t *value, enum string_form *form) {
    uint8_t first, second;
    if (!source_u8(source, &first)) {
        return false;
    }
    *form = FORM_BYTES;
    switch (first >> 6) {
    case 0:
        *value = first;
        return true;
    case 1:
        if (!source_u8(source, &second)) {
            return false;
        }
        *value = (uint64_t)(first & 0x3f) << 8 | second;
        return true;
    case 2:
        if (first <= 0x81) {
            return read_big_endian(source, first == 0x80 ? 4 : 8, value);
        }
        return source_damaged(source, "a length of an unknown form");
    default:
        *value = first & 0x3f;
        if (*value > 3) {
            return source_damaged(source, "a string of an unknown form");
        }
        *form = FORM_INT8 + (enum string_form) * value;
        return true;
    }
}

bool source_length(struct source *source, uint64_t *value) {
    enum string_form form;
    if (!read_length(source, value, &form)) {
        return false;
    }
    return form == FORM_BYTES || source_damaged(source, "a length of an unknown form");
}

/* ---- Strings --------------------------------------------------------------------------------- */

static bool reserve(struct source *source, enum source_slot slot, size_t len) {
    char *at = source->slots[slot].at;
    if (KRT_LIKELY(len <= source->slots[slot].capacity)) {
        return true;
    }
    size_t room = len < 256 ? 256 : len;
    at = at == NULL ? mem_alloc(NULL, room) : mem_realloc(NULL, at, room);
    if (at == NULL) {
        return no_memory(source);
    }
    source->slots[slot].at = at;
    source->slots[slot].capacity = room;
    return true;
}

/* So much of what is left is asked for at once: what is there, or as much again as came already. */
static size_t next_part(const struct source *source, size_t got, size_t len) {
    size_t part = available(source) > got ? available(source) : got;
    part = part > FIRST_ROOM ? part : FIRST_ROOM;
    return part < len - got ? part : len - got;
}

static bool is_there(struct source *source, size_t len) {
    if (source->input->refill == NULL && available(source) < len) {
        source->input->at = source->input->end;
        return refill(source);
    }
    return true;
}

static bool read_slot(struct source *source, enum source_slot slot, size_t len) {
    if (!is_there(source, len)) {
        return false;
    }
    for (size_t got = 0; got < len;) {
        size_t part = next_part(source, got, len);
        if (!reserve(source, slot, got + part) ||
            !source_bytes(source, source->slots[slot].at + got, part)) {
            return false;
        }
        got += part;
    }
    return reserve(source, slot, 1); /* an empty one is somewhere, too */
}

static bool read_integer(struct source *source, enum string_form form, enum source_slot slot,
                         struct bytes *string) {
    int64_t value;
    int8_t narrow;
    int16_t middle;
    int32_t wide;
    bool read = form == FORM_INT8    ? source_bytes(source, &narrow, 1)
                : form == FORM_INT16 ? source_bytes(source, &middle, 2)
                                     : source_bytes(source, &wide, 4);
    if (!read || !reserve(source, slot, 24)) {
        return false;
    }
    value = form == FORM_INT8 ? narrow : form == FORM_INT16 ? middle : wide;
    char *at = source->slots[slot].at;
    *string = bytes_of(at, bytes_from_int64(at, value));
    return true;
}

/* Three bytes stand for 264 at most: what would be longer than they allow is refused before there is memory for it. */
static bool read_compressed(struct source *source, uint64_t *len, uint64_t *packed_len) {
    enum { EXPANSION_MAX = 264 / 3 };
    if (!source_length(source, packed_len) || !source_length(source, len)) {
        return false;
    }
    if (*len > SOURCE_STRING_MAX || *packed_len > SOURCE_STRING_MAX ||
        *len / EXPANSION_MAX > *packed_len) {
        return source_damaged(source, "a compressed string of an impossible length");
    }
    return read_slot(source, SOURCE_PACKED, *packed_len);
}

static bool expand(struct source *source, uint64_t packed_len, char *to, uint64_t len) {
    return source_expand(source->slots[SOURCE_PACKED].at, packed_len, to, len) ||
           source_damaged(source, "a compressed string that says something else");
}

static bool expand_to_slot(struct source *source, enum source_slot slot, struct bytes *string) {
    uint64_t len, packed_len;
    if (!read_compressed(source, &len, &packed_len) || !reserve(source, slot, len + 1) ||
        !expand(source, packed_len, source->slots[slot].at, len)) {
        return false;
    }
    *string = bytes_of(source->slots[slot].at, len);
    return true;
}

static bool check_length(struct source *source, uint64_t len) {
    return len <= SOURCE_STRING_MAX || source_damaged(source, "a string of an impossible length");
}

static bool read_plain(struct source *source, enum source_slot slot, uint64_t len,
                       struct bytes *string) {
    if (KRT_UNLIKELY(!read_slot(source, slot, len))) {
        return false;
    }
    *string = bytes_of(source->slots[slot].at, len);
    return true;
}

bool source_string(struct source *source, enum source_slot slot, struct bytes *string) {
    uint64_t len;
    enum string_form form;
    if (!read_length(source, &len, &form)) {
        return false;
    }
    if (KRT_LIKELY(form == FORM_BYTES)) {
        return check_length(source, len) && read_plain(source, slot, len, string);
    }
    return form == FORM_COMPRESSED ? expand_to_slot(source, slot, string)
                                   : read_integer(source, form, slot, string);
}

/* ---- Long strings ---------------------------------------------------------------------------- */

static bool grow_blob(struct source *source, struct mem_account *account, struct blob **blob,
                      size_t len) {
    struct blob *grown =
        *blob == NULL ? blob_new(account, (uint32_t)len) : blob_resize(*blob, (uint32_t)len);
    if (grown == NULL) {
        return no_memory(source);
    }
    *blob = grown;
    return true;
}

static bool fill_blob(struct source *source, struct mem_account *account, uint64_t len,
                      struct blob **blob) {
    if (!is_there(source, len)) {
        return false;
    }
    for (size_t got = 0; got < len;) {
        size_t part = next_part(source, got, len);
        if (!grow_blob(source, account, blob, got + part) ||
            !source_bytes(source, (*blob)->data + got, part)) {
            return false;
        }
        got += part;
    }
    return true;
}

static bool expand_to_blob(struct source *source, struct mem_account *account, uint32_t limit,
                           enum source_slot slot, struct bytes *string, struct blob **blob) {
    uint64_t len, packed_len;
    if (!read_compressed(source, &len, &packed_len)) {
        return false;
    }
    char *to;
    if (len <= limit) {
        if (!reserve(source, slot, len + 1)) {
            return false;
        }
        to = source->slots[slot].at;
        *string = bytes_of(to, len);
    } else {
        if (!grow_blob(source, account, blob, len)) {
            return false;
        }
        to = (*blob)->data;
    }
    return expand(source, packed_len, to, len);
}

static bool read_blob(struct source *source, struct mem_account *account, uint32_t limit,
                      enum source_slot slot, struct bytes *string, struct blob **blob) {
    uint64_t len;
    enum string_form form;
    if (!read_length(source, &len, &form)) {
        return false;
    }
    if (form == FORM_COMPRESSED) {
        return expand_to_blob(source, account, limit, slot, string, blob);
    }
    if (form != FORM_BYTES) {
        return read_integer(source, form, slot, string);
    }
    if (!check_length(source, len)) {
        return false;
    }
    return len <= limit ? read_plain(source, slot, len, string)
                        : fill_blob(source, account, len, blob);
}

bool source_blob(struct source *source, struct mem_account *account, uint32_t limit,
                 enum source_slot slot, struct bytes *string, struct blob **blob) {
    *blob = NULL;
    bool read = read_blob(source, account, limit, slot, string, blob);
    if (*blob != NULL) {
        *string = blob_bytes(*blob);
        if (!read) {
            blob_put(*blob);
            *blob = NULL;
        }
    }
    return read;
}
