/* BGREWRITEAOF: a snapshot as the new base of the append-only log.
 *
 * Role: a sink into the log's files (aof/aof.h), and what is known of the last rewrite.
 * Threads: rewrite_begin with all batons, between two calls; the rest any. State is under the lock of struct persistence.
 * Errors: one that fails leaves the log as it was; the next automatic one waits longer.
 */
#pragma once

#include "shard/snapshot/snapshot.h"

struct kevyrt_server;

struct rewriting {
    struct snapshot_sink sink;
    struct kevyrt_server *server;
    /* Under the lock. */
    bool running, begun, scheduled;
    bool last_failed;
    int64_t begun_s, took_s; /* wall clock; took_s: -1 before the first */
    uint64_t rewrites;
    uint32_t failures; /* one after the other */
};

struct rewrite_status {
    bool running, scheduled, last_failed;
    int64_t last_took_s, since_s; /* -1: none; of the one that runs, or -1 */
    uint64_t rewrites;
};
void rewrite_status_get(struct kevyrt_server *server, struct rewrite_status *out);
bool rewrite_is_running(struct kevyrt_server *server);
