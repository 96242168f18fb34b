/* A rewrite: its three marks on the log's thread, and the new base on the thread of who rewrites.
 *
 *   under all batons         the log's thread                          who rewrites
 *   aof_rewrite_begin  ───▶  begin: the old file is synced, a new
 *                            one is in the manifest; or, after a       aof_rewrite_write ... (the base)
 *                            gap, a detached one
 *                            install: the base is in the manifest ◀──  aof_rewrite_finish: the base is synced
 *                                                                      what was is removed, which may take long
 *                            forget: the manifest without it      ◀──
 *
 * A restore (aof_replace_*) needs no data of the server's, so its base is complete before its instant. Its one mark there makes the base
 * and a new file behind it the log at once. Whatever there was is out of date, a gap or a failure of the old file too.
 */
#include <errno.h>

#include "aof/header.h"
#include "aof/internal.h"
#include "base/assert.h"
#include "plat/futex.h"

enum rewrite_state { REWRITE_IDLE, REWRITE_BUSY };
enum { STEP_BYTES = 4 << 20 };

/* ---- Marks -------------------------------------------------------------------------------------- */

static struct aof_rewrite *rewrite_of(struct aof_mark *mark) {
    return (struct aof_rewrite *)mark; /* its first member */
}

static void rewrite_done(struct aof_mark *mark, int result) {
    struct aof_rewrite *rewrite = rewrite_of(mark);
    rewrite->result = result;
    atomic_store_seq_cst(&rewrite->state, REWRITE_IDLE);
    futex_wake(&rewrite->state, 1);
}

static void push(struct aof_rewrite *rewrite, int (*act)(struct aof *, struct aof_mark *)) {
    rewrite->mark.act = act;
    rewrite->mark.done = rewrite_done;
    atomic_store_seq_cst(&rewrite->state, REWRITE_BUSY);
    aof_push_mark(rewrite->aof, &rewrite->mark);
}

static int wait_for_mark(struct aof_rewrite *rewrite) {
    while (atomic_load_seq_cst(&rewrite->state) == REWRITE_BUSY)
        (void)futex_wait(&rewrite->state, REWRITE_BUSY, FUTEX_NO_DEADLINE);
    return rewrite->result;
}

/* ---- On the log's thread ------------------------------------------------------------------------ */

static int begin_detached(struct aof *aof) {
    struct aof_log *log = &aof->log;
    int fd = -1;
    int result = aof_files_open_detached(&log->files, &fd);
    if (result < 0) return result;
    aof_begin_file(aof, fd, AOF_BEGINNING);
    log->broken = false;
    log->detached = true;
    return 0;
}

/* Chunks that are safe are on the disk before there is any in the next file, so that what is left after a crash is a beginning. */
static int begin_next(struct aof *aof) {
    struct aof_log *log = &aof->log;
    int fd = -1;
    int result = aof_end_file(aof);
    if (result < 0) return result;
    result = aof_files_new_incr(&log->files, &fd);
    if (result < 0) return result;
    result = aof_files_add_incr(&log->files, AOF_WHOLE);
    if (result < 0) {
        log->files.disk->close(log->files.disk, fd);
        return result;
    }
    log->other_bytes += log->written;
    aof_begin_file(aof, fd, AOF_BEGINNING);
    return 0;
}

static int act_begin(struct aof *aof, struct aof_mark *mark) {
    struct aof_rewrite *rewrite = rewrite_of(mark);
    struct aof_log *log = &aof->log;
    if (log->rewrite) return -EBUSY;
    if (log->gap_now) return log->error; /* it may be behind the cut */
    int result = log->broken || log->detached ? begin_detached(aof) : begin_next(aof);
    if (result < 0) return result;
    rewrite->first_incr = log->files.manifest.incr_seq;
    log->rewrite = rewrite;
    log->rewrite_spoiled = false;
    return 0;
}

static uint64_t bytes_of_file(struct aof_files *files, const char *name) {
    char path[AOF_PATH_MAX];
    const struct disk *disk = files->disk;
    if (aof_files_path(files, name, path) < 0) return 0;
    int fd = disk->open(disk, path, DISK_READ);
    if (fd < 0) return 0;
    int64_t size = disk->size(disk, fd);
    disk->close(disk, fd);
    return size < 0 ? 0 : (uint64_t)size;
}

void aof_measure(struct aof *aof) {
    struct aof_log *log = &aof->log;
    const struct aof_manifest *manifest = &log->files.manifest;
    const struct aof_file *current = log->detached ? NULL : aof_manifest_last_incr(manifest);
    log->other_bytes = 0;
    for (uint32_t i = 0; i < manifest->count; i++) {
        const struct aof_file *file = manifest->files + i;
        if (file != current && file->kind != AOF_HISTORY)
            log->other_bytes += bytes_of_file(&log->files, file->name);
    }
    log->status.base_bytes = log->other_bytes + log->written;
}

static int install(struct aof *aof, struct aof_rewrite *rewrite) {
    struct aof_log *log = &aof->log;
    if (log->rewrite_spoiled || log->gap_now) return log->error;
    int result = log->detached ? aof_sync_now(aof) : 0;
    if (result < 0 || log->rewrite_spoiled) return log->error;
    result = aof_files_install(&log->files, rewrite->as_dump, rewrite->first_incr, log->detached);
    if (result < 0) return result;
    log->detached = log->frozen = false;
    aof_measure(aof);
    log->status.rewrites++;
    log->status.last_rewrite_bytes = rewrite->len;
    aof_tell_owner(aof);
    rewrite->keep_history =
        log->settings.keep_history || !aof_manifest_copy(&log->files.manifest, &rewrite->history);
    return 0;
}

static int act_install(struct aof *aof, struct aof_mark *mark) {
    int result = install(aof, rewrite_of(mark));
    if (result < 0) aof->log.status.failed_rewrites++;
    aof->log.rewrite = NULL;
    return result;
}

static int act_abandon(struct aof *aof, struct aof_mark *mark) {
    (void)mark;
    aof->log.status.failed_rewrites++;
    aof->log.rewrite = NULL;
    return 0;
}

static int act_forget(struct aof *aof, struct aof_mark *mark) {
    (void)mark;
    return aof_files_forget_history(&aof->log.files);
}

void aof_clear_history(struct aof *aof) {
    struct aof_files *files = &aof->log.files;
    uint32_t count = 0;
    for (uint32_t i = 0; i < files->manifest.count; i++)
        count += files->manifest.files[i].kind == AOF_HISTORY;
    if (count == 0 || aof->log.settings.keep_history) return;
    aof_files_remove_history(files, &files->manifest);
    (void)aof_files_forget_history(files); /* else with the next rewrite */
}

static int act_hold(struct aof *aof, struct aof_mark *mark) {
    if (aof->log.rewrite) return -EBUSY;
    aof->log.rewrite = rewrite_of(mark);
    return 0;
}

static int act_let_go(struct aof *aof, struct aof_mark *mark) {
    (void)mark;
    aof->log.rewrite = NULL;
    return 0;
}

/* The file is new and behind the base: all that was queued is safe with it. */
static void settle(struct aof *aof, struct aof_rewrite *rewrite, int fd) {
    struct aof_log *log = &aof->log;
    aof_forget_unwritten(aof);
    aof_begin_file(aof, fd, AOF_BEGINNING);
    log->failed = log->broken = log->frozen = log->detached = false;
    log->written_position = log->synced_position = log->position;
    aof_measure(aof);
    aof_tell_owner(aof);
    rewrite->keep_history =
        log->settings.keep_history || !aof_manifest_copy(&log->files.manifest, &rewrite->history);
}

/* A gap in this batch may be behind the instant. */
static int act_replace(struct aof *aof, struct aof_mark *mark) {
    struct aof_rewrite *rewrite = rewrite_of(mark);
    struct aof_log *log = &aof->log;
    int fd = -1;
    int result = log->gap_now ? log->error : aof_files_open_detached(&log->files, &fd);
    if (result == 0) result = aof_files_install(&log->files, rewrite->as_dump, 0, true);
    if (result == 0) {
        settle(aof, rewrite, fd);
    } else {
        if (fd >= 0) log->files.disk->close(log->files.disk, fd);
        aof_break(aof, result);
    }
    log->rewrite = NULL;
    return result;
}

/* ---- Who rewrites ------------------------------------------------------------------------------- */

void aof_rewrite_begin(struct aof *aof, struct aof_rewrite *rewrite, bool as_dump,
                       bool step_syncs) {
    *rewrite =
        (struct aof_rewrite){.aof = aof, .fd = -1, .as_dump = as_dump, .step_syncs = step_syncs};
    push(rewrite, act_begin);
}

static int open_base(struct aof_rewrite *rewrite) {
    if (rewrite->fd >= 0) return 0;
    int result = wait_for_mark(rewrite);
    if (result < 0) return result;
    return aof_files_open_base(&rewrite->aof->log.files, &rewrite->fd);
}

int aof_rewrite_write(struct aof_rewrite *rewrite, const void *at, size_t len) {
    const struct disk *disk = rewrite->aof->log.files.disk;
    int result = open_base(rewrite);
    if (result == 0) result = disk_write_all(disk, rewrite->fd, at, len, rewrite->len);
    if (result < 0) return result;
    rewrite->len += len;
    if (!rewrite->step_syncs || rewrite->len - rewrite->synced < STEP_BYTES) return 0;
    rewrite->synced = rewrite->len;
    return disk->sync(disk, rewrite->fd);
}

static int complete_base(struct aof_rewrite *rewrite) {
    const struct disk *disk = rewrite->aof->log.files.disk;
    int result = open_base(rewrite);
    if (result == 0) result = disk->sync(disk, rewrite->fd);
    if (rewrite->fd >= 0) disk->close(disk, rewrite->fd);
    rewrite->fd = -1;
    return result;
}

static void remove_history(struct aof_rewrite *rewrite) {
    if (rewrite->keep_history) return;
    aof_files_remove_history(&rewrite->aof->log.files, &rewrite->history);
    aof_manifest_deinit(&rewrite->history);
    push(rewrite, act_forget);
    (void)wait_for_mark(rewrite);
}

int aof_rewrite_finish(struct aof_rewrite *rewrite, bool good) {
    const struct aof_files *files = &rewrite->aof->log.files;
    int begun = wait_for_mark(rewrite);
    int result = begun == 0 && good ? complete_base(rewrite) : begun;
    if (rewrite->fd >= 0) files->disk->close(files->disk, rewrite->fd);
    rewrite->fd = -1;
    if (begun == 0) {
        bool complete = good && result == 0;
        push(rewrite, complete ? act_install : act_abandon);
        int pushed = wait_for_mark(rewrite);
        if (complete) result = pushed;
        if (complete && result == 0) remove_history(rewrite);
        else aof_files_drop_base(files);
    }
    return result == 0 && !good ? -ECANCELED : result;
}

/* ---- Who replaces ------------------------------------------------------------------------------- */

int aof_replace_begin(struct aof *aof, struct aof_rewrite *rewrite, bool as_dump, bool step_syncs) {
    *rewrite =
        (struct aof_rewrite){.aof = aof, .fd = -1, .as_dump = as_dump, .step_syncs = step_syncs};
    push(rewrite, act_hold);
    return wait_for_mark(rewrite);
}

int aof_replace_prepare(struct aof_rewrite *rewrite) {
    return complete_base(rewrite);
}

void aof_replace_commit(struct aof_rewrite *rewrite) {
    push(rewrite, act_replace);
}

int aof_replace_finish(struct aof_rewrite *rewrite) {
    int result = wait_for_mark(rewrite);
    if (result == 0) remove_history(rewrite);
    else aof_files_drop_base(&rewrite->aof->log.files);
    return result;
}

void aof_replace_abandon(struct aof_rewrite *rewrite) {
    const struct aof_files *files = &rewrite->aof->log.files;
    if (rewrite->fd >= 0) files->disk->close(files->disk, rewrite->fd);
    aof_files_drop_base(files);
    push(rewrite, act_let_go);
    (void)wait_for_mark(rewrite);
}
