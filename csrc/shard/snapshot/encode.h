/* The bytes of a snapshot: what the cut kept, as a dump or as a log of commands, to a sink.
 *
 * Threads: the snapshots' thread; no baton. Frozen values may be read until the thaw.
 * Errors: false for refused memory or a sink that gives up; then nothing more is to be written.
 */
#pragma once

#include "rdb/writer.h"
#include "shard/snapshot/snapshot.h"
#include "store/snapshot.h"

struct encoder {
    struct rdb_buffer buffer;
    struct snapshot_sink *sink;
    const struct snapshot_options *options;
    uint32_t db; /* of the last item; KEPT_NO_DB: there was none */
    uint64_t crc, written;
    bool tell;                   /* the sink is still to be told of the end */
    void (*rest)(void *context); /* between two pieces */
    void *rest_context;
    const atomic_u32 *over; /* nobody needs the rest; any thread sets, relaxed */
};

void encoder_init(struct encoder *encoder, struct snapshot_sink *sink,
                  const struct snapshot_options *options, const atomic_u32 *over);
void encoder_deinit(struct encoder *encoder);
bool encoder_begin(struct encoder *encoder, uint32_t version, int64_t now_s, uint64_t used_bytes);
bool encoder_item(struct encoder *encoder, const struct kept_item *item);
bool encoder_end(struct encoder *encoder);

/* ---- commands.c ---------------------------------------------------------------------------------- */
void encode_select(struct rdb_buffer *buffer, uint32_t db);
/* The commands that make the key anew where it is not there. */
void encode_commands(struct rdb_buffer *buffer, const struct rdb_value *value);
