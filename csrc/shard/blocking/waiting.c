#include "shard/blocking/waiting.h"

#include "base/mem.h"
#include "plat/futex.h"
#include "shard/shard.h"

enum { PUT_OFF_AGAIN_NS = 1000000 };

static struct bytes queue_key(const struct wait_queue *queue) {
    return bytes_of(queue->key, queue->key_len);
}

/* ---- Queues ---------------------------------------------------------------------------------------- */

static struct wait_queue *queue_find(const struct waiting *waiting, uint64_t hash, uint32_t db,
                                     struct bytes key) {
    struct map_node *node = map_first(&waiting->queues, hash);
    for (; node; node = map_next(node)) {
        struct wait_queue *queue = (struct wait_queue *)node;
        if (queue->db == db && bytes_equal(queue_key(queue), key)) return queue;
    }
    return NULL;
}

static struct wait_queue *queue_new(struct shard *shard, const struct key_place *place) {
    struct map *map = &shard->data.waiting.queues;
    if (!map_reserve(map)) return NULL;
    struct wait_queue *queue = mem_alloc(NULL, sizeof *queue + place->key.len);
    if (!queue) return NULL;
    *queue = (struct wait_queue){.shard = shard, .db = place->db, .key_len = place->key.len};
    bytes_copy(queue->key, place->key.at, place->key.len);
    map_insert(map, &queue->node, place->hash);
    return queue;
}

/* One that nobody is in, and that is on nobody's list, goes. */
static void queue_release(struct wait_queue *queue) {
    if (queue->count || queue->ready || queue->serving || queue->put_off) return;
    map_remove(&queue->shard->data.waiting.queues, &queue->node);
    mem_free(NULL, queue);
}

void waiting_deinit(struct waiting *waiting) {
    struct map_walk walk;
    map_walk_init(&walk, &waiting->queues);
    for (struct map_node *node; (node = map_walk_next(&walk));) mem_free(NULL, node);
    map_deinit(&waiting->queues);
}

static void queue_count(struct wait_queue *queue, const struct waiter *waiter, uint64_t by) {
    struct waiting *waiting = &queue->shard->data.waiting;
    bool had_groups = queue->groups;
    queue->count += by;
    queue->types[waiter->type] += by;
    if (waiter->moves) queue->movers += by;
    if (waiter->of_group) queue->groups += by;
    if (waiter->reaches) waiting->reaching += by;
    waiting->group_queues += (uint64_t)(queue->groups != 0) - (uint64_t)had_groups;
    outcomes_update_wanted(queue->shard);
}

static void queue_append(struct wait_queue *queue, struct waiter *waiter) {
    struct registration *last = &waiter->registrations[waiter->registered++];
    *last = (struct registration){.previous = queue->last, .queue = queue, .waiter = waiter};
    if (queue->last) queue->last->next = last;
    else queue->first = last;
    queue->last = last;
    queue->reach |= waiter->mask;
    queue_count(queue, waiter, 1);
}

static void queue_remove(struct registration *registration) {
    struct wait_queue *queue = registration->queue;
    if (registration->next) registration->next->previous = registration->previous;
    else queue->last = registration->previous;
    if (registration->previous) registration->previous->next = registration->next;
    else queue->first = registration->next;
    queue->left++;
    queue_count(queue, registration->waiter, (uint64_t)-1);
    queue_release(queue);
}

static void count_reaching(const struct waiter *waiter, uint32_t by) {
    if (waiter->reaches) atomic_add_relaxed(&waiter->fabric->domain.reaching, by);
}

static void leave_queues(struct waiter *waiter) {
    while (waiter->registered) queue_remove(&waiter->registrations[--waiter->registered]);
}

static bool enter_queue(struct call *call, uint32_t index, struct waiter *waiter) {
    struct key_place place = keyspace_for(call, index);
    struct shard *shard = place_shard(call, &place);
    struct wait_queue *queue = queue_find(&shard->data.waiting, place.hash, place.db, place.key);
    if (!queue) queue = queue_new(shard, &place);
    if (!queue) return false;
    /* A key that is named twice: nobody else has come in between. */
    if (!queue->last || queue->last->waiter != waiter) queue_append(queue, waiter);
    return true;
}

bool waiting_enter(struct call *call, const struct call_wait *wait, struct waiter *waiter) {
    for (uint32_t i = 0; i < wait->count; i++) {
        if (enter_queue(call, wait->first + i, waiter)) continue;
        leave_queues(waiter);
        return false;
    }
    count_reaching(waiter, 1);
    return true;
}

void waiting_leave(struct waiter *waiter) {
    leave_queues(waiter);
    count_reaching(waiter, (uint32_t)-1);
}

/* ---- What is ready --------------------------------------------------------------------------------- */

static void make_ready(struct shard *home, struct wait_queue *queue) {
    struct outcomes *outcomes = &home->data.outcomes;
    if (queue->ready) return;
    queue->ready = true;
    queue->next_ready = NULL;
    if (outcomes->last_ready) outcomes->last_ready->next_ready = queue;
    else outcomes->first_ready = queue;
    outcomes->last_ready = queue;
    outcomes->pending = true;
}

static struct wait_queue *take_ready(struct shard *home) {
    struct outcomes *outcomes = &home->data.outcomes;
    struct wait_queue *queue = outcomes->first_ready;
    if (!queue) return NULL;
    outcomes->first_ready = queue->next_ready;
    if (!outcomes->first_ready) outcomes->last_ready = NULL;
    queue->ready = false;
    return queue;
}

static struct wait_queue *queue_at(struct call *call, const struct key_place *place) {
    struct shard *shard = place_shard(call, place);
    return queue_find(&shard->data.waiting, place->hash, place->db, place->key);
}

void waiting_ready(struct call *call, const struct key_place *place) {
    struct wait_queue *queue = queue_at(call, place);
    if (queue) make_ready(call_home(call), queue);
}

static struct entry *entry_of(const struct wait_queue *queue) {
    return keyspace_find(&queue->shard->data.keyspace, queue->db, queue->node.hash,
                         queue_key(queue));
}

static bool lacks_stream(const struct wait_queue *queue) {
    struct entry *entry = entry_of(queue);
    return !entry || entry_type(entry) != VALUE_STREAM;
}

void waiting_touched(struct call *call, const struct key_place *place) {
    if (place_shard(call, place)->data.waiting.group_queues == 0) return;
    struct wait_queue *queue = queue_at(call, place);
    if (queue && queue->groups && lacks_stream(queue)) make_ready(call_home(call), queue);
}

static void shard_ready_all(struct shard *home, struct waiting *waiting, uint32_t db, bool gone) {
    struct map_walk walk;
    map_walk_init(&walk, &waiting->queues);
    for (struct map_node *node; (node = map_walk_next(&walk));) {
        struct wait_queue *queue = (struct wait_queue *)node;
        if (db != UINT32_MAX && queue->db != db) continue;
        if (gone ? queue->groups != 0 : entry_of(queue) != NULL) make_ready(home, queue);
    }
}

void waiting_ready_all(struct call *call, uint32_t db, bool gone) {
    struct fabric *fabric = fabric_of(call);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        shard_ready_all(call_home(call), &fabric->shards[i]->data.waiting, db, gone);
}

/* ---- What is put off ------------------------------------------------------------------------------- */

static void put_off(struct wait_queue *queue) {
    struct waiting *waiting = &queue->shard->data.waiting;
    if (queue->put_off) return;
    queue->put_off = true;
    queue->next_put_off = waiting->put_off;
    waiting->put_off = queue;
    inbox_wake(&queue->shard->inbox);
}

static struct wait_queue *take_put_off(struct waiting *waiting) {
    struct wait_queue *queue = waiting->put_off;
    waiting->put_off = queue->next_put_off;
    queue->put_off = false;
    return queue;
}

/* Takes what the queue needs, which is on the list, and so stays. False: it is not to be had now. */
static bool reach_put_off(struct shard *shard, struct wait_queue *queue) {
    for (int rounds = 1;; rounds++) {
        uint64_t reach = waiting_reach_queue(shard->fabric, shard->held, queue);
        if ((reach & ~shard->held) == 0) return true;
        if (rounds > REACH_ROUNDS) reach = fabric_all(shard->fabric);
        if (!turn_coordinate(shard, reach | shard->own)) return false;
    }
}

bool waiting_tend(struct shard *shard) {
    struct waiting *waiting = &shard->data.waiting;
    if (KRT_LIKELY(!waiting->put_off)) return true;
    shard->io.put_off_ns = FUTEX_NO_DEADLINE;
    while (waiting->put_off) {
        if (!reach_put_off(shard, waiting->put_off)) {
            shard->io.put_off_ns = shard->io.woke_ns + PUT_OFF_AGAIN_NS;
            break;
        }
        make_ready(shard, take_put_off(waiting));
        outcomes_finish(shard);
    }
    return turn_return(shard);
}

/* ---- Serving --------------------------------------------------------------------------------------- */

static bool is_stopped(const struct shard *home, const struct waiter *waiter) {
    const struct domain *domain = &home->fabric->domain;
    bool stopped = KRT_UNLIKELY(domain->gates & GATE_PAUSE) && pause_is_in_force(domain) &&
                   pause_stops(domain, waiter->command->flags);
    if (stopped) atomic_store_relaxed(&home->fabric->passed_over, 1);
    return stopped;
}

/* Nobody is behind it any more, or it must wait whatever is there. */
static bool is_passed_over(const struct shard *home, const struct waiter *waiter) {
    if (waiter->card && atomic_load_relaxed(&waiter->card->doomed)) return true;
    if (waiter_is_overdue(waiter)) return true;
    return is_stopped(home, waiter);
}

/* The word behind GROUP. Its command has been read before: it is there. */
static struct bytes group_of(const struct waiter *waiter) {
    uint32_t i = 1;
    while (i + 2 < waiter->argc && !bytes_is(waiter->argv[i], "group")) i++;
    return waiter->argv[i + 1];
}

static void reply_gone(struct waiter *waiter, const struct wait_queue *queue) {
    struct bytes key = queue_key(queue), group = group_of(waiter);
    if (entry_of(queue))
        reply_error(&waiter->reply,
                    "WRONGTYPE Operation against a key holding the wrong kind of value");
    else
        reply_error_format(&waiter->reply,
                           "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP "
                           "with GROUP option",
                           (int)key.len, key.at, (int)group.len, group.at);
}

/* It cannot be served any more whatever is at its other keys. */
static void tell_gone(struct shard *home, struct wait_queue *queue, struct waiter *waiter) {
    if (!waiter_leave(waiter, WAITER_CLAIMED)) return;
    reply_gone(waiter, queue);
    execute_count_done(home, waiter, &waiter->reply);
    waiter->linked = true;
    waiter_send(home, waiter);
}

static void serve_waiter(struct shard *home, struct wait_queue *queue, struct waiter *waiter) {
    if (is_passed_over(home, waiter)) return;
    if (KRT_UNLIKELY(!outcomes_reach(home, waiter->mask))) {
        if (waiter->of_group && lacks_stream(queue)) tell_gone(home, queue, waiter);
        else put_off(queue);
        return;
    }
    if (!waiter_leave(waiter, WAITER_TRYING)) return;
    if (execute_again(home, waiter) == EXECUTE_WAITING) {
        (void)waiter_go_on(waiter);
        return;
    }
    if (!waiter_claim(waiter)) return;
    waiting_leave(waiter);
    waiter_send(home, waiter);
}

/* Can somebody of the queue make something of what is there now? */
static bool may_serve(const struct wait_queue *queue, const struct entry *entry) {
    return queue->groups || (entry && queue->types[entry_type(entry)]);
}

/* Once through those who are in it now: who waits on is not asked again. */
static void serve_queue(struct shard *home, struct wait_queue *queue) {
    struct registration *at = queue->first, *next;
    for (uint64_t left = queue->count; at && left; left--, at = next) {
        const struct entry *entry = entry_of(queue);
        next = at->next;
        if (!may_serve(queue, entry)) return;
        if (at->waiter->of_group || (entry && entry_type(entry) == at->waiter->type))
            serve_waiter(home, queue, at->waiter);
    }
}

void waiting_resume(struct shard *home) {
    struct fabric *fabric = home->fabric;
    if (KRT_LIKELY(!atomic_load_relaxed(&fabric->passed_over))) return;
    atomic_store_relaxed(&fabric->passed_over, 0);
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++) {
        shard_ready_all(home, &fabric->shards[i]->data.waiting, UINT32_MAX, true);
        shard_ready_all(home, &fabric->shards[i]->data.waiting, UINT32_MAX, false);
    }
}

void waiting_serve(struct shard *home) {
    for (struct wait_queue *queue; (queue = take_ready(home));) {
        queue->serving = true;
        serve_queue(home, queue);
        queue->serving = false;
        queue_release(queue);
    }
}
