/* Reach: what a command must hold besides its own keys, because of those who wait for them.
 *
 * Whom a push serves runs its command at once, and that has keys of its own: BLPOP of several keys looks at the first of
 * them that has something, and BLMOVE pushes somewhere else, where others may wait in turn. All of it is part of the push: nobody
 * may see the element between the two lists. So the push holds the shards of all of them before it changes anything:
 *
 *   its keys ──▶ the waiters in their queues ──▶ all keys of those ──▶ (where a waiter's command pushes) the waiters there ──▶ ...
 *
 * Who waits changes while nothing is held, and only the tables of what is held can be looked at. So what is found to be needed
 * is taken, and then all is looked at again, until nothing is missing; after REACH_ROUNDS rounds every shard is taken, and nothing can
 * be. Waiters whose keys are all on the shard of the pushed key add nothing, and while there are only those nobody
 * looks (`domain.reaching`).
 *
 * The masks of a queue are kept summed. What who has left needed stays in the sum until as many have left as are there; then it
 * is summed anew. Too much is never wrong.
 */
#include "base/mem.h"
#include "shard/shard.h"

enum { REACH_KEYS = 64, REACH_SEEN = 16 };

struct reach {
    struct fabric *fabric;
    uint64_t held, needed;
    struct wait_queue *seen[REACH_SEEN]; /* whose movers are followed; more than that: all shards */
    uint32_t seen_count;
};

static uint64_t queue_reach(struct wait_queue *queue) {
    if (queue->left < queue->count) return queue->reach;
    queue->reach = queue->left = 0;
    for (struct registration *at = queue->first; at; at = at->next)
        queue->reach |= at->waiter->mask;
    return queue->reach;
}

static void reach_key(struct reach *reach, struct bytes key);

static void reach_target(struct reach *reach, const struct waiter *waiter) {
    struct key_ref keys[REACH_KEYS];
    int count = command_keys(waiter->command, waiter->argv, waiter->argc, keys, REACH_KEYS);
    for (int i = 0; i < count && i < REACH_KEYS; i++)
        if (keys[i].flags & KEY_INSERT) reach_key(reach, waiter->argv[keys[i].index]);
}

/* Lists may be moved round in circles. True: it has been before, or there are too many. */
static bool is_seen(struct reach *reach, struct wait_queue *queue) {
    for (uint32_t i = 0; i < reach->seen_count; i++)
        if (reach->seen[i] == queue) return true;
    if (reach->seen_count == REACH_SEEN) {
        reach->needed = fabric_all(reach->fabric);
        return true;
    }
    reach->seen[reach->seen_count++] = queue;
    return false;
}

static void reach_queue(struct reach *reach, struct wait_queue *queue) {
    reach->needed |= queue_reach(queue);
    if (queue->movers == 0 || is_seen(reach, queue)) return;
    for (struct registration *at = queue->first; at; at = at->next) {
        if (reach->needed == fabric_all(reach->fabric)) return;
        if (at->waiter->moves) reach_target(reach, at->waiter);
    }
}

/* In any database: what is moved between them is few. */
static void reach_key(struct reach *reach, struct bytes key) {
    uint64_t hash = hash_bytes(&reach->fabric->domain.hash_seed, key.at, key.len);
    struct shard *shard =
        reach->fabric->shards[hash_shard(hash, reach->fabric->settings.shard_count)];
    if (!(reach->held & shard->own)) return;
    struct map_node *node = map_first(&shard->data.waiting.queues, hash);
    for (; node; node = map_next(node)) {
        struct wait_queue *queue = (struct wait_queue *)node;
        if (bytes_equal(bytes_of(queue->key, queue->key_len), key)) reach_queue(reach, queue);
    }
}

static bool is_reaching(const struct fabric *fabric, uint64_t held) {
    for (; held; held &= held - 1)
        if (fabric->shards[__builtin_ctzll(held)]->data.waiting.reaching) return true;
    return false;
}

uint64_t waiting_reach_queue(struct fabric *fabric, uint64_t held, struct wait_queue *queue) {
    struct reach reach = {.fabric = fabric, .held = held, .needed = held};
    reach_queue(&reach, queue);
    return reach.needed;
}

uint64_t waiting_reach(struct fabric *fabric, uint64_t held, const struct command *command,
                       const struct bytes *argv, uint32_t argc) {
    struct reach reach = {.fabric = fabric, .held = held, .needed = held};
    struct key_ref keys[REACH_KEYS];
    if (held == fabric_all(fabric) || !is_reaching(fabric, held)) return held;
    int count = command_keys(command, argv, argc, keys, REACH_KEYS);
    if (count > REACH_KEYS) return fabric_all(fabric);
    for (int i = 0; i < count; i++) reach_key(&reach, argv[keys[i].index]);
    return reach.needed;
}
