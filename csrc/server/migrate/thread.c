/* The migrator's thread: one job after the other. */
#include "server/migrate/migrate.h"

#include "plat/descriptors.h"
#include "plat/futex.h"
#include "plat/socket.h"
#include "plat/thread.h"

static void ring(struct migrator *migrator) {
    atomic_add_seq_cst(&migrator->bell, 1);
    futex_wake(&migrator->bell, 1);
}

/* NULL: there is none. */
static struct migration *take_job(struct migrator *migrator, bool *ending) {
    pthread_mutex_lock(&migrator->lock);
    struct migration *job = migrator->first;
    if (job) migrator->first = job->next;
    *ending = migrator->ending;
    pthread_mutex_unlock(&migrator->lock);
    return job;
}

static void *migrator_thread(void *argument) {
    struct migrator *migrator = argument;
    for (;;) {
        bool ending;
        uint32_t seen = atomic_load_seq_cst(&migrator->bell);
        struct migration *job = take_job(migrator, &ending);
        if (job) migration_run(job, migrator->stop);
        else if (ending) return NULL;
        else (void)futex_wait(&migrator->bell, seen, FUTEX_NO_DEADLINE);
    }
}

void migrator_init(struct migrator *migrator) {
    *migrator = (struct migrator){.stop = -1};
    pthread_mutex_init(&migrator->lock, NULL);
}

void migrator_deinit(struct migrator *migrator) {
    pthread_mutex_destroy(&migrator->lock);
}

static void close_stop(struct migrator *migrator) {
    descriptor_forget(migrator->stop);
    socket_close(migrator->stop);
}

/* With the lock. */
static bool start_thread(struct migrator *migrator) {
    migrator->stop = event_open();
    if (migrator->stop < 0) return false;
    descriptor_note(migrator->stop);
    if (thread_start(&migrator->thread, "kevyrt-migrate", migrator_thread, migrator) == 0)
        return true;
    close_stop(migrator);
    return false;
}

bool migrator_start(struct migrator *migrator) {
    pthread_mutex_lock(&migrator->lock);
    if (!migrator->running) migrator->running = start_thread(migrator);
    bool running = migrator->running;
    pthread_mutex_unlock(&migrator->lock);
    return running;
}

void migrator_submit(struct migrator *migrator, struct migration *job) {
    job->next = NULL;
    pthread_mutex_lock(&migrator->lock);
    if (migrator->first) migrator->last->next = job;
    else migrator->first = job;
    migrator->last = job;
    pthread_mutex_unlock(&migrator->lock);
    ring(migrator);
}

void migrator_stop(struct migrator *migrator) {
    pthread_mutex_lock(&migrator->lock);
    bool running = migrator->running;
    migrator->ending = true;
    pthread_mutex_unlock(&migrator->lock);
    if (running) {
        event_signal(migrator->stop);
        ring(migrator);
        thread_join(migrator->thread);
        close_stop(migrator);
    }
    migrator->running = migrator->ending = false;
}
