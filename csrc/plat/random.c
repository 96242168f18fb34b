#include "plat/random.h"

#include <errno.h>
#include <sys/random.h>

int random_from_kernel(void *into, size_t len) {
    char *at = into;
    while (len) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno != EINTR) return -errno;
        if (got < 0) continue;
        at += got;
        len -= (size_t)got;
    }
    return 0;
}
