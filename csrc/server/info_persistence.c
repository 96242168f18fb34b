/* INFO's section about what outlives the process. There is no second process, so what Redis tells of one is 0. */
#include "plat/clock.h"
#include "server/info.h"
#include "shard/snapshot/snapshot.h"

static const char *ok_or_err(bool failed) {
    return failed ? "err" : "ok";
}

/* Of whatever snapshot is being made. */
static void progress(struct info *info) {
    struct snapshot_progress progress = {0};
    if (snapshot_is_running(info->fabric)) snapshot_progress_get(info->fabric, &progress);
    double done = (double)progress.keys_done, all = (double)progress.keys;
    info_number(info, "current_cow_peak", 0);
    info_number(info, "current_cow_size", 0);
    info_number(info, "current_cow_size_age", 0);
    info_hundredths(info, "current_fork_perc", all > 0 ? 100 * done / all : 0, "");
    info_number(info, "current_save_keys_processed", progress.keys_done);
    info_number(info, "current_save_keys_total", progress.keys);
}

static void dumps(struct info *info) {
    struct save_status save;
    const struct loading_figures *loaded = &info->server->loaded;
    save_status_get(info->server, &save);
    info_number(info, "rdb_changes_since_last_save",
                save_changes_now(info->fabric) - save.saved_changes);
    info_number(info, "rdb_bgsave_in_progress", save.running);
    info_signed(info, "rdb_last_save_time", save.saved_s);
    info_text(info, "rdb_last_bgsave_status", ok_or_err(save.last_failed));
    info_signed(info, "rdb_last_bgsave_time_sec", save.last_took_s);
    info_signed(info, "rdb_current_bgsave_time_sec", save.since_s);
    info_number(info, "rdb_saves", save.saves);
    info_number(info, "rdb_last_cow_size", 0);
    info_number(info, "rdb_last_load_keys_expired", atomic_load_relaxed(&loaded->keys_expired));
    info_number(info, "rdb_last_load_keys_loaded", atomic_load_relaxed(&loaded->keys_loaded));
}

static void log_itself(struct info *info, const struct aof_status *log, bool is_on) {
    struct rewrite_status rewrite;
    rewrite_status_get(info->server, &rewrite);
    info_number(info, "aof_enabled", is_on);
    info_number(info, "aof_rewrite_in_progress", rewrite.running);
    info_number(info, "aof_rewrite_scheduled", rewrite.scheduled);
    info_signed(info, "aof_last_rewrite_time_sec", rewrite.last_took_s);
    info_signed(info, "aof_current_rewrite_time_sec", rewrite.since_s);
    info_text(info, "aof_last_bgrewrite_status", ok_or_err(rewrite.last_failed));
    info_number(info, "aof_rewrites", rewrite.rewrites);
    info_number(info, "aof_rewrites_consecutive_failures", rewrite.failures);
    info_text(info, "aof_last_write_status", ok_or_err(log->failed));
    info_number(info, "aof_last_cow_size", 0);
    info_number(info, "module_fork_in_progress", 0);
    info_number(info, "module_fork_last_cow_size", 0);
    if (!is_on) return;
    info_number(info, "aof_current_size", log->current_bytes);
    info_number(info, "aof_base_size", log->base_bytes);
    info_number(info, "aof_pending_rewrite", 0);
    info_number(info, "aof_buffer_length", log->queued_bytes);
    info_number(info, "aof_pending_bio_fsync", log->unsynced_bytes > 0);
    info_number(info, "aof_delayed_fsync", log->delayed_syncs);
}

/* As Redis reckons: a second, as long as nothing is known. */
static uint64_t seconds_left(uint64_t started_s, uint64_t total, uint64_t loaded) {
    uint64_t elapsed = (uint64_t)clock_wall_ms() / 1000 - started_s;
    if (elapsed == 0 || total < loaded) return 1;
    return (uint64_t)((double)elapsed * (double)(total - loaded) / ((double)loaded + 1));
}

static void loading(struct info *info, uint64_t started_s, uint64_t total, uint64_t loaded,
                    uint64_t dump_used) {
    double share = total ? (double)loaded / (double)total : 0;
    info_number(info, "loading_start_time", started_s);
    info_number(info, "loading_total_bytes", total);
    info_number(info, "loading_rdb_used_mem", dump_used);
    info_number(info, "loading_loaded_bytes", loaded);
    info_hundredths(info, "loading_loaded_perc", 100 * share, "");
    info_number(info, "loading_eta_seconds", seconds_left(started_s, total, loaded));
}

/* What Redis calls asynchronous loading is a restore here: the data that was there is served meanwhile. */
void info_persistence(struct info *info) {
    struct kevyrt_server *server = info->server;
    const struct loading_progress *start = &server->loading;
    const struct restoring *aside = &server->restoring;
    bool is_loading = atomic_load_relaxed(&start->active);
    bool is_restoring = atomic_load_relaxed(&aside->running);
    struct aof_status log = {0};
    struct aof *aof = aof_owner_log(server);
    if (aof) aof_status_get(aof, &log);
    info_number(info, "loading", is_loading);
    info_number(info, "async_loading", is_restoring);
    progress(info);
    dumps(info);
    log_itself(info, &log, aof != NULL);
    if (is_loading)
        loading(info, atomic_load_relaxed(&start->started_s),
                atomic_load_relaxed(&start->total_bytes), atomic_load_relaxed(&start->loaded_bytes),
                atomic_load_relaxed(&start->dump_used_bytes));
    else if (is_restoring)
        loading(info, atomic_load_relaxed(&aside->started_s),
                atomic_load_relaxed(&aside->total_bytes), atomic_load_relaxed(&aside->loaded_bytes),
                atomic_load_relaxed(&aside->dump_used_bytes));
}
