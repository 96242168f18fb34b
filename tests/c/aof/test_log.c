/* The log as a whole, with the kernel's disk: queue, thread, files. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aof/aof.h"
#include "aof/header.h"
#include "plat/clock.h"
#include "plat/file.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/krtaofXXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void count_call(void *context) {
    __atomic_add_fetch((uint64_t *)context, 1, __ATOMIC_SEQ_CST);
}

static uint64_t safe_calls;

static struct aof *begin(enum aof_sync sync, enum aof_begin how) {
    struct aof_place place = {&disk_kernel, folder, "dir", "log.aof"};
    struct aof_settings settings = {.sync = sync, .base_is_dump = true};
    struct aof_owner owner = {.context = &safe_calls, .safe = count_call};
    struct aof_files files;
    struct aof *aof;
    char why[AOF_WHY_MAX];
    assert_int_equal(aof_files_open(&files, &place, why), 0);
    assert_int_equal(aof_start(&aof, &files, &settings, &owner, how), 0);
    return aof;
}

static void set(struct aof_tail *tail, uint32_t db, const char *key, const char *value) {
    struct bytes argv[] = {BYTES_LITERAL("SET"), bytes_of(key, strlen(key)),
                           bytes_of(value, strlen(value))};
    aof_tail_append(tail, db, argv, 3);
}

static bool wait_for(struct aof *aof, uint64_t ticket) {
    return aof_wait(aof, ticket, false, clock_monotonic_ns() + UINT64_C(20000000000));
}

static char *read_text(const char *name, size_t *len) {
    char path[128], *text;
    snprintf(path, sizeof path, "%s/dir/%s", folder, name);
    assert_int_equal(file_read(path, 1 << 30, &text, len), 0);
    return text;
}

/* The commands of a file, without lines of ours; every chunk must be whole. */
static size_t strip(char *text, size_t len) {
    size_t out = 0;
    for (size_t at = 0; at < len;) {
        struct aof_header header;
        uint64_t end;
        if (aof_ahead_parse(bytes_of(text + at, len - at), &end)) {
            at += AOF_ALIGN;
            continue;
        }
        assert_true(aof_header_parse(bytes_of(text + at, len - at), &header));
        const char *commands = text + at + header.header_len;
        assert_int_equal(aof_header_sum(at, header.synced, commands, header.len), header.crc);
        assert_true(header.synced <= at);
        memmove(text + out, commands, header.len);
        at += header.header_len + header.len;
        out += header.len;
        assert_int_equal(at % AOF_ALIGN, 0);
    }
    return out;
}

static void check_text(const char *name, const char *expected) {
    size_t len;
    char *text = read_text(name, &len);
    len = strip(text, len);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(text, expected, len);
    free(text);
}

#define SELECT(digit) "*2\r\n$6\r\nSELECT\r\n$1\r\n" digit "\r\n"
#define SET(key, value) "*3\r\n$3\r\nSET\r\n$1\r\n" key "\r\n$1\r\n" value "\r\n"
#define MULTI "*1\r\n$5\r\nMULTI\r\n"
#define EXEC "*1\r\n$4\r\nEXEC\r\n"

static void test_commands(void **state) {
    (void)state;
    struct aof *aof = begin(AOF_SYNC_ALWAYS, AOF_CONTINUE);
    struct aof_tail tail = {0};
    assert_true(aof_tail_is_empty(&tail));
    set(&tail, 0, "a", "1");
    aof_tail_end_call(&tail);
    set(&tail, 0, "b", "2");
    set(&tail, 3, "c", "3");
    set(&tail, 3, "d", "4");
    aof_tail_end_call(&tail);
    aof_tail_end_call(&tail);
    uint64_t ticket = aof_push(aof, &tail);
    assert_int_equal(ticket, 1);
    assert_true(aof_tail_is_empty(&tail));
    assert_int_equal(aof_push(aof, &tail), 1);
    set(&tail, 3, "e", "5");
    aof_tail_end_call(&tail);
    ticket = aof_push(aof, &tail);
    assert_true(wait_for(aof, ticket));
    assert_true(aof_synced(aof) >= ticket && aof_safe(aof) >= ticket);
    assert_false(aof_wait(aof, ticket + 1, false, clock_monotonic_ns() + 1000000));
    assert_int_equal(aof_close(aof), 0);
    assert_true(safe_calls > 0);
    aof = begin(AOF_SYNC_NO, AOF_CONTINUE);
    set(&tail, 3, "f", "6");
    ticket = aof_push(aof, &tail);
    aof_tail_end_call(&tail);
    assert_true(wait_for(aof, ticket));
    assert_int_equal(aof_close(aof), 0);
    check_text("log.aof.1.incr.aof",
               SELECT("0") SET("a", "1") MULTI SET("b", "2") SELECT("3") SET("c", "3") SET("d", "4")
                   EXEC SET("e", "5") SELECT("3") SET("f", "6"));
    aof_tail_deinit(&tail);
}

static void test_no_sync_on_rewrite(void **state) {
    (void)state;
    struct aof *aof = begin(AOF_SYNC_EVERYSEC, AOF_CONTINUE);
    struct aof_settings settings = {.no_sync_on_rewrite = true, .sync_every_ns = 1};
    struct aof_rewrite rewrite;
    struct aof_tail tail = {0};
    aof_set(aof, &settings);
    aof_rewrite_begin(aof, &rewrite, false, false);
    assert_int_equal(aof_rewrite_write(&rewrite, SELECT("0"), 23), 0); /* it has begun */
    set(&tail, 0, "a", "1");
    aof_tail_end_call(&tail);
    uint64_t ticket = aof_push(aof, &tail);
    assert_true(wait_for(aof, ticket));
    assert_false(aof_wait(aof, ticket, true, clock_monotonic_ns() + 20000000));
    assert_int_equal(aof_rewrite_finish(&rewrite, true), 0);
    assert_true(aof_wait(aof, ticket, true, clock_monotonic_ns() + UINT64_C(20000000000)));
    assert_int_equal(aof_close(aof), 0);
    check_text("log.aof.2.incr.aof", SELECT("0") SET("a", "1"));
    aof_tail_deinit(&tail);
}

static void test_settings_change(void **state) {
    (void)state;
    struct aof *aof = begin(AOF_SYNC_NO, AOF_CONTINUE);
    struct aof_tail tail = {0};
    for (int i = 0; i < 300; i++) {
        struct aof_settings settings = {.sync = (enum aof_sync)(i % 3), .sync_every_ns = 1};
        aof_set(aof, &settings);
        set(&tail, (uint32_t)i % 2, "a", "1");
        aof_tail_end_call(&tail);
        uint64_t ticket = aof_push(aof, &tail);
        if (i % 7 == 0) assert_true(wait_for(aof, ticket));
    }
    struct aof_settings settings = {.sync = AOF_SYNC_ALWAYS};
    aof_set(aof, &settings);
    set(&tail, 0, "a", "1");
    aof_tail_end_call(&tail);
    uint64_t ticket = aof_push(aof, &tail);
    assert_true(aof_wait(aof, ticket, true, clock_monotonic_ns() + UINT64_C(20000000000)));
    struct aof_status status;
    do aof_status_get(aof, &status);
    while (status.chunks < ticket);
    assert_int_equal(status.unsynced_bytes, 0);
    assert_int_equal(status.queued_bytes, 0);
    assert_int_equal(aof_close(aof), 0);
    size_t len;
    char *text = read_text("log.aof.1.incr.aof", &len);
    len = strip(text, len);
    uint64_t sets = 0;
    for (char *at = text; (at = memmem(at, len - (size_t)(at - text), "SET\r\n", 5)); at++) sets++;
    assert_int_equal(sets, 301);
    free(text);
    aof_tail_deinit(&tail);
}

/* ---- Many threads ------------------------------------------------------------------------------- */

enum { THREADS = 4, PUSHES = 3000 };

struct pusher {
    struct aof *aof;
    struct aof_tail tail;
    int number;
    bool failed;
};

static void *pusher_run(void *argument) {
    struct pusher *pusher = argument;
    for (int i = 0; i < PUSHES; i++) {
        char key[16], value[512];
        snprintf(key, sizeof key, "%d", pusher->number);
        snprintf(value, sizeof value, "%d %*d", i, i % 97 == 0 ? 390 : 10, i);
        set(&pusher->tail, (uint32_t)(i % 3), key, value);
        aof_tail_end_call(&pusher->tail);
        uint64_t ticket = aof_push(pusher->aof, &pusher->tail);
        if (i % 64 == 0) pusher->failed |= !wait_for(pusher->aof, ticket);
    }
    return NULL;
}

static void push_from_many(enum aof_sync sync) {
    struct aof *aof = begin(sync, AOF_CONTINUE);
    struct pusher pushers[THREADS] = {0};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        pushers[i].aof = aof;
        pushers[i].number = i;
        assert_int_equal(pthread_create(threads + i, NULL, pusher_run, pushers + i), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(pushers[i].failed);
    }
    assert_true(wait_for(aof, aof_ticket(aof)));
    assert_int_equal(aof_ticket(aof), THREADS * PUSHES);
    assert_int_equal(aof_safe(aof), THREADS * PUSHES);
    assert_int_equal(aof_close(aof), 0);
    for (int i = 0; i < THREADS; i++) aof_tail_deinit(&pushers[i].tail);
}

static void test_many_threads(void **state) {
    (void)state;
    for (enum aof_sync sync = AOF_SYNC_EVERYSEC; sync <= AOF_SYNC_NO; sync++) push_from_many(sync);
    size_t len;
    char *text = read_text("log.aof.1.incr.aof", &len);
    len = strip(text, len);
    uint64_t sets = 0;
    for (char *at = text; (at = memmem(at, len - (size_t)(at - text), "SET\r\n", 5)); at++) sets++;
    assert_int_equal(sets, 3 * THREADS * PUSHES);
    free(text);
}

/* ---- Another base ------------------------------------------------------------------------------- */

static bool is_there(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/dir/%s", folder, name);
    return access(path, F_OK) == 0;
}

static void test_replaced(void **state) {
    (void)state;
    struct aof *aof = begin(AOF_SYNC_ALWAYS, AOF_CONTINUE);
    struct aof_tail tail = {0};
    struct aof_rewrite first, second;
    set(&tail, 0, "a", "1");
    aof_tail_end_call(&tail);
    assert_int_equal(aof_replace_begin(aof, &first, true, false), 0);
    assert_int_equal(aof_replace_begin(aof, &second, true, false), -EBUSY);
    assert_int_equal(aof_rewrite_write(&first, "given up", 8), 0);
    aof_replace_abandon(&first);
    assert_false(is_there("log.aof.2.base.rdb"));
    assert_int_equal(aof_replace_begin(aof, &first, true, false), 0);
    assert_int_equal(aof_rewrite_write(&first, "the new ", 8), 0);
    assert_int_equal(aof_rewrite_write(&first, "base", 4), 0);
    assert_int_equal(aof_replace_prepare(&first), 0);
    (void)aof_push(aof, &tail);
    aof_replace_commit(&first);
    set(&tail, 3, "b", "2");
    aof_tail_end_call(&tail);
    uint64_t ticket = aof_push(aof, &tail);
    assert_int_equal(aof_replace_finish(&first), 0);
    assert_true(wait_for(aof, ticket));
    assert_true(aof_synced(aof) >= ticket);
    assert_int_equal(aof_close(aof), 0);
    size_t len;
    char *text = read_text("log.aof.2.base.rdb", &len);
    assert_string_equal(text, "the new base");
    free(text);
    check_text("log.aof.2.incr.aof", SELECT("3") SET("b", "2"));
    assert_false(is_there("log.aof.1.base.rdb") || is_there("log.aof.1.incr.aof"));
    aof = begin(AOF_SYNC_NO, AOF_CONTINUE);
    struct aof_status status;
    aof_status_get(aof, &status);
    assert_false(status.failed || status.needs_rewrite);
    assert_int_equal(aof_close(aof), 0);
    aof_tail_deinit(&tail);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commands, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_no_sync_on_rewrite, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_settings_change, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_many_threads, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_replaced, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
