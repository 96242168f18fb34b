#include "server/persistence/loading/loading.h"

#include <errno.h>
#include <stdio.h>

#include "plat/clock.h"
#include "plat/errors.h"
#include "plat/futex.h"
#include "server/persistence/loading/dump_loading.h"
#include "server/persistence/loading/replay.h"
#include "server/server.h"
#include "shard/caller.h"
#include "shard/shard.h"

struct figures {
    uint64_t counts[3];
};

/* One load. */
struct load {
    struct figures figures[SHARDS_MAX];
    struct kevyrt_server *server;
    const struct disk *disk;
    struct replay replay;
    uint64_t before; /* bytes of files that are through */
    bool again;      /* at run time: the log is written by somebody, and is not cut */
    bool replace;    /* keys of a dump take the place of those that are there */
    struct kevyrt_error *error;
    char path[AOF_PATH_MAX]; /* of the file at hand */
};

static bool keep_on(void *context) {
    return server_is_wanted(context);
}

static double seconds_since(uint64_t start_ns) {
    return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

/* ---- Errors ------------------------------------------------------------------------------------- */

static void name_file(const struct load *load) {
    if (load->error)
        (void)snprintf(load->error->file, sizeof load->error->file, "%.500s", load->path);
}

static enum kevyrt_status fail_memory(const struct load *load) {
    server_fail(load->error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory while loading %.300s",
                load->path);
    name_file(load);
    return KEVYRT_NO_MEMORY;
}

static enum kevyrt_status fail_system(const struct load *load, int number, const char *what) {
    if (number == -ENOMEM) return fail_memory(load);
    server_fail(load->error, KEVYRT_SYSTEM, number, "cannot %s %.300s: %s", what, load->path,
                system_error_text(number));
    name_file(load);
    return KEVYRT_SYSTEM;
}

static enum kevyrt_status fail_damaged(const struct load *load, uint64_t offset, const char *why) {
    server_fail(load->error, KEVYRT_DAMAGED, 0, "%.300s is damaged at offset %llu: %s", load->path,
                (unsigned long long)offset, why);
    if (load->error) load->error->offset = offset;
    name_file(load);
    log_line(LOG_WARNING, "Bad file format reading the append only file %s at offset %llu: %s",
             load->path, (unsigned long long)offset, why);
    return KEVYRT_DAMAGED;
}

static enum kevyrt_status fail_stopped(const struct load *load) {
    return server_fail(load->error, KEVYRT_STOPPED, 0, "the server was stopped while it loaded");
}

/* ---- A file of the log -------------------------------------------------------------------------- */

/* The end is missing: only of the last file, and only if the settings allow it. */
static enum kevyrt_status judge_torn(const struct load *load, const struct aof_reader *reader,
                                     bool is_last) {
    const struct config *config = &load->server->config;
    if (!is_last)
        return fail_damaged(load, reader->error_offset, "it is cut off, and not the last file");
    log_line(LOG_WARNING, "!!! Warning: short read while loading the AOF file %s!!!", load->path);
    if (config_number(config, SETTING_AOF_LOAD_TRUNCATED)) {
        log_line(LOG_WARNING, "AOF %s loaded anyway because aof-load-truncated is enabled",
                 load->path);
        return KEVYRT_OK;
    }
    log_line(LOG_WARNING,
             "Unexpected end of file reading the append only file %s. You can: 1) Make a backup of "
             "your AOF file, then use kevyrt-check --fix <filename.manifest>. 2) Alternatively you "
             "can set the 'aof-load-truncated' configuration option to yes and restart the server.",
             load->path);
    return fail_damaged(load, reader->error_offset, reader->text);
}

/* What is behind the last whole piece goes, so that what is logged from now on follows it. */
static enum kevyrt_status cut(const struct load *load, const struct aof_reader *reader, bool torn) {
    const struct disk *disk = load->disk;
    if (reader->whole == reader->size) return KEVYRT_OK;
    if (torn)
        log_line(LOG_WARNING,
                 "Truncating the AOF %s at offset %llu: %llu bytes behind it are no "
                 "whole piece (%s)",
                 load->path, (unsigned long long)reader->whole,
                 (unsigned long long)(reader->size - reader->whole), reader->text);
    int fd = disk->open(disk, load->path, DISK_WRITE);
    int result = fd < 0 ? fd : disk->truncate(disk, fd, reader->whole);
    if (result == 0) result = disk->sync(disk, fd);
    if (fd >= 0) disk->close(disk, fd);
    return result < 0 ? fail_system(load, result, "cut") : KEVYRT_OK;
}

static enum kevyrt_status replay_whole(struct load *load, struct aof_reader *reader, bool is_last) {
    struct replay *replay = &load->replay;
    replay->loaded_before = load->before;
    enum replay_result result = replay_file(replay, reader);
    enum kevyrt_status status = KEVYRT_OK;
    switch (result) {
    case REPLAY_END:
        break;
    case REPLAY_TORN:
        status = judge_torn(load, reader, is_last);
        break;
    case REPLAY_READER:
        if (reader->number) return fail_system(load, reader->number, "read");
        return fail_damaged(load, reader->error_offset, reader->text);
    case REPLAY_REFUSED:
        return fail_damaged(load, replay->failure.offset, replay->failure.text);
    case REPLAY_NO_MEMORY:
        return fail_memory(load);
    case REPLAY_STOPPED:
        return fail_stopped(load);
    }
    if (status != KEVYRT_OK || !is_last || load->again) return status;
    return cut(load, reader, result == REPLAY_TORN);
}

/* How much of the file a dump takes at its beginning; 0: there is none. */
static enum kevyrt_status load_preamble(struct load *load, uint64_t *len) {
    char magic[5];
    *len = 0;
    int fd = load->disk->open(load->disk, load->path, DISK_READ);
    if (fd < 0) return fail_system(load, fd, "open");
    int64_t got = load->disk->read(load->disk, fd, magic, sizeof magic, 0);
    load->disk->close(load->disk, fd);
    if (got < 0) return fail_system(load, (int)got, "read");
    if (got < (int64_t)sizeof magic || memcmp(magic, "REDIS", sizeof magic) != 0) return KEVYRT_OK;
    return dump_load(load->server, load->disk, load->path, load->before, 0, false, len,
                     load->error);
}

static enum kevyrt_status load_file(struct load *load, bool is_base, bool is_last) {
    struct aof_reader reader;
    uint64_t start_ns = clock_monotonic_ns(), offset;
    enum kevyrt_status status = load_preamble(load, &offset);
    if (status != KEVYRT_OK) return status;
    int result = aof_reader_open(&reader, load->disk, load->path, offset);
    if (result < 0) return fail_system(load, result, "open");
    status = replay_whole(load, &reader, is_last);
    load->before += reader.size;
    aof_reader_close(&reader);
    if (status == KEVYRT_OK)
        log_line(LOG_NOTICE, "DB loaded from %s file %s: %.3f seconds", is_base ? "base" : "incr",
                 load->path, seconds_since(start_ns));
    return status;
}

/* ---- The log ------------------------------------------------------------------------------------ */

static enum kevyrt_status file_at(struct load *load, const struct aof_files *files, uint32_t i) {
    int result = aof_files_path(files, files->manifest.files[i].name, load->path);
    return result < 0 ? fail_system(load, result, "find") : KEVYRT_OK;
}

/* All files are there before anything is read. */
static enum kevyrt_status sum_sizes(struct load *load, const struct aof_files *files,
                                    uint64_t *total) {
    *total = 0;
    for (uint32_t i = 0; i < files->manifest.count; i++) {
        if (files->manifest.files[i].kind == AOF_HISTORY) continue;
        enum kevyrt_status status = file_at(load, files, i);
        if (status != KEVYRT_OK) return status;
        int fd = load->disk->open(load->disk, load->path, DISK_READ);
        if (fd < 0) return fail_system(load, fd, "open");
        int64_t size = load->disk->size(load->disk, fd);
        load->disk->close(load->disk, fd);
        if (size < 0) return fail_system(load, (int)size, "read");
        *total += (uint64_t)size;
    }
    return KEVYRT_OK;
}

static uint32_t last_file(const struct aof_manifest *manifest) {
    uint32_t last = 0;
    for (uint32_t i = 0; i < manifest->count; i++)
        if (manifest->files[i].kind != AOF_HISTORY) last = i;
    return last;
}

static void report_errors(struct replay *replay) {
    uint64_t errors = atomic_load_relaxed(&replay->errors);
    if (errors)
        log_line(LOG_WARNING,
                 "%llu commands of the log replied an error, one of them at offset %llu",
                 (unsigned long long)errors,
                 (unsigned long long)atomic_load_relaxed(&replay->error_offset));
}

static enum kevyrt_status replay_log(struct load *load, const struct aof_files *files) {
    enum kevyrt_status status = KEVYRT_OK;
    uint32_t last = last_file(&files->manifest);
    uint64_t start_ns = clock_monotonic_ns();
    for (uint32_t i = 0; status == KEVYRT_OK && i < files->manifest.count; i++) {
        const struct aof_file *file = &files->manifest.files[i];
        if (file->kind == AOF_HISTORY) continue;
        status = file_at(load, files, i);
        if (status == KEVYRT_OK) status = load_file(load, file->kind == AOF_BASE, i == last);
    }
    report_errors(&load->replay);
    if (status == KEVYRT_OK)
        log_line(LOG_NOTICE, "DB loaded from append only file: %.3f seconds",
                 seconds_since(start_ns));
    return status;
}

static enum kevyrt_status load_log(struct load *load, const struct aof_files *files) {
    uint64_t total;
    struct loading_progress *progress = &load->server->loading;
    enum kevyrt_status status = sum_sizes(load, files, &total);
    if (status != KEVYRT_OK) return status;
    atomic_store_relaxed(&progress->total_bytes, total);
    load->replay = (struct replay){
        .fabric = &load->server->fabric,
        .keep_on = keep_on,
        .context = load->server,
        .loaded = &progress->loaded_bytes,
        .delay_us = config_number(&load->server->config, SETTING_KEY_LOAD_DELAY),
    };
    int result = replay_init(&load->replay);
    if (result < 0) return fail_system(load, result, "start threads to load");
    status = replay_log(load, files);
    replay_deinit(&load->replay);
    return status;
}

static const char *dir_of(const struct kevyrt_server *server) {
    const char *dir = config_text(&server->config, SETTING_DIR);
    return *dir ? dir : ".";
}

static enum kevyrt_status open_log(struct load *load, struct aof_files *files) {
    char why[AOF_WHY_MAX];
    const struct config *config = &load->server->config;
    struct aof_place place = {.disk = load->disk,
                              .dir = dir_of(load->server),
                              .folder = config_text(config, SETTING_APPENDDIRNAME),
                              .name = config_text(config, SETTING_APPENDFILENAME)};
    (void)snprintf(load->path, sizeof load->path, "%s/%s/%s.manifest", place.dir, place.folder,
                   place.name);
    int result = aof_files_open(files, &place, why);
    if (result == 0) return KEVYRT_OK;
    if (result == -EINVAL && *why) return fail_damaged(load, 0, why);
    return *why && result != -ENOMEM ? server_fail(load->error, KEVYRT_SYSTEM, result, "%s: %s",
                                                   why, system_error_text(result))
                                     : fail_system(load, result, "open");
}

/* ---- A dump ------------------------------------------------------------------------------------- */

static enum kevyrt_status load_dump(struct load *load) {
    uint64_t len, start_ns = clock_monotonic_ns();
    (void)snprintf(load->path, sizeof load->path, "%s/%s", dir_of(load->server),
                   config_text(&load->server->config, SETTING_DBFILENAME));
    int fd = load->disk->open(load->disk, load->path, DISK_READ);
    if (fd == -ENOENT) return KEVYRT_OK;
    if (fd < 0) return fail_system(load, fd, "open");
    int64_t size = load->disk->size(load->disk, fd);
    load->disk->close(load->disk, fd);
    if (size < 0) return fail_system(load, (int)size, "read");
    atomic_store_relaxed(&load->server->loading.total_bytes, (uint64_t)size);
    enum kevyrt_status status =
        dump_load(load->server, load->disk, load->path, 0, domain_now(&load->server->fabric.domain),
                  load->replace, &len, load->error);
    if (status == KEVYRT_OK)
        log_line(LOG_NOTICE, "DB loaded from disk: %.3f seconds", seconds_since(start_ns));
    return status;
}

/* ---- All of it ---------------------------------------------------------------------------------- */

void loading_show(struct loading_progress *progress) {
    atomic_store_relaxed(&progress->started_s, (uint64_t)clock_wall_ms() / 1000);
    atomic_store_relaxed(&progress->started_ns, clock_monotonic_ns());
    atomic_store_relaxed(&progress->total_bytes, 0);
    atomic_store_relaxed(&progress->loaded_bytes, 0);
    atomic_store_relaxed(&progress->dump_used_bytes, 0);
    atomic_store_relaxed(&progress->active, 1);
}

void loading_note(struct loading_figures *figures, uint64_t expired, uint64_t loaded) {
    atomic_store_relaxed(&figures->keys_expired, expired);
    atomic_store_relaxed(&figures->keys_loaded, loaded);
}

bool loading_begin(struct kevyrt_server *server) {
    if (!caller_take_all(&server->fabric)) return false;
    server->fabric.domain.gates |= GATE_LOADING;
    caller_drop_all(&server->fabric);
    return true;
}

void loading_end(struct kevyrt_server *server, bool good) {
    struct fabric *fabric = &server->fabric;
    atomic_store_relaxed(&server->loading.active, 0);
    if (!caller_take_all(fabric)) return;
    fabric->domain.gates &= ~(uint32_t)GATE_LOADING;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        if (keyspace_has_deadlines(fabric->keyspaces[i]))
            inbox_wake(&fabric->shards[i]->inbox); /* what has expired goes now */
    if (good && atomic_load_relaxed(&server->log.aof) && !aof_owner_log(server))
        aof_owner_attach(server);
    caller_drop_all(fabric);
}

/* What was loaded is no change, and was looked for by nobody: what was counted before is kept, or put back. */
static void exchange_figures(struct load *load, bool back) {
    struct fabric *fabric = &load->server->fabric;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct shard *shard = fabric->shards[i];
        struct figures *figures = &load->figures[i];
        struct keyspace_stats *stats = &shard->data.keyspace.stats;
        uint64_t *now[] = {&shard->data.effects.dirty, &stats->hits, &stats->misses};
        if (baton_set_take(&fabric->set, shard->own, FUTEX_NO_DEADLINE) != BATON_TAKEN) return;
        for (size_t n = 0; n < sizeof now / sizeof *now; n++)
            if (back) *now[n] = figures->counts[n];
            else figures->counts[n] = *now[n];
        baton_set_drop(&fabric->set, shard->own);
    }
}

static enum kevyrt_status load_all(struct load *load, struct aof_files *files) {
    const struct config *config = &load->server->config;
    if (!config_number(config, SETTING_APPENDONLY))
        return server_reads_dump(load->server) ? load_dump(load) : KEVYRT_OK;
    enum kevyrt_status status = open_log(load, files);
    if (status != KEVYRT_OK) return status;
    if (aof_files_are_there(files)) status = load_log(load, files);
    if (status != KEVYRT_OK) aof_files_deinit(files);
    return status;
}

enum kevyrt_status loading_run(struct kevyrt_server *server, struct aof_files *files,
                               struct kevyrt_error *error) {
    struct load load = {.server = server, .disk = server_disk(server), .error = error};
    *files = (struct aof_files){0};
    loading_show(&server->loading);
    exchange_figures(&load, false);
    enum kevyrt_status status = load_all(&load, files);
    exchange_figures(&load, true);
    return status;
}

/* ---- At run time -------------------------------------------------------------------------------- */

static enum kevyrt_status load_log_again(struct load *load) {
    char why[AOF_WHY_MAX];
    struct aof_files files;
    struct aof_place place;
    aof_owner_place(load->server, &place);
    (void)snprintf(load->path, sizeof load->path, "%s/%s/%s.manifest", place.dir, place.folder,
                   place.name);
    int result = aof_files_look(&files, &place, why);
    if (result < 0) return fail_system(load, result, "open");
    enum kevyrt_status status = load_log(load, &files);
    aof_files_deinit(&files);
    return status;
}

enum kevyrt_status loading_again(struct kevyrt_server *server, bool of_log, bool replace,
                                 struct kevyrt_error *error) {
    struct load load = {.server = server,
                        .disk = server_disk(server),
                        .error = error,
                        .again = true,
                        .replace = replace};
    exchange_figures(&load, false);
    enum kevyrt_status status = of_log ? load_log_again(&load) : load_dump(&load);
    exchange_figures(&load, true);
    return status;
}
