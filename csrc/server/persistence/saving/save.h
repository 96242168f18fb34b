/* SAVE and BGSAVE: a snapshot into `dir`/`dbfilename`.
 *
 * Role: a sink that writes beside the file, syncs and renames, and what is known of the last save. Only the snapshots' thread
 * touches the disk.
 * Threads: save_begin with all batons, between two calls; the rest any. State is under the lock of struct persistence.
 * Errors: a save that fails leaves the file as it was, and a line in the log.
 */
#pragma once

#include "shard/snapshot/snapshot.h"

struct kevyrt_server;
struct waiter;

enum { SAVE_PATH_MAX = 4096 + 64 };

struct saving {
    struct snapshot_sink sink;
    struct kevyrt_server *server;
    /* From the beginning to the end of a save; who begins, then the snapshots' thread. */
    char path[SAVE_PATH_MAX], beside[SAVE_PATH_MAX];
    int fd, error;
    bool step_syncs;
    uint64_t len, synced;
    uint64_t cut_changes;
    struct waiter *waiter; /* of SAVE; counted */
    bool in_front;         /* SAVE, or at the end: no failure of it stops writes */
    bool at_end;           /* of the server (persistence.c) */
    /* Under the lock. */
    bool running;   /* from save_begin on */
    bool begun;     /* its snapshot is being made; false while another one is in its way */
    bool scheduled; /* BGSAVE is to come when nothing else runs */
    int refusal;    /* why it could not begin, until save_end; 0 */
    bool has_ended; /* with `result`, until save_end */
    enum snapshot_result result;
    bool last_failed;
    int64_t begun_s, tried_s, saved_s, took_s; /* wall clock; took_s: -1 before the first */
    uint64_t saved_changes; /* what persistence_changes was at the last cut that was saved */
    uint64_t saves;
};

struct save_status {
    bool running, scheduled, last_failed;
    int64_t saved_s;              /* LASTSAVE */
    int64_t last_took_s, since_s; /* -1: none; of the one that runs, or -1 */
    uint64_t saved_changes;       /* changes (struct effects, all shards) that the last save has */
    uint64_t saves;
};
void save_status_get(struct kevyrt_server *server, struct save_status *out);

/* Before each start. */
void save_init(struct kevyrt_server *server);
/* With all batons. */
uint64_t save_changes_now(const struct fabric *fabric);

enum save_cause { SAVE_IN_FRONT, SAVE_BEHIND, SAVE_AT_END };
/* With all batons; none is running. It may still have to wait for the end of another snapshot. */
void save_begin(struct kevyrt_server *server, enum save_cause cause, struct waiter *waiter);
/* The same later: what waits for another snapshot; also -EBUSY if it still has to. */
int save_try(struct kevyrt_server *server);
/* The thread of struct persistence, without batons: tells of a save that has ended, or could not begin. The snapshots' thread does not
 * take places, as it gets little time. */
void save_end(struct kevyrt_server *server);
/* When that thread has ended: gives up one that waits for its turn. */
void save_stop(struct kevyrt_server *server);
/* The one that runs is given up, if there is one: DEBUG, the end of the server. */
void save_abort(struct kevyrt_server *server);

void save_commands_bind(void);
