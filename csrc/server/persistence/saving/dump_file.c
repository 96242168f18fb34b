#include "server/persistence/saving/dump_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "plat/random.h"

static void drop_names(struct dump_file *file) {
    mem_free(NULL, file->path);
    mem_free(NULL, file->beside);
    file->path = file->beside = NULL;
}

/* The name beside is one that nobody has: two servers may write into one folder, and to one path. */
static int make_names(struct dump_file *file, const char *path) {
    uint64_t number;
    size_t len = strlen(path) + 1, size = len + 24;
    int result = random_from_kernel(&number, sizeof number);
    if (result < 0) return result;
    file->path = mem_alloc(NULL, len);
    file->beside = mem_alloc(NULL, size);
    if (!file->path || !file->beside) {
        drop_names(file);
        return -ENOMEM;
    }
    memcpy(file->path, path, len);
    snprintf(file->beside, size, "%s.%016llx.tmp", path, (unsigned long long)number);
    return 0;
}

int dump_file_open(struct dump_file *file, const struct disk *disk, const char *path) {
    *file = (struct dump_file){.disk = disk, .fd = -1};
    int result = make_names(file, path);
    if (result < 0) return result;
    file->fd = disk->open(disk, file->beside, DISK_CREATE);
    if (file->fd >= 0) return 0;
    result = file->fd;
    drop_names(file);
    return result;
}

int dump_file_write(struct dump_file *file, const void *at, size_t len) {
    int result = disk_write_all(file->disk, file->fd, at, len, file->len);
    if (result == 0) file->len += len;
    return result;
}

int dump_file_close(struct dump_file *file, bool good) {
    const struct disk *disk = file->disk;
    int result = good ? disk->sync(disk, file->fd) : 0;
    disk->close(disk, file->fd);
    if (good && result == 0) result = disk->rename(disk, file->beside, file->path);
    if (!good || result < 0) (void)disk->remove(disk, file->beside);
    else result = disk_sync_folder_of(disk, file->path);
    drop_names(file);
    return result;
}
