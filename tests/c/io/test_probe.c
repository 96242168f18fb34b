/* The answer of the io_uring probe, here and where a seccomp filter forbids it, as containers do. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/bodies.h"

static bool forbid_io_uring(int error) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof program / sizeof *program, .filter = program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

struct answer {
    int forbidden, probed, opened;
    char reason[200];
};

static void answer_in_child(int error, int out) {
    struct mem_account account = {0};
    struct reactor_limits limits = {.ring_entries = 8,
                                    .buffer_count = 8,
                                    .buffer_bytes = 64,
                                    .wake_fd = -1,
                                    .account = &account};
    struct reactor *reactor;
    struct answer answer = {.forbidden = forbid_io_uring(error)};
    answer.probed = reactor_uring_try(answer.reason, sizeof answer.reason);
    answer.opened = reactor_open(&reactor, REACTOR_URING, &limits);
    _exit(write(out, &answer, sizeof answer) == sizeof answer ? 0 : 1);
}

static struct answer ask_where_forbidden(int error) {
    struct answer answer;
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        answer_in_child(error, ends[1]);
    }
    assert_int_equal(read(ends[0], &answer, sizeof answer), sizeof answer);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ends[0]);
    close(ends[1]);
    if (!answer.forbidden) {
        skip();
    }
    return answer;
}

static bool is_built_in(void) {
    char reason[200];
    return reactor_uring_try(reason, sizeof reason) != -ENOSYS ||
           strcmp(reason, "built without liburing") != 0;
}

static void test_forbidden(void **state) {
    (void)state;
    if (!is_built_in()) {
        skip();
    }
    struct answer answer = ask_where_forbidden(EPERM);
    assert_int_equal(answer.probed, -EPERM);
    assert_int_equal(answer.opened, -EPERM);
    assert_string_equal(answer.reason,
                        "io_uring_setup: Operation not permitted (forbidden by seccomp, as in most "
                        "containers, or by kernel.io_uring_disabled)");
}

static void test_hidden(void **state) {
    (void)state;
    if (!is_built_in()) {
        skip();
    }
    struct answer answer = ask_where_forbidden(ENOSYS);
    assert_int_equal(answer.probed, -ENOSYS);
    assert_int_equal(answer.opened, -ENOSYS);
    assert_string_equal(answer.reason,
                        "io_uring_setup: Function not implemented (the kernel was built without "
                        "io_uring, or a seccomp filter hides it)");
}

/* What the probe promises, opening keeps; the cached answer is the fresh one. */
static void test_probe_and_open_agree(void **state) {
    (void)state;
    char fresh[200], cached[200];
    struct mem_account account = {0};
    struct reactor_limits limits = {.ring_entries = 8,
                                    .buffer_count = 8,
                                    .buffer_bytes = 64,
                                    .wake_fd = -1,
                                    .account = &account};
    struct reactor *reactor;
    int probed = reactor_uring_try(fresh, sizeof fresh);
    assert_int_equal(reactor_uring_probe(cached, sizeof cached), probed);
    assert_string_equal(cached, fresh);
    assert_true(strlen(cached) > 0);
    int opened = reactor_open(&reactor, REACTOR_URING, &limits);
    assert_int_equal(opened, probed);
    if (opened == 0) {
        reactor_close(reactor);
    }
    assert_int_equal(account.used_bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_probe_and_open_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
