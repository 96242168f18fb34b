/* The slow log: commands that took long, and who asked for them.
 *
 * Role: execute_command knows the time of every command (shard/execute.c) and hands those here that exceed
 * fabric.slow_ticks, which is the smaller of the thresholds of this log and of the latency monitor. The log is one list for the
 * server, whichever shards the commands ran on.
 * Threads: any; `lock` is a leaf. Settings are those of the fabric, which change under all batons.
 * Ownership: an entry is one allocation and holds copies.
 * Invariants
 *   L1  ids rise from the oldest entry to the newest and are never used again.
 * Errors: a command whose entry finds no memory is not logged.
 * Bounds: slowlog-max-len entries, looked at when one is added, as in Redis; of an entry SLOWLOG_ARGUMENTS arguments of
 * SLOWLOG_BYTES bytes and what says how much was left out.
 */
#pragma once

#include <pthread.h>

#include "cmd/table.h"

struct card;
struct fabric;
struct origin;
struct plan;
struct request;
struct shard;
struct slow_entry;

enum { SLOWLOG_ARGUMENTS = 32, SLOWLOG_BYTES = 128 };

struct slowlog {
    pthread_mutex_t lock;
    struct slow_entry *newest, *oldest; /* all under the lock */
    uint64_t count, next_id;
};

void slowlog_init(struct slowlog *log);
void slowlog_deinit(struct slowlog *log);
/* The settings may have changed: what is slow from now on. With all batons, or before the start. */
void slowlog_apply(struct fabric *fabric);
/* A command took `ticks`, which somebody may want to know. With its batons. */
void slowlog_note(struct shard *home, const struct origin *origin, const struct request *request,
                  const struct plan *plan, uint64_t ticks);
/* Registers SLOWLOG's subcommands with the command table. */
void slowlog_bind(void);
