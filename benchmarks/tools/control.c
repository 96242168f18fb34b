/* control.c: an idle loop that wakes every 100 us and notes how late it wakes. What it sees, no
 * work of a server explains: it is the machine's own noise.
 *
 * It asks for real-time priority, so that other work on its core does not count as noise, and says
 * in its first line whether it was granted. Each line on stdin makes it print one line and start
 * afresh:
 *
 *     LONGEST_US OVER_1MS TURNS
 *
 * End of file on stdin ends it. */
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { TURN_NS = 100 * 1000, LIMIT_NS = 1000 * 1000, SECOND_NS = 1000 * 1000 * 1000 };

struct gaps {
    long longest_ns;
    unsigned long over_limit;
    unsigned long turns;
};

static long elapsed_ns(const struct timespec *from, const struct timespec *to) {
    return (to->tv_sec - from->tv_sec) * SECOND_NS + (to->tv_nsec - from->tv_nsec);
}

static void note(struct gaps *gaps, long gap_ns) {
    gaps->turns++;
    gaps->over_limit += gap_ns > LIMIT_NS;
    if (gap_ns > gaps->longest_ns) gaps->longest_ns = gap_ns;
}

/* Answers what stands on stdin; false at its end. */
static bool answer(struct gaps *gaps) {
    char request[64];
    ssize_t n = read(STDIN_FILENO, request, sizeof request);
    if (n > 0) {
        printf("%ld %lu %lu\n", gaps->longest_ns / 1000, gaps->over_limit, gaps->turns);
        fflush(stdout);
        *gaps = (struct gaps){0};
    }
    return n != 0;
}

static void prefer_this_thread(void) {
    struct sched_param priority = {.sched_priority = 1};
    bool granted = sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    printf("%s\n", granted ? "realtime" : "ordinary");
    fflush(stdout);
}

int main(void) {
    struct gaps gaps = {0};
    struct timespec last;
    struct timespec now;
    const struct timespec turn = {.tv_nsec = TURN_NS};
    prefer_this_thread();
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    do {
        clock_gettime(CLOCK_MONOTONIC, &last);
        clock_nanosleep(CLOCK_MONOTONIC, 0, &turn, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        note(&gaps, elapsed_ns(&last, &now) - TURN_NS);
    } while (answer(&gaps));
    return 0;
}
