/* MIGRATE: keys go to another server.
 *
 * Role: the handler dumps the keys and begins to wait; one thread of the server, the *migrator*, talks to the other
 * server and deletes here what has arrived there. Nobody holds a baton while anything is sent or awaited, so a key may
 * change meanwhile: job.c says what becomes of it.
 * Threads: migrate_submit with the batons of the call; start and stop under the server's `life`; the rest on the migrator.
 * Ownership: a job belongs to who makes it, then to the migrator.
 * Errors: whatever happens on the way is the answer of the command, in Redis's words; a key that may not have arrived stays.
 * Bounds: MIGRATE_ROUNDS_MAX rounds. Jobs wait for each other, however many there are: each holds a client.
 */
#pragma once

#include <pthread.h>

#include "base/atomic.h"
#include "cmd/call.h"
#include "rdb/writer.h"

enum { MIGRATE_ROUNDS_MAX = 10, MIGRATE_ERROR_MAX = 1200, MIGRATE_PORT_MAX = 16 };

struct fabric;
struct waiter;

struct migrate_options {
    struct bytes host, username, password; /* `at` NULL: none */
    char port[MIGRATE_PORT_MAX];
    int64_t target_db, timeout_ms;
    bool copy, replace;
    uint32_t first_key, key_count; /* in the words of the command */
};

enum migrating_state {
    MIGRATING_SENDS,    /* to be sent, or not acknowledged */
    MIGRATING_ARRIVED,  /* acknowledged; not yet looked at here */
    MIGRATING_LEAVES,   /* it is here what it is there: to be deleted */
    MIGRATING_FINISHED, /* nothing more is done about it */
};

struct migrating { /* a key */
    struct bytes key;
    struct rdb_buffer payload; /* what was or will be sent of it; empty: that it is gone */
    int64_t deadline_ms;
    uint8_t state; /* enum migrating_state */
};

struct migration { /* a job */
    struct migration *next;
    struct fabric *fabric;
    struct waiter *waiter;          /* counted, for the teller */
    struct migrate_options options; /* of words of its own */
    uint32_t db;
    bool compress;
    uint64_t ticket;               /* position in the log of what was deleted here */
    char error[MIGRATE_ERROR_MAX]; /* "": none */
    uint32_t count;                /* of keys */
    struct migrating keys[];
};

/* ---- job.c ------------------------------------------------------------------------------------- */

/* Without keys yet. NULL: no memory. */
struct migration *migration_new(struct call *call, const struct migrate_options *options);
void migration_free(struct migration *job);
/* The key of this index among those of the command is there: with its value as it is now. False: no memory. */
bool migration_add(struct migration *job, uint32_t index, const struct entry *entry);
/* The answer will be this error, unless there is one already. */
void migration_fail(struct migration *job, const char *what, const char *how);
/* From the first word to the answer. Frees it. */
void migration_run(struct migration *job, int stop);

/* ---- talk.c ------------------------------------------------------------------------------------ */

/* Sends what is to be sent and notes what has arrived; `error` is set for what did not. Returns the connection, to be closed
 * once its peer has been looked at, or a negative errno value if there is none. */
int migrate_talk(struct migration *job, int stop);

/* ---- thread.c ---------------------------------------------------------------------------------- */

struct migrator {
    pthread_mutex_t lock;
    struct migration *first, *last; /* lock: what waits */
    bool running;                   /* lock: there is a thread, from the first job on */
    bool ending;                    /* lock */
    int stop;                       /* event: signalled for the end */
    atomic_u32 bell;                /* futex: rung for every change; seq_cst */
    pthread_t thread;
};

void migrator_init(struct migrator *migrator);
void migrator_deinit(struct migrator *migrator);
/* There is a thread for what will be submitted. False: there cannot be. */
bool migrator_start(struct migrator *migrator);
void migrator_submit(struct migrator *migrator, struct migration *job);
/* The batons are closed. What waits is answered as far as anybody is there, and the thread ends. */
void migrator_stop(struct migrator *migrator);

/* ---- command.c --------------------------------------------------------------------------------- */
void migrate_bind(void);
