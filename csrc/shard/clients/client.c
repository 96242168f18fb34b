#include "shard/clients/client.h"

#include "base/mem.h"
#include "plat/clock.h"
#include "shard/shard.h"
#include "shard/transactions/transaction.h"
#include "shard/transactions/watch.h"

static void describe_peer(struct card *card, int fd) {
    if (fd < 0) return;
    socket_peer_text(fd, &card->peer);
    socket_local_text(fd, &card->local);
}

bool client_init(struct client *client, struct fabric *fabric, int fd, uint32_t shard) {
    struct card *card = mem_calloc(NULL, sizeof *card);
    if (!card) return false;
    atomic_store_relaxed(&card->references, 1);
    card->fd = fd;
    card->is_unix = fd >= 0 && socket_is_unix(fd);
    atomic_store_relaxed(&card->seen_ns, clock_monotonic_ns());
    card->shard = shard;
    card->created_ms = clock_wall_ms();
    atomic_store_relaxed(&card->proto, 2);
    describe_peer(card, fd);
    card->client = client;
    bool session = fd < 0; /* whoever is in the process already has the data */
    *client = (struct client){
        .fabric = fabric,
        .card = card,
        .proto = session ? 3 : 2,
        .session = session,
        .call_flags = session ? 0 : CALL_MAY_PAUSE | CALL_MAY_WAIT,
        .authenticated = session || !fabric_has_password(fabric),
    };
    registry_add(&fabric->registry, card);
    return true;
}

void client_place(struct client *client, uint32_t connection, uint32_t generation) {
    struct registry *registry = &client->fabric->registry;
    pthread_mutex_lock(&registry->lock);
    client->card->connection = connection;
    client->card->generation = generation;
    pthread_mutex_unlock(&registry->lock);
}

void client_end_task(struct client *client) {
    if (client->task) client->task->free(client->task);
    client->task = NULL;
}

void card_put(struct card *card) {
    if (atomic_sub_acq_rel(&card->references, 1) != 1) return;
    mem_free(NULL, card->name);
    mem_free(NULL, card->lib_name);
    mem_free(NULL, card->lib_version);
    mem_free(NULL, card);
}

void client_deinit(struct client *client) {
    client_end_task(client);
    watch_abandon(client);
    transaction_free(client);
    tracker_put(client->tracker);
    registry_remove(&client->fabric->registry, client->card);
    card_put(client->card);
    client->card = NULL;
}

uint64_t client_bytes(const struct card *card) {
    uint64_t own =
        sizeof *card + (card->fd < 0 ? sizeof(struct client) : sizeof(struct connection));
    for (int i = 0; i < CHANNEL_KINDS; i++)
        own += atomic_load_relaxed(&card->subscriptions[i]) * sizeof(struct subscription);
    return own + atomic_load_relaxed(&card->input_bytes) +
           atomic_load_relaxed(&card->output_bytes) + watch_bytes(card) +
           atomic_load_relaxed(&card->queued_bytes) + atomic_load_relaxed(&card->waiting_bytes);
}

void client_note_command(struct client *client, const struct command *command) {
    atomic_store_relaxed(&client->card->command, command->id + 1u);
}

void client_flag(struct client *client, enum card_flag flag, bool set) {
    uint32_t flags = atomic_load_relaxed(&client->card->flags);
    atomic_store_relaxed(&client->card->flags, set ? flags | flag : flags & ~(uint32_t)flag);
}

void client_listen(struct client *client, enum client_listens what, bool listens) {
    client->listens = (uint8_t)(listens ? client->listens | what : client->listens & ~what);
    if (what != LISTENS_CHANNELS) return;
    client->call_flags &= ~(uint32_t)CALL_SUBSCRIBED;
    if (listens) client->call_flags |= CALL_SUBSCRIBED;
    client_flag(client, CARD_SUBSCRIBED, listens);
}

void client_reset(struct client *client) {
    transaction_discard(client);
    client->db = 0;
    client->proto = 2;
    client->call_flags &= CALL_MAY_PAUSE | CALL_MAY_WAIT | CALL_SUBSCRIBED;
    client->authenticated = client->session || !fabric_has_password(client->fabric);
    atomic_store_relaxed(&client->card->db, 0);
    atomic_store_relaxed(&client->card->proto, 2);
    client_flag(client, CARD_NO_EVICT, false);
    client_flag(client, CARD_NO_TOUCH, false);
    (void)client_set_text(client, CLIENT_NAME, bytes_of("", 0)); /* nothing to allocate */
}

static char **text_of(struct card *card, enum client_text which) {
    switch (which) {
    case CLIENT_NAME:
        return &card->name;
    case CLIENT_LIB_NAME:
        return &card->lib_name;
    case CLIENT_LIB_VERSION:
        return &card->lib_version;
    }
    return NULL;
}

static char *text_copy(struct bytes text) {
    char *copy = mem_alloc(NULL, (size_t)text.len + 1);
    if (!copy) return NULL;
    memcpy(copy, text.at, text.len);
    copy[text.len] = 0;
    return copy;
}

bool client_set_text(struct client *client, enum client_text which, struct bytes text) {
    char *copy = text.len ? text_copy(text) : NULL;
    if (text.len && !copy) return false;
    struct registry *registry = &client->fabric->registry;
    char **place = text_of(client->card, which);
    pthread_mutex_lock(&registry->lock);
    char *old = *place;
    *place = copy;
    pthread_mutex_unlock(&registry->lock);
    mem_free(NULL, old);
    return true;
}
