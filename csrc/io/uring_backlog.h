/* Completions that were taken from the ring before their time.
 *
 * Role: unlisten waits for the end of an accept; the completions of others that come meanwhile are
 * kept here in order, and served before those of the ring. Bounds: grows with what comes while one
 * cancel is under way.
 * Errors: without memory nothing is reserved, and the completion stays in the ring.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

struct completion {
    uint64_t token;
    int result;
    uint32_t flags;
};

struct uring_backlog {
    struct completion *at;
    uint32_t first, count, capacity; /* at[first .. count) are kept */
};

/* Makes room for one more: before it is taken from the ring, so that no failure loses it. */
static inline bool uring_backlog_reserve(struct uring_backlog *backlog,
                                         struct mem_account *account) {
    if (backlog->count < backlog->capacity) {
        return true;
    }
    uint32_t capacity = backlog->capacity ? backlog->capacity * 2 : 64;
    struct completion *at = mem_realloc(account, backlog->at, capacity * sizeof *at);
    if (at == NULL) {
        return false;
    }
    backlog->at = at;
    backlog->capacity = capacity;
    return true;
}

static inline void uring_backlog_keep(struct uring_backlog *backlog,
                                      const struct completion *completion) {
    backlog->at[backlog->count++] = *completion;
}

static inline bool uring_backlog_take(struct uring_backlog *backlog, struct completion *out) {
    if (backlog->first == backlog->count) {
        return false;
    }
    *out = backlog->at[backlog->first++];
    if (backlog->first == backlog->count) {
        backlog->first = backlog->count = 0;
    }
    return true;
}
