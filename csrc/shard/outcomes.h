/* Outcomes: what calls bring about beside their replies, and the sink through which the server learns of it.
 *
 * Role: handlers declare effects (cmd/effects.h); the fabric's sink tells those that watch, wait, listen or cache. What
 * they have to do about it is done when the outermost call is complete (outcomes_finish): a transaction and a
 * script are one call, and what runs outside of any command, such as expiry, is one as well.
 * Threads: the holder of the baton of the shard whose effects serve (`home`), which holds those of the whole call.
 * Invariants
 *   U1  `pending` is set by whoever leaves something to be done; it is clear between outermost calls.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cmd/effects.h"
#include "shard/board/tracking.h"

struct call_reach;
struct post;
struct shard;
struct wait_queue;
struct waiter;

struct outcomes {
    bool pending;                        /* there is something for outcomes_finish */
    bool has_board;                      /* taken in this call */
    struct post *first_post, *last_post; /* of this call, with the board taken */
    struct tracking_outcome tracking;    /* who is to be told what of */
    uint64_t posted;                     /* shards with letters that they were not woken for yet */
    uint64_t held;            /* batons of the call, as of their take; of the home alone */
    uint64_t ticket;          /* position in the log of what its thread has seen before */
    struct call_reach *reach; /* of the call, if its set is open */
    struct waiter *first_answered, *last_answered; /* in process; told before the batons drop */
    struct wait_queue *first_ready, *last_ready;   /* in the order in which they became ready */
};

/* The sink of a server; nothing is wanted by every shard yet. */
struct effect_sink outcomes_sink(void);
/* What is to be told of keys of the shard: who watches them, waits for them or caches them. With its baton. */
void outcomes_update_wanted(struct shard *shard);
/* Does the call hold these shards, or can it take what is missing? */
bool outcomes_reach(struct shard *home, uint64_t mask);
/* Completes an outermost call, while its batons are held. */
void outcomes_finish(struct shard *home);
