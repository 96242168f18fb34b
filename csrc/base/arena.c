#include "base/arena.h"

enum { ARENA_ALIGN = 16 };

static bool arena_add_block(struct arena *arena, size_t size) {
    size_t capacity = size > ARENA_BLOCK_BYTES ? size : ARENA_BLOCK_BYTES;
    struct arena_block *block = mem_alloc(NULL, sizeof *block + capacity);
    if (!block) return false;
    block->next = NULL;
    block->capacity = capacity;
    if (arena->last) arena->last->next = block;
    else arena->first = block;
    arena->last = block;
    arena->used = 0;
    return true;
}

void *arena_alloc(struct arena *arena, size_t size) {
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    bool fits = arena->last && arena->last->capacity - arena->used >= size;
    if (!fits && !arena_add_block(arena, size)) return NULL;
    void *at = arena->last->data + arena->used;
    arena->used += size;
    return at;
}

static void arena_free_blocks(struct arena_block *block) {
    while (block) {
        struct arena_block *next = block->next;
        mem_free(NULL, block);
        block = next;
    }
}

void arena_reset(struct arena *arena) {
    if (!arena->first) return;
    /* A block that grew for one huge argument is not worth keeping. */
    if (arena->first->capacity > ARENA_BLOCK_BYTES) {
        arena_deinit(arena);
        return;
    }
    arena_free_blocks(arena->first->next);
    arena->first->next = NULL;
    arena->last = arena->first;
    arena->used = 0;
}

void arena_deinit(struct arena *arena) {
    arena_free_blocks(arena->first);
    *arena = (struct arena){0};
}
