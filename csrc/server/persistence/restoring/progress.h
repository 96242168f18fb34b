/* What a server has for restores (restore.h): how far one has come, for who shows it, and the log meanwhile.
 */
#pragma once

#include <pthread.h>

#include "base/atomic.h"

struct restoring {
    atomic_u32 running; /* acq_rel: who sets it restores; there is one at a time */
    /* Who restores writes, any reads, relaxed. */
    atomic_u64 started_s, total_bytes, loaded_bytes, dump_used_bytes;
    atomic_u32
        holds_log; /* who restores writes, with nothing held; who rewrites, relaxed: a rewrite waits */
    pthread_mutex_t
        log_lock; /* the log is not closed: who restores, who closes it. Behind it batons, never before */
};
