#define _GNU_SOURCE
#include "plat/thread.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"

enum { NAME_BYTES = 16 }; /* the kernel's limit, with the terminating zero */

static void name_thread(pthread_t thread, const char *name) {
    char cut[NAME_BYTES];
    snprintf(cut, sizeof cut, "%s", name);
    pthread_setname_np(thread, cut); /* for debuggers: a failure changes nothing */
}

/* A new thread inherits its creator's mask, so the signals are blocked around the creation: blocking
 * them inside the new thread would leave a window in which the host's signals land there. */
int thread_start(pthread_t *thread, const char *name, void *(*body)(void *), void *argument) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return -error;
    name_thread(*thread, name);
    return 0;
}

void thread_join(pthread_t thread) {
    int error = pthread_join(thread, NULL);
    KRT_ASSERT(error == 0);
}

void thread_yield(void) {
    (void)sched_yield();
}

/* As it is, where it is refused. On Linux a thread is niced by its own id. */
void thread_be_modest(void) {
    enum { LITTLE = 8 };
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), LITTLE);
}

void thread_be_patient(void) {
    enum { LEAST = 19 };
    struct sched_param none = {0};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), LEAST);
}
