#include "shard/registry.h"

void registry_init(struct registry *registry) {
    pthread_mutex_init(&registry->lock, NULL);
    registry->first = NULL;
    registry->next_id = 1;
    registry->count = 0;
}

void registry_deinit(struct registry *registry) {
    pthread_mutex_destroy(&registry->lock);
}

void registry_add(struct registry *registry, struct card *card) {
    pthread_mutex_lock(&registry->lock);
    card->id = registry->next_id++;
    card->previous = NULL;
    card->next = registry->first;
    if (card->next) card->next->previous = card;
    registry->first = card;
    registry->count++;
    pthread_mutex_unlock(&registry->lock);
}

void registry_remove(struct registry *registry, struct card *card) {
    pthread_mutex_lock(&registry->lock);
    if (card->next) card->next->previous = card->previous;
    if (card->previous) card->previous->next = card->next;
    else registry->first = card->next;
    registry->count--;
    pthread_mutex_unlock(&registry->lock);
}
