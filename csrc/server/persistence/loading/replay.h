/* Replay: the commands of logs, run again.
 *
 * Role: takes what a reader gives (aof/reader.h) through the ordinary handlers, with CALL_LOADING, in an order in which each shard
 * sees the commands as the log has them. With several shards a thread each works at them, while the caller's thread reads and
 * plans ahead; what is of several shards at once waits for all of them. With one shard the caller's thread does all of it.
 * Threads: one calls, without a baton; SHUTDOWN's and INFO's side sees `stop` and `progress` only. The shard threads go on
 * meanwhile and answer; batons are kept for a slice at a time.
 * Errors: the first thing in a log that cannot be run ends the replay (`failed`); the data is worth nothing then. Commands
 * that reply an error change nothing, as when they were first run, and are counted.
 * Bounds: BLOCKS batches of the reader are in memory.
 */
#pragma once

#include "aof/reader.h"
#include "shard/fabric.h"

enum replay_result {
    REPLAY_END,     /* of the file */
    REPLAY_TORN,    /* the same, and the reader says why it is not whole */
    REPLAY_READER,  /* the reader says what is wrong */
    REPLAY_REFUSED, /* a command that cannot be run: `failure` */
    REPLAY_NO_MEMORY,
    REPLAY_STOPPED,
};

struct replay_failure {
    atomic_u32 state; /* 0, 1 while it is written, 2: something failed; any worker, seq_cst */
    bool no_memory;
    uint64_t offset;
    char text[160];
};

struct replay_block;
struct replay_worker;

struct replay {
    struct fabric *fabric;
    bool (*keep_on)(void *context); /* asked about every 50 ms by the caller's thread */
    void *context;
    atomic_u64 *
        loaded; /* bytes of the file so far, behind `loaded_before`; the caller's thread, relaxed */
    uint64_t loaded_before;
    int64_t delay_us; /* key-load-delay */
    struct replay_failure failure;
    uint64_t commands;       /* of all files */
    atomic_u64 errors;       /* commands that replied one; workers, relaxed */
    atomic_u64 error_offset; /* of some such command */
    uint32_t db;             /* of the next command */
    /* From here on its own. */
    uint64_t asked_ns;     /* when keep_on was asked last */
    atomic_u32 stopped;    /* it said no; writer the caller's thread, readers workers, relaxed */
    uint32_t worker_count; /* 0: the caller's thread works */
    struct replay_worker *workers;
    struct replay_block *blocks;
    atomic_u64 published; /* blocks that workers may take; writer the caller, seq_cst */
    atomic_u32 bell;      /* futex: rung when something was published, or with `ended`; seq_cst */
    atomic_u32 ended;     /* no more comes */
};

/* `fabric`, `keep_on`, `context`, `loaded` and `delay_us` are set. 0 or a negative errno value, and nothing is left. */
int replay_init(struct replay *replay);
/* Ends the threads. */
void replay_deinit(struct replay *replay);
/* A whole file, to its end; the database is 0 at its beginning. Everything has been run when it returns. */
enum replay_result replay_file(struct replay *replay, struct aof_reader *reader);
