#include "server/persistence/restoring/dump_source.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "plat/errors.h"
#include "server/persistence/saving/memory.h"
#include "server/server.h"

enum { PIECE_BYTES = 256 << 10 };

/* ---- Pieces ---------------------------------------------------------------------------------- */

/* How many bytes were put there: 0 at the end, or a negative errno value. */
static int64_t read_piece(struct dump_source *source, char *at, size_t len) {
    const char *from;
    if (source->path) return source->disk->read(source->disk, source->fd, at, len, source->offset);
    size_t got = memory_snapshot_read(source->snapshot, source->offset, &from, len);
    if (got) memcpy(at, from, got);
    return (int64_t)got;
}

/* Room behind the `kept` bytes, which go to the front. False: no memory. */
static bool make_room(struct dump_source *source, size_t kept) {
    size_t capacity = source->capacity;
    char *buffer = source->buffer;
    if (kept + PIECE_BYTES > capacity) {
        capacity = 2 * kept + PIECE_BYTES;
        buffer = mem_alloc(NULL, capacity);
        if (!buffer) return false;
    }
    if (kept) memmove(buffer, source->input.at, kept);
    if (buffer != source->buffer) mem_free(NULL, source->buffer);
    source->buffer = buffer;
    source->capacity = capacity;
    return true;
}

static int copy_piece(struct dump_source *source, const void *at, size_t len) {
    if (!source->copy) return 0;
    source->error = source->copy(source->copy_context, at, len);
    source->copy_failed = source->error < 0;
    return source->error;
}

static int refill(struct rdb_input *input) {
    struct dump_source *source = (struct dump_source *)input;
    size_t kept = (size_t)(input->end - input->at);
    if (atomic_load_relaxed(source->cancelled)) return source->error = -ECANCELED;
    if (!make_room(source, kept)) return source->error = -ENOMEM;
    input->at = source->buffer;
    input->end = source->buffer + kept;
    int64_t got = read_piece(source, source->buffer + kept, source->capacity - kept);
    if (got < 0) return source->error = (int)got;
    input->end += got;
    source->offset += (uint64_t)got;
    if (got > 0 && copy_piece(source, source->buffer + kept, (size_t)got) < 0) return source->error;
    if (source->progress) atomic_store_relaxed(source->progress, source->offset);
    return got > 0;
}

/* ---- Open and closed --------------------------------------------------------------------------- */

static int open_file(struct dump_source *source) {
    source->fd = source->disk->open(source->disk, source->path, DISK_READ);
    if (source->fd < 0) return source->fd;
    int64_t size = source->disk->size(source->disk, source->fd);
    if (size >= 0) source->total = (uint64_t)size;
    else dump_source_close(source);
    return size < 0 ? (int)size : 0;
}

int dump_source_open(struct dump_source *source, const struct disk *disk,
                     const struct kevyrt_source *from, const atomic_u32 *cancelled) {
    *source = (struct dump_source){.disk = disk,
                                   .path = from->path,
                                   .snapshot = from->snapshot,
                                   .fd = -1,
                                   .cancelled = cancelled,
                                   .total = from->len};
    source->input.refill = refill;
    if (from->path) return open_file(source);
    if (from->snapshot) source->total = kevyrt_snapshot_len(from->snapshot);
    if (from->snapshot) return 0;
    source->input.refill = NULL;
    source->input.at = from->at;
    source->input.end = source->input.at + from->len;
    return 0;
}

int dump_source_begin(struct dump_source *source) {
    const struct rdb_input *input = &source->input;
    if (input->refill) return 0;
    return copy_piece(source, input->at, (size_t)(input->end - input->at));
}

void dump_source_close(struct dump_source *source) {
    if (source->fd >= 0) source->disk->close(source->disk, source->fd);
    mem_free(NULL, source->buffer);
    source->fd = -1;
    source->buffer = NULL;
}

bool dump_source_is_at_end(struct dump_source *source) {
    struct rdb_input *input = &source->input;
    return input->at == input->end && (!input->refill || refill(input) == 0);
}

/* ---- Errors ------------------------------------------------------------------------------------ */

static enum kevyrt_status fail_reading(const struct dump_source *source,
                                       struct kevyrt_error *error) {
    if (source->error == -ENOMEM)
        return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
    if (source->copy_failed)
        return server_fail(error, KEVYRT_SYSTEM, source->error,
                           "cannot write the append-only log: %s",
                           system_error_text(source->error));
    if (source->path) return server_fail_file(error, source->error, source->path);
    return server_fail(error, KEVYRT_SYSTEM, source->error, "%s", system_error_text(source->error));
}

static enum kevyrt_status fail_damaged(const struct dump_source *source,
                                       struct kevyrt_error *error) {
    unsigned long long offset = source->input.offset;
    if (source->path)
        server_fail(error, KEVYRT_DAMAGED, 0, "%s is damaged at offset %llu: %s", source->path,
                    offset, source->input.text);
    else
        server_fail(error, KEVYRT_DAMAGED, 0, "the bytes are damaged at offset %llu: %s", offset,
                    source->input.text);
    if (error) error->offset = offset;
    if (error && source->path) snprintf(error->file, sizeof error->file, "%s", source->path);
    return KEVYRT_DAMAGED;
}

enum kevyrt_status dump_source_fail(const struct dump_source *source, enum rdb_status status,
                                    struct kevyrt_error *error) {
    if (status == RDB_NO_MEMORY)
        return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
    if (status != RDB_STOPPED) return fail_damaged(source, error);
    if (source->error && source->error != -ECANCELED) return fail_reading(source, error);
    return atomic_load_relaxed(source->cancelled) ? KEVYRT_CANCELLED : KEVYRT_STOPPED;
}
