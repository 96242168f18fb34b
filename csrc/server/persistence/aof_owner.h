/* The owner of the append-only log: opens and closes it, passes on what the log tells, and keeps its settings.
 *
 * Role: one log per server (`kevyrt_server.log`). At the start who loads the data opens the log with the files that were loaded;
 * CONFIG SET appendonly turns it on and off. What the log tells (positions, a failing disk) goes to the journal of the shards.
 * Threads: what blocks is done by the thread that starts or stops the server, or by the keeper (aof_owner_work), one at a
 * time under `log.lock`. Handlers only say what is wanted (aof_owner_apply).
 * Errors: a log that cannot be opened at the start is an error of the start; at run time it is logged, and appendonly is
 * "no" again.
 */
#pragma once

#include <pthread.h>

#include "aof/aof.h"
#include "server/kevyrt.h"

struct kevyrt_server;

/* What the keeper has to look after; aof_owner_work takes all of them. */
enum aof_owner_wish {
    AOF_WISH_GATE = 1,   /* what could not be saved, or can be again */
    AOF_WISH_SWITCH = 2, /* appendonly has changed */
};

struct aof_owner_log {
    pthread_mutex_t
        lock; /* who opens or closes; it may block for files and for batons. After kevyrt_server.life */
    atomic_ptr aof;     /* struct aof; writer who has `lock`, reader the log's thread; acq-rel */
    atomic_u64 base;    /* of its positions (journal.h); relaxed: queued chunks order it */
    atomic_ptr why;     /* static text: what the system said last; as `failing` */
    atomic_u32 wishes;  /* enum aof_owner_wish; any thread, acq-rel */
    atomic_u32 wanted;  /* appendonly; who changes settings, with all batons; relaxed */
    atomic_u32 failing; /* writer the log's thread, readers any, relaxed */
    atomic_u32 save_failed; /* the last snapshot for a save point; who makes it, relaxed */
};

void aof_owner_init(struct kevyrt_server *server);
void aof_owner_deinit(struct kevyrt_server *server);

/* ---- Start ---------------------------------------------------------------------------------------- */
/* Takes over the files, which were loaded (AOF_CONTINUE) or are not what the data is (AOF_FRESH). Nothing is logged before
 * aof_owner_attach. KEVYRT_OK, or KEVYRT_SYSTEM. Blocks. */
enum kevyrt_status aof_owner_open(struct kevyrt_server *server, struct aof_files *files,
                                  enum aof_begin begin, struct kevyrt_error *error);
/* Under all batons, or before the shards start: from here on everything is logged. */
void aof_owner_attach(struct kevyrt_server *server);
/* Where the settings say that the files of the log are. */
void aof_owner_place(const struct kevyrt_server *server, struct aof_place *place);
/* After a start that failed; nothing if there is no log. Blocks. */
void aof_owner_close(struct kevyrt_server *server);

/* ---- Run ------------------------------------------------------------------------------------------ */
/* With all batons: the settings have changed. */
void aof_owner_apply(struct kevyrt_server *server);
/* When the server runs, and when it has loaded again: appendonly may have changed meanwhile. */
void aof_owner_look(struct kevyrt_server *server);
/* The keeper's thread. */
void aof_owner_work(struct kevyrt_server *server);
/* A snapshot for a save point was made, or not (stop-writes-on-bgsave-error). Any thread; batons may be held. */
void persistence_note_save(struct kevyrt_server *server, bool ok);
/* The log, if it is on, for who holds a baton (INFO, statistics); NULL. */
struct aof *aof_owner_log(const struct kevyrt_server *server);
