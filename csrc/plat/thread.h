/* Threads of our own inside somebody's process.
 *
 * Every thread blocks all signals (they belong to the host), has a name of at most 15 bytes for
 * debuggers, and is joined by whoever started it. Errors: 0 or a negative errno value.
 */
#pragma once

#include <pthread.h>

int thread_start(pthread_t *thread, const char *name, void *(*body)(void *), void *argument);
void thread_join(pthread_t thread);
/* Others that are ready to run on the same core run now: for work that is long, in pieces that are short. */
void thread_yield(void);
/* The calling thread takes a small part of a core that others want too, and lets them in when they wake up. */
void thread_be_modest(void);
/* The calling thread lets others go first, when it wakes up and while it works: for work that is in no hurry. */
void thread_be_patient(void);
