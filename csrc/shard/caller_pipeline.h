/* Pipelines of callers: many commands of one thread that is not ours, run with one call.
 *
 * Role: as caller_run for each command in its turn, with the batons of as many as make a slice taken at once; or, if it
 * is atomic, what MULTI, the commands and EXEC do. The essay is at the head of caller_pipeline.c.
 * Threads: as caller.h; a pipeline is one thread's at a time.
 * Ownership: the words, the client and the reply are the caller's, and stay until the pipeline has ended.
 * Errors: enum caller_result. What was run and answered stays so whatever comes behind it.
 */
#pragma once

#include "shard/caller.h"
#include "shard/shard.h"

enum caller_stage { STAGE_BEGIN, STAGE_QUEUE, STAGE_EXEC, STAGE_ENDED };

/* A command: how many words it has (at least 1), and what they name, if that is known. */
struct caller_line {
    const struct command *command; /* or NULL */
    uint32_t length;
};

struct caller_pipeline {
    struct fabric *fabric;
    struct client *client; /* NULL, if it is not atomic: nobody, in database `db` */
    uint32_t db;
    bool atomic;
    const struct bytes *words; /* of all commands, one behind the other */
    const struct caller_line *lines;
    uint32_t count;
    /* Of one that is not atomic: the replies, one behind the other. Of an atomic one: what EXEC answered; or the error of the first
     * command that could not be queued, `refused`; or that of MULTI. */
    struct reply *reply;
    uint32_t refused; /* `count`: none */
    uint64_t ticket;  /* once it is through (caller.h) */

    /* How far it is. */
    enum caller_stage stage;  /* of an atomic one */
    uint32_t done;            /* commands that ran, or that were queued */
    const struct bytes *next; /* words of the first that did not */
    bool alone;               /* that one needs more than its keys, or time */
    uint64_t late_us;         /* its faults let it be answered so much later (faults.h) */
    uint64_t late_until_us;   /* or 0: it is not through */
    bool wrote;
    struct plan_hint hint;
};

/* What the caller gives is in it; the rest is zero. */
void caller_pipeline_init(struct caller_pipeline *pipeline);
/* Goes on. CALLER_DONE: all is answered. CALLER_WOULD_WAIT, CALLER_PAUSED: to be called again, and then goes on where it stopped. */
enum caller_result caller_pipeline_run(struct caller_pipeline *pipeline,
                                       enum caller_patience patience);
/* May anybody have seen something of it? A transaction that is only queued has not begun. */
bool caller_pipeline_has_begun(const struct caller_pipeline *pipeline);
/* It will not be called again: the client is as if nothing that did not run had come. */
void caller_pipeline_end(struct caller_pipeline *pipeline);
