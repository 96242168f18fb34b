/* Calling: what callers of one command, of one key and of a pipeline share.
 *
 * Role: taking and dropping the batons of a call in process, and running one command. The contract is caller.h's.
 */
#pragma once

#include "shard/caller.h"
#include "shard/shard.h"

/* The shard whose counters and effects serve for calls that hold `mask`. */
static inline struct shard *calling_home(const struct fabric *fabric, uint64_t mask) {
    return fabric->shards[__builtin_ctzll(mask)];
}

/* CALLER_DONE: held. */
enum caller_result calling_take(struct fabric *fabric, uint64_t mask,
                                enum caller_patience patience);
/* For what has no keys, and what is queued, any place will do: one that is free now, if there is one. */
enum caller_result calling_take_any(struct fabric *fabric, uint64_t *mask,
                                    enum caller_patience patience);
/* `home`: of the calls. Returns the position of what they saw. */
uint64_t calling_drop(struct shard *home, uint64_t mask);
/* Runs a command from the take to the drop. */
enum caller_result calling_run(struct fabric *fabric, const struct origin *origin,
                               const struct request *request, const struct plan *plan,
                               enum caller_patience patience, uint64_t *ticket);
/* A command was postponed, and nothing is held. Who tries would wait, who waits briefly is told of the pause; who waits sleeps until the pause bell is no
 * longer `bell`, for at most a second. */
enum caller_result calling_pause(struct fabric *fabric, uint32_t bell,
                                 enum caller_patience patience);
