/* A hash map of nodes that are embedded in what they stand for.
 *
 * Role: tables of who watches, waits for, listens to or caches a name. The owner compares names; the map knows
 * hashes alone: `map_first` and `map_next` give the nodes of equal hash.
 * Threads: one at a time; who owns the map says by what.
 * Ownership: nodes are the caller's; the map owns its segments of buckets.
 * Invariants
 *   M1  It grows and shrinks by one bucket at a time (linear hashing), so that no operation takes long.
 *   M2  Where memory to grow is refused, chains become longer and everything works on.
 * Errors: false from map_reserve for refused memory; behind a true one, map_insert cannot fail as long as
 * the map has not become empty.
 * Bounds: MAP_BUCKETS_MAX buckets; beyond them chains become longer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

enum {
    MAP_SEGMENT_SHIFT = 10,
    MAP_SEGMENT = 1 << MAP_SEGMENT_SHIFT, /* buckets */
    MAP_BUCKETS_MAX = 1 << 26,
};

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

/* All zero is an empty map. */
struct map {
    struct map_node ***segments; /* of MAP_SEGMENT buckets each */
    uint32_t segment_count, segment_capacity;
    uint32_t buckets; /* in use; 0: none yet */
    uint32_t mask;    /* of the buckets that were there when it last doubled, less 1 */
    uint64_t count;   /* nodes */
};

/* Frees the segments; what is in the map is forgotten. */
void map_deinit(struct map *map);
/* Makes sure that the next insertion finds a bucket. */
bool map_reserve(struct map *map);
/* Behind map_reserve. The same hash, and the same name, may be in it more than once. */
void map_insert(struct map *map, struct map_node *node, uint64_t hash);
/* The node is in the map. */
void map_remove(struct map *map, struct map_node *node);

/* Nodes of equal hash, newest first; NULL: no more. The next one is asked for before a node is removed. */
struct map_node *map_first(const struct map *map, uint64_t hash);
struct map_node *map_next(const struct map_node *node);
/* The chain in which nodes of the hash would be, for a prefetch; the map is not empty. */
struct map_node *const *map_bucket(const struct map *map, uint64_t hash);

/* All nodes, in no order. Meanwhile the map does not change, or by the removal of every node that is given. */
struct map_walk {
    const struct map *map;
    uint32_t bucket; /* the last one that was begun */
    struct map_node *next;
};
void map_walk_init(struct map_walk *walk, const struct map *map);
struct map_node *map_walk_next(struct map_walk *walk); /* NULL: the end */

/* Some node, each about as likely as any other; NULL: the map is empty. */
struct map_node *map_random(const struct map *map, struct random_state *random);
