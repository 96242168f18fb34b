#include "plat/process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t page_bytes(void) {
    long size = sysconf(_SC_PAGESIZE);
    return size > 0 ? (uint64_t)size : 4096;
}

/* statm is in pages: the size of the address space, then what of it is resident. */
uint64_t process_resident_bytes(void) {
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t len = read(fd, text, sizeof text - 1);
    (void)close(fd);
    const char *second = len > 0 ? strchr(text, ' ') : NULL;
    return second ? strtoull(second, NULL, 10) * page_bytes() : 0;
}

uint64_t process_system_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (uint64_t)pages * page_bytes() : 0;
}

const char *process_folder(char *into, size_t size) {
    return getcwd(into, size) ? into : "";
}
