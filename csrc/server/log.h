/* The log queue's inner side; kevyrt.h has the outer one. Threads: any. */
#pragma once

#include <pthread.h>

/* Makes the queue the process's log hook. */
void log_queue_install(void);
/* Around fork: the lock is a leaf and is held across it. */
void log_queue_fork_prepare(void);
void log_queue_fork_done(void);
