/* The words of a line, cut and unquoted as Redis does: inline requests, configuration files.
 *
 * Threads: any; pure. Each call takes one word from the head of `line`.
 */
#pragma once

#include "base/bytes.h"

/* Are there quotes, so that words cannot stay where they are? */
bool words_are_quoted(struct bytes line);
/* The next word of a line without quotes; false at the end. */
bool words_next_plain(struct bytes *line, struct bytes *word);
/* The next word of any line, unquoted into `out`, which has room for the rest of the line. 1: a
 * word; 0: the end; -1: unbalanced quotes. */
int words_next_quoted(struct bytes *line, char *out, uint32_t *word_len);
