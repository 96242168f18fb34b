#include "server/alter.h"

#include "shard/caller.h"

/* False: it does not run, or not any more. */
static bool alter_running(struct kevyrt_server *server,
                          void (*alter)(struct fabric *fabric, void *context), void *context) {
    if (!server_enter(server)) return false;
    bool taken = caller_take_all(&server->fabric);
    if (taken) {
        alter(&server->fabric, context);
        caller_drop_all(&server->fabric);
    }
    server_leave(server);
    return taken;
}

/* Whoever starts or stops it has the lock. False: it runs now. */
static bool alter_stopped(struct kevyrt_server *server,
                          void (*alter)(struct fabric *fabric, void *context), void *context) {
    pthread_mutex_lock(&server->life);
    bool stopped = atomic_load_acquire(&server->state) == SERVER_STOPPED;
    if (stopped) alter(&server->fabric, context);
    pthread_mutex_unlock(&server->life);
    return stopped;
}

enum kevyrt_status server_alter(struct kevyrt_server *server,
                                void (*alter)(struct fabric *fabric, void *context), void *context,
                                bool *running, struct kevyrt_error *error) {
    if (server->forked) return KEVYRT_STOPPED;
    for (;;) {
        *running = alter_running(server, alter, context);
        if (*running) return KEVYRT_OK;
        if (server_is_starting_here(server))
            return server_fail(error, KEVYRT_REFUSED, 0, "the server is just being started");
        if (alter_stopped(server, alter, context)) return KEVYRT_OK;
    }
}
