/* What kind a file is of, and who looks at it. */
#include "server/persistence/checking/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "plat/errors.h"
#include "server/kevyrt.h"

void check_say(const struct check *check, const char *format, ...) {
    char line[CHECK_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    check->say(check->context, line);
}

enum kind { KIND_DUMP, KIND_LOG, KIND_MANIFEST, KIND_NONE };

static bool begins_with(const char *at, size_t len, const char *word) {
    return len >= strlen(word) && memcmp(at, word, strlen(word)) == 0;
}

/* The first line that is no remark tells a manifest from a log. What begins as neither is left alone. */
static enum kind kind_of(const char *at, size_t len) {
    if (begins_with(at, len, "REDIS")) return KIND_DUMP;
    if (len > 0 && *at != '#' && *at != '*' && !begins_with(at, len, "file ")) return KIND_NONE;
    for (const char *end = at + len, *next; at < end; at = next) {
        next = memchr(at, '\n', (size_t)(end - at));
        next = next ? next + 1 : end;
        if (*at != '#')
            return begins_with(at, (size_t)(end - at), "file ") ? KIND_MANIFEST : KIND_LOG;
    }
    return KIND_LOG;
}

/* The beginning of the file, and how long it is. Negative: an errno value. */
static int64_t read_beginning(const struct check *check, const char *path, char *at, size_t room,
                              size_t *got) {
    int fd = check->disk->open(check->disk, path, DISK_READ);
    if (fd < 0) return fd;
    int64_t size = check->disk->size(check->disk, fd);
    int64_t read = check->disk->read(check->disk, fd, at, room, 0);
    check->disk->close(check->disk, fd);
    *got = read > 0 ? (size_t)read : 0;
    return read < 0 ? read : size;
}

/* Behind it a log may go on, which a dump alone has not. */
static enum check_result check_dump_and_log(const struct check *check, const char *path,
                                            int64_t size) {
    uint64_t log_from;
    enum check_result result = check_dump(check, path, &log_from);
    if (result != CHECK_GOOD || log_from >= (uint64_t)size) return result;
    return check_log(check, path, log_from);
}

enum check_result check_file(const struct check *check, const char *path) {
    char beginning[4096];
    size_t len;
    int64_t size = read_beginning(check, path, beginning, sizeof beginning, &len);
    if (size < 0) {
        check_say(check, "Cannot read %s: %s", path, system_error_text((int)size));
        return CHECK_UNREAD;
    }
    switch (kind_of(beginning, len)) {
    case KIND_DUMP:
        return check_dump_and_log(check, path, size);
    case KIND_MANIFEST:
        return check_manifest(check, path);
    case KIND_LOG:
        return check_log(check, path, 0);
    default:
        check_say(check, "%s is no dump, no log and no manifest", path);
        return CHECK_DAMAGED;
    }
}

enum kevyrt_status kevyrt_check(const char *path, const struct kevyrt_checking *checking) {
    const struct check check = {.disk = disk_default,
                                .fix = checking->fix,
                                .until_s = checking->until_s,
                                .say = checking->say,
                                .agree = checking->agree,
                                .context = checking->context};
    switch (check_file(&check, path)) {
    case CHECK_GOOD:
    case CHECK_FIXED:
        return KEVYRT_OK;
    case CHECK_UNREAD:
        return KEVYRT_SYSTEM;
    default:
        return KEVYRT_DAMAGED;
    }
}
