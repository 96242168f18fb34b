/* Manifests as Redis writes them and others, chunks at their limits, and the file of an older Redis. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aof/chunk.h"
#include "aof/fake_disk.h"
#include "aof/files.h"
#include "base/mem.h"
#include "plat/file.h"

static char folder[32];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/krtaofXXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[160];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* ---- Manifests ---------------------------------------------------------------------------------- */

static const char *parse(const char *text, struct aof_manifest *manifest) {
    uint32_t line;
    return aof_manifest_parse(text, strlen(text), manifest, &line);
}

static void check_same(const char *text) {
    struct aof_manifest manifest;
    size_t len;
    assert_null(parse(text, &manifest));
    char *again = aof_manifest_format(&manifest, &len);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(again, text, len);
    mem_free(NULL, again);
    aof_manifest_deinit(&manifest);
}

static void test_manifests(void **state) {
    (void)state;
    check_same("file a.aof.1.base.rdb seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\n");
    check_same("file a.2.base.rdb seq 2 type b\nfile a.1.base.rdb seq 1 type h\n"
               "file a.1.incr.aof seq 1 type h\nfile a.2.incr.aof seq 2 type i\n"
               "file a.7.incr.aof seq 7 type i\n");
    check_same("file a seq 1 type i size 128\nfile b seq 2 type i\n");
    check_same("file \"a b\\x0a\\\"c\\\\\" seq 3 type b\n");
    struct aof_manifest manifest;
    assert_null(parse("# a comment\r\nFILE 'it\\'s' SEQ 9 other thing type b\r\n", &manifest));
    assert_string_equal(manifest.files[0].name, "it's");
    assert_int_equal(manifest.base_seq, 9);
    assert_ptr_equal(aof_manifest_base(&manifest), manifest.files);
    assert_null(aof_manifest_last_incr(&manifest));
    aof_manifest_deinit(&manifest);
}

static void test_wrong_manifests(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "\n",
        "file a seq 1 type b",
        "file a seq 1\n",
        "file a seq 1 type\n",
        "file a seq 0 type b\n",
        "file a seq x type b\n",
        "file a seq 1 type x\n",
        "file \"a seq 1 type b\n",
        "file \"a\"b seq 1 type b\n",
        "file ../a seq 1 type b\n",
        "file a seq 1 type b\nfile b seq 2 type b\n",
        "file a seq 2 type i\nfile b seq 2 type i\n",
        "file a seq 2 type i\nfile b seq 1 type i\n",
        "file a seq 1 type i size -1\n",
    };
    struct aof_manifest manifest;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_non_null(parse(wrong[i], &manifest));
        assert_int_equal(manifest.count, 0);
    }
    char longer[2000];
    memset(longer, 'a', sizeof longer);
    memcpy(longer, "file ", 5);
    strcpy(longer + sizeof longer - 20, " seq 1 type b\n");
    assert_non_null(parse(longer, &manifest));
}

static void test_manifests_without_memory(void **state) {
    (void)state;
    static const char text[] = "file a seq 1 type b\nfile b seq 1 type i\nfile c seq 2 type i\n";
    struct aof_manifest manifest, copy;
    for (long n = 1; n <= 4; n++) {
        mem_fail_after(n);
        const char *wrong = parse(text, &manifest);
        mem_fail_after(0);
        assert_non_null(wrong);
    }
    assert_null(parse(text, &manifest));
    for (long n = 1; n <= 4; n++) {
        mem_fail_after(n);
        assert_false(aof_manifest_copy(&manifest, &copy));
        assert_int_equal(copy.count, 0);
    }
    mem_fail_after(1);
    size_t len;
    assert_null(aof_manifest_format(&manifest, &len));
    mem_fail_after(0);
    aof_manifest_deinit(&manifest);
}

/* ---- Chunks ------------------------------------------------------------------------------------- */

static void append(struct aof_tail *tail, uint32_t db, size_t len) {
    char *value = malloc(len + 1);
    memset(value, 'v', len);
    struct bytes argv[] = {BYTES_LITERAL("APPEND"), BYTES_LITERAL("k"), bytes_of(value, len)};
    aof_tail_append(tail, db, argv, 3);
    free(value);
}

static void check_commands(const struct aof_tail *tail, const char *expected) {
    const struct aof_chunk *chunk = tail->chunk;
    assert_int_equal(chunk->start, AOF_CHUNK_ROOM);
    assert_int_equal(chunk->len - chunk->start, strlen(expected));
    assert_memory_equal(chunk->at + chunk->start, expected, strlen(expected));
}

static void test_chunks(void **state) {
    (void)state;
    struct aof_tail tail = {0};
    append(&tail, 5, 0);
    check_commands(&tail, "*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$0\r\n\r\n");
    aof_tail_end_call(&tail);
    append(&tail, 123, 11);
    append(&tail, 123, 1);
    aof_tail_end_call(&tail);
    check_commands(&tail, "*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$0\r\n\r\n*1\r\n$5\r\nMULTI\r\n"
                          "*2\r\n$6\r\nSELECT\r\n$3\r\n123\r\n"
                          "*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$11\r\nvvvvvvvvvvv\r\n"
                          "*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$1\r\nv\r\n*1\r\n$4\r\nEXEC\r\n");
    assert_int_equal(tail.chunk->first_db, 5);
    assert_int_equal(tail.chunk->last_db, 123);
    aof_tail_deinit(&tail);
    for (size_t len = AOF_CHUNK_BYTES - 300; len < AOF_CHUNK_BYTES + 5000; len += 7) {
        append(&tail, 0, len); /* the end of the first capacity is somewhere here */
        append(&tail, 1, 100);
        aof_tail_end_call(&tail);
        assert_true(tail.chunk->len <= tail.chunk->capacity);
        assert_memory_equal(tail.chunk->at + tail.chunk->len - 14, "*1\r\n$4\r\nEXEC\r\n", 14);
        assert_memory_equal(tail.chunk->at + tail.chunk->start, "*1\r\n$5\r\nMULTI", 13);
        aof_tail_deinit(&tail);
    }
    append(&tail, 0, 3 << 20);
    assert_true(aof_tail_is_long(&tail));
    aof_tail_deinit(&tail);
}

static void test_chunks_without_memory(void **state) {
    (void)state;
    struct aof_tail tail = {0};
    mem_fail_after(1);
    append(&tail, 0, 10);
    assert_true(tail.broken && !aof_tail_is_empty(&tail));
    append(&tail, 0, 10);
    aof_tail_end_call(&tail);
    mem_fail_after(0);
    tail.broken = false;
    append(&tail, 0, 10);
    mem_fail_after(1);
    append(&tail, 0, 1 << 20);
    mem_fail_after(0);
    aof_tail_end_call(&tail);
    assert_true(tail.broken);
    aof_tail_deinit(&tail);
}

static void test_pool(void **state) {
    (void)state;
    struct aof_tail tail = {0};
    struct aof_chunk *chunks[AOF_TAIL_POOL + 4];
    for (int i = 0; i < AOF_TAIL_POOL + 4; i++) {
        append(&tail, 0, 10);
        chunks[i] = tail.chunk;
        tail.chunk = NULL;
    }
    for (int i = 0; i < AOF_TAIL_POOL + 4; i++) aof_chunk_put(chunks[i]);
    assert_int_equal(atomic_load_relaxed(&tail.pooled), AOF_TAIL_POOL);
    mem_fail_after(1); /* nothing is allocated */
    append(&tail, 0, 10);
    mem_fail_after(0);
    assert_false(tail.broken);
    assert_ptr_equal(tail.chunk, chunks[AOF_TAIL_POOL - 1]);
    aof_tail_deinit(&tail);
}

/* ---- The file of an older Redis ----------------------------------------------------------------- */

static void write_single(void) {
    char path[64];
    snprintf(path, sizeof path, "%s/log.aof", folder);
    assert_int_equal(file_replace(path, "old", 3), 0);
}

static int open_files(const struct disk *disk, struct aof_files *files) {
    struct aof_place place = {disk, folder, "dir", "log.aof"};
    char why[AOF_WHY_MAX];
    return aof_files_open(files, &place, why);
}

static void check_taken_over(void) {
    struct aof_files files;
    char path[AOF_PATH_MAX], *text;
    size_t len;
    assert_int_equal(open_files(&disk_kernel, &files), 0);
    assert_int_equal(files.manifest.count, 1);
    assert_string_equal(files.manifest.files[0].name, "log.aof");
    assert_int_equal(files.manifest.files[0].kind, AOF_BASE);
    assert_int_equal(aof_files_path(&files, "log.aof", path), 0);
    assert_int_equal(file_read(path, 100, &text, &len), 0);
    assert_string_equal(text, "old");
    mem_free(NULL, text);
    aof_files_deinit(&files);
}

static void test_single_file(void **state) {
    (void)state;
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s/*", folder);
    for (uint64_t n = 1; n < 20; n++) {
        for (uint64_t kind = 0; kind < 3; kind++) {
            struct fake_plan plan = {.seed = n, .power = kind == 1};
            struct aof_files files;
            if (kind < 2) plan.crash_at = n;
            else plan.fail_at = n;
            plan.fail_calls = FAKE_ANY;
            plan.fail_count = 1;
            plan.fail_error = -EIO;
            struct fake_disk *fake = fake_disk_new(&plan);
            write_single();
            if (open_files(fake_disk_of(fake), &files) == 0) aof_files_deinit(&files);
            fake_disk_free(fake);
            check_taken_over();
            check_taken_over();
            assert_int_equal(system(command), 0);
        }
    }
}

static void test_nothing(void **state) {
    (void)state;
    struct aof_files files;
    assert_int_equal(open_files(&disk_kernel, &files), 0);
    assert_false(aof_files_are_there(&files));
    aof_files_deinit(&files);
    char path[64];
    snprintf(path, sizeof path, "%s/dir", folder);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void test_another_working_folder(void **state) {
    (void)state;
    struct aof_place place = {&disk_kernel, ".", "dir", "log.aof"};
    struct aof_files files;
    char why[AOF_WHY_MAX];
    int fd;
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(aof_files_open(&files, &place, why), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(aof_files_create(&files, true), 0);
    assert_int_equal(aof_files_new_incr(&files, &fd), 0);
    assert_int_equal(aof_files_add_incr(&files, AOF_WHOLE), 0);
    disk_kernel.close(&disk_kernel, fd);
    aof_files_deinit(&files);
    assert_int_equal(open_files(&disk_kernel, &files), 0);
    assert_int_equal(files.manifest.count, 2);
    aof_files_deinit(&files);
}

static void test_wrong_manifest_file(void **state) {
    (void)state;
    struct aof_files files;
    struct aof_place place = {&disk_kernel, folder, "dir", "log.aof"};
    char path[64], why[AOF_WHY_MAX];
    snprintf(path, sizeof path, "%s/dir", folder);
    assert_int_equal(disk_kernel.make_folder(&disk_kernel, path), 0);
    snprintf(path, sizeof path, "%s/dir/log.aof.manifest", folder);
    assert_int_equal(file_replace(path, "file a seq 1 type b\nfile b seq 1 type z\n", 40), 0);
    assert_int_equal(aof_files_open(&files, &place, why), -EINVAL);
    assert_non_null(strstr(why, "Unknown AOF file type, line 2 of"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifests),
        cmocka_unit_test(test_wrong_manifests),
        cmocka_unit_test(test_manifests_without_memory),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_chunks_without_memory),
        cmocka_unit_test(test_pool),
        cmocka_unit_test_setup_teardown(test_single_file, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_nothing, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_another_working_folder, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_wrong_manifest_file, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
