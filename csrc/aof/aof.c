/* The log's thread, and its life.
 *
 * A turn: all that is queued is laid out in order, marks act in their places, and what is laid out is written with as few
 * calls as its size allows; then it is synced, if the setting asks for that now; then everybody is told once. While a sync
 * runs, the next turn's chunks collect in the queue, which is how one sync comes to serve many. With `everysec` another thread syncs
 * (syncer.c).
 */
#include "aof/aof.h"

#include <errno.h>

#include "aof/header.h"
#include "aof/internal.h"
#include "base/assert.h"
#include "base/mem.h"
#include "plat/clock.h"
#include "plat/futex.h"
#include "plat/thread.h"

enum { PAGE_BYTES = 4096 };
enum { WRITE_AT = 4 << 20 }; /* so much is laid out before it is written in the middle of a batch */

/* ---- A turn ------------------------------------------------------------------------------------- */

static void run_mark(struct aof *aof, struct aof_mark *mark) {
    aof_write(aof);
    int result = mark->act(aof, mark);
    mark->done(mark, result); /* its memory is not ours from here on */
}

static void drop_chunk(struct aof *aof, struct aof_chunk *chunk) {
    atomic_sub_relaxed(&aof->backlog, chunk->len - chunk->start);
    aof_chunk_put(chunk);
}

static void run_batch(struct aof *aof, struct aof_chunk *chunk) {
    struct aof_log *log = &aof->log;
    while (chunk) {
        struct aof_chunk *next = chunk->next;
        log->position++;
        if (chunk->mark) run_mark(aof, chunk->mark);
        else if (log->broken) drop_chunk(aof, chunk);
        else aof_layout_add(log, chunk);
        if (log->end - log->written >= WRITE_AT) aof_write(aof);
        chunk = next;
    }
}

static void take_settings(struct aof *aof) {
    if (!atomic_load_seq_cst(&aof->changed)) return;
    atomic_store_seq_cst(&aof->changed, 0);
    pthread_mutex_lock(&aof->lock);
    aof->log.settings = aof->wanted;
    pthread_mutex_unlock(&aof->lock);
}

static void publish_status(struct aof *aof) {
    struct aof_log *log = &aof->log;
    struct aof_status *status = &log->status;
    status->failed = log->failed || log->broken || log->frozen;
    bool lost = log->broken || log->frozen || log->detached;
    status->needs_rewrite = lost && (!log->rewrite || log->rewrite_spoiled);
    status->error = log->error;
    status->unsynced_bytes = log->written - log->clean;
    status->incr_bytes = log->written;
    status->current_bytes = log->other_bytes + log->written;
    status->chunks = log->position;
    pthread_mutex_lock(&aof->lock);
    aof->status = *status;
    pthread_mutex_unlock(&aof->lock);
}

static void publish(struct aof *aof, bool was_full) {
    const struct aof_log *log = &aof->log;
    uint64_t safe = atomic_load_relaxed(&aof->safe), synced = atomic_load_relaxed(&aof->synced);
    uint64_t before = safe, synced_before = synced;
    aof_layout_check(log);
    publish_status(aof);
    if (!log->frozen) {
        synced = log->synced_position;
        uint64_t now = log->settings.sync == AOF_SYNC_ALWAYS ? synced : log->written_position;
        if (now > safe) safe = now;
        aof_tell(aof, safe, synced);
    }
    bool has_room = was_full && !aof_is_full(aof);
    if ((safe > before || synced > synced_before || has_room) && aof->owner.safe)
        aof->owner.safe(aof->owner.context);
}

/* False: there was nothing to do. */
static bool turn(struct aof *aof) {
    uint64_t gaps;
    bool was_full = aof_is_full(aof);
    take_settings(aof);
    struct aof_chunk *chunk = aof_queue_take(aof, &gaps);
    aof->log.gap_now = gaps > 0;
    if (gaps > 0) aof_break(aof, -ENOMEM);
    run_batch(aof, chunk);
    aof->log.position += gaps;
    aof_write(aof);
    aof_syncer_collect(aof);
    uint64_t now = clock_monotonic_ns();
    aof_recover_if_due(aof, now);
    aof_sync_if_due(aof, now);
    publish(aof, was_full);
    return chunk || gaps > 0;
}

static void *log_thread(void *argument) {
    struct aof *aof = argument;
    for (;;) {
        /* Before the turn: who closes has queued everything by then, so a turn behind it that finds nothing is the last. */
        bool closing = atomic_load_seq_cst(&aof->closing);
        bool worked = turn(aof);
        if (worked) continue;
        if (closing) return NULL;
        aof_queue_park(aof, aof_next_look(aof));
    }
}

/* ---- Start -------------------------------------------------------------------------------------- */

/* Chunks end at multiples of AOF_ALIGN; what others have written need not. */
static int align_end(struct aof_log *log, uint64_t *end) {
    char line[2 * AOF_ALIGN];
    size_t len = (size_t)(-*end % AOF_ALIGN);
    if (len == 0) return 0;
    if (len < 2) len += AOF_ALIGN;
    memset(line, '.', len);
    line[0] = '#';
    line[len - 1] = '\n';
    int result = disk_write_all(log->files.disk, log->fd, line, len, *end);
    *end += len;
    return result;
}

static bool goes_on(const struct aof_files *files) {
    const struct aof_file *last = aof_manifest_last_incr(&files->manifest);
    return last && last->size == AOF_WHOLE;
}

static int open_file(struct aof *aof, enum aof_begin begin, uint64_t *end) {
    struct aof_log *log = &aof->log;
    int result = 0;
    *end = AOF_BEGINNING;
    if (begin == AOF_FRESH) {
        log->detached = true;
        return aof_files_open_detached(&log->files, &log->fd);
    }
    if (!aof_files_are_there(&log->files))
        result = aof_files_create(&log->files, log->settings.base_is_dump);
    if (result < 0) return result;
    if (goes_on(&log->files)) {
        result = aof_files_open_incr(&log->files, &log->fd, end);
        return result < 0 ? result : align_end(log, end);
    }
    result = aof_files_new_incr(&log->files, &log->fd);
    return result < 0 ? result : aof_files_add_incr(&log->files, AOF_WHOLE);
}

static void aof_free(struct aof *aof) {
    struct aof_log *log = &aof->log;
    if (log->fd >= 0) log->files.disk->close(log->files.disk, log->fd);
    aof_layout_deinit(log);
    aof_files_deinit(&log->files);
    pthread_mutex_destroy(&aof->lock);
    mem_pages_free(NULL, aof, sizeof *aof);
}

static int start(struct aof *aof, enum aof_begin begin) {
    struct aof_log *log = &aof->log;
    uint64_t end = 0;
    int result = open_file(aof, begin, &end);
    if (result < 0) return result;
    aof_layout_begin(log, end);
    log->last_sync_ns = clock_monotonic_ns();
    if (begin == AOF_CONTINUE) aof_clear_history(aof);
    aof_measure(aof);
    publish_status(aof);
    return thread_start(&aof->thread, "kevyrt-log", log_thread, aof);
}

int aof_start(struct aof **out, struct aof_files *files, const struct aof_settings *settings,
              const struct aof_owner *owner, enum aof_begin begin) {
    struct aof *aof = mem_pages_alloc(NULL, sizeof *aof, PAGE_BYTES);
    if (!aof) {
        aof_files_deinit(files);
        return -ENOMEM;
    }
    aof->wanted = aof->log.settings = *settings;
    aof->owner = *owner;
    aof->log.files = *files;
    aof->log.fd = -1;
    *files = (struct aof_files){0};
    pthread_mutex_init(&aof->lock, NULL);
    int result = start(aof, begin);
    if (result < 0) aof_free(aof);
    else *out = aof;
    return result;
}

/* ---- While it runs, and the end ----------------------------------------------------------------- */

void aof_set(struct aof *aof, const struct aof_settings *settings) {
    pthread_mutex_lock(&aof->lock);
    aof->wanted = *settings;
    pthread_mutex_unlock(&aof->lock);
    atomic_store_seq_cst(&aof->changed, 1);
    aof_queue_ring(aof);
}

void aof_status_get(struct aof *aof, struct aof_status *out) {
    pthread_mutex_lock(&aof->lock);
    *out = aof->status;
    pthread_mutex_unlock(&aof->lock);
    out->queued_bytes = atomic_load_relaxed(&aof->backlog);
}

int aof_close(struct aof *aof) {
    atomic_store_seq_cst(&aof->closing, 1);
    aof_queue_ring(aof);
    thread_join(aof->thread);
    int result = aof_end_file(aof);
    aof_syncer_stop(aof);
    publish(aof, false);
    aof_free(aof);
    return result;
}
