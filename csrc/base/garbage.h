/* Garbage: what is out of everybody's reach and takes long to free.
 *
 * Role: the link by which it goes to a thread that has the time (server/keeper.h). It lies in the memory
 * that is to be freed, so that handing it over cannot fail.
 * Threads: `take` from any thread, without blocking; `free` on the taker's, or at once without one.
 * Ownership: passes to the taker.
 */
#pragma once

#include <stddef.h>

struct garbage {
    struct garbage *next; /* the taker's */
    void (*free)(struct garbage *garbage);
};

struct garbage_taker {
    void (*take)(struct garbage_taker *taker, struct garbage *garbage);
};

/* Neither needs to be there. */
static inline void garbage_give(struct garbage_taker *taker, struct garbage *garbage) {
    if (garbage != NULL) {
        if (taker != NULL) {
            taker->take(taker, garbage);
        } else {
            garbage->free(garbage);
        }
    }
}
