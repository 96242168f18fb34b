/* Hot keys: which keys the calls of a place name most, while somebody looks.
 *
 * Role: a bounded table of names and how often they were met, by the space-saving algorithm: a name that is not in a full
 * table takes the place of the rarest one, and its count with it, of which `doubt` says how much is not its own. So whoever is
 * named by more than a HOT_KEYS-th of all is in the table, and count - doubt to count holds how often. Only calls that statistics
 * measure are met (statistics.h); each stands for those before it that were not, and while somebody looks their
 * distances vary, so that no rhythm of the calls hides a key. What is old fades: all counts are halved every HOT_HALF_LIFE_NS.
 * Threads: holder of the place's baton.
 * Ownership: `struct statistics`. There is a table from the first look on; a call that is measured HOT_LEASE_NS after the last
 * look frees it.
 * Errors: without memory for the table nothing is noted.
 * Bounds: HOT_KEYS names, of which HOT_KEY_BYTES are kept; of a call with many keys HOT_KEYS_PER_CALL are noted, and stand
 * for the others.
 */
#pragma once

#include "cmd/call.h"

enum { HOT_KEYS = 64, HOT_KEY_BYTES = 96, HOT_KEYS_PER_CALL = 8 };

#define HOT_HALF_LIFE_NS UINT64_C(10000000000)
#define HOT_LEASE_NS UINT64_C(60000000000)

struct hot_key {
    double count, doubt;
    uint32_t db, len; /* of the whole name */
    char name[HOT_KEY_BYTES];
};

struct hot_keys {
    uint64_t end_ns, halved_ns; /* of clock_ticks, as all times here */
    double total;               /* of all that was noted */
    uint32_t count, draw;
    uint64_t marks[HOT_KEYS]; /* what a name is known by: its hash and database */
    struct hot_key at[HOT_KEYS];
};

/* Somebody looks now: notes from here on. Returns the table as of now, or NULL: no memory. */
struct hot_keys *hot_keys_look(struct hot_keys **slot, uint64_t now_ns);
/* The keys of a call that stands for `weight` of them. Frees the table if nobody has looked for long. */
void hot_keys_note_call(struct hot_keys **slot, const struct call *call, uint32_t weight,
                        uint64_t now_ns);
void hot_keys_note(struct hot_keys *keys, uint64_t hash, uint32_t db, struct bytes name,
                   double weight);
/* How many calls are to pass before the next one is measured: 0 to `most`, all equally likely. */
uint32_t hot_keys_draw(struct hot_keys *keys, uint32_t most);
/* Another place's, so that a name that is in both is there once. What is rarest falls out. */
void hot_keys_add(struct hot_keys *sum, const struct hot_keys *more);
/* The most frequent first. Nothing can be noted or added afterwards. */
void hot_keys_sort(struct hot_keys *keys);
