/* Completions that were taken from the ring before their time.
 *
 * Role: unlisten waits for the end of an accept; the completions of others that come meanwhile are
 * kept here in order, and served before those of the ring. Bounds: grows with what comes while one
 * cancel is under way.
 * Errors: uring_backlog_keep is false without memory; the completion is then still the caller's.
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

static inline bool uring_backlog_keep(struct uring_backlog *backlog, struct mem_account *account,
                                      const struct completion *completion) {
    if (backlog->count == backlog->capacity) {
        uint32_t capacity = backlog->capacity ? backlog->capacity * 2 : 64;
        struct completion *at = mem_realloc(account, backlog->at, capacity * sizeof *at);
        if (at == NULL) {
            return false;
        }
        backlog->at = at;
        backlog->capacity = capacity;
    }
    backlog->at[backlog->count++] = *completion;
    return true;
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
