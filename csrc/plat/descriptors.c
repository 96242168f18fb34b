#include "plat/descriptors.h"

#include <unistd.h>

#include "base/atomic.h"

/* 128 KiB of zero pages, of which only those of descriptors in use are ever touched. */
static atomic_u64 noted[DESCRIPTORS_MAX / 64];

void descriptor_note(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS_MAX)
        atomic_or_release(&noted[fd / 64], UINT64_C(1) << (fd % 64));
}

void descriptor_forget(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS_MAX)
        atomic_and_release(&noted[fd / 64], ~(UINT64_C(1) << (fd % 64)));
}

void descriptors_close_all(void) {
    for (int word = 0; word < DESCRIPTORS_MAX / 64; word++) {
        uint64_t bits = atomic_load_relaxed(&noted[word]);
        atomic_store_relaxed(&noted[word], 0);
        for (; bits; bits &= bits - 1) close(word * 64 + __builtin_ctzll(bits));
    }
}
