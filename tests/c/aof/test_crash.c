/* The log on disks that crash and fail: at every call that a life of the log makes, in turn. What was acknowledged is there
 * afterwards, and what is there are the numbers from 1 on, without a gap and without one twice. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aof/aof.h"
#include "aof/fake_disk.h"
#include "aof/header.h"
#include "base/mem.h"
#include "plat/clock.h"
#include "plat/file.h"

static char folder[32];

static int make_folder(void **state) {
    (void)state;
    /* Files without a disk, where there are some: the fake one syncs nothing anyway. */
    snprintf(folder, sizeof folder, "%s/krtaofXXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[160];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* ---- Reading ------------------------------------------------------------------------------------ */

/* Which database a number is for. Each file begins without one, but for a base, which begins with the first. */
static uint32_t db_of(uint64_t number) {
    return (uint32_t)(number / 4 % 2);
}

static const char *behind(const char *at, const char *end, const char *text) {
    size_t len = strlen(text);
    return (size_t)(end - at) >= len && !memcmp(at, text, len) ? at + len : NULL;
}

/* Commands `SET a <number>`, each number one more than the one before. */
static uint64_t read_numbers(const char *at, const char *end, uint64_t last, int *db) {
    while (at < end) {
        const char *next = behind(at, end, "*1\r\n$5\r\nMULTI\r\n");
        if (!next) next = behind(at, end, "*1\r\n$4\r\nEXEC\r\n");
        const char *selected = behind(at, end, "*2\r\n$6\r\nSELECT\r\n$1\r\n");
        if (selected) {
            *db = *selected - '0';
            next = selected + 3;
        }
        if (next) {
            at = next;
            continue;
        }
        at = behind(at, end, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$");
        assert_non_null(at);
        size_t len = strtoull(at, NULL, 10);
        at = (const char *)memchr(at, '\n', 16) + 1;
        uint64_t number = strtoull(at, NULL, 10);
        assert_int_equal(number, last + 1);
        assert_int_equal(*db, db_of(number));
        last = number;
        at += len + 2;
    }
    assert_true(at == end);
    return last;
}

static bool is_whole(const char *text, size_t len, size_t at, struct aof_header *header) {
    if (!aof_header_parse(bytes_of(text + at, len - at), header)) return false;
    if (header->len > len - at - header->header_len) return false;
    return header->crc ==
           aof_header_sum(at, header->synced, text + at + header->header_len, header->len);
}

/* Nothing behind it says that it was promised. */
static void check_torn(const char *text, size_t len, size_t torn) {
    struct aof_header header;
    for (size_t at = torn; at < len; at += AOF_ALIGN)
        if (is_whole(text, len, at, &header)) assert_true(header.synced <= torn);
}

/* Where the whole chunks end. */
static size_t read_incr(const char *text, size_t len, uint64_t *last) {
    size_t at = 0, whole = 0;
    int db = -1;
    while (at < len) {
        struct aof_header header;
        uint64_t end;
        if (aof_ahead_parse(bytes_of(text + at, len - at), &end)) {
            at += AOF_ALIGN;
        } else if (is_whole(text, len, at, &header)) {
            const char *commands = text + at + header.header_len;
            *last = read_numbers(commands, commands + header.len, *last, &db);
            at += header.header_len + header.len;
            whole = at;
        } else {
            check_torn(text, len, whole);
            return whole;
        }
    }
    return len;
}

static bool ends_with(const char *name, const char *end) {
    size_t len = strlen(name);
    return len >= strlen(end) && !strcmp(name + len - strlen(end), end);
}

/* The last number. A torn tail is cut off. */
static uint64_t load(void) {
    struct aof_place place = {&disk_kernel, folder, "dir", "log.aof"};
    struct aof_files files;
    char why[AOF_WHY_MAX], path[AOF_PATH_MAX], *text;
    uint64_t last = 0;
    size_t len;
    if (aof_files_open(&files, &place, why) != 0) fail_msg("%s", why);
    for (uint32_t i = 0; i < files.manifest.count; i++) {
        const struct aof_file *file = files.manifest.files + i;
        if (file->kind == AOF_HISTORY) continue;
        assert_int_equal(aof_files_path(&files, file->name, path), 0);
        assert_int_equal(file_read(path, 1 << 30, &text, &len), 0);
        if (ends_with(file->name, ".rdb")) {
            assert_memory_equal(text, "REDIS0010\377", 10);
        } else if (file->kind == AOF_BASE) {
            int db = 0;
            last = read_numbers(text, text + len, last, &db);
        } else {
            size_t whole = read_incr(text, len, &last);
            if (whole < len) assert_int_equal(i, files.manifest.count - 1);
            int fd = disk_kernel.open(&disk_kernel, path, DISK_WRITE);
            assert_int_equal(disk_kernel.truncate(&disk_kernel, fd, whole), 0);
            disk_kernel.close(&disk_kernel, fd);
        }
        mem_free(NULL, text);
    }
    aof_files_deinit(&files);
    return last;
}

/* ---- Writing ------------------------------------------------------------------------------------ */

struct life {
    struct fake_disk *fake;
    struct aof *aof;
    struct aof_tail tail;
    enum aof_sync sync;
    uint64_t number, acked, ticket;
    int started; /* aof_start's result */
    int rewritten;
    uint32_t failures; /* how often it failed; the log's thread */
    bool replaces;     /* in the place of a rewrite */
    bool synced;       /* everysec is every moment, and it waits for that */
};

static void note_failed(void *context, bool failed, const char *why) {
    struct life *life = context;
    assert_non_null(why);
    if (failed) __atomic_add_fetch(&life->failures, 1, __ATOMIC_SEQ_CST);
}

static void start(struct life *life, const struct disk *disk, enum aof_begin how) {
    struct aof_place place = {disk, folder, "dir", "log.aof"};
    struct aof_settings settings = {.sync = life->sync, .base_is_dump = true};
    if (life->synced) settings.sync_every_ns = 1;
    struct aof_owner owner = {.context = life, .failed = note_failed};
    struct aof_files files;
    char why[AOF_WHY_MAX];
    life->started = aof_files_open(&files, &place, why);
    if (life->started == 0) life->started = aof_start(&life->aof, &files, &settings, &owner, how);
}

/* Some are too long to be copied into a segment. */
static void append_number(struct aof_tail *tail, uint64_t number) {
    static char value[300000];
    size_t len = (size_t)snprintf(value, sizeof value, "%llu ", (unsigned long long)number);
    memset(value + len, '.', sizeof value - len);
    len += number % 9 == 5 || number % 9 == 8 ? sizeof value - len : number * 37 % 200;
    struct bytes argv[] = {BYTES_LITERAL("SET"), BYTES_LITERAL("a"), bytes_of(value, len)};
    aof_tail_append(tail, db_of(number), argv, 3);
}

static void push(struct life *life) {
    append_number(&life->tail, ++life->number);
    if (life->number % 3 == 0) append_number(&life->tail, ++life->number);
    aof_tail_end_call(&life->tail);
    life->ticket = aof_push(life->aof, &life->tail);
}

static bool is_over(struct life *life) {
    struct aof_status status;
    aof_status_get(life->aof, &status);
    return (life->fake && fake_disk_is_dead(life->fake)) || (status.failed && status.needs_rewrite);
}

static bool acknowledge(struct life *life) {
    for (int i = 0; i < 4000; i++) {
        if (aof_wait(life->aof, life->ticket, life->synced, clock_monotonic_ns() + 1000000)) {
            life->acked = life->number;
            return true;
        }
        if (is_over(life)) return false;
    }
    return false;
}

static int rewrite(struct life *life) {
    struct aof_rewrite rewrite;
    struct aof_tail base = {0};
    aof_rewrite_begin(life->aof, &rewrite, false, true);
    for (uint64_t i = 1; i <= life->number; i++) {
        append_number(&base, i);
        aof_tail_end_call(&base);
    }
    push(life);
    const struct aof_chunk *chunk = base.chunk;
    bool good = !base.broken;
    if (good && chunk)
        good =
            aof_rewrite_write(&rewrite, chunk->at + chunk->start, chunk->len - chunk->start) == 0;
    int result = aof_rewrite_finish(&rewrite, good);
    aof_tail_deinit(&base);
    return result;
}

/* All numbers so far become the base, as if they had come by a restore. */
static int replace(struct life *life) {
    struct aof_rewrite rewrite;
    struct aof_tail base = {0};
    int result = aof_replace_begin(life->aof, &rewrite, false, true);
    if (result < 0) return result;
    for (uint64_t i = 1; i <= life->number; i++) {
        append_number(&base, i);
        aof_tail_end_call(&base);
    }
    const struct aof_chunk *chunk = base.chunk;
    result = aof_rewrite_write(&rewrite, chunk->at + chunk->start, chunk->len - chunk->start);
    if (result == 0) result = aof_replace_prepare(&rewrite);
    if (result == 0) {
        aof_replace_commit(&rewrite);
        push(life);
        result = aof_replace_finish(&rewrite);
    } else {
        aof_replace_abandon(&rewrite);
    }
    aof_tail_deinit(&base);
    return result;
}

/* Everything that happens to a log. */
static void live(struct life *life) {
    start(life, fake_disk_of(life->fake), AOF_CONTINUE);
    if (life->started < 0) return;
    for (int i = 0; i < 4; i++) {
        push(life);
        (void)acknowledge(life);
    }
    push(life);
    push(life);
    life->rewritten = life->replaces ? replace(life) : rewrite(life);
    push(life);
    (void)acknowledge(life);
    push(life);
    (void)acknowledge(life);
}

static void end(struct life *life) {
    if (life->started == 0) {
        int result = aof_close(life->aof);
        if (result == 0 && !fake_disk_is_dead(life->fake)) life->acked = life->number;
    }
    aof_tail_deinit(&life->tail);
}

/* It is loaded, and goes on. */
static void check_and_go_on(const struct life *before, bool keeps) {
    uint64_t last = load();
    if (keeps) assert_true(last >= before->acked);
    assert_true(last <= before->number);
    struct life life = {.sync = AOF_SYNC_NO, .number = last};
    struct fake_disk *quick = fake_disk_new(&(struct fake_plan){0}); /* that syncs nothing */
    start(&life, fake_disk_of(quick), AOF_CONTINUE);
    assert_int_equal(life.started, 0);
    push(&life);
    assert_true(acknowledge(&life));
    assert_int_equal(aof_close(life.aof), 0);
    aof_tail_deinit(&life.tail);
    fake_disk_free(quick);
    assert_int_equal(load(), life.number);
}

static void clean(void) {
    char path[512];
    snprintf(path, sizeof path, "%s/dir", folder);
    DIR *dir = opendir(path);
    struct dirent *found;
    while (dir && (found = readdir(dir))) {
        snprintf(path, sizeof path, "%s/dir/%s", folder, found->d_name);
        (void)unlink(path);
    }
    if (dir) closedir(dir);
}

enum mode { EVERYSEC, ALWAYS, NO, SYNCED, REPLACED, MODES };

static bool syncs(enum mode mode) {
    return mode == ALWAYS || mode == SYNCED || mode == REPLACED;
}

static uint64_t run(const struct fake_plan *plan, enum mode mode, bool crash_at_end) {
    struct fake_plan own = *plan;
    if (mode == SYNCED) own.slow_sync_us = 200; /* which lets more happen meanwhile */
    struct life life = {.fake = fake_disk_new(&own), .synced = mode == SYNCED};
    life.sync = mode == SYNCED ? AOF_SYNC_EVERYSEC : (enum aof_sync)mode;
    life.replaces = mode == REPLACED;
    if (life.replaces) life.sync = AOF_SYNC_ALWAYS;
    live(&life);
    if (!memcmp(plan, &(struct fake_plan){0}, sizeof *plan)) assert_int_equal(life.rewritten, 0);
    if (crash_at_end) fake_disk_crash(life.fake);
    end(&life);
    uint64_t calls = fake_disk_calls(life.fake);
    fake_disk_free(life.fake);
    check_and_go_on(&life, !plan->power || syncs(mode));
    clean();
    return calls;
}

static uint64_t count_calls(enum mode mode) {
    return run(&(struct fake_plan){0}, mode, false);
}

static void test_killed_at_every_call(void **state) {
    (void)state;
    for (enum mode mode = EVERYSEC; mode <= ALWAYS; mode++) {
        uint64_t calls = count_calls(mode);
        assert_true(calls > 20);
        for (uint64_t n = 1; n <= calls; n++)
            (void)run(&(struct fake_plan){.crash_at = n}, mode, false);
    }
}

static void test_without_power_at_every_call(void **state) {
    (void)state;
    for (enum mode mode = EVERYSEC; mode < MODES; mode++) {
        uint64_t calls = count_calls(mode);
        for (uint64_t n = 1; n <= calls; n++)
            (void)run(&(struct fake_plan){.crash_at = n, .power = true, .seed = n}, mode, false);
    }
}

static void test_every_call_fails(void **state) {
    (void)state;
    for (enum mode mode = EVERYSEC; mode < MODES; mode++) {
        uint64_t calls = count_calls(mode);
        for (uint64_t n = 1; n <= calls; n++) {
            struct fake_plan plan = {.fail_calls = FAKE_ANY, .fail_at = n, .seed = n};
            plan.power = syncs(mode);
            plan.fail_error = n % 2 ? -EIO : -ENOSPC;
            plan.fail_count = 1 + n % 3;
            plan.shorten = n % 4 == 0;
            (void)run(&plan, mode, true);
        }
    }
}

/* ---- Single failures ---------------------------------------------------------------------------- */

static void failing(const struct fake_plan *plan, enum aof_sync sync, uint32_t failures) {
    struct life life = {.fake = fake_disk_new(plan), .sync = sync};
    life.synced = sync == AOF_SYNC_EVERYSEC;
    start(&life, fake_disk_of(life.fake), AOF_CONTINUE);
    assert_int_equal(life.started, 0);
    for (int i = 0; i < 4; i++) {
        push(&life);
        assert_true(acknowledge(&life));
    }
    struct aof_status status;
    aof_status_get(life.aof, &status);
    assert_false(status.failed);
    assert_int_equal(__atomic_load_n(&life.failures, __ATOMIC_SEQ_CST), failures);
    assert_int_equal(status.recoveries, failures);
    fake_disk_crash(life.fake);
    end(&life);
    fake_disk_free(life.fake);
    check_and_go_on(&life, true);
    clean();
}

static void test_a_sync_fails_once(void **state) {
    (void)state;
    /* The manifest and the base are synced before. */
    struct fake_plan plan = {.fail_calls = FAKE_SYNC, .fail_at = 5, .fail_count = 1};
    plan.fail_error = -EIO;
    plan.power = true;
    failing(&plan, AOF_SYNC_ALWAYS, 1);
    failing(&plan, AOF_SYNC_EVERYSEC, 1);
}

/* Beyond its bound the log is full, until the disk has room. */
static void full(enum aof_sync sync) {
    struct fake_plan plan = {.capacity = 320000};
    struct life life = {.fake = fake_disk_new(&plan), .sync = sync};
    start(&life, fake_disk_of(life.fake), AOF_CONTINUE);
    assert_int_equal(life.started, 0);
    for (int i = 0; i < 10; i++) push(&life);
    assert_false(aof_wait(life.aof, life.ticket, false, clock_monotonic_ns() + 100000000));
    struct aof_status status;
    aof_status_get(life.aof, &status);
    assert_true(status.failed && !status.needs_rewrite && status.queued_bytes > 0);
    assert_int_equal(status.error, -ENOSPC);
    if (sync == AOF_SYNC_NO)
        while (!aof_is_full(life.aof)) push(&life);
    fake_disk_grow(life.fake, UINT64_C(1) << 40);
    assert_true(acknowledge(&life));
    assert_false(aof_is_full(life.aof));
    aof_status_get(life.aof, &status);
    assert_int_equal(status.queued_bytes, 0);
    fake_disk_crash(life.fake);
    end(&life);
    fake_disk_free(life.fake);
    check_and_go_on(&life, true);
    clean();
}

static void test_a_full_disk(void **state) {
    (void)state;
    for (enum aof_sync sync = AOF_SYNC_EVERYSEC; sync <= AOF_SYNC_NO; sync++) full(sync);
}

static void test_a_gap(void **state) {
    (void)state;
    struct life life = {.fake = fake_disk_new(&(struct fake_plan){0}), .sync = AOF_SYNC_ALWAYS};
    start(&life, fake_disk_of(life.fake), AOF_CONTINUE);
    push(&life);
    assert_true(acknowledge(&life));
    append_number(&life.tail, ++life.number);
    life.tail.broken = true;
    life.ticket = aof_push(life.aof, &life.tail);
    assert_false(life.tail.broken);
    assert_false(aof_wait(life.aof, life.ticket, false, clock_monotonic_ns() + 20000000));
    push(&life);
    assert_false(aof_wait(life.aof, life.ticket, false, clock_monotonic_ns() + 20000000));
    struct aof_status status;
    aof_status_get(life.aof, &status);
    assert_true(status.failed && status.needs_rewrite);
    assert_int_equal(life.failures, 1);
    assert_int_equal(rewrite(&life), 0);
    assert_true(acknowledge(&life));
    aof_status_get(life.aof, &status);
    assert_false(status.failed || status.needs_rewrite);
    push(&life);
    assert_true(acknowledge(&life));
    end(&life);
    fake_disk_free(life.fake);
    check_and_go_on(&life, true);
}

/* What was refused memory may come to the log's thread when the rewrite has begun, and spoil it: then the next one helps. */
static void rewrite_if_needed(struct life *life) {
    struct aof_status status;
    int result = 0;
    aof_status_get(life->aof, &status);
    for (int tries = 0; tries < 3 && status.needs_rewrite; tries++) {
        result = rewrite(life);
        aof_status_get(life->aof, &status);
    }
    assert_int_equal(result, 0);
}

/* Memory is refused from the n-th allocation on, for a while. */
static void refused(long n, enum aof_sync sync) {
    struct life life = {.fake = fake_disk_new(&(struct fake_plan){.power = true}), .sync = sync};
    start(&life, fake_disk_of(life.fake), AOF_CONTINUE);
    assert_int_equal(life.started, 0);
    push(&life);
    assert_true(acknowledge(&life));
    mem_fail_after(n);
    for (int i = 0; i < 3; i++) {
        push(&life);
        (void)acknowledge(&life);
    }
    (void)rewrite(&life);
    push(&life);
    (void)acknowledge(&life);
    mem_fail_after(0);
    rewrite_if_needed(&life);
    push(&life);
    assert_true(acknowledge(&life));
    struct aof_status status;
    aof_status_get(life.aof, &status);
    assert_false(status.failed || status.needs_rewrite);
    fake_disk_crash(life.fake);
    end(&life);
    fake_disk_free(life.fake);
    check_and_go_on(&life, sync == AOF_SYNC_ALWAYS);
    clean();
}

static void test_refused_memory(void **state) {
    (void)state;
    for (long n = 1; n < 40; n++) refused(n, n % 2 ? AOF_SYNC_ALWAYS : AOF_SYNC_EVERYSEC);
}

static void test_begun_afresh(void **state) {
    (void)state;
    struct life old = {.sync = AOF_SYNC_NO};
    start(&old, &disk_kernel, AOF_CONTINUE);
    for (int i = 0; i < 5; i++) push(&old);
    assert_int_equal(aof_close(old.aof), 0);
    aof_tail_deinit(&old.tail);
    for (int kept = 0; kept < 2; kept++) {
        struct life life = {.sync = AOF_SYNC_EVERYSEC, .number = 100};
        start(&life, &disk_kernel, AOF_FRESH);
        assert_int_equal(life.started, 0);
        if (kept) assert_int_equal(rewrite(&life), 0);
        push(&life);
        assert_true(acknowledge(&life));
        assert_int_equal(aof_close(life.aof), 0);
        aof_tail_deinit(&life.tail);
        assert_int_equal(load(), kept ? life.number : old.number);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_at_every_call, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_without_power_at_every_call, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(test_every_call_fails, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_a_sync_fails_once, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_a_full_disk, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_a_gap, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_refused_memory, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_begun_afresh, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
