#include "server/keeper.h"

#include "base/mem.h"
#include "plat/futex.h"
#include "plat/thread.h"

struct keeper_job {
    struct keeper_job *next;
    struct keyspace_garbage *garbage;
};

static void keeper_ring(struct keeper *keeper) {
    atomic_add_seq_cst(&keeper->bell, 1);
    futex_wake(&keeper->bell, 1);
}

void keeper_discard(void *context, struct keyspace_garbage *garbage) {
    struct keeper *keeper = context;
    struct keeper_job *job = mem_alloc(NULL, sizeof *job);
    if (!job) { /* no memory to hand it over: slow here is better than lost */
        keyspace_garbage_free(garbage);
        return;
    }
    job->garbage = garbage;
    pthread_mutex_lock(&keeper->lock);
    job->next = keeper->jobs;
    keeper->jobs = job;
    pthread_mutex_unlock(&keeper->lock);
    keeper_ring(keeper);
}

void keeper_request_stop(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    keeper->stop_requested = true;
    pthread_mutex_unlock(&keeper->lock);
    keeper_ring(keeper);
}

static void free_jobs(struct keeper_job *job) {
    while (job) {
        struct keeper_job *next = job->next;
        keyspace_garbage_free(job->garbage);
        mem_free(NULL, job);
        job = next;
    }
}

/* One look at what there is to do. False: the thread may end. */
static bool keeper_work(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    struct keeper_job *jobs = keeper->jobs;
    bool stop = keeper->stop_requested, ending = keeper->ending;
    keeper->jobs = NULL;
    keeper->stop_requested = false;
    pthread_mutex_unlock(&keeper->lock);
    free_jobs(jobs);
    if (stop && !ending) keeper->stop(keeper->context);
    return !ending;
}

static void *keeper_thread(void *argument) {
    struct keeper *keeper = argument;
    for (;;) {
        uint32_t seen = atomic_load_seq_cst(&keeper->bell);
        if (!keeper_work(keeper)) return NULL;
        futex_wait(&keeper->bell, seen, FUTEX_NO_DEADLINE);
    }
}

int keeper_start(struct keeper *keeper, void (*stop)(void *), void *context) {
    *keeper = (struct keeper){.stop = stop, .context = context};
    pthread_mutex_init(&keeper->lock, NULL);
    return thread_start(&keeper->thread, "kevyrt-keeper", keeper_thread, keeper);
}

void keeper_stop(struct keeper *keeper) {
    pthread_mutex_lock(&keeper->lock);
    keeper->ending = true;
    pthread_mutex_unlock(&keeper->lock);
    keeper_ring(keeper);
    thread_join(keeper->thread);
    keeper_work(keeper); /* what came after its last look */
    pthread_mutex_destroy(&keeper->lock);
}

bool keeper_is_current(const struct keeper *keeper) {
    return pthread_equal(keeper->thread, pthread_self());
}
