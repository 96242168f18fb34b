/* The text of a configuration file with the settings as they are.
 *
 * Threads: any; pure but for its allocation. Ownership: the text is the caller's (mem_free with a NULL
 * account). Errors: NULL for refused memory.
 */
#pragma once

#include "base/bytes.h"
#include "server/config.h"

/* `values` is the text of every setting; `old` the file as it was. */
char *config_text_rewrite(char *const values[SETTING_COUNT], struct bytes old, size_t *len);
