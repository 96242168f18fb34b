#include "server/persistence/loading/initial.h"

#include <errno.h>

#include "plat/errors.h"
#include "server/persistence/restoring/aside.h"
#include "server/server.h"
#include "shard/caller.h"
#include "shard/shard.h"

struct initial {
    struct aside aside;
    struct kevyrt_server *server;
    struct aof_files *files;
    bool logs;
    int fd; /* of the new base */
    uint64_t len;
};

bool initial_is_wanted(const struct kevyrt_server *server) {
    bool logs = config_number(&server->config, SETTING_APPENDONLY);
    return server->initial_is_set && !(logs && server->initial_is_logged);
}

void kevyrt_server_load(struct kevyrt_server *server, const struct kevyrt_source *source) {
    server->initial_is_set = source != NULL;
    server->initial_is_logged = false;
    if (source) server->initial = *source;
}

/* ---- The log ----------------------------------------------------------------------------------- */

static enum kevyrt_status fail_log(int number, struct kevyrt_error *error) {
    return server_fail(error, KEVYRT_SYSTEM, number, "cannot write the append-only log: %s",
                       system_error_text(number));
}

static int copy(void *context, const void *at, size_t len) {
    struct initial *initial = context;
    int result = disk_write_all(initial->files->disk, initial->fd, at, len, initial->len);
    if (result == 0) initial->len += len;
    return result;
}

static enum kevyrt_status open_files(struct initial *initial, struct kevyrt_error *error) {
    char why[AOF_WHY_MAX];
    struct aof_place place;
    aof_owner_place(initial->server, &place);
    int result = aof_files_open(initial->files, &place, why);
    if (result < 0 && *why) return server_fail(error, KEVYRT_SYSTEM, result, "%s", why);
    if (result < 0) return fail_log(result, error);
    if (!aof_files_are_there(initial->files)) return KEVYRT_OK;
    return server_fail(error, KEVYRT_BAD_CONFIG, 0,
                       "there is an append-only log in %.300s already: start without `load` to go "
                       "on with it, or move it away",
                       initial->files->folder);
}

static enum kevyrt_status begin_base(struct initial *initial, struct kevyrt_error *error) {
    enum kevyrt_status status = open_files(initial, error);
    if (status != KEVYRT_OK) return status;
    int result = aof_files_open_base(initial->files, &initial->fd);
    if (result < 0) return fail_log(result, error);
    initial->aside.source.copy = copy;
    initial->aside.source.copy_context = initial;
    result = dump_source_begin(&initial->aside.source);
    return result < 0 ? fail_log(result, error) : KEVYRT_OK;
}

static enum kevyrt_status end_base(struct initial *initial, bool good, struct kevyrt_error *error) {
    struct aof_files *files = initial->files;
    int result = good ? files->disk->sync(files->disk, initial->fd) : 0;
    if (initial->fd >= 0) files->disk->close(files->disk, initial->fd);
    if (good && result == 0)
        result = aof_files_install(files, true, files->manifest.incr_seq + 1, false);
    if (good && result == 0) return KEVYRT_OK;
    if (initial->fd >= 0) aof_files_drop_base(files);
    return good ? fail_log(result, error) : KEVYRT_OK;
}

/* ---- All of it ----------------------------------------------------------------------------------- */

static enum kevyrt_status read_all(struct initial *initial, struct kevyrt_error *error) {
    struct aside *aside = &initial->aside;
    struct kevyrt_server *server = initial->server;
    aside->watched = true;
    aside->source.progress = &server->loading.loaded_bytes;
    atomic_store_relaxed(&server->loading.total_bytes, aside->source.total);
    if (!aside_begin(aside, server)) return KEVYRT_STOPPED;
    if (initial->logs) aside->target.drop_before_ms = 0; /* as in restore.c */
    enum kevyrt_status status = aside_load(aside, error);
    if (status == KEVYRT_STOPPED)
        server_fail(error, status, 0, "the server was stopped while it loaded");
    if (status != KEVYRT_OK) return status;
    loading_note(&server->loaded, aside->target.dropped, aside->target.keys);
    if (!caller_take_all(&server->fabric)) return KEVYRT_STOPPED;
    aside_install(aside);
    caller_drop_all(&server->fabric);
    return KEVYRT_OK;
}

static enum kevyrt_status run(struct initial *initial, struct kevyrt_error *error) {
    enum kevyrt_status status = initial->logs ? begin_base(initial, error) : KEVYRT_OK;
    if (status == KEVYRT_OK) status = read_all(initial, error);
    if (!initial->logs) return status;
    enum kevyrt_status ended = end_base(initial, status == KEVYRT_OK, error);
    if (status == KEVYRT_OK) status = ended;
    initial->server->initial_is_logged = status == KEVYRT_OK;
    if (status != KEVYRT_OK) aof_files_deinit(initial->files);
    return status;
}

enum kevyrt_status initial_run(struct kevyrt_server *server, struct aof_files *files,
                               struct kevyrt_error *error) {
    static const atomic_u32 never;
    struct initial initial = {.server = server, .files = files, .fd = -1};
    const struct kevyrt_source *from = &server->initial;
    *files = (struct aof_files){0};
    initial.logs = config_number(&server->config, SETTING_APPENDONLY);
    loading_show(&server->loading);
    int result = dump_source_open(&initial.aside.source, server_disk(server), from, &never);
    if (result < 0) return server_fail_file(error, result, from->path);
    enum kevyrt_status status = run(&initial, error);
    dump_source_close(&initial.aside.source);
    return status;
}
