#include "plat/errors.h"

#include <locale.h>
#include <string.h>

/* In the C locale, whatever the host's is: strerror() would translate, and need not be thread-safe. Asking for
 * that locale allocates nothing. */
const char *system_error_text(int error) {
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return plain ? strerror_l(error < 0 ? -error : error, plain) : "unknown error";
}
