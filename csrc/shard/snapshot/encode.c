#include "shard/snapshot/encode.h"

enum { PIECE_BYTES = 64 << 10 }; /* some 100 µs of work */

static bool spill(struct rdb_buffer *buffer) {
    struct encoder *encoder = buffer->context;
    if (atomic_load_relaxed(encoder->over)) return false;
    if (encoder->options->checksum && !encoder->options->as_commands)
        encoder->crc = rdb_crc64(encoder->crc, buffer->at, buffer->len);
    encoder->written += buffer->len;
    bool taken = encoder->sink->write(encoder->sink, buffer->at, buffer->len);
    buffer->len = 0;
    encoder->rest(encoder->rest_context);
    return taken;
}

void encoder_init(struct encoder *encoder, struct snapshot_sink *sink,
                  const struct snapshot_options *options, const atomic_u32 *over) {
    *encoder = (struct encoder){.sink = sink, .options = options, .db = KEPT_NO_DB, .over = over};
    encoder->buffer = (struct rdb_buffer){
        .limit = PIECE_BYTES, .spill = spill, .context = encoder, .compress = options->compress};
}

void encoder_deinit(struct encoder *encoder) {
    rdb_buffer_deinit(&encoder->buffer);
}

bool encoder_begin(struct encoder *encoder, uint32_t version, int64_t now_s, uint64_t used_bytes) {
    if (!encoder->options->as_commands)
        rdb_write_header(&encoder->buffer, version, now_s, used_bytes, encoder->options->is_base);
    return !encoder->buffer.failed;
}

static void select_db(struct encoder *encoder, uint32_t db) {
    if (encoder->options->as_commands) encode_select(&encoder->buffer, db);
    else rdb_write_select(&encoder->buffer, db);
    encoder->db = db;
}

bool encoder_item(struct encoder *encoder, const struct kept_item *item) {
    bool frozen = item->where == KEPT_FROZEN;
    struct rdb_value value = {.key = kept_key(item),
                              .deadline_ms = item->deadline_ms,
                              .type = item->type,
                              .collection = frozen ? item->collection : NULL};
    if (!frozen) value.bytes = kept_value(item);
    if (item->db != encoder->db) select_db(encoder, item->db);
    if (encoder->options->as_commands) encode_commands(&encoder->buffer, &value);
    else rdb_write_item(&encoder->buffer, &value);
    return !encoder->buffer.failed;
}

static bool flush(struct encoder *encoder) {
    struct rdb_buffer *buffer = &encoder->buffer;
    return !buffer->failed && (buffer->len == 0 || spill(buffer));
}

/* The checksum is of all that is in front of it. */
bool encoder_end(struct encoder *encoder) {
    struct rdb_buffer *buffer = &encoder->buffer;
    if (encoder->options->as_commands) return flush(encoder);
    rdb_write_end(buffer);
    if (!flush(encoder)) return false;
    char sum[8];
    for (int i = 0; i < 8; i++) sum[i] = (char)(encoder->crc >> 8 * i);
    rdb_write(buffer, sum, sizeof sum);
    return flush(encoder);
}
