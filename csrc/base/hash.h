/* The keyed 64-bit hash of keys, and a small random generator.
 *
 * The seed is drawn once per server from the kernel, so that clients cannot aim at one bucket. The
 * parts of a hash have fixed uses: bits 0..39 choose the bucket, bits 40..47 give the fingerprint,
 * bits 48..63 choose the shard.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hash_seed {
    uint64_t a, b;
};

uint64_t hash_bytes(const struct hash_seed *seed, const void *at, size_t len);

static inline uint8_t hash_fingerprint(uint64_t hash) {
    uint8_t fingerprint = (uint8_t)(hash >> 40);
    return fingerprint ? fingerprint : 1; /* 0 marks a free slot */
}

static inline uint32_t hash_shard(uint64_t hash, uint32_t shard_count) {
    return (uint32_t)(((hash >> 48) * shard_count) >> 16);
}

struct random_state {
    uint64_t s[2];
};

void random_seed(struct random_state *state, uint64_t seed);
uint64_t random_next(struct random_state *state);
/* Uniform in [0, bound), bound > 0. */
uint64_t random_below(struct random_state *state, uint64_t bound);
