#define _GNU_SOURCE /* strerrordesc_np: thread-safe, unlike strerror */
#include "plat/errors.h"

#include <string.h>

const char *system_error_text(int error) {
    const char *text = strerrordesc_np(error < 0 ? -error : error);
    return text ? text : "unknown error";
}
