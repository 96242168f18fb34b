/* Restoring in place.
 *
 *   load aside ──▶ install
 *       │
 *       └──▶ discard (an error, a stop, a cancellation)
 *
 * load: rdb_load decodes on this thread without a baton, and enters a shard for a short piece of work at a time. What it fills is
 *   aside (aside.h), so no command, expiry, eviction or snapshot meets it.
 *   With a log, what is read is copied into a new base, so that the instant is one of the log too (restore_log.h).
 * install: all batons. As SWAPDB declares it, of every database at once: watches of keys that are there before or behind are broken,
 *   those who cache are told to forget everything, and those who wait for keys that are there now are served, before any
 *   baton drops. What was there goes to the keeper; a snapshot that is being made goes on in it.
 */
#include "server/persistence/restoring/restore.h"

#include "plat/clock.h"
#include "server/persistence/restoring/aside.h"
#include "server/persistence/restoring/restore_log.h"
#include "server/server.h"
#include "shard/caller.h"
#include "shard/pause.h"
#include "shard/shard.h"

/* How often it is looked whether what is in the way is over. */
#define TURN_NS UINT64_C(1000000)

struct restore {
    struct aside aside;
    struct kevyrt_server *server;
    struct fabric *fabric;
    const atomic_u32 *cancelled;
    struct restore_log log;
};

/* ---- The instant ------------------------------------------------------------------------------- */

/* Is a pause of writes in the way, or a load (DEBUG RELOAD)? With all batons. */
static bool is_held_up(const struct domain *domain) {
    bool paused = (domain->gates & GATE_PAUSE) && pause_is_in_force(domain);
    return paused || domain->gates & GATE_LOADING;
}

/* All batons, while nothing is in the way. */
static enum kevyrt_status take_all(const struct restore *restore) {
    struct fabric *fabric = restore->fabric;
    for (;;) {
        if (atomic_load_relaxed(restore->cancelled)) return KEVYRT_CANCELLED;
        if (!caller_take_all(fabric)) return KEVYRT_STOPPED;
        if (!is_held_up(&fabric->domain)) return KEVYRT_OK;
        caller_drop_all(fabric);
        clock_sleep_ns(TURN_NS);
    }
}

static uint64_t count_keys(const struct fabric *fabric) {
    uint64_t keys = 0;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        keys += keyspace_count_all(fabric->keyspaces[i]);
    return keys;
}

static void install(struct restore *restore) {
    struct fabric *fabric = restore->fabric;
    struct call call = {.domain = &fabric->domain, .effects = &fabric->shards[0]->data.effects};
    domain_keep_time(&fabric->domain);
    effect_replace_begin(&call, count_keys(fabric) + restore->aside.target.keys);
    aside_install(&restore->aside);
    effect_replace(&call);
}

static enum kevyrt_status finish(struct restore *restore, struct kevyrt_error *error) {
    enum kevyrt_status status = restore_log_prepare(&restore->log, error);
    if (status == KEVYRT_OK) status = take_all(restore);
    if (status != KEVYRT_OK) return status;
    bool is_same = restore_log_is_same(&restore->log);
    if (is_same) {
        restore_log_commit(&restore->log);
        install(restore);
    }
    caller_drop_all(restore->fabric);
    if (is_same) return KEVYRT_OK;
    return server_fail(error, KEVYRT_REFUSED, 0,
                       "appendonly was changed during the restore; try again");
}

/* ---- All of it ----------------------------------------------------------------------------------- */

static void show_progress(struct restore *restore) {
    struct restoring *progress = &restore->server->restoring;
    restore->aside.source.progress = &progress->loaded_bytes;
    atomic_store_relaxed(&progress->loaded_bytes, 0);
    atomic_store_relaxed(&progress->total_bytes, restore->aside.source.total);
    atomic_store_relaxed(&progress->started_s, (uint64_t)clock_wall_ms() / 1000);
}

static enum kevyrt_status run(struct restore *restore, struct kevyrt_error *error) {
    struct aside *aside = &restore->aside;
    show_progress(restore);
    if (!aside_begin(aside, restore->server)) return KEVYRT_STOPPED;
    enum kevyrt_status status =
        restore_log_begin(&restore->log, restore->server, &aside->source, error);
    /* A key that is left out here would be back when the log is read again. */
    if (restore->log.begun) aside->target.drop_before_ms = 0;
    if (status == KEVYRT_OK) status = aside_load(aside, error);
    if (status == KEVYRT_OK) status = finish(restore, error);
    if (status == KEVYRT_OK)
        loading_note(&restore->server->loaded, aside->target.dropped, aside->target.keys);
    if (status != KEVYRT_OK) aside_discard(aside);
    enum kevyrt_status logged = restore_log_end(&restore->log, error);
    return status == KEVYRT_OK ? logged : status;
}

static enum kevyrt_status run_alone(struct restore *restore, struct kevyrt_error *error) {
    struct kevyrt_server *server = restore->server;
    if (!server_enter(server)) return KEVYRT_STOPPED;
    enum kevyrt_status status;
    if (atomic_swap_acq_rel(&server->restoring.running, 1) == 0) {
        status = run(restore, error);
        atomic_store_release(&server->restoring.running, 0);
    } else {
        status = server_fail(error, KEVYRT_REFUSED, 0, "another restore is in progress");
    }
    server_leave(server);
    return status;
}

enum kevyrt_status restore_run(struct kevyrt_server *server, const struct kevyrt_source *from,
                               const atomic_u32 *cancelled, struct kevyrt_error *error) {
    struct restore restore = {.server = server, .fabric = &server->fabric, .cancelled = cancelled};
    struct dump_source *source = &restore.aside.source;
    int result = dump_source_open(source, server_disk(server), from, cancelled);
    if (result < 0) return server_fail_file(error, result, from->path);
    enum kevyrt_status status = run_alone(&restore, error);
    dump_source_close(source);
    return status;
}
