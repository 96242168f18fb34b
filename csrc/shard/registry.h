/* The registry: the cards of all clients of a server.
 *
 * Threads: any; one leaf lock, under which nothing else is taken and nothing waits.
 */
#pragma once

#include <pthread.h>

#include "shard/client.h"

struct registry {
    pthread_mutex_t lock;
    struct card *first;
    uint64_t next_id; /* ids rise and are never used again */
    uint32_t count;
};

void registry_init(struct registry *registry);
void registry_deinit(struct registry *registry);
/* Gives the card its id and enters it. */
void registry_add(struct registry *registry, struct card *card);
void registry_remove(struct registry *registry, struct card *card);
