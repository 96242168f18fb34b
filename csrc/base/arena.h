/* An arena: bump allocation for data that lives and dies together.
 *
 * Threads: one owner at a time. Ownership: everything handed out is freed by arena_reset or
 * arena_deinit; reset keeps the first block for the next use. Errors: NULL for refused memory.
 */
#pragma once

#include "base/mem.h"

enum { ARENA_BLOCK_BYTES = 16384 - 32 };

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    char data[];
};

struct arena {
    struct arena_block *first, *last;
    size_t used; /* of the last block */
};

void *arena_alloc(struct arena *arena, size_t size); /* aligned to 16 bytes */
void arena_reset(struct arena *arena);
void arena_deinit(struct arena *arena);
