#include "plat/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "plat/clock.h"

enum { RESIDENT_AGE_NS = 100 * 1000 * 1000 };

static uint64_t page_bytes(void) {
    long size = sysconf(_SC_PAGESIZE);
    return size > 0 ? (uint64_t)size : 4096;
}

/* statm is in pages: the size of the address space, then what of it is resident. */
static uint64_t read_resident(void) {
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t len = read(fd, text, sizeof text - 1);
    (void)close(fd);
    const char *second = len > 0 ? strchr(text, ' ') : NULL;
    return second ? strtoull(second, NULL, 10) * page_bytes() : 0;
}

/* To open and read the file takes the kernel longer than a command that asks takes for all else. */
static struct {
    atomic_u64 read_ns; /* any thread, relaxed: 0 before the first time */
    atomic_u64 bytes;   /* the same */
} resident;

uint64_t process_resident_bytes(void) {
    uint64_t now_ns = clock_monotonic_ns(), read_ns = atomic_load_relaxed(&resident.read_ns);
    if (read_ns != 0 && now_ns - read_ns < RESIDENT_AGE_NS)
        return atomic_load_relaxed(&resident.bytes);
    uint64_t bytes = read_resident();
    atomic_store_relaxed(&resident.bytes, bytes);
    atomic_store_relaxed(&resident.read_ns, now_ns);
    return bytes;
}

uint64_t process_system_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (uint64_t)pages * page_bytes() : 0;
}

const char *process_folder(char *into, size_t size) {
    return getcwd(into, size) ? into : "";
}

#if defined(__GLIBC__)
void process_trim_memory(void) {
    (void)malloc_trim(0);
}
#else
void process_trim_memory(void) {
}
#endif
