/* The log queue's inner side; kevyrt.h has the outer one. Threads: any. */
#pragma once

#include <pthread.h>

/* Makes the queue the process's log hook. */
void log_queue_install(void);
/* A server runs from here to there; who drains the queue learns from it when no line can come any
 * more. */
void log_queue_server_started(void);
void log_queue_server_stopped(void);
/* Around fork: the lock is a leaf and is held across it. The parent's lines are not the child's. */
void log_queue_fork_prepare(void);
void log_queue_fork_parent(void);
void log_queue_fork_child(void);
