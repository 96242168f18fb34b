/* A value of many elements that is made from nothing, element by element, before any key has it.
 *
 * Role: for who reads values from elsewhere. What is made is not seen by anybody, so it needs no baton if the heap is its
 * maker's own: an account may be charged by any thread, and nodes of epoch 1 are as old as any (store/node.h).
 * Threads: one.
 * Ownership: the builder owns what was made until build_end; build_drop gives it up.
 * Errors: BUILD_NO_MEMORY, BUILD_TWICE for a member or field that is there; the value is then to be dropped.
 */
#pragma once

#include "store/edit.h"
#include "store/hash_field.h"

enum build_result { BUILD_DONE, BUILD_TWICE, BUILD_NO_MEMORY };

struct build {
    struct node_heap *heap;
    const struct hash_seed *seed;
    struct collection *collection; /* NULL: it is a pack so far */
    struct tree_path end;          /* of a list in a tree: its last element */
    uint64_t filter;               /* of a pack: a bit for each member that is in it */
    uint32_t pack_len;
    uint8_t type; /* and forms */
    char pack[PACK_BYTES_MAX];
};

void build_begin(struct build *build, struct node_heap *heap, const struct hash_seed *seed,
                 enum value_type type);
void build_drop(struct build *build);

uint64_t build_count(const struct build *build);
/* Of a list; of a set; of a sorted set, wherever it belongs (tree_score_order); of a hash. */
enum build_result build_element(struct build *build, struct bytes element);
enum build_result build_member(struct build *build, struct bytes member);
enum build_result build_scored(struct build *build, uint64_t order, struct bytes member);
enum build_result build_field(struct build *build, const struct hash_field *field);
/* A sorted set has one zero only, as small ones have: of each that has a sign, it goes. False: no memory. */
bool build_unsign_zeros(struct build *build);

/* A value without a key: a string, a pack, or a collection. */
struct built {
    uint8_t type;       /* and forms */
    struct bytes bytes; /* BYTES_BLOB: with a count of its own */
    struct collection *collection;
};

/* A pack lies in the builder; the collection is the caller's. */
struct built build_end(struct build *build);
/* Puts it in the place of `found` (keyspace_set_pack), with the baton; a collection is the key's then. NULL: no memory. */
struct entry *built_store(struct built *built, const struct edit_place *place, int64_t deadline_ms,
                          struct entry *found);
/* What no key has. */
void built_drop(struct built *built);
