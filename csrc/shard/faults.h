/* Faults: what a test lets go wrong with commands, as networks and servers do.
 *
 * Role: a command that has passed every check meets the first fault of the list that is about it. It may be answered with an error
 * instead of being run; run, but answered late; have its connection ended instead of its answer, before or behind its
 * effect; or in the middle of its answer. One that is queued by MULTI meets its fault there, and none when EXEC runs it.
 * Threads: the list changes under all batons, with GATE_FAULTS; who runs a command reads it under some. `left` and `hits` are any
 * holder's.
 * Ownership: counted; one count is the list's.
 * Invariants
 *   F1  GATE_FAULTS is set while the list is not empty, so that nobody else comes here.
 *   F2  While it is set nothing is forwarded: a command runs where its client is.
 * Errors: without memory to be late an answer is in time.
 */
#pragma once

#include "base/atomic.h"
#include "base/bytes.h"

struct call;
struct command;
struct fabric;
struct origin;
struct plan;
struct request;
struct shard;

enum fault_drop { FAULT_DROP_NOT, FAULT_DROP_BEFORE, FAULT_DROP_AFTER };

#define FAULT_ANY UINT64_MAX

/* What it is about, and what it does. */
struct fault_rule {
    const struct command *command; /* or a container: all of it; NULL: every one */
    struct bytes key;              /* a glob, of one of the keys; NULL: whatever they are */
    struct bytes client;           /* a glob, of CLIENT SETNAME's name; NULL: whoever */
    uint64_t client_id;            /* FAULT_ANY: whoever */
    uint64_t delay_us;             /* in waiting time (cmd/virtual_clock.h) */
    const char *error;             /* with its code; NULL: none */
    enum fault_drop drop;          /* of a connection; others do not meet it, nor the next */
    uint64_t cut_bytes;            /* FAULT_ANY: the whole answer is sent */
};

struct fault {
    struct fault *next;
    atomic_u32 references; /* acquire-release at the last put */
    atomic_u64
        left; /* how often it comes yet; FAULT_ANY: any number. Any holder, by compare-and-swap */
    atomic_u64 hits; /* any holder, relaxed */
    struct fault_rule rule;
    char text[]; /* what the rule borrows */
};

struct faults {
    struct fault *first, *last;
};

/* A copy of the rule. NULL: no memory. */
struct fault *fault_new(const struct fault_rule *rule, uint64_t times);
void fault_put(struct fault *fault);

/* With all batons, or while the fabric does not run: takes a count, gives it back (if it is there), and all of them. Those that are
 * used up go as well. */
void faults_add(struct fabric *fabric, struct fault *fault);
void faults_remove(struct fabric *fabric, struct fault *fault);
void faults_clear(struct fabric *fabric);

enum faulted {
    FAULTED_NOT,  /* it is to run */
    FAULTED_DONE, /* it is answered, as far as it will be */
    FAULTED_LATE, /* its client waits for the answer (EXECUTE_WAITING) */
};

/* A command that is about to run, with its batons. */
enum faulted faults_meet(struct shard *home, const struct origin *origin,
                         const struct request *request, const struct plan *plan,
                         const struct call *call);
