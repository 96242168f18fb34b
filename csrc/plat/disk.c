#include "plat/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plat/descriptors.h"

enum { FILE_MODE = 0644, FOLDER_MODE = 0755 };

static int result_of(int returned) {
    return returned < 0 ? -errno : 0;
}

static int kernel_open(const struct disk *disk, const char *path, enum disk_open how) {
    static const int flags[] = {
        [DISK_READ] = O_RDONLY,
        [DISK_WRITE] = O_RDWR | O_CREAT,
        [DISK_CREATE] = O_RDWR | O_CREAT | O_TRUNC,
    };
    (void)disk;
    int fd;
    do fd = open(path, flags[how] | O_CLOEXEC, FILE_MODE);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) return -errno;
    descriptor_note(fd);
    return fd;
}

static void kernel_close(const struct disk *disk, int fd) {
    (void)disk;
    descriptor_forget(fd);
    (void)close(fd); /* what counts was synced before */
}

static int64_t kernel_read(const struct disk *disk, int fd, void *at, size_t len, uint64_t offset) {
    (void)disk;
    ssize_t got;
    do got = pread(fd, at, len, (off_t)offset);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static int64_t kernel_write(const struct disk *disk, int fd, const void *at, size_t len,
                            uint64_t offset) {
    (void)disk;
    ssize_t written;
    do written = pwrite(fd, at, len, (off_t)offset);
    while (written < 0 && errno == EINTR);
    return written < 0 ? -errno : written;
}

static int64_t kernel_size(const struct disk *disk, int fd) {
    struct stat found;
    (void)disk;
    return fstat(fd, &found) < 0 ? -errno : (int64_t)found.st_size;
}

static int kernel_truncate(const struct disk *disk, int fd, uint64_t len) {
    (void)disk;
    return result_of(ftruncate(fd, (off_t)len));
}

static int kernel_sync(const struct disk *disk, int fd) {
    (void)disk;
    return result_of(fdatasync(fd));
}

static int kernel_rename(const struct disk *disk, const char *from, const char *to) {
    (void)disk;
    return result_of(rename(from, to));
}

static int kernel_remove(const struct disk *disk, const char *path) {
    (void)disk;
    return result_of(unlink(path));
}

static int kernel_make_folder(const struct disk *disk, const char *path) {
    (void)disk;
    return mkdir(path, FOLDER_MODE) < 0 && errno != EEXIST ? -errno : 0;
}

static int kernel_sync_folder(const struct disk *disk, const char *path) {
    (void)disk;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int result = result_of(fsync(fd));
    (void)close(fd);
    return result;
}

const struct disk disk_kernel = {
    .open = kernel_open,
    .close = kernel_close,
    .read = kernel_read,
    .write = kernel_write,
    .size = kernel_size,
    .truncate = kernel_truncate,
    .sync = kernel_sync,
    .rename = kernel_rename,
    .remove = kernel_remove,
    .make_folder = kernel_make_folder,
    .sync_folder = kernel_sync_folder,
};

const struct disk *disk_default = &disk_kernel;

int disk_write_all(const struct disk *disk, int fd, const void *at, size_t len, uint64_t offset) {
    const char *from = at;
    while (len > 0) {
        int64_t written = disk->write(disk, fd, from, len, offset);
        if (written < 0) return (int)written;
        if (written == 0) return -EIO; /* no progress, and no reason: the next would be no better */
        from += written;
        len -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

int disk_sync_folder_of(const struct disk *disk, const char *path) {
    char folder[PATH_MAX];
    const char *end = strrchr(path, '/');
    if (!end) return disk->sync_folder(disk, ".");
    int len = end == path ? 1 : (int)(end - path);
    if (len >= PATH_MAX) return -ENAMETOOLONG;
    (void)snprintf(folder, sizeof folder, "%.*s", len, path);
    return disk->sync_folder(disk, folder);
}
