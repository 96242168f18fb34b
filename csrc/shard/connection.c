/* Connections: receiving, output, and the one teardown.
 *
 *   open ──data──▶ in the input list ──run──▶ in the ready list ──flush──▶ sending ──sent──▶ open
 *     └─ end of file, error, QUIT, limits, shutdown ──connection_end──▶ closing ──EVENT_CLOSED──▶ free
 *
 * A connection that has been asked to close after its replies (QUIT, malformed input, end of file of the
 * peer) goes on until its last slot is retired and its last byte sent.
 */
#include <errno.h>

#include "plat/descriptors.h"
#include "shard/shard.h"
#include "shard/transactions/watch.h"

enum { CONNECTIONS_FIRST = 64, IOVECS = 16, SEND_BYTES_MAX = 256 << 10 };

/* Chunks of output are used again from one loop to the next. What many connections are sent in each would else be new
 * pages every time. At most 8 MiB; Redis has one for each connection. */
enum { SPARE_LEAST = 32, SPARE_PER_CONNECTION = 4, SPARE_MOST = 512 };

static void adapt_pool(struct shard_io *io) {
    uint32_t wanted = io->connection_count < SPARE_MOST ? io->connection_count : SPARE_MOST;
    wanted *= SPARE_PER_CONNECTION;
    if (wanted < SPARE_LEAST) wanted = SPARE_LEAST;
    reply_pool_limit(&io->pool, wanted < SPARE_MOST ? wanted : SPARE_MOST);
}

static bool table_grow(struct shard_io *io) {
    uint32_t capacity = io->connection_capacity ? io->connection_capacity * 2 : CONNECTIONS_FIRST;
    struct connection **connections =
        mem_realloc(NULL, io->connections, capacity * sizeof *connections);
    if (!connections) return false;
    io->connections = connections;
    uint32_t *generations = mem_realloc(NULL, io->generations, capacity * sizeof *generations);
    if (!generations) return false;
    io->generations = generations;
    for (uint32_t i = io->connection_capacity; i < capacity; i++) {
        connections[i] = NULL;
        generations[i] = 0;
    }
    io->connection_capacity = capacity;
    return true;
}

static bool table_enter(struct shard_io *io, struct connection *connection) {
    if (io->connection_count == io->connection_capacity && !table_grow(io)) return false;
    uint32_t index = io->next_free < io->connection_capacity ? io->next_free : 0;
    while (io->connections[index]) index = (index + 1) % io->connection_capacity;
    io->next_free = index + 1;
    io->connections[index] = connection;
    io->connection_count++;
    adapt_pool(io);
    connection->index = index;
    connection->generation = ++io->generations[index];
    return true;
}

static void table_leave(struct shard_io *io, struct connection *connection) {
    io->connections[connection->index] = NULL;
    io->generations[connection->index]++;
    io->connection_count--;
    adapt_pool(io);
    io->next_free = connection->index;
}

struct connection *connection_find(struct shard *shard, uint32_t index, uint32_t generation) {
    struct connection *connection = shard->io.connections[index];
    bool same = connection && connection->generation == generation && !connection->closing;
    return same ? connection : NULL;
}

static bool connection_init(struct shard *shard, struct connection *connection, int fd) {
    struct fabric *fabric = shard->fabric;
    if (!client_init(&connection->client, fabric, fd, shard->index)) return false;
    if (!table_enter(&shard->io, connection)) {
        client_deinit(&connection->client);
        return false;
    }
    client_place(&connection->client, connection->index, connection->generation);
    parser_init(&connection->parser, &fabric->settings.parser, &shard->data.keyspace.account);
    reply_init(&connection->output, &shard->io.pool, 2);
    return true;
}

static void connection_deinit(struct shard *shard, struct connection *connection) {
    table_leave(&shard->io, connection);
    slots_deinit(&connection->slots);
    parser_deinit(&connection->parser);
    reply_clear(&connection->output);
    client_deinit(&connection->client);
    mem_free(NULL, connection);
}

/* NULL: the fd is still the caller's. */
struct connection *connection_open(struct shard *shard, int fd) {
    struct connection *connection = mem_calloc(NULL, sizeof *connection);
    if (!connection) return NULL;
    if (!connection_init(shard, connection, fd)) {
        mem_free(NULL, connection);
        return NULL;
    }
    socket_tune(fd, (int)shard->fabric->settings.tcp_keepalive_s);
    if (reactor_add(shard->io.reactor, &connection->socket, fd) < 0) {
        connection_deinit(shard, connection);
        return NULL;
    }
    descriptor_note(fd);
    limits_count(shard, connection);
    return connection;
}

void connection_free(struct shard *shard, struct connection *connection) {
    KRT_ASSERT(connection->closing && !connection->in_input && !connection->in_ready);
    atomic_sub_relaxed(&shard->connections, 1);
    connection_deinit(shard, connection);
}

void connection_want_input(struct shard *shard, struct connection *connection) {
    struct shard_io *io = &shard->io;
    if (connection->in_input || connection->suspended) return;
    connection->in_input = true;
    connection->next_input = NULL;
    if (io->input_last) io->input_last->next_input = connection;
    else io->input_first = connection;
    io->input_last = connection;
}

struct connection *connection_next_input(struct shard *shard) {
    struct shard_io *io = &shard->io;
    struct connection *connection = io->input_first;
    io->input_first = connection->next_input;
    if (!io->input_first) io->input_last = NULL;
    connection->in_input = false;
    return connection;
}

void connection_want_ready(struct shard *shard, struct connection *connection) {
    if (connection->in_ready) return;
    connection->in_ready = true;
    connection->next_ready = shard->io.ready_first;
    shard->io.ready_first = connection;
}

void connection_want_keep(struct shard *shard, struct connection *connection) {
    if (connection->in_keep) return;
    connection->in_keep = true;
    connection->next_keep = shard->io.keep_first;
    shard->io.keep_first = connection;
}

/* One writer: no need for an atomic addition. */
static void count_bytes(atomic_u64 *counter, uint64_t more) {
    atomic_store_relaxed(counter, atomic_load_relaxed(counter) + more);
}

/* The log is behind: nothing is taken from the socket until there is room again, so that the client waits, and not memory. */
static void choke(struct shard *shard, struct connection *connection) {
    if (connection->choked) return;
    connection->choked = shard->io.has_choked = true;
    reactor_pause(shard->io.reactor, &connection->socket);
}

void connection_unchoke_all(struct shard *shard) {
    shard->io.has_choked = false;
    for (uint32_t i = 0; i < shard->io.connection_capacity; i++) {
        struct connection *connection = shard->io.connections[i];
        if (!connection || !connection->choked) continue;
        connection->choked = false;
        if (!connection->closing) reactor_resume(shard->io.reactor, &connection->socket);
    }
}

void connection_receive(struct shard *shard, struct connection *connection, struct bytes data) {
    if (connection->closing || connection->client.close_after_reply) return;
    atomic_store_relaxed(&connection->client.card->seen_ns, shard->io.woke_ns);
    count_bytes(&shard->io.input_bytes, data.len);
    count_bytes(&shard->io.reads, 1);
    if (connection->in_input || connection->suspended) {
        /* The window of the last feed is still in use: what it holds is kept, then this is added. */
        if (!parser_keep(&connection->parser)) {
            connection_end(shard, connection);
            return;
        }
    }
    if (!parser_feed(&connection->parser, data.at, data.len)) {
        connection_end(shard, connection);
        return;
    }
    connection_want_input(shard, connection);
    connection_want_keep(shard, connection);
    if (KRT_UNLIKELY(atomic_load_relaxed(&shard->fabric->journal.full))) choke(shard, connection);
}

void connection_push(struct shard *shard, struct connection *connection, struct reply *push) {
    if (push->failed) connection->output.failed = true;
    if (KRT_UNLIKELY(shard->io.deferring == connection)) {
        reply_append(&shard->io.deferred, push);
        return;
    }
    if (KRT_LIKELY(slots_pending(&connection->slots) == 0)) {
        reply_append(&connection->output, push);
    } else if (!slots_push(&connection->slots, &shard->io.pool, push)) {
        connection->output.failed = true;
        reply_clear(push);
    }
    connection_want_ready(shard, connection);
}

void connection_push_deferred(struct shard *shard, struct connection *connection) {
    KRT_DCHECK(!shard->io.deferring);
    connection->client.listens &= (uint8_t)~LISTENS_DEFERRED;
    if (shard->io.deferred.failed) connection->output.failed = true;
    if (!reply_is_empty(&shard->io.deferred))
        connection_push(shard, connection, &shard->io.deferred);
    reply_clear(&shard->io.deferred);
}

void connection_drown(struct shard *shard, struct connection *connection) {
    connection->drowned = true;
    connection_want_ready(shard, connection);
}

static bool has_nothing_to_do(const struct connection *connection) {
    return slots_pending(&connection->slots) == 0 && reply_is_empty(&connection->output) &&
           !connection->sending;
}

/* Nothing more will be read and everything has been answered. */
static bool is_finished(const struct connection *connection) {
    if (!connection->client.close_after_reply && !connection->ended_input) return false;
    if (!connection->client.close_after_reply && (connection->in_input || connection->suspended))
        return false;
    return has_nothing_to_do(connection);
}

/* A system call that copies megabytes is a gap in the loop: the first iovecs, together under the limit. */
static int limit_send(struct iovec *iov, int count, size_t left) {
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len >= left) {
            iov[i].iov_len = left;
            return i + 1;
        }
        left -= iov[i].iov_len;
    }
    return count;
}

static void consume(struct connection *connection, uint64_t bytes) {
    reply_consume(&connection->output, bytes);
    held_consume(connection, bytes);
}

/* At most `may` bytes. What is long goes on in the next loop. */
static void send_some(struct shard *shard, struct connection *connection, uint64_t may) {
    size_t done = 0;
    while (!reply_is_empty(&connection->output) && done < may) {
        int count = reply_iovecs(&connection->output, connection->iov, IOVECS);
        if (count == 0) return;
        if (done >= SEND_BYTES_MAX) {
            connection_want_ready(shard, connection);
            return;
        }
        uint64_t left = may - done;
        count = limit_send(connection->iov, count, left < SEND_BYTES_MAX ? left : SEND_BYTES_MAX);
        int sent = reactor_send(shard->io.reactor, &connection->socket, connection->iov, count);
        if (sent == -EINPROGRESS) {
            connection->sending = true;
            return;
        }
        if (sent < 0) {
            connection_end(shard, connection);
            return;
        }
        count_bytes(&shard->io.output_bytes, (uint64_t)sent);
        count_bytes(&shard->io.writes, 1);
        consume(connection, (uint64_t)sent);
        done += (size_t)sent;
    }
}

void connection_flush(struct shard *shard, struct connection *connection) {
    if (connection->closing) return;
    if (KRT_UNLIKELY(connection->output.failed)) {
        connection_end(shard, connection);
        return;
    }
    if (KRT_UNLIKELY(connection->drowned)) {
        log_line(LOG_WARNING, "Closing client %llu (%s): it is told more than it reads",
                 (unsigned long long)connection->client.card->id,
                 connection->client.card->peer.text);
        connection_end(shard, connection);
        return;
    }
    uint64_t may = UINT64_MAX;
    if (KRT_UNLIKELY(shard->io.has_log)) may = held_release(shard, connection);
    if (!connection->sending) send_some(shard, connection, may);
    limits_note_output(shard, connection);
    if (!connection->closing && is_finished(connection)) connection_end(shard, connection);
}

void connection_sent(struct shard *shard, struct connection *connection, int result) {
    connection->sending = false;
    if (connection->closing) return;
    if (result < 0) {
        connection_end(shard, connection);
        return;
    }
    count_bytes(&shard->io.output_bytes, (uint64_t)result);
    count_bytes(&shard->io.writes, 1);
    consume(connection, (uint64_t)result);
    limits_note_output(shard, connection);
    if (connection->closing) return;
    if (!reply_is_empty(&connection->output) || is_finished(connection))
        connection_want_ready(shard, connection);
}

void connection_peer_ended(struct shard *shard, struct connection *connection, int result) {
    if (result < 0) {
        connection_end(shard, connection);
        return;
    }
    if (connection->paused || connection->client.waiter) { /* nobody waits for what it asked */
        connection_end(shard, connection);
        return;
    }
    connection->ended_input = true;
    connection_want_ready(shard, connection);
}

/* The one teardown. Order matters: reading stops, everything that could reach the connection from
 * elsewhere finds it closing, and the fd closes last, when nothing is in flight. */
void connection_end(struct shard *shard, struct connection *connection) {
    if (connection->closing) return;
    pause_forget(shard, connection);
    waiter_forget(shard, connection);
    limits_forget(shard, connection);
    held_forget(shard, connection);
    audience_end(shard, connection);
    watch_end(&connection->client);
    monitor_end(shard, connection);
    connection->closing = true;
    client_flag(&connection->client, CARD_GONE, true);
    tracking_off(&connection->client, NULL);
    connection->suspended = false;
    slots_deinit(&connection->slots);
    descriptor_forget(connection->socket.fd);
    reactor_remove(shard->io.reactor, &connection->socket);
}
