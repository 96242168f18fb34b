/* What the files of calls in process share: calls.c and pipelines.c.
 *
 * Threads: whoever calls. Errors: enum kevyrt_status.
 */
#pragma once

#include "server/server.h"
#include "shard/caller.h"
#include "shard/shard.h"

struct kevyrt_session {
    struct kevyrt_server *server; /* counted */
    struct client client;
};

enum kevyrt_status calls_status_of(enum caller_result result);

/* Of a client that is inside no call. */
static inline void calls_select(struct client *client, uint32_t db) {
    client->db = db;
    atomic_store_relaxed(&client->card->db, db);
}

/* Whoever may sleep is counted. Who only tries asks the state as well: a refusal takes no baton. */
static inline bool calls_begin(struct kevyrt_server *server, enum kevyrt_wait wait) {
    return wait != KEVYRT_TRY ? server_enter(server) : kevyrt_server_running(server);
}

static inline enum caller_patience calls_patience(enum kevyrt_wait wait) {
    if (wait == KEVYRT_TRY) return CALLER_TRIES;
    return wait == KEVYRT_WAIT_BRIEFLY ? CALLER_WAITS_BRIEFLY : CALLER_WAITS;
}

static inline void calls_end(struct kevyrt_server *server, enum kevyrt_wait wait) {
    if (wait != KEVYRT_TRY) server_leave(server);
}

/* Nobody is told of what is done before the log is safe so far. With nothing held. */
enum kevyrt_status calls_await_log(struct kevyrt_server *server, uint64_t ticket,
                                   enum kevyrt_wait wait);

static inline enum kevyrt_status calls_position_status(struct kevyrt_server *server,
                                                       uint64_t ticket, enum kevyrt_wait wait) {
    return KRT_LIKELY(ticket == 0) ? KEVYRT_OK : calls_await_log(server, ticket, wait);
}

/* Moves what is pending, `len` bytes, out of the reply. */
void calls_gather(struct reply *from, char *to, size_t len);
