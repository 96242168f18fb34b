#include "server/persistence/saving/rewrite.h"

#include <errno.h>

#include "plat/errors.h"
#include "plat/futex.h"
#include "server/persistence/persistence.h"
#include "server/server.h"
#include "shard/shard.h"

enum { FAILURES_FREE = 3, DELAY_MAX_S = 3600 }; /* as Redis limits automatic rewrites */

static struct rewriting *rewriting_of(struct kevyrt_server *server) {
    return &server->persistence.rewriting;
}

/* ---- Without a log: its files as the settings say -------------------------------------------------------- */

static int open_files(struct rewriting *rewriting) {
    char why[AOF_WHY_MAX] = "";
    struct aof_place place;
    aof_owner_place(rewriting->server, &place);
    int result = aof_files_open(&rewriting->files, &place, why);
    if (result < 0) return result;
    rewriting->has_files = true;
    if (!aof_files_are_there(&rewriting->files))
        result = aof_files_create(&rewriting->files, rewriting->as_dump);
    return result < 0 ? result : aof_files_open_base(&rewriting->files, &rewriting->fd);
}

static int write_files(struct rewriting *rewriting, const void *at, size_t len) {
    int result = rewriting->fd < 0 ? open_files(rewriting) : 0;
    if (result < 0) return result;
    result = disk_write_all(rewriting->files.disk, rewriting->fd, at, len, rewriting->len);
    rewriting->len += len;
    return result;
}

static int install_files(struct rewriting *rewriting) {
    struct aof_files *files = &rewriting->files;
    int result = files->disk->sync(files->disk, rewriting->fd);
    files->disk->close(files->disk, rewriting->fd);
    rewriting->fd = -1;
    if (result == 0) result = aof_files_install(files, rewriting->as_dump, UINT64_MAX, false);
    if (result < 0) return result;
    aof_files_remove_history(files, &files->manifest);
    return aof_files_forget_history(files);
}

static int finish_files(struct rewriting *rewriting, bool good) {
    int result = 0;
    if (!rewriting->has_files) return 0;
    if (good && rewriting->fd >= 0) result = install_files(rewriting);
    if (rewriting->fd >= 0) rewriting->files.disk->close(rewriting->files.disk, rewriting->fd);
    if (!good || result < 0) aof_files_drop_base(&rewriting->files);
    aof_files_deinit(&rewriting->files);
    return result;
}

/* ---- The sink: the snapshots' thread -------------------------------------------------------------------------- */

static bool write_sink(struct snapshot_sink *sink, const void *at, size_t len) {
    struct rewriting *rewriting = (struct rewriting *)sink;
    rewriting->error = rewriting->has_log ? aof_rewrite_write(&rewriting->log, at, len)
                                          : write_files(rewriting, at, len);
    return rewriting->error == 0;
}

static void tell_log(const struct rewriting *rewriting, enum snapshot_result result) {
    if (result == SNAPSHOT_DONE)
        log_line(LOG_NOTICE, "Background AOF rewrite finished successfully");
    else if (result == SNAPSHOT_ABORTED) log_line(LOG_WARNING, "Background AOF rewrite given up");
    else
        log_line(LOG_WARNING, "Background AOF rewrite failed: %s",
                 rewriting->error ? system_error_text(rewriting->error) : "out of memory");
}

static void end(struct rewriting *rewriting, enum snapshot_result result) {
    struct kevyrt_server *server = rewriting->server;
    tell_log(rewriting, result);
    persistence_lock(server);
    rewriting->last_failed = result != SNAPSHOT_DONE;
    rewriting->failures = result == SNAPSHOT_DONE ? 0 : rewriting->failures + 1;
    rewriting->took_s = persistence_now_s() - rewriting->begun_s;
    rewriting->running = rewriting->begun = false;
    persistence_unlock(server);
    persistence_ring(server);
    atomic_add_seq_cst(&rewriting->ended, 1);
    futex_wake(&rewriting->ended, INT32_MAX);
}

static enum snapshot_result finish(struct rewriting *rewriting, enum snapshot_result result) {
    bool good = result == SNAPSHOT_DONE;
    int finished = rewriting->has_log ? aof_rewrite_finish(&rewriting->log, good)
                                      : finish_files(rewriting, good);
    if (!good || finished == 0) return result;
    rewriting->error = finished;
    return SNAPSHOT_FAILED;
}

static void done(struct snapshot_sink *sink, enum snapshot_result result) {
    struct rewriting *rewriting = (struct rewriting *)sink;
    end(rewriting, finish(rewriting, result));
}

/* ---- The beginning: all batons ------------------------------------------------------------------------------------ */

/* The log's mark comes first, since the sink may be written to at once. */
int rewrite_try(struct kevyrt_server *server) {
    struct rewriting *rewriting = rewriting_of(server);
    struct fabric *fabric = &server->fabric;
    const struct config *config = &server->config;
    struct aof *aof = aof_owner_log(server);
    if (snapshot_is_running(fabric) || fabric->domain.gates & GATE_LOADING) return -EBUSY;
    if (atomic_load_relaxed(&server->restoring.holds_log)) return -EBUSY;
    rewriting->as_dump = config_number(config, SETTING_AOF_USE_RDB_PREAMBLE);
    rewriting->has_log = aof != NULL;
    rewriting->has_files = false;
    rewriting->fd = -1;
    rewriting->error = 0;
    rewriting->len = 0;
    struct snapshot_options options = {
        .is_base = true,
        .as_commands = !rewriting->as_dump,
        .compress = config_number(config, SETTING_RDBCOMPRESSION),
        .checksum = config_number(config, SETTING_RDBCHECKSUM),
    };
    persistence_lock(server);
    rewriting->begun = true;
    rewriting->begun_s = persistence_now_s();
    persistence_unlock(server);
    (void)journal_seal(fabric, fabric_all(fabric));
    if (aof)
        aof_rewrite_begin(aof, &rewriting->log, rewriting->as_dump,
                          config_number(config, SETTING_AOF_REWRITE_INCREMENTAL_FSYNC));
    int result = snapshot_begin(fabric, &rewriting->sink, &options);
    if (result == 0) return 0;
    persistence_lock(server);
    rewriting->refusal = result;
    persistence_unlock(server);
    return result;
}

void rewrite_refused(struct kevyrt_server *server) {
    struct rewriting *rewriting = rewriting_of(server);
    persistence_lock(server);
    int refusal = rewriting->refusal;
    rewriting->refusal = 0;
    persistence_unlock(server);
    if (refusal == 0) return;
    rewriting->error = refusal;
    end(rewriting, finish(rewriting, SNAPSHOT_FAILED));
}

void rewrite_init(struct kevyrt_server *server) {
    *rewriting_of(server) = (struct rewriting){
        .sink = {.write = write_sink, .done = done}, .server = server, .took_s = -1};
}

int persistence_rewrite_begin(struct kevyrt_server *server) {
    struct rewriting *rewriting = rewriting_of(server);
    persistence_lock(server);
    bool may = !rewriting->running;
    if (may) {
        rewriting->running = true;
        rewriting->scheduled = false;
        rewriting->rewrites++;
        rewriting->tried_s = rewriting->begun_s = persistence_now_s();
    }
    persistence_unlock(server);
    if (!may) return -EBUSY;
    log_line(LOG_NOTICE, "Background append only file rewriting started");
    if (rewrite_try(server) < 0) persistence_ring(server);
    return 0;
}

/* One that waits for its turn is forgotten. */
void persistence_rewrite_stop(struct kevyrt_server *server) {
    struct rewriting *rewriting = rewriting_of(server);
    for (;;) {
        uint32_t seen = atomic_load_seq_cst(&rewriting->ended);
        persistence_lock(server);
        bool running = rewriting->running, begun = rewriting->begun;
        rewriting->scheduled = false;
        if (running && !begun) rewriting->running = false;
        persistence_unlock(server);
        if (!running || !begun) return;
        snapshot_abort(&server->fabric);
        (void)futex_wait(&rewriting->ended, seen, FUTEX_NO_DEADLINE);
    }
}

/* ---- Automatic ------------------------------------------------------------------------------------------------------ */

bool rewrite_is_needed(struct kevyrt_server *server) {
    struct aof_status status = {0};
    struct aof *aof = aof_owner_log(server);
    if (aof) aof_status_get(aof, &status);
    return status.needs_rewrite;
}

bool rewrite_is_automatic(struct kevyrt_server *server) {
    return aof_owner_log(server) &&
           config_number(&server->config, SETTING_AUTO_AOF_REWRITE_PERCENTAGE);
}

/* With the lock. After some failures each one more doubles the time until the next. */
static bool is_limited(const struct rewriting *rewriting) {
    if (rewriting->failures < FAILURES_FREE) return false;
    uint32_t doublings = rewriting->failures - FAILURES_FREE;
    int64_t delay_s = doublings < 6 ? INT64_C(60) << doublings : DELAY_MAX_S;
    return persistence_now_s() - rewriting->tried_s < delay_s;
}

static bool may_begin(struct kevyrt_server *server) {
    persistence_lock(server);
    bool may = !rewriting_of(server)->running && !is_limited(rewriting_of(server));
    persistence_unlock(server);
    return may;
}

bool rewrite_is_due(struct kevyrt_server *server) {
    const struct config *config = &server->config;
    struct aof_status status;
    if (rewrite_is_needed(server)) return may_begin(server);
    if (!rewrite_is_automatic(server)) return false;
    aof_status_get(aof_owner_log(server), &status);
    uint64_t percentage = (uint64_t)config_number(config, SETTING_AUTO_AOF_REWRITE_PERCENTAGE);
    uint64_t least = (uint64_t)config_number(config, SETTING_AUTO_AOF_REWRITE_MIN_SIZE);
    uint64_t base = status.base_bytes ? status.base_bytes : 1;
    if (status.current_bytes <= least || status.current_bytes * 100 / base < percentage + 100)
        return false;
    bool may = may_begin(server);
    if (may)
        log_line(LOG_NOTICE, "Starting automatic rewriting of AOF on %llu%% growth",
                 (unsigned long long)(status.current_bytes * 100 / base - 100));
    return may;
}

/* ---- Status, commands --------------------------------------------------------------------------------------------------- */

void rewrite_status_get(struct kevyrt_server *server, struct rewrite_status *out) {
    const struct rewriting *rewriting = rewriting_of(server);
    persistence_lock(server);
    *out = (struct rewrite_status){
        .running = rewriting->running,
        .scheduled = rewriting->scheduled,
        .last_failed = rewriting->last_failed,
        .last_took_s = rewriting->took_s,
        .since_s = rewriting->running ? persistence_now_s() - rewriting->begun_s : -1,
        .rewrites = rewriting->rewrites,
        .failures = rewriting->failures,
    };
    persistence_unlock(server);
}

bool rewrite_is_running(struct kevyrt_server *server) {
    struct rewrite_status status;
    rewrite_status_get(server, &status);
    return status.running;
}

static void schedule(struct call *call, struct kevyrt_server *server) {
    persistence_lock(server);
    rewriting_of(server)->scheduled = true;
    rewriting_of(server)->failures = 0;
    persistence_unlock(server);
    persistence_ring(server);
    reply_simple(call->reply, "Background append only file rewriting scheduled");
}

static void bgrewriteaof_command(struct call *call) {
    struct kevyrt_server *server = call_server(call);
    struct save_status save;
    save_status_get(server, &save);
    if (rewrite_is_running(server)) {
        call_error(call, "ERR Background append only file rewriting already in progress");
    } else if (save.running || call->flags & CALL_NESTED) {
        schedule(call, server);
    } else if (persistence_rewrite_begin(server) == 0) {
        reply_simple(call->reply, "Background append only file rewriting started");
    } else {
        call_error(call, "ERR Can't execute an AOF background rewriting. Please check the server "
                         "logs for more information.");
    }
}

void rewrite_commands_bind(void) {
    command_bind_all_shards("bgrewriteaof", bgrewriteaof_command);
}
