/* A disk: the calls by which files are written that have to outlive the process.
 *
 * Role: a table of them, so that a test can put a disk in the place of the kernel's that tears, drops and reorders what
 * was not synced, writes less than it was given, fills up, or fails once.
 * Threads: any that owns the descriptor. All of them block: never with a baton held, never on a shard thread.
 * Errors: negative errno values. A write may be short.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum disk_open {
    DISK_READ,   /* what is there */
    DISK_WRITE,  /* what is there, or a new file */
    DISK_CREATE, /* a new, empty file, in the place of what is there */
};

struct disk {
    int (*open)(const struct disk *disk, const char *path, enum disk_open how); /* a descriptor */
    void (*close)(const struct disk *disk, int fd);
    int64_t (*read)(const struct disk *disk, int fd, void *at, size_t len, uint64_t offset);
    int64_t (*write)(const struct disk *disk, int fd, const void *at, size_t len, uint64_t offset);
    int64_t (*size)(const struct disk *disk, int fd);
    int (*truncate)(const struct disk *disk, int fd, uint64_t len);
    int (*sync)(const struct disk *disk, int fd); /* the bytes, and what is needed to find them */
    int (*rename)(const struct disk *disk, const char *from, const char *to);
    int (*remove)(const struct disk *disk, const char *path);
    int (*make_folder)(const struct disk *disk, const char *path); /* 0 as well if it is there */
    int (*sync_folder)(const struct disk *disk,
                       const char *path); /* names that were made, moved, removed */
};

/* The kernel's. */
extern const struct disk disk_kernel;
/* What servers use: the kernel's, unless a test has put another there before it made the first one. */
extern const struct disk *disk_default;
/* All of it, however many writes that takes. 0 or a negative errno value. */
int disk_write_all(const struct disk *disk, int fd, const void *at, size_t len, uint64_t offset);
/* Syncs the folder that a path is in. */
int disk_sync_folder_of(const struct disk *disk, const char *path);
