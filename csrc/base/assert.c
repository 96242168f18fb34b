/* The log hook, and the one way in which this library ends its process. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOG_LINE_BYTES = 1024 }; /* a longer line is cut: formatting must not allocate */

static struct {
    log_hook *hook; /* writer: log_hook_set before the first thread starts; readers: any thread */
    void *context;
} installed;

void log_hook_set(log_hook *hook, void *context) {
    installed.context = context;
    installed.hook = hook;
}

/* Without a hook a line is dropped: a guest does not print into its host's streams. */
void log_line(enum log_level level, const char *format, ...) {
    if (installed.hook == NULL) {
        return;
    }
    char line[LOG_LINE_BYTES];
    va_list args;
    va_start(args, format);
    int written = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (written >= 0) {
        installed.hook(installed.context, level, line);
    }
}

void assert_failed(const char *expression, const char *file, int line) {
    if (installed.hook != NULL) {
        log_line(LOG_WARNING, "assertion failed: %s (%s:%d)", expression, file, line);
    } else {
        (void)fprintf(stderr, "kevyrt: assertion failed: %s (%s:%d)\n", expression, file, line);
    }
    abort();
}
