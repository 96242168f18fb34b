/* The server: configuration, life cycle, listeners. Internal to server/.
 *
 * Threads: see server.c. Handlers reach it through call_server.
 */
#pragma once

#include <pthread.h>

#include "server/config.h"
#include "server/keeper.h"
#include "server/kevyrt.h"
#include "server/migrate/migrate.h"
#include "server/persistence/aof_owner.h"
#include "server/persistence/loading/loading.h"
#include "server/persistence/loading/reload.h"
#include "server/persistence/persistence.h"
#include "server/persistence/restoring/progress.h"
#include "server/persistence/restoring/rewinding.h"
#include "shard/fabric.h"
#include "shard/message.h"

enum { HOST_MAX = 256 };

enum server_state { SERVER_STOPPED, SERVER_RUNNING, SERVER_STOPPING };

/* What a survey leaves to the next one. */
struct survey_memory {
    atomic_u64 from;      /* where that begins; any, relaxed: a hint */
    atomic_u32 is_in_use; /* by a survey, which may look at the rest; any, by a swap */
    uint32_t big_count;
    struct kevyrt_key_stats big[KEVYRT_KEYS_NAMED]; /* the biggest keys that were ever seen */
};

struct kevyrt_server {
    atomic_u32 references; /* any thread; put acq_rel */
    atomic_u32 state;      /* enum server_state; writer: holder of `life`; any reader, acquire */
    atomic_u32 ends;       /* futex: counts the stops, for kevyrt_server_wait; seq_cst */
    atomic_u32 waiters;    /* futex: callers that may sleep on a baton (server_enter); seq_cst */
    bool forked;           /* this is a child's copy; written by the fork handler only */
    bool keeper_running;   /* control */
    atomic_u32 port;       /* bound by the last start or CONFIG SET, or 0; relaxed */
    char host[HOST_MAX];   /* life: what was bound first, or "" */
    bool unix_bound;       /* life: the socket file is ours to remove */
    char door[KEVYRT_DOOR_PATH_MAX]; /* life: the path of the door's socket, or "" */
    struct fabric fabric;
    struct command_names names; /* of commands, if some are renamed */
    struct config config;       /* written before start; later under all batons */
    struct keeper keeper;
    struct migrator migrator;
    struct aof_owner_log log; /* persistence/aof_owner.h */
    struct persistence persistence;
    pthread_mutex_t control; /* start and stop from outside, one at a time */
    pthread_mutex_t life;    /* start and stop of the fabric; never held by a shard thread */
    char io_reason[160];     /* life */
    char run_id[41];         /* constant */
    char replication_id[41]; /* written at start and under all batons */
    int64_t started_ms;
    const struct disk *disk; /* constant */
    struct loading_progress loading;
    struct reload reload;
    struct loading_figures loaded;
    atomic_u32 stops_wanted; /* who wants it to stop while it may be starting; any, seq_cst */
    atomic_u64
        start_thread; /* that starts it, or 0; it writes, others see that it is not theirs; relaxed */
    bool given_up;    /* a stop was asked for on that thread, inside of `keep_on`; it alone */
    bool (*keep_on)(void *context); /* control: asked while it loads; NULL: it goes on */
    void *keep_on_context;
    struct restoring restoring;   /* says itself who writes */
    struct rewinding rewinding;   /* the same */
    struct kevyrt_source initial; /* kevyrt_server_load; control */
    bool initial_is_set, initial_is_logged;
    struct survey_memory surveys; /* survey.c */
    struct kevyrt_server *next;   /* list lock */
};

/* That the call is made to. */
static inline struct kevyrt_server *call_server(const struct call *call) {
    return call->domain->server_context;
}

static inline uint16_t server_port(const struct kevyrt_server *server) {
    return (uint16_t)atomic_load_relaxed(&server->port);
}

static inline const struct disk *server_disk(const struct kevyrt_server *server) {
    return server->disk;
}

/* By who starts it, or loads: is it still to run? */
bool server_is_wanted(struct kevyrt_server *server);
/* Is a dump that is there read at the start? */
bool server_reads_dump(const struct kevyrt_server *server);

/* Fills `error` (which may be NULL) and returns `status`. */
enum kevyrt_status server_fail(struct kevyrt_error *error, enum kevyrt_status status, int number,
                               const char *format, ...) __attribute__((format(printf, 4, 5)));

/* KEVYRT_SYSTEM, of a file that the system says no to. */
enum kevyrt_status server_fail_file(struct kevyrt_error *error, int number, const char *path);

/* Around a call that may sleep on a baton: the words are made anew by the next start, so nobody may
 * sleep on them when a stop is over. False: the server does not run, nothing is to be left. */
bool server_enter(struct kevyrt_server *server);
/* Is this thread inside of a start? It has the locks then. */
bool server_is_starting_here(const struct kevyrt_server *server);
void server_leave(struct kevyrt_server *server);

/* Forty random digits and a zero byte. 0 or a negative errno value. */
int server_make_id(char id[41]);

/* SHUTDOWN: asks for a stop on the keeper's thread. Does not block; any thread. */
void server_request_shutdown(struct kevyrt_server *server);

/* ---- door.c ---------------------------------------------------------------------------------- */
/* Removes its socket and its folder, if it is open; under `life`. */
void door_remove(struct kevyrt_server *server);

/* bell.c: in a forked child, behind descriptors_close_all. */
void bells_fork_child(void);

/* ---- listeners.c: what `port`, `bind` and `unixsocket` say. All or nothing. ------------------ */
enum kevyrt_status listeners_open(struct kevyrt_server *server, int *out, uint32_t *count,
                                  struct kevyrt_error *error);
/* With all batons held: opens what the configuration now says of TCP in place of `old`, which the server
 * listens on; what goes on (the Unix socket) is in `out` as well. Nothing has changed if it fails. */
enum kevyrt_status listeners_reopen(struct kevyrt_server *server, const int *old,
                                    uint32_t old_count, int *out, uint32_t *count,
                                    struct kevyrt_error *error);
/* Of listeners_reopen's listeners closes those that are not among the old ones. */
void listeners_give_up(const int *old, uint32_t old_count, const int *listeners, uint32_t count);
void listeners_close(struct kevyrt_server *server, const int *listeners, uint32_t count);
/* Removes the Unix socket's file, and the door. */
void listeners_remove_files(struct kevyrt_server *server);
