/* A file that is written beside its place, and is there whole or not at all.
 *
 * Role: where an RDB file goes that a program asked for by its path. Threads: one at a time; all of them block.
 * Errors: negative errno values; nothing is left behind then, and what was at the path stays.
 */
#pragma once

#include <stdbool.h>

#include "plat/disk.h"

struct dump_file {
    const struct disk *disk;
    char *path, *beside;
    int fd;
    uint64_t len;
};

int dump_file_open(struct dump_file *file, const struct disk *disk, const char *path);
int dump_file_write(struct dump_file *file, const void *at, size_t len);
/* Synced and renamed; or, with `good` false, removed. Closes it in any case. */
int dump_file_close(struct dump_file *file, bool good);
