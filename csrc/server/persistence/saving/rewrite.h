/* BGREWRITEAOF: a snapshot as the new base of the append-only log.
 *
 * Role: a sink into the log (aof/aof.h), or, while there is no log, into its files, and what is known of the last rewrite.
 * Threads: persistence_rewrite_begin with all batons, between two calls; the sink, on the snapshots' thread; the rest as said. State is
 * under the lock of struct persistence.
 * Errors: one that fails leaves the log as it was; the next automatic one waits, longer each time.
 */
#pragma once

#include "aof/aof.h"
#include "shard/snapshot/snapshot.h"

struct kevyrt_server;

struct rewriting {
    struct snapshot_sink sink;
    struct kevyrt_server *server;
    /* From the beginning to the end of a rewrite; who begins, then the snapshots' thread. */
    struct aof_rewrite log;
    struct aof_files files; /* without a log */
    bool has_log, has_files, as_dump;
    int fd, error; /* of the base, without a log */
    uint64_t len;
    /* Under the lock. */
    bool running, begun, scheduled;
    int refusal; /* why it could not begin; 0 */
    bool last_failed;
    int64_t begun_s, tried_s, took_s; /* wall clock; took_s: -1 before the first */
    uint64_t rewrites;
    uint32_t failures; /* one after the other */
    atomic_u32 ended;  /* futex: counts the ends; seq_cst */
};

struct rewrite_status {
    bool running, scheduled, last_failed;
    int64_t last_took_s, since_s; /* -1: none; of the one that runs, or -1 */
    uint64_t rewrites;
    uint32_t failures; /* one after the other */
};
void rewrite_status_get(struct kevyrt_server *server, struct rewrite_status *out);
bool rewrite_is_running(struct kevyrt_server *server);

/* Before each start. */
void rewrite_init(struct kevyrt_server *server);
/* With all batons, between two calls. It may still have to wait for the end of another snapshot. 0, or a negative errno value: -EBUSY if
 * one runs. */
int persistence_rewrite_begin(struct kevyrt_server *server);
/* No baton held: the one that runs is given up, and has ended at the return. The log, if there is one, still runs. */
void persistence_rewrite_stop(struct kevyrt_server *server);

/* ---- The thread of struct persistence ---------------------------------------------------------------- */
/* With all batons: begins what waits; -EBUSY: it still has to. */
int rewrite_try(struct kevyrt_server *server);
/* No baton held: ends one that could not begin. */
void rewrite_refused(struct kevyrt_server *server);
/* With a baton: has the log a gap, that nothing else ends? */
bool rewrite_is_needed(struct kevyrt_server *server);
/* With a baton: has the log grown so much that it is to be rewritten, and is it asked for? */
bool rewrite_is_automatic(struct kevyrt_server *server);
bool rewrite_is_due(struct kevyrt_server *server);

void rewrite_commands_bind(void);
