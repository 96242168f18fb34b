/* A plain C server over kevyrt.h, with kevyrt-server's options: wire tests run against sanitizer builds of
 * it. It ends on SIGTERM or SIGINT, as SHUTDOWN would end it. `--debug-disk PLAN`, its first option, puts a disk that
 * fails in the place of the kernel's (aof/fake_disk.h). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aof/fake_disk.h"
#include "server/kevyrt.h"

static int fail(const char *what, const struct kevyrt_error *error) {
    fprintf(stderr, "%s: %s\n", what, error->text);
    return EXIT_FAILURE;
}

/* While it loads. */
static bool no_signal(void *ended) {
    struct timespec now = {0};
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    *(bool *)ended |= sigtimedwait(&ends, NULL, &now) >= 0;
    return !*(bool *)ended;
}

static void print_log(void) {
    struct kevyrt_log_line line;
    while (kevyrt_log_next(&line, 0)) fprintf(stderr, "%s\n", line.text);
}

static void wait_for_end(struct kevyrt_server *server) {
    struct timespec pause = {.tv_nsec = 20000000};
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    while (kevyrt_server_running(server) && sigtimedwait(&ends, NULL, &pause) < 0) continue;
}

/* The options behind it. NULL: it is no plan. */
static char **take_disk(char **argv) {
    struct fake_plan plan;
    if (!argv[1] || strcmp(argv[1], "--debug-disk") != 0) return argv + 1;
    if (!argv[2] || !fake_plan_parse(argv[2], &plan)) return NULL;
    disk_default = fake_disk_of(fake_disk_new(&plan));
    return argv + 3;
}

int main(int argc, char **argv) {
    struct kevyrt_error error = {0};
    struct kevyrt_setting *settings = NULL;
    struct kevyrt_server *server = NULL;
    size_t count = 0;
    sigset_t blocked;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGABRT);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    char **options = take_disk(argv);
    if (!options) return EXIT_FAILURE;
    if (kevyrt_options_parse(argc - (int)(options - argv), (const char *const *)options, NULL,
                             &settings, &count, &error) != KEVYRT_OK)
        return fail("options", &error);
    struct kevyrt_setting all[256] = {{"load-dump", "yes"}};
    if (count >= 256) return EXIT_FAILURE;
    for (size_t i = 0; i < count; i++) all[1 + i] = settings[i];
    enum kevyrt_status status = kevyrt_server_new(all, count + 1, &server, &error);
    kevyrt_options_free(settings, count);
    if (status != KEVYRT_OK) return fail("settings", &error);
    bool ended = false;
    status = kevyrt_server_start_watched(server, no_signal, &ended, &error);
    if (status != KEVYRT_OK) {
        kevyrt_server_put(server);
        print_log();
        return ended || status == KEVYRT_STOPPED ? EXIT_SUCCESS : fail("start", &error);
    }
    wait_for_end(server);
    kevyrt_server_stop(server);
    print_log();
    kevyrt_server_put(server);
    return EXIT_SUCCESS;
}
