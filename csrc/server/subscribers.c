/* Subscriptions in process: kevyrt.h over shard/board/subscriber.h. */
#include "base/mem.h"
#include "server/server.h"
#include "shard/board/subscriber.h"
#include "shard/shard.h"

struct kevyrt_subscriber {
    struct kevyrt_server *server; /* counted */
    struct subscriber *inner;
};

enum kevyrt_status kevyrt_subscriber_new(struct kevyrt_server *server, void (*wake)(void *context),
                                         void *context, struct kevyrt_subscriber **out) {
    if (!server_enter(server)) return KEVYRT_STOPPED;
    struct kevyrt_subscriber *subscriber = mem_alloc(NULL, sizeof *subscriber);
    struct subscriber *inner = subscriber ? subscriber_new(&server->fabric, wake, context) : NULL;
    server_leave(server);
    if (!inner) {
        mem_free(NULL, subscriber);
        return KEVYRT_NO_MEMORY;
    }
    kevyrt_server_get(server);
    *subscriber = (struct kevyrt_subscriber){server, inner};
    *out = subscriber;
    return KEVYRT_OK;
}

void kevyrt_subscriber_put(struct kevyrt_subscriber *subscriber) {
    struct kevyrt_server *server = subscriber->server;
    if (!kevyrt_server_usable(server)) return; /* a child's copy; see kevyrt_server_put */
    bool running = server_enter(server);
    subscriber_free(subscriber->inner, running);
    if (running) server_leave(server);
    mem_free(NULL, subscriber);
    kevyrt_server_put(server);
}

/* ---- Subscribing ---------------------------------------------------------------------------------- */

static bool is_live(struct subscriber *inner) {
    return atomic_load_seq_cst(&inner->state) == SUBSCRIBER_LIVE;
}

typedef bool change(struct subscriber *inner, enum channel_kind kind, const struct bytes *names,
                    uint32_t count);

/* Who has ended hears nothing any more, though the server may have started anew. */
static enum kevyrt_status with_board(struct subscriber *inner, change *change,
                                     enum kevyrt_channels kind, const struct bytes *names,
                                     uint32_t count) {
    struct board *board = inner->fabric->board;
    if (!is_live(inner) || !board_enter(board)) return KEVYRT_STOPPED;
    bool changed = change(inner, (enum channel_kind)kind, names, count);
    board_exit(board);
    return changed ? KEVYRT_OK : KEVYRT_NO_MEMORY;
}

static enum kevyrt_status change_with(struct kevyrt_subscriber *subscriber, change *change,
                                      enum kevyrt_channels kind, const struct bytes *names,
                                      uint32_t count) {
    if (!server_enter(subscriber->server)) return KEVYRT_STOPPED;
    enum kevyrt_status status = with_board(subscriber->inner, change, kind, names, count);
    server_leave(subscriber->server);
    return status;
}

enum kevyrt_status kevyrt_subscribe(struct kevyrt_subscriber *subscriber, enum kevyrt_channels kind,
                                    const struct bytes *names, uint32_t count) {
    return change_with(subscriber, subscriber_join, kind, names, count);
}

enum kevyrt_status kevyrt_unsubscribe(struct kevyrt_subscriber *subscriber,
                                      enum kevyrt_channels kind, const struct bytes *names,
                                      uint32_t count) {
    return change_with(subscriber, subscriber_leave, kind, names, count);
}

/* ---- Messages --------------------------------------------------------------------------------------- */

static enum kevyrt_status end_of(struct subscriber *inner) {
    switch ((enum subscriber_state)atomic_load_seq_cst(&inner->state)) {
    case SUBSCRIBER_LIVE:
        return KEVYRT_BLOCKED;
    case SUBSCRIBER_DROWNED:
        return KEVYRT_REFUSED;
    case SUBSCRIBER_STOPPED:
        break;
    }
    return KEVYRT_STOPPED;
}

/* The end is looked at first: what is there then is all that there will be. */
enum kevyrt_status kevyrt_subscriber_take(struct kevyrt_subscriber *subscriber,
                                          struct kevyrt_message *out) {
    struct subscriber *inner = subscriber->inner;
    if (!kevyrt_server_usable(subscriber->server)) return KEVYRT_STOPPED;
    enum kevyrt_status end = end_of(inner);
    struct subscriber_item *item = subscriber_peek(inner);
    if (!item) return end;
    out->ticket = item->ticket;
    if (!journal_is_safe(&inner->fabric->journal, item->ticket)) return KEVYRT_UNSAFE;
    subscriber_pop(inner);
    *out = (struct kevyrt_message){item->text, item->len, item->ticket, item};
    return KEVYRT_OK;
}

void kevyrt_message_free(struct kevyrt_message *message) {
    mem_free(NULL, message->item);
}

bool kevyrt_subscriber_wait(struct kevyrt_subscriber *subscriber, uint64_t deadline_ns) {
    if (!kevyrt_server_usable(subscriber->server)) return true;
    return subscriber_wait(subscriber->inner, deadline_ns);
}

void kevyrt_subscriber_arm(struct kevyrt_subscriber *subscriber) {
    subscriber_arm(subscriber->inner);
}

void kevyrt_subscriber_disarm(struct kevyrt_subscriber *subscriber) {
    struct kevyrt_server *server = subscriber->server;
    if (!kevyrt_server_usable(server)) return;
    bool running = server_enter(server);
    subscriber_disarm(subscriber->inner, running);
    if (running) server_leave(server);
}
