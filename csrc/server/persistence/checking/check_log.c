/* The log's part of kevyrt-check, in the words of redis-check-aof where it has some. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aof/manifest.h"
#include "aof/reader.h"
#include "base/mem.h"
#include "plat/errors.h"
#include "server/persistence/checking/check.h"

enum { MANIFEST_MAX_BYTES = 16 << 20, PATH_BYTES = 4096 };

/* A file, and what may be done to it. */
struct part {
    const struct check *check;
    const char *path, *name; /* `name` as it is called in lines */
    uint64_t from, size;     /* AOF_WHOLE: all of it */
    bool is_last;
};

static enum check_result unread(const struct part *part, int number) {
    check_say(part->check, "%s cannot be read: %s", part->path, system_error_text(number));
    return CHECK_UNREAD;
}

/* ---- One log ------------------------------------------------------------------------------------ */

static enum aof_read read_through(struct aof_reader *reader) {
    struct aof_batch batch = {0};
    enum aof_read read;
    do read = aof_reader_next(reader, &batch);
    while (read == AOF_READ_SOME);
    aof_batch_deinit(&batch);
    return read;
}

static enum check_result cut(const struct part *part, const struct aof_reader *reader) {
    const struct disk *disk = part->check->disk;
    int fd = disk->open(disk, part->path, DISK_WRITE);
    int result = fd < 0 ? fd : disk->truncate(disk, fd, reader->whole);
    if (result == 0) result = disk->sync(disk, fd);
    if (fd >= 0) disk->close(disk, fd);
    if (result < 0) {
        check_say(part->check, "Failed to truncate AOF %s: %s", part->path,
                  system_error_text(result));
        return CHECK_UNREAD;
    }
    check_say(part->check, "Successfully truncated AOF %s", part->path);
    return CHECK_FIXED;
}

static bool agrees(const struct part *part, const struct aof_reader *reader) {
    char question[CHECK_LINE_MAX];
    unsigned long long whole = reader->whole, lost = reader->size - reader->whole;
    (void)snprintf(question, sizeof question,
                   "This will shrink the AOF %s from %llu bytes, with %llu bytes, to %llu bytes",
                   part->path, (unsigned long long)reader->size, lost, whole);
    return !part->check->agree || part->check->agree(part->check->context, question);
}

/* The rest of the file is not to stay, if its owner wants that. */
static enum check_result mend(const struct part *part, const struct aof_reader *reader,
                              enum check_result otherwise) {
    if (!part->check->fix && part->check->until_s == 0) {
        if (part->is_last)
            check_say(part->check, "AOF %s is not valid. Use the --fix option to try fixing it.",
                      part->path);
        return otherwise;
    }
    if (!part->is_last) {
        check_say(part->check, "%s is not the last file: it is not changed", part->path);
        return CHECK_DAMAGED;
    }
    return agrees(part, reader) ? cut(part, reader) : otherwise;
}

static void say_analyzed(const struct part *part, const struct aof_reader *reader) {
    check_say(part->check,
              "AOF analyzed: filename=%s, size=%llu, ok_up_to=%llu, chunks=%llu, commands=%llu, "
              "diff=%llu",
              part->path, (unsigned long long)reader->size, (unsigned long long)reader->whole,
              (unsigned long long)reader->chunks, (unsigned long long)reader->commands,
              (unsigned long long)(reader->size - reader->whole));
}

static enum check_result judge(const struct part *part, const struct aof_reader *reader,
                               enum aof_read read) {
    if (read == AOF_READ_FAILED || read == AOF_READ_NO_MEMORY) {
        check_say(part->check, "%s: %s", part->path, reader->text);
        return CHECK_UNREAD;
    }
    say_analyzed(part, reader);
    if (read == AOF_READ_END) {
        if (reader->whole < reader->size)
            check_say(part->check, "the last %llu bytes are room that was written ahead",
                      (unsigned long long)(reader->size - reader->whole));
        check_say(part->check, "%s %s is valid", part->name, part->path);
        return CHECK_GOOD;
    }
    if (read == AOF_READ_UNTIL) {
        check_say(part->check, "at offset %llu it is later than %lld",
                  (unsigned long long)reader->whole, (long long)reader->until);
        return mend(part, reader, CHECK_TORN);
    }
    check_say(part->check, "0x%16llx: %s%s", (unsigned long long)reader->error_offset, reader->text,
              read == AOF_READ_TORN ? "" : " (damaged, not torn)");
    bool is_torn = read == AOF_READ_TORN && part->is_last;
    return mend(part, reader, is_torn ? CHECK_TORN : CHECK_DAMAGED);
}

static enum check_result check_part(const struct part *part) {
    struct aof_reader reader;
    int result = aof_reader_open(&reader, part->check->disk, part->path, part->from);
    if (result < 0) return unread(part, result);
    if (part->size < reader.size) reader.size = part->size;
    if (part->check->until_s) reader.until = part->check->until_s;
    enum aof_read read = read_through(&reader);
    aof_reader_close(&reader);
    return judge(part, &reader, read);
}

enum check_result check_log(const struct check *check, const char *path, uint64_t from) {
    struct part part = {.check = check,
                        .path = path,
                        .name = "AOF",
                        .from = from,
                        .size = AOF_WHOLE,
                        .is_last = true};
    return check_part(&part);
}

/* ---- A manifest --------------------------------------------------------------------------------- */

/* Does it begin with a dump? Then that is looked at first. */
static enum check_result check_preamble(struct part *part) {
    char magic[5];
    const struct disk *disk = part->check->disk;
    int fd = disk->open(disk, part->path, DISK_READ);
    if (fd < 0) return unread(part, fd);
    int64_t got = disk->read(disk, fd, magic, sizeof magic, 0);
    disk->close(disk, fd);
    if (got < 0) return unread(part, (int)got);
    if (got < (int64_t)sizeof magic || memcmp(magic, "REDIS", sizeof magic) != 0) return CHECK_GOOD;
    return check_dump(part->check, part->path, &part->from);
}

static enum check_result check_named(const struct check *check, const char *folder,
                                     const struct aof_file *file, bool is_last) {
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s%s", folder, file->name) >= PATH_BYTES) {
        check_say(check, "%s: the path is too long", file->name);
        return CHECK_UNREAD;
    }
    bool is_base = file->kind == AOF_BASE;
    struct part part = {.check = check,
                        .path = path,
                        .name = is_base ? "BASE AOF" : "INCR AOF",
                        .size = file->size,
                        .is_last = is_last};
    check_say(check, "Start to check %s %s", part.name, file->name);
    enum check_result result = check_preamble(&part);
    return result == CHECK_GOOD ? check_part(&part) : result;
}

static bool is_part(const struct aof_manifest *manifest, uint32_t i) {
    return manifest->files[i].kind != AOF_HISTORY;
}

static bool is_last(const struct aof_manifest *manifest, uint32_t i) {
    while (++i < manifest->count)
        if (is_part(manifest, i)) return false;
    return true;
}

/* The first that is not good decides. */
static enum check_result check_files(const struct check *check, const char *folder,
                                     const struct aof_manifest *manifest) {
    for (uint32_t i = 0; i < manifest->count; i++) {
        if (!is_part(manifest, i)) continue;
        enum check_result result =
            check_named(check, folder, &manifest->files[i], is_last(manifest, i));
        if (result != CHECK_GOOD) return result;
    }
    check_say(check, "All AOF files and manifest are valid");
    return CHECK_GOOD;
}

static int read_text(const struct disk *disk, const char *path, char **text, size_t *len) {
    int fd = disk->open(disk, path, DISK_READ);
    if (fd < 0) return fd;
    int64_t size = disk->size(disk, fd), got = 0;
    int result = size < 0 ? (int)size : size > MANIFEST_MAX_BYTES ? -EFBIG : 0;
    *text = result == 0 ? mem_alloc(NULL, (size_t)size + 1) : NULL;
    if (result == 0 && !*text) result = SYSTEM_NO_MEMORY;
    for (*len = 0; result == 0 && *len < (size_t)size; *len += (size_t)got) {
        got = disk->read(disk, fd, *text + *len, (size_t)size - *len, *len);
        if (got <= 0) result = got < 0 ? (int)got : -EIO;
        if (got <= 0) got = 0;
    }
    disk->close(disk, fd);
    if (result < 0) mem_free(NULL, *text);
    return result;
}

enum check_result check_manifest(const struct check *check, const char *path) {
    struct part part = {.check = check, .path = path};
    struct aof_manifest manifest = {0};
    char folder[PATH_BYTES], *text;
    const char *end = strrchr(path, '/');
    uint32_t line = 0;
    size_t len;
    int result = read_text(check->disk, path, &text, &len);
    if (result < 0) return unread(&part, result);
    check_say(check, "Start checking Multi Part AOF");
    const char *wrong = aof_manifest_parse(text, len, &manifest, &line);
    mem_free(NULL, text);
    if (wrong) {
        check_say(check, "%s, line %u: %s", path, line, wrong);
        return CHECK_DAMAGED;
    }
    (void)snprintf(folder, sizeof folder, "%.*s", end ? (int)(end - path + 1) : 0, path);
    enum check_result checked = check_files(check, folder, &manifest);
    aof_manifest_deinit(&manifest);
    return checked;
}
