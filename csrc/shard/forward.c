/* Forwarding: requests that another shard executes for a connection of ours.
 *
 *   filled here ──push──▶ stream to t ──drain──▶ executed at t ──push──▶ stream home ──drain──▶ slots
 *
 * One batch per target and turn, one batch back. The target writes all replies of a batch one behind the
 * other and notes the length of each; home cuts them apart into the slots. A connection that ended meanwhile is
 * found by its generation, and its replies go nowhere.
 *
 * Where somebody waits for keys at the target who needs more than those, the target takes that before it executes the batch
 * (blocking/reach.c). If it is not to be had the batch is held up, and whatever comes in behind it as well, until a later turn.
 */
#include "plat/descriptors.h"
#include "plat/futex.h"
#include "plat/socket.h"
#include "shard/shard.h"

enum { HELD_UP_AGAIN_NS = 1000000 };

static struct batch *batch_new(struct shard *shard) {
    struct shard_io *io = &shard->io;
    struct batch *batch = io->spare_batches;
    if (batch) {
        io->spare_batches = batch->next_spare;
        io->spare_count--;
    } else {
        batch = mem_calloc(NULL, sizeof *batch);
        if (!batch) return NULL;
    }
    batch->head.kind = MESSAGE_BATCH;
    batch->source = shard->index;
    batch->kills = shard->fabric->kills;
    batch->count = 0;
    reply_init(&batch->reply, &io->pool, 2);
    return batch;
}

static void put_request(const struct forwarded *forwarded) {
    for (uint32_t a = 0; a < forwarded->argc; a++)
        if (forwarded->argv[a].flags & BYTES_BLOB) blob_put(blob_of(forwarded->argv[a]));
    card_put(forwarded->card);
}

static void batch_put_requests(struct batch *batch) {
    for (uint32_t i = 0; i < batch->count; i++) put_request(&batch->requests[i]);
    batch->count = 0;
}

static void batch_free(struct batch *batch) {
    batch_put_requests(batch);
    reply_clear(&batch->reply);
    arena_deinit(&batch->arena);
    mem_free(NULL, batch);
}

static void batch_retire(struct shard *shard, struct batch *batch) {
    struct shard_io *io = &shard->io;
    if (io->spare_count >= BATCH_SPARES) {
        batch_free(batch);
        return;
    }
    batch_put_requests(batch);
    reply_clear(&batch->reply);
    arena_reset(&batch->arena);
    batch->next_spare = io->spare_batches;
    io->spare_batches = batch;
    io->spare_count++;
}

static bool copy_argument(struct arena *arena, struct bytes from, struct bytes *to) {
    if (from.flags & BYTES_BLOB) {
        blob_get(blob_of(from));
        *to = from;
        return true;
    }
    char *at = arena_alloc(arena, from.len);
    if (!at) return false;
    bytes_copy(at, from.at, from.len);
    *to = bytes_of(at, from.len);
    return true;
}

/* Arguments before `count` that are blobs are given up again. */
static void forget_arguments(const struct bytes *argv, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (argv[i].flags & BYTES_BLOB) blob_put(blob_of(argv[i]));
}

static struct bytes *copy_arguments(struct arena *arena, const struct request *request) {
    struct bytes *argv = arena_alloc(arena, request->argc * sizeof *argv);
    if (!argv) return NULL;
    for (uint32_t i = 0; i < request->argc; i++) {
        if (copy_argument(arena, request->argv[i], &argv[i])) continue;
        forget_arguments(argv, i);
        return NULL;
    }
    return argv;
}

static struct batch *open_batch(struct shard *shard, uint32_t target) {
    struct batch *batch = shard->io.open[target];
    if (batch && batch->count < BATCH_REQUESTS) return batch;
    if (batch) forward_flush(shard);
    return shard->io.open[target] = batch_new(shard);
}

bool forward_request(struct shard *shard, struct connection *connection, uint32_t target,
                     const struct request *request, const struct plan *plan) {
    struct batch *batch = open_batch(shard, target);
    if (!batch) return false;
    struct bytes *argv = copy_arguments(&batch->arena, request);
    if (!argv) return false;
    uint32_t slot;
    if (!slots_issue(&connection->slots, &shard->io.pool, &slot)) {
        forget_arguments(argv, request->argc);
        return false;
    }
    batch->requests[batch->count++] = (struct forwarded){
        .command = plan->command,
        .argv = argv,
        .argc = request->argc,
        .db = connection->client.db,
        .hash = plan->hash,
        .hash_index = plan->hash_index,
        .connection = connection->index,
        .generation = connection->generation,
        .slot = slot,
        .card = card_get(connection->client.card),
        .proto = connection->client.proto,
        .call_flags = connection->client.call_flags & CALL_NO_TOUCH,
    };
    shard->data.counters.forwarded++;
    return true;
}

bool message_push(struct shard *from, uint32_t target, struct message *message) {
    struct stream *stream = &from->data.streams[target];
    if (!stream_push(stream, message)) return false;
    from->data.pushed |= UINT64_C(1) << target;
    if (stream->backlog_count) from->data.backlogged |= UINT64_C(1) << target;
    return true;
}

/* A batch that cannot be pushed stays open: its connections wait, which is the back-pressure. */
void forward_flush(struct shard *shard) {
    /* What the connections did here comes before what they do there, in the log too. */
    held_note(shard, journal_seal(shard->fabric, shard->held));
    for (uint32_t t = 0; t < shard->fabric->settings.shard_count; t++) {
        struct batch *batch = shard->io.open[t];
        if (batch && batch->count) batch->ticket = shard->io.ticket;
        if (batch && batch->count && message_push(shard, t, &batch->head)) shard->io.open[t] = NULL;
    }
}

/* ---- At the target ------------------------------------------------------------------------------ */

static void prefetch_batch(struct shard *shard, const struct batch *batch) {
    struct keyspace *keyspace = &shard->data.keyspace;
    for (uint32_t i = 0; i < batch->count; i++)
        keyspace_prefetch_bucket(keyspace, batch->requests[i].db, batch->requests[i].hash);
    for (uint32_t i = 0; i < batch->count; i++)
        keyspace_prefetch_entry(keyspace, batch->requests[i].db, batch->requests[i].hash);
}

static void send_home(struct shard *shard, struct batch *batch) {
    uint32_t source = batch->source;
    batch->head.kind = MESSAGE_REPLIES;
    /* The log has what was done before anybody is told. */
    batch->ticket = journal_seal(shard->fabric, shard->held);
    /* A stream home has room: no more batches are on their way than its source had slots for. */
    KRT_ASSERT(message_push(shard, source, &batch->head));
}

static void execute_forwarded(struct shard *shard, struct reply *reply,
                              struct forwarded *forwarded) {
    struct request request = {.argv = forwarded->argv, .argc = forwarded->argc};
    struct plan plan = {.command = forwarded->command,
                        .hash = forwarded->hash,
                        .hash_index = forwarded->hash_index,
                        .arity_ok = true};
    uint64_t before = reply_pending_bytes(reply);
    reply->proto = forwarded->proto;
    struct origin origin = {.db = forwarded->db,
                            .flags = forwarded->call_flags,
                            .reply = reply,
                            .now_ms = &shard->now_ms,
                            .card = forwarded->card};
    (void)execute_command(shard, &origin, &request, &plan);
    forwarded->reply_bytes = reply_pending_bytes(reply) - before;
}

static bool is_same_connection(const struct forwarded *a, const struct forwarded *b) {
    return a->connection == b->connection && a->generation == b->generation;
}

/* Does the pause stop it, or something that its connection sent before? */
static bool must_stay(const struct shard *shard, const struct batch *batch, uint32_t kept,
                      const struct forwarded *forwarded) {
    const struct domain *domain = &shard->fabric->domain;
    if (!pause_is_in_force(domain)) return false;
    if (pause_stops(domain, forwarded->command->flags)) return true;
    for (uint32_t i = 0; i < kept; i++)
        if (is_same_connection(&batch->requests[i], forwarded)) return true;
    return pause_holds_back(shard, batch->source, forwarded);
}

/* Its arguments are the old batch's, and are done with. */
static void execute_into(struct shard *shard, struct batch *done,
                         const struct forwarded *forwarded) {
    struct forwarded *moved = &done->requests[done->count++];
    *moved = *forwarded;
    execute_forwarded(shard, &done->reply, moved);
    forget_arguments(forwarded->argv, forwarded->argc);
    moved->argc = 0;
}

/* What a pause stops stays here with the batch, the rest goes home in one of its own. Without memory for that
 * all of it stays. */
static void execute_paused(struct shard *shard, struct batch *batch) {
    struct batch *done = batch_new(shard);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct forwarded *forwarded = &batch->requests[i];
        if (!done || must_stay(shard, batch, kept, forwarded)) batch->requests[kept++] = *forwarded;
        else execute_into(shard, done, forwarded);
    }
    batch->count = kept;
    if (kept) pause_batch(shard, batch);
    if (done) {
        done->source = batch->source;
        if (done->count) send_home(shard, done);
        else batch_retire(shard, done);
    }
    if (!kept) batch_retire(shard, batch);
}

/* Those of clients that were killed since they were sent. Their slots are gone with their connections. */
static void drop_killed(struct batch *batch) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct forwarded *forwarded = &batch->requests[i];
        if (atomic_load_relaxed(&forwarded->card->doomed)) put_request(forwarded);
        else batch->requests[kept++] = *forwarded;
    }
    batch->count = kept;
}

/* ---- What is held up ---------------------------------------------------------------------------- */

/* What the writes of a batch need, and those whom they may serve. */
static uint64_t batch_reach(const struct shard *shard, const struct batch *batch) {
    uint64_t reach = shard->held;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct forwarded *forwarded = &batch->requests[i];
        if (forwarded->command->flags & CMD_WRITE)
            reach |= waiting_reach(shard->fabric, shard->held, forwarded->command, forwarded->argv,
                                   forwarded->argc);
    }
    return reach;
}

/* Takes it. While it is held nobody begins to wait there, so it stays enough for the whole batch. False: it is not
 * to be had now. */
static bool take_reach(struct shard *shard, const struct batch *batch) {
    if (KRT_LIKELY(!waiting_reaches(&shard->fabric->domain))) return true;
    for (int rounds = 1;; rounds++) {
        uint64_t reach = batch_reach(shard, batch);
        if ((reach & ~shard->held) == 0) return true;
        if (rounds > REACH_ROUNDS) reach = fabric_all(shard->fabric);
        if (!turn_coordinate(shard, reach | shard->own)) return false;
    }
}

static void hold_up(struct shard *shard, struct batch *batch) {
    struct shard_io *io = &shard->io;
    batch->next_spare = NULL;
    if (io->held_up_last) io->held_up_last->next_spare = batch;
    else io->held_up_first = batch;
    io->held_up_last = batch;
    io->held_up_ns = io->woke_ns + HELD_UP_AGAIN_NS;
}

static struct batch *take_held_up(struct shard *shard) {
    struct batch *batch = shard->io.held_up_first;
    shard->io.held_up_first = shard->io.held_up_last = NULL;
    shard->io.held_up_ns = FUTEX_NO_DEADLINE;
    return batch;
}

static void execute_batch(struct shard *shard, struct batch *batch) {
    if (KRT_UNLIKELY(shard->io.held_up_first || shard->held == 0 || !take_reach(shard, batch))) {
        hold_up(shard, batch);
        return;
    }
    if (KRT_UNLIKELY(batch->kills != shard->fabric->kills)) drop_killed(batch);
    held_note(shard, batch->ticket);
    shard->data.outcomes.ticket = shard->io.ticket;
    prefetch_batch(shard, batch);
    shard->data.ended_ticks = 0;
    if (KRT_UNLIKELY(shard->fabric->domain.gates & GATE_PAUSE)) {
        execute_paused(shard, batch);
        return;
    }
    reply_init(&batch->reply, &shard->io.pool, 2);
    for (uint32_t i = 0; i < batch->count; i++)
        execute_forwarded(shard, &batch->reply, &batch->requests[i]);
    send_home(shard, batch);
}

static void execute_held_up(struct shard *shard) {
    struct batch *batch = take_held_up(shard);
    for (struct batch *next; batch; batch = next) {
        next = batch->next_spare;
        execute_batch(shard, batch);
    }
}

void forward_resume(struct shard *shard) {
    struct batch *waiting = shard->io.paused_batches;
    shard->io.paused_batches = NULL;
    for (struct batch *next; waiting; waiting = next) {
        next = waiting->next_spare;
        execute_batch(shard, waiting);
    }
}

/* ---- At home ------------------------------------------------------------------------------------ */

static void fill_slot(struct shard *shard, struct batch *batch, const struct forwarded *forwarded) {
    struct connection *connection =
        connection_find(shard, forwarded->connection, forwarded->generation);
    if (!connection) {
        reply_consume(&batch->reply, forwarded->reply_bytes);
        return;
    }
    if (batch->reply.failed) connection->output.failed = true;
    slots_fill(&connection->slots, forwarded->slot, &batch->reply, forwarded->reply_bytes,
               &connection->output);
    connection_want_ready(shard, connection);
    if (forwarded->command->flags & CMD_WRITE) connection->client.has_logged = batch->ticket != 0;
    if (connection->suspended && !connection->paused && slots_pending(&connection->slots) == 0) {
        connection->suspended = false;
        connection_want_input(shard, connection);
    }
}

static void take_home(struct shard *shard, struct batch *batch) {
    batch->reply.pool = &shard->io.pool; /* what is freed from here on stays here */
    held_note(shard, batch->ticket);
    for (uint32_t i = 0; i < batch->count; i++) fill_slot(shard, batch, &batch->requests[i]);
    batch_retire(shard, batch);
}

static void adopt(struct shard *shard, struct adopt_message *message) {
    if (!connection_open(shard, message->fd)) {
        atomic_sub_relaxed(&shard->connections, 1);
        descriptor_forget(message->fd);
        socket_close(message->fd);
    }
    mem_free(NULL, message);
}

static void listen_anew(struct shard *shard, struct listen_message *message) {
    accept_change_listeners(shard, message->listeners, message->count);
    mem_free(NULL, message);
}

static void receive(struct shard *shard, struct message *message) {
    switch (message->kind) {
    case MESSAGE_ADOPT:
        adopt(shard, (struct adopt_message *)message);
        break;
    case MESSAGE_LISTEN:
        listen_anew(shard, (struct listen_message *)message);
        break;
    case MESSAGE_BATCH:
        execute_batch(shard, (struct batch *)message);
        break;
    case MESSAGE_REPLIES:
        take_home(shard, (struct batch *)message);
        break;
    }
}

static void drain_stream(struct shard *shard, uint32_t source) {
    struct stream *stream = &shard->fabric->shards[source]->data.streams[shard->index];
    for (struct message *message; (message = stream_pop(stream));) receive(shard, message);
    /* What did not fit into the ring is with its producer, whose thread must come round for it. */
    if (stream_backed_up(stream)) inbox_wake(&shard->fabric->shards[source]->inbox);
}

void forward_drain(struct shard *shard) {
    if (KRT_UNLIKELY(shard->io.held_up_first)) execute_held_up(shard);
    if (KRT_LIKELY(inbox_dirty(&shard->inbox) == 0)) return;
    for (uint64_t dirty = inbox_collect(&shard->inbox); dirty; dirty &= dirty - 1)
        drain_stream(shard, (uint32_t)__builtin_ctzll(dirty));
    board_drain(shard);
}

/* ---- The end ------------------------------------------------------------------------------------ */

static void discard_listen(struct fabric *fabric, struct listen_message *message) {
    accept_discard_listeners(fabric, message->listeners, message->count);
    mem_free(NULL, message);
}

static void discard_message(struct fabric *fabric, struct message *message) {
    if (message->kind == MESSAGE_ADOPT) {
        descriptor_forget(((struct adopt_message *)message)->fd);
        socket_close(((struct adopt_message *)message)->fd);
        mem_free(NULL, message);
    } else if (message->kind == MESSAGE_LISTEN) {
        discard_listen(fabric, (struct listen_message *)message);
    } else {
        batch_free((struct batch *)message);
    }
}

/* After every thread has ended, or of a start that failed: what is still in the streams to this shard, and its own batches. */
void forward_deinit(struct shard *shard) {
    for (uint32_t s = 0; s < shard->fabric->settings.shard_count; s++) {
        struct stream *streams = shard->fabric->shards[s]->data.streams;
        struct stream *stream = streams ? &streams[shard->index] : NULL;
        if (!stream || !stream->entries) continue; /* there was no memory for it */
        for (struct message *message;; discard_message(shard->fabric, message)) {
            stream_advance(stream);
            if (!(message = stream_pop(stream))) break;
        }
    }
    for (uint32_t t = 0; t < shard->fabric->settings.shard_count; t++)
        if (shard->io.open[t]) batch_free(shard->io.open[t]);
    for (struct batch *batch; (batch = pause_take_batch(shard));) batch_free(batch);
    struct batch *held_up = take_held_up(shard);
    for (struct batch *next; held_up; held_up = next) {
        next = held_up->next_spare;
        batch_free(held_up);
    }
    while (shard->io.spare_batches) {
        struct batch *batch = shard->io.spare_batches;
        shard->io.spare_batches = batch->next_spare;
        batch_free(batch);
    }
}
