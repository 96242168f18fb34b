/* Whole files. Any thread; blocks, so never with a baton held. */
#pragma once

#include <stddef.h>

/* Reads a file of at most `limit` bytes into fresh memory (mem_free with a NULL account), with a
 * zero byte behind it. 0 or a negative errno value: -EFBIG if there is more. */
int file_read(const char *path, size_t limit, char **out, size_t *len);

/* Puts a text in the place of a file, all of it or nothing: written beside it, synced, renamed. It keeps the
 * file's permissions. 0 or a negative errno value. */
int file_replace(const char *path, const char *text, size_t len);

/* Makes a folder that nobody else may enter, with six other characters for the "XXXXXX" that `path` ends
 * with. 0 or a negative errno value. */
int file_make_folder(char *path);

/* Calls `visit` for each path that a pattern names (* ? [...]), sorted, until it returns other than
 * 0, which is the result. No path is no error; what is no pattern names itself. 0 or a negative
 * errno value. */
int file_for_each(const char *pattern, int (*visit)(void *context, const char *path),
                  void *context);
