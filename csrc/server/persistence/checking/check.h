/* Files of persistence, looked at without a server: what is in them, whether they are whole, and how much of them can be kept.
 *
 * Role: `kevyrt-check`. check_file tells by the first bytes what a file is, and asks who knows its kind; a manifest names files,
 * of which each is looked at. Nothing is changed but by `fix` and `until_s`, and then only a log's end is cut off, which its owner
 * agrees to.
 * Threads: the caller's, which blocks on the disk; no baton is held.
 * Ownership: a check is its caller's memory. A line is borrowed for the call of `say`.
 * Errors: enum check_result, and lines that say what and where.
 */
#pragma once

#include <stdbool.h>

#include "plat/disk.h"

enum check_result {
    CHECK_GOOD,
    CHECK_FIXED,   /* it was torn, and is whole now */
    CHECK_TORN,    /* its end is missing: `fix` would make it whole */
    CHECK_DAMAGED, /* not in a way that a crash explains: `fix` would lose what is behind it */
    CHECK_UNREAD,  /* it cannot be read, or there is no memory */
};

struct check {
    const struct disk *disk;
    bool fix;
    int64_t
        until_s; /* a log's commands behind this time are cut off, as its annotations have it; 0: none */
    bool (*agree)(void *context, const char *question); /* asked before a file is cut; NULL: yes */
    void (*say)(void *context, const char *line);       /* without an end of line */
    void *context;
};

/* A file of any kind, by its path. */
enum check_result check_file(const struct check *check, const char *path);

/* By kind, of a file that is there. A log may begin with a dump (*log_from of check_dump), and its checker begins there; a
 * manifest's looks at the files that it names, with check_file or as it knows better. */
enum check_result check_dump(const struct check *check, const char *path, uint64_t *log_from);
enum check_result check_log(const struct check *check, const char *path, uint64_t from);
enum check_result check_manifest(const struct check *check, const char *path);

/* A line as printf makes it, cut at CHECK_LINE_MAX. */
enum { CHECK_LINE_MAX = 512 };
void check_say(const struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
