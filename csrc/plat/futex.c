#include "plat/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The kernel reads the word as a plain int: the atomic type must be nothing but that. */
_Static_assert(sizeof(atomic_u32) == sizeof(uint32_t), "a futex word is 32 bits");

/* FUTEX_WAIT_BITSET and not FUTEX_WAIT: its deadline is absolute, so that a wait that is repeated after a
 * spurious wake-up does not grow. Without FUTEX_CLOCK_REALTIME the clock is CLOCK_MONOTONIC. */
bool futex_wait(atomic_u32 *word, uint32_t expected, uint64_t deadline_ns) {
    struct timespec until = {
        .tv_sec = (time_t)(deadline_ns / 1000000000u),
        .tv_nsec = (long)(deadline_ns % 1000000000u),
    };
    long result =
        syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                deadline_ns == FUTEX_NO_DEADLINE ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
    return result == 0 || errno != ETIMEDOUT;
}

void futex_wake(atomic_u32 *word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
}
