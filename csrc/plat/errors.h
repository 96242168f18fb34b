/* Words for errno values. Any thread. */
#pragma once

/* `error` is a negative errno value; the text is static. */
const char *system_error_text(int error);
