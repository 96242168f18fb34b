/* Undo lists: one per file of its writes and cuts, one of names. A sync empties them; a crash takes back what they say. */
#define _GNU_SOURCE
#include "aof/fake_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, PATH_ROOM = 4096 };

struct change {          /* of a file: what was written, and what was there */
    struct change *next; /* the one before it */
    uint64_t offset, len, old_size;
    bool cut, lost;
    char *now, *before;
};

struct file {
    struct file *next;
    ino_t inode;
    int fd;
    struct change *changes;
};

struct name { /* from -> to was done; both may be NULL */
    struct name *next;
    char *from, *to;
    char *aside; /* what was at `to` before, or was removed */
};

struct fake_disk {
    struct disk disk; /* first: the table is the disk */
    struct fake_plan plan;
    pthread_mutex_t lock;
    uint64_t calls, matching, room, random;
    uint64_t asides;
    bool dead;
    struct file *files;
    struct name *names; /* the last one first */
};

static struct fake_disk *fake_of(const struct disk *disk) {
    return (struct fake_disk *)(uintptr_t)disk;
}

static uint64_t roll(struct fake_disk *fake, uint64_t sides) {
    fake->random = fake->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (fake->random >> 33) % sides;
}

/* ---- Files -------------------------------------------------------------------------------------- */

static struct file *file_of(struct fake_disk *fake, int fd) {
    struct stat found;
    if (fstat(fd, &found) < 0) abort();
    for (struct file *file = fake->files; file; file = file->next)
        if (file->inode == found.st_ino) return file;
    struct file *file = calloc(1, sizeof *file);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    file->inode = found.st_ino;
    file->fd = open(path, O_RDWR | O_CLOEXEC);
    file->next = fake->files;
    fake->files = file;
    return file;
}

static uint64_t size_of(int fd) {
    struct stat found;
    return fstat(fd, &found) < 0 ? 0 : (uint64_t)found.st_size;
}

static void change_free(struct change *change) {
    free(change->now);
    free(change->before);
    free(change);
}

static void note_change(struct file *file, const void *at, size_t len, uint64_t offset, bool cut) {
    struct change *change = calloc(1, sizeof *change);
    *change = (struct change){.next = file->changes, .offset = offset, .len = len, .cut = cut};
    change->old_size = size_of(file->fd);
    change->before = calloc(1, len + 1);
    if (pread(file->fd, change->before, len, (off_t)offset) < 0) abort();
    if (at) change->now = memcpy(malloc(len + 1), at, len);
    file->changes = change;
}

/* What was synced stays, but for what an earlier sync that failed had lost, unless that was cut off since. */
static void settle(struct file *file) {
    struct change **at = &file->changes;
    uint64_t cut = UINT64_MAX;
    while (*at) {
        struct change *change = *at;
        if (change->lost && change->offset < cut) {
            at = &change->next;
            continue;
        }
        if (change->cut && change->offset < cut) cut = change->offset;
        *at = change->next;
        change_free(change);
    }
}

static void take_back(struct file *file, const struct change *change) {
    uint64_t len = change->len;
    if (change->offset + len > change->old_size)
        len = change->old_size > change->offset ? change->old_size - change->offset : 0;
    if (pwrite(file->fd, change->before, len, (off_t)change->offset) < 0) abort();
    if (ftruncate(file->fd, (off_t)change->old_size) < 0) abort();
}

/* Sector by sector. */
static void do_in_parts(struct fake_disk *fake, struct file *file, const struct change *change) {
    uint64_t kind = roll(fake, 3);
    if (change->lost || kind == 0) return;
    if (change->cut) {
        if (ftruncate(file->fd, (off_t)change->offset) < 0) abort();
        return;
    }
    for (uint64_t at = 0; at < change->len; at += SECTOR) {
        uint64_t len = change->len - at < SECTOR ? change->len - at : SECTOR;
        if (kind == 1 && roll(fake, 2)) continue;
        if (pwrite(file->fd, change->now + at, len, (off_t)(change->offset + at)) < 0) abort();
    }
}

static void crash_file(struct fake_disk *fake, struct file *file) {
    struct change *in_order = NULL;
    while (file->changes) {
        struct change *change = file->changes;
        take_back(file, change);
        file->changes = change->next;
        change->next = in_order;
        in_order = change;
    }
    while (in_order) {
        struct change *next = in_order->next;
        do_in_parts(fake, file, in_order);
        change_free(in_order);
        in_order = next;
    }
}

/* ---- Names -------------------------------------------------------------------------------------- */

static char *set_aside(struct fake_disk *fake, const char *path) {
    char aside[PATH_ROOM];
    const char *end = strrchr(path, '/');
    int folder = end ? (int)(end - path) : 0;
    snprintf(aside, sizeof aside, "%.*s/.aside-%llu", folder, path,
             (unsigned long long)++fake->asides);
    return rename(path, aside) < 0 ? NULL : strdup(aside);
}

static void note_name(struct fake_disk *fake, const char *from, const char *to, char *aside) {
    struct name *name = calloc(1, sizeof *name);
    name->from = from ? strdup(from) : NULL;
    name->to = to ? strdup(to) : NULL;
    name->aside = aside;
    name->next = fake->names;
    fake->names = name;
}

static void name_free(struct name *name) {
    free(name->from);
    free(name->to);
    free(name->aside);
    free(name);
}

static void name_take_back(const struct name *name) {
    if (name->from && name->to) (void)rename(name->to, name->from);
    else if (name->to && !name->aside) (void)unlink(name->to);
    if (name->aside) (void)rename(name->aside, name->to ? name->to : name->from);
}

static bool is_in(const char *path, const char *folder) {
    size_t len = strlen(folder);
    return path && strncmp(path, folder, len) == 0 && path[len] == '/' &&
           !strchr(path + len + 1, '/');
}

static void names_settle(struct fake_disk *fake, const char *folder) {
    struct name **at = &fake->names;
    while (*at) {
        struct name *name = *at;
        if (!is_in(name->to ? name->to : name->from, folder)) {
            at = &name->next;
            continue;
        }
        if (name->aside) (void)unlink(name->aside);
        *at = name->next;
        name_free(name);
    }
}

static void crash_names(struct fake_disk *fake) {
    uint64_t count = 0;
    for (struct name *name = fake->names; name; name = name->next) count++;
    uint64_t lost = roll(fake, count + 1);
    while (fake->names) {
        struct name *name = fake->names;
        if (lost > 0) {
            name_take_back(name);
            lost--;
        } else if (name->aside) {
            (void)unlink(name->aside);
        }
        fake->names = name->next;
        name_free(name);
    }
}

/* ---- The plan ----------------------------------------------------------------------------------- */

static void crash(struct fake_disk *fake) {
    if (fake->dead) return;
    if (fake->plan.power) {
        for (struct file *file = fake->files; file; file = file->next) crash_file(fake, file);
        crash_names(fake);
    }
    fake->dead = true;
    if (fake->plan.kill) (void)raise(SIGKILL);
}

/* With the lock, unless it returns an error. */
static int begin_call(struct fake_disk *fake, enum fake_call call) {
    int result = 0;
    pthread_mutex_lock(&fake->lock);
    if (++fake->calls == fake->plan.crash_at) crash(fake);
    if (fake->dead) result = -EIO;
    if (fake->plan.fail_at && (fake->plan.fail_calls & call)) {
        uint64_t number = ++fake->matching;
        if (number >= fake->plan.fail_at && number < fake->plan.fail_at + fake->plan.fail_count)
            result = fake->plan.fail_error;
    }
    if (result < 0) pthread_mutex_unlock(&fake->lock);
    return result;
}

static int end_call(struct fake_disk *fake, int result) {
    pthread_mutex_unlock(&fake->lock);
    return result;
}

/* ---- Calls -------------------------------------------------------------------------------------- */

static int fake_open(const struct disk *disk, const char *path, enum disk_open how) {
    struct fake_disk *fake = fake_of(disk);
    int result = begin_call(fake, FAKE_OPEN);
    if (result < 0) return result;
    bool is_new = how != DISK_READ && access(path, F_OK) < 0;
    int fd = disk_kernel.open(&disk_kernel, path, how == DISK_CREATE ? DISK_WRITE : how);
    if (fd >= 0 && is_new) note_name(fake, NULL, path, NULL);
    if (fd >= 0 && how == DISK_CREATE && size_of(fd) > 0) {
        note_change(file_of(fake, fd), NULL, size_of(fd), 0, true);
        if (ftruncate(fd, 0) < 0) abort();
    }
    return end_call(fake, fd);
}

static void fake_close(const struct disk *disk, int fd) {
    (void)disk;
    disk_kernel.close(&disk_kernel, fd);
}

static int64_t fake_read(const struct disk *disk, int fd, void *at, size_t len, uint64_t offset) {
    struct fake_disk *fake = fake_of(disk);
    int result = begin_call(fake, FAKE_READ);
    if (result < 0) return result;
    int64_t got = disk_kernel.read(&disk_kernel, fd, at, len, offset);
    end_call(fake, 0);
    return got;
}

static size_t room_for(struct fake_disk *fake, int fd, size_t len, uint64_t offset) {
    uint64_t size = size_of(fd);
    uint64_t over = offset + len > size ? offset + len - size : 0;
    if (fake->plan.shorten && len > 1 && roll(fake, 2)) len = 1 + roll(fake, len - 1);
    if (!fake->plan.capacity) return len;
    if (over > fake->room) {
        uint64_t cut = over - fake->room;
        len = len > cut ? len - cut : 0;
        over = fake->room;
    }
    fake->room -= over;
    return len;
}

static int64_t fake_write(const struct disk *disk, int fd, const void *at, size_t len,
                          uint64_t offset) {
    struct fake_disk *fake = fake_of(disk);
    int result = begin_call(fake, FAKE_WRITE);
    if (result < 0) return result;
    len = room_for(fake, fd, len, offset);
    int64_t written = -ENOSPC;
    if (len > 0) {
        note_change(file_of(fake, fd), at, len, offset, false);
        written = disk_kernel.write(&disk_kernel, fd, at, len, offset);
    }
    end_call(fake, 0);
    return written;
}

static int64_t fake_size(const struct disk *disk, int fd) {
    return fake_disk_is_dead(fake_of(disk)) ? -EIO : (int64_t)size_of(fd);
}

static int fake_truncate(const struct disk *disk, int fd, uint64_t len) {
    struct fake_disk *fake = fake_of(disk);
    int result = begin_call(fake, FAKE_TRUNCATE);
    if (result < 0) return result;
    uint64_t size = size_of(fd);
    if (size > len) {
        note_change(file_of(fake, fd), NULL, size - len, len, true);
        fake->room += size - len;
    }
    return end_call(fake, disk_kernel.truncate(&disk_kernel, fd, len));
}

static int fake_sync(const struct disk *disk, int fd) {
    struct fake_disk *fake = fake_of(disk);
    int result = begin_call(fake, FAKE_SYNC);
    if (result < 0) {
        pthread_mutex_lock(&fake->lock);
        if (!fake->dead)
            for (struct change *change = file_of(fake, fd)->changes; change; change = change->next)
                change->lost = true;
        return end_call(fake, result);
    }
    settle(file_of(fake, fd));
    end_call(fake, 0);
    if (fake->plan.slow_sync_us) usleep(fake->plan.slow_sync_us);
    return 0;
}

static int fake_rename(const struct disk *disk, const char *from, const char *to) {
    struct fake_disk *fake = fake_of(disk);
    int result = begin_call(fake, FAKE_RENAME);
    if (result < 0) return result;
    char *aside = access(from, F_OK) == 0 ? set_aside(fake, to) : NULL;
    result = disk_kernel.rename(&disk_kernel, from, to);
    if (result == 0) note_name(fake, from, to, aside);
    return end_call(fake, result);
}

static int fake_remove(const struct disk *disk, const char *path) {
    struct fake_disk *fake = fake_of(disk);
    int result = begin_call(fake, FAKE_REMOVE);
    if (result < 0) return result;
    char *aside = set_aside(fake, path);
    if (aside) note_name(fake, path, NULL, aside);
    return end_call(fake, aside ? 0 : -ENOENT);
}

static int fake_make_folder(const struct disk *disk, const char *path) {
    struct fake_disk *fake = fake_of(disk);
    int result = begin_call(fake, FAKE_FOLDER);
    return result < 0 ? result : end_call(fake, disk_kernel.make_folder(&disk_kernel, path));
}

static int fake_sync_folder(const struct disk *disk, const char *path) {
    struct fake_disk *fake = fake_of(disk);
    int result = begin_call(fake, FAKE_FOLDER);
    if (result < 0) return result;
    names_settle(fake, path);
    return end_call(fake, 0);
}

/* ---- Life --------------------------------------------------------------------------------------- */

struct fake_disk *fake_disk_new(const struct fake_plan *plan) {
    struct fake_disk *fake = calloc(1, sizeof *fake);
    fake->disk = (struct disk){
        .open = fake_open,
        .close = fake_close,
        .read = fake_read,
        .write = fake_write,
        .size = fake_size,
        .truncate = fake_truncate,
        .sync = fake_sync,
        .rename = fake_rename,
        .remove = fake_remove,
        .make_folder = fake_make_folder,
        .sync_folder = fake_sync_folder,
    };
    fake->plan = *plan;
    fake->room = plan->capacity;
    fake->random = plan->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    pthread_mutex_init(&fake->lock, NULL);
    return fake;
}

const struct disk *fake_disk_of(struct fake_disk *fake) {
    return &fake->disk;
}

uint64_t fake_disk_calls(struct fake_disk *fake) {
    pthread_mutex_lock(&fake->lock);
    uint64_t calls = fake->calls;
    pthread_mutex_unlock(&fake->lock);
    return calls;
}

bool fake_disk_is_dead(struct fake_disk *fake) {
    pthread_mutex_lock(&fake->lock);
    bool dead = fake->dead;
    pthread_mutex_unlock(&fake->lock);
    return dead;
}

void fake_disk_crash(struct fake_disk *fake) {
    pthread_mutex_lock(&fake->lock);
    crash(fake);
    pthread_mutex_unlock(&fake->lock);
}

void fake_disk_grow(struct fake_disk *fake, uint64_t bytes) {
    pthread_mutex_lock(&fake->lock);
    fake->room += bytes;
    pthread_mutex_unlock(&fake->lock);
}

void fake_disk_free(struct fake_disk *fake) {
    while (fake->files) {
        struct file *file = fake->files;
        for (struct change *change = file->changes, *next; change; change = next) {
            next = change->next;
            change_free(change);
        }
        close(file->fd);
        fake->files = file->next;
        free(file);
    }
    while (fake->names) {
        struct name *name = fake->names;
        fake->names = name->next;
        if (name->aside) (void)unlink(name->aside);
        name_free(name);
    }
    pthread_mutex_destroy(&fake->lock);
    free(fake);
}

/* ---- Text --------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int number;
} call_names[] = {{"open", FAKE_OPEN},     {"read", FAKE_READ},     {"write", FAKE_WRITE},
                  {"cut", FAKE_TRUNCATE},  {"sync", FAKE_SYNC},     {"rename", FAKE_RENAME},
                  {"remove", FAKE_REMOVE}, {"folder", FAKE_FOLDER}, {"any", FAKE_ANY}},
  error_names[] = {{"EIO", -EIO}, {"ENOSPC", -ENOSPC}};

/* `sync:3:1:EIO`: calls of which kind, the first that fails, how many do, and how. */
static bool parse_failure(const char *text, struct fake_plan *plan) {
    char call[16], error[16];
    unsigned long long at, count;
    if (sscanf(text, "%15[a-z]:%llu:%llu:%15[A-Z]", call, &at, &count, error) != 4) return false;
    for (size_t i = 0; i < sizeof call_names / sizeof *call_names; i++)
        if (!strcmp(call, call_names[i].name)) plan->fail_calls = (uint32_t)call_names[i].number;
    for (size_t i = 0; i < sizeof error_names / sizeof *error_names; i++)
        if (!strcmp(error, error_names[i].name)) plan->fail_error = error_names[i].number;
    plan->fail_at = at;
    plan->fail_count = count;
    return plan->fail_calls && plan->fail_error && at;
}

static bool parse_part(const char *part, struct fake_plan *plan) {
    if (!strncmp(part, "seed=", 5)) plan->seed = strtoull(part + 5, NULL, 10);
    else if (!strncmp(part, "crash=", 6)) plan->crash_at = strtoull(part + 6, NULL, 10);
    else if (!strncmp(part, "capacity=", 9)) plan->capacity = strtoull(part + 9, NULL, 10);
    else if (!strncmp(part, "slow=", 5)) plan->slow_sync_us = (uint32_t)strtoul(part + 5, NULL, 10);
    else if (!strncmp(part, "fail=", 5)) return parse_failure(part + 5, plan);
    else if (!strcmp(part, "power")) plan->power = true;
    else if (!strcmp(part, "short")) plan->shorten = true;
    else return false;
    return true;
}

bool fake_plan_parse(const char *text, struct fake_plan *plan) {
    char copy[512], *rest = copy, *part;
    *plan = (struct fake_plan){.kill = true};
    snprintf(copy, sizeof copy, "%s", text);
    while ((part = strsep(&rest, ",")))
        if (!parse_part(part, plan)) return false;
    return true;
}
