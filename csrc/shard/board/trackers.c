/* Trackers: clients that track, from CLIENT TRACKING ON to its end.
 *
 *            tracking_on                    tracking_off
 *   none ───────────────────▶ on, in the list ────────────▶ off ──tracking_on──▶ on
 *                                  │ the connection ends         │
 *                                  └─────────▶ off ◀─────────────┘ ──the last item is put──▶ freed
 *
 * What changes is changed under the board, so that whoever posts meanwhile sees all of it or nothing; what arrives for
 * a client that has ended tracking since is dropped by its own thread. A client keeps one tracker for as long as it lives:
 * what it had read before it ended tracking counts again when it begins anew, as in Redis.
 */
#include "shard/board/tracking_internal.h"

void tracker_put(struct tracker *tracker) {
    if (tracker && atomic_sub_acq_rel(&tracker->references, 1) == 1) mem_free(NULL, tracker);
}

static bool tracker_init(struct client *client) {
    if (client->tracker) return true;
    const struct connection *connection = client_connection(client);
    struct tracker *tracker = mem_calloc(NULL, sizeof *tracker);
    if (!tracker) return false;
    atomic_store_relaxed(&tracker->references, 1);
    tracker->shard = client->card->shard;
    tracker->connection = connection->index;
    tracker->generation = connection->generation;
    tracker->id = client->card->id;
    client->tracker = tracker;
    return true;
}

/* ---- The list of those that are on, with the board -------------------------------------------------- */

/* Ids rise with the age; a client mostly begins to track when it is new. */
static void list_add(struct tracking *tracking, struct tracker *tracker) {
    struct tracker *previous = tracking->last;
    while (previous && previous->id > tracker->id) previous = previous->previous;
    tracker->previous = previous;
    tracker->next = previous ? previous->next : tracking->first;
    if (tracker->next) tracker->next->previous = tracker;
    else tracking->last = tracker;
    if (previous) previous->next = tracker;
    else tracking->first = tracker;
    atomic_add_relaxed(&tracking->clients, 1);
}

static void list_remove(struct tracking *tracking, struct tracker *tracker) {
    if (tracker->next) tracker->next->previous = tracker->previous;
    else tracking->last = tracker->previous;
    if (tracker->previous) tracker->previous->next = tracker->next;
    else tracking->first = tracker->next;
    atomic_sub_relaxed(&tracking->clients, 1);
}

/* ---- What the owner knows ------------------------------------------------------------------------------ */

/* Are the keys of the next command remembered? */
static bool remembers(const struct tracker *tracker) {
    uint32_t flags = tracker->flags;
    if (!(flags & TRACKER_ON) || flags & TRACKER_BROADCAST) return false;
    if (flags & TRACKER_OPTIN) return tracker->caching;
    return !(flags & TRACKER_OPTOUT) || !tracker->caching;
}

static void update_client(struct client *client) {
    const struct tracker *tracker = client->tracker;
    struct card *card = client->card;
    client->call_flags &= ~(uint32_t)CALL_TRACKS;
    if (remembers(tracker)) client->call_flags |= CALL_TRACKS;
    client_listen(client, LISTENS_TRACKING, tracker->flags & TRACKER_ON);
    client_flag(client, CARD_TRACKING, tracker->flags & TRACKER_ON);
    client_flag(client, CARD_BROADCAST, tracker->flags & TRACKER_BROADCAST);
    atomic_store_relaxed(&card->redirect, tracker->redirect ? tracker->redirect->id : 0);
}

void tracking_cache(struct client *client) {
    client->tracker->caching = true;
    update_client(client);
}

void tracking_end_command(struct client *client, const struct plan *plan) {
    const struct command *command = plan->command;
    if (!client->tracker || !client->tracker->caching || client->call_flags & CALL_QUEUES) return;
    if (command && command->container && strcmp(command->container->name, "client") == 0) return;
    client->tracker->caching = false;
    update_client(client);
}

/* ---- On ------------------------------------------------------------------------------------------------ */

static void set_on(struct client *client, const struct tracking_options *options) {
    struct tracker *tracker = client->tracker;
    struct tracking *tracking = &client->fabric->tracking;
    if (!(tracker->flags & TRACKER_ON)) list_add(tracking, tracker);
    tracker->card = client->card;
    tracker->flags = options->flags | TRACKER_ON;
    if (tracker->redirect) card_put(tracker->redirect);
    tracker->redirect = options->redirect;
    atomic_store_relaxed(&client->card->redirect_broken, 0);
    update_client(client);
}

bool tracking_on(struct call *call, const struct tracking_options *options) {
    struct client *client = call->client;
    struct shard *home = call_home(call);
    struct post *listen = NULL;
    if (!tracker_init(client)) return false;
    if (options->redirect && !(listen = invalidations_listen_new(options->redirect))) return false;
    board_take(home);
    if (options->flags & TRACKER_BROADCAST &&
        !broadcast_subscribe(client->fabric, client->tracker, options->prefixes,
                             options->prefix_count)) {
        mem_free(NULL, listen);
        return false;
    }
    set_on(client, options);
    if (listen) board_post(home, options->redirect->shard, listen);
    return true;
}

/* ---- Off ----------------------------------------------------------------------------------------------- */

static void depart(struct fabric *fabric, struct departure *departure) {
    struct tracker *tracker =
        (struct tracker *)((char *)departure - offsetof(struct tracker, departure));
    struct shard *shard = fabric->shards[tracker->shard];
    enum board_entry entry = board_enter_from(shard); /* or all has ended */
    tracker->departs = false;
    broadcast_prune(fabric);
    board_exit_from(shard, entry);
    tracker_put(tracker);
}

/* Prefixes that nobody is interested in any more go when all batons can be had. */
static void depart_later(struct client *client, struct tracker *tracker) {
    struct fabric *fabric = client->fabric;
    if (tracker->departs) return;
    tracker->departs = true;
    departures_add(fabric->shards[tracker->shard], &tracker_get(tracker)->departure,
                   fabric_all(fabric), depart);
}

static void set_off(struct client *client, struct tracking *tracking) {
    struct tracker *tracker = client->tracker;
    bool was_broadcast = tracker->flags & TRACKER_BROADCAST;
    if (tracking) list_remove(tracking, tracker);
    broadcast_unsubscribe(tracking, tracker);
    if (tracker->redirect) card_put(tracker->redirect);
    tracker->redirect = NULL;
    tracker->card = NULL;
    tracker->flags = 0;
    tracker->caching = false;
    atomic_store_relaxed(&client->card->redirect_broken, 0);
    update_client(client);
    if (was_broadcast) depart_later(client, tracker);
}

/* A call has what it needs; what is no call, or has no place (-BUSY), takes the board by itself. */
void tracking_off(struct client *client, struct call *call) {
    struct fabric *fabric = client->fabric;
    if (KRT_LIKELY(!client->tracker) || !(client->tracker->flags & TRACKER_ON)) return;
    if (call && call->effects) {
        board_take(call_home(call));
        set_off(client, &fabric->tracking);
    } else {
        struct shard *shard = fabric->shards[client->tracker->shard];
        enum board_entry entry = board_enter_from(shard);
        set_off(client, entry != BOARD_CLOSED ? &fabric->tracking : NULL);
        board_exit_from(shard, entry);
    }
}
