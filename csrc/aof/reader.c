/* How a file is read.
 *
 * A batch's memory takes what is left of the one before it, then a block of the file. From there on what is whole is parsed; its
 * words point into that memory, which does not grow any more once something was found. If nothing whole was found as much
 * again is read, or what a length that was met asks for, and parsing begins anew: linear in what is read, since it doubles.
 *
 * At the outer level a file is a sequence of
 *
 *     chunk        a header and its commands, verified before it is parsed
 *     ahead        lines that say up to where nothing was written yet; nothing but a foreign command may come behind their end
 *     annotation   any other line that begins with #
 *     command      or MULTI, commands, EXEC: without a chunk around them, from Redis
 *
 * A chunk that is not whole, or what stands in the place of one and is nothing of these, was torn by a crash, or it was damaged
 * later. What was synced cannot be torn; each header says how far the file was synced before the chunk was written. So the rest of
 * the file is looked through for whole chunks, which begin at multiples of AOF_ALIGN behind one of ours, and one that vouches
 * for the place decides.
 */
#include "aof/reader.h"

#include <stdio.h>

#include "aof/header.h"
#include "base/assert.h"
#include "base/mem.h"
#include "plat/crc32c.h"
#include "plat/errors.h"

enum { BLOCK_BYTES = 128 << 10, LINE_MAX_BYTES = 1024, ARGS_MAX = 1 << 30 };

enum step {
    STEP_WHOLE,
    STEP_MORE,  /* it goes on behind what was read */
    STEP_CUT,   /* it goes on behind the end of the file */
    STEP_BAD,   /* it cannot be */
    STEP_CHUNK, /* the same of a chunk: torn or damaged */
    STEP_UNTIL,
    STEP_NO_MEMORY,
};

struct cursor {
    const char *at, *end;
    uint64_t base; /* the offset of where data begins */
    const char *data;
    uint64_t size;   /* of the file */
    size_t needs;    /* with STEP_MORE: so many bytes from `at` on, if that is known */
    const char *why; /* with STEP_BAD and STEP_CHUNK */
    uint64_t bad_offset;
};

static uint64_t offset_of(const struct cursor *cursor) {
    return cursor->base + (uint64_t)(cursor->at - cursor->data);
}

static size_t left(const struct cursor *cursor) {
    return (size_t)(cursor->end - cursor->at);
}

static enum step bad(struct cursor *cursor, const char *why) {
    cursor->why = why;
    return STEP_BAD;
}

/* ---- Memory ------------------------------------------------------------------------------------- */

static bool grow(void **at, uint32_t *capacity, size_t each) {
    uint32_t wanted = *capacity ? *capacity * 2 : 1024;
    void *larger = wanted > *capacity ? mem_realloc(NULL, *at, wanted * each) : NULL;
    if (!larger) return false;
    *at = larger;
    *capacity = wanted;
    return true;
}

static bool reserve(char **at, size_t *capacity, size_t wanted) {
    if (wanted <= *capacity) return true;
    char *larger = mem_realloc(NULL, *at, wanted);
    if (!larger) return false;
    *at = larger;
    *capacity = wanted;
    return true;
}

void aof_batch_deinit(struct aof_batch *batch) {
    mem_free(NULL, batch->data);
    mem_free(NULL, batch->args);
    mem_free(NULL, batch->commands);
    *batch = (struct aof_batch){0};
}

static bool add_argument(struct aof_batch *batch, const char *at, size_t len) {
    if (KRT_UNLIKELY(batch->arg_count == batch->arg_capacity) &&
        !grow((void **)&batch->args, &batch->arg_capacity, sizeof *batch->args))
        return false;
    batch->args[batch->arg_count++] = bytes_of(at, len);
    return true;
}

static struct aof_command *add_command(struct aof_batch *batch) {
    if (KRT_UNLIKELY(batch->count == batch->capacity) &&
        !grow((void **)&batch->commands, &batch->capacity, sizeof *batch->commands))
        return NULL;
    return &batch->commands[batch->count++];
}

/* ---- Commands ------------------------------------------------------------------------------------ */

/* A mark, digits and the end of the line. */
static enum step read_number(struct cursor *cursor, char mark, uint64_t limit, uint64_t *out) {
    const char *at = cursor->at, *end = cursor->end;
    uint64_t value = 0;
    if (at == end) return STEP_MORE;
    if (*at++ != mark) return bad(cursor, mark == '*' ? "expected a command" : "expected a word");
    const char *first = at;
    for (; at < end && (unsigned)(*at - '0') < 10; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
        if (value > limit) return bad(cursor, "a length is out of range");
    }
    if (at < end && (*at != '\r' || at == first)) return bad(cursor, "a length is no number");
    if (end - at < 2) return STEP_MORE;
    if (at[1] != '\n') return bad(cursor, "a line does not end");
    cursor->at = at + 2;
    *out = value;
    return STEP_WHOLE;
}

static enum step read_word(struct cursor *cursor, struct aof_batch *batch) {
    uint64_t len;
    enum step step = read_number(cursor, '$', UINT32_MAX, &len);
    if (KRT_UNLIKELY(step != STEP_WHOLE)) return step;
    if (KRT_UNLIKELY(left(cursor) < len + 2)) {
        cursor->needs = len + 2;
        return len + 2 > cursor->size - offset_of(cursor) ? STEP_CUT : STEP_MORE;
    }
    const char *end = cursor->at + len;
    if (KRT_UNLIKELY(end[0] != '\r' || end[1] != '\n')) return bad(cursor, "a word does not end");
    if (KRT_UNLIKELY(!add_argument(batch, cursor->at, len))) return STEP_NO_MEMORY;
    cursor->at = end + 2;
    return STEP_WHOLE;
}

/* The words of one go into the batch. */
static enum step read_command(struct cursor *cursor, struct aof_batch *batch,
                              struct aof_command *out) {
    uint64_t argc;
    *out = (struct aof_command){.offset = offset_of(cursor), .first = batch->arg_count};
    enum step step = read_number(cursor, '*', ARGS_MAX, &argc);
    if (step == STEP_WHOLE && argc == 0) return bad(cursor, "a command has no words");
    for (uint64_t i = 0; step == STEP_WHOLE && i < argc; i++) step = read_word(cursor, batch);
    out->argc = (uint32_t)argc;
    return step;
}

static enum step read_annotation(struct aof_reader *reader, struct cursor *cursor) {
    size_t len = left(cursor) < LINE_MAX_BYTES ? left(cursor) : LINE_MAX_BYTES;
    const char *end = memchr(cursor->at, '\n', len);
    if (!end && len == LINE_MAX_BYTES) return bad(cursor, "an annotation does not end");
    if (!end) return STEP_MORE;
    if (end - cursor->at > 5 && memcmp(cursor->at, "#TS:", 4) == 0) {
        int64_t seconds = 0;
        for (const char *at = cursor->at + 4; at < end && (unsigned)(*at - '0') < 10; at++)
            seconds = seconds * 10 % INT64_C(1000000000000000) + (*at - '0');
        if (seconds > reader->until) return STEP_UNTIL;
        reader->timestamp = seconds;
    }
    cursor->at = end + 1;
    return STEP_WHOLE;
}

static bool is_word(const struct aof_batch *batch, const struct aof_command *command,
                    const char *word) {
    return command->argc == 1 && bytes_is(batch->args[command->first], word);
}

/* The commands of a transaction, up to EXEC. One that is interrupted is none. */
static enum step read_transaction(struct aof_reader *reader, struct cursor *cursor,
                                  struct aof_batch *batch) {
    for (bool joined = false;;) {
        struct aof_command command, *added;
        enum step step = STEP_WHOLE;
        while (step == STEP_WHOLE && cursor->at < cursor->end && *cursor->at == '#')
            step = read_annotation(reader, cursor);
        if (step == STEP_WHOLE) step = read_command(cursor, batch, &command);
        if (step != STEP_WHOLE) return step;
        if (is_word(batch, &command, "exec")) return STEP_WHOLE;
        if (is_word(batch, &command, "multi")) continue; /* they do not nest */
        if (!(added = add_command(batch))) return STEP_NO_MEMORY;
        *added = command;
        added->joined = joined;
        joined = true;
    }
}

static enum step read_call(struct aof_reader *reader, struct cursor *cursor,
                           struct aof_batch *batch) {
    struct aof_command command, *added;
    enum step step = read_command(cursor, batch, &command);
    if (KRT_UNLIKELY(step != STEP_WHOLE)) return step;
    if (KRT_UNLIKELY(is_word(batch, &command, "multi")))
        return read_transaction(reader, cursor, batch);
    if (KRT_UNLIKELY(is_word(batch, &command, "exec"))) return STEP_WHOLE; /* of nothing */
    if (KRT_UNLIKELY(!(added = add_command(batch)))) return STEP_NO_MEMORY;
    *added = command;
    return STEP_WHOLE;
}

/* ---- The outer level ----------------------------------------------------------------------------- */

static enum step bad_chunk(struct cursor *cursor, const char *why) {
    cursor->why = why;
    return STEP_CHUNK;
}

/* Of a chunk whose checksum is right. */
static enum step read_commands(struct aof_reader *reader, struct cursor *cursor,
                               struct aof_batch *batch) {
    while (cursor->at < cursor->end) {
        enum step step =
            *cursor->at == '#' ? read_annotation(reader, cursor) : read_call(reader, cursor, batch);
        if (step == STEP_MORE || step == STEP_CUT)
            return bad(cursor, "a chunk ends inside a command");
        if (step != STEP_WHOLE) return step;
    }
    return STEP_WHOLE;
}

static bool is_at_end(const struct aof_reader *reader, const struct cursor *cursor) {
    return cursor->base + (uint64_t)(cursor->end - cursor->data) == reader->size;
}

static enum step read_chunk(struct aof_reader *reader, struct cursor *cursor,
                            struct aof_batch *batch) {
    struct aof_header header;
    uint64_t offset = offset_of(cursor);
    if (!aof_header_parse(bytes_of(cursor->at, left(cursor) < 4096 ? left(cursor) : 4096),
                          &header)) {
        cursor->needs = AOF_HEADER_MAX;
        if (left(cursor) < AOF_HEADER_MAX && !is_at_end(reader, cursor)) return STEP_MORE;
        return bad_chunk(cursor, "the header of a chunk is not whole");
    }
    if (header.len > reader->size - offset - header.header_len)
        return bad_chunk(cursor, "the file ends inside a chunk");
    if (left(cursor) - header.header_len < header.len) {
        cursor->needs = header.header_len + header.len;
        return STEP_MORE;
    }
    const char *commands = cursor->at + header.header_len;
    if (aof_header_sum(offset, header.synced, commands, header.len) != header.crc)
        return bad_chunk(cursor, "the checksum of a chunk is wrong");
    struct cursor inner = *cursor;
    inner.at = commands;
    inner.end = commands + header.len;
    enum step step = read_commands(reader, &inner, batch);
    if (step == STEP_WHOLE || step == STEP_BAD) cursor->at = inner.at;
    cursor->why = inner.why;
    reader->chunks += step == STEP_WHOLE;
    return step;
}

/* One line of what was written ahead. The first one says up to where it goes. */
static enum step read_ahead(struct aof_reader *reader, struct cursor *cursor) {
    uint64_t offset = offset_of(cursor), end;
    if (left(cursor) < AOF_ALIGN && !is_at_end(reader, cursor)) return STEP_MORE;
    if (left(cursor) < AOF_ALIGN && reader->ahead_end) { /* the block itself was cut */
        cursor->at = cursor->end;
        return STEP_WHOLE;
    }
    bool is_line =
        left(cursor) >= AOF_ALIGN && aof_ahead_parse(bytes_of(cursor->at, AOF_ALIGN), &end);
    bool goes_on = offset < reader->ahead_end;
    if (!is_line || end <= offset || (goes_on && end != reader->ahead_end))
        return bad_chunk(cursor, "what was written ahead is not whole");
    if (!reader->ahead_end) reader->ahead_start = offset;
    reader->ahead_end = end;
    cursor->at += AOF_ALIGN;
    return STEP_WHOLE;
}

/* Nothing of ours comes behind what was written ahead, and nothing at all inside of it. */
static enum step read_behind_ahead(struct aof_reader *reader, struct cursor *cursor) {
    size_t len = left(cursor);
    bool is_ahead = len >= 2 ? memcmp(cursor->at, "#-", 2) == 0 : *cursor->at == '#';
    if (offset_of(cursor) < reader->ahead_end || is_ahead) return read_ahead(reader, cursor);
    if (len < 2 && !is_at_end(reader, cursor)) return STEP_MORE;
    bool is_foreign =
        *cursor->at == '*' || (*cursor->at == '#' && len >= 2 && cursor->at[1] != 'K');
    if (!is_foreign) return bad_chunk(cursor, "a chunk is missing");
    reader->ahead_start = reader->ahead_end = 0;
    reader->after_chunk = false;
    return STEP_WHOLE;
}

static enum step read_line(struct aof_reader *reader, struct cursor *cursor,
                           struct aof_batch *batch) {
    if (left(cursor) < 2 && !is_at_end(reader, cursor)) return STEP_MORE;
    char kind = left(cursor) < 2 ? 'K' : cursor->at[1];
    if (kind == 'K') return read_chunk(reader, cursor, batch);
    if (kind == '-') return read_ahead(reader, cursor);
    return read_annotation(reader, cursor);
}

/* The next piece of the file that stands for itself. */
static enum step read_piece(struct aof_reader *reader, struct cursor *cursor,
                            struct aof_batch *batch) {
    if (reader->ahead_end) {
        enum step step = read_behind_ahead(reader, cursor);
        if (step != STEP_WHOLE || reader->ahead_end) return step;
    }
    uint64_t chunks = reader->chunks;
    char first = *cursor->at;
    enum step step =
        first == '#' ? read_line(reader, cursor, batch) : read_call(reader, cursor, batch);
    /* Where a chunk was to come, what is nothing is one that was not written. */
    bool is_nothing = first == 0 || (reader->after_chunk && first != '*' && first != '#');
    if (step == STEP_BAD && is_nothing) step = STEP_CHUNK;
    if (step == STEP_WHOLE) reader->after_chunk = reader->chunks > chunks;
    return step;
}

/* ---- Torn, or damaged ---------------------------------------------------------------------------- */

/* Reads `len` bytes, all of them. */
static enum aof_read read_all(struct aof_reader *reader, char *at, size_t len, uint64_t offset) {
    while (len > 0) {
        int64_t got = reader->disk->read(reader->disk, reader->fd, at, len, offset);
        if (got <= 0) {
            reader->number = got < 0 ? (int)got : 0;
            snprintf(reader->text, sizeof reader->text, "it cannot be read: %s",
                     got < 0 ? system_error_text((int)got) : "it has become shorter");
            return AOF_READ_FAILED;
        }
        at += got;
        len -= (size_t)got;
        offset += (uint64_t)got;
    }
    return AOF_READ_SOME;
}

/* Of a chunk whose commands begin at `at`. */
static bool sum_is_right(struct aof_reader *reader, const struct aof_header *header, uint32_t sum,
                         uint64_t at) {
    char block[4096];
    for (uint64_t rest = header->len; rest > 0;) {
        size_t len = rest < sizeof block ? (size_t)rest : sizeof block;
        if (read_all(reader, block, len, at) != AOF_READ_SOME) return false;
        sum = crc32c(sum, block, len);
        at += len;
        rest -= len;
    }
    return sum == header->crc;
}

/* Is there a whole chunk at `offset`, which `line` begins? Where does it end? */
static bool is_chunk(struct aof_reader *reader, uint64_t offset, struct bytes line,
                     struct aof_header *header, uint64_t *end) {
    if (!aof_header_parse(line, header) || header->synced > offset) return false;
    uint64_t at = offset + header->header_len;
    if (at > reader->size || header->len > reader->size - at) return false;
    *end = at + header->len;
    return sum_is_right(reader, header, aof_header_sum_numbers(offset, header->synced, header->len),
                        at);
}

/* Does a chunk behind `lost` say that the file was synced beyond it? */
static bool was_synced(struct aof_reader *reader, uint64_t lost, char *block) {
    uint64_t offset = lost - lost % AOF_ALIGN + AOF_ALIGN, end;
    struct aof_header header;
    while (offset < reader->size) {
        uint64_t room = reader->size - offset;
        size_t len = room < BLOCK_BYTES ? (size_t)room : BLOCK_BYTES, i = 0;
        if (read_all(reader, block, len, offset) != AOF_READ_SOME) return false;
        for (; i < len; i += AOF_ALIGN) {
            struct bytes line = bytes_of(block + i, len - i < 4096 ? len - i : 4096);
            if (line.len < AOF_HEADER_MAX && offset + len < reader->size) break;
            if (!is_chunk(reader, offset + i, line, &header, &end)) continue;
            if (header.synced > lost) {
                snprintf(reader->text + strlen(reader->text),
                         sizeof reader->text - strlen(reader->text),
                         "; the chunk at %llu says that it was synced",
                         (unsigned long long)(offset + i));
                return true;
            }
        }
        offset += i;
    }
    return false;
}

/* ---- The file ------------------------------------------------------------------------------------ */

static enum aof_read no_memory(struct aof_reader *reader) {
    snprintf(reader->text, sizeof reader->text, "out of memory");
    return AOF_READ_NO_MEMORY;
}

/* Are there zeros, as in a part of a file that was never written, up to its end or to a line of ours? */
static bool is_blank(struct aof_reader *reader, uint64_t offset, char *block) {
    while (offset < reader->size) {
        uint64_t room = reader->size - offset, i = 0;
        size_t len = room < BLOCK_BYTES ? (size_t)room : BLOCK_BYTES;
        if (read_all(reader, block, len, offset) != AOF_READ_SOME) return false;
        while (i < len && block[i] == 0) i++;
        if (i < len) return (offset + i) % AOF_ALIGN == 0 && block[i] == '#';
        offset += len;
    }
    return true;
}

static enum aof_read lost_chunk(struct aof_reader *reader, const struct cursor *cursor) {
    uint64_t lost = reader->ahead_end ? reader->ahead_start : offset_of(cursor);
    bool is_zero = !reader->ahead_end && *cursor->at == 0 && !reader->after_chunk;
    char *block = mem_alloc(NULL, BLOCK_BYTES);
    if (!block) return no_memory(reader);
    reader->error_offset = lost;
    snprintf(reader->text, sizeof reader->text, "%s", cursor->why);
    bool was_there = was_synced(reader, lost, block) || (is_zero && !is_blank(reader, lost, block));
    mem_free(NULL, block);
    if (reader->number) return AOF_READ_FAILED;
    return was_there ? AOF_READ_DAMAGED : AOF_READ_TORN;
}

static enum aof_read fail(struct aof_reader *reader, const struct cursor *cursor, enum step step) {
    if (step == STEP_NO_MEMORY) return no_memory(reader);
    if (step == STEP_UNTIL) return AOF_READ_UNTIL;
    if (step == STEP_CHUNK) return lost_chunk(reader, cursor);
    reader->error_offset = step == STEP_BAD ? cursor->bad_offset : offset_of(cursor);
    if (step == STEP_BAD) {
        snprintf(reader->text, sizeof reader->text, "%s", cursor->why);
        return AOF_READ_DAMAGED;
    }
    snprintf(reader->text, sizeof reader->text, "the file ends inside a command");
    return AOF_READ_TORN;
}

/* Reads more of the file behind what there is, `more` bytes if it has so many. */
static enum aof_read read_more(struct aof_reader *reader, struct aof_batch *batch, uint64_t base,
                               size_t more) {
    uint64_t room = reader->size - base - batch->len;
    if (more > room) more = (size_t)room;
    if (!reserve(&batch->data, &batch->data_capacity, batch->len + more)) return no_memory(reader);
    enum aof_read result = read_all(reader, batch->data + batch->len, more, base + batch->len);
    if (result == AOF_READ_SOME) batch->len += more;
    return result;
}

/* Parses what is whole. STEP_MORE: up to the end of what was read. */
static enum step parse(struct aof_reader *reader, struct cursor *cursor, struct aof_batch *batch) {
    while (cursor->at < cursor->end) {
        struct cursor piece = *cursor;
        uint32_t count = batch->count, args = batch->arg_count;
        enum step step = read_piece(reader, &piece, batch);
        if (KRT_UNLIKELY(step != STEP_WHOLE)) {
            batch->count = count;
            batch->arg_count = args;
            size_t needs = piece.needs;
            if (step == STEP_MORE && needs) needs += (size_t)(piece.at - cursor->at);
            cursor->bad_offset = offset_of(&piece);
            cursor->needs = needs;
            cursor->why = piece.why;
            return step;
        }
        cursor->at = piece.at;
        if (!reader->ahead_end) reader->whole = offset_of(cursor);
    }
    return STEP_MORE;
}

/* What is behind the last whole piece waits for the next batch. */
static bool keep_rest(struct aof_reader *reader, const struct cursor *cursor) {
    size_t len = left(cursor);
    if (!reserve(&reader->rest, &reader->rest_capacity, len)) return false;
    if (len) memcpy(reader->rest, cursor->at, len);
    reader->rest_len = len;
    reader->rest_offset = offset_of(cursor);
    return true;
}

static bool take_rest(struct aof_reader *reader, struct aof_batch *batch) {
    batch->len = batch->count = batch->arg_count = 0;
    if (!reserve(&batch->data, &batch->data_capacity, reader->rest_len + BLOCK_BYTES)) return false;
    if (reader->rest_len) memcpy(batch->data, reader->rest, reader->rest_len);
    batch->len = reader->rest_len;
    return true;
}

enum aof_read aof_reader_next(struct aof_reader *reader, struct aof_batch *batch) {
    uint64_t base = reader->rest_offset;
    size_t start = 0, more = BLOCK_BYTES;
    if (!take_rest(reader, batch)) return no_memory(reader);
    for (;;) {
        enum aof_read result = read_more(reader, batch, base, more);
        if (result != AOF_READ_SOME) return result;
        struct cursor cursor = {.at = batch->data + start,
                                .end = batch->data + batch->len,
                                .base = base,
                                .data = batch->data,
                                .size = reader->size};
        enum step step = parse(reader, &cursor, batch);
        if (batch->count) {
            reader->commands += batch->count;
            return keep_rest(reader, &cursor) ? AOF_READ_SOME : no_memory(reader);
        }
        bool is_over = is_at_end(reader, &cursor);
        if (step == STEP_MORE && is_over && left(&cursor) == 0) return AOF_READ_END;
        if (step != STEP_MORE || is_over) return fail(reader, &cursor, step);
        start = (size_t)(cursor.at - batch->data);
        more = batch->len > BLOCK_BYTES ? batch->len : BLOCK_BYTES;
        if (cursor.needs > left(&cursor) + more) more = cursor.needs - left(&cursor);
    }
}

int aof_reader_open(struct aof_reader *reader, const struct disk *disk, const char *path,
                    uint64_t offset) {
    *reader = (struct aof_reader){
        .disk = disk, .until = INT64_MAX, .whole = offset, .rest_offset = offset};
    reader->fd = disk->open(disk, path, DISK_READ);
    if (reader->fd < 0) return reader->fd;
    int64_t size = disk->size(disk, reader->fd);
    reader->size = size < 0 ? 0 : (uint64_t)size;
    if (size < 0) disk->close(disk, reader->fd);
    return size < 0 ? (int)size : 0;
}

void aof_reader_close(struct aof_reader *reader) {
    reader->disk->close(reader->disk, reader->fd);
    mem_free(NULL, reader->rest);
}
