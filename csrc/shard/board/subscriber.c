#include "shard/board/subscriber.h"

#include <stdio.h>

#include "base/mem.h"
#include "plat/clock.h"
#include "plat/futex.h"
#include "shard/shard.h"

/* ---- The queue ------------------------------------------------------------------------------------ */

static size_t item_bytes(const struct subscriber_item *item) {
    return sizeof *item + item->len;
}

static struct subscriber_item *item_new(size_t len) {
    struct subscriber_item *item = mem_alloc(NULL, sizeof *item + len);
    if (item) *item = (struct subscriber_item){.len = len};
    return item;
}

static void rouse(struct subscriber *subscriber) {
    atomic_add_seq_cst(&subscriber->bell, 1);
    futex_wake(&subscriber->bell, INT32_MAX);
    if (atomic_swap_seq_cst(&subscriber->armed, 0)) subscriber->wake(subscriber->context);
}

/* With the board. */
static void push(struct subscriber *subscriber, struct subscriber_item *item) {
    void *head = atomic_load_relaxed(&subscriber->items);
    atomic_add_relaxed(&subscriber->bytes, item_bytes(item));
    do {
        item->next = head;
    } while (!atomic_cas_seq_cst(&subscriber->items, &head, item));
    rouse(subscriber);
}

static void end(struct subscriber *subscriber, enum subscriber_state how) {
    uint32_t live = SUBSCRIBER_LIVE;
    if (atomic_cas_seq_cst(&subscriber->state, &live, how)) rouse(subscriber);
}

struct subscriber_item *subscriber_peek(struct subscriber *subscriber) {
    if (subscriber->oldest) return subscriber->oldest;
    struct subscriber_item *item = atomic_swap_seq_cst(&subscriber->items, NULL);
    for (struct subscriber_item *next; item; item = next) {
        next = item->next;
        item->next = subscriber->oldest;
        subscriber->oldest = item;
    }
    return subscriber->oldest;
}

void subscriber_pop(struct subscriber *subscriber) {
    struct subscriber_item *item = subscriber->oldest;
    subscriber->oldest = item->next;
    atomic_sub_relaxed(&subscriber->bytes, item_bytes(item));
}

static bool has_news(struct subscriber *subscriber) {
    return subscriber->oldest || atomic_load_seq_cst(&subscriber->items) ||
           atomic_load_seq_cst(&subscriber->state) != SUBSCRIBER_LIVE;
}

bool subscriber_wait(struct subscriber *subscriber, uint64_t deadline_ns) {
    uint32_t bell = atomic_load_seq_cst(&subscriber->bell);
    return has_news(subscriber) || futex_wait(&subscriber->bell, bell, deadline_ns);
}

void subscriber_arm(struct subscriber *subscriber) {
    atomic_store_seq_cst(&subscriber->armed, 1);
    if (has_news(subscriber) && atomic_swap_seq_cst(&subscriber->armed, 0))
        subscriber->wake(subscriber->context);
}

/* Whoever has swapped it calls with the board held, or as the stop with the lock. */
void subscriber_disarm(struct subscriber *subscriber, bool running) {
    struct board *board = subscriber->fabric->board;
    if (atomic_swap_seq_cst(&subscriber->armed, 0)) return;
    if (running && board_enter(board)) board_exit(board);
    pthread_mutex_lock(&board->subscribers.lock);
    pthread_mutex_unlock(&board->subscribers.lock);
}

/* ---- What it is told ------------------------------------------------------------------------------ */

static bool is_too_much(struct subscriber *subscriber, uint64_t more) {
    const struct output_limit *limit = &subscriber->fabric->settings.limits.output[LIMIT_PUBSUB];
    uint64_t bytes = atomic_load_relaxed(&subscriber->bytes) + more;
    if (limit->hard_bytes && bytes >= limit->hard_bytes) return true;
    if (!limit->soft_bytes || bytes < limit->soft_bytes) {
        subscriber->soft_since_ns = 0;
        return false;
    }
    uint64_t now_ns = clock_monotonic_ns();
    if (!subscriber->soft_since_ns) subscriber->soft_since_ns = now_ns;
    return now_ns - subscriber->soft_since_ns > limit->soft_ns;
}

static void tell(struct subscriber *subscriber, uint64_t ticket, struct bytes head,
                 struct bytes body, bool has_body) {
    size_t len = (size_t)head.len + (has_body ? (size_t)body.len + 2 : 0);
    if (atomic_load_relaxed(&subscriber->state) != SUBSCRIBER_LIVE) return;
    struct subscriber_item *item =
        is_too_much(subscriber, sizeof *item + len) ? NULL : item_new(len);
    if (!item) {
        end(subscriber, SUBSCRIBER_DROWNED);
        return;
    }
    item->ticket = ticket;
    bytes_copy(item->text, head.at, head.len);
    if (has_body) {
        bytes_copy(item->text + head.len, body.at, body.len);
        memcpy(item->text + head.len + body.len, "\r\n", 2);
    }
    push(subscriber, item);
}

void subscribers_tell(struct fabric *fabric, const struct channel *channel, uint64_t ticket,
                      struct bytes head, struct bytes body, bool has_body) {
    (void)fabric;
    for (struct hearing *at = channel->hearings; at; at = at->next)
        tell(at->subscriber, ticket, head, body, has_body);
}

/* ---- Subscribing ---------------------------------------------------------------------------------- */

static const char *const joined_names[CHANNEL_KINDS] = {"subscribe", "psubscribe", "ssubscribe"};
static const char *const left_names[CHANNEL_KINDS] = {"unsubscribe", "punsubscribe",
                                                      "sunsubscribe"};

enum { CONFIRMATION_MAX = 96 };

static uint64_t own_count(const struct subscriber *subscriber, enum channel_kind kind) {
    if (kind == CHANNEL_SHARD) return subscriber->counts[CHANNEL_SHARD];
    return subscriber->counts[CHANNEL_PLAIN] + subscriber->counts[CHANNEL_PATTERN];
}

/* Room for a confirmation; `name` NULL: of nothing. */
static struct subscriber_item *confirmation_new(const struct bytes *name) {
    return item_new(CONFIRMATION_MAX + (name ? (size_t)name->len : 0));
}

/* `count`: how many it is subscribed to then. */
static void confirm(struct subscriber *subscriber, struct subscriber_item *item, const char *what,
                    const struct bytes *name, uint64_t count) {
    size_t len =
        (size_t)snprintf(item->text, CONFIRMATION_MAX, ">3\r\n$%zu\r\n%s\r\n", strlen(what), what);
    if (name) {
        len += (size_t)snprintf(item->text + len, CONFIRMATION_MAX / 2, "$%u\r\n", name->len);
        bytes_copy(item->text + len, name->at, name->len);
        len += name->len;
        memcpy(item->text + len, "\r\n", 2);
        len += 2;
    } else {
        memcpy(item->text + len, "_\r\n", 3);
        len += 3;
    }
    len +=
        (size_t)snprintf(item->text + len, item->len - len, ":%llu\r\n", (unsigned long long)count);
    item->len = len;
    push(subscriber, item);
}

static void free_items(struct subscriber_item *item) {
    for (struct subscriber_item *next; item; item = next) {
        next = item->next;
        mem_free(NULL, item);
    }
}

/* One for each name, in their order. NULL with false: no memory. */
static bool confirmations_new(const struct bytes *names, uint32_t count,
                              struct subscriber_item **first) {
    *first = NULL;
    for (uint32_t i = count; i-- > 0;) {
        struct subscriber_item *item = confirmation_new(&names[i]);
        if (!item) {
            free_items(*first);
            return false;
        }
        item->next = *first;
        *first = item;
    }
    return true;
}

/* All or nothing. Notes in the items which of the names are new. */
static bool join_all(struct subscriber *subscriber, enum channel_kind kind,
                     const struct bytes *names, uint32_t count, struct subscriber_item *items) {
    uint32_t joined = 0;
    for (uint32_t i = 0; i < count; i++, items = items->next) {
        struct hearing *before = subscriber->own[kind];
        if (!channels_hear(subscriber, kind, names[i])) {
            while (joined--) channels_unhear(subscriber, kind, subscriber->own[kind]);
            return false;
        }
        items->ticket = subscriber->own[kind] != before;
        joined += (uint32_t)items->ticket;
    }
    return true;
}

bool subscriber_join(struct subscriber *subscriber, enum channel_kind kind,
                     const struct bytes *names, uint32_t count) {
    struct subscriber_item *items;
    if (!confirmations_new(names, count, &items)) return false;
    uint64_t total = own_count(subscriber, kind);
    if (!join_all(subscriber, kind, names, count, items)) {
        free_items(items);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct subscriber_item *item = items;
        items = items->next;
        total += item->ticket;
        item->ticket = 0;
        confirm(subscriber, item, joined_names[kind], &names[i], total);
    }
    return true;
}

static bool leave_everything(struct subscriber *subscriber, enum channel_kind kind) {
    struct hearing *own;
    bool had = subscriber->own[kind] != NULL;
    struct subscriber_item *item = had ? NULL : confirmation_new(NULL);
    if (item) confirm(subscriber, item, left_names[kind], NULL, own_count(subscriber, kind));
    while ((own = subscriber->own[kind])) {
        struct bytes name = channel_name(own->channel);
        item = confirmation_new(&name);
        if (!item) return false;
        confirm(subscriber, item, left_names[kind], &name, own_count(subscriber, kind) - 1);
        channels_unhear(subscriber, kind, own);
    }
    return had || item;
}

bool subscriber_leave(struct subscriber *subscriber, enum channel_kind kind,
                      const struct bytes *names, uint32_t count) {
    struct subscriber_item *items;
    if (count == 0) return leave_everything(subscriber, kind);
    if (!confirmations_new(names, count, &items)) return false;
    for (uint32_t i = 0; i < count; i++) {
        struct subscriber_item *next = items->next;
        struct hearing *own = channels_hearing(subscriber, kind, names[i]);
        if (own) channels_unhear(subscriber, kind, own);
        confirm(subscriber, items, left_names[kind], &names[i], own_count(subscriber, kind));
        items = next;
    }
    return true;
}

/* ---- Life ----------------------------------------------------------------------------------------- */

static void link_subscriber(struct subscriber *subscriber) {
    struct subscribers *all = &subscriber->fabric->board->subscribers;
    pthread_mutex_lock(&all->lock);
    subscriber->next = all->first;
    if (all->first) all->first->previous = subscriber;
    all->first = subscriber;
    pthread_mutex_unlock(&all->lock);
}

static void unlink_subscriber(struct subscriber *subscriber) {
    struct subscribers *all = &subscriber->fabric->board->subscribers;
    pthread_mutex_lock(&all->lock);
    if (subscriber->next) subscriber->next->previous = subscriber->previous;
    if (subscriber->previous) subscriber->previous->next = subscriber->next;
    else all->first = subscriber->next;
    pthread_mutex_unlock(&all->lock);
}

struct subscriber *subscriber_new(struct fabric *fabric, void (*wake)(void *context),
                                  void *context) {
    struct subscriber *subscriber = mem_calloc(NULL, sizeof *subscriber);
    if (!subscriber) return NULL;
    subscriber->fabric = fabric;
    subscriber->wake = wake;
    subscriber->context = context;
    link_subscriber(subscriber);
    return subscriber;
}

static void leave_board(struct subscriber *subscriber) {
    for (enum channel_kind kind = 0; kind < CHANNEL_KINDS; kind++)
        while (subscriber->own[kind]) channels_unhear(subscriber, kind, subscriber->own[kind]);
}

/* Where the board is closed nobody looks at the channels any more but who frees them. */
static void forget_board(struct subscriber *subscriber) {
    for (enum channel_kind kind = 0; kind < CHANNEL_KINDS; kind++) {
        struct hearing *own = subscriber->own[kind];
        subscriber->own[kind] = NULL;
        for (struct hearing *next; own; own = next) {
            next = own->next_own;
            mem_free(NULL, own);
        }
    }
}

void subscriber_free(struct subscriber *subscriber, bool running) {
    struct board *board = subscriber->fabric->board;
    bool entered = running && board_enter(board);
    if (entered) {
        leave_board(subscriber);
        board_exit(board);
    }
    unlink_subscriber(subscriber);
    forget_board(subscriber);
    (void)subscriber_peek(subscriber);
    free_items(subscriber->oldest);
    free_items(atomic_swap_seq_cst(&subscriber->items, NULL));
    mem_free(NULL, subscriber);
}

void subscribers_stop(struct fabric *fabric) {
    struct subscribers *all = &fabric->board->subscribers;
    pthread_mutex_lock(&all->lock);
    for (struct subscriber *at = all->first; at; at = at->next) {
        forget_board(at);
        end(at, SUBSCRIBER_STOPPED);
    }
    pthread_mutex_unlock(&all->lock);
}
