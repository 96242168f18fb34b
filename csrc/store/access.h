/* Access: when, or how often, an entry was asked for, in the 24 bits that its header has for it.
 *
 *   ACCESS_TIME        seconds of the clock modulo 2^24, which is 194 days
 *   ACCESS_FREQUENCY   16 bits: minutes of the clock; 8 bits: a counter that grows by the logarithm
 *                      of the accesses and falls with the minutes that pass without one
 *
 * Both are Redis's own (https://redis.io/docs/latest/develop/reference/eviction/), so OBJECT answers
 * alike. One of them is kept at a time, by maxmemory-policy; after a change the field says something
 * of the other kind until the next access, as in Redis.
 * Threads: the clock's `seconds` any holder, relaxed; the other members change under all batons; an
 * entry belongs to the holder of its shard's baton.
 */
#pragma once

#include "base/assert.h"
#include "base/atomic.h"
#include "base/hash.h"
#include "store/entry_layout.h"

enum access_kind { ACCESS_TIME, ACCESS_FREQUENCY };

enum { ACCESS_BITS = 24, ACCESS_MASK = (1 << ACCESS_BITS) - 1, ACCESS_COUNT_FIRST = 5 };

struct access_clock {
    atomic_u32 seconds; /* of the wall clock, real or virtual; as old as the last turn at most */
    enum access_kind kind;
    uint32_t log_factor;    /* how slowly the counter grows */
    uint32_t decay_minutes; /* without an access until it falls by one; 0: never */
};

/* Stands still: for a keyspace of its own. */
extern const struct access_clock access_clock_none;

static inline uint32_t access_field(const struct entry *entry) {
    /* In registers: a copy of three bytes into a word would wait for its own stores. */
    uint16_t low;
    memcpy(&low, entry->access, sizeof low);
    return low | (uint32_t)(uint8_t)entry->access[sizeof low] << 16;
}

static inline void access_put(struct entry *entry, uint32_t field) {
    memcpy(entry->access, &field, sizeof entry->access);
}

/* What a new entry begins with. */
uint32_t access_first(const struct access_clock *clock);
/* One access more, of an entry under ACCESS_FREQUENCY. */
void access_count(const struct access_clock *clock, struct random_state *random,
                  struct entry *entry);

/* The same second mostly: a line that is only read stays clean. */
static inline void access_put_time(const struct access_clock *clock, struct entry *entry) {
    uint32_t now = atomic_load_relaxed(&clock->seconds) & ACCESS_MASK;
    if (access_field(entry) != now) {
        access_put(entry, now);
    }
}

/* A new value of the key: its time is now, its counter stays. */
static inline void access_renew(const struct access_clock *clock, struct entry *entry) {
    if (KRT_LIKELY(clock->kind == ACCESS_TIME)) {
        access_put_time(clock, entry);
    }
}

/* Notes an access. */
static inline void access_touch(const struct access_clock *clock, struct random_state *random,
                                struct entry *entry) {
    if (KRT_LIKELY(clock->kind == ACCESS_TIME)) {
        access_put_time(clock, entry);
    } else {
        access_count(clock, random, entry);
    }
}

/* Seconds since the last access; under ACCESS_TIME. */
static inline uint32_t access_idle_seconds(const struct access_clock *clock,
                                           const struct entry *entry) {
    return (atomic_load_relaxed(&clock->seconds) - access_field(entry)) & ACCESS_MASK;
}

/* The field of an entry that was idle for so long, or has this count, as somebody else says; `otherwise` if the clock keeps
 * the other of the two. */
uint32_t access_of_idle(const struct access_clock *clock, uint32_t otherwise, int64_t idle_s);
uint32_t access_of_frequency(const struct access_clock *clock, uint32_t otherwise, int64_t count);

/* The counter as of now; under ACCESS_FREQUENCY. */
uint32_t access_frequency(const struct access_clock *clock, const struct entry *entry);
