/* Callers: commands from threads that are not ours, run on the caller's thread.
 *
 * Role: takes the batons of the command's shards, runs the ordinary handler, drops. What the shard thread
 * must do about it goes through the streams and a wake-up; a caller never enters an I/O room.
 * Threads: any, several at once. Whoever calls guarantees that the fabric's memory stays (the server counts its
 * callers); the batons' CLOSED state is the only liveness check.
 * Errors: enum caller_result.
 */
#pragma once

#include "shard/fabric.h"

struct waiter;

enum caller_result {
    CALLER_DONE,
    CALLER_WOULD_WAIT,
    CALLER_STOPPED,
    CALLER_NO_MEMORY,
    CALLER_PAUSED,  /* a pause goes on, and nothing was done: to be run again, which waits for it */
    CALLER_WAITING, /* in *waiter it has what it waits with */
    CALLER_GATED,   /* of the fast path: caller_run knows what the command has to pass */
};

enum caller_patience {
    CALLER_TRIES,         /* CALLER_WOULD_WAIT instead of any wait */
    CALLER_WAITS,         /* as long as it takes */
    CALLER_WAITS_BRIEFLY, /* a millisecond for batons, CALLER_WOULD_WAIT then; CALLER_PAUSED at once */
};

/* `*ticket`: the position in the log of what the call has done and seen. Nobody is told of its result before that is safe
 * (journal_wait). 0: any time. */

/* Runs one command. `command` is what the words name, or NULL: that is looked for. `client` may be NULL: then in database `db`, as
 * nobody. Who tries gets CALLER_WOULD_WAIT rather than wait for a baton, and who waits waits for the end of a pause for at most a
 * second at a time. The reply (also of refusals) is appended to `reply`. A command
 * that finds nothing and waits for it (blocking/in_process.h) leaves its waiter in *waiter; if that is NULL it is told that there is
 * nothing. */
enum caller_result caller_run(struct fabric *fabric, struct client *client, uint32_t db,
                              const struct command *command, const struct bytes *argv,
                              uint32_t argc, enum caller_patience patience, struct reply *reply,
                              struct waiter **waiter, uint64_t *ticket);

/* The batons of a mask of shards, for what is no command. Waits. The shard that completes it, or NULL: the server stops. */
struct shard *caller_take(struct fabric *fabric, uint64_t mask);
/* Returns the position in the log of what was done. */
uint64_t caller_drop(struct fabric *fabric, uint64_t mask);
/* Every baton, for what is about the whole server and no command. Waits. False: the server stops. */
bool caller_take_all(struct fabric *fabric);
/* Completes what was brought about meanwhile, with the first shard as its home. */
void caller_drop_all(struct fabric *fabric);

/* The fast path of one string key. `small` holds up to `capacity` bytes; a longer value is counted in *large, or,
 * where it is not a blob, copied into one. */
enum caller_found { CALLER_MISSING, CALLER_SMALL, CALLER_LARGE, CALLER_WRONG_TYPE };
enum caller_result caller_get(struct fabric *fabric, uint32_t db, struct bytes key,
                              enum caller_patience patience, char *small, uint32_t capacity,
                              uint32_t *len, struct blob **large, enum caller_found *found,
                              uint64_t *ticket);
enum caller_result caller_set(struct fabric *fabric, uint32_t db, struct bytes key,
                              struct bytes value, enum caller_patience patience, uint64_t *ticket);
