#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "plat/socket.h"

static char folder[] = "/tmp/krtXXXXXX";

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static void path_in_folder(char path[64], const char *name) {
    snprintf(path, 64, "%s/%s", folder, name);
}

static int connect_like(int listener) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

static void check_flags(int fd) {
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void test_tcp(void **state) {
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    static const char *const forms[] = {"127.0.0.1:%u", "[::1]:%u"};
    for (int i = 0; i < 2; i++) {
        uint16_t port = 0;
        char expected[64];
        struct socket_address_text local, listening, peer;
        int listener = socket_listen_tcp(hosts[i], 0, 8, &port);
        if (listener == -EADDRNOTAVAIL || listener == -EAFNOSUPPORT) {
            continue;
        }
        assert_true(listener >= 0 && port > 0);
        check_flags(listener);
        int client = connect_like(listener), served = socket_accept(listener);
        check_flags(served);
        assert_int_equal(socket_accept(listener), -EAGAIN);
        snprintf(expected, sizeof expected, forms[i], port);
        socket_local_text(listener, &listening);
        socket_local_text(served, &local);
        socket_peer_text(client, &peer);
        assert_string_equal(listening.text, expected);
        assert_string_equal(local.text, expected);
        assert_string_equal(peer.text, expected);
        assert_true(socket_is_stream_end(served) && !socket_is_stream_end(listener));
        assert_false(socket_is_unix(served));
        assert_int_equal(socket_listen_tcp(hosts[i], port, 8, NULL), -EADDRINUSE);
        close(client), close(served), close(listener);
    }
}

/* [::] leaves 0.0.0.0 free: each address is bound by its own. */
static void test_tcp_families_are_separate(void **state) {
    (void)state;
    uint16_t port = 0, same = 0;
    int six = socket_listen_tcp("::", 0, 8, &port);
    if (six < 0) {
        skip();
    }
    int four = socket_listen_tcp("0.0.0.0", port, 8, &same);
    assert_true(four >= 0);
    assert_int_equal(port, same);
    close(six), close(four);
}

static void test_tcp_bad_host(void **state) {
    (void)state;
    assert_int_equal(socket_listen_tcp("192.0.2.1", 0, 8, NULL), -EADDRNOTAVAIL);
    assert_true(socket_listen_tcp("999.1.1.1", 0, 8, NULL) < 0);
}

static void test_tune(void **state) {
    (void)state;
    int value = 0;
    socklen_t len = sizeof value;
    int listener = socket_listen_tcp("127.0.0.1", 0, 8, NULL);
    int client = connect_like(listener);
    socket_tune(client, 300);
    getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &len);
    assert_int_equal(value, 1);
    getsockopt(client, IPPROTO_TCP, TCP_KEEPINTVL, &value, &len);
    assert_int_equal(value, 100);
    getsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &value, &len);
    assert_int_equal(value, 1);
    close(client), close(listener);
}

static void test_unix(void **state) {
    (void)state;
    char path[64], expected[80];
    struct stat status;
    struct socket_address_text text;
    path_in_folder(path, "s");
    int listener = socket_listen_unix(path, 0700, 8);
    assert_true(listener >= 0);
    check_flags(listener);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    int client = connect_like(listener), served = socket_accept(listener);
    snprintf(expected, sizeof expected, "%s:0", path);
    socket_peer_text(served, &text);
    assert_string_equal(text.text, expected);
    assert_true(socket_is_unix(served));
    assert_int_equal(socket_listen_unix(path, 0, 8), -EADDRINUSE);
    close(client), close(served), close(listener);
    listener = socket_listen_unix(path, 0, 8); /* the file is stale now */
    assert_true(listener >= 0);
    close(listener);
    unlink(path);
}

static void test_unix_keeps_what_is_no_socket(void **state) {
    (void)state;
    char path[64];
    path_in_folder(path, "file");
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(socket_listen_unix(path, 0, 8), -EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void test_unix_path_bounds(void **state) {
    (void)state;
    char path[120];
    int head = snprintf(path, sizeof path, "%s/", folder);
    memset(path + head, 'p', sizeof path - (size_t)head);
    path[108] = 0;
    assert_int_equal(socket_listen_unix(path, 0, 8), -ENAMETOOLONG);
    path[107] = 0;
    int listener = socket_listen_unix(path, 0, 8);
    assert_true(listener >= 0);
    struct socket_address_text text;
    socket_local_text(listener, &text);
    assert_string_equal(text.text + strlen(text.text) - 2, ":0");
    close(listener);
    unlink(path);
    assert_int_equal(socket_listen_unix("", 0, 8), -EINVAL);
}

static void test_adopt(void **state) {
    (void)state;
    int pair[2], pipes[2], datagrams[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams);
    assert_int_equal(pipe(pipes), 0);
    int listener = socket_listen_tcp("127.0.0.1", 0, 8, NULL);
    assert_int_equal(socket_prepare_adopted(pair[0]), 0);
    check_flags(pair[0]);
    assert_int_equal(socket_prepare_adopted(datagrams[0]), -EPROTOTYPE);
    assert_int_equal(socket_prepare_adopted(pipes[0]), -ENOTSOCK);
    assert_false(fcntl(pipes[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(socket_prepare_adopted(listener), -ENOTCONN);
    assert_int_equal(socket_prepare_adopted(-1), -EBADF);
    for (int i = 0; i < 2; i++) {
        close(pair[i]), close(pipes[i]), close(datagrams[i]);
    }
    close(listener);
}

static void test_transfer(void **state) {
    (void)state;
    int pair[2];
    char got[16];
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
    struct iovec iov[2] = {{"ab", 2}, {"cd", 2}};
    assert_int_equal(socket_receive(pair[1], got, sizeof got), -EAGAIN);
    assert_int_equal(socket_send(pair[0], iov, 2), 4);
    assert_int_equal(socket_send(pair[0], iov, 1), 2);
    assert_int_equal(socket_receive(pair[1], got, sizeof got), 6);
    assert_memory_equal(got, "abcdab", 6);
    socket_shutdown(pair[1]);
    assert_int_equal(socket_receive(pair[0], got, sizeof got), 0);
    assert_int_equal(socket_send(pair[0], iov, 2), -EPIPE); /* and no signal */
    socket_close(pair[0]);
    socket_close(pair[1]);
}

static void test_event(void **state) {
    (void)state;
    char byte[8];
    int fd = event_open();
    check_flags(fd);
    event_signal(fd);
    event_signal(fd);
    event_clear(fd);
    assert_int_equal(read(fd, byte, sizeof byte), -1);
    socket_close(fd);
}

static void test_descriptor_limit(void **state) {
    (void)state;
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = 100;
    setrlimit(RLIMIT_NOFILE, &low);
    assert_int_equal(descriptor_limit(), 100);
    assert_int_equal(descriptor_limit_raise(50), 100);
    assert_int_equal(descriptor_limit_raise(120), 120);
    assert_int_equal(descriptor_limit_raise(UINT64_MAX),
                     before.rlim_max == RLIM_INFINITY ? UINT64_MAX : before.rlim_max);
    setrlimit(RLIMIT_NOFILE, &before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_tcp_families_are_separate),
        cmocka_unit_test(test_tcp_bad_host),
        cmocka_unit_test(test_tune),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_unix_keeps_what_is_no_socket),
        cmocka_unit_test(test_unix_path_bounds),
        cmocka_unit_test(test_adopt),
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_event),
        cmocka_unit_test(test_descriptor_limit),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
