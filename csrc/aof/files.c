/* The folder of a log, and its changes.
 *
 *     new files are made and the folder is synced        a kill: files that no manifest names; their numbers are used again
 *     the manifest is written beside the old one, synced a kill: a temporary file, which the next start removes
 *     it is renamed over the old one                     a kill: before or behind
 *     the folder is synced                               if that fails, nobody knows which of both the next start will find: both
 *                                                        must be complete, and the next change must not destroy what either names
 *     what no manifest names any more is removed
 *
 * For the last but one a number is never given twice by a process, and what the new manifest names is left alone.
 */
#include "aof/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aof/header.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "plat/process.h"

enum { MANIFEST_MAX = 16 << 20 };
static const char detached_name[] = "temp-detached.incr.aof", base_name[] = "temp-rewrite.base";

/* ---- Names -------------------------------------------------------------------------------------- */

static int join(char out[AOF_PATH_MAX], const char *folder, const char *prefix, const char *name) {
    int len = snprintf(out, AOF_PATH_MAX, "%s/%s%s", folder, prefix, name);
    return len < AOF_PATH_MAX ? 0 : -ENAMETOOLONG;
}

int aof_files_path(const struct aof_files *files, const char *name, char out[AOF_PATH_MAX]) {
    return join(out, files->folder, "", name);
}

static int manifest_paths(const struct aof_files *files, char at[AOF_PATH_MAX],
                          char beside[AOF_PATH_MAX]) {
    char name[AOF_PATH_MAX];
    int result = join(name, files->folder, "", files->name);
    if (result < 0 || strlen(name) + sizeof ".manifest" > AOF_PATH_MAX) return -ENAMETOOLONG;
    (void)snprintf(at, AOF_PATH_MAX, "%.4080s.manifest", name);
    result = join(name, files->folder, "temp-", files->name);
    if (result < 0 || strlen(name) + sizeof ".manifest" > AOF_PATH_MAX) return -ENAMETOOLONG;
    (void)snprintf(beside, AOF_PATH_MAX, "%.4080s.manifest", name);
    return 0;
}

/* `appendonly.aof.2.base.rdb`. */
static int numbered(const struct aof_files *files, uint64_t seq, const char *kind,
                    char out[AOF_PATH_MAX]) {
    int len = snprintf(out, AOF_PATH_MAX, "%s.%llu.%s", files->name, (unsigned long long)seq, kind);
    return len < AOF_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static const char *base_kind(bool as_dump) {
    return as_dump ? "base.rdb" : "base.aof";
}

/* ---- Small steps -------------------------------------------------------------------------------- */

static int open_named(const struct aof_files *files, const char *name, enum disk_open how) {
    char path[AOF_PATH_MAX];
    int result = aof_files_path(files, name, path);
    return result < 0 ? result : files->disk->open(files->disk, path, how);
}

static void remove_named(const struct aof_files *files, const char *name) {
    char path[AOF_PATH_MAX];
    if (aof_files_path(files, name, path) == 0) (void)files->disk->remove(files->disk, path);
}

static int rename_named(const struct aof_files *files, const char *from, const char *to) {
    char before[AOF_PATH_MAX], after[AOF_PATH_MAX];
    int result = aof_files_path(files, from, before);
    if (result == 0) result = aof_files_path(files, to, after);
    return result < 0 ? result : files->disk->rename(files->disk, before, after);
}

/* 1, 0, or a negative errno value: a file that cannot be read is not one that is not there. */
static int is_there(const struct disk *disk, const char *path) {
    int fd = disk->open(disk, path, DISK_READ);
    if (fd >= 0) disk->close(disk, fd);
    return fd >= 0 ? 1 : fd == -ENOENT ? 0 : fd;
}

static int write_file(const struct disk *disk, const char *path, const char *text, size_t len) {
    int fd = disk->open(disk, path, DISK_CREATE);
    if (fd < 0) return fd;
    int result = disk_write_all(disk, fd, text, len, 0);
    if (result == 0) result = disk->sync(disk, fd);
    disk->close(disk, fd);
    return result;
}

static int sync_folder(const struct aof_files *files) {
    return files->disk->sync_folder(files->disk, files->folder);
}

/* ---- The manifest ------------------------------------------------------------------------------- */

/* `*named`: a reader of the folder finds the new one. */
static int put_text(const struct aof_files *files, const char *text, size_t len, bool *named) {
    char at[AOF_PATH_MAX], beside[AOF_PATH_MAX];
    const struct disk *disk = files->disk;
    *named = false;
    int result = manifest_paths(files, at, beside);
    if (result == 0) result = write_file(disk, beside, text, len);
    if (result == 0) result = disk->rename(disk, beside, at);
    if (result < 0) return result;
    *named = true;
    return sync_folder(files);
}

/* `next` becomes the manifest, on the disk and then in memory; it is given up if that fails. */
static int put_manifest(struct aof_files *files, struct aof_manifest *next, bool *named) {
    size_t len = 0;
    char *text = aof_manifest_format(next, &len);
    *named = false;
    int result = text ? put_text(files, text, len, named) : -ENOMEM;
    mem_free(NULL, text);
    if (result < 0) {
        aof_manifest_deinit(next);
        return result;
    }
    aof_manifest_deinit(&files->manifest);
    files->manifest = *next;
    return 0;
}

static int read_all(const struct disk *disk, int fd, char **text, size_t *len) {
    int64_t size = disk->size(disk, fd);
    if (size < 0 || size > MANIFEST_MAX) return size < 0 ? (int)size : -EFBIG;
    *text = mem_alloc(NULL, (size_t)size + 1);
    if (!*text) return -ENOMEM;
    for (*len = 0; *len < (size_t)size;) {
        int64_t got = disk->read(disk, fd, *text + *len, (size_t)size - *len, *len);
        if (got < 0) return (int)got;
        if (got == 0) break;
        *len += (size_t)got;
    }
    return 0;
}

static int read_manifest(struct aof_files *files, char why[AOF_WHY_MAX]) {
    char at[AOF_PATH_MAX], beside[AOF_PATH_MAX], *text = NULL;
    size_t len = 0;
    uint32_t line = 0;
    int result = manifest_paths(files, at, beside);
    if (result < 0) return result;
    (void)files->disk->remove(files->disk, beside);
    int fd = files->disk->open(files->disk, at, DISK_READ);
    if (fd < 0) return fd;
    result = read_all(files->disk, fd, &text, &len);
    files->disk->close(files->disk, fd);
    if (result == 0) {
        const char *wrong = aof_manifest_parse(text, len, &files->manifest, &line);
        if (wrong) result = strcmp(wrong, AOF_MANIFEST_NO_MEMORY) == 0 ? -ENOMEM : -EINVAL;
        if (wrong) (void)snprintf(why, AOF_WHY_MAX, "%s, line %u of %.300s", wrong, line, at);
    }
    mem_free(NULL, text);
    return result;
}

/* ---- What is there ------------------------------------------------------------------------------ */

/* The file of an older Redis is the base, under its own name. It moves behind the manifest: who finds the manifest and not the
 * file in the folder moves it then. */
static int move_single(struct aof_files *files, const char *single) {
    char path[AOF_PATH_MAX];
    int result = aof_files_path(files, files->name, path);
    if (result == 0) result = files->disk->rename(files->disk, single, path);
    if (result == 0) result = sync_folder(files);
    return result < 0 ? result : files->disk->sync_folder(files->disk, files->dir);
}

static int take_single(struct aof_files *files) {
    struct aof_manifest next = {0};
    bool named;
    const struct disk *disk = files->disk;
    int result = disk->make_folder(disk, files->folder);
    if (result == 0) result = disk->sync_folder(disk, files->dir);
    if (result < 0) return result;
    if (!aof_manifest_add(&next, files->name, 1, AOF_BASE)) return -ENOMEM;
    return put_manifest(files, &next, &named);
}

static bool is_only_single(const struct aof_files *files) {
    const struct aof_manifest *manifest = &files->manifest;
    char path[AOF_PATH_MAX];
    return manifest->count == 1 && manifest->files[0].kind == AOF_BASE &&
           strcmp(manifest->files[0].name, files->name) == 0 &&
           aof_files_path(files, files->name, path) == 0 && is_there(files->disk, path) == 0;
}

static int look_for_single(struct aof_files *files) {
    char single[AOF_PATH_MAX];
    int result = join(single, files->dir, "", files->name);
    if (result == 0) result = is_there(files->disk, single);
    if (result <= 0) return result;
    result = 0;
    if (files->manifest.count == 0) result = take_single(files);
    return result == 0 && is_only_single(files) ? move_single(files, single) : result;
}

/* What another process began to cut is cut. */
static int cut_files(struct aof_files *files) {
    for (uint32_t i = 0; i < files->manifest.count; i++) {
        const struct aof_file *file = files->manifest.files + i;
        if (file->size == AOF_WHOLE || file->kind == AOF_HISTORY) continue;
        int fd = open_named(files, file->name, DISK_WRITE);
        if (fd < 0) return fd;
        int64_t size = files->disk->size(files->disk, fd);
        int result = size < 0 ? (int)size : 0;
        if (size >= 0 && (uint64_t)size > file->size)
            result = files->disk->truncate(files->disk, fd, file->size);
        files->disk->close(files->disk, fd);
        if (result < 0) return result;
    }
    return 0;
}

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = mem_alloc(NULL, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static int look_around(struct aof_files *files, char why[AOF_WHY_MAX]) {
    int result = read_manifest(files, why);
    if (result == 0 || result == -ENOENT) result = look_for_single(files);
    if (result < 0) return result;
    remove_named(files, detached_name);
    remove_named(files, base_name);
    return cut_files(files);
}

/* The process may change its folder while the log is open. */
static int make_absolute(char out[AOF_PATH_MAX], const char *dir) {
    char here[AOF_PATH_MAX];
    int len = *dir == '/' ? snprintf(out, AOF_PATH_MAX, "%s", dir) : 0;
    if (*dir != '/') return join(out, process_folder(here, sizeof here), "", dir);
    return len < AOF_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int open_files(struct aof_files *files, const struct aof_place *place,
                      int (*look)(struct aof_files *, char *), char *why) {
    char dir[AOF_PATH_MAX], folder[AOF_PATH_MAX];
    *files = (struct aof_files){.disk = place->disk};
    why[0] = 0;
    int result = make_absolute(dir, place->dir);
    if (result == 0) result = join(folder, dir, "", place->folder);
    if (result == 0) {
        files->dir = copy_text(dir);
        files->folder = copy_text(folder);
        files->name = copy_text(place->name);
        result = files->dir && files->folder && files->name ? look(files, why) : -ENOMEM;
    }
    if (result < 0) aof_files_deinit(files);
    return result;
}

int aof_files_open(struct aof_files *files, const struct aof_place *place, char why[AOF_WHY_MAX]) {
    return open_files(files, place, look_around, why);
}

int aof_files_look(struct aof_files *files, const struct aof_place *place, char why[AOF_WHY_MAX]) {
    return open_files(files, place, read_manifest, why);
}

void aof_files_deinit(struct aof_files *files) {
    mem_free(NULL, files->dir);
    mem_free(NULL, files->folder);
    mem_free(NULL, files->name);
    aof_manifest_deinit(&files->manifest);
    *files = (struct aof_files){0};
}

/* ---- The log's thread --------------------------------------------------------------------------- */

int aof_files_create(struct aof_files *files, bool as_dump) {
    /* No keys: the version, the end, and no checksum. */
    static const char empty[] = "REDIS0010\xff\0\0\0\0\0\0\0";
    struct aof_manifest next = {0};
    char name[AOF_PATH_MAX], path[AOF_PATH_MAX];
    bool named;
    const struct disk *disk = files->disk;
    int result = disk->make_folder(disk, files->folder);
    if (result == 0) result = disk->sync_folder(disk, files->dir);
    if (result == 0) result = numbered(files, 1, base_kind(as_dump), name);
    if (result == 0) result = aof_files_path(files, name, path);
    if (result == 0) result = write_file(disk, path, empty, as_dump ? sizeof empty : 0);
    if (result == 0) result = sync_folder(files);
    if (result < 0) return result;
    if (!aof_manifest_add(&next, name, 1, AOF_BASE)) return -ENOMEM;
    return put_manifest(files, &next, &named);
}

/* A file of ours says so with a chunk that has no commands, which is synced before anything comes behind it: without it, what
 * a crash of the machine has torn could be anybody's. */
static int put_beginning(const struct aof_files *files, int fd) {
    char text[AOF_BEGINNING];
    struct aof_header header = {.header_len = aof_header_len(0, 0)};
    KRT_ASSERT(header.header_len == sizeof text);
    header.crc = aof_header_sum(0, 0, text, 0);
    aof_header_format(text, &header);
    int result = disk_write_all(files->disk, fd, text, sizeof text, 0);
    return result < 0 ? result : files->disk->sync(files->disk, fd);
}

int aof_files_new_incr(struct aof_files *files, int *fd) {
    char name[AOF_PATH_MAX];
    int result = numbered(files, ++files->manifest.incr_seq, "incr.aof", name);
    if (result < 0) return result;
    *fd = open_named(files, name, DISK_CREATE);
    if (*fd < 0) return *fd;
    result = put_beginning(files, *fd);
    if (result == 0) result = sync_folder(files);
    if (result < 0) {
        files->disk->close(files->disk, *fd);
        remove_named(files, name);
        *fd = -1;
    }
    return result;
}

void aof_files_drop_incr(const struct aof_files *files) {
    char name[AOF_PATH_MAX];
    if (numbered(files, files->manifest.incr_seq, "incr.aof", name) == 0) remove_named(files, name);
}

int aof_files_add_incr(struct aof_files *files, uint64_t cut) {
    struct aof_manifest next;
    char name[AOF_PATH_MAX];
    bool named = false;
    uint64_t seq = files->manifest.incr_seq;
    int result = numbered(files, seq, "incr.aof", name);
    if (result < 0) return result;
    if (!aof_manifest_copy(&files->manifest, &next)) return -ENOMEM;
    struct aof_file *last = aof_manifest_last_incr(&next);
    if (last && cut != AOF_WHOLE) last->size = cut;
    if (!aof_manifest_add(&next, name, seq, AOF_INCR)) {
        aof_manifest_deinit(&next);
        return -ENOMEM;
    }
    result = put_manifest(files, &next, &named);
    if (result < 0 && !named) remove_named(files, name);
    return result;
}

int aof_files_open_incr(struct aof_files *files, int *fd, uint64_t *size) {
    const struct aof_file *last = aof_manifest_last_incr(&files->manifest);
    if (!last) return -ENOENT;
    *fd = open_named(files, last->name, DISK_WRITE);
    if (*fd < 0) return *fd;
    int64_t found = files->disk->size(files->disk, *fd);
    if (found < 0) files->disk->close(files->disk, *fd);
    *size = found < 0 ? 0 : (uint64_t)found;
    return found < 0 ? (int)found : 0;
}

static int open_temporary(const struct aof_files *files, const char *name, int *fd) {
    int result = files->disk->make_folder(files->disk, files->folder);
    if (result == 0) result = files->disk->sync_folder(files->disk, files->dir);
    *fd = result < 0 ? result : open_named(files, name, DISK_CREATE);
    return *fd < 0 ? *fd : 0;
}

int aof_files_open_detached(struct aof_files *files, int *fd) {
    int result = open_temporary(files, detached_name, fd);
    if (result == 0) result = put_beginning(files, *fd);
    if (result < 0 && *fd >= 0) files->disk->close(files->disk, *fd);
    if (result < 0) *fd = -1;
    return result;
}

int aof_files_open_base(const struct aof_files *files, int *fd) {
    return open_temporary(files, base_name, fd);
}

void aof_files_drop_base(const struct aof_files *files) {
    remove_named(files, base_name);
}

/* ---- A new base --------------------------------------------------------------------------------- */

struct install {
    struct aof_manifest next;
    char base[AOF_PATH_MAX], incr[AOF_PATH_MAX];
    bool detached, base_moved, incr_moved, named;
};

static int plan_install(struct aof_files *files, struct install *install, bool as_dump,
                        uint64_t first_incr) {
    uint64_t base = ++files->manifest.base_seq;
    if (install->detached) first_incr = ++files->manifest.incr_seq;
    if (!aof_manifest_copy(&files->manifest, &install->next)) return -ENOMEM;
    aof_manifest_retire(&install->next, first_incr);
    int result = numbered(files, base, base_kind(as_dump), install->base);
    if (result == 0) result = numbered(files, first_incr, "incr.aof", install->incr);
    if (result < 0) return result;
    bool added = aof_manifest_add(&install->next, install->base, base, AOF_BASE);
    if (install->detached)
        added = added && aof_manifest_add(&install->next, install->incr, first_incr, AOF_INCR);
    return added ? 0 : -ENOMEM;
}

static int move_files(struct aof_files *files, struct install *install) {
    int result = rename_named(files, base_name, install->base);
    install->base_moved = result == 0;
    if (result == 0 && install->detached) {
        result = rename_named(files, detached_name, install->incr);
        install->incr_moved = result == 0;
    }
    return result < 0 ? result : sync_folder(files);
}

/* Nobody has found the new manifest: both files go back to where the next attempt looks for them, or nobody does. */
static void take_back(struct aof_files *files, const struct install *install) {
    if (install->base_moved) remove_named(files, install->base);
    if (install->incr_moved) (void)rename_named(files, install->incr, detached_name);
}

int aof_files_install(struct aof_files *files, bool as_dump, uint64_t first_incr, bool detached) {
    struct install install = {.detached = detached};
    int result = plan_install(files, &install, as_dump, first_incr);
    if (result == 0) result = move_files(files, &install);
    if (result == 0) result = put_manifest(files, &install.next, &install.named);
    else aof_manifest_deinit(&install.next);
    if (result < 0 && !install.named) take_back(files, &install);
    return result;
}

void aof_files_remove_history(const struct aof_files *files, const struct aof_manifest *manifest) {
    for (uint32_t i = 0; i < manifest->count; i++)
        if (manifest->files[i].kind == AOF_HISTORY) remove_named(files, manifest->files[i].name);
}

int aof_files_forget_history(struct aof_files *files) {
    struct aof_manifest next;
    bool named;
    if (!aof_manifest_copy(&files->manifest, &next)) return -ENOMEM;
    aof_manifest_drop_history(&next);
    return put_manifest(files, &next, &named);
}
