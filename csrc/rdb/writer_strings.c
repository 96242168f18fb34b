/* Lengths and strings.
 *
 * A compressed string begins with how long it has become. One that lies in one piece is compressed once, behind the place of
 * its beginning, and moved; a longer one is compressed twice, a piece at a time: first to know its length.
 */
#include "base/assert.h"
#include "rdb/lzf.h"
#include "rdb/writer_internal.h"
#include "store/paged.h"

enum {
    ENCODED_INT8 = 0xc0,
    ENCODED_INT16 = 0xc1,
    ENCODED_INT32 = 0xc2,
    ENCODED_LZF = 0xc3,
    INTEGER_TEXT_MAX = 11, /* -2147483648 */
    COMPRESS_BYTES_MIN = 21,
    COMPRESSED_HEAD_MAX = 1 + 2 * LENGTH_BYTES_MAX,
};

/* ---- Lengths --------------------------------------------------------------------------------- */

static uint32_t encode_big(uint8_t *to, uint8_t head, uint64_t len, uint32_t bytes) {
    to[0] = head;
    for (uint32_t i = 0; i < bytes; i++) to[1 + i] = (uint8_t)(len >> 8 * (bytes - 1 - i));
    return 1 + bytes;
}

uint32_t rdb_length_encode(uint8_t to[LENGTH_BYTES_MAX], uint64_t len) {
    if (len < 1 << 6) {
        to[0] = (uint8_t)len;
        return 1;
    }
    if (len < 1 << 14) {
        return encode_big(to, (uint8_t)(0x40 | len >> 8), len, 1);
    }
    return len <= UINT32_MAX ? encode_big(to, 0x80, len, 4) : encode_big(to, 0x81, len, 8);
}

void rdb_write_length(struct rdb_buffer *buffer, uint64_t len) {
    uint8_t at[LENGTH_BYTES_MAX];
    rdb_write(buffer, at, rdb_length_encode(at, len));
}

/* ---- Texts ----------------------------------------------------------------------------------- */

/* A string wherever it is. */
struct text {
    struct bytes bytes;
    const struct collection *paged; /* NULL: it is `bytes` */
    uint32_t len;
};

/* What lies together from the offset on, up to a piece. */
static struct bytes run_at(const struct text *text, uint32_t offset) {
    static const char zeros[PAGE_BYTES];
    struct bytes run = text->paged != NULL ? paged_run(text->paged, offset)
                                           : bytes_of(text->bytes.at + offset, text->len - offset);
    uint32_t most = LZF_PIECE_MAX;
    if (run.at == NULL) {
        run.at = zeros;
        most = PAGE_BYTES;
    }
    run.len = run.len < most ? run.len : most;
    return run;
}

static void write_plain(struct rdb_buffer *buffer, const struct text *text) {
    rdb_write_length(buffer, text->len);
    for (uint32_t at = 0; at < text->len && !buffer->failed;) {
        struct bytes run = run_at(text, at);
        rdb_write(buffer, run.at, run.len);
        at += run.len;
    }
}

/* ---- Compressed ------------------------------------------------------------------------------ */

static uint32_t encode_head(uint8_t to[COMPRESSED_HEAD_MAX], uint64_t compressed, uint64_t len) {
    to[0] = ENCODED_LZF;
    uint32_t bytes = 1 + rdb_length_encode(to + 1, compressed);
    return bytes + rdb_length_encode(to + bytes, len);
}

static bool is_worth_it(uint64_t compressed, uint64_t len) {
    uint8_t head[COMPRESSED_HEAD_MAX], plain[LENGTH_BYTES_MAX];
    return compressed + encode_head(head, compressed, len) < len + rdb_length_encode(plain, len);
}

size_t rdb_string_bound(size_t len) {
    return COMPRESSED_HEAD_MAX + lzf_bound(len);
}

/* Of one piece. False: it does not become shorter, and nothing is written. */
static bool compress_piece(struct rdb_buffer *buffer, struct bytes piece) {
    char *to = rdb_reserve(buffer, rdb_string_bound(piece.len));
    if (to == NULL) {
        return false;
    }
    char *body = to + COMPRESSED_HEAD_MAX;
    size_t compressed = lzf_compress(piece.at, piece.len, body);
    if (!is_worth_it(compressed, piece.len)) {
        return false;
    }
    uint32_t head = encode_head((uint8_t *)to, compressed, piece.len);
    memmove(to + head, body, compressed);
    buffer->len += head + compressed;
    return true;
}

/* Compresses a run behind what is written, and leaves it at that. 0: failed. */
static size_t compress_run(struct rdb_buffer *buffer, const struct text *text, uint32_t *offset) {
    struct bytes run = run_at(text, *offset);
    char *to = rdb_reserve(buffer, lzf_bound(run.len));
    *offset += run.len;
    return to != NULL ? lzf_compress(run.at, run.len, to) : 0;
}

static bool compress_pieces(struct rdb_buffer *buffer, const struct text *text) {
    uint64_t compressed = 0;
    for (uint32_t at = 0; at < text->len && !buffer->failed;) {
        compressed += compress_run(buffer, text, &at);
    }
    if (buffer->failed || !is_worth_it(compressed, text->len)) {
        return false;
    }
    uint8_t head[COMPRESSED_HEAD_MAX];
    rdb_write(buffer, head, encode_head(head, compressed, text->len));
    for (uint32_t at = 0; at < text->len && !buffer->failed;) {
        size_t len = compress_run(buffer, text, &at);
        buffer->len += len;
        compressed -= len;
    }
    KRT_ASSERT(compressed == 0 || buffer->failed);
    return true;
}

static void write_text(struct rdb_buffer *buffer, const struct text *text) {
    bool done = false;
    if (buffer->compress && text->len >= COMPRESS_BYTES_MIN) {
        bool in_one = text->paged == NULL && text->len <= LZF_PIECE_MAX;
        done = in_one ? compress_piece(buffer, text->bytes) : compress_pieces(buffer, text);
    }
    if (!done) {
        write_plain(buffer, text);
    }
}

/* ---- In place -------------------------------------------------------------------------------- */

/* There is room: neither of the two moves the buffer. */
void rdb_write_moved(struct rdb_buffer *buffer, struct bytes piece) {
    if (!compress_piece(buffer, piece)) {
        rdb_write_length(buffer, piece.len);
        memmove(buffer->at + buffer->len, piece.at, piece.len);
        buffer->len += piece.len;
    }
}

/* ---- Strings --------------------------------------------------------------------------------- */

static bool write_as_integer(struct rdb_buffer *buffer, struct bytes text) {
    int64_t value;
    if (text.len > INTEGER_TEXT_MAX || !bytes_to_int64(text, &value) || value != (int32_t)value) {
        return false;
    }
    uint32_t bytes = value == (int8_t)value ? 1 : value == (int16_t)value ? 2 : 4;
    uint64_t head = bytes == 1 ? ENCODED_INT8 : bytes == 2 ? ENCODED_INT16 : ENCODED_INT32;
    rdb_write_little(buffer, head | (uint64_t)value << 8, 1 + bytes);
    return true;
}

/* Most strings are short: their length and they in one step. */
static void write_short(struct rdb_buffer *buffer, struct bytes text) {
    char *to = rdb_reserve(buffer, LENGTH_BYTES_MAX + text.len);
    if (to != NULL) {
        uint32_t head = rdb_length_encode((uint8_t *)to, text.len);
        bytes_copy(to + head, text.at, text.len);
        buffer->len += head + text.len;
    }
}

void rdb_write_string(struct rdb_buffer *buffer, struct bytes text) {
    if (text.len < COMPRESS_BYTES_MIN) {
        if (!write_as_integer(buffer, text)) write_short(buffer, text);
    } else {
        write_text(buffer, &(struct text){.bytes = text, .len = text.len});
    }
}

void rdb_write_paged(struct rdb_buffer *buffer, const struct collection *paged) {
    write_text(buffer, &(struct text){.paged = paged, .len = paged_len(paged)});
}
