/* Values of many elements: lists, sets, sorted sets, hashes, streams; and large strings in pages.
 *
 * Role: one interface over the two forms that such a value has. A small one is a *pack*: records one after
 * the other, in the entry itself as a rule. A larger one is a *collection*: trees (store/tree.h) in memory
 * of their own. The form is ours alone; the names that OBJECT ENCODING gives follow Redis's thresholds
 * (FORM_LARGE) and say nothing about it.
 *
 * Elements, in either form:
 *   list        the bytes, by position
 *   set         the member; by hash in a tree, as they came in a pack
 *   hash        field and value (store/hash_field.h), likewise; a tree has a second one beside it, of the
 *               deadlines of fields (store/hash_fields.h)
 *   sorted set  key.order the score (tree_score_order), the record the member; by score, then member.
 *               A tree has a second one beside it, by the member's hash, with key.extra the score.
 *   stream      always a collection: entries by id, and Redis's nodes beside them (store/stream.h)
 *   string      a collection only if it is paged (store/paged.h), which has no view and no walk
 *
 * Threads: holder of the shard's baton; the trees of a frozen collection as store/tree.h says.
 * Ownership: a view and a walk borrow from the entry, until it changes.
 * Bounds: a pack is at most PACK_BYTES_MAX.
 */
#pragma once

#include "store/keyspace.h"
#include "store/tree.h"

enum { PACK_BYTES_MAX = 440, PACK_HEADER_BYTES = 2 };

struct collection_more;

struct collection {
    struct garbage garbage; /* once it is let go of */
    struct mem_account *account;
    atomic_u64 *leaving_bytes;    /* the keyspace's, once it is let go of */
    struct collection_more *more; /* of a stream or a paged string: what is no record */
    uint32_t tree_count;
    struct tree trees[];
};

struct collection_more { /* the beginning of it */
    void (*free)(struct collection_more *more, struct mem_account *account);
    struct collection_more *(*copy)(const struct collection_more *more, struct node_heap *heap);
    void (*recharge)(struct collection_more *more, struct mem_account *from,
                     struct mem_account *to);
    uint64_t (*bytes)(const struct collection_more *more);
    struct collection_more *(*freeze)(const struct collection_more *more);
    void (*unfreeze)(struct collection_more *frozen);
    void (*check)(const struct collection *collection);
};

/* ---- Life ------------------------------------------------------------------------------------ */

/* Empty, of a type. NULL: no memory. */
struct collection *collection_new(struct node_heap *heap, enum value_type type);
/* Any thread that has it alone. */
void collection_free(struct collection *collection);
/* It is out of every database: freed now if it is small, else off the shard threads, and not before what is
 * frozen of it is thawed. */
void collection_let_go(struct collection *collection, struct node_heap *heap);
struct collection *collection_copy(const struct collection *collection, struct node_heap *heap);
/* It belongs to another keyspace from now on. */
void collection_recharge(struct collection *collection, struct node_heap *heap);
/* What it occupies, by usable size. */
uint64_t collection_bytes(const struct collection *collection);
void collection_check(const struct collection *collection);
/* It was changed: debug builds check it, a large one now and then, which takes as long as it is. */
void collection_changed(const struct collection *collection);

/* What it is now, for any thread to read while the heap stays frozen (store/node.h): the roots, and of `more` what
 * changes. O(1), but for a stream's groups. NULL: no memory. collection_unfreeze ends it, before the thaw. */
struct collection *collection_freeze(const struct collection *collection);
void collection_unfreeze(struct collection *frozen);

/* Fetches the memory where a search begins. */
void collection_prefetch(const struct collection *collection);
/* That of members or fields; NULL if there is none. */
const struct tree *collection_tree_by_hash(const struct collection *collection);

/* ---- Reading --------------------------------------------------------------------------------- */

struct collection_view {
    const struct tree *trees; /* NULL: packed */
    struct bytes pack;
    uint8_t type; /* and forms, as in the entry */
};

static inline enum value_type view_type(const struct collection_view *view) {
    return (enum value_type)(view->type & FORM_TYPE_MASK);
}

/* NULL gives an empty one. */
struct collection_view view_of(const struct entry *entry);
uint64_t view_count(const struct collection_view *view);

/* A place in a value, and the element there. */
struct walk {
    const struct collection_view *view;
    struct tree_path path;
    uint32_t index, offset, bytes; /* in a pack; bytes of the element with its length */
    struct record_key key; /* of sorted sets: order; in a tree also of sets and hashes: the hash */
    struct bytes record;
};

/* False: there is no such element; the walk is then behind the last one. */
bool walk_seek(struct walk *walk, const struct collection_view *view, uint64_t rank);
bool walk_next(struct walk *walk);
bool walk_prev(struct walk *walk);
uint64_t walk_rank(const struct walk *walk);
/* The element of a set, hash or sorted set with this member or field. In a sorted set key.order is
 * the score then, and the walk has no rank. False: the walk is where an edit can insert it. */
bool walk_find(struct walk *walk, const struct collection_view *view, const struct hash_seed *seed,
               struct bytes member);
/* The first element of a set or hash in a tree with this hash (key.order). */
bool walk_find_hash(struct walk *walk, const struct collection_view *view, uint32_t hash);
/* The first element of a sorted set that is not before the probe (store/tree.h). */
bool walk_find_score(struct walk *walk, const struct collection_view *view,
                     const struct tree_probe *probe);
/* Of a tree by hash, from an element with this hash or above on, whole groups of equal hashes at a time:
 * HSCAN and its kin. A pack is walked in one go from 0. Returns where to go on, or 0. `count` is how many
 * elements to visit at least. */
typedef void walk_visit(void *context, const struct walk *walk);
uint64_t walk_scan(const struct collection_view *view, uint64_t cursor, uint64_t count,
                   walk_visit *visit, void *context);

/* What a set's or hash's element is found by. */
struct bytes element_member(enum value_type type, struct bytes record);
static inline uint32_t element_hash(const struct hash_seed *seed, struct bytes member) {
    return (uint32_t)hash_bytes(seed, member.at, member.len);
}
