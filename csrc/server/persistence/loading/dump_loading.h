/* A dump in a file becomes data: a file of its own, or what a log begins with.
 *
 * Threads: as loading.h. A shard is entered for a piece of work at a time.
 */
#pragma once

#include "base/atomic.h"
#include "base/bytes.h"
#include "plat/disk.h"
#include "server/kevyrt.h"

/* `before`: bytes of other files, for the progress. Keys whose deadline is before drop_before_ms are left out; 0: none are, since
 * a log may follow that was written while they were there. `replace`: keys that are there give way. *len: where the
 * dump ends. */
enum kevyrt_status dump_load(struct kevyrt_server *server, const struct disk *disk,
                             const char *path, uint64_t before, int64_t drop_before_ms,
                             bool replace, uint64_t *len, struct kevyrt_error *error);
/* Of what a dump says of itself: the memory that its data took where it was made. */
void dump_note_used(atomic_u64 *used_bytes, struct bytes name, struct bytes value);
