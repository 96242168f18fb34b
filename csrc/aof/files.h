/* The files of a log: a folder, its manifest, and how both change.
 *
 * Role: every function leaves the folder so that a kill in any of its steps is a kill before or behind it: new files are there
 * before the manifest names them, the manifest is written beside the old one, synced, renamed, and the folder is synced.
 * Threads: who starts the server, until aof_start takes them over; then the log's thread. All of them block.
 * Errors: 0 or a negative errno value, and the files as they were, in memory and for a reader of the folder.
 */
#pragma once

#include "aof/manifest.h"
#include "plat/disk.h"

enum { AOF_PATH_MAX = 4096, AOF_WHY_MAX = 512 };

struct aof_place { /* borrowed; copied by aof_files_open */
    const struct disk *disk;
    const char *dir;    /* absolute, or from where the process is now */
    const char *folder; /* appenddirname */
    const char *name;   /* appendfilename */
};

struct aof_files {
    const struct disk *disk;
    char *dir, *folder, *name; /* `dir` and `folder` are absolute paths */
    struct aof_manifest manifest;
};

/* What is there, for who loads it: reads the manifest, and takes over the single file `dir`/`name` of an older Redis, as base. With
 * nothing there the manifest is empty and nothing is made. Temporary files are removed, and files cut at their `size`.
 * `why` says what is wrong with the manifest (-EINVAL), or what failed. */
int aof_files_open(struct aof_files *files, const struct aof_place *place, char why[AOF_WHY_MAX]);
/* The same of a log that somebody writes, for who only reads: nothing is changed. -ENOENT: there is no manifest. */
int aof_files_look(struct aof_files *files, const struct aof_place *place, char why[AOF_WHY_MAX]);
void aof_files_deinit(struct aof_files *files);
static inline bool aof_files_are_there(const struct aof_files *files) {
    return files->manifest.count > 0;
}
/* The path of a file of the manifest; -ENAMETOOLONG. */
int aof_files_path(const struct aof_files *files, const char *name, char out[AOF_PATH_MAX]);

/* ---- The log's thread --------------------------------------------------------------------------- */

/* The folder, and a first base that is empty (a dump, or else a log). */
int aof_files_create(struct aof_files *files, bool as_dump);
/* A new incremental file, open for writing, with a number that no file had, of AOF_BEGINNING bytes: a chunk without commands, so
 * that it is known as ours. No manifest names it yet. */
int aof_files_new_incr(struct aof_files *files, int *fd);
/* It is not wanted after all. */
void aof_files_drop_incr(const struct aof_files *files);
/* The manifest names it, as the last one; if that fails it is dropped. `cut`: the size at which the one before ends (AOF_WHOLE). */
int aof_files_add_incr(struct aof_files *files, uint64_t cut);
/* The last one of the manifest, and its size. */
int aof_files_open_incr(struct aof_files *files, int *fd, uint64_t *size);
/* One that gets its place in the manifest with the next base, beginning likewise. There is only one of them. */
int aof_files_open_detached(struct aof_files *files, int *fd);
/* Where a new base is written. There is only one of them. Any thread. */
int aof_files_open_base(const struct aof_files *files, int *fd);
void aof_files_drop_base(const struct aof_files *files);
/* The written, synced and closed base takes the place of the old one and of the incremental files below `first_incr`; with `detached`
 * that of all of them, and the detached file becomes the only one behind it. What was is history in the manifest, until it is removed. */
int aof_files_install(struct aof_files *files, bool as_dump, uint64_t first_incr, bool detached);
/* Removes the files, which takes long if they are long; any thread, with a copy of the manifest. */
void aof_files_remove_history(const struct aof_files *files, const struct aof_manifest *manifest);
int aof_files_forget_history(struct aof_files *files);
