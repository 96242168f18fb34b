/* Sleeping on a word. Any thread; the waiter must re-check its condition: wake-ups may be spurious. */
#pragma once

#include <stdint.h>

#include "base/atomic.h"

#define FUTEX_NO_DEADLINE UINT64_MAX

/* Sleeps while *word == expected, until woken or until the absolute monotonic deadline.
 * Returns false only when the deadline has passed. */
bool futex_wait(atomic_u32 *word, uint32_t expected, uint64_t deadline_ns);
void futex_wake(atomic_u32 *word, int count);

/* The hint to the processor that this is a spin loop. */
static inline void futex_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#endif
}
