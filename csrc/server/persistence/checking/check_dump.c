/* Looking at a dump: it is read as for loading, and nothing of it is kept. */
#include <stdio.h>
#include <string.h>

#include "plat/clock.h"
#include "plat/errors.h"
#include "rdb/reader.h"
#include "server/persistence/checking/check.h"

enum { ROOM_BYTES = 256 << 10, CHECKSUM_BYTES = 8, SHOWN_MAX = 100 };

struct dump {
    struct rdb_input input; /* first: an input is its dump */
    struct rdb_target target;
    const struct check *check;
    const char *path;
    int fd, error;
    uint64_t next; /* what is read next */
    char *buffer;
};

static int refill(struct rdb_input *input) {
    struct dump *dump = (struct dump *)input;
    size_t left = (size_t)(input->end - input->at);
    const struct disk *disk = dump->check->disk;
    if (left > 0) memmove(dump->buffer, input->at, left);
    int64_t got = disk->read(disk, dump->fd, dump->buffer + left, ROOM_BYTES - left, dump->next);
    input->at = dump->buffer;
    input->end = dump->buffer + left + (got > 0 ? (size_t)got : 0);
    if (got < 0) return dump->error = (int)got;
    dump->next += (uint64_t)got;
    return got > 0;
}

static int shown(struct bytes text) {
    return text.len < SHOWN_MAX ? (int)text.len : SHOWN_MAX;
}

static void say_aux(void *context, struct bytes name, struct bytes value) {
    struct dump *dump = context;
    check_say(dump->check, "[offset %llu] AUX FIELD %.*s = '%.*s'",
              (unsigned long long)dump->input.offset, shown(name), name.at, shown(value), value.at);
}

static enum check_result say_error(struct dump *dump, enum rdb_status status) {
    if (dump->error < 0) {
        check_say(dump->check, "Cannot read %s: %s", dump->path, system_error_text(dump->error));
        return CHECK_UNREAD;
    }
    check_say(dump->check, "--- RDB ERROR DETECTED ---");
    check_say(dump->check, "[offset %llu] %s", (unsigned long long)dump->input.offset,
              dump->input.text);
    return status == RDB_NO_MEMORY ? CHECK_UNREAD : CHECK_DAMAGED;
}

static void say_checksum(struct dump *dump) {
    char head[9] = {0};
    uint64_t checksum = 0, end = dump->input.offset;
    const struct disk *disk = dump->check->disk;
    (void)disk->read(disk, dump->fd, head, sizeof head, 0);
    (void)disk->read(disk, dump->fd, &checksum, sizeof checksum, end - CHECKSUM_BYTES);
    if (memcmp(head + 5, "0005", 4) < 0) return;
    check_say(dump->check, "[offset %llu] %s", (unsigned long long)end,
              checksum != 0 ? "Checksum OK"
                            : "RDB file was saved with checksum disabled: no check performed.");
}

static void say_good(struct dump *dump) {
    const struct rdb_target *target = &dump->target;
    say_checksum(dump);
    check_say(dump->check, "[offset %llu] \\o/ RDB looks OK! \\o/",
              (unsigned long long)dump->input.offset);
    check_say(dump->check, "[info] %llu keys read",
              (unsigned long long)(target->keys + target->dropped));
    check_say(dump->check, "[info] %llu already expired", (unsigned long long)target->dropped);
}

static enum check_result check_opened(struct dump *dump, uint64_t *log_from) {
    static const struct hash_seed seed = {1, 2};
    dump->input.refill = refill;
    dump->target = (struct rdb_target){.context = dump,
                                       .hash_seed = &seed,
                                       .database_count = KEYSPACE_DATABASES_MAX,
                                       .shard_count = 1,
                                       .aux = say_aux,
                                       .drop_before_ms = clock_wall_ms()};
    check_say(dump->check, "[offset 0] Checking RDB file %s", dump->path);
    enum rdb_status status = rdb_load(&dump->input, &dump->target);
    *log_from = dump->input.offset;
    if (status != RDB_OK) return say_error(dump, status);
    say_good(dump);
    return CHECK_GOOD;
}

enum check_result check_dump(const struct check *check, const char *path, uint64_t *log_from) {
    struct dump dump = {.check = check, .path = path};
    *log_from = 0;
    dump.fd = dump.error = check->disk->open(check->disk, path, DISK_READ);
    if (dump.fd < 0) return say_error(&dump, RDB_STOPPED);
    dump.error = 0;
    dump.buffer = mem_alloc(NULL, ROOM_BYTES);
    enum check_result result = CHECK_UNREAD;
    if (dump.buffer) result = check_opened(&dump, log_from);
    else check_say(check, "Cannot read %s: out of memory", path);
    mem_free(NULL, dump.buffer);
    check->disk->close(check->disk, dump.fd);
    return result;
}
