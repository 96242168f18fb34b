/* A start that loads a log, with memory refused at every place: it fails and leaves nothing, or everything is there; and the log
 * is as it was. */
#include "kevyrt/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aof/log_text.h"
#include "base/mem.h"

enum { KEYS = 300 };

struct folder {
    char path[64], log[128], manifest[128], inner[96];
    size_t len; /* of the log */
};

static void write_file(const char *path, const char *at, size_t len) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(at, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void folder_init(struct folder *folder) {
    static const char manifest[] = "file appendonly.aof.1.incr.aof seq 1 type i\n";
    struct log_text text;
    char line[256];
    log_text_init(&text);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(
            line, sizeof line,
            "SET key:%d v;MSET a:%d 1 b:%d 2 c:%d 3;MULTI;RPUSH list x y;HSET hash f%d v;"
            "EXEC;SET timed:%d v PXAT 1000",
            i, i, i, i, i, i);
        log_text_chunk(&text, line, text.len);
    }
    strcpy(folder->path, "/tmp/krt-load-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    (void)snprintf(folder->inner, sizeof folder->inner, "%s/appendonlydir", folder->path);
    (void)snprintf(folder->log, sizeof folder->log, "%s/appendonly.aof.1.incr.aof", folder->inner);
    (void)snprintf(folder->manifest, sizeof folder->manifest, "%s/appendonly.aof.manifest",
                   folder->inner);
    assert_int_equal(mkdir(folder->inner, 0755), 0);
    write_file(folder->log, text.at, text.len);
    write_file(folder->manifest, manifest, sizeof manifest - 1);
    folder->len = text.len;
    log_text_deinit(&text);
}

static void folder_remove(struct folder *folder) {
    (void)unlink(folder->log);
    (void)unlink(folder->manifest);
    assert_int_equal(rmdir(folder->inner), 0);
    assert_int_equal(rmdir(folder->path), 0);
}

static struct kevyrt_server *make(const struct folder *folder, const char *threads) {
    struct kevyrt_server *server = NULL;
    struct kevyrt_setting settings[] = {{"port", "0"},
                                        {"threads", threads},
                                        {"io", "epoll"},
                                        {"appendonly", "yes"},
                                        {"dir", folder->path}};
    assert_int_equal(kevyrt_server_new(settings, sizeof settings / sizeof *settings, &server, NULL),
                     KEVYRT_OK);
    return server;
}

static void check_all(struct kevyrt_server *server) {
    assert_call(server, "LLEN list", ":600\r\n");
    assert_call(server, "HLEN hash", ":300\r\n");
    assert_call(server, "MGET a:0 b:299 c:7 key:299",
                "*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\nv\r\n");
    assert_call(server, "GET timed:5", "_\r\n");
}

static void refuse_everywhere(struct folder *folder, const char *threads) {
    bool whole = false;
    for (long n = 1; !whole; n += 1 + n / 8) {
        struct kevyrt_error error = {0};
        struct kevyrt_server *server = make(folder, threads);
        mem_fail_after(n);
        enum kevyrt_status status = kevyrt_server_start(server, &error);
        mem_fail_after(0);
        whole = status == KEVYRT_OK;
        if (whole) check_all(server);
        if (!whole) assert_true(status == KEVYRT_NO_MEMORY || status == KEVYRT_SYSTEM);
        if (!whole) assert_int_not_equal(error.text[0], 0);
        assert_int_equal(kevyrt_server_running(server), whole);
        kevyrt_server_put(server);
        struct stat found;
        assert_int_equal(stat(folder->log, &found), 0);
        if (!whole) assert_int_equal(found.st_size, folder->len);
        assert_true(n < 1000000);
    }
}

static void test_refused_memory(void **state) {
    (void)state;
    for (int shards = 1; shards <= 3; shards += 2) {
        struct folder folder;
        folder_init(&folder);
        refuse_everywhere(&folder, shards == 1 ? "1" : "3");
        folder_remove(&folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
