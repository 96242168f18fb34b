#include "server/persistence/saving/memory.h"

#include <string.h>

#include "base/mem.h"

struct kevyrt_snapshot *memory_snapshot_new(void) {
    struct kevyrt_snapshot *snapshot = mem_calloc(NULL, sizeof *snapshot);
    if (snapshot) atomic_store_relaxed(&snapshot->references, 1);
    return snapshot;
}

void kevyrt_snapshot_get(struct kevyrt_snapshot *snapshot) {
    atomic_add_relaxed(&snapshot->references, 1);
}

void kevyrt_snapshot_put(struct kevyrt_snapshot *snapshot) {
    if (!snapshot || atomic_sub_acq_rel(&snapshot->references, 1) != 1) return;
    for (size_t i = 0; i < snapshot->count; i++) mem_free(NULL, snapshot->pieces[i]);
    mem_free(NULL, snapshot->pieces);
    mem_free(NULL, snapshot);
}

static bool add_piece(struct kevyrt_snapshot *snapshot) {
    if (snapshot->count == snapshot->room) {
        size_t room = snapshot->room ? 2 * snapshot->room : 16;
        char **pieces = mem_realloc(NULL, snapshot->pieces, room * sizeof *pieces);
        if (!pieces) return false;
        snapshot->pieces = pieces;
        snapshot->room = room;
    }
    char *piece = mem_alloc(NULL, SNAPSHOT_PIECE_BYTES);
    if (piece) snapshot->pieces[snapshot->count++] = piece;
    return piece != NULL;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

bool memory_snapshot_add(struct kevyrt_snapshot *snapshot, const void *at, size_t len) {
    const char *from = at;
    while (len > 0) {
        size_t used = snapshot->len % SNAPSHOT_PIECE_BYTES;
        if (used == 0 && !add_piece(snapshot)) return false;
        size_t part = least(SNAPSHOT_PIECE_BYTES - used, len);
        memcpy(snapshot->pieces[snapshot->count - 1] + used, from, part);
        snapshot->len += part;
        from += part;
        len -= part;
    }
    return true;
}

void memory_snapshot_end(struct kevyrt_snapshot *snapshot) {
    size_t used = snapshot->len % SNAPSHOT_PIECE_BYTES;
    if (used == 0) return;
    char **last = &snapshot->pieces[snapshot->count - 1];
    char *shorter = mem_realloc(NULL, *last, used);
    if (shorter) *last = shorter;
}

size_t memory_snapshot_read(const struct kevyrt_snapshot *snapshot, uint64_t offset,
                            const char **at, size_t len) {
    if (offset >= snapshot->len) return 0;
    size_t in_piece = offset % SNAPSHOT_PIECE_BYTES;
    *at = snapshot->pieces[offset / SNAPSHOT_PIECE_BYTES] + in_piece;
    size_t part = least(len, SNAPSHOT_PIECE_BYTES - in_piece);
    return (size_t)least(part, (size_t)(snapshot->len - offset));
}

size_t kevyrt_snapshot_len(const struct kevyrt_snapshot *snapshot) {
    return snapshot->len;
}

size_t kevyrt_snapshot_read(const struct kevyrt_snapshot *snapshot, size_t offset,
                            const char **at) {
    return memory_snapshot_read(snapshot, offset, at, SNAPSHOT_PIECE_BYTES);
}
