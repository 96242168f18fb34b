/* What makes data outlive the process, beside the log: saves, and when they are made. Internal to server/.
 *
 * Role: one struct in each server, with a thread that is there while the server runs. It begins what is due (save points, automatic
 * rewrites) or was put off, and saves when the server is to end. Snapshots (shard/snapshot/) do the work.
 * Threads: as said. `lock` is a leaf: held for a few loads and stores, by holders of batons too.
 * Bounds: the thread sleeps while nothing has changed since the last save or nobody wants to know.
 */
#pragma once

#include <pthread.h>

#include "cmd/call.h"
#include "server/kevyrt.h"
#include "server/persistence/saving/rewrite.h"
#include "server/persistence/saving/save.h"

enum { SAVE_POINTS_MAX = 128 };

struct save_point {
    int64_t seconds;
    uint64_t changes;
};

/* How a server is to end (SHUTDOWN, a stop). */
enum shutdown_flags {
    SHUTDOWN_SAVE = 1,
    SHUTDOWN_NOSAVE = 2,
    SHUTDOWN_NOW = 4,
    SHUTDOWN_FORCE = 8
};

struct persistence {
    struct kevyrt_server *server;
    pthread_mutex_t lock;
    pthread_t thread;
    bool has_thread;   /* `control` of the server */
    atomic_u32 ending; /* who stops; the thread; acquire-release */
    atomic_u32 bell;   /* futex: rung for every change; seq_cst */
    struct saving saving;
    struct rewriting rewriting;
    struct save_point points[SAVE_POINTS_MAX]; /* lock */
    uint32_t point_count;                      /* lock */
    uint64_t seen_changes;                     /* the thread */
    /* A save before the end. */
    bool end_claimed, end_wanted, end_begun, end_saved, end_failed, end_forced,
        end_from_outside;      /* lock */
    struct waiter *end_waiter; /* lock: who is told if it fails, or NULL */
    struct waiter *end_answer; /* the thread, then the stop: the same, when it did not fail */
    atomic_u32 end_is_asked;   /* SHUTDOWN is through: a stop does not save again; any, seq_cst */
    atomic_u32 end_done;       /* futex, for a stop from outside; seq_cst */
    bool end_paused;           /* the thread: writes are stopped for it */
    struct domain_pause end_pause; /* the thread: what was in force before */
};

/* Once per server; again before each start. */
void persistence_init(struct kevyrt_server *server);
void persistence_deinit(struct kevyrt_server *server);
/* The shards run and have their data. 0 or a negative errno value. */
int persistence_start(struct kevyrt_server *server);
/* Before the shards stop: the thread ends. */
void persistence_stop(struct kevyrt_server *server);
/* When they have stopped. */
void persistence_stopped(struct kevyrt_server *server);
/* The settings have changed; with all batons. */
void persistence_apply(struct kevyrt_server *server);
/* Any thread: the thread looks round. */
void persistence_ring(struct kevyrt_server *server);
/* Of what is marked so, in `persistence` and its parts; a leaf. */
void persistence_lock(struct kevyrt_server *server);
void persistence_unlock(struct kevyrt_server *server);
/* Wall time in seconds, as INFO shows it. */
int64_t persistence_now_s(void);

/* Must the end be preceded by a save? With a baton, or when nobody else can change the settings. */
bool persistence_must_save(struct kevyrt_server *server, uint32_t shutdown_flags);
/* For one SHUTDOWN at a time that has to save. False: one is going on. */
bool persistence_may_end(struct kevyrt_server *server);
void persistence_end_no_more(struct kevyrt_server *server);
/* Behind persistence_may_end: saves, with writes stopped, and then lets the keeper stop the server; or answers the waiter
 * (shard/blocking/await.h) with an error, and all goes on. Any thread. */
void persistence_shutdown(struct kevyrt_server *server, struct waiter *waiter,
                          uint32_t shutdown_flags);
/* The same for a stop from outside, which comes next whatever happens: returns when it is saved, or could not be. */
void persistence_save_before_stop(struct kevyrt_server *server);

/* With all batons. */
void persistence_stats(struct kevyrt_server *server, struct kevyrt_persistence_stats *out);

/* A save has ended; with the lock. */
void persistence_note_saved(struct kevyrt_server *server, bool good);

/* Changes of the data so far; takes the places one by one. `call`: the thread is rung at the next one. False: the server stops. */
bool persistence_changes(struct kevyrt_server *server, uint64_t *changes, bool call);
