/* DEBUG RELOAD and DEBUG LOADAOF: the data is read again from its files, while the server runs.
 *
 * Role: a thread saves, if that is wanted, empties the databases and loads; meanwhile GATE_LOADING refuses who needs data, and the
 * client waits. No write comes between the cut of the save and the gate: if one did, it is saved again.
 * Threads: debug_reload and debug_loadaof with all batons; the thread; reload_stop by who stops the server.
 * Errors: replies. If the file cannot be loaded, what was read so far is the data: redis-server ends then.
 */
#pragma once

#include <pthread.h>

#include "base/atomic.h"

struct call;
struct kevyrt_server;
struct waiter;

enum reload_state {
    RELOAD_NONE,
    RELOAD_READY, /* the thread is there, and waits for who begins */
    RELOAD_RUNS,
    RELOAD_CANCELLED, /* there was no memory to wait with: the thread ends */
};

struct reload {
    struct kevyrt_server *server;
    pthread_t thread;
    bool has_thread;    /* who begins, with all batons; who stops */
    pthread_t previous; /* it has ended, or is about to: the thread joins it */
    bool has_previous;
    atomic_u32 running; /* futex, enum reload_state: who begins, then the thread; seq_cst */
    atomic_u32 ended;   /* the server stops; relaxed */
    bool of_log, saves, flushes, merges;
    struct waiter *waiter;
};

void debug_reload(struct call *call);
void debug_loadaof(struct call *call);
/* Before the shards stop. */
void reload_stop(struct kevyrt_server *server);
