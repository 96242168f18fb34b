/* Writing, syncing, and a disk that fails.
 *
 *            write or sync fails                a new file has what is kept, is synced, and in the manifest
 *   SOUND ───────────────────────▶  FAILED  ───────────────────────────────────────────────────────────────▶  SOUND
 *     │                               │  ▲ another attempt, at last each second
 *     │  memory was refused for an    │  └──
 *     │  effect, or what failed was   ▼  the same
 *     └────────────────────────▶  BROKEN + FROZEN: chunks are dropped; nothing more is safe
 *                                     │  a rewrite begins: a new file, detached, has what comes behind its cut
 *                                     ▼
 *                                  FROZEN: chunks are written; nothing more is safe
 *                                     │  the rewrite is done: its base and the detached file are the log
 *                                     ▼
 *                                  SOUND
 *
 * A detached file (that no manifest names) that fails is not worth keeping chunks for: BROKEN. So is a sync that fails, where chunks
 * had not been kept until a sync since the setting did not ask for one.
 */
#include <errno.h>

#include "aof/header.h"
#include "aof/internal.h"
#include "base/assert.h"
#include "base/mem.h"
#include "plat/clock.h"
#include "plat/errors.h"
#include "plat/futex.h"

#define SECOND_NS UINT64_C(1000000000)
#define FIRST_RETRY_NS UINT64_C(20000000)

/* Overwriting what was written ahead takes a sync half the time of appending (a new size is a transaction of the file system). What is
 * written ahead has to be written as well: a pause of a millisecond for a MiB, and beyond AHEAD_BATCH that eats up what it brings. */
enum {
    AHEAD_MIN = 256 << 10,
    AHEAD_MAX = 1 << 20,
    AHEAD_BATCHES = 16,
    AHEAD_BATCH = 128 << 10,
    AHEAD_WRITE = 16 << 10,
};

/* ---- Failures ----------------------------------------------------------------------------------- */

void aof_tell_owner(struct aof *aof) {
    struct aof_log *log = &aof->log;
    bool failed = log->failed || log->broken || log->frozen;
    if (failed == log->told_failed) return;
    log->told_failed = failed;
    if (aof->owner.failed)
        aof->owner.failed(aof->owner.context, failed, failed ? system_error_text(log->error) : "");
}

void aof_forget_unwritten(struct aof *aof) {
    atomic_sub_relaxed(&aof->backlog, aof->log.unwritten);
    aof->log.unwritten = 0;
}

void aof_break(struct aof *aof, int error) {
    struct aof_log *log = &aof->log;
    aof_syncer_settle(aof);
    log->error = error;
    log->rewrite_spoiled = true;
    if (!log->broken && !log->failed) (void)log->files.disk->sync(log->files.disk, log->fd);
    aof_forget_unwritten(aof);
    aof_layout_begin(log, log->end);
    log->broken = log->frozen = true;
    log->failed = false;
    aof_tell_owner(aof);
}

void aof_fail(struct aof *aof, int error, bool of_sync) {
    struct aof_log *log = &aof->log;
    aof_syncer_settle(aof); /* a sync under way has its say about where the file is cut */
    if (log->broken) return;
    if (log->detached || (of_sync && log->unsafe_cut)) {
        aof_break(aof, error);
        return;
    }
    log->error = error;
    log->failed = true;
    log->retry_ns = 0;
    log->retry_after_ns = FIRST_RETRY_NS;
    aof_tell_owner(aof);
}

/* ---- Writing ------------------------------------------------------------------------------------ */

/* Until the batch is whole: 0, or the error of the first call that failed. */
static int write_segments(struct aof_log *log) {
    for (;;) {
        const struct aof_chunk *segment = log->writing;
        if (!segment) return 0;
        size_t len = segment->len - log->writing_at;
        if (len > 0) {
            int result = disk_write_all(log->files.disk, log->fd, segment->at + log->writing_at,
                                        len, log->written);
            if (result < 0) return result;
            log->written += len;
            log->writing_at += len;
            log->status.writes++;
            log->status.written_bytes += len;
        }
        if (!segment->next) return 0;
        log->writing = segment->next;
        log->writing_at = log->writing->start;
    }
}

/* Lines to be overwritten by the batches to come, none of which then changes the size of the file. Where there is no room for them
 * there may be room for what counts. */
static void write_ahead(struct aof_log *log, uint64_t batch) {
    char lines[AHEAD_WRITE];
    uint64_t len = batch * AHEAD_BATCHES / AHEAD_WRITE * AHEAD_WRITE;
    if (len < AHEAD_MIN) len = AHEAD_MIN;
    if (len > AHEAD_MAX) len = AHEAD_MAX;
    uint64_t end = log->written + len;
    aof_ahead_format(lines, end);
    for (size_t at = AOF_ALIGN; at < sizeof lines; at += AOF_ALIGN)
        memcpy(lines + at, lines, AOF_ALIGN);
    for (uint64_t at = log->written; at < end; at += sizeof lines) {
        int result = disk_write_all(log->files.disk, log->fd, lines, sizeof lines, at);
        if (result < 0) {
            (void)log->files.disk->truncate(log->files.disk, log->fd, log->written);
            log->ahead = log->written;
            log->never_ahead = true;
            return;
        }
        log->ahead = at + sizeof lines;
    }
}

void aof_write(struct aof *aof) {
    struct aof_log *log = &aof->log;
    if (log->broken || log->failed) return;
    uint64_t before = log->written;
    int result = write_segments(log);
    uint64_t batch = log->written - before;
    bool ahead = log->settings.sync == AOF_SYNC_ALWAYS && log->written >= log->ahead && batch > 0 &&
                 batch <= AHEAD_BATCH && !log->never_ahead;
    if (result == 0 && ahead) write_ahead(log, batch);
    if (result < 0) {
        aof_fail(aof, result, false);
        return;
    }
    aof_forget_unwritten(aof);
    log->written_position = log->position;
}

/* ---- Syncing ------------------------------------------------------------------------------------ */

static bool is_dirty(const struct aof_log *log) {
    return log->synced_position < log->written_position && !log->failed && !log->broken;
}

void aof_note_sync(struct aof_log *log, uint64_t began_ns, uint64_t took_ns) {
    log->status.syncs++;
    log->status.last_sync_ns = took_ns;
    if (took_ns > log->status.max_sync_ns) log->status.max_sync_ns = took_ns;
    log->last_sync_ns = began_ns;
}

static void sync_written(struct aof *aof) {
    struct aof_log *log = &aof->log;
    aof_syncer_settle(aof);
    if (!is_dirty(log)) return;
    uint64_t began = clock_monotonic_ns();
    int result = log->files.disk->sync(log->files.disk, log->fd);
    if (result < 0) {
        aof_fail(aof, result, true);
        return;
    }
    aof_note_sync(log, began, clock_monotonic_ns() - began);
    log->synced = log->clean = log->written;
    log->synced_position = log->written_position;
    log->unsafe_cut = false;
    if (log->written == log->end) aof_layout_release(log);
}

static bool is_suspended(const struct aof_log *log) {
    return log->settings.no_sync_on_rewrite && log->rewrite;
}

static void let_go(struct aof_log *log) {
    if (log->written != log->end || log->cut == log->end) return;
    log->unsafe_cut = true;
    aof_layout_release(log);
}

static uint64_t sync_interval(const struct aof_log *log) {
    uint64_t interval = log->settings.sync_every_ns;
    return interval ? interval : SECOND_NS;
}

static void sync_every_second(struct aof *aof, uint64_t now) {
    struct aof_log *log = &aof->log;
    bool full = log->end - log->cut > AOF_KEPT_MAX;
    bool due = full || now - log->last_sync_ns >= sync_interval(log);
    if (is_suspended(log)) {
        if (full) let_go(log);
    } else if (due && !aof_syncer_is_idle(aof)) {
        if (!full) return;
        log->status.delayed_syncs++; /* everybody waits for the disk */
        aof_syncer_settle(aof);
    } else if (due && !aof_syncer_ask(aof)) {
        sync_written(aof);
    }
}

void aof_sync_if_due(struct aof *aof, uint64_t now) {
    struct aof_log *log = &aof->log;
    if (!is_dirty(log)) return;
    switch (log->settings.sync) {
    case AOF_SYNC_ALWAYS:
        sync_written(aof);
        break;
    case AOF_SYNC_EVERYSEC:
        sync_every_second(aof, now);
        break;
    case AOF_SYNC_NO:
        let_go(log);
        break;
    }
}

uint64_t aof_next_look(const struct aof *aof) {
    const struct aof_log *log = &aof->log;
    if (log->failed) return log->retry_ns;
    bool every_second = log->settings.sync == AOF_SYNC_EVERYSEC && !is_suspended(log) &&
                        aof_syncer_is_idle(aof); /* else it rings */
    return is_dirty(log) && every_second ? log->last_sync_ns + sync_interval(log)
                                         : FUTEX_NO_DEADLINE;
}

int aof_sync_now(struct aof *aof) {
    struct aof_log *log = &aof->log;
    aof_write(aof);
    aof_syncer_settle(aof);
    if (log->failed) (void)aof_recover(aof);
    if (is_dirty(log)) sync_written(aof);
    if (log->failed) (void)aof_recover(aof);
    return log->failed || log->broken ? log->error : 0;
}

/* ---- Files -------------------------------------------------------------------------------------- */

void aof_begin_file(struct aof *aof, int fd, uint64_t end) {
    struct aof_log *log = &aof->log;
    aof_syncer_settle(aof);
    if (log->fd >= 0) log->files.disk->close(log->files.disk, log->fd);
    log->fd = fd;
    aof_layout_begin(log, end);
}

int aof_end_file(struct aof *aof) {
    struct aof_log *log = &aof->log;
    const struct disk *disk = log->files.disk;
    aof_write(aof);
    if (log->failed) (void)aof_recover(aof);
    if (log->failed || log->broken) return log->error;
    /* It may stay: readers skip it. */
    if (log->ahead > log->written) (void)disk->truncate(disk, log->fd, log->written);
    log->ahead = log->written;
    return aof_sync_now(aof);
}

/* ---- Recovery ----------------------------------------------------------------------------------- */

/* What is kept, as the beginning of a file. */
static int write_kept(struct aof_log *log, int fd, uint64_t *end) {
    char select[AOF_SELECT_CHUNK_MAX];
    const struct disk *disk = log->files.disk;
    size_t selects = aof_layout_move(log, select, end);
    uint64_t offset = AOF_BEGINNING + selects;
    int result = disk_write_all(disk, fd, select, selects, AOF_BEGINNING);
    for (const struct aof_chunk *segment = log->kept; segment && result == 0;
         segment = segment->next) {
        size_t len = segment->len - segment->start;
        result = disk_write_all(disk, fd, segment->at + segment->start, len, offset);
        offset += len;
    }
    return result < 0 ? result : disk->sync(disk, fd);
}

/* The file before is cut, so that Redis finds the end as well, and left. */
static void change_file(struct aof *aof, int fd, uint64_t end) {
    struct aof_log *log = &aof->log;
    uint32_t db = log->db;
    (void)log->files.disk->truncate(log->files.disk, log->fd, log->cut);
    log->other_bytes += log->cut;
    aof_forget_unwritten(aof);
    aof_begin_file(aof, fd, end);
    log->db = log->cut_db = db;
    log->synced = log->clean = end;
    log->written_position = log->synced_position = log->position;
    log->failed = false;
    log->status.recoveries++;
    aof_tell_owner(aof);
}

/* What was let go of unsynced, as the setting has it, is on the disk before there is a next file: a torn file that is not the last
 * one could not be loaded. */
static int sync_cut(struct aof *aof) {
    struct aof_log *log = &aof->log;
    if (!log->unsafe_cut) return 0;
    int result = log->files.disk->sync(log->files.disk, log->fd);
    if (result < 0) aof_break(aof, result);
    else log->unsafe_cut = false;
    return result;
}

int aof_recover(struct aof *aof) {
    struct aof_log *log = &aof->log;
    uint64_t end = 0;
    int fd = -1;
    int result = sync_cut(aof);
    if (result < 0) return result;
    result = aof_files_new_incr(&log->files, &fd);
    if (result == 0) result = write_kept(log, fd, &end);
    bool added = result == 0;
    if (added) result = aof_files_add_incr(&log->files, log->cut);
    if (result == 0) {
        change_file(aof, fd, end);
        return 0;
    }
    if (fd >= 0) log->files.disk->close(log->files.disk, fd);
    if (fd >= 0 && !added) aof_files_drop_incr(&log->files);
    log->error = result;
    log->retry_ns = clock_monotonic_ns() + log->retry_after_ns;
    log->retry_after_ns *= 2;
    if (log->retry_after_ns > SECOND_NS) log->retry_after_ns = SECOND_NS;
    return result;
}

void aof_recover_if_due(struct aof *aof, uint64_t now) {
    if (aof->log.failed && now >= aof->log.retry_ns) (void)aof_recover(aof);
}
