/* Checkpoints: all data goes back to what it was, at one instant, in time proportional to what has changed (store/checkpoint.h).
 *
 * take: all batons, O(shards and databases). Each keyspace keeps what changes from then on.
 * rewind: all batons. What needs memory is made first, so that the data is one or the other; then databases that were emptied,
 *   exchanged or restored are put back, as SWAPDB declares it, and keys one by one, as a command that changes them does, without a
 *   notification. Who waits for a key that is there now is served before any baton drops.
 * There is one checkpoint at a time, and none beside an append-only log, which could not tell what came of it. One that nobody wants any
 * more while a restore goes on is ended by the next.
 */
#include <errno.h>

#include "base/mem.h"
#include "server/server.h"
#include "shard/blocking/waiting.h"
#include "shard/caller.h"
#include "shard/pause.h"
#include "shard/shard.h"
#include "store/checkpoint.h"

struct kevyrt_checkpoint {
    struct kevyrt_server *server; /* counted */
};

/* ---- Parts ------------------------------------------------------------------------------------- */

static bool is_there(const struct fabric *fabric) {
    return fabric->keyspaces[0]->checkpoint != NULL;
}

static void end_parts(struct fabric *fabric) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        checkpoint_end(fabric->keyspaces[i]->checkpoint, fabric->domain.taker);
}

/* All or none. */
static bool make_parts(struct fabric *fabric, struct checkpoint_part **parts) {
    uint32_t count = fabric->settings.shard_count;
    for (uint32_t i = 0; i < count; i++) {
        parts[i] = checkpoint_new(fabric->keyspaces[i]);
        if (parts[i]) continue;
        while (i > 0) checkpoint_free(parts[--i]);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) checkpoint_begin(parts[i]);
    return true;
}

/* ---- With all batons ---------------------------------------------------------------------------- */

static enum kevyrt_status refuse(struct kevyrt_error *error, const char *why) {
    return server_fail(error, KEVYRT_REFUSED, 0, "%s", why);
}

/* May marks be turned, and databases lie aside? */
static enum kevyrt_status check(struct kevyrt_server *server, struct kevyrt_error *error) {
    struct fabric *fabric = &server->fabric;
    if (fabric->domain.gates & GATE_LOADING) return refuse(error, "the server is loading");
    if (atomic_load_acquire(&server->restoring.running))
        return refuse(error, "a restore is in progress");
    if (fabric->sink.wanted & EFFECT_LOG)
        return refuse(error, "there are no checkpoints with appendonly; restore a snapshot");
    return KEVYRT_OK;
}

static enum kevyrt_status check_own(const struct kevyrt_checkpoint *checkpoint,
                                    struct kevyrt_error *error) {
    struct kevyrt_server *server = checkpoint->server;
    if (!is_there(&server->fabric) || server->rewinding.owner != checkpoint)
        return refuse(error, "the checkpoint is gone: the server was stopped since");
    return check(server, error);
}

static enum kevyrt_status take(struct kevyrt_checkpoint *checkpoint, struct kevyrt_error *error) {
    struct kevyrt_server *server = checkpoint->server;
    struct checkpoint_part *parts[KEVYRT_SHARDS_MAX];
    enum kevyrt_status status = check(server, error);
    if (status != KEVYRT_OK) return status;
    if (is_there(&server->fabric)) {
        if (server->rewinding.owner) return refuse(error, "there is a checkpoint already");
        end_parts(&server->fabric);
    }
    if (!make_parts(&server->fabric, parts))
        return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
    server->rewinding.owner = checkpoint;
    return KEVYRT_OK;
}

static enum kevyrt_status renew(struct kevyrt_checkpoint *checkpoint, struct kevyrt_error *error) {
    struct fabric *fabric = &checkpoint->server->fabric;
    enum kevyrt_status status = check_own(checkpoint, error);
    if (status != KEVYRT_OK) return status;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        if (!checkpoint_is_clean(fabric->keyspaces[i]->checkpoint))
            checkpoint_renew(fabric->keyspaces[i]->checkpoint, fabric->domain.taker);
    return KEVYRT_OK;
}

static void drop(const struct kevyrt_checkpoint *checkpoint) {
    struct kevyrt_server *server = checkpoint->server;
    if (!is_there(&server->fabric) || server->rewinding.owner != checkpoint) return;
    server->rewinding.owner = NULL;
    if (!atomic_load_acquire(&server->restoring.running)) end_parts(&server->fabric);
}

/* ---- Going back, with all batons ----------------------------------------------------------------- */

/* Of any shard. */
static bool is_replaced(const struct fabric *fabric, uint32_t db) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        if (checkpoint_is_replaced(fabric->keyspaces[i]->checkpoint, db)) return true;
    return false;
}

static void show(struct fabric *fabric, uint32_t db, bool shown) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        checkpoint_show(fabric->keyspaces[i]->checkpoint, db, shown);
}

/* Before it happens. Returns how many databases are put back as a whole. */
static uint32_t announce(struct fabric *fabric, struct call *call) {
    uint32_t replaced = 0;
    for (uint32_t db = 0; db < fabric->domain.database_count; db++) {
        if (!is_replaced(fabric, db)) continue;
        show(fabric, db, true);
        effect_put_back_begin(call, db);
        show(fabric, db, false);
        replaced++;
    }
    if (replaced) effect_put_back_flush(call);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        call->effects->dirty += checkpoint_changes(fabric->keyspaces[i]->checkpoint);
    return replaced;
}

struct telling {
    struct call *call;
    struct keyspace *keyspace;
};

static void tell_key(void *context, uint32_t db, uint64_t hash, struct bytes key, int type) {
    const struct telling *telling = context;
    struct key_place place = {key, hash, telling->keyspace, db};
    effect_touch(telling->call, &place);
    if (type >= 0) effect_ready(telling->call, &place, (enum value_type)type);
}

/* Behind it. */
static void tell(struct fabric *fabric, struct call *call, uint32_t replaced) {
    for (uint32_t db = 0; replaced && db < fabric->domain.database_count; db++)
        effect_put_back(call, db);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        struct telling telling = {call, fabric->keyspaces[i]};
        if (effects_want(call->effects, EFFECT_TOUCH | EFFECT_READY) || telling.keyspace->wanted)
            checkpoint_walk(telling.keyspace->checkpoint, tell_key, &telling);
    }
}

static bool prepare(struct fabric *fabric) {
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        if (checkpoint_prepare(fabric->keyspaces[i]->checkpoint)) continue;
        while (i > 0) checkpoint_abandon(fabric->keyspaces[--i]->checkpoint);
        return false;
    }
    return true;
}

static void go_back(struct fabric *fabric) {
    struct call call = {.domain = &fabric->domain, .effects = &fabric->shards[0]->data.effects};
    domain_keep_time(&fabric->domain);
    uint32_t replaced = announce(fabric, &call);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        checkpoint_commit(fabric->keyspaces[i]->checkpoint, fabric->domain.taker);
    tell(fabric, &call, replaced);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        checkpoint_clear(fabric->keyspaces[i]->checkpoint);
}

static enum kevyrt_status rewind_all(struct kevyrt_checkpoint *checkpoint,
                                     struct kevyrt_error *error) {
    struct fabric *fabric = &checkpoint->server->fabric;
    bool clean = true;
    enum kevyrt_status status = check_own(checkpoint, error);
    if (status != KEVYRT_OK) return status;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        const struct checkpoint_part *part = fabric->keyspaces[i]->checkpoint;
        clean = clean && checkpoint_is_clean(part);
        if (checkpoint_has_failed(part))
            return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM,
                               "the checkpoint is lost: no memory to keep what has changed since");
    }
    if (clean) return KEVYRT_OK;
    if (!prepare(fabric)) return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
    go_back(fabric);
    return KEVYRT_OK;
}

/* ---- The interface ------------------------------------------------------------------------------- */

static enum kevyrt_status run(struct kevyrt_checkpoint *checkpoint, struct kevyrt_error *error,
                              enum kevyrt_status (*work)(struct kevyrt_checkpoint *checkpoint,
                                                         struct kevyrt_error *error)) {
    struct kevyrt_server *server = checkpoint->server;
    enum kevyrt_status status = KEVYRT_STOPPED;
    if (!server_enter(server)) return status;
    if (caller_take_all(&server->fabric)) {
        status = work(checkpoint, error);
        caller_drop_all(&server->fabric);
    }
    server_leave(server);
    return status;
}

enum kevyrt_status kevyrt_checkpoint_take(struct kevyrt_server *server,
                                          struct kevyrt_checkpoint **out,
                                          struct kevyrt_error *error) {
    struct kevyrt_checkpoint *checkpoint = mem_calloc(NULL, sizeof *checkpoint);
    if (!checkpoint) return server_fail(error, KEVYRT_NO_MEMORY, ENOMEM, "out of memory");
    kevyrt_server_get(server);
    checkpoint->server = server;
    enum kevyrt_status status = run(checkpoint, error, take);
    if (status == KEVYRT_OK) {
        *out = checkpoint;
        return status;
    }
    kevyrt_server_put(server);
    mem_free(NULL, checkpoint);
    return status;
}

enum kevyrt_status kevyrt_checkpoint_rewind(struct kevyrt_checkpoint *checkpoint,
                                            struct kevyrt_error *error) {
    return run(checkpoint, error, rewind_all);
}

enum kevyrt_status kevyrt_checkpoint_renew(struct kevyrt_checkpoint *checkpoint,
                                           struct kevyrt_error *error) {
    return run(checkpoint, error, renew);
}

enum kevyrt_status kevyrt_server_unpause(struct kevyrt_server *server) {
    struct fabric *fabric = &server->fabric;
    enum kevyrt_status status = KEVYRT_STOPPED;
    if (!server_enter(server)) return status;
    if (caller_take_all(fabric)) {
        if (fabric->domain.gates & GATE_PAUSE) {
            pause_set(fabric, (struct domain_pause){0});
            waiting_resume(fabric->shards[0]);
        }
        caller_drop_all(fabric);
        status = KEVYRT_OK;
    }
    server_leave(server);
    return status;
}

void kevyrt_server_marks(struct kevyrt_server *server, struct kevyrt_marks *out) {
    struct registry *registry = &server->fabric.registry;
    out->settings = atomic_load_relaxed(&server->config.changes);
    pthread_mutex_lock(&registry->lock);
    out->clients = registry->next_id;
    pthread_mutex_unlock(&registry->lock);
}

void kevyrt_checkpoint_put(struct kevyrt_checkpoint *checkpoint) {
    struct kevyrt_server *server = checkpoint->server;
    if (!server->forked && server_enter(server)) {
        if (caller_take_all(&server->fabric)) {
            drop(checkpoint);
            caller_drop_all(&server->fabric);
        }
        server_leave(server);
    }
    kevyrt_server_put(server);
    mem_free(NULL, checkpoint);
}
