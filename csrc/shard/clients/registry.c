#include "shard/clients/registry.h"

void registry_init(struct registry *registry) {
    pthread_mutex_init(&registry->lock, NULL);
    registry->first = registry->last = NULL;
    registry->cursors = NULL;
    registry->next_id = 1;
    registry->count = 0;
}

void registry_deinit(struct registry *registry) {
    pthread_mutex_destroy(&registry->lock);
}

void registry_add(struct registry *registry, struct card *card) {
    pthread_mutex_lock(&registry->lock);
    card->id = registry->next_id++;
    card->next = NULL;
    card->previous = registry->last;
    if (card->previous) card->previous->next = card;
    else registry->first = card;
    registry->last = card;
    registry->count++;
    pthread_mutex_unlock(&registry->lock);
}

static void move_cursors(struct registry *registry, const struct card *card) {
    for (struct registry_cursor *cursor = registry->cursors; cursor; cursor = cursor->next)
        if (cursor->at == card) cursor->at = card->next;
}

void registry_remove(struct registry *registry, struct card *card) {
    pthread_mutex_lock(&registry->lock);
    move_cursors(registry, card);
    if (card->next) card->next->previous = card->previous;
    else registry->last = card->previous;
    if (card->previous) card->previous->next = card->next;
    else registry->first = card->next;
    registry->count--;
    pthread_mutex_unlock(&registry->lock);
}

void registry_cursor_open(struct registry *registry, struct registry_cursor *cursor) {
    pthread_mutex_lock(&registry->lock);
    *cursor = (struct registry_cursor){.at = registry->first, .next = registry->cursors};
    registry->cursors = cursor;
    pthread_mutex_unlock(&registry->lock);
}

void registry_cursor_close(struct registry *registry, struct registry_cursor *cursor) {
    pthread_mutex_lock(&registry->lock);
    struct registry_cursor **link = &registry->cursors;
    while (*link != cursor) link = &(*link)->next;
    *link = cursor->next;
    pthread_mutex_unlock(&registry->lock);
}

struct card *registry_find(const struct registry *registry, uint64_t id) {
    for (struct card *card = registry->last; card && card->id >= id; card = card->previous)
        if (card->id == id) return card;
    return NULL;
}
