/* The registry: the cards of all clients of a server.
 *
 * Threads: any; one leaf lock, under which nothing else is taken and nothing waits.
 */
#pragma once

#include <pthread.h>

#include "shard/clients/client.h"

/* A place in the list that stays good while cards come and go. */
struct registry_cursor {
    struct card *at; /* the next one to look at; NULL: the end */
    struct registry_cursor *next;
};

struct registry {
    pthread_mutex_t lock;
    struct card *first, *last;       /* by age: ids rise */
    struct registry_cursor *cursors; /* those in use */
    uint64_t next_id;                /* ids rise and are never used again */
    uint32_t count;
};

void registry_init(struct registry *registry);
void registry_deinit(struct registry *registry);
/* Gives the card its id and enters it. */
void registry_add(struct registry *registry, struct card *card);
void registry_remove(struct registry *registry, struct card *card);

/* At the oldest card. */
void registry_cursor_open(struct registry *registry, struct registry_cursor *cursor);
void registry_cursor_close(struct registry *registry, struct registry_cursor *cursor);
/* With the lock held: the card with this id, or NULL. */
struct card *registry_find(const struct registry *registry, uint64_t id);
