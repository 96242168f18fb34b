#include "base/map.h"

#include "base/assert.h"
#include "base/mem.h"

enum { SEGMENTS_FIRST = 4, RANDOM_TRIES = 64 };

static struct map_node **bucket_at(const struct map *map, uint32_t bucket) {
    return &map->segments[bucket >> MAP_SEGMENT_SHIFT][bucket & (MAP_SEGMENT - 1)];
}

/* Buckets below the one that is split next have a twin one doubling higher. */
static uint32_t bucket_of(const struct map *map, uint64_t hash) {
    uint32_t wide = (uint32_t)hash & (2 * map->mask + 1);
    return wide < map->buckets ? wide : (uint32_t)hash & map->mask;
}

/* ---- Segments ------------------------------------------------------------------------------------ */

static bool segments_grow(struct map *map) {
    uint32_t capacity = map->segment_capacity ? map->segment_capacity * 2 : SEGMENTS_FIRST;
    void *grown = mem_realloc(NULL, map->segments, capacity * sizeof *map->segments);
    if (!grown) return false;
    map->segments = grown;
    map->segment_capacity = capacity;
    return true;
}

/* Is there memory for one bucket more? */
static bool has_room(struct map *map) {
    if (map->buckets < map->segment_count * MAP_SEGMENT) return true;
    if (map->segment_count == map->segment_capacity && !segments_grow(map)) return false;
    struct map_node **segment = mem_calloc(NULL, MAP_SEGMENT * sizeof *segment);
    if (!segment) return false;
    map->segments[map->segment_count++] = segment;
    return true;
}

void map_deinit(struct map *map) {
    for (uint32_t i = 0; i < map->segment_count; i++) mem_free(NULL, map->segments[i]);
    mem_free(NULL, map->segments);
    *map = (struct map){0};
}

bool map_reserve(struct map *map) {
    if (map->buckets) return true;
    if (!has_room(map)) return false;
    map->buckets = 1;
    map->mask = 0;
    return true;
}

/* ---- One bucket more, one less ------------------------------------------------------------------- */

/* Of the bucket that the last one is split from, nodes whose hash has the next bit move to it. */
static void split(struct map *map) {
    uint32_t to = map->buckets;
    if (to == MAP_BUCKETS_MAX || !has_room(map)) return;
    if (to == 2 * (map->mask + 1)) map->mask = 2 * map->mask + 1;
    uint32_t from = to - (map->mask + 1);
    map->buckets++;
    struct map_node **link = bucket_at(map, from), **moved = bucket_at(map, to);
    while (*link) {
        struct map_node *node = *link;
        if (bucket_of(map, node->hash) == from) {
            link = &node->next;
            continue;
        }
        *link = node->next;
        *moved = node;
        moved = &node->next;
    }
    *moved = NULL;
}

/* The last bucket goes back into the one that it was split from. */
static void merge(struct map *map) {
    uint32_t last = map->buckets - 1, into = last - (map->mask + 1);
    struct map_node **link = bucket_at(map, into), **gone = bucket_at(map, last);
    while (*link) link = &(*link)->next;
    *link = *gone;
    *gone = NULL;
    map->buckets--;
    if (map->buckets == map->mask + 1 && map->mask) map->mask /= 2;
    uint32_t needed = (map->buckets + MAP_SEGMENT - 1) / MAP_SEGMENT;
    if (map->segment_count > needed + 1) mem_free(NULL, map->segments[--map->segment_count]);
}

/* ---- Nodes --------------------------------------------------------------------------------------- */

void map_insert(struct map *map, struct map_node *node, uint64_t hash) {
    KRT_ASSERT(map->buckets);
    struct map_node **bucket = bucket_at(map, bucket_of(map, hash));
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    if (++map->count > map->buckets) split(map);
}

void map_remove(struct map *map, struct map_node *node) {
    struct map_node **link = bucket_at(map, bucket_of(map, node->hash));
    while (*link != node) {
        KRT_ASSERT(*link);
        link = &(*link)->next;
    }
    *link = node->next;
    if (--map->count == 0) map_deinit(map);
    else if (map->count < map->buckets / 4) merge(map);
}

static struct map_node *of_hash(struct map_node *node, uint64_t hash) {
    while (node && node->hash != hash) node = node->next;
    return node;
}

struct map_node *map_first(const struct map *map, uint64_t hash) {
    return map->buckets ? of_hash(*bucket_at(map, bucket_of(map, hash)), hash) : NULL;
}

struct map_node *map_next(const struct map_node *node) {
    return of_hash(node->next, node->hash);
}

struct map_node *const *map_bucket(const struct map *map, uint64_t hash) {
    return bucket_at(map, bucket_of(map, hash));
}

/* ---- All of them --------------------------------------------------------------------------------- */

void map_walk_init(struct map_walk *walk, const struct map *map) {
    *walk = (struct map_walk){.map = map, .bucket = map->buckets};
}

/* From the last bucket down, since removals take away the last ones. */
struct map_node *map_walk_next(struct map_walk *walk) {
    while (!walk->next && walk->bucket > 0) {
        if (walk->bucket > walk->map->buckets) walk->bucket = walk->map->buckets;
        if (walk->bucket > 0) walk->next = *bucket_at(walk->map, --walk->bucket);
    }
    struct map_node *node = walk->next;
    if (node) walk->next = node->next;
    return node;
}

/* A bucket that has nodes is drawn, and one of them by its place in the chain. */
struct map_node *map_random(const struct map *map, struct random_state *random) {
    struct map_node *node = NULL;
    for (int tries = 0; map->count && !node; tries++) {
        uint32_t bucket = (uint32_t)random_below(random, map->buckets);
        for (; tries >= RANDOM_TRIES && !*bucket_at(map, bucket);
             bucket = (bucket + 1) % map->buckets)
            continue;
        uint64_t seen = 0;
        for (struct map_node *at = *bucket_at(map, bucket); at; at = at->next)
            if (random_below(random, ++seen) == 0) node = at;
    }
    return node;
}
