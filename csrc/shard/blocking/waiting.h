/* Who waits for the keys of a shard, and how they are served.
 *
 * Role: a queue for each key that somebody waits for. What makes a key ready puts its queue on the list of the call; when
 * the call is complete, the commands of the waiters run again, in the order in which the keys became ready and, of a key, in the
 * order in which they came.
 * Threads: the holder of the shard's baton. The list of ready queues is of the call's home and goes across the shards that the
 * call holds.
 * Ownership: a queue is there while somebody is in it; registrations are the waiters'.
 * Invariants
 *   W1  Between outermost calls no queue is ready.
 *   W2  A waiter that is served is in no queue any more: the batons of all its keys are held.
 *   W3  Who may make a key ready holds what the waiters of the key need (reach.c) before its first effect. A call whose
 *       set is open takes it when it serves. Where nobody could know that before, the queue is put off: the shard's thread takes what is needed and serves it in its next turn.
 * Errors: none in serving; what a waiter needs is reserved when it begins to wait.
 * Bounds: a waiter has a registration for each of its keys, once.
 */
#pragma once

#include "base/map.h"
#include "cmd/call.h"
#include "store/entry.h"

struct fabric;
struct registration;
struct shard;
struct waiter;

enum { WAIT_TYPES = VALUE_STREAM + 1 };

struct wait_queue {
    struct map_node node; /* first; by the hash of the key's name, whatever the database */
    struct wait_queue *next_ready, *next_put_off;
    struct registration *first, *last; /* oldest first */
    struct shard *shard;
    uint64_t reach;             /* what they need, and perhaps who was here before needed */
    uint64_t left;              /* how many have gone since that was summed */
    uint64_t count;             /* in the queue */
    uint64_t groups, movers;    /* of them: of_group, moves */
    uint64_t types[WAIT_TYPES]; /* of them: by what they wait for */
    bool ready;                 /* on the list of a call */
    bool serving;
    bool put_off; /* to be served by the thread of the shard */
    uint32_t db, key_len;
    char key[];
};

struct waiting {
    struct map queues;
    struct wait_queue *put_off; /* what the thread of the shard is to serve */
    uint64_t group_queues;      /* those with somebody of a group */
    uint64_t reaching;          /* registrations of waiters that need more than this shard */
};

/* ---- Registrations; with the batons of their keys -------------------------------------------------- */
/* Puts the waiter into the queues of the call's keys, one after the other. False: no memory, and it is in none. */
bool waiting_enter(struct call *call, const struct call_wait *wait, struct waiter *waiter);
/* Takes it out of all that it is in. */
void waiting_leave(struct waiter *waiter);
/* After the threads have ended, and all have left. */
void waiting_deinit(struct waiting *waiting);
/* Every key of the shard that somebody waits for: INFO. */
static inline uint64_t waiting_keys(const struct waiting *waiting) {
    return waiting->queues.count;
}

/* ---- Effects (outcomes.c) --------------------------------------------------------------------------- */
void waiting_ready(struct call *call, const struct key_place *place);
/* It is ready for who waits of a group, if nothing of the type is there any more. */
void waiting_touched(struct call *call, const struct key_place *place);
/* All keys of the database, or of every one (UINT32_MAX), that are there; or, `gone`, for groups, that will perhaps not be. */
void waiting_ready_all(struct call *call, uint32_t db, bool gone);
/* Runs the commands of those whose keys are ready, until none is. */
void waiting_serve(struct shard *home);
/* With all batons held, behind a pause: looks at all that somebody waits for, if something was passed over. */
void waiting_resume(struct shard *home);
/* Serves what was put off; in a turn. False: the place is lost. */
bool waiting_tend(struct shard *shard);

/* ---- reach.c: what else has to be held ---------------------------------------------------------------- */
/* Of a command that writes, with `held` held, which covers its keys: the shards that it and those whom it may serve need, as far
 * as the tables of what is held tell. Once nothing is missing from `held` nothing ever will. */
uint64_t waiting_reach_queue(struct fabric *fabric, uint64_t held, struct wait_queue *queue);
uint64_t waiting_reach(struct fabric *fabric, uint64_t held, const struct command *command,
                       const struct bytes *argv, uint32_t argc);
/* Does anybody wait who needs more than the shard of a key? One word that every command has at hand. */
static inline bool waiting_reaches(const struct domain *domain) {
    return atomic_load_relaxed(&domain->reaching) != 0;
}
enum { REACH_ROUNDS = 4 }; /* then all shards are taken */
