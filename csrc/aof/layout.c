/* Chunks as they come to stand in the file: header, time, SELECT, commands; gathered in segments, which are what is written, and kept
 * until they are safe.
 *
 * A chunk has room in front of its commands, so that it is laid out in its own memory; then it is copied behind the others into a
 * segment, and goes home. If it is long, or there is no memory for a segment, it is a segment itself.
 */
#include <stdio.h>
#include <string.h>

#include "aof/header.h"
#include "aof/internal.h"
#include "base/assert.h"
#include "base/mem.h"
#include "plat/clock.h"

enum { COPIED_MAX = AOF_SEGMENT_BYTES / 4, STAMP_MAX = 27 };
_Static_assert(AOF_HEADER_MAX + STAMP_MAX + AOF_SELECT_MAX <= AOF_CHUNK_ROOM, "it has room");
_Static_assert(AOF_HEADER_MAX + AOF_SELECT_MAX <= AOF_SELECT_CHUNK_MAX, "it has room");

/* ---- Segments ----------------------------------------------------------------------------------- */

static struct aof_chunk *segment_new(struct aof_log *log) {
    struct aof_chunk *segment = log->free;
    if (segment) {
        log->free = segment->next;
        log->free_count--;
    } else if (!(segment = aof_chunk_new(AOF_SEGMENT_BYTES))) {
        return NULL;
    }
    segment->next = NULL;
    segment->start = segment->len = 0;
    return segment;
}

static bool is_segment(const struct aof_chunk *chunk) {
    return chunk->home == NULL;
}

static void segment_put(struct aof_log *log, struct aof_chunk *segment) {
    if (!is_segment(segment) || log->free_count >= AOF_SEGMENT_POOL) {
        aof_chunk_put(segment);
        return;
    }
    segment->next = log->free;
    log->free = segment;
    log->free_count++;
}

static void link_last(struct aof_log *log, struct aof_chunk *segment) {
    segment->next = NULL;
    if (log->last) log->last->next = segment;
    else log->kept = segment;
    log->last = segment;
    if (!log->writing) {
        log->writing = segment;
        log->writing_at = segment->start;
    }
}

/* Where so many bytes may be copied to, or NULL. */
static struct aof_chunk *segment_for(struct aof_log *log, size_t len) {
    struct aof_chunk *last = log->last;
    if (last && last != log->sealed && is_segment(last) && last->capacity - last->len >= len)
        return last;
    if ((last = segment_new(log))) link_last(log, last);
    return last;
}

/* ---- A chunk ------------------------------------------------------------------------------------ */

static void put_before(struct aof_chunk *chunk, const char *text, size_t len) {
    chunk->start -= len;
    memcpy(chunk->at + chunk->start, text, len);
}

static void put_stamp(struct aof_log *log, struct aof_chunk *chunk) {
    char text[STAMP_MAX + 1];
    uint32_t now = clock_wall_seconds();
    if (now == log->stamp) return;
    log->stamp = now;
    put_before(chunk, text, (size_t)snprintf(text, sizeof text, "#TS:%u\r\n", now));
}

static void put_header(struct aof_log *log, struct aof_chunk *chunk) {
    const char *commands = chunk->at + chunk->start;
    struct aof_header header = {.len = chunk->len - chunk->start, .synced = log->synced};
    header.header_len = aof_header_len(log->end, header.len);
    header.crc = aof_header_sum(log->end, header.synced, commands, header.len);
    chunk->start -= header.header_len;
    aof_header_format(chunk->at + chunk->start, &header);
}

static void lay_out(struct aof_log *log, struct aof_chunk *chunk) {
    char select[AOF_SELECT_MAX];
    if (chunk->first_db != log->db)
        put_before(chunk, select, aof_select_encode(select, chunk->first_db));
    log->db = chunk->last_db;
    if (log->settings.timestamps) put_stamp(log, chunk);
    put_header(log, chunk);
}

void aof_layout_add(struct aof_log *log, struct aof_chunk *chunk) {
    KRT_ASSERT(chunk->start == AOF_CHUNK_ROOM && chunk->len > chunk->start);
    log->unwritten += chunk->len - chunk->start;
    lay_out(log, chunk);
    size_t len = chunk->len - chunk->start;
    log->end += len;
    struct aof_chunk *segment = len <= COPIED_MAX ? segment_for(log, len) : NULL;
    if (!segment) {
        link_last(log, chunk);
        return;
    }
    memcpy(segment->at + segment->len, chunk->at + chunk->start, len);
    segment->len += len;
    aof_chunk_put(chunk);
}

/* ---- What is kept ------------------------------------------------------------------------------- */

static void drop_kept(struct aof_log *log) {
    while (log->kept) {
        struct aof_chunk *segment = log->kept;
        log->kept = segment->next;
        segment_put(log, segment);
    }
    log->last = log->writing = log->sealed = NULL;
}

void aof_layout_release(struct aof_log *log) {
    KRT_DCHECK(log->written == log->end);
    drop_kept(log);
    log->cut = log->end;
    log->cut_db = log->db;
}

void aof_layout_release_sealed(struct aof_log *log, uint64_t offset, uint32_t db) {
    struct aof_chunk *sealed = log->sealed;
    if (!sealed) return;
    for (bool more = true; more;) {
        struct aof_chunk *segment = log->kept;
        more = segment != sealed;
        log->kept = segment->next;
        if (log->writing == segment) {
            log->writing = segment->next;
            if (segment->next) log->writing_at = segment->next->start;
        }
        if (log->last == segment) log->last = NULL;
        segment_put(log, segment);
    }
    log->sealed = NULL;
    log->cut = offset;
    log->cut_db = db;
}

void aof_layout_begin(struct aof_log *log, uint64_t end) {
    drop_kept(log);
    log->cut = log->written = log->end = log->ahead = end;
    log->synced = log->unwritten = 0;
    log->clean = end;
    log->db = log->cut_db = AOF_DB_NONE;
    log->stamp = 0;
    log->unsafe_cut = log->never_ahead = false;
}

/* A chunk that does nothing but SELECT. */
static size_t put_select(const struct aof_log *log, char *out) {
    char text[AOF_SELECT_MAX];
    struct aof_header header = {0};
    if (log->cut_db == AOF_DB_NONE) return 0;
    header.len = aof_select_encode(text, log->cut_db);
    header.header_len = aof_header_len(AOF_BEGINNING, header.len);
    header.crc = aof_header_sum(AOF_BEGINNING, 0, text, header.len);
    aof_header_format(out, &header);
    memcpy(out + header.header_len, text, header.len);
    return header.header_len + header.len;
}

/* Headers are as long as they were, since all chunks begin at multiples of AOF_ALIGN in both files. */
static uint64_t move_segment(struct aof_chunk *segment, uint64_t offset) {
    for (size_t at = segment->start; at < segment->len;) {
        struct aof_header header;
        size_t len = segment->len - at < AOF_HEADER_MAX ? segment->len - at : AOF_HEADER_MAX;
        bool found = aof_header_parse(bytes_of(segment->at + at, len), &header);
        KRT_ASSERT(found && header.header_len == aof_header_len(offset, header.len));
        header.synced = 0;
        header.crc = aof_header_sum(offset, 0, segment->at + at + header.header_len, header.len);
        aof_header_format(segment->at + at, &header);
        at += header.header_len + header.len;
        offset += header.header_len + header.len;
    }
    return offset;
}

size_t aof_layout_move(struct aof_log *log, char select[AOF_SELECT_CHUNK_MAX], uint64_t *end) {
    size_t len = put_select(log, select);
    *end = AOF_BEGINNING + len;
    for (struct aof_chunk *segment = log->kept; segment; segment = segment->next)
        *end = move_segment(segment, *end);
    return len;
}

#if KRT_DEBUG
void aof_layout_check(const struct aof_log *log) {
    uint64_t bytes = 0;
    for (const struct aof_chunk *segment = log->kept; segment; segment = segment->next) {
        bytes += segment->len - segment->start;
        KRT_ASSERT(segment->next || segment == log->last);
    }
    KRT_ASSERT(bytes == log->end - log->cut && log->cut <= log->written &&
               log->written <= log->end);
    KRT_ASSERT(log->end % AOF_ALIGN == 0 && log->cut % AOF_ALIGN == 0);
}
#else
void aof_layout_check(const struct aof_log *log) {
    (void)log;
}
#endif

void aof_layout_deinit(struct aof_log *log) {
    drop_kept(log);
    while (log->free) {
        struct aof_chunk *segment = log->free;
        log->free = segment->next;
        mem_free(NULL, segment);
    }
}
