/* Words for errno values. Any thread. */
#pragma once

enum { SYSTEM_NO_MEMORY = -12 }; /* -ENOMEM, for who may not know errno */
/* `error` is a negative errno value; the text is static. */
const char *system_error_text(int error);
