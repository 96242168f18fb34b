/* New connections: accepted on shard 0, dealt to the shard with the fewest.
 *
 * One listener, because a listener per shard balances badly and resets what waits in its queue at a
 * restart. A connection counts for its shard from the moment it is dealt, so that a burst spreads.
 */
#include "plat/descriptors.h"
#include "plat/errors.h"
#include "plat/socket.h"
#include "shard/shard.h"

void accept_note(struct shard *shard, int fd) {
    struct shard_io *io = &shard->io;
    if (io->accepted_count == io->accepted_capacity) {
        uint32_t capacity = io->accepted_capacity ? io->accepted_capacity * 2 : 64;
        int *accepted = mem_realloc(NULL, io->accepted, capacity * sizeof *accepted);
        if (!accepted) {
            socket_close(fd);
            return;
        }
        io->accepted = accepted;
        io->accepted_capacity = capacity;
    }
    io->accepted[io->accepted_count++] = fd;
}

static uint32_t connections_of(struct fabric *fabric) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < fabric->settings.shard_count; i++)
        count += atomic_load_relaxed(&fabric->shards[i]->connections);
    return count;
}

struct shard *accept_target(struct fabric *fabric) {
    struct shard *best = fabric->shards[0];
    for (uint32_t i = 1; i < fabric->settings.shard_count; i++)
        if (atomic_load_relaxed(&fabric->shards[i]->connections) <
            atomic_load_relaxed(&best->connections))
            best = fabric->shards[i];
    return best;
}

static void refuse(struct fabric *fabric, int fd, struct bytes text) {
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text.at, .iov_len = text.len};
    socket_send(fd, &iov, 1);
    socket_close(fd);
    atomic_add_relaxed(&fabric->connections_rejected, 1);
}

static bool is_remote(int fd) {
    struct socket_address_text peer;
    if (socket_is_unix(fd)) return false;
    socket_peer_text(fd, &peer);
    return strncmp(peer.text, "127.", 4) != 0 && strncmp(peer.text, "[::1]", 5) != 0 &&
           strncmp(peer.text, "[::ffff:127.", 12) != 0;
}

static bool is_protected_from(struct fabric *fabric, int fd) {
    const struct fabric_settings *settings = &fabric->settings;
    return settings->protected_mode && !fabric_has_password(fabric) && is_remote(fd);
}

static void deal(struct shard *shard, int fd, struct shard *target) {
    struct adopt_message *message = NULL;
    bool dealt;
    atomic_add_relaxed(&target->connections, 1);
    if (target == shard) {
        dealt = connection_open(shard, fd) != NULL;
    } else {
        message = mem_alloc(NULL, sizeof *message);
        if (message) *message = (struct adopt_message){.head.kind = MESSAGE_ADOPT, .fd = fd};
        dealt = message && message_push(shard, target->index, &message->head);
    }
    if (dealt) return;
    mem_free(NULL, message);
    atomic_sub_relaxed(&target->connections, 1);
    socket_close(fd);
}

/* To `target`, or to whoever has the fewest. */
static void deal_all(struct shard *shard, struct shard *target) {
    struct fabric *fabric = shard->fabric;
    for (uint32_t i = 0; i < shard->io.accepted_count; i++) {
        int fd = shard->io.accepted[i];
        atomic_add_relaxed(&fabric->connections_received, 1);
        if (connections_of(fabric) >= fabric->settings.max_clients)
            refuse(fabric, fd, BYTES_LITERAL("-ERR max number of clients reached\r\n"));
        else if (is_protected_from(fabric, fd))
            refuse(fabric, fd,
                   BYTES_LITERAL("-DENIED kevyrt is running in protected mode because protected "
                                 "mode is enabled and no password is set. Connect from the "
                                 "loopback interface, set requirepass, or start the server with "
                                 "'--protected-mode no'.\r\n"));
        else deal(shard, fd, target ? target : accept_target(fabric));
    }
    shard->io.accepted_count = 0;
}

void accept_deal(struct shard *shard) {
    deal_all(shard, NULL);
}

static bool contains(const int *fds, uint32_t count, int fd) {
    for (uint32_t i = 0; i < count; i++)
        if (fds[i] == fd) return true;
    return false;
}

static void stop_listening(struct shard *shard, int fd) {
    reactor_unlisten(shard->io.reactor, fd);
    descriptor_forget(fd);
    socket_close(fd);
}

static bool start_listening(struct shard *shard, int fd) {
    int result = reactor_listen(shard->io.reactor, fd);
    if (result < 0) log_line(LOG_WARNING, "Cannot accept clients: %s", system_error_text(result));
    return result == 0;
}

void accept_change_listeners(struct shard *shard, const int *listeners, uint32_t count) {
    struct fabric *fabric = shard->fabric;
    for (uint32_t i = 0; i < fabric->listener_count; i++)
        if (!contains(listeners, count, fabric->listeners[i]))
            stop_listening(shard, fabric->listeners[i]);
    for (uint32_t i = 0; i < count; i++)
        if (!contains(fabric->listeners, fabric->listener_count, listeners[i]))
            (void)start_listening(shard, listeners[i]);
    memcpy(fabric->listeners, listeners, count * sizeof *listeners);
    fabric->listener_count = count;
}

/* One that cannot be listened at is closed, so that nobody waits at it. */
void accept_take_door(struct shard *shard) {
    struct fabric *fabric = shard->fabric;
    uint32_t offered = atomic_swap_acq_rel(&fabric->door_offered, 0);
    if (offered == 0) return;
    KRT_ASSERT(fabric->door == 0);
    fabric->door = offered;
    if (start_listening(shard, (int)offered - 1)) return;
    stop_listening(shard, (int)offered - 1);
    fabric->door = 0;
}

void accept_end(struct shard *shard) {
    struct fabric *fabric = shard->fabric;
    accept_take_door(shard);
    if (fabric->door) stop_listening(shard, (int)fabric->door - 1);
    fabric->door = 0;
    for (uint32_t i = 0; i < fabric->listener_count; i++)
        stop_listening(shard, fabric->listeners[i]);
}

void accept_discard_listeners(struct fabric *fabric, const int *listeners, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (contains(fabric->listeners, fabric->listener_count, listeners[i])) continue;
        descriptor_forget(listeners[i]);
        socket_close(listeners[i]);
    }
}

void accept_keep(struct shard *shard) {
    deal_all(shard, shard);
}
