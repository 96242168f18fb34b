#include "server/persistence/saving/save.h"

#include <errno.h>
#include <stdio.h>

#include "plat/disk.h"
#include "plat/errors.h"
#include "server/persistence/persistence.h"
#include "server/server.h"
#include "shard/shard.h"

enum { SYNC_STEP_BYTES = 4 << 20 };

static struct saving *saving_of(struct kevyrt_server *server) {
    return &server->persistence.saving;
}

/* ---- The file: the snapshots' thread ------------------------------------------------------------------ */

static bool open_file(struct saving *saving) {
    const struct disk *disk = server_disk(saving->server);
    saving->fd = disk->open(disk, saving->beside, DISK_CREATE);
    if (saving->fd >= 0) return true;
    saving->error = saving->fd;
    log_line(LOG_WARNING, "Failed opening the temp RDB file %s for saving: %s", saving->beside,
             system_error_text(saving->error));
    return false;
}

/* A large file is synced on the way, so that the end of it is not a burst. */
static bool sync_step(struct saving *saving) {
    const struct disk *disk = server_disk(saving->server);
    if (!saving->step_syncs || saving->len - saving->synced < SYNC_STEP_BYTES) return true;
    saving->synced = saving->len;
    saving->error = disk->sync(disk, saving->fd);
    return saving->error == 0;
}

static bool write_sink(struct snapshot_sink *sink, const void *at, size_t len) {
    struct saving *saving = (struct saving *)sink;
    const struct disk *disk = server_disk(saving->server);
    if (saving->fd < 0 && !open_file(saving)) return false;
    saving->error = disk_write_all(disk, saving->fd, at, len, saving->len);
    saving->len += len;
    return saving->error == 0 && sync_step(saving);
}

static int install(struct saving *saving) {
    const struct disk *disk = server_disk(saving->server);
    int result = disk->sync(disk, saving->fd);
    disk->close(disk, saving->fd);
    saving->fd = -1;
    if (result == 0) result = disk->rename(disk, saving->beside, saving->path);
    return result == 0 ? disk_sync_folder_of(disk, saving->path) : result;
}

static void drop_file(struct saving *saving) {
    const struct disk *disk = server_disk(saving->server);
    if (saving->fd >= 0) disk->close(disk, saving->fd);
    saving->fd = -1;
    (void)disk->remove(disk, saving->beside);
}

/* Redis's words for what went well and what did not. */
static void tell_log(const struct saving *saving, enum snapshot_result result) {
    if (result == SNAPSHOT_ABORTED) log_line(LOG_WARNING, "Saving was given up");
    else if (result == SNAPSHOT_FAILED)
        log_line(LOG_WARNING, "Write error saving DB on disk(%s): %s", saving->path,
                 saving->error ? system_error_text(saving->error) : "out of memory");
    else if (saving->in_front) log_line(LOG_NOTICE, "DB saved on disk");
    else log_line(LOG_NOTICE, "Background saving terminated with success");
}

static void write_answer(struct reply *reply, void *context) {
    const enum snapshot_result *result = context;
    if (*result == SNAPSHOT_DONE) reply_ok(reply);
    else reply_error(reply, "ERR");
}

/* What is given up on request is no failure. */
static struct waiter *note_end(struct kevyrt_server *server, enum snapshot_result result) {
    struct saving *saving = saving_of(server);
    struct waiter *waiter = saving->waiter;
    persistence_lock(server);
    if (result == SNAPSHOT_DONE) {
        saving->saved_s = persistence_now_s();
        saving->saved_changes = saving->cut_changes;
        saving->last_failed = false;
    } else if (result == SNAPSHOT_FAILED && !saving->in_front) {
        saving->last_failed = true;
    }
    saving->took_s = persistence_now_s() - saving->begun_s;
    saving->running = saving->begun = false;
    saving->waiter = NULL;
    bool failed = saving->last_failed;
    persistence_note_saved(server, result == SNAPSHOT_DONE);
    persistence_unlock(server);
    persistence_note_save(server, !failed);
    return waiter;
}

static void end(struct saving *saving, enum snapshot_result result) {
    struct kevyrt_server *server = saving->server;
    tell_log(saving, result);
    struct waiter *waiter = note_end(server, result); /* another one may begin now */
    persistence_ring(server);
    if (waiter) await_answer(waiter, write_answer, &result);
}

static void done(struct snapshot_sink *sink, enum snapshot_result result) {
    struct saving *saving = (struct saving *)sink;
    if (result == SNAPSHOT_DONE && (saving->error = install(saving)) < 0) result = SNAPSHOT_FAILED;
    if (result != SNAPSHOT_DONE) drop_file(saving);
    persistence_lock(saving->server);
    saving->has_ended = true;
    saving->result = result;
    persistence_unlock(saving->server);
    persistence_ring(saving->server);
}

/* ---- The beginning: all batons --------------------------------------------------------------------------- */

uint64_t save_changes_now(const struct fabric *fabric) {
    uint64_t changes = 0;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        changes += fabric->shards[i]->data.effects.dirty;
    return changes;
}

static void name_file(struct saving *saving) {
    const struct config *config = &saving->server->config;
    const char *dir = config_text(config, SETTING_DIR);
    const char *between = *dir ? "/" : "";
    (void)snprintf(saving->path, sizeof saving->path, "%s%s%s", dir, between,
                   config_text(config, SETTING_DBFILENAME));
    (void)snprintf(saving->beside, sizeof saving->beside, "%s%stemp-%.16s.rdb", dir, between,
                   saving->server->run_id);
}

static void begun(struct saving *saving) {
    persistence_lock(saving->server);
    saving->begun = true;
    saving->refusal = 0;
    saving->begun_s = persistence_now_s();
    persistence_unlock(saving->server);
}

int save_try(struct kevyrt_server *server) {
    struct saving *saving = saving_of(server);
    const struct config *config = &server->config;
    struct snapshot_options options = {
        .compress = config_number(config, SETTING_RDBCOMPRESSION),
        .checksum = config_number(config, SETTING_RDBCHECKSUM),
    };
    if (server->fabric.domain.gates & GATE_LOADING) return -EBUSY;
    name_file(saving);
    saving->fd = -1;
    saving->error = 0;
    saving->len = saving->synced = 0;
    saving->step_syncs = config_number(config, SETTING_RDB_SAVE_INCREMENTAL_FSYNC);
    saving->cut_changes = save_changes_now(&server->fabric);
    begun(saving);
    int result = snapshot_begin(&server->fabric, &saving->sink, &options);
    if (result == 0) return 0;
    persistence_lock(server);
    saving->begun = false;
    if (result != -EBUSY) saving->refusal = result;
    persistence_unlock(server);
    return result;
}

void save_end(struct kevyrt_server *server) {
    struct saving *saving = saving_of(server);
    persistence_lock(server);
    int refusal = saving->refusal;
    bool has_ended = saving->has_ended;
    saving->refusal = 0;
    saving->has_ended = false;
    persistence_unlock(server);
    if (has_ended) end(saving, saving->result);
    if (refusal == 0) return;
    saving->error = refusal;
    end(saving, SNAPSHOT_FAILED);
}

void save_stop(struct kevyrt_server *server) {
    struct saving *saving = saving_of(server);
    save_end(server);
    persistence_lock(server);
    bool waits = saving->running && !saving->begun;
    persistence_unlock(server);
    if (waits) end(saving, SNAPSHOT_ABORTED);
}

void save_init(struct kevyrt_server *server) {
    *saving_of(server) = (struct saving){.sink = {.write = write_sink, .done = done},
                                         .server = server,
                                         .saved_s = persistence_now_s(),
                                         .took_s = -1};
}

void save_begin(struct kevyrt_server *server, enum save_cause cause, struct waiter *waiter) {
    struct saving *saving = saving_of(server);
    persistence_lock(server);
    KRT_ASSERT(!saving->running);
    saving->running = true;
    saving->scheduled = false;
    saving->tried_s = saving->begun_s = persistence_now_s();
    saving->saves++;
    persistence_unlock(server);
    saving->in_front = cause != SAVE_BEHIND;
    saving->at_end = cause == SAVE_AT_END;
    saving->waiter = waiter;
    if (cause == SAVE_BEHIND) log_line(LOG_NOTICE, "Background saving started");
    if (save_try(server) < 0) persistence_ring(server);
}

void save_abort(struct kevyrt_server *server) {
    persistence_lock(server);
    bool begun = saving_of(server)->begun;
    persistence_unlock(server);
    if (begun) snapshot_abort(&server->fabric);
}

void save_status_get(struct kevyrt_server *server, struct save_status *out) {
    const struct saving *saving = saving_of(server);
    persistence_lock(server);
    *out = (struct save_status){
        .running = saving->running,
        .scheduled = saving->scheduled,
        .last_failed = saving->last_failed,
        .saved_s = saving->saved_s,
        .last_took_s = saving->took_s,
        .since_s = saving->running ? persistence_now_s() - saving->begun_s : -1,
        .saved_changes = saving->saved_changes,
        .saves = saving->saves,
    };
    persistence_unlock(server);
}

/* ---- Commands ------------------------------------------------------------------------------------------------ */

static bool is_running(struct kevyrt_server *server) {
    struct save_status status;
    save_status_get(server, &status);
    return status.running;
}

static void save_command(struct call *call) {
    static const struct await_kind kind = {0};
    struct kevyrt_server *server = call_server(call);
    if (is_running(server)) {
        call_error(call, "ERR Background save already in progress");
        return;
    }
    if (!await_is_possible(call)) {
        call_error(call, "ERR SAVE is not allowed where nobody may wait");
        return;
    }
    struct waiter *waiter = await_begin(call, &kind, 0, 0);
    if (waiter) save_begin(server, SAVE_IN_FRONT, waiter);
}

static void schedule(struct call *call) {
    struct kevyrt_server *server = call_server(call);
    persistence_lock(server);
    saving_of(server)->scheduled = true;
    persistence_unlock(server);
    persistence_ring(server);
    reply_simple(call->reply, "Background saving scheduled");
}

static void bgsave_command(struct call *call) {
    struct kevyrt_server *server = call_server(call);
    bool may_schedule = call->argc == 2 && bytes_is(call->argv[1], "schedule");
    bool in_exec = call->flags & CALL_NESTED;
    if (call->argc > 1 && !may_schedule) {
        call_error_syntax(call);
    } else if (is_running(server)) {
        call_error(call, "ERR Background save already in progress");
    } else if (in_exec || (may_schedule && rewrite_is_running(server))) {
        schedule(call);
    } else if (rewrite_is_running(server)) {
        call_error(call, "ERR Another child process is active (AOF?): can't BGSAVE right now. Use "
                         "BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.");
    } else {
        save_begin(server, SAVE_BEHIND, NULL);
        reply_simple(call->reply, "Background saving started");
    }
}

static void lastsave_command(struct call *call) {
    struct save_status status;
    save_status_get(call_server(call), &status);
    reply_integer(call->reply, status.saved_s);
}

void save_commands_bind(void) {
    command_bind_all_shards("save", save_command);
    command_bind_all_shards("bgsave", bgsave_command);
    command_bind("lastsave", lastsave_command);
}
