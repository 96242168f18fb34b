#define _GNU_SOURCE /* mkostemp */
#include "plat/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { FIRST_CAPACITY = 4096 };

struct gathered {
    char *at;
    size_t len, capacity;
};

static int reserve(struct gathered *text, size_t limit) {
    if (text->len < text->capacity) return 0;
    if (text->len > limit) return -EFBIG;
    size_t capacity = text->capacity ? text->capacity * 2 : FIRST_CAPACITY;
    char *grown = mem_realloc(NULL, text->at, capacity + 1);
    if (!grown) return -ENOMEM;
    text->at = grown;
    text->capacity = capacity;
    return 0;
}

/* 1: there may be more; 0: end of file; or a negative errno value. */
static int read_some(int fd, struct gathered *text) {
    ssize_t got = read(fd, text->at + text->len, text->capacity - text->len);
    if (got < 0) return errno == EINTR ? 1 : -errno;
    text->len += (size_t)got;
    return got > 0;
}

int file_read(const char *path, size_t limit, char **out, size_t *len) {
    struct gathered text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int result = 1;
    while (result > 0) {
        result = reserve(&text, limit);
        if (result == 0) result = read_some(fd, &text);
    }
    close(fd);
    if (result == 0 && text.len > limit) result = -EFBIG;
    if (result < 0) {
        mem_free(NULL, text.at);
        return result;
    }
    text.at[text.len] = 0;
    *out = text.at;
    *len = text.len;
    return 0;
}

static int write_all(int fd, const char *at, size_t len) {
    while (len > 0) {
        ssize_t written = write(fd, at, len);
        if (written < 0 && errno != EINTR) return -errno;
        if (written > 0) {
            at += written;
            len -= (size_t)written;
        }
    }
    return 0;
}

static int fill(int fd, const char *path, const char *text, size_t len) {
    struct stat old;
    int result = write_all(fd, text, len);
    if (result == 0 && stat(path, &old) == 0 && fchmod(fd, old.st_mode & 07777) < 0)
        result = -errno;
    if (result == 0 && fsync(fd) < 0) result = -errno;
    if (close(fd) < 0 && result == 0) result = -errno;
    return result;
}

/* The name is on the disk when its folder is. */
static int sync_folder(const char *path) {
    const char *end = strrchr(path, '/');
    char *folder = end ? strndup(path, (size_t)(end - path) + 1) : strdup(".");
    if (!folder) return -ENOMEM;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0) (void)close(fd);
    free(folder);
    return result;
}

int file_replace(const char *path, const char *text, size_t len) {
    size_t size = strlen(path) + sizeof ".XXXXXX";
    char *beside = mem_alloc(NULL, size);
    if (!beside) return -ENOMEM;
    (void)snprintf(beside, size, "%s.XXXXXX", path);
    int fd = mkostemp(beside, O_CLOEXEC);
    int result = fd < 0 ? -errno : fill(fd, path, text, len);
    if (result == 0 && rename(beside, path) < 0) result = -errno;
    if (fd >= 0 && result < 0) (void)unlink(beside);
    mem_free(NULL, beside);
    return result < 0 ? result : sync_folder(path);
}

int file_make_folder(char *path) {
    return mkdtemp(path) ? 0 : -errno;
}

int file_for_each(const char *pattern, int (*visit)(void *context, const char *path),
                  void *context) {
    glob_t found;
    if (!strpbrk(pattern, "*?[")) return visit(context, pattern);
    int result = glob(pattern, 0, NULL, &found);
    if (result == GLOB_NOMATCH) return 0;
    if (result != 0) return result == GLOB_NOSPACE ? -ENOMEM : -EIO;
    for (size_t i = 0; i < found.gl_pathc && result == 0; i++)
        result = visit(context, found.gl_pathv[i]);
    globfree(&found);
    return result;
}
