/* The log queue: lines of all servers on their way to whoever drains them.
 *
 * The log hook may be called with a baton held, so it does no I/O: it copies the line into a bounded ring
 * under a leaf lock. When the ring is full the line is dropped and counted, and the count is a line of its own as soon
 * as there is room.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "plat/futex.h"
#include "server/kevyrt.h"
#include "server/log.h"

enum { LOG_LINES = 256 };

static struct {
    pthread_mutex_t lock;
    struct kevyrt_log_line lines[LOG_LINES];
    uint32_t first, count;
    uint64_t dropped;
    atomic_u32 bell; /* futex: rung for every line and interrupt */
    bool interrupted;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void append(int level, const char *text) {
    struct kevyrt_log_line *line = &queue.lines[(queue.first + queue.count++) % LOG_LINES];
    line->level = level;
    snprintf(line->text, sizeof line->text, "%s", text);
}

static void enqueue(void *context, enum log_level level, const char *text) {
    (void)context;
    pthread_mutex_lock(&queue.lock);
    if (queue.count == LOG_LINES) queue.dropped++;
    else append((int)level, text);
    pthread_mutex_unlock(&queue.lock);
    atomic_add_seq_cst(&queue.bell, 1);
    futex_wake(&queue.bell, 1);
}

void log_queue_install(void) {
    log_hook_set(enqueue, NULL);
}

/* 1: a line; 0: none; -1: interrupted. */
static int dequeue(struct kevyrt_log_line *out) {
    char text[64];
    int result = queue.count ? 1 : queue.interrupted ? -1 : 0;
    if (result == -1) queue.interrupted = false;
    if (result != 1) return result;
    *out = queue.lines[queue.first];
    queue.first = (queue.first + 1) % LOG_LINES;
    queue.count--;
    if (queue.dropped) {
        snprintf(text, sizeof text, "%llu log lines were dropped: the queue was full",
                 (unsigned long long)queue.dropped);
        queue.dropped = 0;
        append(LOG_WARNING, text);
    }
    return result;
}

bool kevyrt_log_next(struct kevyrt_log_line *out, uint64_t deadline_ns) {
    for (;;) {
        uint32_t seen = atomic_load_seq_cst(&queue.bell);
        pthread_mutex_lock(&queue.lock);
        int result = dequeue(out);
        pthread_mutex_unlock(&queue.lock);
        if (result) return result > 0;
        if (!futex_wait(&queue.bell, seen, deadline_ns)) return false;
    }
}

void kevyrt_log_interrupt(void) {
    pthread_mutex_lock(&queue.lock);
    queue.interrupted = true;
    pthread_mutex_unlock(&queue.lock);
    atomic_add_seq_cst(&queue.bell, 1);
    futex_wake(&queue.bell, INT32_MAX);
}

void log_queue_fork_prepare(void) {
    pthread_mutex_lock(&queue.lock);
}

void log_queue_fork_done(void) {
    pthread_mutex_unlock(&queue.lock);
}
