/* The log queue: lines of all servers on their way to whoever drains them.
 *
 * The log hook may be called with a baton held, so it does no I/O: it copies the line into a
 * bounded ring under a leaf lock. When the ring is full the line is dropped and counted, and the
 * count is a line of its own as soon as there is room.
 */
#include <limits.h>
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
    uint32_t servers; /* lock: how many run; while there is one, lines may come */
    atomic_u32 bell;  /* futex: rung for every line and when the last server ends; seq_cst */
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void append(int level, const char *text) {
    struct kevyrt_log_line *line = &queue.lines[(queue.first + queue.count++) % LOG_LINES];
    line->level = level;
    snprintf(line->text, sizeof line->text, "%s", text);
}

static void ring(int waiters) {
    atomic_add_seq_cst(&queue.bell, 1);
    futex_wake(&queue.bell, waiters);
}

static void enqueue(void *context, enum log_level level, const char *text) {
    (void)context;
    pthread_mutex_lock(&queue.lock);
    if (queue.count == LOG_LINES) queue.dropped++;
    else append((int)level, text);
    pthread_mutex_unlock(&queue.lock);
    ring(1);
}

void log_queue_install(void) {
    log_hook_set(enqueue, NULL);
}

void log_queue_server_started(void) {
    pthread_mutex_lock(&queue.lock);
    queue.servers++;
    pthread_mutex_unlock(&queue.lock);
}

void log_queue_server_stopped(void) {
    pthread_mutex_lock(&queue.lock);
    KRT_ASSERT(queue.servers > 0);
    queue.servers--;
    pthread_mutex_unlock(&queue.lock);
    ring(INT_MAX);
}

enum dequeued { DEQUEUED_LINE, DEQUEUED_NONE, DEQUEUED_LAST };

static enum dequeued dequeue(struct kevyrt_log_line *out) {
    char text[64];
    if (queue.count == 0) return queue.servers ? DEQUEUED_NONE : DEQUEUED_LAST;
    *out = queue.lines[queue.first];
    queue.first = (queue.first + 1) % LOG_LINES;
    queue.count--;
    if (queue.dropped) {
        snprintf(text, sizeof text, "%llu log lines were dropped: the queue was full",
                 (unsigned long long)queue.dropped);
        queue.dropped = 0;
        append(LOG_WARNING, text);
    }
    return DEQUEUED_LINE;
}

bool kevyrt_log_next(struct kevyrt_log_line *out, uint64_t deadline_ns) {
    for (;;) {
        uint32_t seen = atomic_load_seq_cst(&queue.bell);
        pthread_mutex_lock(&queue.lock);
        enum dequeued result = dequeue(out);
        pthread_mutex_unlock(&queue.lock);
        if (result != DEQUEUED_NONE) return result == DEQUEUED_LINE;
        if (!futex_wait(&queue.bell, seen, deadline_ns)) return false;
    }
}

bool kevyrt_log_wanted(void) {
    pthread_mutex_lock(&queue.lock);
    bool wanted = queue.servers || queue.count;
    pthread_mutex_unlock(&queue.lock);
    return wanted;
}

void log_queue_fork_prepare(void) {
    pthread_mutex_lock(&queue.lock);
}

void log_queue_fork_parent(void) {
    pthread_mutex_unlock(&queue.lock);
}

void log_queue_fork_child(void) {
    queue.servers = 0;
    queue.count = 0;
    queue.dropped = 0;
    pthread_mutex_unlock(&queue.lock);
}
