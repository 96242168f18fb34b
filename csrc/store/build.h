/* A value of many elements that is made from nothing, element by element, before any key has it.
 *
 * What goes into a tree by hash is collected and sorted, BUILD_BATCH elements at a time: to append is several times as fast as to
 * look for the place of each.
 * Role: for who reads values from elsewhere. What is made is not seen by anybody, so it needs no baton if the heap is its
 * maker's own: an account may be charged by any thread, and nodes of epoch 1 are as old as any (store/node.h).
 * Threads: one.
 * Ownership: the builder owns what was made until build_end; build_drop gives it up.
 * Errors: BUILD_NO_MEMORY, BUILD_TWICE for a member or field that is there, perhaps found only when others have come; the value
 * is then to be dropped.
 * Bounds: BUILD_BATCH elements, or BUILD_BATCH_BYTES, are there twice.
 */
#pragma once

#include "base/arena.h"
#include "store/edit.h"
#include "store/hash_field.h"

enum { BUILD_FILTERS = 8, BUILD_BATCH = 1 << 18, BUILD_BATCH_BYTES = 16 << 20 };

enum build_result { BUILD_DONE, BUILD_TWICE, BUILD_NO_MEMORY };

struct build_element;

struct build_batch { /* elements that are not in their tree yet */
    struct build_element *at;
    uint64_t *order, *other; /* hash, and which element; room to sort */
    uint32_t count, room;
    size_t bytes;
    struct arena records;
};

struct build {
    struct node_heap *heap;
    const struct hash_seed *seed;
    struct collection *collection; /* NULL: it is a pack so far */
    struct build_batch batch;
    struct tree_path end;           /* of a list in a tree: its last element */
    uint64_t filter[BUILD_FILTERS]; /* of a pack: a bit for each member that is in it */
    uint32_t pack_len, pack_last;   /* where the last element begins */
    uint8_t type;                   /* and forms */
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
/* All of them are where they belong: comes before what follows. */
enum build_result build_settle(struct build *build);
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
