#include "shard/journal/held.h"

#include "plat/clock.h"
#include "plat/futex.h"
#include "shard/shard.h"

enum { FINISH_NS = 500000000 }; /* for what the sockets do not take at once */

void held_note(struct shard *shard, uint64_t ticket) {
    if (ticket <= shard->io.ticket) return;
    shard->io.ticket = ticket;
    shard->io.has_log = true;
}

/* ---- One connection ---------------------------------------------------------------------------------- */

static void list(struct shard *shard, struct connection *connection) {
    struct held_output *held = &connection->held;
    if (held->listed) return;
    held->listed = true;
    held->previous = NULL;
    held->next = shard->io.held_first;
    if (held->next) held->next->held.previous = connection;
    shard->io.held_first = connection;
}

void held_forget(struct shard *shard, struct connection *connection) {
    struct held_output *held = &connection->held;
    if (KRT_LIKELY(!held->listed)) return;
    held->listed = false;
    if (held->next) held->next->held.previous = held->previous;
    if (held->previous) held->previous->held.next = held->next;
    else shard->io.held_first = held->next;
}

static void drop_safe_marks(struct held_output *held, uint64_t safe) {
    uint32_t safe_count = 0;
    while (safe_count < held->count && held->marks[safe_count].ticket <= safe)
        held->released = held->marks[safe_count++].bytes;
    held->count -= safe_count;
    for (uint32_t i = 0; i < held->count; i++) held->marks[i] = held->marks[i + safe_count];
}

/* Tickets of marks ascend: nothing passes what is in front of it. */
static void add_mark(struct held_output *held, uint64_t bytes, uint64_t ticket) {
    struct output_mark *last = held->count ? &held->marks[held->count - 1] : NULL;
    if (last && last->ticket > ticket) ticket = last->ticket;
    bool joins = last && (last->ticket == ticket || held->count == OUTPUT_MARKS);
    if (!joins) last = &held->marks[held->count++];
    *last = (struct output_mark){bytes, ticket};
}

static void note_written(struct shard *shard, struct client *client) {
    if (KRT_LIKELY(!client->has_logged)) return;
    client->has_logged = false;
    client->log_ticket = shard->io.ticket;
}

/* While the disk fails: has all safe that it wrote itself. */
static bool reads_go(const struct shard *shard, const struct client *client, uint64_t safe) {
    return KRT_UNLIKELY(atomic_load_seq_cst(&shard->fabric->journal.failing)) &&
           client->log_ticket <= safe;
}

uint64_t held_release(struct shard *shard, struct connection *connection) {
    struct held_output *held = &connection->held;
    uint64_t safe = atomic_load_acquire(&shard->fabric->journal.safe);
    uint64_t pending = reply_pending_bytes(&connection->output);
    note_written(shard, &connection->client);
    if (held->count) drop_safe_marks(held, safe);
    uint64_t known = held->count ? held->marks[held->count - 1].bytes : held->released;
    if (held->count == 0 && shard->io.ticket <= safe) held->released = pending;
    else if (pending > known) add_mark(held, pending, shard->io.ticket);
    if (held->count && reads_go(shard, &connection->client, safe)) {
        held->released = pending;
        held->count = 0;
    }
    if (KRT_LIKELY(held->count == 0)) {
        held_forget(shard, connection);
        return pending;
    }
    list(shard, connection);
    if (held->marks[0].ticket < shard->io.awaited) shard->io.awaited = held->marks[0].ticket;
    return held->released;
}

void held_consume(struct connection *connection, uint64_t bytes) {
    struct held_output *held = &connection->held;
    held->released -= held->released < bytes ? held->released : bytes;
    for (uint32_t i = 0; i < held->count; i++) held->marks[i].bytes -= bytes;
}

/* ---- All of them ------------------------------------------------------------------------------------- */

void held_tend(struct shard *shard) {
    struct shard_io *io = &shard->io;
    uint64_t safe = atomic_load_seq_cst(&shard->fabric->journal.safe);
    bool failing = atomic_load_seq_cst(&shard->fabric->journal.failing);
    if (KRT_LIKELY(io->awaited > safe && failing == io->failing)) return;
    io->awaited = UINT64_MAX;
    io->failing = failing;
    for (struct connection *at = io->held_first; at; at = at->held.next) {
        uint64_t ticket = at->held.marks[0].ticket;
        if (ticket <= safe || failing) connection_want_ready(shard, at);
        else if (ticket < io->awaited) io->awaited = ticket;
    }
}

void held_publish(struct shard *shard) {
    if (KRT_LIKELY(atomic_load_relaxed(&shard->awaited) == shard->io.awaited)) return;
    atomic_store_seq_cst(&shard->awaited, shard->io.awaited);
    held_tend(shard);
}

/* ---- The end ------------------------------------------------------------------------------------------ */

/* Has somebody still something that may leave, or is leaving? */
static bool is_leaving(struct shard *shard) {
    bool leaving = false;
    for (uint32_t i = 0; i < shard->io.connection_capacity; i++) {
        struct connection *connection = shard->io.connections[i];
        if (!connection || connection->closing || !connection->held.finishes) continue;
        if (reply_is_empty(&connection->output)) continue;
        if (!connection->sending && held_release(shard, connection) == 0) continue;
        connection_want_ready(shard, connection);
        leaving = true;
    }
    return leaving;
}

void held_finish(struct shard *shard) {
    struct journal *journal = &shard->fabric->journal;
    if (!shard->io.has_log) return;
    while (!atomic_load_seq_cst(&journal->ended))
        (void)futex_wait(&journal->ended, 0, FUTEX_NO_DEADLINE);
    for (struct connection *at = shard->io.held_first; at; at = at->held.next)
        at->held.finishes = true;
    uint64_t end_ns = clock_monotonic_ns() + FINISH_NS;
    while (is_leaving(shard) && clock_monotonic_ns() < end_ns) loop_send(shard, end_ns);
}
